"""What a running server records: complete, priced, and all there whatever is killed, cut off or full."""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import msgspec
import psycopg
import pytest
import trio
from trio_websocket import ConnectionClosed, HandshakeError

from server.app import KNOWLEDGE_FOLDER
from server.secret import Secret
from server.simulator.service import Simulator
from server.simulator.settings import SimulatorSettings
from server.store.base import UNFINISHED
from server.store.places import database_of
from server.store.sql import SqlRecords
from server.store.views import SessionDetail, SessionFilter
from tests.running import HOST, PATIENCE_S, Process, free_port, serving_process
from tests.simulator.driver import Client, Json, simulator
from tests.store.postgresql import Cluster, cluster

pytestmark = pytest.mark.slow

FULL = os.environ.get("TESTS_FULL") == "1"
KILLS = 50 if FULL else 5
OUTAGE_S = 60.0 if FULL else 4.0
SPEAKERS = 4
# What a client was told of so long ago is on disk: records are synced together every 50 ms, on a machine that is busy.
ACKNOWLEDGED_S = 0.5
# A question of a talk that nothing disturbs is answered within this; the simulator does so in a tenth.
ANSWER_S = 5.0
KEY = "sk-of-nobody-at-all"
QUESTION = "Who founded the museum?"


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Cluster]:
    with cluster() as running:
        yield running


@asynccontextmanager
async def recording_server(data_dir: Path, service: Simulator, **environ: str) -> AsyncIterator[Process]:
    """A server in front of a service that is priced; it is killed at the end if it still lives."""
    url = f"http://{HOST}:{service.addresses[0][1]}/v1"
    upstream = {"LIVEAVATAR_UPSTREAM": "openai", "OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": url}
    async with serving_process(data_dir, **upstream, LIVEAVATAR_MODEL="gpt-realtime", **environ) as server:
        yield server


@asynccontextmanager
async def priced_service() -> AsyncIterator[Simulator]:
    async with simulator(SimulatorSettings(service="openai", api_key=KEY)) as service:
        yield service


@asynccontextmanager
async def records_of(data_dir: Path, url: str | None = None) -> AsyncIterator[SqlRecords]:
    store = SqlRecords(database_of(Secret(url) if url else None, data_dir))
    try:
        yield store
    finally:
        await store.aclose()


async def ask(client: Client, question: str = QUESTION) -> Json:
    """Asks, and gives the ``avatar.usage`` of the answer."""
    await client.type(question)
    await client.send("response.create")
    return await client.until("avatar.usage", PATIENCE_S)


def session_id(client: Client) -> str:
    return next(str(event["session_id"]) for event in client.events if event["type"] == "avatar.session")


async def stopped(server: Process) -> None:
    """Ended in order, so that all of the journal is in the database."""
    server.terminate()
    assert await server.exited(PATIENCE_S) == 0


async def state_of(server: Process) -> Json:
    """What /health says of the records."""
    _, _, body = await server.get("/health")
    told: Json = msgspec.json.decode(body)["records"]
    return told


async def until_state(server: Process, state: str, seconds: float = PATIENCE_S) -> Json:
    with trio.fail_after(seconds):
        while (told := await state_of(server))["state"] != state:  # noqa: ASYNC110 - another process
            await trio.sleep(0.05)
    return told


async def detail_of(records: SqlRecords, session: str) -> SessionDetail:
    detail = await records.session(session)
    assert detail is not None
    return detail


def paid(detail: SessionDetail) -> Decimal:
    return sum((line.cost_usd for line in detail.usage), Decimal(0))


