"""Tries: asks again what failed in passing, within a deadline. It decides nothing about what an answer means."""

import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import structlog
import trio
from azure.core.exceptions import AzureError

from server.azure.base import AzureFault
from server.knowledge.azure_search.faults import is_passing, retry_after_s
from server.knowledge.base import KnowledgeUnavailable
from server.secret import UnresolvedSecret

_log = structlog.get_logger("liveavatar.knowledge")

_Answer = TypeVar("_Answer")

# Somebody is waiting for the first word: a second try after a tenth of a second, a third after some more.
TRIES = 3
FIRST_PAUSE_S = 0.1
# Nobody waits for a batch of documents: it is worth more patience.
WRITE_TRIES = 8


@dataclass(frozen=True, slots=True)
class Tries:
    """How to try again. What is asked must do no harm when it is asked twice."""

    chance: Callable[[], float] = random.random
    """A number from 0 to 1, which keeps the tries of many sessions apart."""
    clock: Callable[[], float] = time.time
    """Seconds since the epoch, for dates in ``Retry-After``."""

    async def run(
        self,
        ask: Callable[[], Awaitable[_Answer]],
        translated: Callable[[AzureError], KnowledgeUnavailable],
        *,
        who: str,
        setting: str,
        deadline_s: float,
        tries: int = TRIES,
    ) -> _Answer:
        """What ``ask`` answers. A wait that the service asks for and the deadline does not allow is not begun.

        Args:
            translated: what to raise for an error of Azure's libraries.
            who: the service, for messages.
            setting: the setting that says where the service is.
            deadline_s: seconds for all tries together.

        Raises:
            KnowledgeUnavailable: no try succeeded, or the deadline passed.
        """
        with trio.move_on_after(deadline_s) as scope:
            for number in range(1, tries + 1):
                try:
                    return await ask()
                except AzureError as error:
                    pause_s = self._pause_s(error, number)
                    if pause_s is None or number == tries or trio.current_time() + pause_s >= scope.deadline:
                        raise translated(error) from error
                except (AzureFault, UnresolvedSecret) as fault:
                    # No token or no key; whoever gets those has tried again already.
                    raise KnowledgeUnavailable(str(fault)) from fault
                except (AttributeError, KeyError, TypeError, ValueError) as error:
                    # The libraries read an answer without looking at it: another service's JSON ends so.
                    text = f"{who}: what answers there is no such service; look at {setting}"
                    raise KnowledgeUnavailable(text) from error
                _log.info("asked again", service=who, number=number + 1, pause_s=round(pause_s, 3))
                await trio.sleep(pause_s)
        raise KnowledgeUnavailable(f"{who} did not answer within {deadline_s:g} s")

    def _pause_s(self, error: AzureError, number: int) -> float | None:
        """Seconds to wait before the next try; None if another one is of no use."""
        if not is_passing(error):
            return None
        own_s = FIRST_PAUSE_S * float(2 ** (number - 1)) * (0.5 + self.chance())
        return max(own_s, retry_after_s(error, now=self.clock()) or 0.0)
