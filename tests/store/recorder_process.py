"""A process that records and says what was acknowledged, to be killed: ``FOLDER URL FIRST``. It tests nothing."""

import sys
from pathlib import Path

import trio

from server.secret import Secret
from server.store.journal import Journal
from server.store.journal_files import DiskFolder
from server.store.journal_segments import Segments
from server.store.records import SaidText
from server.store.sql import SqlRecords
from server.store.sql_address import address_of
from tests.store.samples import NOON, begun, usage


async def record(folder: Path, url: str, first: int) -> None:
    """Records groups of lines until it is killed; prints the number of the last one that is safe."""
    journal = Journal(Segments(DiskFolder(folder), segment_bytes=20_000), SqlRecords(address_of(Secret(url))))
    async with trio.open_nursery() as nursery:
        await nursery.start(journal.run)
        number = first
        while True:
            session_id = f"s{number}"
            session = journal.session(session_id)
            session.record(begun(session_id))
            for _ in range(10):
                session.record(usage(session_id, number, cost="0.000001"))
                session.record(SaidText(session_id=session_id, id=f"i{number}", at=NOON, role="user", text="Hello."))
                number += 1
            await journal.flush()
            sys.stdout.write(f"safe {number}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    trio.run(record, Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
