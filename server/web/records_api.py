"""The records over HTTP: sessions that live and that are over, one with everything; to end, export and erase them.

A credential for some knowledge bases sees and touches the sessions of these alone.
"""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Literal

import msgspec
import structlog
from msgspec import UNSET, UnsetType
from quart import Response

from protocol.errors import InternalFault
from server.security.principal import Principal, not_allowed_kb
from server.store.base import Erasure, JournalFault, UnknownPageKey
from server.store.export import session_json, usage_csv
from server.store.views import (
    CallView,
    RecordingView,
    SessionDetail,
    SessionFilter,
    SessionPage,
    SessionSummary,
    TurnView,
    UsageView,
)
from server.web.access import principal
from server.web.live import LiveSession, Oversight
from server.web.operations import Asked, Nothing, Operation, answer, problem, unknown
from server.web.record_reading import Instant, Text, given, store_faults, wanted_kb
from server.web.session_pages import SessionsQuery, begun, session_page

__all__ = ["SessionAnswer", "records_operations"]

_log = structlog.get_logger("liveavatar.web")

_UNSAFE_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]")


class EndReasonsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of which sessions the ends are counted."""

    kb_id: Text | UnsetType = UNSET
    since: Instant | UnsetType = UNSET


class ExportQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """As what a session is exported: with everything, or its lines of usage as a table."""

    format: Literal["json", "csv"] = "json"


class SessionAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A session with everything. ``live``: how it stands, where it lives on this server."""

    session: SessionSummary
    detail: str
    turns: list[TurnView]
    tool_calls: list[CallView]
    usage: list[UsageView]
    recordings: list[RecordingView]
    live: LiveSession | None


class EndReasons(msgspec.Struct, frozen=True, kw_only=True):
    """How sessions ended: how many of what, most first."""

    sessions: int
    reasons: dict[str, int]


class Ended(msgspec.Struct, frozen=True):
    """The session is ending."""

    session_id: str


class Erased(msgspec.Struct, frozen=True):
    """How many sessions were erased."""

    sessions: int


def records_operations(oversight: Oversight) -> list[Operation[Any, Any]]:
    """The operations on sessions."""
    api = _RecordsApi(oversight)
    return [
        Operation(
            method="GET",
            path="/api/sessions",
            name="list_sessions",
            summary="A page of sessions, newest first",
            answer=api.page,
            reply=SessionPage,
            scopes=("records",),
            query=SessionsQuery,
            refusals=(HTTPStatus.NOT_FOUND,),
        ),
        Operation(
            method="GET",
            path="/api/sessions/{session_id}",
            name="read_session",
            summary="One session with everything",
            answer=api.one,
            reply=SessionAnswer,
            scopes=("records",),
        ),
        Operation(
            method="GET",
            path="/api/sessions/{session_id}/export",
            name="export_session",
            summary="One session as a file: everything as JSON, or its lines of usage as CSV",
            answer=api.export,
            reply=SessionDetail,
            content_types=("application/json", "text/csv"),
            scopes=("records",),
            query=ExportQuery,
        ),
        Operation(
            method="POST",
            path="/api/sessions/{session_id}/end",
            name="end_session",
            summary="End a session that lives on this server",
            answer=api.end,
            reply=Ended,
            scopes=("administer",),
        ),
        Operation(
            method="DELETE",
            path="/api/sessions/{session_id}",
            name="erase_session",
            summary="Erase a session; one that lives is ended. What it cost remains in the sums",
            answer=api.erase,
            reply=Erased,
            scopes=("administer",),
            refusals=(HTTPStatus.INTERNAL_SERVER_ERROR,),
        ),
        Operation(
            method="DELETE",
            path="/api/persons/{person:path}",
            name="erase_person",
            summary="Erase all sessions of a person; those that live are ended",
            answer=api.erase_person,
            reply=Erased,
            scopes=("administer",),
            refusals=(HTTPStatus.INTERNAL_SERVER_ERROR,),
        ),
        Operation(
            method="GET",
            path="/api/end-reasons",
            name="count_end_reasons",
            summary="How sessions ended",
            answer=api.end_reasons,
            reply=EndReasons,
            scopes=("records",),
            query=EndReasonsQuery,
        ),
    ]