async def test_a_talk_is_there_complete_and_priced(data_dir: Path) -> None:
    async with priced_service() as service:
        async with recording_server(data_dir, service) as server:
            async with server.opened(init={"type": "session.init", "kb_id": "museum", "user": "visitor-17"}) as client:
                told = await ask(client)
                told = await ask(client, "When is it open?")
                assert (await state_of(server))["state"] == "ok"
            await stopped(server)
        async with records_of(data_dir) as records:
            detail = await detail_of(records, session_id(client))
            costs = await records.costs(["kb_id"])
    session = detail.session
    assert (session.end_reason, session.kb_id, session.person) == ("completed", "museum", "visitor-17")
    assert session.model == "gpt-realtime"
    assert [turn.role for turn in detail.turns] == ["user", "assistant"] * 2
    assert [turn.text for turn in detail.turns[::2]] == [QUESTION, "When is it open?"]
    for turn in detail.turns[1::2]:
        assert turn.text
        assert turn.search_began_ms is not None
        assert turn.first_audio_ms is not None
        assert turn.ended_ms is not None
    assert [call.status for call in detail.tool_calls] == ["answered"] * 2
    assert all(call.sources for call in detail.tool_calls)
    assert paid(detail) == session.cost_usd == Decimal(told["session_cost_usd"]) > 0
    assert [line.cost_usd for line in costs] == [session.cost_usd]
    assert sum(line.tokens.input_text for line in detail.usage) == service.meter.usage.input_token_details.text_tokens


async def test_the_sound_of_both_sides_is_recorded_where_that_is_wanted(data_dir: Path) -> None:
    async with priced_service() as service:
        async with recording_server(data_dir, service, LIVEAVATAR_RECORD_AUDIO="true") as server:
            async with server.opened() as client:
                await ask(client)
                await trio.sleep(1)
            await stopped(server)
        async with records_of(data_dir) as records:
            detail = await detail_of(records, session_id(client))
    (avatar,) = [recording for recording in detail.recordings if recording.side == "avatar"]
    # The answer takes longer than that; who leaves hears no more of it.
    assert 1000 < avatar.duration_ms < 4000
    assert (avatar.dropped_ms, avatar.note) == (0, "")
    assert (data_dir / "recordings" / avatar.file).stat().st_size == avatar.size_bytes


def everything_in(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())


async def test_a_person_is_erased_to_the_last_word(data_dir: Path) -> None:
    async with (
        priced_service() as service,
        recording_server(data_dir, service, LIVEAVATAR_RECORD_AUDIO="true") as server,
    ):
        for user in ("visitor-17", "visitor-18", "visitor-17"):
            async with server.opened(init={"type": "session.init", "kb_id": "museum", "user": user}) as client:
                await ask(client, f"{QUESTION} I am {user}.")
        command = ["-m", "server.cli", "sessions", "erase", "--person", "visitor-17", "--yes", "--data-dir"]
        await stopped(server)
        await trio.run_process(
            [sys.executable, *command, str(data_dir)], cwd=str(Path(__file__).parents[1]), capture_stdout=True
        )
        async with records_of(data_dir) as records:
            page = await records.sessions(SessionFilter(), limit=10)
            costs = await records.costs(["kb_id"])
    assert [session.person for session in page.sessions] == ["visitor-18"]
    assert sum(line.cost_usd for line in costs) > page.sessions[0].cost_usd, "what it cost stays in the sums"
    left = everything_in(data_dir)
    assert b"I am visitor-17" not in left
    assert b"I am visitor-18" in left
    assert len(list((data_dir / "recordings").glob("*.wav"))) == len(page.sessions)


# Killed


@dataclass
class Told:
    """What the people of one server heard of their sessions, with the time (trio's clock)."""

    usage: dict[str, list[tuple[float, str, Decimal]]] = field(default_factory=dict)

    async def something_more(self) -> None:
        """Returns when somebody was told of another answer."""
        before = self._count()
        with trio.fail_after(PATIENCE_S):
            while self._count() == before:  # noqa: ASYNC110 - a number, not an event
                await trio.sleep(0.02)

    def _count(self) -> int:
        return sum(len(asked) for asked in self.usage.values())


