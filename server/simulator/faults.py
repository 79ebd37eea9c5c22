"""Scripted faults: which rule fires at which moment, and how often one did. Carries none of them out.

A script is TOML (``[[faults]]`` tables) or JSON (``{"faults": [...]}`` or a plain list) of rules::

    [[faults]]
    when = "response.output_audio.delta"  # "handshake", or the type of an event received or sent
    nth = 3                               # its third one in a connection (default 1; 0 is every one)
    connection = 2                        # in the service's second connection (default: in every connection)
    first = 2                             # or: in each of its first two connections
    every = 3                             # or: in its third connection, its sixth, and so on
    after_ms = 500                        # and half a second later (default 0)
    do = "drop"

``when`` defaults to "session.created". What can be done, and its own keys (``ACTIONS`` has which are required):

=====================  ===========================================================================================
delay (ms)             the event is held back; what follows waits behind it
stall (ms)             as delay, and nothing is read either, pings included; without ``ms`` for good
mute (ms)              the event and all after it are never sent, and all is read; without ``ms`` for good
drop / reset           the TCP connection ends with FIN / RST, without a close frame
close (code, reason)   a WebSocket close
http                   the handshake is refused with ``status``, and Retry-After if ``retry_after`` (s) is given; the
                       body is the service's own for that status, but for ``code`` and ``message``
error                  an error event with ``code``, ``message``, ``type``; the session goes on
malformed              a text frame that is no JSON
unknown                an event of a type that no protocol version has
duplicate              the event is sent twice
swap                   the event is sent after the next one
late                   the event is sent again after its response's response.done
no_response (times)    the next responses, asked for or due after speech, are never begun; 0 is always, default 1
server_error (times)   the next responses fail with ``code`` and ``message``; ``times`` 0 is always, default 1
content_filter (times) the next responses stop after their first words, incomplete
transcription_failed   the next ``times`` transcriptions fail
slow (factor)          thinking, text and audio take ``factor`` times as long as real speech would
expire                 the session reaches its maximum duration now
=====================  ===========================================================================================
"""

import random
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import structlog

from protocol.realtime.client_events import CLIENT_EVENT_TYPES
from protocol.realtime.server_events import SERVER_EVENTS

_log = structlog.get_logger("liveavatar.simulator")

HANDSHAKE = "handshake"
SESSION_CREATED = "session.created"
# Which keys an action has of its own, and which of them it cannot do without.
ACTIONS: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    name: (frozenset(optional) | frozenset(required), frozenset(required))
    for name, required, optional in (
        ("delay", ("ms",), ()),
        ("stall", (), ("ms",)),
        ("mute", (), ("ms",)),
        ("drop", (), ()),
        ("reset", (), ()),
        ("close", ("code",), ("reason",)),
        ("http", ("status",), ("retry_after", "code", "message")),
        ("error", ("code",), ("message", "type")),
        ("malformed", (), ()),
        ("unknown", (), ()),
        ("duplicate", (), ()),
        ("swap", (), ()),
        ("late", (), ()),
        ("no_response", (), ("times",)),
        ("server_error", (), ("times", "code", "message")),
        ("content_filter", (), ("times",)),
        ("transcription_failed", (), ("times",)),
        ("slow", ("factor",), ()),
        ("expire", (), ()),
    )
}
# What is done with the event itself, once it is sent.
_OF_AN_EVENT = frozenset({"duplicate", "swap", "late"})
# Events that name the response they belong to.
_OF_A_RESPONSE = frozenset(
    name for name, event in SERVER_EVENTS.items() if "response_id" in event.__struct_fields__ and "delta" in name
)
_AT_HANDSHAKE = frozenset({"delay", "stall", "drop", "reset", "http"})
HTTP_STATUSES = (401, 403, 404, 429, 500, 503)
# Which connections a rule is for: one of these, or all.
_WHICH_CONNECTIONS = ("connection", "first", "every")
_COMMON_KEYS = frozenset({"when", "nth", *_WHICH_CONNECTIONS, "after_ms", "do"})


class FaultScriptError(ValueError):
    """A fault script cannot be used; the message names the rule and the key."""


class FaultRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rule of a script; see the module for what its keys mean. Times in ms, ``retry_after`` in s."""

    do: str
    when: str = SESSION_CREATED
    nth: int = 1
    connection: int | None = None
    first: int | None = None
    every: int | None = None
    after_ms: int = 0
    ms: int | None = None
    code: int | str | None = None
    reason: str = ""
    status: int = 503
    retry_after: int | None = None
    message: str | None = None
    type: str = "server_error"
    times: int = 1
    factor: float = 1.0

    def concerns(self, connection: int) -> bool:
        """Whether the rule can fire in the service's connection of that number, counted from 1."""
        if self.first is not None:
            return connection <= self.first
        if self.every is not None:
            return connection % self.every == 0
        return self.connection in (None, connection)


def read_faults(path: Path) -> tuple[FaultRule, ...]:
    """The rules in a file, TOML or (``.json``) JSON.

    Raises:
        FaultScriptError: it cannot be read or has a rule that makes no sense.
    """
    try:
        raw = path.read_bytes()
        value = msgspec.json.decode(raw) if path.suffix == ".json" else tomllib.loads(raw.decode())
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise FaultScriptError(f"fault script {path}: {error}") from error
    rules = value.get("faults") if isinstance(value, dict) else value
    if not isinstance(rules, list) or (isinstance(value, dict) and len(value) != 1):
        raise FaultScriptError(f"fault script {path}: expected a list of tables named 'faults' and nothing else")
    return fault_rules(rules)


def fault_rules(values: Iterable[Any]) -> tuple[FaultRule, ...]:
    """Checked rules from decoded JSON or TOML.

    Raises:
        FaultScriptError: naming the rule (counted from 1) and the key.
    """
    return tuple(_rule(value, f"fault {index}") for index, value in enumerate(values, start=1))


def _rule(value: Any, where: str) -> FaultRule:
    if not isinstance(value, dict):
        raise FaultScriptError(f"{where}: expected a table")
    do = value.get("do")
    if do not in ACTIONS:
        raise FaultScriptError(f"{where}, key 'do': {do!r} is none of {', '.join(ACTIONS)}")
    allowed, required = ACTIONS[do]
    for key in value:
        if key not in allowed | _COMMON_KEYS:
            own = ", ".join(sorted(allowed)) or "no keys of its own"
            everywhere = ", ".join(("when", "nth", *_WHICH_CONNECTIONS, "after_ms"))
            raise FaultScriptError(f"{where}, key '{key}': '{do}' takes {own} (besides {everywhere})")
    for key in sorted(required - value.keys()):
        raise FaultScriptError(f"{where}, key '{key}': '{do}' needs it")
    try:
        rule = msgspec.convert(value, FaultRule)
    except msgspec.ValidationError as error:
        raise FaultScriptError(f"{where}: {error}") from error
    for key, bad, why in _contradictions(rule):
        if bad:
            raise FaultScriptError(f"{where}, key '{key}': {why}")
    return rule


def _contradictions(rule: FaultRule) -> Sequence[tuple[str, bool, str]]:
    at_handshake = rule.when == HANDSHAKE
    chosen = [name for name in _WHICH_CONNECTIONS if getattr(rule, name) is not None]
    known = at_handshake or rule.when in SERVER_EVENTS or rule.when in CLIENT_EVENT_TYPES
    return (
        ("when", not known, f"{rule.when!r} is neither 'handshake' nor the type of an event"),
        ("do", at_handshake and rule.do not in _AT_HANDSHAKE, f"'{rule.do}' cannot happen at the handshake"),
        ("do", not at_handshake and rule.do == "http", "'http' can only happen at the handshake"),
        ("do", rule.do in _OF_AN_EVENT and rule.when not in SERVER_EVENTS, f"'{rule.do}' needs an event that is sent"),
        ("when", rule.do == "late" and rule.when not in _OF_A_RESPONSE, "only a delta of a response can come late"),
        ("nth", rule.nth < 0, "must be 0 (every one) or more"),
        *((name, getattr(rule, name) < 1, "is counted from 1") for name in chosen),
        ("".join(chosen[:1]), len(chosen) > 1, f"cannot go with {' and '.join(chosen[1:])}"),
        ("after_ms", rule.after_ms < 0, "must not be negative"),
        ("after_ms", at_handshake and rule.after_ms > 0, "at the handshake use 'delay'"),
        ("after_ms", rule.do in _OF_AN_EVENT and rule.after_ms > 0, f"'{rule.do}' has a time of its own"),
        ("ms", rule.ms is not None and rule.ms < 0, "must not be negative"),
        ("status", rule.do == "http" and rule.status not in HTTP_STATUSES, f"must be one of {HTTP_STATUSES}"),
        ("code", rule.do == "close" and not _is_close_code(rule.code), "must be a close code: 1000-1014 or 3000-4999"),
        ("code", rule.do in ("error", "server_error", "http") and isinstance(rule.code, int), "must be a string"),
        ("reason", len(rule.reason.encode()) > 123, "must not be longer than 123 bytes"),
        ("times", rule.times < 0, "must be 0 (always) or more"),
        ("factor", rule.factor <= 0, "must be more than 0"),
    )


