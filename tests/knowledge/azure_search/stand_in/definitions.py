"""Definitions of indexes, checked as the service checks them when an index is made."""

import re
from dataclasses import dataclass, field
from typing import Any

from server.knowledge.words import word_set
from tests.knowledge.azure_search.stand_in import analysis
from tests.knowledge.azure_search.stand_in.errors import Refused, invalid_request

_INDEX_KEYS = word_set("""
    name fields analyzers scoringProfiles defaultScoringProfile semantic vectorSearch similarity @odata.etag
    """)
_FIELD_KEYS = word_set("""
    name type key retrievable stored searchable filterable sortable facetable analyzer dimensions vectorSearchProfile
    """)
_TYPES = frozenset(("Edm.String", "Edm.Int32", "Edm.Int64", "Edm.Double", "Edm.Boolean", "Collection(Edm.Single)"))
VECTOR = "Collection(Edm.Single)"
_NAME = re.compile("[a-z0-9][a-z0-9-]{0,126}[a-z0-9]")


@dataclass
class Field:
    name: str
    kind: str
    key: bool
    retrievable: bool
    searchable: bool
    filterable: bool
    sortable: bool
    analyzer: analysis.Analyzer | None
    dimensions: int
    has_vectorizer: bool


@dataclass
class Definition:
    raw: dict[str, Any]
    fields: dict[str, Field]
    key: str
    weights: dict[str, float]
    semantic: dict[str, list[str]]
    """The fields of each semantic configuration."""
    default_semantic: str
    name: str = field(default="")


def read_definition(raw: dict[str, Any]) -> Definition:
    """The definition, or why it cannot be made. Raises Refused."""
    _only(raw, _INDEX_KEYS, "Microsoft.Azure.Search.V2026_04_01.IndexDefinition")
    name = raw.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise invalid_request("index : Index name must only contain lowercase letters, digits or dashes.")
    analyzers = dict(analysis.BUILT_IN) | {item["name"]: _analyzer(item) for item in raw.get("analyzers") or []}
    vectorized = _vector_profiles(raw.get("vectorSearch") or {})
    fields = [_field(item, analyzers, vectorized) for item in raw.get("fields") or []]
    keys = [item.name for item in fields if item.key]
    if len(keys) != 1:
        raise invalid_request("index : The index must have exactly one key field.")
    named = {item.name: item for item in fields}
    if len(named) != len(fields):
        raise invalid_request("index : Field names must be unique.")
    semantic = _semantic(raw.get("semantic") or {}, named)
    default = (raw.get("semantic") or {}).get("defaultConfiguration") or ""
    return Definition(raw, named, keys[0], _weights(raw, named), semantic, default, name)


def _only(raw: dict[str, Any], known: frozenset[str], kind: str) -> None:
    unknown = sorted(raw.keys() - known)
    if unknown:
        raise invalid_request(f"index : The property '{unknown[0]}' does not exist on type '{kind}'.")


def _analyzer(raw: dict[str, Any]) -> analysis.Analyzer:
    filters = raw.get("tokenFilters") or []
    if raw.get("@odata.type") != "#Microsoft.Azure.Search.CustomAnalyzer":
        raise Refused(501, "the stand-in has custom analyzers only")
    if raw.get("tokenizer") not in analysis.TOKENIZERS or not set(filters) <= analysis.TOKEN_FILTERS.keys():
        raise invalid_request(f"index : The analyzer '{raw.get('name')}' uses an unknown tokenizer or token filter.")
    return analysis.chain(filters)


