"""The events of each reference turn are those of the service, field for field, but for what is listed here."""

import difflib
import fnmatch
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import trio
from trio_websocket import open_websocket_url

from server.simulator.service import serve
from server.simulator.settings import SimulatorSettings
from tests.compat.reference_turns import TURNS, Difference, differences, normal, ordered, play, unordered
from tests.running import HOST, Process, quiet, serving_process
from tests.simulator.driver import Client, Json

pytestmark = pytest.mark.slow

SHOWN_CHARS = 300


@dataclass(frozen=True)
class Documented:
    """Fields that may differ, by patterns of the event's type and the field's path, and why."""

    event: str
    path: str
    why: str


_TOOL = "the server's own tool and the like are part of the input"
DOCUMENTED = (
    Documented("session.created", "session.instructions", "a session begins as the knowledge base's profile sets it"),
    Documented(
        "session.created", "session.audio.output.voice", "the same; both are as the client sets them from then on"
    ),
    Documented("response.done", "response.usage.input_token*", _TOOL),
    Documented("response.done", "response.usage.total_tokens", _TOOL),
    Documented("rate_limits.updated", "rate_limits.0.remaining", _TOOL),
    Documented("rate_limits.updated", "rate_limits.0.reset_seconds", _TOOL),
)


async def _hear(_pcm: bytes) -> str:
    return "Hello!"


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[Client]:
    async with open_websocket_url(url, message_queue_size=10_000, max_message_size=2**24) as websocket:
        yield Client(websocket)


async def _logs(*urls: str) -> list[dict[str, list[Json]]]:
    """For each address a log of every turn, all of them played at the same time."""
    logs: list[dict[str, list[Json]]] = [{} for _ in urls]

    async def record(place: int, turn: str) -> None:
        async with _connected(urls[place]) as client:
            logs[place][turn] = await play(client, turn)

    async with trio.open_nursery() as nursery:
        for turn in TURNS:
            for place in range(len(urls)):
                nursery.start_soon(record, place, turn)
    return logs


@asynccontextmanager
async def _served(data_dir: Path) -> AsyncIterator[tuple[int, Process]]:
    """The port of a service at half the pace of speech, and a server in front of it."""
    key = secrets.token_urlsafe(24)
    with quiet():
        async with trio.open_nursery() as nursery:
            # eSpeak NG never says the same words twice in the same way; this voice does.
            settings = SimulatorSettings(pace=0.5, engine="synthetic")
            simulator = await nursery.start(partial(serve, settings, recogniser=_hear))
            port = simulator.addresses[0][1]
            service = {
                "AZURE_OPENAI_ENDPOINT": f"http://{HOST}:{port}",
                "AZURE_OPENAI_API_KEY": key,
                "AZURE_OPENAI_DEPLOYMENT": "gpt-realtime",
            }
            async with serving_process(data_dir, **service) as server:
                yield port, server
            nursery.cancel_scope.cancel()


async def test_the_events_of_every_turn_are_those_of_the_service(data_dir: Path) -> None:
    async with _served(data_dir) as (port, server):
        direct, through = await _logs(
            f"ws://{HOST}:{port}/openai/v1/realtime?model=gpt-realtime",
            f"ws://{HOST}:{server.port}/v1/realtime?model=gpt-realtime",
        )
    wrong: list[str] = []
    used: set[Documented] = set()
    for turn in TURNS:
        for part in (ordered, unordered):
            left, right = part(direct[turn]), part(through[turn])
            kinds, others = ([event["type"] for event in log] for log in (left, right))
            if kinds != others:
                wrong += [
                    f"{turn}: {line}" for line in difflib.unified_diff(kinds, others, "direct", "through", lineterm="")
                ]
                continue
            for difference in differences(normal(left), normal(right)):
                reasons = [entry for entry in DOCUMENTED if _covers(entry, difference)]
                used.update(reasons)
                if not reasons:
                    wrong.append(f"{turn}: {difference}"[:SHOWN_CHARS])
    assert not wrong, "\n".join(wrong)
    assert used == set(DOCUMENTED), "what is documented as different is the same"


def _covers(entry: Documented, difference: Difference) -> bool:
    return fnmatch.fnmatch(difference.event, entry.event) and fnmatch.fnmatch(difference.path, entry.path)
