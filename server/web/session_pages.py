"""Pages of sessions over HTTP: those in the database, and before them those that live and are on their way into it.

A session has begun some tenths of a second before it stands in the database, longer where the database is slow. Until
then the sessions of this server know of it, so that it is never in neither.
"""

from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from server.security.principal import Principal
from server.store.views import SessionFilter, SessionPage, SessionSummary
from server.web.live import LiveSession, Oversight
from server.web.record_reading import Instant, Text, given, store_faults, wanted_kb

__all__ = ["SessionsQuery", "begun", "session_page"]

PAGE_MAX = 200
_PAGE = 50


class SessionsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which sessions. ``until`` is not within; ``key`` is the ``next_key`` of the page before."""

    state: Literal["live", "past"] | UnsetType = UNSET
    kb_id: Text | UnsetType = UNSET
    principal_id: Text | UnsetType = UNSET
    person: Text | UnsetType = UNSET
    end_reason: Text | UnsetType = UNSET
    since: Instant | UnsetType = UNSET
    until: Instant | UnsetType = UNSET
    min_cost_usd: Annotated[float, Meta(ge=0, le=1e6)] | UnsetType = UNSET
    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = _PAGE
    key: Annotated[str, Meta(min_length=1, max_length=1024)] | UnsetType = UNSET


async def session_page(oversight: Oversight, query: SessionsQuery, asking: Principal) -> SessionPage:
    """A page, newest first. On the first one, those that are not in the database yet are beside what ``limit`` says.

    Raises:
        LiveAvatarError: they may not see these, or the records cannot be read.
        UnknownPageKey: there is no page of this key.
    """
    which = SessionFilter(
        since=given(query.since),
        until=given(query.until),
        kb_id=wanted_kb(asking, given(query.kb_id)),
        principal_id=given(query.principal_id),
        person=given(query.person),
        end_reason=given(query.end_reason),
        is_live=None if query.state is UNSET else query.state == "live",
        min_cost_usd=None if query.min_cost_usd is UNSET else Decimal(str(query.min_cost_usd)),
    )
    key = given(query.key)
    # Taken before the database is asked: what ends meanwhile is in one of the two.
    living = oversight.live.sessions() if key is None else []
    async with store_faults():
        page = await oversight.records.reader.sessions(which, limit=query.limit, key=key)
    known = {session.session_id for session in page.sessions}
    # An older one stands on a page behind this.
    oldest = page.sessions[-1].began_at if page.next_key is not None else None
    coming = [
        begun(live)
        for live in living
        if live.session_id not in known and _is_meant(live, which) and (oldest is None or live.began_at >= oldest)
    ]
    if not coming:
        return page
    found = sorted([*coming, *page.sessions], key=lambda one: (one.began_at, one.session_id), reverse=True)
    return SessionPage(sessions=found, next_key=page.next_key)


def _is_meant(live: LiveSession, which: SessionFilter) -> bool:
    return (
        which.is_live is not False
        and which.end_reason is None
        and (which.since is None or live.began_at >= which.since)
        and (which.until is None or live.began_at < which.until)
        and which.kb_id in (None, live.kb_id)
        and which.principal_id in (None, live.principal_id)
        and which.person in (None, live.person)
        and (which.min_cost_usd is None or live.cost_usd >= which.min_cost_usd)
    )


def begun(live: LiveSession) -> SessionSummary:
    """A session that lives, as the database will have it."""
    return SessionSummary(
        session_id=live.session_id,
        began_at=live.began_at,
        ended_at=None,
        end_reason=None,
        kb_id=live.kb_id,
        principal_id=live.principal_id,
        principal_name=live.principal_name,
        person=live.person,
        endpoint=live.endpoint,
        model=live.model,
        turns=live.turns,
        cost_usd=live.cost_usd,
    )
