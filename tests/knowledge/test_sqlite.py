import sqlite3
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.knowledge.base import KnowledgeUnavailable, Passage, UnknownKnowledgeBase
from server.knowledge.schema import SCHEMA_VERSION, WrongIndexVersion
from server.knowledge.sqlite import _CANDIDATES, _RANKED_ROWS, KnowledgeIndex
from tests.knowledge.conftest import Fill

VISIT = {
    "opening-hours.md": (
        "# Opening hours\n\nThe gallery is open from Tuesday to Sunday, from 10 am to 6 pm. It is closed on Mondays."
    ),
    "cafe.md": "# The tea room\n\nThe tea room is open on Mondays. The tea room is open late. It is open and open.",
    "prices.md": "# Tickets\n\nAdmission is 9 euros for adults and 3 euros for children.",
    "toilets.md": "# Toilets\n\nToilets are on the ground floor, beside the lift.",
    "dogs.md": "# Dogs and other animals\n\nOnly guide dogs may come in.",
    "wifi.md": "# Wi-Fi\n\nThe network is called Gallery and is free.",
    "ship.md": "# The Swan\n\nThe Swan was launched in 1897. She has three masts and a hull of oak.",
    "anchor.md": "# The anchor\n\nThe anchor weighs two tonnes. Three men were needed for each turn of the winch.",
}


def first(index: KnowledgeIndex, query: str) -> str:
    passages = index.search("kb", query)
    return passages[0].uri if passages else ""


@pytest.mark.parametrize(
    ("query", "document"),
    [
        ("When does it open on Mondays?", "opening-hours.md"),
        ("What are your opening hours?", "opening-hours.md"),
        ("How much is it?", "prices.md"),
        ("What does it cost?", "prices.md"),
        ("Where is the restroom?", "toilets.md"),
        ("Can I bring my pet?", "dogs.md"),
        ("Is there wifi?", "wifi.md"),
        ("Is there Wi-Fi?", "wifi.md"),
        ("is there wi fi", "wifi.md"),
        ("How many masts does the Swan have?", "ship.md"),
        ("how heavy is the anchor", "anchor.md"),
        ("What's the Swan's hull made of?", "ship.md"),
    ],
)
def test_a_plain_question_finds_its_article_first(index: KnowledgeIndex, fill: Fill, query: str, document: str) -> None:
    fill(VISIT)
    assert first(index, query) == document


def test_a_passage_with_more_of_the_words_comes_before_one_with_a_word_more_often(
    index: KnowledgeIndex, fill: Fill
) -> None:
    fill(
        {
            "often.md": "# One\n\nCopper, copper, copper and again copper. All of the copper is copper.",
            "both.md": "# Two\n\nThe helmet of the diver is made of copper, brass and glass, as was usual then.",
        }
    )
    assert first(index, "copper helmet") == "both.md"


def test_a_phrase_asks_for_what_it_means(index: KnowledgeIndex, fill: Fill) -> None:
    fill(VISIT | {"winter.md": "# Winter\n\nThe house is closed on 26 December. Boxing is taught on any day."})
    assert first(index, "Are you open on Boxing Day?") == "winter.md"


def test_what_is_told_before_a_question_counts_less(index: KnowledgeIndex, fill: Fill) -> None:
    fill(VISIT)
    assert first(index, "We saw the anchor of the Swan. Where are the toilets?") == "toilets.md"


def test_an_article_that_holds_the_question_in_several_passages_comes_first(index: KnowledgeIndex, fill: Fill) -> None:
    fill(
        {
            "lamp.md": "# A\n\n## Making\n\nThe lamp is of brass.\n\n## Use\n\nThe keepers lit it at dusk.",
            "stove.md": "# B\n\n## Making\n\nThe stove is of brass.\n\n## Use\n\nIt burned coal.",
        }
    )
    assert first(index, "brass of the keepers") == "lamp.md"


def test_questions_of_nothing_but_question_words_find_nothing(index: KnowledgeIndex, fill: Fill) -> None:
    fill(VISIT)
    assert index.search("kb", "What is it, and why?") == []


def test_scores_say_how_much_of_the_question_is_covered(index: KnowledgeIndex, fill: Fill) -> None:
    fill(VISIT)
    inside = index.search("kb", "When was the Swan launched?")[0].score
    outside = index.search("kb", "When was the Eiffel tower launched?")[0].score
    assert 0 < outside < 0.45 < 0.7 < inside <= 1


def test_words_of_other_scripts_are_found(index: KnowledgeIndex, fill: Fill) -> None:
    fill(
        {
            "ja.md": "# 博物館\n\n博物館は月曜日に休みです。入場料は千円です。",
            "el.md": "# Ώρες λειτουργίας\n\nΤο μουσείο είναι ανοιχτό κάθε Τρίτη.",
            "ru.md": "# Часы работы\n\nМузей открыт во вторник.",
            "de.md": "# Größe\n\nDie Straße ist über zwei Kilometer lang.",
        }
    )
    assert first(index, "月曜日") == "ja.md"
    assert first(index, "入場料はいくらですか") == "ja.md"
    assert first(index, "ΑΝΟΙΧΤΌ ΤΡΙΤΗ") == "el.md"
    assert first(index, "музей вторник") == "ru.md"
    assert first(index, "STRASSE uber") == "de.md"