class _RecordsApi:
    """Answers the operations."""

    def __init__(self, oversight: Oversight) -> None:
        self._oversight = oversight
        self._live = oversight.live
        self._records = oversight.records

    async def page(self, asked: Asked[SessionsQuery, Nothing]) -> Response:
        try:
            return answer(await session_page(self._oversight, asked.query, principal()))
        except UnknownPageKey:
            return unknown("unknown_page", "There is no page of this key.")

    async def one(self, asked: Asked[Nothing, Nothing]) -> Response:
        session_id = asked.path["session_id"]
        live = self._live.session(session_id)
        async with store_faults():
            kept = await self._records.reader.session(session_id)
        if kept is None and live is not None:
            # Its beginning is on its way into the database.
            kept = SessionDetail(session=begun(live), detail="", turns=[], tool_calls=[], usage=[], recordings=[])
        if kept is None or not principal().may_use(kept.session.kb_id):
            return _no_session()
        return answer(
            SessionAnswer(
                session=kept.session,
                detail=kept.detail,
                turns=kept.turns,
                tool_calls=kept.tool_calls,
                usage=kept.usage,
                recordings=kept.recordings,
                live=live,
            )
        )

    async def export(self, asked: Asked[ExportQuery, Nothing]) -> Response:
        session_id = asked.path["session_id"]
        async with store_faults():
            kept = await self._records.reader.session(session_id)
        if kept is None or not principal().may_use(kept.session.kb_id):
            return _no_session()
        kind = asked.query.format
        if kind == "csv":
            response = Response(usage_csv(kept.usage, header=True), content_type="text/csv; charset=utf-8")
        else:
            response = Response(session_json(kept), content_type="application/json")
        name = _UNSAFE_IN_NAMES.sub("_", kept.session.session_id)
        response.headers["Content-Disposition"] = f'attachment; filename="{name}.{kind}"'
        return response

    async def end(self, asked: Asked[Nothing, Nothing]) -> Response:
        session_id = asked.path["session_id"]
        live = self._live.session(session_id)
        if live is None or not principal().may_use(live.kb_id) or not self._live.end(session_id):
            return unknown("session_not_live", "There is no such session that lives on this server.")
        _log.info("session ended by an operator", session_id=session_id, principal=principal().id)
        return answer(Ended(session_id))

    async def erase(self, asked: Asked[Nothing, Nothing]) -> Response:
        session_id, asking = asked.path["session_id"], principal()
        live = self._live.session(session_id)
        if asking.kb_ids is not None and not asking.may_use(await self._kb_of(session_id, live)):
            return _no_session()
        if live is not None:
            self._live.end(session_id)
        async with _erasing():
            erasure = await self._records.erase_session(session_id)
        if not erasure.sessions and live is None:
            return _no_session()
        return _erased(erasure, asking)

    async def _kb_of(self, session_id: str, live: LiveSession | None) -> str:
        if live is not None:
            return live.kb_id
        async with store_faults():
            kept = await self._records.reader.session(session_id)
        return "" if kept is None else kept.session.kb_id

    async def erase_person(self, asked: Asked[Nothing, Nothing]) -> Response:
        person, asking = asked.path["person"], principal()
        if asking.kb_ids is not None:
            # They may have been everywhere.
            raise not_allowed_kb()
        for live in self._live.sessions():
            if live.person == person:
                self._live.end(live.session_id)
        async with _erasing():
            erasure = await self._records.erase_person(person)
        return _erased(erasure, asking)

    async def end_reasons(self, asked: Asked[EndReasonsQuery, Nothing]) -> Response:
        kb_id = wanted_kb(principal(), given(asked.query.kb_id))
        which = SessionFilter(kb_id=kb_id, since=given(asked.query.since), is_live=False)
        async with store_faults():
            reasons = await self._records.reader.end_reasons(which)
        return answer(EndReasons(sessions=sum(reasons.values()), reasons=reasons))


@asynccontextmanager
async def _erasing() -> AsyncIterator[None]:
    """The same where something is erased, of which the last part may fail alone."""
    try:
        async with store_faults():
            yield
    except (JournalFault, OSError) as fault:
        _log.error("erased from the database, but not from all files", error=str(fault))
        raise InternalFault(
            "It is erased from the database, but not yet from all files: try again.", code="erasure_incomplete"
        ) from None


def _erased(erasure: Erasure, asking: Principal) -> Response:
    _log.info("erased for an operator", sessions=erasure.sessions, principal=asking.id)
    return answer(Erased(erasure.sessions))


def _no_session() -> Response:
    return problem(HTTPStatus.NOT_FOUND, "unknown_session", "There is no such session, or no longer.")
