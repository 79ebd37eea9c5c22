import math

from hypothesis import given
from hypothesis import strategies as st

from server.knowledge.azure_search.config import Mode
from server.knowledge.azure_search.scores import RERANKER_SCORE, SCORE, rank, score

_MODES = st.sampled_from(("keyword", "vector", "hybrid"))
_FIRST = st.floats(0, 1_000)


def test_what_the_service_says_becomes_a_share() -> None:
    assert score({SCORE: 7.0, RERANKER_SCORE: 3.0}, "hybrid") == 0.75
    assert score({SCORE: 1.0}, "vector") == 1.0
    assert score({SCORE: 1 / (1 + (1 - 0.6))}, "vector") == 0.6
    assert score({SCORE: 1 / 3}, "vector") == 0.0
    assert math.isclose(score({SCORE: 2 / 61}, "hybrid"), 0.98, abs_tol=0.01)
    assert score({SCORE: 4.0}, "keyword") == 0.5
    assert score({}, "keyword") == 0.0


@given(mode=_MODES, first=_FIRST, second=_FIRST)
def test_scores_are_shares_and_keep_the_order(mode: Mode, first: float, second: float) -> None:
    low, high = sorted((first, second))
    assert 0.0 <= score({SCORE: low}, mode) <= score({SCORE: high}, mode) <= 1.0


@given(_FIRST)
def test_what_was_ranked_semantically_stands_before_what_was_not(first: float) -> None:
    assert rank({SCORE: 0.0, RERANKER_SCORE: 0.0}) > rank({SCORE: first, RERANKER_SCORE: None})
