"""What all reading of records over HTTP has in common: whose are meant, and what is told where they cannot be read.

It reads nothing itself.
"""

import datetime as dt
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import structlog
from msgspec import UNSET, Meta

from protocol.endings import EndReason
from protocol.errors import ClientFault, InternalFault
from server.security.principal import Principal
from server.store.base import StoreUnavailable

__all__ = ["Instant", "Text", "given", "store_faults", "wanted_kb"]

_log = structlog.get_logger("liveavatar.web")

_RETRY_S = 5.0

Text = Annotated[str, Meta(min_length=1, max_length=512)]
"""A name to look for: no name is longer."""

Instant = Annotated[dt.datetime, Meta(tz=True)]
"""A moment, with its zone."""


def given(value: Any) -> Any:
    """A field of a query; None where it was not given."""
    return None if value is UNSET else value


def wanted_kb(asking: Principal, kb_id: str | None) -> str | None:
    """The knowledge base whose records are meant; None is all of them.

    Raises:
        ClientFault: it is not for them, or they have several and must say which.
    """
    chosen = asking.choose(kb_id)
    if chosen is None and asking.kb_ids is not None:
        text = "This credential is for several knowledge bases: say which, as kb_id."
        raise ClientFault(text, code="missing_required_parameter")
    return chosen


@asynccontextmanager
async def store_faults() -> AsyncIterator[None]:
    """What the records raise, as faults that a client is told about."""
    try:
        yield
    except StoreUnavailable as fault:
        _log.warning("records cannot be read or changed", error=str(fault))
        raise InternalFault(
            "The records cannot be reached right now; try again later.",
            code="records_unavailable",
            reason=EndReason.OVERLOADED,
            retry_after_s=_RETRY_S,
        ) from None
