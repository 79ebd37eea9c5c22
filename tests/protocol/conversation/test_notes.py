"""What the model is told between the lines: short, in the person's language, and never about itself."""

import pytest

from protocol.conversation import notes

NOTES = [notes.ANCHOR, notes.APOLOGISE, notes.STILL_THERE, notes.GOODBYE_IDLE, notes.GOODBYE_DURATION]


@pytest.mark.parametrize("note", NOTES)
def test_every_note_keeps_the_language_of_the_conversation(note: str) -> None:
    assert "language spoken so far" in note


def test_the_rest_of_an_answer_is_asked_for_by_the_last_words_that_were_heard() -> None:
    assert "…We open at nine" in notes.go_on_after("We open at nine")
    long = " ".join(str(number) for number in range(1000))
    asked = notes.go_on_after(long)
    assert "998 999" in asked
    assert " 1 2 3 " not in asked
    assert len(asked) < 500