def _vector_profiles(raw: dict[str, Any]) -> dict[str, bool]:
    """The profiles, and whether each has a vectorizer."""
    algorithms = {item["name"] for item in raw.get("algorithms") or [] if item.get("kind") == "hnsw"}
    vectorizers = set()
    for item in raw.get("vectorizers") or []:
        parameters = item.get("azureOpenAIParameters") or {}
        if item.get("kind") != "azureOpenAI" or not {"resourceUri", "deploymentId", "modelName"} <= parameters.keys():
            raise invalid_request("index : The vectorizer lacks resourceUri, deploymentId or modelName.")
        vectorizers.add(item["name"])
    profiles: dict[str, bool] = {}
    for item in raw.get("profiles") or []:
        vectorizer = item.get("vectorizer")
        if item.get("algorithm") not in algorithms or (vectorizer and vectorizer not in vectorizers):
            raise invalid_request(f"index : The vector profile '{item.get('name')}' names what is not there.")
        profiles[item["name"]] = bool(vectorizer)
    return profiles


def _field(raw: dict[str, Any], analyzers: dict[str, analysis.Analyzer], vectorized: dict[str, bool]) -> Field:
    _only(raw, _FIELD_KEYS, "Microsoft.Azure.Search.V2026_04_01.FieldDefinition")
    name, kind = raw.get("name"), raw.get("type")
    if not isinstance(name, str) or not re.fullmatch("[A-Za-z][A-Za-z0-9_]{0,127}", name):
        raise invalid_request("index : Field names must start with a letter.")
    if kind not in _TYPES:
        raise Refused(501, f"the stand-in has no type {kind}")
    is_text, is_vector = kind == "Edm.String", kind == VECTOR
    # What is not said is true for simple fields, as the service has it.
    searchable = bool(raw.get("searchable", is_text or is_vector))
    chosen = raw.get("analyzer")
    if searchable and not (is_text or is_vector):
        raise invalid_request(f"index : The field '{name}' cannot be searchable.")
    if chosen and (not searchable or chosen not in analyzers):
        raise invalid_request(f"index : The field '{name}' has an unknown analyzer, or none can be set.")
    if is_vector and (raw.get("vectorSearchProfile") not in vectorized or not raw.get("dimensions")):
        raise invalid_request(f"index : The vector field '{name}' must have dimensions and a vector search profile.")
    return Field(
        name=name,
        kind=kind,
        key=bool(raw.get("key")),
        retrievable=bool(raw.get("retrievable", True)),
        searchable=searchable,
        filterable=bool(raw.get("filterable", not is_vector)),
        sortable=bool(raw.get("sortable", not is_vector)),
        analyzer=analyzers[chosen or "standard.lucene"] if is_text and searchable else None,
        dimensions=int(raw.get("dimensions") or 0),
        has_vectorizer=vectorized.get(raw.get("vectorSearchProfile") or "", False),
    )


def _semantic(raw: dict[str, Any], fields: dict[str, Field]) -> dict[str, list[str]]:
    configurations: dict[str, list[str]] = {}
    for item in raw.get("configurations") or []:
        prioritized = item.get("prioritizedFields") or {}
        names = [prioritized["titleField"]["fieldName"]] if prioritized.get("titleField") else []
        for key in ("prioritizedContentFields", "prioritizedKeywordsFields"):
            names += [named["fieldName"] for named in prioritized.get(key) or []]
        for name in names:
            if name not in fields or not fields[name].searchable or fields[name].kind != "Edm.String":
                raise invalid_request(
                    f"index : The semantic configuration names '{name}', which is not searchable text."
                )
        configurations[item["name"]] = names
    return configurations


def _weights(raw: dict[str, Any], fields: dict[str, Field]) -> dict[str, float]:
    chosen = raw.get("defaultScoringProfile")
    for profile in raw.get("scoringProfiles") or []:
        weights: dict[str, float] = (profile.get("text") or {}).get("weights") or {}
        for name in weights:
            if name not in fields or not fields[name].searchable:
                raise invalid_request(f"index : The scoring profile weighs '{name}', which is not searchable.")
        if profile["name"] == chosen:
            return weights
    if chosen:
        raise invalid_request(f"index : There is no scoring profile '{chosen}'.")
    return {}
