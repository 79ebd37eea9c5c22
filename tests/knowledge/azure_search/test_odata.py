import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.knowledge.azure_search.odata import Condition, all_of, is_field_name, is_text, literal
from tests.knowledge.azure_search.stand_in import odata

_SCHEMA = {"kb_id": ("Edm.String", True), "path": ("Edm.String", True), "number": ("Edm.Int32", True)}
# Every mark that has a meaning in the language comes often.
_TEXTS = st.text(st.one_of(st.sampled_from("'\"() ,;=/\\$%&@*|"), st.characters(exclude_characters="\0")), max_size=40)


def _kept(conditions: list[Condition], **document: object) -> bool:
    return odata.parse(all_of(conditions), _SCHEMA)(document)


@given(asked=_TEXTS.filter(is_text), held=_TEXTS)
def test_a_text_is_compared_as_it_is_whatever_it_holds(asked: str, held: str) -> None:
    mine = [Condition("kb_id", "eq", asked)]
    assert _kept(mine, kb_id=asked)
    assert _kept(mine, kb_id=held) == (asked == held)


@given(kb_id=_TEXTS.filter(is_text), path=_TEXTS.filter(is_text), number=st.integers(0, 10**9))
def test_no_value_reaches_another_condition(kb_id: str, path: str, number: int) -> None:
    conditions = [
        Condition("kb_id", "eq", kb_id),
        Condition("path", "eq", path),
        Condition("number", "ge", number),
        Condition("number", "le", number),
    ]
    assert _kept(conditions, kb_id=kb_id, path=path, number=number)
    assert not _kept(conditions, kb_id=kb_id + "x", path=path, number=number)
    assert not _kept(conditions, kb_id=kb_id, path=path + "x", number=number)
    assert not _kept(conditions, kb_id=kb_id, path=path, number=number + 1)


def test_the_usual_injections_stay_texts() -> None:
    for hostile in ("x' or 1 eq 1", "x') or (kb_id ne 'x", "' or kb_id ne '", "x'' or ''a'' eq ''a", "museum'--"):
        mine = [Condition("kb_id", "eq", hostile)]
        assert not _kept(mine, kb_id="secret")
        assert _kept(mine, kb_id=hostile)


def test_quotes_are_doubled_and_numbers_are_bare() -> None:
    assert literal("O'Neil's") == "'O''Neil''s'"
    assert literal(7) == "7"
    assert all_of([]) == ""
    assert all_of([Condition("a/b", "gt", "c"), Condition("n", "le", 3)]) == "a/b gt 'c' and n le 3"


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "x" * 5_000])
def test_what_can_be_no_value_is_refused(text: str) -> None:
    assert not is_text(text)
    with pytest.raises(ValueError, match="filtered"):
        literal(text)


@pytest.mark.parametrize("name", ["", "1a", "a b", "a eq 'x' or b", "a'b", "a//b", "/a", "a" * 129])
def test_what_can_be_no_field_is_refused(name: str) -> None:
    assert not is_field_name(name)
    with pytest.raises(ValueError, match="no name of a field"):
        all_of([Condition(name, "eq", "x")])
