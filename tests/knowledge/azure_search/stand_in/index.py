"""One index: its documents, and what is found in them."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from server.knowledge.words import word_set
from tests.knowledge.azure_search.stand_in import odata, simple_query
from tests.knowledge.azure_search.stand_in.analysis import embed
from tests.knowledge.azure_search.stand_in.definitions import VECTOR, Definition, Field
from tests.knowledge.azure_search.stand_in.errors import Refused, bad_parameter, invalid_request

# Of the service's search request (REST, Documents - Search Post). What is left out of `_DONE` is answered with 501.
_KNOWN = word_set("""
    answers captions count debug facets filter highlight highlightPostTag highlightPreTag minimumCoverage orderby
    queryType scoringParameters scoringProfile scoringStatistics search searchFields searchMode select
    semanticConfiguration semanticErrorHandling semanticMaxWaitInMilliseconds semanticQuery sessionId skip top
    vectorFilterMode vectorQueries
    """)
_DONE = word_set("""
    filter orderby queryType search searchMode select semanticConfiguration semanticErrorHandling skip top
    vectorFilterMode vectorQueries
    """)
_VECTOR_KEYS = frozenset(("kind", "text", "vector", "k", "fields", "exhaustive", "oversampling", "weight"))
_DOCUMENT_KEY = re.compile("[A-Za-z0-9_=-]{1,1024}")
_MAX_PAGE = 1_000
_MAX_SKIP = 100_000
_DEFAULT_TOP = 50
_FUSION = 60
_SATURATION = 1.2
_KINDS: Mapping[str, Callable[[object], bool]] = {
    "Edm.String": lambda value: isinstance(value, str),
    "Edm.Boolean": lambda value: isinstance(value, bool),
    "Edm.Int32": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "Edm.Int64": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "Edm.Double": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
}

Document = dict[str, Any]


@dataclass(frozen=True)
class Found:
    document: Document
    score: float
    reranked: float | None = None


class Index:
    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.documents: dict[str, Document] = {}
        self.ignores_filters = False

    # Documents

    def checked(self, raw: Mapping[str, Any]) -> Document:
        """A document as it may be stored. Raises Refused."""
        document: Document = {}
        for name, value in raw.items():
            if name == "@search.action":
                continue
            field = self.definition.fields.get(name)
            if field is None:
                raise invalid_request(
                    f"parameters : The property '{name}' does not exist on type 'search.documentFields'. Make sure to "
                    "only use property names that are defined by the type."
                )
            _check_value(field, value)
            document[name] = value
        key = document.get(self.definition.key)
        if not isinstance(key, str) or not _DOCUMENT_KEY.fullmatch(key):
            raise invalid_request(
                f"actions : 0: Invalid document key: '{key}'. Keys can only contain letters, digits, underscore (_), "
                "dash (-), or equal sign (=)."
            )
        return document

    def shown(self, document: Document, select: list[str]) -> Document:
        fields = self.definition.fields
        names = select or [name for name, field in fields.items() if field.retrievable]
        return {name: document.get(name) for name in names}

    def selected(self, text: object, parameter: str = "$select") -> list[str]:
        """The fields of a ``select``. Raises Refused."""
        if text is None:
            return []
        if not isinstance(text, str):
            raise invalid_request("parameters : 'select' must be a string.")
        names = [name.strip() for name in text.split(",")]
        for name in names:
            field = self.definition.fields.get(name)
            if field is None:
                raise bad_parameter(
                    f"Invalid expression: Could not find a property named '{name}' on type 'search.document'.",
                    parameter,
                    "InvalidSelectExpression",
                )
            if not field.retrievable:
                raise bad_parameter(f"The field '{name}' is not retrievable.", parameter, "FieldNotRetrievable")
        return names

    # Search

    def search(self, body: Mapping[str, Any]) -> list[Document]:
        """The results of a search request. Raises Refused."""
        for name in body:
            if name not in _KNOWN:
                raise invalid_request(
                    f"parameters : The parameter '{name}' in the request payload is not a valid parameter for the "
                    "operation 'search'."
                )
            if name not in _DONE:
                raise Refused(501, f"the stand-in does not do '{name}'")
        top, skip = _whole(body, "top", _DEFAULT_TOP, _MAX_PAGE), _whole(body, "skip", 0, _MAX_SKIP)
        select = self.selected(body.get("select"))
        kept = self._filtered(body.get("filter"))
        semantic = self._semantic(body)
        lists: list[list[Found]] = []
        vectors = body.get("vectorQueries") or []
        text = body.get("search")
        if text is not None or not vectors:
            lists.append(self._by_words(str(text or ""), str(body.get("searchMode", "any")), kept))
        lists += [self._by_vector(query, kept) for query in vectors]
        if body.get("vectorFilterMode", "preFilter") not in ("preFilter", "postFilter", "strictPostFilter"):
            raise bad_parameter("Unknown vector filter mode.", "vectorFilterMode", "InvalidVectorFilterMode")
        found = lists[0] if len(lists) == 1 else _fused(lists, self.definition.key)
        if semantic is not None:
            found = self._reranked(found, str(text), semantic)
        found = self._ordered(found, body.get("orderby"))
        return [self._result(one, select) for one in found[skip : skip + top]]

    def _filtered(self, text: object) -> list[Document]:
        schema = {name: (field.kind, field.filterable) for name, field in self.definition.fields.items()}
        if text is None:
            return list(self.documents.values())
        if not isinstance(text, str):
            raise invalid_request("parameters : 'filter' must be a string.")
        keeps = odata.parse(text, schema)
        return [document for document in self.documents.values() if self.ignores_filters or keeps(document)]

    def _semantic(self, body: Mapping[str, Any]) -> list[str] | None:
        kind = body.get("queryType", "simple")
        if kind == "full":
            raise Refused(501, "the stand-in does not do the full syntax")
        if kind not in ("simple", "semantic"):
            raise bad_parameter(f"Unknown query type '{kind}'.", "queryType", "InvalidQueryType")
        name = body.get("semanticConfiguration")
        if kind == "simple":
            if name is not None:
                raise Refused(501, "the stand-in ranks semantically with queryType=semantic only")
            return None
        chosen = name or self.definition.default_semantic
        if chosen not in self.definition.semantic:
            raise bad_parameter(
                f"Unknown semantic configuration '{chosen}'.", "semanticConfiguration", "UnknownSemanticConfiguration"
            )
        if body.get("orderby") is not None:
            raise bad_parameter("orderby is not supported with semantic queries.", "orderby", "SemanticOrderBy")
        if body.get("search") in (None, "", "*"):
            raise bad_parameter("A semantic query needs a text.", "search", "SemanticQueriesNeedText")
        if body.get("semanticErrorHandling", "fail") not in ("partial", "fail"):
            raise bad_parameter("Unknown mode.", "semanticErrorHandling", "InvalidSemanticErrorHandling")
        return self.definition.semantic[chosen]

    def _by_words(self, text: str, mode: str, kept: list[Document]) -> list[Found]:
        if mode not in ("any", "all"):
            raise bad_parameter(f"Unknown search mode '{mode}'.", "searchMode", "InvalidSearchMode")
        if text.strip() in ("", "*"):
            return [Found(document, 1.0) for document in kept]
        query = simple_query.parse(text, "all" if mode == "all" else "any")
        terms = simple_query.wanted(query)
        counts = {term: sum(self._holds(document, term) for document in self.documents.values()) for term in terms}
        found: list[Found] = []
        for document in kept:
            if simple_query.matches(query, lambda term, document=document: self._holds(document, term)):  # type: ignore[misc]
                score = sum(self._score(document, term, counts[term]) for term in dict.fromkeys(terms))
                found.append(Found(document, score or 1.0))
        return sorted(found, key=lambda one: -one.score)

    def _texts(self) -> list[Field]:
        return [field for field in self.definition.fields.values() if field.analyzer is not None]

    def _frequency(self, document: Document, field: Field, term: simple_query.Term) -> int:
        assert field.analyzer is not None
        words = field.analyzer(document.get(field.name) or "")
        if term.is_prefix:
            return sum(word.startswith(term.text.lower()) for word in words)
        asked = field.analyzer(term.text)
        if not asked:
            return 0
        return sum(words[start : start + len(asked)] == asked for start in range(len(words)))

    def _holds(self, document: Document, term: simple_query.Term) -> bool:
        return any(self._frequency(document, field, term) for field in self._texts())

    def _score(self, document: Document, term: simple_query.Term, holding: int) -> float:
        rarity = math.log(1 + (len(self.documents) - holding + 0.5) / (holding + 0.5))
        total = 0.0
        for field in self._texts():
            often = self._frequency(document, field, term)
            total += self.definition.weights.get(field.name, 1.0) * often / (often + _SATURATION)
        return rarity * total

    def _by_vector(self, query: Mapping[str, Any], kept: list[Document]) -> list[Found]:
        unknown = sorted(query.keys() - _VECTOR_KEYS)
        if unknown:
            raise invalid_request(f"parameters : The property '{unknown[0]}' does not exist on type 'VectorQuery'.")
        neighbours = _whole(query, "k", _DEFAULT_TOP, 10_000)
        names = [name.strip() for name in str(query.get("fields", "")).split(",") if name.strip()]
        if len(names) != 1:
            raise Refused(501, "the stand-in takes one vector field")
        field = self.definition.fields.get(names[0])
        if field is None or field.kind != VECTOR:
            raise bad_parameter(
                f"Unknown field '{names[0]}' in vector field list.", "vectorQueries", "UnknownVectorField"
            )
        asked = _vector(query, field)
        scored = [
            Found(document, 1.0 / (2.0 - sum(a * b for a, b in zip(asked, document[field.name], strict=True))))
            for document in kept
            if document.get(field.name)
        ]
        return sorted(scored, key=lambda one: -one.score)[:neighbours]

    def _reranked(self, found: list[Found], text: str, names: list[str]) -> list[Found]:
        terms = [simple_query.Term(word) for word in text.split()]
        fields = [self.definition.fields[name] for name in names]
        asked = [term for term in terms if any(field.analyzer and field.analyzer(term.text) for field in fields)]

        def reranked(document: Document) -> float:
            held = sum(any(self._frequency(document, field, term) for field in fields) for term in asked)
            return 4.0 * held / len(asked) if asked else 0.0

        ranked = [Found(one.document, one.score, reranked(one.document)) for one in found[:_DEFAULT_TOP]]
        return sorted(ranked, key=lambda one: -(one.reranked or 0.0)) + found[_DEFAULT_TOP:]

    def _ordered(self, found: list[Found], orderby: object) -> list[Found]:
        if orderby is None:
            return found
        for part in reversed(str(orderby).split(",")):
            name, _, direction = part.strip().partition(" ")
            field = self.definition.fields.get(name)
            if field is None:
                raise bad_parameter(
                    f"Invalid expression: Could not find a property named '{name}' on type 'search.document'.",
                    "$orderby",
                    "InvalidOrderByExpression",
                )
            if not field.sortable or direction not in ("", "asc", "desc"):
                raise bad_parameter(
                    f"Invalid expression: '{name}' is not a sortable field.", "$orderby", "InvalidOrderByExpression"
                )
            found = sorted(found, key=lambda one: one.document.get(name) or 0, reverse=direction == "desc")
        return found

    def _result(self, found: Found, select: list[str]) -> Document:
        result: Document = {"@search.score": found.score}
        if found.reranked is not None:
            result["@search.rerankerScore"] = found.reranked
        return result | self.shown(found.document, select)


def _check_value(field: Field, value: object) -> None:
    if value is None and not field.key:
        return
    if field.kind == VECTOR:
        good = (
            isinstance(value, list)
            and len(value) == field.dimensions
            and all(isinstance(number, (int, float)) for number in value)
        )
    else:
        good = _KINDS[field.kind](value)
    if not good:
        raise invalid_request(
            f"parameters : Cannot convert the literal '{str(value)[:40]}' to the expected type '{field.kind}' for "
            f"'{field.name}'."
        )


def _whole(body: Mapping[str, Any], name: str, default: int, most: int) -> int:
    value = body.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise bad_parameter(f"Value must be between 0 and {most}.", f"${name}", "InvalidValue")
    return value


def _vector(query: Mapping[str, Any], field: Field) -> list[float]:
    kind = query.get("kind")
    if kind == "text":
        text = query.get("text")
        if not isinstance(text, str) or not text.strip() or "vector" in query:
            raise bad_parameter("A text query needs a text.", "vectorQueries", "InvalidVectorQuery")
        if not field.has_vectorizer:
            raise bad_parameter(
                f"Field '{field.name}' does not have a vectorizer defined. Add one to use text queries.",
                "vectorQueries",
                "NoVectorizer",
            )
        return embed(text, field.dimensions)
    if kind == "vector":
        vector = query.get("vector")
        if not isinstance(vector, list) or "text" in query:
            raise bad_parameter("A vector query needs a vector.", "vectorQueries", "InvalidVectorQuery")
        if len(vector) != field.dimensions:
            raise bad_parameter(
                f"The vector field '{field.name}' has {field.dimensions} dimensions, the query's vector {len(vector)}.",
                "vectorQueries",
                "DimensionMismatch",
            )
        return [float(number) for number in vector]
    raise bad_parameter(f"Unknown kind of vector query '{kind}'.", "vectorQueries", "InvalidVectorQuery")


def _fused(lists: list[list[Found]], key: str) -> list[Found]:
    scores: dict[str, float] = {}
    documents: dict[str, Document] = {}
    for found in lists:
        for rank, one in enumerate(found, start=1):
            name = one.document[key]
            documents[name] = one.document
            scores[name] = scores.get(name, 0.0) + 1.0 / (_FUSION + rank)
    ordered = sorted(scores, key=lambda name: -scores[name])
    return [Found(documents[name], scores[name]) for name in ordered]
