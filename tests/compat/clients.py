"""The table of third-party clients: what each is installed from, how it is run, what it must report. Runs nothing."""

from dataclasses import dataclass

PYTHON, NODE = "python", "node"

_TURNS = ("museum question", "audio turn", "push to talk", "tool call")
_OPENAI = (
    "connect", "configure", "text turn", *_TURNS, "cancelled answer", "barge in", "items", "refused event",
    "out of band", "close",
)  # fmt: skip
_AGENTS = ("connect", "museum question", "tool call", "audio turn", "barge in", "push to talk", "close", "dialect")
_PIPECAT = ("museum question", "tool call", "audio turn", "barge in", "push to talk", "close")
_VOICERAG = ("connect", "start", "spoken question", "barge in", "stop and start", "reconnect", "dialect")


@dataclass(frozen=True)
class Environment:
    """What is installed together, exact versions, apart from everything else."""

    name: str
    kind: str
    packages: tuple[str, ...]


@dataclass(frozen=True)
class Client:
    """One client against one server.

    Attributes:
        name: how it is called in reports, and chosen on the command line.
        run: the module, or the script, and its arguments.
        steps: what it must report, each of them as having held, in this order.
        tls: whether it insists on ``wss``.
        keyless: whether it has no way, or none that this server takes, to show a key; it then goes to a server
            without one.
        everyday: whether it is among the few that run with all other tests.
        remark: what a reader of the results should know.
    """

    name: str
    environment: Environment
    run: tuple[str, ...]
    steps: tuple[str, ...]
    tls: bool = False
    keyless: bool = False
    everyday: bool = False
    remark: str = ""


@dataclass(frozen=True)
class Absent:
    """A client that is not run, and why."""

    name: str
    why: str


_PYTHON_OPENAI = tuple(
    Environment(f"openai-python-{version}", PYTHON, (f"openai=={version}", f"websockets=={websockets}"))
    # The version of websockets is the one that the package's extra `realtime` would bring. The last is the newest
    # of both, which the extra does not allow.
    for version, websockets in (("1.58.1", "14.2"), ("1.109.1", "15.0.1"), ("2.54.0", "15.0.1"), ("3.54.0", "15.0.1"))
)
_PYTHON_NEWEST = Environment("openai-python-3.54.0-websockets-17", PYTHON, ("openai==3.54.0", "websockets==17.4"))
_PYTHON_AGENTS = Environment("openai-agents-python-0.24.0", PYTHON, ("openai-agents==0.24.0", "websockets==16.1.1"))
_PYTHON_LIVEKIT = Environment(
    "livekit-plugins-openai-1.8.9",
    PYTHON,
    ("livekit-plugins-openai==1.8.9", "livekit-agents==1.8.9", "livekit==1.1.21", "openai==3.54.0", "aiohttp==3.14.5"),
)
_PYTHON_PIPECAT = Environment(
    "pipecat-1.14.0", PYTHON, ("pipecat-ai[openai,websocket]==1.14.0", "openai==3.54.0", "websockets==17.4")
)
_JS_OPENAI = tuple(
    Environment(f"openai-js-{version}", NODE, (f"openai@{version}", "ws@8.23.0"))
    for version in ("4.104.0", "6.49.0", "7.57.0")
)
_JS_AGENTS = Environment("openai-agents-js-0.20.0", NODE, ("@openai/agents-realtime@0.20.0", "zod@4.6.7"))
_VOICERAG_PAGE = Environment(
    "voicerag-frontend",
    NODE,
    ("react@18.3.1", "react-dom@18.3.1", "react-test-renderer@18.3.1", "react-use-websocket@4.8.1"),
)


# Its types are narrower than what the service of its time sent, so events are not held against them.
_UNTYPED = "1.58.1"


