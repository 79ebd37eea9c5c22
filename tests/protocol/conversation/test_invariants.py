"""Whatever happens in whatever order, what the machine promises holds."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.protocol.conversation.play import Op, Play

_PLAIN = Play(0, [])
OPS = sorted(_PLAIN.ops)
HOSTILITIES = sorted(_PLAIN.hostilities)
# What must be frequent for a conversation to get anywhere.
FLOW = ["asks", "service reads", "service speaks", "service speaks", "arrives", "arrives", "arrives", "tool ends"]

N = st.integers(0, 9)
SETTING = st.integers(0, 255)
SHAPES = st.lists(st.integers(0, 12), max_size=12)


def ops(names: list[str]) -> st.SearchStrategy[list[Op]]:
    """Things that happen."""
    return st.lists(st.tuples(st.sampled_from(names), N), max_size=60)


@settings(max_examples=200)
@given(SETTING, SHAPES, ops(OPS + FLOW))
def test_with_a_service_that_keeps_its_rules(setting: int, shapes: list[int], happenings: list[Op]) -> None:
    play = Play(setting, shapes)
    play.play(happenings)
    play.settle()
    play.check_settled()


@settings(max_examples=200)
@given(SETTING, SHAPES, ops(OPS + FLOW + HOSTILITIES))
def test_with_a_service_that_does_not(setting: int, shapes: list[int], happenings: list[Op]) -> None:
    play = Play(setting, shapes)
    play.play(happenings)
    play.settle()
    play.talk.end()
    assert len(play.talk.closings()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("hostile", [False, True], ids=["honest", "hostile"])
def test_many_long_conversations(hostile: bool) -> None:
    """Longer than Hypothesis likes to draw them. The seed in the message makes the failing one again."""
    names = OPS + FLOW * 3 + (HOSTILITIES if hostile else [])
    for seed in range(150):
        chance = random.Random(seed)
        play = Play(chance.randrange(256), [chance.randrange(13) for _ in range(40)])
        happenings = [(chance.choice(names), chance.randrange(10)) for _ in range(200)]
        try:
            play.play(happenings)
            play.settle()
            if hostile:
                play.talk.end()
            else:
                play.check_settled()
        except Exception as error:
            error.add_note(f"seed {seed}, {'hostile' if hostile else 'honest'}")
            raise
