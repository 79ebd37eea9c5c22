"""How long a conversation waits for what, and how much it keeps. Numbers only; the machine's watches go by them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Seconds and bytes of one conversation. 0 switches a watch off where that is said.

    Attributes:
        response_s: from the end of speech, or a request, to the beginning of the response.
        stall_s: of silence within a response, after which the service is taken to be stuck.
        failures: responses in a row that may fail with a server error before the connection is replaced.
        reconnect_s: for finding another connection when one is lost; then the session ends.
        rollover_s: before a connection's own end at which its successor is opened.
        connection_s: that a connection may be used at most, whatever the service allows; 0: no such bound.
        tool_s: for a tool's result, after which the model is told that none came.
        idle_prompt_s: without a word of the person before it is asked whether it is still there; 0: never.
        idle_end_s: after that question, before a goodbye.
        goodbye_s: for a last sentence before the session ends.
        duration_s: of the whole session; 0: no such bound.
        resume_s: that a session waits for a client that was lost; 0: it ends with its connection.
        replay_control_bytes, replay_audio_bytes: what is kept of what was sent, for a client that comes back.
    """

    response_s: float = 10.0
    stall_s: float = 30.0
    failures: int = 3
    reconnect_s: float = 30.0
    rollover_s: float = 120.0
    connection_s: float = 0.0
    tool_s: float = 15.0
    idle_prompt_s: float = 0.0
    idle_end_s: float = 60.0
    goodbye_s: float = 15.0
    duration_s: float = 0.0
    resume_s: float = 0.0
    replay_control_bytes: int = 1024 * 1024
    replay_audio_bytes: int = 4 * 1024 * 1024