def _openai_python(
    environment: Environment, kind: str, module: str, *, path: str = "", everyday: bool = False
) -> Client:
    version = environment.name.removeprefix("openai-python-")
    is_beta, is_azure = module.startswith("beta."), "Azure" in kind
    # From 2.x on the GA module keeps the scheme of its base URL; everything else makes wss of it.
    is_plain = not is_beta and not is_azure and not version.startswith("1.")
    return Client(
        name=f"openai-python {version} {kind} {module}{path and f' at {path}'}",
        environment=environment,
        run=("tests.compat.python.openai_client", kind, module, *([path] if path else [])),
        steps=(*_OPENAI, "wrong key", "dialect", *(() if version == _UNTYPED else ("typed events",))),
        tls=not is_plain,
        everyday=everyday,
    )


def _openai_js(environment: Environment, socket: str, module: str, service: str) -> Client:
    version = environment.name.removeprefix("openai-js-")
    # Before 7, the native socket puts Azure's key into the URL, where this server takes none.
    keyless = (
        service == "azure" and socket == "websocket" and (module.startswith("beta") or not version.startswith("7"))
    )
    kind = {"ws": "OpenAIRealtimeWS", "websocket": "OpenAIRealtimeWebSocket"}[socket]
    return Client(
        name=f"openai-js {version} {kind}{'.azure' if service == 'azure' else ''} {module}",
        environment=environment,
        run=("openai_client.mjs", socket, module, service),
        steps=(*_OPENAI, *(() if keyless else ("wrong key",)), "dialect"),
        tls=True,
        keyless=keyless,
        remark="its key travels in the URL: a server without a key" if keyless else "",
    )


_ANY = ("OpenAI", "AsyncOpenAI", "AzureOpenAI", "AsyncAzureOpenAI")

CLIENTS: tuple[Client, ...] = (
    _openai_python(_PYTHON_NEWEST, "OpenAI", "realtime", everyday=True),
    # How Azure's documentation wants its GA API to be used: the plain client, with this path.
    _openai_python(_PYTHON_NEWEST, "AsyncOpenAI", "realtime", path="/openai/v1", everyday=True),
    *(
        _openai_python(environment, kind, module)
        for environment in reversed(_PYTHON_OPENAI)
        for module in ("realtime", "beta.realtime")
        # The first version with a Realtime client has the beta only.
        if (environment.name, module) != ("openai-python-1.58.1", "realtime")
        for kind in _ANY
    ),
    Client(
        name="openai-agents-python 0.24.0 RealtimeSession",
        environment=_PYTHON_AGENTS,
        run=("tests.compat.python.agents_client",),
        steps=_AGENTS,
    ),
    *(
        Client(
            name=f"livekit-plugins-openai 1.8.9 RealtimeModel, {service}",
            environment=_PYTHON_LIVEKIT,
            run=("tests.compat.python.livekit_client", service),
            steps=_AGENTS,
        )
        for service in ("openai", "azure", "azure-preview")
    ),
    *(
        Client(
            name=f"pipecat 1.14.0 {kind}",
            environment=_PYTHON_PIPECAT,
            run=("tests.compat.python.pipecat_client", service),
            steps=_PIPECAT,
        )
        for kind, service in (("OpenAIRealtimeLLMService", "openai"), ("AzureRealtimeLLMService", "azure"))
    ),
    *(
        _openai_js(environment, socket, module, service)
        for environment in reversed(_JS_OPENAI)
        for module in ("realtime", "beta/realtime")
        if (environment.name, module) != ("openai-js-4.104.0", "realtime")
        for service in ("openai", "azure")
        for socket in ("ws", "websocket")
    ),
    Client(
        name="@openai/agents-realtime 0.20.0 RealtimeSession",
        environment=_JS_AGENTS,
        run=("agents_client.mjs",),
        steps=_AGENTS,
    ),
    Client(
        name="VoiceRAG front end (react-use-websocket 4.8.1)",
        environment=_VOICERAG_PAGE,
        run=("voicerag_client.mjs",),
        steps=_VOICERAG,
        keyless=True,
        remark="its page shows no key: a server without one",
    ),
)

ABSENT: tuple[Absent, ...] = ()