def test_the_snippet_is_the_sentence_that_answers(index: KnowledgeIndex, fill: Fill) -> None:
    sentences = [
        f"Sentence {number} tells of rope, tar and canvas, of sails and of the sea and the sky." for number in range(8)
    ]
    sentences[5] = "The figurehead was carved by Agnes Holm."
    fill({"a.md": "# Hall\n\n" + " ".join(sentences)})
    (passage,) = index.search("kb", "Who carved the figurehead?")
    assert "The figurehead was carved by Agnes Holm." in passage.snippet
    assert len(passage.snippet) <= 240


def test_the_snippet_of_an_endless_sentence_shows_the_match(index: KnowledgeIndex, fill: Fill) -> None:
    fill({"a.md": "# Hall\n\n" + "rope and tar, " * 40 + "the figurehead " + "sail and sea, " * 40})
    (passage, *_) = index.search("kb", "figurehead")
    assert "figurehead" in passage.snippet
    assert len(passage.snippet) <= 240


SYNTAX = ["AND", "OR", "NOT", "NEAR(", '"', "(", ")", "*", "^", ":", "swan", "title:", "-", "+", "{", "}", "'", ";"]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=st.one_of(st.text(max_size=200), st.lists(st.sampled_from(SYNTAX)).map(" ".join)))
def test_no_query_breaks_the_search(index: KnowledgeIndex, fill: Fill, query: str) -> None:
    if not index.ids():
        fill(VISIT)
    passages = index.search("kb", query)
    assert all(0 < passage.score <= 1 for passage in passages)


def test_a_common_word_does_not_hide_the_passage_with_all_words(index: KnowledgeIndex, fill: Fill) -> None:
    articles = {
        f"{number}.md": f"# Note {number}\n\nThe harbour and the lamp are here." for number in range(_RANKED_ROWS + 50)
    }
    articles["zz.md"] = "# Another note\n\nThe harbour lamp was made by the smith."
    fill(articles)
    passages = index.search("kb", "harbour lamp smith")
    assert passages[0].uri == "zz.md"
    assert len(index.search("kb", "harbour", limit=50)) == _CANDIDATES


def test_searches_in_many_threads_agree(index: KnowledgeIndex, fill: Fill) -> None:
    fill(VISIT)
    expected = index.search("kb", "swan masts")
    answers: list[list[Passage]] = []

    def ask() -> None:
        answers.extend(index.search("kb", "swan masts") for _ in range(20))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [expected] * 160
    assert len(index._idle) <= 8


def test_a_file_that_took_the_place_of_another_is_seen(index: KnowledgeIndex, fill: Fill, tmp_path: Path) -> None:
    fill(VISIT)
    assert index.search("kb", "swan")
    for file in index.folder.glob("kb.sqlite3*"):
        file.unlink()
    with pytest.raises(UnknownKnowledgeBase):
        index.search("kb", "swan")
    fill({"new.md": "# New\n\nA heron."})
    assert first(index, "heron") == "new.md"


def test_an_unknown_knowledge_base_is_named_and_no_other(index: KnowledgeIndex, fill: Fill) -> None:
    fill(VISIT)
    with pytest.raises(UnknownKnowledgeBase, match="'nope'"):
        index.search("nope", "swan")
    with pytest.raises(UnknownKnowledgeBase):
        index.search("../kb", "swan")


def test_a_half_made_file_is_an_unknown_knowledge_base(index: KnowledgeIndex) -> None:
    index.folder.mkdir(parents=True)
    sqlite3.connect(index.file("new")).close()
    index.file("new").touch()
    with pytest.raises(UnknownKnowledgeBase):
        index.profile("new")


def test_an_index_of_another_version_says_what_to_do(index: KnowledgeIndex, fill: Fill) -> None:
    fill(VISIT)
    connection = sqlite3.connect(index.file("kb"))
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    with pytest.raises(WrongIndexVersion, match="delete the file and ingest again"):
        index.search("kb", "swan")
    with pytest.raises(WrongIndexVersion):
        fill(VISIT)


def test_somebody_elses_database_is_left_alone(index: KnowledgeIndex, fill: Fill) -> None:
    index.folder.mkdir(parents=True)
    connection = sqlite3.connect(index.file("kb"))
    connection.execute("CREATE TABLE accounts (id)")
    connection.commit()
    connection.close()
    with pytest.raises(KnowledgeUnavailable, match="something else"):
        fill(VISIT)


def test_a_closed_index_keeps_no_connection(index: KnowledgeIndex, fill: Fill) -> None:
    fill(VISIT)
    index.search("kb", "swan")
    index.close()
    assert index._idle == []
    index.search("kb", "swan")
    assert index._idle == []
