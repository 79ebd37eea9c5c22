"""Puts the records of a server together: where they are kept, what is kept of them, and for how long."""

import datetime as dt
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, cast

import structlog
import trio

from protocol.endings import EndReason
from protocol.errors import OperatorFault
from server.hook import BadHook, find_hook
from server.settings import Settings
from server.store.archive import Archive
from server.store.base import JournalFault, SchemaFault
from server.store.journal import Journal
from server.store.journal_files import DiskFolder
from server.store.journal_intake import Bounds
from server.store.journal_segments import Segments
from server.store.places import JOURNAL_FOLDER, RECORDINGS_FOLDER, database_of
from server.store.recording import Recordings
from server.store.redaction import Redaction, RedactionHook
from server.store.sql import SqlRecords, utc_now
from server.store.sql_address import described

__all__ = ["open_records"]

_log = structlog.get_logger("liveavatar.app")

# Servers of one data folder at once, as while one takes over from another: each has a journal of its own.
_JOURNALS: Final = 8
# No session lives longer than it may by much: what is older and has no end lost its server.
_SESSION_MAX_FACTOR: Final = 2
_MIB: Final = 1024 * 1024


@asynccontextmanager
async def open_records(settings: Settings) -> AsyncIterator[Archive]:
    """Keeps records until the block ends; leave it only when all sessions have ended.

    Raises:
        OperatorFault: the database's schema or the journal's folder cannot be used; the message names the setting.
    """
    address = database_of(settings.database_url, settings.data_dir)
    folder = _journal_folder(settings.data_dir)
    try:
        store = SqlRecords(address)
        recordings = None
        if settings.record_audio:
            recordings = Recordings(
                settings.data_dir / RECORDINGS_FOLDER, max_bytes=settings.record_audio_max * _MIB, now=utc_now
            )
        journal = Journal(
            Segments(folder),
            store,
            redact=_redaction(settings).redact,
            bounds=Bounds(disk=settings.journal_max * _MIB),
        )
        longest_s = settings.session_max * _SESSION_MAX_FACTOR
        archive = Archive(
            store,
            journal,
            recordings=recordings,
            keep=dt.timedelta(days=settings.records_keep) if settings.records_keep else None,
            session_max=dt.timedelta(seconds=longest_s) if longest_s else None,
            now=utc_now,
            unrecorded=settings.unrecorded,
        )
        _log.info("records", database=described(address), journal=str(folder.path))
        try:
            async with trio.open_nursery() as keeping:
                await keeping.start(archive.run)
                yield archive
                keeping.cancel_scope.cancel()
        except* (SchemaFault, JournalFault) as faults:
            fault = _first(faults)
            setting = "DATABASE_URL" if isinstance(fault, SchemaFault) else "LIVEAVATAR_DATA_DIR"
            raise OperatorFault(f"{fault} ({setting}).", code="records_unusable", reason=EndReason.INTERNAL) from fault
    finally:
        folder.close()


def _redaction(settings: Settings) -> Redaction:
    try:
        # What it gives is looked at each time that it is called.
        hook = cast("RedactionHook", find_hook(settings.redact_hook)) if settings.redact_hook is not None else None
    except BadHook as error:
        text = f"LIVEAVATAR_REDACT_HOOK: {error}"
        raise OperatorFault(text, code="records_unusable", reason=EndReason.INTERNAL) from None
    return Redaction(rules=settings.redact, hook=hook)


def _journal_folder(data_dir: Path) -> DiskFolder:
    """The first journal that no other server has; what a former server left in it is put into the database first."""
    fault: JournalFault | None = None
    for number in range(1, _JOURNALS + 1):
        name = JOURNAL_FOLDER if number == 1 else f"{JOURNAL_FOLDER}-{number}"
        try:
            return DiskFolder(data_dir / name)
        except JournalFault as failure:
            fault = failure
            if failure.kind != "in_use":
                break
    text = f"{fault} (LIVEAVATAR_DATA_DIR)."
    raise OperatorFault(text, code="records_unusable", reason=EndReason.INTERNAL) from fault


def _first(group: BaseExceptionGroup[Exception]) -> Exception:
    found: Exception | BaseExceptionGroup[Exception] = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found
