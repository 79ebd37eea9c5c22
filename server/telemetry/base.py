"""The port by which rooms below the session tell how their errands came out. It measures nothing by itself."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal, Protocol

__all__ = ["UNOBSERVED", "Errand", "ErrandKind", "Observer"]

ErrandKind = Literal["tool", "search", "connect"]


@dataclass(slots=True)
class Errand:
    """Something that takes a while. Whoever runs it says how it came out; else it was cancelled, or crashed."""

    outcome: str | None = None


class Observer(Protocol):
    """Looks at errands: how long they took, and what came of them."""

    def errand(self, kind: ErrandKind, name: str) -> AbstractContextManager[Errand]:
        """An errand, for the length of the block. `name`: the tool, or the deployment; "" where it has none.

        Never raises by itself, and passes on what is raised in the block.
        """
        ...


class _Unobserved:
    """Looks away."""

    def errand(self, kind: ErrandKind, name: str) -> AbstractContextManager[Errand]:  # noqa: ARG002 - the port's names
        """See `Observer`."""
        return nullcontext(Errand())


UNOBSERVED: Observer = _Unobserved()
