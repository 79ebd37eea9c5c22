from pathlib import Path

import pytest

from server.knowledge.azure_search.config import (
    IndexFields,
    KnowledgeBaseSource,
    SearchConfig,
    SearchConfigError,
    parse_fields,
)
from server.knowledge.azure_search.sources_file import read_sources, sources_in_one_index

ENDPOINT = "https://museum.search.windows.net"


def _source(kb_id: str = "museum", index: str = "shared", **more: str) -> KnowledgeBaseSource:
    return KnowledgeBaseSource(kb_id=kb_id, index=index, **more)  # type: ignore[arg-type]


def test_the_fields_that_are_named_are_all_there_are() -> None:
    fields = parse_fields("key=chunk_id, content=chunk, title=title, vector=text_vector")
    assert fields.named() == {"key": "chunk_id", "content": "chunk", "title": "title", "vector": "text_vector"}
    assert not fields.places
    assert not fields.writable
    assert IndexFields().places
    assert IndexFields().writable
    assert IndexFields(vector="").writable


@pytest.mark.parametrize(
    "text",
    ["content=chunk", "key=id", "key=id,content=", "key=id,content=a b", "id,content=c", "key=a,key=b,content=c"],
)
def test_a_wrong_mapping_names_its_setting(text: str) -> None:
    with pytest.raises(SearchConfigError, match="LIVEAVATAR_SEARCH_FIELDS"):
        parse_fields(text)


@pytest.mark.parametrize("endpoint", ["", "http://museum.search.windows.net", "museum.search.windows.net", "https://"])
def test_a_key_is_never_sent_without_tls(endpoint: str) -> None:
    with pytest.raises(SearchConfigError, match="AZURE_SEARCH_ENDPOINT"):
        SearchConfig(endpoint=endpoint, sources=(_source(),))


def test_two_knowledge_bases_are_never_the_same_passages() -> None:
    for sources in (
        (_source("a"), _source("a")),
        (_source("a", filter_value="x"), _source("b", filter_value="x")),
        (_source("a", filter_value="b"), _source("b")),
        (_source("a", filter_field=""), _source("b")),
        (_source("a", filter_field=""), _source("b", filter_field="")),
    ):
        with pytest.raises(SearchConfigError, match="LIVEAVATAR_SEARCH_SOURCES"):
            SearchConfig(endpoint=ENDPOINT, sources=sources)
    apart = (_source("a"), _source("b"), _source("c", "other", filter_field=""))
    config = SearchConfig(endpoint=ENDPOINT, sources=apart)
    assert config.source("b") is apart[1]
    assert config.source("d") is None


def test_modes_that_cannot_be_are_refused() -> None:
    with pytest.raises(SearchConfigError, match="LIVEAVATAR_SEARCH_SEMANTIC"):
        SearchConfig(endpoint=ENDPOINT, sources=(_source(),), mode="vector", semantic="default")
    bare = KnowledgeBaseSource(kb_id="a", index="i", fields=IndexFields(vector=""))
    with pytest.raises(SearchConfigError, match="vector=FIELD"):
        SearchConfig(endpoint=ENDPOINT, sources=(bare,), mode="hybrid")


@pytest.mark.parametrize(
    ("more", "setting"),
    [
        ({"index": "Has Blanks"}, "AZURE_SEARCH_INDEX"),
        ({"index": ""}, "AZURE_SEARCH_INDEX"),
        ({"kb_id": "Museum"}, "LIVEAVATAR_SEARCH_SOURCES"),
        ({"filter_field": "a' or 'b"}, "LIVEAVATAR_SEARCH_FILTER_FIELD"),
        ({"filter_value": "a\0"}, "LIVEAVATAR_SEARCH_SOURCES"),
    ],
)
def test_a_source_that_cannot_be_names_its_setting(more: dict[str, str], setting: str) -> None:
    with pytest.raises(SearchConfigError, match=setting):
        _source(**more)


def test_one_index_needs_no_file() -> None:
    first, second = sources_in_one_index(["a", "b"], "shared", fields=IndexFields())
    assert (first.kb_id, first.index, first.value) == ("a", "shared", "a")
    assert [(condition.field, condition.value) for condition in second.conditions] == [("kb_id", "b")]
    with pytest.raises(SearchConfigError, match="AZURE_SEARCH_INDEX"):
        sources_in_one_index(["a"], None, fields=IndexFields())


def test_a_file_says_where_each_knowledge_base_is(tmp_path: Path) -> None:
    file = tmp_path / "search.toml"
    file.write_text("""
        [knowledge_bases.museum]

        [knowledge_bases.handbook]
        index = "handbook-2026"
        filter_field = ""
        fields = { key = "chunk_id", content = "chunk" }

        [knowledge_bases.guide]
        filter_field = "tenant"
        filter_value = "O'Neil"

        [knowledge_bases.guide.profile]
        title = "Guide"
        voice = "marin"
    """)
    museum, handbook, guide = read_sources(file, index="shared", fields=IndexFields())
    assert museum == KnowledgeBaseSource(kb_id="museum", index="shared")
    assert _source(filter_field="none").conditions == ()
    assert handbook.index == "handbook-2026"
    assert handbook.conditions == ()
    assert handbook.fields.named() == {"key": "chunk_id", "content": "chunk"}
    assert guide.conditions[0].value == "O'Neil"
    assert guide.profile is not None
    assert (guide.profile.kb_id, guide.profile.title, guide.profile.voice) == ("guide", "Guide", "marin")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "names no knowledge base"),
        ("knowledge_bases = 3", "names no knowledge base"),
        ("a = [", "not valid TOML"),
        ("[museum]\nindex = 'a'", "unknown key 'museum'"),
        ("[knowledge_bases.a]\nindx = 'a'", "unknown key 'indx'"),
        ("[knowledge_bases.a]\nindex = 3", "'index' must be a text"),
        ("[knowledge_bases.a]\nfields = 3", "must be a table of field names"),
        ("[knowledge_bases.a]\nfields = {contents = 'a'}", "unknown field 'contents'"),
        ("[knowledge_bases.a]\nprofile = 'x'", "'profile' must be a table"),
        ("[knowledge_bases.a]\nprofile = {titel = 'x'}", "unknown key 'titel'"),
        ("[knowledge_bases]\na = 3", "must be a table"),
        ("[knowledge_bases.a]", "needs an index"),
    ],
)
def test_a_wrong_file_names_the_setting_and_the_place(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "search.toml"
    file.write_text(text)
    index = None if says == "needs an index" else "shared"
    with pytest.raises(SearchConfigError, match=f"LIVEAVATAR_SEARCH_SOURCES.*{says}"):
        read_sources(file, index=index, fields=IndexFields())
    with pytest.raises(SearchConfigError, match="cannot be read"):
        read_sources(tmp_path / "none.toml", index="shared", fields=IndexFields())
