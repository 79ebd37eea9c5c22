from server.simulator.mind.calling import asked_tool, fill, is_search, spoken_result
from server.simulator.mind.utterance import ToolOffer


def offer(name: str, description: str = "", **properties: object) -> ToolOffer:
    return ToolOffer(name, description, {"type": "object", "properties": properties, "required": list(properties)})


def test_a_search_is_known_by_its_name_or_its_one_query() -> None:
    assert is_search(ToolOffer("search_knowledge_base", "", {}))
    assert is_search(offer("find", query={"type": "string"}))
    assert not is_search(offer("find", query={"type": "integer"}))
    assert not is_search(offer("send", text={"type": "string"}))


def test_wanting_to_know_how_is_not_wanting_it_done() -> None:
    tools = [offer("book_tour", "Book a guided tour for a group.")]
    assert asked_tool(tools, "Please book a tour for me") is tools[0]
    assert asked_tool(tools, "How do I book a tour?") is None
    assert asked_tool(tools, "When do you open?") is None


def test_arguments_follow_the_schema() -> None:
    schema = {
        "type": "object",
        "properties": {
            "count": {"type": "integer", "maximum": 10},
            "kind": {"enum": ["single", "family"]},
            "on": {"type": "boolean"},
            "names": {"type": "array", "items": {"type": "string"}},
            "note": {"type": ["string", "null"]},
            "inner": {"type": "object", "properties": {"price": {"type": "number"}}, "required": ["price"]},
        },
        "required": ["count", "kind", "on", "names", "inner"],
    }
    assert fill(schema, "Order twelve family tickets for Ada at 9.5") == {
        "count": 10,
        "kind": "family",
        "on": True,
        "names": ["Ada"],
        "inner": {"price": 9.5},
    }


def test_results_are_told_in_a_sentence() -> None:
    assert spoken_result('{"message":"The lamp is on"}', "en") == "The lamp is on."
    assert spoken_result('{"temperature":21,"is_open":true}', "en") == "Temperature 21, is open yes."
    assert spoken_result('{"error":"no lamp"}', "en") == "That did not work: no lamp"
    assert spoken_result("null", "en") == "Done."
    assert spoken_result("moved", "en") == "Moved."
