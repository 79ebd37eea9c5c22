"""What a simulator can be told at its start. Each field is one flag of ``liveavatar simulate``."""

from typing import Literal

import msgspec

from protocol.realtime.session import VOICES
from server.simulator.faults import FaultRule

# OpenAI gives an hour; Azure documents half of one. A session is always one service's; "both" only ever chooses.
SESSION_SECONDS = {"azure": 1800.0, "openai": 3600.0, "both": 3600.0}


class SimulatorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one service. The defaults are those of the embedded one.

    Attributes:
        host: address or name to listen on.
        port: 0 lets the system choose.
        service: whose paths and manners it has: "azure" answers a bad handshake with HTTP, "openai" with an error event
            and a close; "both" has each on its own path.
        api_key: lets clients in; without a key, tokens or a judge of tokens everyone is let in.
        tokens_file: a file of bearer tokens, one a line, that let clients in where Azure takes Entra's. It is read at
            every handshake.
        models: the models (deployments) that exist; empty means every name does.
        session_seconds: a session's maximum duration, s; None is the service's own, see ``SESSION_SECONDS``.
        pace: how many times faster than real time audio is sent; 0 is as fast as it is made.
        think_ms: how long a response takes before its first item, ms.
        voice: which of the protocol's voices a session has until it chooses one.
        engine: what speaks: "auto" is eSpeak NG where it is installed.
        faults: scripted faults, in order (see ``faults.read_faults`` and ``faults.random_faults``).
        seed: makes identifiers repeatable; None makes them random.
        max_connections: open connections; one more is refused with HTTP 429.
        quota: sessions that may be opened a minute; one more is refused with HTTP 429 and Retry-After. 0 is no limit.
        tls_cert, tls_key: PEM files of a certificate chain and its private key, for TLS; both or neither.
        context_tokens: what of a conversation a response can see, in tokens; with ``truncation: auto`` the oldest items
            beyond it are left out. The default is the input window of the 32k models.
        token_limit: tokens per minute that ``rate_limits.updated`` reports. Nothing is refused for it.
        ping_seconds: between keepalive pings; a pong is waited for as long. 0 sends none.
        send_seconds: a client that takes no byte for so long is cut off.
    """

    host: str = "127.0.0.1"
    port: int = 0
    service: Literal["azure", "openai", "both"] = "both"
    api_key: str = ""
    tokens_file: str = ""
    models: tuple[str, ...] = ()
    session_seconds: float | None = None
    pace: float = 0.0
    think_ms: int = 0
    voice: str = "alloy"
    engine: Literal["auto", "espeak", "synthetic"] = "auto"
    faults: tuple[FaultRule, ...] = ()
    seed: int | None = None
    max_connections: int = 1000
    quota: int = 0
    tls_cert: str = ""
    tls_key: str = ""
    context_tokens: int = 28_672
    token_limit: int = 40_000
    ping_seconds: float = 20.0
    send_seconds: float = 10.0

    def __post_init__(self) -> None:
        checks = (
            ("port", 0 <= self.port <= 65_535, "must be 0 to 65535"),
            ("session_seconds", self.session_seconds is None or self.session_seconds > 0, "must be more than 0"),
            ("pace", self.pace >= 0, "must not be negative"),
            ("think_ms", self.think_ms >= 0, "must not be negative"),
            ("voice", self.voice in VOICES, f"must be one of {', '.join(VOICES)}"),
            ("max_connections", self.max_connections > 0, "must be more than 0"),
            ("quota", self.quota >= 0, "must not be negative"),
            ("tls_key", bool(self.tls_cert) == bool(self.tls_key), "and 'tls_cert' are needed together"),
            ("context_tokens", self.context_tokens > 0, "must be more than 0"),
            ("token_limit", self.token_limit > 0, "must be more than 0"),
            ("ping_seconds", self.ping_seconds >= 0, "must not be negative"),
            ("send_seconds", self.send_seconds > 0, "must be more than 0"),
        )
        for name, ok, why in checks:
            if not ok:
                raise ValueError(f"simulator setting '{name}' {why}")

    @property
    def longest_seconds(self) -> float:
        """A session's maximum duration, s."""
        return self.session_seconds or SESSION_SECONDS[self.service]

    def __repr__(self) -> str:
        """Without the key."""
        shown = {name: getattr(self, name) for name in self.__struct_fields__ if name != "api_key"}
        return f"SimulatorSettings({', '.join(f'{name}={value!r}' for name, value in shown.items())}, api_key=...)"
