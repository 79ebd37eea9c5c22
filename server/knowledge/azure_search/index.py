"""The index that ingestion makes: its fields, how words in it are analyzed, semantic ranking, vectors."""

from collections.abc import Iterable
from dataclasses import dataclass

from azure.search.documents.indexes.models import (
    AzureOpenAIVectorizer,
    AzureOpenAIVectorizerParameters,
    CustomAnalyzer,
    HnswAlgorithmConfiguration,
    ScoringProfile,
    SearchField,
    SearchIndex,
    SemanticConfiguration,
    SemanticField,
    SemanticPrioritizedFields,
    SemanticSearch,
    TextWeights,
    VectorSearch,
    VectorSearchProfile,
)

from server.knowledge.azure_search.config import (
    FIELDS_SETTING,
    FILTER_FIELD_SETTING,
    INDEX_SETTING,
    KnowledgeBaseSource,
)
from server.knowledge.base import KnowledgeUnavailable
from server.secret import Secret

# Cut at word boundaries, without case and accents, without stop words, stemmed: as the embedded index does it.
OWN_ANALYZER = "liveavatar-english"
_TOKENIZER = "standard_v2"
_TOKEN_FILTERS = ["lowercase", "asciifolding", "stopwords", "porter_stem"]
DEFAULT_SEMANTIC = "default"

_STRING = "Edm.String"
_INTEGER = "Edm.Int32"
_VECTOR = "Collection(Edm.Single)"
_VECTOR_PROFILE = "liveavatar-vectors"
_ALGORITHM = "liveavatar-hnsw"
_VECTORIZER = "liveavatar-vectorizer"
_WEIGHTS = "liveavatar-weights"
# As in the embedded index: what stands in a title says more about a passage than what stands in it.
_TITLE_WEIGHT = 2.0
_CONTENT_WEIGHT = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Vectors:
    """How texts of a new index become vectors: by a model at Azure OpenAI."""

    dimensions: int
    """How many numbers the model's vectors have."""
    endpoint: str
    """The Azure OpenAI resource."""
    deployment: str
    model: str
    """The model's name, such as ``text-embedding-3-small``."""
    key: Secret | None = None
    """What the search service shows the resource; None: its own managed identity."""


def definition(
    source: KnowledgeBaseSource, *, semantic: str = "", analyzer: str = "", vectors: Vectors | None = None
) -> SearchIndex:
    """The index for a knowledge base, and for others beside it.

    Args:
        semantic: the name of its semantic configuration; empty: ``default``.
        analyzer: one of the service's analyzers, such as ``de.microsoft``; empty: one of our own, for English.
        vectors: None makes an index without vectors.
    """
    fields = source.fields
    words = analyzer or OWN_ANALYZER
    made = [
        _field(fields.key, _STRING, key=True, filterable=True, sortable=True),
        _field(source.filter_field, _STRING, filterable=True, facetable=True),
        _field(fields.document, _STRING, filterable=True),
        _field(fields.number, _INTEGER, filterable=True, sortable=True),
        _field(fields.title, _STRING, analyzer=words),
        _field(fields.headings, _STRING, analyzer=words),
        _field(fields.content, _STRING, analyzer=words),
        _field(fields.uri, _STRING),
        _field(fields.start, _INTEGER),
        _field(fields.location, _STRING, filterable=True),
        _field(fields.hash, _STRING),
    ]
    if vectors is not None:
        made.append(_vector_field(fields.vector, vectors.dimensions))
    return SearchIndex(
        name=source.index,
        fields=made,
        analyzers=None
        if analyzer
        else [CustomAnalyzer(name=OWN_ANALYZER, tokenizer_name=_TOKENIZER, token_filters=list(_TOKEN_FILTERS))],
        scoring_profiles=[ScoringProfile(name=_WEIGHTS, text_weights=TextWeights(weights=_weights(source)))],
        default_scoring_profile=_WEIGHTS,
        semantic_search=SemanticSearch(configurations=[_semantic(source, semantic or DEFAULT_SEMANTIC)]),
        vector_search=None if vectors is None else _vector_search(vectors),
    )


def require_fields(index: SearchIndex, source: KnowledgeBaseSource, *, vectors: bool) -> None:
    """Raises KnowledgeUnavailable when an index that is already there cannot hold the knowledge base."""
    there = {field.name: field for field in index.fields}
    wanted = {name: f"{FIELDS_SETTING} ({role}={name})" for role, name in source.fields.named().items()}
    if not vectors:
        wanted.pop(source.fields.vector, None)
    wanted[source.filter_field] = f"{FILTER_FIELD_SETTING}={source.filter_field}"
    for name, setting in wanted.items():
        if name not in there:
            raise KnowledgeUnavailable(
                f"the index {source.index!r} has no field {name!r}: look at {setting}, or name an index that is not "
                f"there yet in {INDEX_SETTING}"
            )
    fields = source.fields
    _require(there, source, "filterable", (fields.key, source.filter_field, fields.document, fields.number))
    _require(there, source, "sortable", (fields.key, fields.number))


def _require(there: dict[str, SearchField], source: KnowledgeBaseSource, ability: str, names: Iterable[str]) -> None:
    for name in names:
        if not getattr(there[name], ability):
            raise KnowledgeUnavailable(
                f"the field {name!r} of the index {source.index!r} must be {ability} to be filled: name an index that "
                f"is not there yet in {INDEX_SETTING}"
            )


def _field(
    name: str,
    kind: str,
    *,
    key: bool = False,
    filterable: bool = False,
    sortable: bool = False,
    facetable: bool = False,
    analyzer: str | None = None,
) -> SearchField:
    return SearchField(
        name=name,
        type=kind,
        key=key,
        retrievable=True,
        searchable=analyzer is not None,
        filterable=filterable,
        sortable=sortable,
        facetable=facetable,
        analyzer_name=analyzer,
    )


def _vector_field(name: str, dimensions: int) -> SearchField:
    return SearchField(
        name=name,
        type=_VECTOR,
        searchable=True,
        # Nobody reads vectors: not kept a second time to be given back.
        retrievable=False,
        stored=False,
        vector_search_dimensions=dimensions,
        vector_search_profile_name=_VECTOR_PROFILE,
    )


def _weights(source: KnowledgeBaseSource) -> dict[str, float]:
    fields = source.fields
    return {fields.title: _TITLE_WEIGHT, fields.headings: _TITLE_WEIGHT, fields.content: _CONTENT_WEIGHT}


def _semantic(source: KnowledgeBaseSource, name: str) -> SemanticConfiguration:
    fields = source.fields
    return SemanticConfiguration(
        name=name,
        prioritized_fields=SemanticPrioritizedFields(
            title_field=SemanticField(field_name=fields.title),
            content_fields=[SemanticField(field_name=fields.content)],
            keywords_fields=[SemanticField(field_name=fields.headings)],
        ),
    )


def _vector_search(vectors: Vectors) -> VectorSearch:
    return VectorSearch(
        algorithms=[HnswAlgorithmConfiguration(name=_ALGORITHM)],
        profiles=[
            VectorSearchProfile(
                name=_VECTOR_PROFILE, algorithm_configuration_name=_ALGORITHM, vectorizer_name=_VECTORIZER
            )
        ],
        vectorizers=[
            AzureOpenAIVectorizer(
                vectorizer_name=_VECTORIZER,
                parameters=AzureOpenAIVectorizerParameters(
                    resource_url=vectors.endpoint,
                    deployment_name=vectors.deployment,
                    model_name=vectors.model,
                    api_key=vectors.key.reveal() if vectors.key is not None else None,
                ),
            )
        ],
    )