async def talk(server: Process, told: Told, mark: str) -> None:
    """Asks until the connection is gone."""
    try:
        async with server.opened() as client:
            asked = told.usage.setdefault(session_id(client), [])
            for number in range(1000):
                question = f"{QUESTION} {mark}.{number}!"
                usage = await ask(client, question)
                asked.append((trio.current_time(), question, Decimal(usage["session_cost_usd"])))
    except (OSError, ConnectionClosed, HandshakeError):
        pass  # it was killed


async def test_whatever_was_acknowledged_survives_kill_after_kill(data_dir: Path) -> None:
    chance = random.Random(7)
    told = Told()
    killed_at: dict[str, float] = {}
    async with priced_service() as service:
        for kill in range(KILLS):
            before = set(told.usage)
            async with recording_server(data_dir, service) as server, trio.open_nursery() as people:
                for number in range(SPEAKERS):
                    people.start_soon(talk, server, told, f"{kill}.{number}")
                if kill % 2:
                    # Every other time there is something to lose; the others come as they come.
                    await told.something_more()
                await trio.sleep(chance.uniform(0.2, 2.5))
                server.process.send_signal(signal.SIGKILL)
                await server.process.wait()
                now = trio.current_time()
                killed_at |= dict.fromkeys(set(told.usage) - before, now)
                people.cancel_scope.deadline = now + 5
        async with recording_server(data_dir, service) as server:
            assert (await until_state(server, "ok"))["lost"] == 0
            await stopped(server)
        metered = service.meter.usage
    async with records_of(data_dir) as records:
        everything = Decimal(0)
        for session, asked in told.usage.items():
            detail = await records.session(session)
            safe = [entry for entry in asked if entry[0] < killed_at.get(session, 0) - ACKNOWLEDGED_S]
            if detail is None:
                assert safe == []
                continue
            assert detail.session.end_reason == UNFINISHED
            texts = [turn.text for turn in detail.turns if turn.role == "user"]
            assert len(set(texts)) == len(texts)
            for _, question, cost in safe:
                assert question in texts
                assert paid(detail) >= cost
            everything += paid(detail)
        assert everything == sum((line.cost_usd for line in await records.costs(["day"])), Decimal(0)) > 0
        page = await records.usage(SessionFilter(), limit=1000)
        lines = list(page.lines)
        while page.next_key is not None:
            page = await records.usage(SessionFilter(), limit=1000, key=page.next_key)
            lines += page.lines
    assert len({line.id for line in lines}) == len(lines)
    assert sum(line.tokens.output_audio for line in lines) <= metered.output_token_details.audio_tokens
    assert sum(len(asked) for asked in told.usage.values()) >= KILLS // 2


# The database goes away


async def _ask_on(client: Client, over: trio.Event, seconds: list[float]) -> None:
    while not over.is_set():
        began = trio.current_time()
        await ask(client)
        seconds.append(trio.current_time() - began)
        await trio.sleep(0.2)


async def test_an_outage_of_the_database_disturbs_nobody_and_loses_nothing(data_dir: Path, postgresql: Cluster) -> None:
    url = postgresql.new_database()
    over, seconds = trio.Event(), list[float]()
    async with priced_service() as service, recording_server(data_dir, service, DATABASE_URL=url) as server:
        async with trio.open_nursery() as people:
            clients: list[Client] = []

            async def converse(*, task_status: trio.TaskStatus[None]) -> None:
                async with server.opened() as client:
                    clients.append(client)
                    task_status.started()
                    await _ask_on(client, over, seconds)

            for _ in range(SPEAKERS):
                await people.start(converse)
            await trio.sleep(1)
            await trio.to_thread.run_sync(postgresql.stop)
            waiting = await until_state(server, "waiting")
            assert "PostgreSQL" in waiting["detail"]
            assert waiting["accepts_sessions"] is True
            # Who comes now is let in, too.
            await people.start(converse)
            await trio.sleep(OUTAGE_S)
            await trio.to_thread.run_sync(postgresql.start)
            await until_state(server, "ok", 30)
            over.set()
        assert max(seconds) < ANSWER_S
        assert (await state_of(server))["lost"] == (await state_of(server))["set_aside"] == 0
        assert [event for client in clients for event in client.events if event["type"] == "error"] == []
        await stopped(server)
        async with records_of(data_dir, url) as records:
            for client in clients:
                detail = await detail_of(records, session_id(client))
                told = [event for event in client.events if event["type"] == "avatar.usage"]
                assert paid(detail) == Decimal(told[-1]["session_cost_usd"])
                assert len([turn for turn in detail.turns if turn.role == "user"]) == len(told)
            costs = await records.costs(["day"])
    every = sum((Decimal(client_cost(client)) for client in clients), Decimal(0))
    assert sum((line.cost_usd for line in costs), Decimal(0)) == every


