"""The health of the server: where it stands in its life, and what it has in hand. Asks nothing of anybody."""

from collections.abc import Callable
from typing import Any

from server.lifecycle import Lifecycle, State


class Health:
    """What ``/health`` shows.

    Args:
        facts: gives the detailed part when it is asked for; must not block.
    """

    def __init__(self, lifecycle: Lifecycle, facts: Callable[[], dict[str, Any]]) -> None:
        self._lifecycle = lifecycle
        self._facts = facts

    @property
    def is_ready(self) -> bool:
        """Whether new clients should be sent here."""
        return self._lifecycle.state is State.READY

    def details(self) -> dict[str, Any]:
        """Everything there is to tell; no secrets, no contents."""
        return {"status": self._lifecycle.state.value, **self._facts()}
