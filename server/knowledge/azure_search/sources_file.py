"""The file that says which knowledge bases are in which indexes; one knowledge base needs none. TOML, read once."""

import tomllib
from collections.abc import Sequence
from pathlib import Path

from server.knowledge.azure_search.config import (
    DEFAULT_FILTER_FIELD,
    INDEX_SETTING,
    SOURCES_SETTING,
    IndexFields,
    KnowledgeBaseSource,
    SearchConfigError,
    fields_of,
)
from server.knowledge.profiles import ProfileError, profile_of

_TABLE = "knowledge_bases"
_TEXT_KEYS = ("index", "filter_field", "filter_value")
_KEYS = (*_TEXT_KEYS, "fields", "profile")
# Some hundred knowledge bases with their personas.
_MAX_FILE_BYTES = 4 * 1024 * 1024


def sources_in_one_index(
    kb_ids: Sequence[str], index: str | None, *, filter_field: str = DEFAULT_FILTER_FIELD, fields: IndexFields
) -> tuple[KnowledgeBaseSource, ...]:
    """Knowledge bases that are told apart by a field of one index. Raises SearchConfigError."""
    if not index:
        raise SearchConfigError(f"{INDEX_SETTING} must name the index, or {SOURCES_SETTING} a file that does")
    return tuple(
        KnowledgeBaseSource(kb_id=kb_id, index=index, filter_field=filter_field, fields=fields) for kb_id in kb_ids
    )


def read_sources(
    file: Path, *, index: str | None, filter_field: str = DEFAULT_FILTER_FIELD, fields: IndexFields
) -> tuple[KnowledgeBaseSource, ...]:
    """The knowledge bases in ``file``; ``index``, ``filter_field`` and ``fields`` hold where it says nothing else.

    Raises SearchConfigError.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise _error(file, f"cannot be read: {error.strerror or error}") from error
    if len(data) > _MAX_FILE_BYTES:
        raise _error(file, f"is larger than {_MAX_FILE_BYTES // 1024} KiB")
    try:
        content = tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise _error(file, f"is not UTF-8 (byte {error.start})") from error
    except tomllib.TOMLDecodeError as error:
        raise _error(file, f"is not valid TOML: {error}") from error
    unknown = sorted(content.keys() - {_TABLE})
    if unknown:
        raise _error(file, f"unknown key {unknown[0]!r}; it has tables [{_TABLE}.KB]")
    tables = content.get(_TABLE, {})
    if not isinstance(tables, dict) or not tables:
        raise _error(file, f"names no knowledge base: it needs a table [{_TABLE}.KB] for each")
    return tuple(
        _source(file, kb_id, table, index=index, filter_field=filter_field, fields=fields)
        for kb_id, table in tables.items()
    )


def _source(
    file: Path, kb_id: str, table: object, *, index: str | None, filter_field: str, fields: IndexFields
) -> KnowledgeBaseSource:
    where = f"[{_TABLE}.{kb_id[:64]}]"
    if not isinstance(table, dict):
        raise _error(file, f"{where} must be a table")
    for key, value in table.items():
        if key not in _KEYS:
            raise _error(file, f"{where}: unknown key {key!r}; it has: {', '.join(_KEYS)}")
        if key in _TEXT_KEYS and not isinstance(value, str):
            raise _error(file, f"{where}: {key!r} must be a text")
    chosen = table.get("index", index)
    if not chosen:
        raise _error(file, f"{where} needs an index (here, or for all in {INDEX_SETTING})")
    if "fields" in table:
        fields = _fields(file, where, table["fields"])
    profile = None
    if "profile" in table:
        if not isinstance(table["profile"], dict):
            raise _error(file, f"{where}: 'profile' must be a table")
        try:
            profile = profile_of(table["profile"], kb_id, file=file)
        except ProfileError as error:
            raise SearchConfigError(f"{SOURCES_SETTING}: {error} (in {where})") from None
    return KnowledgeBaseSource(
        kb_id=kb_id,
        index=chosen,
        filter_field=table.get("filter_field", filter_field),
        filter_value=table.get("filter_value", ""),
        fields=fields,
        profile=profile,
    )


def _fields(file: Path, where: str, table: object) -> IndexFields:
    known = IndexFields.__dataclass_fields__.keys()
    if not isinstance(table, dict) or not all(isinstance(name, str) for name in table.values()):
        raise _error(file, f"{where}: 'fields' must be a table of field names")
    unknown = sorted(table.keys() - known)
    if unknown:
        raise _error(file, f"{where}: unknown field {unknown[0]!r}; there are: {', '.join(known)}")
    return fields_of(table)


def _error(file: Path, text: str) -> SearchConfigError:
    return SearchConfigError(f"{SOURCES_SETTING}: {file}: {text}")
