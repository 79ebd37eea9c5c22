"""Scores: brings what the service ranks by to the port's range from 0 to 1. It changes no order.

What a number means depends on what ranked ("Relevance in Azure AI Search" and "Relevance scoring in hybrid search
using Reciprocal Rank Fusion", Microsoft Learn):

| ranked by | service's score | here |
|---|---|---|
| the semantic ranker | 0 (irrelevant) to 4 (answers completely) | a quarter of it |
| vectors, cosine metric | 1 / (1 + distance): 0.333 to 1 | the cosine, and 0 for negative ones |
| words and vectors, fused | sum of 1 / (60 + rank) over both lists | share of the most there can be, first in both |
| words (BM25) | from 0, no upper bound | score / (score + 4) |

Only the first two say how good a passage is; the others say how it stands beside the rest.
"""

from collections.abc import Mapping
from typing import Any

from server.knowledge.azure_search.config import Mode

SCORE = "@search.score"
RERANKER_SCORE = "@search.reranker_score"

_MAX_RERANKER_SCORE = 4.0
_FUSION_CONSTANT = 60
_FUSED_LISTS = 2
# A passage that holds two or three uncommon words of the question scores about this much.
_BM25_HALF = 4.0
_DIGITS = 4


def rank(result: Mapping[str, Any]) -> tuple[float, float]:
    """By what results are ordered: the semantic ranker's score if it has one, then the first stage's."""
    reranked = result.get(RERANKER_SCORE)
    return (-1.0 if reranked is None else float(reranked), float(result.get(SCORE) or 0.0))


def score(result: Mapping[str, Any], mode: Mode) -> float:
    """How well a result answers, 0 to 1."""
    reranked, first = rank(result)
    if reranked >= 0:
        value = reranked / _MAX_RERANKER_SCORE
    elif mode == "vector":
        value = 2.0 - 1.0 / first if first > 0 else 0.0
    elif mode == "hybrid":
        value = first * _FUSION_CONSTANT / _FUSED_LISTS
    else:
        value = first / (first + _BM25_HALF) if first > 0 else 0.0
    return round(min(max(value, 0.0), 1.0), _DIGITS)
