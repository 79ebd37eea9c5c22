"""Which passages an answer rests on."""

from hypothesis import given
from hypothesis import strategies as st

from protocol.avatar.events import Source
from protocol.conversation.actions import Evidence
from protocol.conversation.citations import by_support


def found(id_: str, text: str, title: str = "Page") -> Evidence:
    return Evidence(Source(id=id_, title=title, uri=f"{id_}.md", snippet=text[:20], score=1.0), text)


CAFE = found("cafe", "The cafe closes at 5 pm. On Thursdays the cafe closes at 8 pm.")
HOURS = found("hours", "The house opens at 9:30 am. On Thursdays the house stays open until 9 pm.")
SHOP = found("shop", "The shop sells postcards, and closes with the house.")


def ids(sources: list[Source]) -> list[str]:
    return [source.id for source in sources]


def test_the_passage_that_was_quoted_comes_first() -> None:
    assert ids(by_support("On Thursdays the house stays open until 9 pm.", [CAFE, SHOP, HOURS]))[0] == "hours"


def test_a_rephrased_answer_still_finds_its_passage_by_its_numbers_and_names() -> None:
    assert ids(by_support("We're open until 9 pm on Thursdays.", [CAFE, HOURS]))[0] == "hours"


def test_an_answer_that_rests_on_nothing_leaves_the_order_of_the_search() -> None:
    assert ids(by_support("Das weiß ich leider nicht.", [CAFE, HOURS, SHOP])) == ["cafe", "hours", "shop"]
    assert ids(by_support("", [HOURS, CAFE])) == ["hours", "cafe"]


@given(st.text(), st.lists(st.text(), max_size=5))
def test_nothing_is_dropped_or_made_up(answer: str, texts: list[str]) -> None:
    evidence = [found(str(number), text) for number, text in enumerate(texts)]

    assert sorted(ids(by_support(answer, evidence))) == [str(number) for number in range(len(texts))]
