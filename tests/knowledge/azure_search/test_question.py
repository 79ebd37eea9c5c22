import unicodedata
from typing import Any

import pytest
from azure.search.documents.models import VectorizableTextQuery, VectorizedQuery
from hypothesis import given
from hypothesis import strategies as st

from server.knowledge.azure_search.config import Mode
from server.knowledge.azure_search.question import search_parameters, understood
from server.knowledge.base import MAX_QUERY_CHARS
from tests.knowledge.azure_search.stand_in import simple_query
from tests.knowledge.azure_search.stand_in.simple_query import Group, Term
from tests.knowledge.conformance import HOSTILE_QUERIES

_QUERIES = st.text(st.one_of(st.sampled_from("+-|\"()*~\\'!^:/ "), st.characters()), max_size=80)


def _parameters(query: str, mode: Mode = "keyword", semantic: str = "", vector: list[float] | None = None) -> Any:
    return search_parameters(
        understood(query), mode=mode, semantic=semantic, vector_field="vector", vector=vector, limit=5
    )


@given(_QUERIES)
def test_no_query_holds_an_operator(query: str) -> None:
    asked = understood(query)
    for words in (asked.words, asked.telling):
        sent = " ".join(words)
        assert all(char == " " or unicodedata.category(char)[0] in "LNM" for char in sent)
        # The parser that knows every operator sees nothing but terms, any of which will do.
        parsed = simple_query.parse(sent, "any")
        assert parsed == Group(tuple(Term(word) for word in words), needs_all=False)


@given(_QUERIES)
def test_the_same_words_are_asked_for_whatever_stands_between_them(query: str) -> None:
    asked = understood(query)
    assert set(understood(" ".join(asked.words)).words) == set(asked.words)
    assert set(asked.telling) <= set(asked.words)
    assert bool(asked.telling) == bool(asked.words)


@pytest.mark.parametrize("query", HOSTILE_QUERIES, ids=lambda query: repr(query[:20]))
def test_hostile_queries_are_words_of_bounded_number_and_length(query: str) -> None:
    asked = understood(query)
    assert len(asked.words) <= 64
    assert all(len(word) <= 64 for word in asked.words)
    assert len(asked.text) <= MAX_QUERY_CHARS


def test_stop_words_go_unless_there_are_only_such() -> None:
    assert understood("When does it open on Mondays?").telling == ("open", "Mondays")
    assert understood("Who are you?").telling == ("Who", "are", "you")
    assert understood("the keeper's wife, the Keeper!").words == ("the", "keeper", "wife")
    assert understood("don't wi-fi").words == ("don", "wi", "fi")
    assert understood("?!…").words == ()


def test_words_keep_their_accents_and_marks() -> None:
    assert understood("Crème brûlée हिन्दी 日本語").words == ("Crème", "brûlée", "हिन्दी", "日本語")


def test_keywords_are_searched_in_the_simple_syntax() -> None:
    assert _parameters("the lost keeper") == {
        "top": 5,
        "search_text": "lost keeper",
        "search_mode": "any",
        "query_type": "simple",
    }


def test_semantic_ranking_reads_the_whole_question() -> None:
    parameters = _parameters("Who was the keeper?", semantic="default")
    assert parameters["search_text"] == "Who was the keeper"
    assert parameters["query_type"] == "semantic"
    assert parameters["semantic_configuration_name"] == "default"
    assert parameters["semantic_error_mode"] == "partial"


def test_vectors_are_made_by_the_service_or_brought_along() -> None:
    made = _parameters("Who was the\nkeeper?", "vector")
    assert "search_text" not in made
    (query,) = made["vector_queries"]
    assert isinstance(query, VectorizableTextQuery)
    assert (query.text, query.k_nearest_neighbors, query.fields) == ("Who was the keeper?", 5, "vector")
    assert made["vector_filter_mode"] == "preFilter"
    (query,) = _parameters("keeper", "hybrid", vector=[0.5, 0.5])["vector_queries"]
    assert isinstance(query, VectorizedQuery)
    assert (query.vector, query.k_nearest_neighbors) == ([0.5, 0.5], 50)