def client_cost(client: Client) -> str:
    return str([event for event in client.events if event["type"] == "avatar.usage"][-1]["session_cost_usd"])


async def test_a_database_that_is_not_there_at_the_start_is_waited_for(data_dir: Path, postgresql: Cluster) -> None:
    url = postgresql.new_database()
    await trio.to_thread.run_sync(postgresql.stop)
    try:
        async with priced_service() as service, recording_server(data_dir, service, DATABASE_URL=url) as server:
            assert (await state_of(server))["state"] == "waiting"
            async with server.opened() as client:
                await ask(client)
            await trio.to_thread.run_sync(postgresql.start)
            await until_state(server, "ok", 30)
            await stopped(server)
    finally:
        if postgresql.process is None:
            await trio.to_thread.run_sync(postgresql.start)
    async with records_of(data_dir, url) as records:
        assert paid(await detail_of(records, session_id(client))) == Decimal(client_cost(client))


async def test_what_no_database_took_is_there_after_the_next_start(data_dir: Path, postgresql: Cluster) -> None:
    nowhere = f"postgresql://tests@{HOST}:{await free_port()}/records"
    url = postgresql.new_database()
    async with priced_service() as service:
        async with recording_server(data_dir, service, DATABASE_URL=nowhere) as server:
            async with server.opened() as client:
                await ask(client)
            await stopped(server)
        async with recording_server(data_dir, service, DATABASE_URL=url) as server:
            await stopped(server)
    async with records_of(data_dir, url) as records:
        detail = await detail_of(records, session_id(client))
    assert (detail.session.end_reason, paid(detail)) == ("completed", Decimal(client_cost(client)))


async def test_a_database_that_becomes_read_only_is_waited_for(data_dir: Path, postgresql: Cluster) -> None:
    url = postgresql.new_database()
    name = url.partition("@/")[2].partition("?")[0]

    def be(read_only: str) -> None:
        with psycopg.connect(postgresql.conninfo("postgres"), autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = {read_only}")
            # As where another server takes over: who is connected learns of it by a new connection.
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])

    async with priced_service() as service, recording_server(data_dir, service, DATABASE_URL=url) as server:
        async with server.opened() as client:
            await ask(client)
            await trio.sleep(1)
            await trio.to_thread.run_sync(be, "on")
            await ask(client)
            assert "read-only" in (await until_state(server, "waiting"))["detail"]
            await trio.to_thread.run_sync(_read_only_off, postgresql, name)
            await until_state(server, "ok", 30)
            await ask(client)
        await stopped(server)
    async with records_of(data_dir, url) as records:
        assert paid(await detail_of(records, session_id(client))) == Decimal(client_cost(client))


