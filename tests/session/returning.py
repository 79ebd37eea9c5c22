"""An avatar that is cut off again and again and comes back each time: what it has in the end, and how it came by it."""

from dataclasses import dataclass, field
from random import Random

import trio

from server.transport.errors import TransportError
from tests.session.cut_wire import Cut, CutWire, draw_cut
from tests.session.house import Caller, House
from tests.session.service import Json, sound

__all__ = ["Avatar", "Log"]

# How long it tries to get a connection.
DIAL_S = 8.0
# It comes back this long after it was lost, at the latest: the session waits 120 s.
LONGEST_GAP_S = 110.0
# What may break within one connection: about an answer or two of sound, some questions.
MOST_RECEIVED_BYTES = 120_000
MOST_SENT_BYTES = 4000
PLAYBACK_S = 0.25


@dataclass
class Log:
    """The events of one stretch without a hole. ``greeting``: the event that began it, with its snapshot."""

    greeting: Json
    events: list[Json] = field(default_factory=list)


class Avatar:
    """A client on /ws. ``logs`` has one entry more than it was told that what it missed is gone."""

    def __init__(self, home: House, wires: list[CutWire], random: Random, cuts: int) -> None:
        self.logs: list[Log] = []
        self.cut_by: list[Cut] = []
        self.refused: list[int | None] = []
        self.calls = 0
        self._home = home
        self._wires = wires
        self._random = random
        self._cuts_left = cuts
        self._drawn: Cut | None = None
        self._lost_at: float | None = None
        self._broke_at = 0.0
        self._token: Json = {}
        self._last_event_id: str | None = None
        self._open: list[Caller] = []

    @property
    def last_event_id(self) -> str | None:
        """Of the event that it received last, whichever it was."""
        return self._last_event_id

    def next_cut(self) -> Cut | None:
        """Where the connection that is opened now will break."""
        return self._drawn

    async def live(self) -> None:
        """Cut off as often as it shall be; returns when it has a connection that will not break."""
        while True:
            self._drawn = None
            first = self._lost_at is None
            # No attempt that takes long when the session waits no longer.
            if not first and self._cuts_left > 0 and self._time_left() > 2 * DIAL_S:
                self._drawn = draw_cut(self._random, most_received=MOST_RECEIVED_BYTES, most_sent=MOST_SENT_BYTES)
            caller = await self._dial()
            wire = self._wires[-1]
            if caller is not None:
                if first:
                    await caller.until("session.created")
                    drawn = draw_cut(self._random, most_received=MOST_RECEIVED_BYTES, most_sent=MOST_SENT_BYTES)
                    passed = wire.received_bytes if drawn.way == "received" else wire.sent_bytes
                    wire.cut = Cut(drawn.way, drawn.after_bytes + passed, drawn.how)
                if wire.cut is None and self._cuts_left <= 0:
                    self._open.append(caller)
                    return
                await self._use(caller, wire)
                self._take(caller)
            if self._lost_at is None:
                self._lost_at = trio.current_time()
            if wire.struck.is_set() and wire.cut is not None:
                self._cuts_left -= 1
                self.cut_by.append(wire.cut)
            if self.refused:
                return
            await self._stay_away()

    def _time_left(self) -> float:
        return LONGEST_GAP_S - (trio.current_time() - (self._lost_at or 0.0))

    async def _stay_away(self) -> None:
        random = self._random
        gap_s = random.choice((0.0, random.uniform(0, 1), random.uniform(0, 20), random.uniform(0, LONGEST_GAP_S)))
        await trio.sleep(max(0.0, min(gap_s, self._time_left())))

    async def _dial(self) -> Caller | None:
        init: Json = {"type": "session.init", "kb_id": "museum"}
        if self._token:
            init["resume"] = {**self._token, "last_event_id": self._last_event_id}
        self.calls += 1
        with trio.move_on_after(DIAL_S):
            try:
                return await self._home.caller(init)
            except TransportError:
                return None
        return None

    async def _use(self, caller: Caller, wire: CutWire) -> None:
        """Talks until the connection is gone, or seems so."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._talk, caller)
            nursery.start_soon(self._play, caller)
            nursery.start_soon(self._patience, caller, wire, nursery.cancel_scope)
            await caller.gone.wait()
            nursery.cancel_scope.cancel()
        caller.leave(4000)  # not 1000: it means to come back

    async def _patience(self, caller: Caller, wire: CutWire, scope: trio.CancelScope) -> None:
        if wire.cut is None:
            # It was to be the last but for the cuts that are left: it is cut off now.
            await trio.sleep(self._random.uniform(0, 30))
            wire.cut = Cut("received", 1, "reset")
            wire.strike()
        await wire.struck.wait()
        self._broke_at = trio.current_time()
        if wire.cut.how in ("stall", "deaf"):
            longest_s = 60 if caller.of("avatar.session") else DIAL_S
            await trio.sleep(self._random.choice((0.0, 1.0, self._random.uniform(0, longest_s))))
            scope.cancel()

    async def _talk(self, caller: Caller) -> None:
        while True:
            await trio.sleep(self._random.uniform(0.1, 5))
            if not caller.events:
                # Whoever speaks says that it knows the newest token; so it does not before it was greeted.
                continue
            if self._random.random() < 0.5:
                caller.ask("When do you open?")
            else:
                caller.send("input_audio_buffer.append", audio=sound(20))

    async def _play(self, caller: Caller) -> None:
        """Plays what comes and says how far it got; sound of an item before it is over when the next is played."""
        played: dict[str, float] = {}
        seen = 0
        waiting: dict[str, float] = {}
        while True:
            await trio.sleep(PLAYBACK_S)
            while seen < len(caller.events):
                event = caller.events[seen][1]
                seen += 1
                if event["type"] == "response.output_audio.delta":
                    ms = len(event["delta"]) * 3 / 4 / 48
                    waiting[event["item_id"]] = waiting.get(event["item_id"], 0.0) + ms
                elif event["type"] == "input_audio_buffer.speech_started":
                    waiting.clear()
            room_ms = PLAYBACK_S * 1000
            for item_id in list(waiting):
                ms = min(room_ms, waiting[item_id])
                waiting[item_id] -= ms
                room_ms -= ms
                played[item_id] = played.get(item_id, self._played_before(item_id)) + ms
                caller.send("avatar.playback", item_id=item_id, content_index=0, played_ms=played[item_id])
                if waiting[item_id] <= 0:
                    del waiting[item_id]
                if room_ms <= 0:
                    break

    def _played_before(self, item_id: str) -> float:
        """What earlier connections brought of an item: it has been played, or is given up, by now."""
        events = self.logs[-1].events if self.logs else []
        return sum(
            len(event["delta"]) * 3 / 4 / 48
            for event in events
            if event["type"] == "response.output_audio.delta" and event["item_id"] == item_id
        )

    def _take(self, caller: Caller) -> None:
        """What a connection brought is joined to what there was."""
        for _, event in caller.events:
            if event["type"] == "avatar.session":
                self._token = {"session_id": event["session_id"], "token": event["resume_token"]}
                self._lost_at = self._broke_at
                if not self.logs or event.get("recovered") is False:
                    self.logs.append(Log(event))
                if len(self.logs) == 1 and not self.logs[0].events:
                    self.logs[0].events.append(event)
            elif not self.logs or event.get("error", {}).get("code") == "resume_refused":
                self.refused.append(caller.lost.code if caller.lost else None)
                return
            else:
                self.logs[-1].events.append(event)
            self._last_event_id = event["event_id"]

    def hang_up(self) -> None:
        """Takes in what the last connection brought, too."""
        for caller in self._open:
            self._take(caller)
        self._open.clear()

    @property
    def present(self) -> Caller:
        """The connection that does not break."""
        return self._open[-1]
