"""The numbers a conversation goes by: what is off where nobody asks for it, and that nobody changes them midway."""

import dataclasses

import pytest

from protocol.conversation.idle_watch import IDLE_DEADLINE
from protocol.conversation.limits import Limits
from protocol.conversation.machine import DURATION_DEADLINE
from protocol.conversation.succession import ROLLOVER_DEADLINE
from tests.protocol.conversation.talk import Talk


@pytest.mark.parametrize(
    ("limits", "armed"),
    [
        (Limits(), set()),
        (Limits(idle_prompt_s=300), {IDLE_DEADLINE}),
        (Limits(duration_s=3600), {DURATION_DEADLINE}),
        (Limits(connection_s=1500), {ROLLOVER_DEADLINE}),
        (Limits(idle_prompt_s=1, duration_s=60, connection_s=1), {IDLE_DEADLINE, DURATION_DEADLINE, ROLLOVER_DEADLINE}),
    ],
)
def test_a_watch_that_nobody_asked_for_is_off(limits: Limits, armed: set[str]) -> None:
    assert set(Talk(avatar=True, limits=limits).deadlines) == armed


def test_limits_do_not_change_while_a_conversation_goes_by_them() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Limits().response_s = 1  # type: ignore[misc]
