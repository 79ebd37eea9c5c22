from server.simulator.mind.passages import Passage, SearchFailure, read_passages, sentences


def texts(text: str) -> list[str]:
    return [sentence.text for sentence in sentences(Passage("p", "T", "", text))]


def test_sentences_end_at_points_but_not_in_numbers_or_abbreviations() -> None:
    assert texts("Dr. Hill pays 9.50 euros. We open at 10 a.m. The desk closes at 5 p.m. on Mondays.") == [
        "Dr. Hill pays 9.50 euros.",
        "We open at 10 a.m.",
        "The desk closes at 5 p.m. on Mondays.",
    ]


def test_markdown_is_spoken_plainly() -> None:
    assert texts("# Prices\n\nTickets **cost**\nnine [euros](http://x).\n\n- Adults: 9\n- Children: 4\n") == [
        "Tickets cost nine euros.",
        "Adults: 9",
        "Children: 4",
    ]
    assert texts("| Who | Fee |\n|---|---|\n| Adults | 9 |") == ["Who, Fee", "Adults, 9"]


def test_a_list_item_knows_its_lead_and_heading() -> None:
    found = list(sentences(Passage("p", "T", "", "## Fees\nTickets cost:\n- 9 euros for adults")))
    assert [(sentence.heading, sentence.lead) for sentence in found[1:]] == [("Fees", "Tickets cost:")]


def test_failures_and_other_results_are_told_apart() -> None:
    assert read_passages('{"error":{"code":"timeout"}}') == SearchFailure('{"code":"timeout"}')
    assert read_passages('{"temperature":21}') is None
    assert read_passages("not json") is None
    assert read_passages('{"passages":[]}') == []
