"""A question as the service is asked it: plain words without any operator, and the modes of search. It asks nothing.

The service has two query languages, and a visitor's words must be in neither. So its characters are chosen, not
escaped: what reaches the ``search`` parameter are letters, digits and the marks that belong to them, with single
spaces between. No operator of the simple syntax (``+ | - " ( ) * ~ \\``) can be written with those, and the words AND,
OR and NOT are operators in the full syntax only, which is never asked for.
"""

import unicodedata
from dataclasses import dataclass
from typing import Any

from azure.search.documents.models import VectorizableTextQuery, VectorizedQuery

from server.knowledge.azure_search.config import Mode
from server.knowledge.base import MAX_QUERY_CHARS
from server.knowledge.documents import clean, one_line
from server.knowledge.words import STOP_WORDS, fold

# More different words than anybody asks for in one breath; the service takes some hundreds.
_MAX_WORDS = 64
# As in server.knowledge.words: longer ones are keys and hashes.
_MAX_WORD_CHARS = 64
# Letters, digits, and the marks on them, without which many scripts lose their vowels.
_KEPT_CATEGORIES = "LNM"
_APOSTROPHES = str.maketrans(dict.fromkeys("'’", "'"))
_ENGLISH_ENDINGS = frozenset(("s", "t", "d", "m", "re", "ll", "ve"))
# The service ranks semantically the first fifty results of the first stage; the vectors should bring as many of them.
# Microsoft Learn, "Add semantic ranking to queries in Azure AI Search".
HYBRID_NEIGHBOURS = 50


@dataclass(frozen=True, slots=True)
class SearchQuestion:
    """What is asked for. Without words there is nothing to search."""

    words: tuple[str, ...]
    """All words, in order, each once."""
    telling: tuple[str, ...]
    """Those of them that say what is asked for; all if none does."""
    text: str
    """The whole question in one line, for a vector."""


def understood(query: str) -> SearchQuestion:
    """What ``query`` asks for."""
    text = one_line(clean(query[:MAX_QUERY_CHARS]))
    words: dict[str, str] = {}
    for spoken in text.translate(_APOSTROPHES).split():
        first, *rest = [_spelled(part) for part in spoken.split("'")]
        pieces = [first, *(part for part in rest if part.lower() not in _ENGLISH_ENDINGS)]
        for word in " ".join(pieces).split():
            if len(word) <= _MAX_WORD_CHARS and len(words) < _MAX_WORDS:
                words.setdefault(fold(word), word)
    telling = [word for folded, word in words.items() if folded not in STOP_WORDS]
    return SearchQuestion(tuple(words.values()), tuple(telling or words.values()), text)


def _spelled(text: str) -> str:
    return "".join(char if unicodedata.category(char)[0] in _KEPT_CATEGORIES else " " for char in text)


def search_parameters(
    question: SearchQuestion,
    *,
    mode: Mode,
    semantic: str,
    vector_field: str,
    vector: list[float] | None,
    limit: int,
) -> dict[str, Any]:
    """The arguments of ``SearchClient.search`` that depend on how is searched.

    Args:
        vector: the embedding of the question; None asks the service to make it, by the vectorizer of the field.
    """
    parameters: dict[str, Any] = {"top": limit}
    if mode != "vector":
        # The ranking model reads a question; the first stage is asked for what tells something.
        words = question.words if semantic else question.telling
        parameters |= {"search_text": " ".join(words), "search_mode": "any"}
        parameters["query_type"] = "semantic" if semantic else "simple"
    if semantic:
        # Results in the order of the first stage are better than none.
        parameters |= {"semantic_configuration_name": semantic, "semantic_error_mode": "partial"}
    if mode != "keyword":
        neighbours = limit if mode == "vector" else max(limit, HYBRID_NEIGHBOURS)
        parameters["vector_queries"] = [
            VectorizableTextQuery(text=question.text, k_nearest_neighbors=neighbours, fields=vector_field)
            if vector is None
            else VectorizedQuery(vector=vector, k_nearest_neighbors=neighbours, fields=vector_field)
        ]
        # The neighbours are sought among the knowledge base's own passages, not taken out of everybody's.
        parameters["vector_filter_mode"] = "preFilter"
    return parameters
