from server.simulator.mind.kinds import Kind
from server.simulator.mind.question import read_question


def test_a_follow_up_is_searched_with_the_words_before_it() -> None:
    assert "lighthouse" in read_question("How old is it?", earlier=["How tall is the lighthouse?"]).query
    assert "lighthouse" not in read_question("How old is the pier?", earlier=["How tall is the lighthouse?"]).query


def test_a_short_question_is_searched_in_the_words_of_guides_too() -> None:
    assert "lavatories" in read_question("Where are the toilets?").query
    assert read_question("How much does the audio guide cost?").query == "How much does the audio guide cost?"


def test_names_and_years_must_be_answered_for() -> None:
    names = {term.stem for term in read_question("Who won the 1998 race in Lisbon?").terms if term.is_name}
    assert names == {"1998", "lisbon"}


def test_a_question_of_two_parts_has_both() -> None:
    kinds = [part.kind for part in read_question("Who made the clock, and how much does it weigh?").parts]
    assert kinds == [Kind.WHO, Kind.WEIGHT]


def test_what_was_told_before_a_question_counts_less_than_what_it_asks() -> None:
    (part,) = read_question("We came by bicycle. Where are the lockers?").parts
    weights = {term.stem: term.weight for term in part.terms}
    assert weights["bicycl"] < weights["locker"]
