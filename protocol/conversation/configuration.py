"""The upstream session's configuration: ours, what the client may change of it, and what the client is shown.

Works on decoded JSON objects, not structs, so that fields this version does not know survive the passage.
"""

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from protocol.realtime.session import INCLUDE_VISEMES

# What a browser's credential, and open local access over /ws, may set: what its microphone and speaker need,
# and how it takes turns. Persona, tools and limits stay the operator's.
BROWSER_FIELDS: frozenset[str] = frozenset(
    {"type", "audio.input.format", "audio.output.format", "audio.output.voice", "audio.input.turn_detection"}
)


# What the services let a response write at most where a session names a number ("1..4096"); newer models write more
# for one that says "inf". A response that is paid from a budget has a bound, so it is named.
RESPONSE_MAX_TOKENS = 4096
# Parameters of a response that touch neither persona nor tools nor limits.
_RESPONSE_FIELDS: frozenset[str] = frozenset({"conversation", "metadata", "output_modalities"})


@dataclass(slots=True)
class Configuration:
    """The session configuration of one conversation.

    Attributes:
        base: our own GA session object, the server's tools excepted; sent first on every upstream connection.
        server_tools: definitions of the tools that run here, in the wire's form.
        settable: dotted paths that the client may set; None means everything but the server's tools.
        show_tools: the client asked to see server tools (``?extensions=tools``).
        guarded: what the person says is looked at before it is answered: the service transcribes it and answers nothing
            by itself, whatever the client sets; the client is shown what it set.
        budgeted: responses are paid from a budget: the service is told how long one may be at most; the client is shown
            what it set.
        paused: for want of money the service answers nothing by itself; the client is shown what it set.
        max_output_tokens: of a response of the effective session.
        output_bytes_per_ms, input_bytes_per_ms: bytes of a millisecond of audio, in the effective formats.
        interrupts: speech of the user interrupts the assistant in the effective session.
        takes_turns: the service ends the user's turns by itself (server or semantic VAD).
        answers_speech: and answers them without being asked.
        wants_answers: the client expects that they are answered without being asked for.
        transcribes: the user's speech is transcribed.
        instructions: the effective instructions.
        version: counts the client's changes.
        forces_tools: the effective ``tool_choice`` makes every response call a tool.
        own_tools_of_client: the client's tools in the effective session.
    """

    base: dict[str, Any]
    server_tools: list[dict[str, Any]]
    settable: frozenset[str] | None = None
    show_tools: bool = False
    guarded: bool = False
    budgeted: bool = False
    paused: bool = False
    max_output_tokens: int = RESPONSE_MAX_TOKENS
    output_bytes_per_ms: int = 48
    input_bytes_per_ms: int = 48
    interrupts: bool = True
    takes_turns: bool = True
    answers_speech: bool = True
    wants_answers: bool = True
    transcribes: bool = False
    instructions: str = ""
    version: int = 0
    forces_tools: bool = False
    own_tools_of_client: list[Any] = field(default_factory=list)
    _tool_names: frozenset[str] = field(init=False)
    # Ours, and on it what the client changed and the service confirmed, one update after the other; and what it has not
    # answered yet, each with its event id, which a client may use twice. None: an update of our own, which changes
    # nothing of this.
    _opening: dict[str, Any] = field(init=False)
    _unconfirmed: list[tuple[str, dict[str, Any] | None]] = field(default_factory=list)
    # The service's own name of the session, as the client first saw it.
    _session_id: str | None = None

    def __post_init__(self) -> None:
        self._tool_names = frozenset(str(tool["name"]) for tool in self.server_tools)
        self._opening = {**copy.deepcopy(self.base), "tools": self.merged_tools(self.base.get("tools", []))}

    def runs_here(self, tool_name: object) -> bool:
        """Whether a tool of this name is one of the server's."""
        return tool_name in self._tool_names

    def opening_session(self, transcription_model: str | None = None) -> dict[str, Any]:
        """The session object of the first ``session.update`` on a new connection, with what the client made of it.

        ``transcription_model`` stands in for ours where the service calls it otherwise, not for one the client chose.
        """
        session = copy.deepcopy(self._opening)
        ours, now = _transcription(self.base), _transcription(session)
        if transcription_model is not None and now.get("model") is not None and now["model"] == ours.get("model"):
            now["model"] = transcription_model
        if self.budgeted:
            session.setdefault("max_output_tokens", "inf")
            session = _bounded(session)
        return self._unanswering(session) if self._answers_nothing else session

    @property
    def _answers_nothing(self) -> bool:
        return self.guarded or self.paused

    def pause(self, paused: bool) -> None:
        """Whether the service answers nothing by itself from now on; connections must be told."""
        if self.paused != paused:
            self.paused = paused
            self.version += 1

    def answering(self, event_id: str) -> dict[str, Any] | None:
        """A session object that has a connection answer by itself, or not, as things stand now; None: there is nothing

        to be told. ``event_id`` is of the update that will carry it, which counts as asked for.
        """
        wanted = self._opening
        for _, update in self._unconfirmed:
            wanted = wanted if update is None else merged(wanted, update)
        detection = _input(wanted).get("turn_detection", {"type": "server_vad"})
        if self.guarded or not isinstance(detection, dict):
            return None
        detection = {"create_response": True, **detection}
        session = {"type": "realtime", "audio": {"input": {"turn_detection": detection}}}
        self._unconfirmed.append((event_id, None))
        return self._unanswering(session) if self.paused else session

    def asked(self, event_id: str, session: dict[str, Any]) -> None:
        """The service is asked for this update; whether it holds will be known by its answer."""
        self._unconfirmed.append((event_id, session))

    def confirmed(self) -> bool:
        """The service did what it was asked first. False if that was an update of our own."""
        if not self._unconfirmed:
            return True
        _, update = self._unconfirmed.pop(0)
        if update is None:
            return False
        self._opening = merged(self._opening, update)
        self.version += 1
        return True

    def refused(self, event_id: str | None) -> bool:
        """The service refused an update: wholesale, as it does. True if it was one of our own."""
        for position, (asked_by, update) in enumerate(self._unconfirmed):
            if asked_by == event_id:
                del self._unconfirmed[position]
                return update is None
        return False

    def connection_replaced(self) -> None:
        """Another connection is told everything from its beginning; clients' updates are sent to it again."""
        self._unconfirmed = [asked for asked in self._unconfirmed if asked[1] is not None]

    def admit_update(self, session: dict[str, Any]) -> dict[str, Any]:
        """The client's session object without what it may not set, and with the server's tools kept in its list.

        Nobody sets the model: the server chooses the deployment, and services refuse an update that names another.
        """
        admitted = session if self.settable is None else _only(session, self.settable)
        if "model" in admitted:
            admitted = {key: value for key, value in admitted.items() if key != "model"}
        if isinstance(admitted.get("tools"), list):
            admitted = {**admitted, "tools": self.merged_tools(admitted["tools"])}
        if self.guarded and "transcription" in _input(admitted):
            # Without words there is nothing to look at, and in the words of a model of its choice nothing to trust.
            source = {key: value for key, value in _input(admitted).items() if key != "transcription"}
            admitted = {**admitted, "audio": {**admitted["audio"], "input": source}}
        return admitted

    def told(self, session: dict[str, Any]) -> dict[str, Any]:
        """What the service is told of an update that was admitted."""
        if self.budgeted:
            session = _bounded(session)
            if isinstance(most := session.get("max_output_tokens"), int):
                # What is paid for is what may come, from now on.
                self.max_output_tokens = max(self.max_output_tokens, most)
        if not self._answers_nothing or not isinstance(_input(session).get("turn_detection"), dict):
            return session
        return self._unanswering(copy.deepcopy(session))

    def _unanswering(self, session: dict[str, Any]) -> dict[str, Any]:
        """Makes the service's turn detection answer nothing by itself; with push-to-talk it never does."""
        source = session.setdefault("audio", {}).setdefault("input", {})
        detection = source.setdefault("turn_detection", {"type": "server_vad"})
        if isinstance(detection, dict):
            detection["create_response"] = False
            if detection.get("idle_timeout_ms") is not None:
                # It has the service speak of itself.
                detection["idle_timeout_ms"] = None
        return session

    def admit_response(self, params: dict[str, Any]) -> dict[str, Any]:
        """The client's parameters of one response without what it may not set for the session either."""
        if self.settable is None:
            return params
        return _only(params, _RESPONSE_FIELDS | {path for path in self.settable if path.startswith("audio.output.")})

    @property
    def _client_wants_answers(self) -> bool:
        return _mapping(_input(self._opening).get("turn_detection")).get("create_response") is not False

    def merged_tools(self, client_tools: Iterable[Any]) -> list[Any]:
        """The server's tools and the client's; a client's tool with the name of one of ours is left out."""
        return [*self.server_tools, *self.client_tools(client_tools)]

    def client_tools(self, tools: Iterable[Any]) -> list[Any]:
        """The tools of a list that are not the server's."""
        return [tool for tool in tools if not (isinstance(tool, dict) and self.runs_here(tool.get("name")))]

    def learn(self, session: dict[str, Any]) -> None:
        """Takes from an effective session what the relay itself goes by: audio formats and interruption."""
        audio = _mapping(session.get("audio"))
        source, sink = _mapping(audio.get("input")), _mapping(audio.get("output"))
        self.input_bytes_per_ms = _bytes_per_ms(source.get("format"))
        self.output_bytes_per_ms = _bytes_per_ms(sink.get("format"))
        detection = source.get("turn_detection")
        self.interrupts = isinstance(detection, dict) and detection.get("interrupt_response") is not False
        self.takes_turns = isinstance(detection, dict)
        self.answers_speech = isinstance(detection, dict) and detection.get("create_response") is not False
        self.wants_answers = self.answers_speech
        if self.guarded or self.budgeted:
            self.wants_answers = self.takes_turns and self._client_wants_answers
        if self.guarded:
            self.answers_speech = False
        most = session.get("max_output_tokens")
        self.max_output_tokens = min(most, RESPONSE_MAX_TOKENS) if isinstance(most, int) else RESPONSE_MAX_TOKENS
        self.transcribes = isinstance(source.get("transcription"), dict)
        self.instructions = str(session.get("instructions") or "")
        self.forces_tools = session.get("tool_choice", "auto") not in ("auto", "none")
        tools = session.get("tools")
        self.own_tools_of_client = self.client_tools(tools) if isinstance(tools, list) else []

    def shown(self, session: dict[str, Any]) -> dict[str, Any]:
        """An effective session as the client may see it: one session, by whatever connections it is held."""
        if "id" in session:
            self._session_id = self._session_id or session["id"]
            session = {**session, "id": self._session_id}
        if session.get("include") == [INCLUDE_VISEMES]:
            # Asked for by us; what the client gets of it are events of our own.
            session = {**session, "include": None}
        if self.budgeted and self._opening.get("max_output_tokens", "inf") == "inf":
            session = {**session, "max_output_tokens": "inf"}
        own = self.guarded or self.budgeted
        if own and isinstance(detection := _input(session).get("turn_detection"), dict):
            source = {**_input(session), "turn_detection": {**detection, "create_response": self._client_wants_answers}}
            session = {**session, "audio": {**session["audio"], "input": source}}
        if self.show_tools or not isinstance(session.get("tools"), list):
            return session
        return {**session, "tools": self.client_tools(session["tools"])}


