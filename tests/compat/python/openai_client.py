"""One client of the openai package against a server: ``python -m tests.compat.python.openai_client``.

Its arguments are the class (OpenAI, AsyncOpenAI, AzureOpenAI, AsyncAzureOpenAI), the module (realtime or
beta.realtime), and for the first two the path of the base URL (/v1). The server is where COMPAT_URL says (``https``
for those that cannot speak plainly), its key in COMPAT_KEY.
"""

import asyncio
import os
import sys
from typing import Any

import openai  # type: ignore[import-not-found]
from pydantic import TypeAdapter, ValidationError  # type: ignore[import-not-found]

from tests.compat.python.answers import check_dialect
from tests.compat.python.dialects import BETA, GA, WEATHER, Dialect, Json
from tests.compat.python.reporting import expect, report, step
from tests.compat.python.steps import STEPS
from tests.compat.python.talk import Talk, settle

MODEL = "gpt-realtime"
API_VERSION = "2024-10-01-preview"
NORMAL = 1000
# Its types know neither items in progress nor contents of sound, which the service of its time sent as well.
UNTYPED = "1.58.1"


class Client:
    """The package's client as its user would make it, and the dialect that its module speaks."""

    def __init__(self, kind: str, module: str, path: str = "/v1") -> None:
        self.kind = kind
        self.path = path
        self.module = module
        self.dialect: Dialect = BETA if module.startswith("beta.") else GA
        # Azure's dated path begins in beta whatever the client speaks; what it sends first decides.
        self.greeting = BETA if "Azure" in kind else self.dialect

    def realtime(self, key: str) -> Any:
        """The Realtime module of a client."""
        url = os.environ["COMPAT_URL"]
        if "Azure" in self.kind:
            arguments = {"azure_endpoint": url, "api_version": API_VERSION}
        else:
            arguments = {"base_url": f"{url}{self.path}"}
        found = getattr(openai, self.kind)(api_key=key, max_retries=0, **arguments)
        for name in self.module.split("."):
            found = getattr(found, name)
        return found

    async def connect(self) -> Talk:
        """A connection whose session has begun."""
        connection = await settle(self.realtime(os.environ["COMPAT_KEY"]).connect(model=MODEL).enter())
        talk = Talk(connection, self.dialect)
        first = await talk.receive()
        expect(first["type"] == "session.created", "not session.created first", first)
        session: Json = first["session"]
        expect(session["object"] == "realtime.session" and session["id"], "not a session", session)
        expect(session["model"] and session["tools"] == [], "no model, or tools that are not the client's", session)
        expect(("type" in session) == (self.greeting is GA), "in the wrong shape", session)
        self.greeting.settings(session)
        return talk


async def play(client: Client) -> None:
    """All steps; one that fails ends its connection, and the next goes on with another."""
    events: list[Json] = []
    talk: Talk | None = None
    try:
        with step("connect") as facts:
            talk = await client.connect()
            facts["session"] = talk.events[0]["session"]["id"]
    except Exception:  # noqa: BLE001 - reported by the step; nothing can follow
        sys.exit(1)
    for name, play_step in STEPS.items():
        try:
            with step(name) as facts:
                if talk is None:
                    talk = await client.connect()
                    await talk.update(tools=[WEATHER])
                facts.update(await play_step(talk))
        except Exception:  # noqa: BLE001 - reported by the step; whatever went wrong, the others are tried
            if talk is not None:
                events += talk.events
                await settle(talk.connection.close())
            talk = None
    if talk is None:
        talk = await client.connect()
    with step("close") as facts:
        facts["code"] = await talk.close()
        expect(facts["code"] == NORMAL, "not closed normally", facts["code"])
    events += talk.events
    await _wrong_key(client)
    with step("dialect") as facts:
        facts["events"] = len(events)
        later = [event for event in events if event["type"] != "conversation.created"]
        check_dialect(events if client.greeting is client.dialect else later, client.dialect)
    if openai.__version__ != UNTYPED:
        _typed(client, events)


async def _wrong_key(client: Client) -> None:
    with step("wrong key") as facts:
        try:
            connection = await settle(client.realtime("not-the-key-of-the-server").connect(model=MODEL).enter())
        except Exception as error:  # noqa: BLE001 - of the version of websockets that the package brings
            facts["raised"] = f"{type(error).__name__}: {error}"
            expect("401" in str(error), "not refused for its key", facts["raised"])
        else:
            await settle(connection.close())
            expect(False, "let in with a wrong key")


def _typed(client: Client, events: list[Json]) -> None:
    """Each event as the package's own types have it, every required field there."""
    if client.module.startswith("beta."):
        from openai.types.beta.realtime import RealtimeServerEvent  # type: ignore[import-not-found]
    else:
        from openai.types.realtime import RealtimeServerEvent  # type: ignore[import-not-found]
    adapter: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)
    wrong: dict[str, str] = {}
    for event in events[0 if client.greeting is client.dialect else 1 :]:
        try:
            adapter.validate_python(event)
        except ValidationError as error:
            if faults := _faults(error.errors()):
                wrong.setdefault(event["type"], "; ".join(faults[:4]))
    report("typed events", ok=not wrong, kinds=len({event["type"] for event in events}), why=wrong or None)


def _faults(errors: list[Any]) -> list[str]:
    """What is wrong with an event, by the class of its type; those of other types complain of it too."""
    others = {error["loc"][0] for error in errors if error["loc"][1:] == ("type",)}
    return [
        f"{'.'.join(str(part) for part in error['loc'])}: {error['msg']}"
        for error in errors
        # A model or a voice that came after the package is no fault of the wire.
        if error["loc"][0] not in others and error["loc"][-1] not in ("model", "voice")
    ]


if __name__ == "__main__":
    asyncio.run(play(Client(*sys.argv[1:])))
