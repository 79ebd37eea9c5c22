"""The order of items reads as if the hidden ones were not there."""

from hypothesis import given
from hypothesis import strategies as st

from protocol.conversation.visibility import HiddenItems


def test_before_a_row_of_hidden_items_stands_the_last_visible_one() -> None:
    hidden = HiddenItems()
    for item, before in (("h1", "v1"), ("h2", "h1"), ("h3", "h2")):
        hidden.hide(item)
        hidden.place(item, before)
    assert hidden.visible_before("h3") == "v1"
    assert hidden.visible_before("v1") == "v1"
    assert hidden.visible_before(None) is None


def test_hidden_items_at_the_front_leave_nothing_before() -> None:
    hidden = HiddenItems()
    hidden.hide("h1")
    hidden.place("h1", None)
    assert hidden.visible_before("h1") is None


def test_an_item_hidden_and_not_placed_yet_has_nothing_before_it() -> None:
    hidden = HiddenItems()
    hidden.hide("h1")
    assert "h1" in hidden
    assert hidden.visible_before("h1") is None


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abcd"), st.sampled_from("abcdv")), max_size=30))
def test_no_order_of_hiding_and_placing_makes_a_hidden_item_show(steps: list[tuple[bool, str, str]]) -> None:
    hidden = HiddenItems()
    for places, item, before in steps:
        hidden.hide(item)
        if places:
            hidden.place(item, before)
        for name in "abcdv":
            assert hidden.visible_before(name) not in hidden