def _bounded(session: dict[str, Any]) -> dict[str, Any]:
    """The object with a number for the longest response, if it names none or a larger one than is paid for."""
    most = session.get("max_output_tokens")
    is_bounded = most != "inf" and not (isinstance(most, int) and most > RESPONSE_MAX_TOKENS)
    return session if is_bounded else {**session, "max_output_tokens": RESPONSE_MAX_TOKENS}


def _input(session: dict[str, Any]) -> dict[str, Any]:
    return _mapping(_mapping(session.get("audio")).get("input"))


def _only(value: dict[str, Any], paths: frozenset[str], prefix: str = "") -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, inner in value.items():
        if "." in key:
            # Else one key could pass for a path.
            continue
        path = prefix + key
        if path in paths:
            kept[key] = inner
        elif isinstance(inner, dict) and (below := _only(inner, paths, path + ".")):
            kept[key] = below
    return kept


def merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """``new`` over ``old`` as the service merges: key by key, but an object of another ``type`` replaces the old."""
    both = dict(old)
    for key, value in new.items():
        before = old.get(key)
        if isinstance(value, dict) and isinstance(before, dict) and _same_type(before, value):
            both[key] = merged(before, value)
        else:
            both[key] = value
    return both


def _same_type(old: dict[str, Any], new: dict[str, Any]) -> bool:
    return bool(new.get("type", old.get("type")) == old.get("type"))


def _transcription(session: dict[str, Any]) -> dict[str, Any]:
    return _mapping(_input(session).get("transcription"))


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _bytes_per_ms(audio_format: Any) -> int:
    """Reference: 48 bytes a millisecond for PCM16 at 24 kHz, 8 for G.711 at 8 kHz."""
    return 8 if _mapping(audio_format).get("type") in {"audio/pcmu", "audio/pcma"} else 48
