from hypothesis import given
from hypothesis import strategies as st

from server.simulator.mind import CallTool, Say, ToolOffer, Utterance, decide
from server.simulator.mind.answering import answer
from server.simulator.mind.passages import Passage
from server.simulator.mind.question import read_question
from tests.simulator.mind import guides, more_guides

SEARCH = ToolOffer(
    "search_knowledge_base",
    "Search the knowledge base.",
    {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]},
)
PERSONAS = {
    "garden": "You are Nora, the guide of Velmora Botanic Garden. Answer from the knowledge base.",
    "railway": "You are the voice of the Korvan Valley Railway.",
    "router": "You help with Lumo products.",
    "clock": "You are Otto, the guide of the Museum of Clocks and Bells in Hartfeld.",
    "sea": "You are Marina, the guide of the Sandwick Sea Centre.",
    "castle": "You are Albrecht, the voice of Grauberg Castle. Keep answers short.",
}


def ask(guide: str, text: str, history: tuple[Utterance, ...] = ()) -> Say:
    """The answer to a question after its search, as a client would hear it."""
    asked = (*history, Utterance("user", text))
    call = decide(asked, tools=[SEARCH], instructions=PERSONAS[guide])
    assert isinstance(call, CallTool), (text, call)
    output = guides.SEARCHES[guide](call.arguments["query"])
    results = (Utterance("tool_call", "{}", call.name, "call_1"), Utterance("tool_result", output, None, "call_1"))
    said = decide((*asked, *results), tools=[SEARCH], instructions=PERSONAS[guide])
    assert isinstance(said, Say)
    return said


def test_plain_questions_get_the_right_fact_from_the_right_source() -> None:
    wrong = [
        (guide, question, said)
        for guide, question, fact, title in guides.ANSWERED
        if fact not in (said := ask(guide, question)).text or said.used_ids[:1] != (title,)
    ]
    assert not wrong


def test_questions_outside_the_guide_are_not_answered() -> None:
    wrong = [
        (guide, question, said.text)
        for guide, question in guides.UNKNOWN
        if "don't know" not in (said := ask(guide, question)).text or said.used_ids
    ]
    assert not wrong


def test_freely_worded_questions_are_answered_nine_times_in_ten() -> None:
    right = sum(fact in ask(guide, question).text for guide, question, fact in more_guides.ANSWERED)
    assert right >= 0.9 * len(more_guides.ANSWERED)
    unknown = sum("don't know" in ask(guide, question).text for guide, question in more_guides.UNKNOWN)
    assert unknown >= len(more_guides.UNKNOWN) - 2


def test_an_answer_is_short_enough_to_be_heard() -> None:
    for guide, question, _, _ in guides.ANSWERED:
        assert len(ask(guide, question).text.split()) <= 62


def test_a_follow_up_is_understood_by_what_was_asked_before() -> None:
    history = (Utterance("user", "How tall is the Palm House?"), Utterance("assistant", "21 metres."))
    assert "Oda Lindqvist" in ask("garden", "Who designed it?", history).text
    history = (Utterance("user", "When does the garden open?"), Utterance("assistant", "At nine."))
    assert "every day" in ask("garden", "And on Sundays?", history).text
    assert "16:30" in ask("garden", "What about in winter?", history).text


def test_a_fact_is_taken_from_the_sentence_and_not_from_the_first_passage() -> None:
    passages = [
        Passage("a", "Ferry", "", "The ferry carries bicycles. It sails from the east quay."),
        Passage("b", "Ferry fares", "", "The ferry costs 4 euros. Bicycles cost 2 euros more."),
    ]
    found = answer(read_question("How much does the ferry cost?"), passages)
    assert found is not None
    assert found.text.startswith("The ferry costs 4 euros.")
    assert found.used_ids[0] == "b"


def test_a_sentence_that_begins_with_it_is_told_with_its_title_to_who_did_not_name_it() -> None:
    passages = [Passage("a", "The Old Mill", "", "It grinds flour every Friday at noon.")]
    found = answer(read_question("When is flour ground, I mean when do you grind flour?"), passages)
    assert found is None or found.text.startswith("The Old Mill: it grinds")


@given(st.text(max_size=80), st.lists(st.text(max_size=120), max_size=4))
def test_no_text_breaks_the_search_for_an_answer(text: str, bodies: list[str]) -> None:
    passages = [Passage(str(place), body[:10], "", body) for place, body in enumerate(bodies)]
    found = answer(read_question(text, earlier=bodies), passages)
    assert found is None or found.text
