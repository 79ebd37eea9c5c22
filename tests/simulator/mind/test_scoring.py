from server.simulator.mind.passages import Passage
from server.simulator.mind.question import read_question
from server.simulator.mind.relevance import read_documents
from server.simulator.mind.scoring import may_answer, score_sentences

HOUSE = [
    Passage("h#1", "Palm House > Building", "", "The Palm House was designed by Oda Lind. It rises 21 metres.", 0.5),
    Passage("h#2", "Palm House > Plants", "", "Palms need warmth. It is kept at 24 degrees.", 0.4),
    Passage("c#1", "Café", "", "Cakes are baked every morning. The café is 12 metres long.", 0.2),
]


def best(text: str) -> str:
    (part,) = read_question(text).parts
    first = score_sentences(part, read_documents(HOUSE))[0]
    return first.sentence.text if may_answer(first) else ""


def test_passages_of_one_title_are_one_document() -> None:
    assert [(document.title, document.rank) for document in read_documents(HOUSE)] == [("Palm House", 0), ("Café", 2)]


def test_the_sentence_with_the_sort_of_thing_asked_for_is_best() -> None:
    assert best("How tall is the Palm House?") == "It rises 21 metres."
    assert best("Who designed the Palm House?") == "The Palm House was designed by Oda Lind."


def test_a_document_without_the_thing_asked_for_does_not_answer() -> None:
    assert best("Is there a hotel near the Palm House?") == ""
