import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.simulator.mind.clauses import Clauses, read_clauses, without_lead


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        ("Where is the lift?", Clauses(("Where is the lift?",), ())),
        ("My son is ten. Does he pay?", Clauses(("Does he pay?",), ("My son is ten.",))),
        ("Can we marry here, and what would it cost?", Clauses(("Can we marry here", "what would it cost?"), ())),
        ("Which bus is it and how long is the ride?", Clauses(("Which bus is it", "how long is the ride?"), ())),
        ("toilets near the café", Clauses(("toilets near the café",), ())),
        ("The toilets?", Clauses(("The toilets?",), ())),
    ],
)
def test_what_is_told_is_kept_apart_from_what_is_asked(text: str, clauses: Clauses) -> None:
    assert read_clauses(text) == clauses


@pytest.mark.parametrize(
    ("clause", "rest"),
    [
        ("Sorry, could you tell me where the lift is?", "where the lift is?"),
        ("I was wondering if dogs may come in", "dogs may come in"),
        ("Do you know what it costs?", "what it costs?"),
        ("Do you know a good dentist?", "Do you know a good dentist?"),
        ("Tell me", "Tell me"),
    ],
)
def test_what_only_leads_in_to_a_question_is_left_out(clause: str, rest: str) -> None:
    assert without_lead(clause) == rest


@given(st.text(max_size=200))
def test_any_text_asks_something(text: str) -> None:
    assert read_clauses(text).asked