def _is_close_code(code: int | str | None) -> bool:
    return isinstance(code, int) and (code in (1000, 1001, 1002, 1003) or 1007 <= code <= 1014 or 3000 <= code <= 4999)


class FaultSchedule:
    """The rules of one service, with how often each action fired."""

    def __init__(self, rules: Sequence[FaultRule]) -> None:
        self._rules = tuple(rules)
        self.fired: Counter[str] = Counter()

    def for_connection(self, nth: int) -> "ConnectionFaults":
        """The rules that can fire in the service's ``nth`` connection, counted from 1."""
        return ConnectionFaults(self, [rule for rule in self._rules if rule.concerns(nth)], nth)


class ConnectionFaults:
    """The faults of one connection: counts its moments and tells what is due."""

    def __init__(self, schedule: FaultSchedule, rules: list[FaultRule], nth: int) -> None:
        self._schedule = schedule
        self._connection = nth
        self._seen: Counter[str] = Counter()
        self._by_moment: dict[str, list[FaultRule]] = {}
        for rule in rules:
            self._by_moment.setdefault(rule.when, []).append(rule)

    def due(self, moment: str) -> list[FaultRule]:
        """What is to be done now that ``moment`` (an event type, or the handshake) has come once more."""
        rules = self._by_moment.get(moment)
        if rules is None:
            return []
        self._seen[moment] += 1
        return [rule for rule in rules if rule.nth in (0, self._seen[moment])]

    def fired(self, rule: FaultRule) -> None:
        """Count and log a rule that is being carried out."""
        self._schedule.fired[rule.do] += 1
        _log.info("fault fired", do=rule.do, when=rule.when, nth=rule.nth, connection=self._connection)


# What a random schedule draws from: every kind of fault that a client must survive. Times stay short enough for tests.
_RANDOM_MOMENTS = (
    SESSION_CREATED,
    "session.updated",
    "conversation.item.added",
    "response.created",
    "response.output_audio.delta",
    "response.output_audio_transcript.delta",
    "response.function_call_arguments.done",
    "response.done",
    "response.create",
    "conversation.item.create",
)
_RANDOM_NTH_MAX = 5
_RANDOM_MS_MAX = 2_000


def random_faults(seed: int, count: int = 3, connections: int = 3) -> tuple[FaultRule, ...]:
    """``count`` rules, the same for the same seed, each for one of the first ``connections`` connections.

    Drawn from every action of the script but ``stall`` and ``mute`` for good, with delays of at most 2 s.
    """
    source = random.Random(seed)  # noqa: S311 - repeatable on purpose
    return fault_rules([_random_rule(source, connections) for _ in range(count)])


def _random_rule(source: random.Random, connections: int) -> dict[str, Any]:
    do = source.choice(sorted(ACTIONS))
    moments = list(_RANDOM_MOMENTS)
    if do in _OF_AN_EVENT:
        moments = [moment for moment in moments if moment in (_OF_A_RESPONSE if do == "late" else SERVER_EVENTS)]
    rule: dict[str, Any] = {
        "do": do,
        "when": HANDSHAKE if do == "http" else source.choice(moments),
        "connection": source.randint(1, connections),
    }
    if do != "http":
        rule["nth"] = source.randint(1, _RANDOM_NTH_MAX if rule["when"].endswith(".delta") else 2)
    own: dict[str, dict[str, Any]] = {
        "delay": {"ms": source.randint(1, _RANDOM_MS_MAX)},
        "stall": {"ms": source.randint(1, _RANDOM_MS_MAX)},
        "mute": {"ms": source.randint(1, _RANDOM_MS_MAX)},
        "close": {"code": source.choice((1000, 1001, 1011, 1012, 1013))},
        "http": {"status": source.choice(HTTP_STATUSES), "retry_after": source.randint(0, 2)},
        "error": {"code": source.choice(("rate_limit_exceeded", "inference_rate_limit_exceeded", "server_error"))},
        "server_error": {"times": source.randint(1, 2)},
        "no_response": {"times": source.randint(1, 2)},
        "slow": {"factor": float(source.randint(1, 3))},
    }
    return rule | own.get(do, {})