def _read_only_off(postgresql: Cluster, name: str) -> None:
    with psycopg.connect(postgresql.conninfo("postgres"), autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = off")


# A schema that is not ours


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        (["CREATE TABLE alembic_version (version_num TEXT)", "INSERT INTO alembic_version VALUES ('9999')"], "newer"),
        (["CREATE TABLE sessions (id TEXT)"], "not ours"),
        (["CREATE TABLE sessions (id TEXT)", "CREATE TABLE alembic_version (version_num TEXT)"], "not ours"),
    ],
)
async def test_a_schema_that_cannot_be_used_is_an_error_that_names_the_setting(
    data_dir: Path, statements: list[str], said: str
) -> None:
    with sqlite3.connect(data_dir / "records.sqlite3") as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()
    text = await _why_not(data_dir)
    assert said in text
    assert "DATABASE_URL" in text


# The disk is full


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A disk of that size; skips the test where we may not mount one."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if os.getuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("needs root that may mount a tmpfs")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Leaves no room on a disk."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        size = 1024 * 1024
        while size:
            try:
                file.write(bytes(size))
            except OSError:
                size //= 2
    return filler


@pytest.mark.parametrize("unrecorded", [False, True])
async def test_with_a_full_disk_nobody_is_let_in_unless_that_is_wanted(
    data_dir: Path, tmp_path: Path, unrecorded: bool
) -> None:
    environ = {"LIVEAVATAR_UNRECORDED": str(unrecorded).lower()}
    with small_disk(tmp_path / "disk", "64m") as disk:
        shutil.copytree(data_dir / KNOWLEDGE_FOLDER, disk / KNOWLEDGE_FOLDER)
        async with priced_service() as service, recording_server(disk, service, **environ) as server:
            async with server.opened() as client:
                await ask(client)
                await trio.sleep(1)
                filler = fill(disk)
                await ask(client)
                behind = await until_state(server, "behind")
                assert "full" in behind["detail"]
                assert behind["accepts_sessions"] is unrecorded
                if unrecorded:
                    async with server.opened() as other:
                        await ask(other)
                else:
                    await _nobody_is_let_in(server)
                # Who is there talks on; what they say waits in memory.
                await ask(client)
                filler.unlink()
                assert (await until_state(server, "ok", 30))["lost"] == 0
                async with server.opened() as another:
                    await ask(another)
            await stopped(server)
        async with records_of(disk) as records:
            for each in (client, another):
                detail = await detail_of(records, session_id(each))
                assert paid(detail) == Decimal(client_cost(each))
                assert len(detail.turns) == 2 * len([one for one in each.events if one["type"] == "avatar.usage"])


async def _nobody_is_let_in(server: Process) -> None:
    status, error = await server.refused("/v1/realtime?model=gpt-realtime", Authorization=f"Bearer {KEY}")
    assert (status, error["code"]) == (503, "records_unavailable")
    async with server.client() as other:
        error = (await other.until("error", PATIENCE_S))["error"]
        assert error["code"] == "records_unavailable"
        with pytest.raises(ConnectionClosed) as closed:
            await other.receive()
        assert closed.value.reason is not None
        assert closed.value.reason.code == 1013


async def test_with_a_full_disk_no_server_begins(data_dir: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "64m") as disk:
        # Without what a killed server left beside its database: the next one removes that, and there is room again.
        beside = shutil.ignore_patterns("*-wal", "*-shm")
        shutil.copytree(data_dir / KNOWLEDGE_FOLDER, disk / KNOWLEDGE_FOLDER, ignore=beside)
        fill(disk)
        text = await _why_not(disk)
    assert str(disk) in text


async def _why_not(data_dir: Path) -> str:
    """What a server says that cannot begin."""
    with trio.fail_after(PATIENCE_S):
        result = await trio.run_process(
            [sys.executable, "-m", "server.cli", "serve", "--port", "0", "--data-dir", str(data_dir)],
            cwd=str(Path(__file__).parents[1]),
            capture_stderr=True,
            check=False,
        )
    text = result.stderr.decode()
    assert result.returncode != 0
    assert "Traceback" not in text
    return text
