"""What a running server says that a conversation cost, against the meters of the services that served it."""

from decimal import Decimal
from pathlib import Path

import pytest
import trio

from protocol.realtime.usage import Usage
from server.simulator.service import Simulator
from server.simulator.settings import SimulatorSettings
from tests.running import PATIENCE_S, Process, serving_process
from tests.simulator.driver import Client, Json, simulator

pytestmark = pytest.mark.slow

KEY = "azure-key-0123456789abcdef"
QUESTION = "Who founded the museum?"
SERVICE = SimulatorSettings(service="azure", api_key=KEY)
# US dollars per million tokens: text and audio read, the same cached, text and audio written.
REALTIME = ("4", "32", "0.40", "0.40", "16", "64")
MINI = ("0.60", "10", "0.06", "0.30", "2.40", "20")


def worth(usage: Usage, prices: tuple[str, ...], factor: str = "1") -> Decimal:
    """What a meter's usage costs, by an arithmetic of its own."""
    read, written = usage.input_token_details, usage.output_token_details
    cached = read.cached_tokens_details
    assert cached
    text, audio, cached_text, cached_audio, out_text, out_audio = map(Decimal, prices)
    return (
        (
            (read.text_tokens - cached.text_tokens) * text
            + (read.audio_tokens - cached.audio_tokens) * audio
            + cached.text_tokens * cached_text
            + cached.audio_tokens * cached_audio
            + written.text_tokens * out_text
            + written.audio_tokens * out_audio
        )
        * Decimal(factor)
        / 1_000_000
    )


async def ask(client: Client, question: str = QUESTION) -> Json:
    """Asks, and gives the ``avatar.usage`` of the answer."""
    await client.type(question)
    await client.send("response.create")
    return await client.until("avatar.usage", PATIENCE_S)


async def ended_sessions(server: Process, count: int = 1) -> list[Json]:
    """The last lines of so many sessions."""
    with trio.fail_after(PATIENCE_S):
        while True:
            ended = [line for line in server.log if line["event"] == "session ended"]
            if len(ended) >= count:
                return ended
            await trio.sleep(0.02)


async def service_until(
    over: trio.Event, *, task_status: trio.TaskStatus[Simulator] = trio.TASK_STATUS_IGNORED
) -> None:
    """A service that dies when somebody says so."""
    async with simulator(SERVICE) as running:
        task_status.started(running)
        await over.wait()


async def test_the_embedded_simulator_is_priced_and_free(data_dir: Path) -> None:
    async with serving_process(data_dir) as server:
        async with server.opened() as client:
            told = await ask(client)
            assert (told["cost_usd"], told["session_cost_usd"]) == ("0", "0")
            assert told["total_tokens"] > 0
        (ended,) = await ended_sessions(server)
        assert (ended["cost_usd"], ended["cost_by_deployment"]) == ("0", {"embedded": "0"})
        assert ended["responses"] == 2
        assert [line for line in server.log if line["event"] == "price in doubt"] == []


async def test_a_session_that_changes_its_deployment_is_priced_by_each_for_what_it_did(
    data_dir: Path, tmp_path: Path
) -> None:
    over = trio.Event()
    async with simulator(SERVICE) as second, trio.open_nursery() as nursery:
        first = await nursery.start(service_until, over)
        rows = (
            f'[[deployment]]\nname = "sweden"\nendpoint = "http://127.0.0.1:{first.addresses[0][1]}"\n'
            'deployment = "avatar-prod"\napi_key_variable = "BOTH_KEY"\nmodel = "gpt-realtime"\nuplift_percent = 10\n'
            f'[[deployment]]\nname = "spare"\nendpoint = "http://127.0.0.1:{second.addresses[0][1]}"\n'
            'deployment = "avatar-spare"\napi_key_variable = "BOTH_KEY"\nmodel = "gpt-realtime-mini"\npriority = 2\n'
        )
        (tmp_path / "deployments.toml").write_text(rows)
        environment = {"LIVEAVATAR_DEPLOYMENTS": str(tmp_path / "deployments.toml"), "BOTH_KEY": KEY}
        async with serving_process(data_dir, **environment) as server:
            async with server.opened() as client:
                told = [await ask(client), await ask(client, "When is it open?")]
                in_sweden = worth(first.meter.usage, REALTIME, "1.1")
                assert [Decimal(event["session_cost_usd"]) for event in told] == [
                    Decimal(told[0]["cost_usd"]),
                    Decimal(told[0]["cost_usd"]) + Decimal(told[1]["cost_usd"]),
                ]
                assert Decimal(told[1]["session_cost_usd"]) == in_sweden > 0
                over.set()
                third = await ask(client)
                at_spare = worth(second.meter.usage, MINI)
                assert Decimal(third["cost_usd"]) == at_spare > 0
                assert Decimal(third["session_cost_usd"]) == in_sweden + at_spare
            (ended,) = await ended_sessions(server)
            costs = {name: Decimal(usd) for name, usd in ended["cost_by_deployment"].items()}
            assert costs == {"sweden": in_sweden, "spare": at_spare}
            assert Decimal(ended["cost_usd"]) == in_sweden + at_spare
            assert [line for line in server.log if line["event"] == "price in doubt"] == []


async def test_a_model_that_nobody_knows_is_an_alarm_and_dear(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text(
        '[[price]]\nmodels = ["gpt-realtime"]\nunit = "1M tokens"\naudio = { output = 999 }\n'
    )
    async with simulator(SERVICE) as running:
        environment = {
            "AZURE_OPENAI_ENDPOINT": f"http://127.0.0.1:{running.addresses[0][1]}",
            "AZURE_OPENAI_API_KEY": KEY,
            "AZURE_OPENAI_DEPLOYMENT": "avatar-prod",
            "LIVEAVATAR_PRICES": str(tmp_path / "prices.toml"),
        }
        async with serving_process(data_dir, **environment) as server:
            for _ in range(2):
                async with server.opened() as client:
                    await ask(client)
            dearest = ("5", "100", "2.50", "20", "24", "999")
            costs = [Decimal(line["cost_usd"]) for line in await ended_sessions(server, 2)]
            assert sum(costs) == worth(running.meter.usage, dearest)
            # Said once, not once a session.
            (alarm,) = [line for line in server.log if line["event"] == "price in doubt"]
            assert (alarm["level"], alarm["doubt"], alarm["model"]) == ("warning", "unknown_model", "avatar-prod")
            status, _, body = await server.get("/health")
            assert status == 200
            assert b'"unknown_models":["avatar-prod"]' in body.replace(b" ", b"")
