"""Plays a conversation at random: client, service, tools and clock act in any order, drawn as ``(what, which)`` pairs.

An honest service keeps its own rules, however late it is read. A hostile one repeats, drops, swaps and damages frames.
"""

import json
from collections import deque
from collections.abc import Callable, Sequence
from decimal import Decimal

from protocol.conversation.actions import BudgetReached
from protocol.conversation.service_watch import RESPONSE_DEADLINE
from protocol.conversation.succession import RECONNECT_DEADLINE
from tests.protocol.conversation.service import CLIENT_TOOL, SERVER_TOOL, Event, Shape
from tests.protocol.conversation.talk import SOURCE, Purse, Talk, ask, typed

SHAPES: tuple[Shape, ...] = (
    ("say",),
    ("look",),
    ("look", "look"),
    ("say", "look"),
    ("look", "say"),
    ("look", "ask"),
    ("ask",),
    ("say", "look", "ask"),
    ("write",),
    ("write", "look"),
    (),
    ("look",),
    ("say", "say", "look"),
)
# Few and short, so that what is lost, repeated or named wrongly is often something that matters.
_KEPT_FRAMES = 40
_SETTLING_TRIES = 10
# From one that has no short answer, over those for some of them, to one that never ends.
_BUDGETS = ("0.05", "0.09", "0.36", "100")

# More than any response of the model service costs.
ONE_RESPONSE_USD = Decimal("0.05")

Op = tuple[str, int]


class Play:
    """A conversation and everything that can happen to it."""

    def __init__(self, setting: int, shapes: Sequence[int]) -> None:
        self._shapes = deque(shapes)
        self.settling = False
        self.talk = Talk(
            avatar=bool(setting & 1),
            show_tools=bool(setting & 2),
            interrupts=not setting & 4,
            answers_speech=not setting & 8,
            next_shape=self._next_shape,
            opened=not setting & 16,
            purse=Purse(_BUDGETS[setting >> 6 & 3]) if setting & 32 else None,
        )
        self.opened = not setting & 16
        self.honest = True
        # What the client asked for: marks of its response.create, and the ids it gave them.
        self.asked: dict[str, str | None] = {}
        self._read: deque[bytes] = deque(maxlen=_KEPT_FRAMES)
        self.ops: dict[str, Callable[[int], object]] = {
            "asks": self._asks,
            "asks anonymously": lambda n: self._asks(n, named=False),
            "asks beside": lambda n: self._asks(n, conversation="none"),
            "asks with its tool": lambda n: self._asks(n, tools=[CLIENT_TOOL, SERVER_TOOL], tool_choice="required"),
            "asks about": lambda n: self._asks(n, input=[{"type": "item_reference", "id": self._item(n)}]),
            "types": lambda n: self.talk.client(
                typed(str(n), **({"previous_item_id": self._item(n)} if n > 5 else {}))
            ),
            "cancels": lambda n: self.talk.client({"type": "response.cancel"}),
            "cancels by id": self._cancels,
            "answers its call": self._answers_own_call,
            "forges a result": self._forges,
            "truncates": lambda n: self.talk.client(
                self._touch("truncate", n) | {"content_index": 0, "audio_end_ms": n}
            ),
            "deletes": lambda n: self.talk.client(self._touch("delete", n)),
            "retrieves": lambda n: self.talk.client(self._touch("retrieve", n)),
            "has a tool": lambda n: self._updates(tools=[CLIENT_TOOL, SERVER_TOOL][: 1 + n % 2]),
            "updates": lambda n: self._updates(tool_choice=("auto", "required", "none")[n % 3]),
            "speaks": lambda n: self.talk.client({"type": "input_audio_buffer.append", "audio": "AAAA" * (n + 1)}),
            "commits": lambda n: self.talk.client({"type": "input_audio_buffer.commit"}),
            "has heard": self._has_heard,
            "talks nonsense": self._talks_nonsense,
            "service reads": lambda n: self.talk.pump(n + 1),
            "service speaks": lambda n: self.talk.service.generate(1 + n * 2),
            "service hears": lambda n: self.talk.service.speech_starts(),
            "service answers": lambda n: self.talk.service.speech_stops(),
            "arrives": lambda n: self._arrives(1 + n * 3),
            "tool ends": self._tool_ends,
            "tool ends again": self._tool_ends_again,
            "time passes": self._time_passes,
            "deadline passes": self._deadline_passes,
            "opens": self._opens,
            "a connection is lost": lambda n: n > 7 and self.opened and self.talk.lose_upstream(),
            "settles": lambda n: self._settles(),
            "is paid": lambda n: self.talk.pay(),
        }
        self.hostilities: dict[str, Callable[[int], object]] = {
            "repeats": self._repeats,
            "drops": self._drops,
            "swaps": self._swaps,
            "damages": self._damages,
            "replaces": self._replaces,
            "upstream is lost": lambda n: n > 6 and self.talk.lose_upstream(),
            "ends": lambda n: n > 6 and self.talk.end(),
        }

    def _next_shape(self) -> Shape:
        if self.settling or not self._shapes:
            return ("say",)
        return SHAPES[self._shapes.popleft() % len(SHAPES)]

    def play(self, ops: Sequence[Op]) -> None:
        """Everything in turn."""
        for name, n in ops:
            if name in self.hostilities:
                self.honest = False
                self.hostilities[name](n)
            else:
                self.ops[name](n)

    # The client

    def _asks(self, n: int, *, named: bool = True, **params: object) -> None:
        mark = f"m{len(self.asked)}"
        self.asked[mark] = f"ask_{mark}" if named else None
        self.talk.client(ask(self.asked[mark], metadata={"mark": mark}, **params))

    def _item(self, n: int) -> str:
        """Any item, visible or not, or none at all."""
        items = self.talk.service.items
        return items[n % len(items)] if items else "item_none"

    def _touch(self, verb: str, n: int) -> Event:
        return {"type": f"conversation.item.{verb}", "item_id": self._item(n), "event_id": f"touch_{n}"}

    def _cancels(self, n: int) -> None:
        lives = self.talk.lives()
        self.talk.client({"type": "response.cancel", "response_id": lives[-1][0] if lives else "resp_none"})

    def _answers_own_call(self, n: int) -> None:
        for event in self.talk.got("response.output_item.done")[-1:]:
            if event["item"].get("name") == CLIENT_TOOL["name"]:
                self._outputs(event["item"]["call_id"])

    def _forges(self, n: int) -> None:
        calls = list(self.talk.service.calls)
        if calls and calls[n % len(calls)] in self.talk.oracle.call_of:
            self._outputs(calls[n % len(calls)])

    def _outputs(self, call_id: str) -> None:
        item = {"type": "function_call_output", "call_id": call_id, "output": "done"}
        self.talk.client({"type": "conversation.item.create", "item": item})

    def _updates(self, **session: object) -> None:
        self.talk.client({"type": "session.update", "session": {"type": "realtime", **session}})

    def _has_heard(self, n: int) -> None:
        spoken = list(self.talk.oracle.sent_ms)
        if spoken:
            self.talk.client({"type": "avatar.playback", "item_id": spoken[-1 - n % len(spoken)], "played_ms": n * 37})

    def _talks_nonsense(self, n: int) -> None:
        nonsense = (b"", b"{", b"[]", b'{"type":"x"}', b'{"type":"response.create","response":{"x":1e999}}', b"\xff")
        self.talk.client(nonsense[n % len(nonsense)], is_text=n < 6)

    # The service

    def _arrives(self, n: int) -> None:
        if self.opened:
            self._read.extend(list(self.talk.service.down)[:n])
            self.talk.deliver(n)

    def _opens(self, n: int) -> None:
        self.opened = True
        if self.talk.asked_for and not self.talk.connection:
            self.talk.open()

    def _repeats(self, n: int) -> None:
        if self._read:
            self.talk.service.down.insert(n % 3, self._read[n * 5 % len(self._read)])

    def _drops(self, n: int) -> None:
        down = self.talk.service.down
        if down:
            del down[n % len(down)]

    def _swaps(self, n: int) -> None:
        down = self.talk.service.down
        if len(down) > 1:
            here, there = n % (len(down) - 1), (n % (len(down) - 1)) + 1
            down[here], down[there] = down[there], down[here]

    def _damages(self, n: int) -> None:
        down = self.talk.service.down
        if down:
            frame = bytearray(down[n % len(down)])
            frame[len(frame) * n // 10] = b'\x00"{}1,:x['[n % 9]
            # Names stay, and stay where they are: nobody can hide what stands where no rule puts it.
            if _names(bytes(frame)) == _names(down[n % len(down)]) and frame[:45] == down[n % len(down)][:45]:
                down[n % len(down)] = bytes(frame)

    def _replaces(self, n: int) -> None:
        """An end or a beginning of some response, out of the blue."""
        kind, status = (("response.done", "completed"), ("response.created", "in_progress"))[n % 2]
        lives = self.talk.lives()
        response_id = lives[n % len(lives)][0] if lives and n > 4 else f"resp_strange_{len(self.talk.actions)}"
        call = {"type": "function_call", "name": SERVER_TOOL["name"], "id": f"item_{response_id}"}
        output = [call | {"call_id": f"call_{response_id}", "arguments": "{}"}] if n % 3 else []
        response: Event = {"id": response_id, "status": status, "output": output if kind == "response.done" else []}
        if n % 4:
            response["conversation_id"] = "conv_1"
        if n == 8:
            response["conversation_id"] = None
        self.talk.service.down.append(json.dumps({"type": kind, "event_id": "event_x", "response": response}).encode())

    # Tools and time

    def _tool_ends(self, n: int) -> None:
        running = list(self.talk.tools)
        if running:
            self.talk.result(running[n % len(running)], sources=[SOURCE])

    def _tool_ends_again(self, n: int) -> None:
        calls = [*self.talk.oracle.answered, "call_unknown"]
        self.talk.result(calls[n % len(calls)])

    def _time_passes(self, n: int) -> None:
        self.talk.now += n * n * 0.03

    def _deadline_passes(self, n: int) -> None:
        if n > 5 and RESPONSE_DEADLINE in self.talk.deadlines:
            self.talk.now = max(self.talk.now, self.talk.deadlines[RESPONSE_DEADLINE])
            self.talk.deadline(RESPONSE_DEADLINE)

    # The end

    def _settles(self) -> None:
        if self.opened:
            self.talk.settle()

    def settle(self) -> None:
        """The user falls silent, everything in flight arrives, every tool answers, until nothing moves."""
        self.settling = True
        self._opens(0)
        self.talk.service.speech_stops()
        self.talk.answer_tools()
        self.talk.pay()
        for _ in range(_SETTLING_TRIES):
            if self.talk.connection:
                break
            if RECONNECT_DEADLINE in self.talk.deadlines:
                self.talk.now = max(self.talk.now, self.talk.deadlines[RECONNECT_DEADLINE])
                self.talk.deadline(RECONNECT_DEADLINE)
            self._opens(0)
            self.talk.answer_tools()

    def check_settled(self) -> None:
        """What must have come of everything once all has settled, if the service kept its rules."""
        talk, oracle = self.talk, self.talk.oracle
        if talk.purse is not None:
            assert talk.machine.ledger.usd <= talk.purse.usd + ONE_RESPONSE_USD
        if oracle.closed:
            return
        assert all(stands == "ended" for stands in oracle.shown.values()), oracle.shown
        for call_id in oracle.run:
            assert oracle.answered[call_id] >= 1
            # Who sees the call may delete it, and then there is nothing to answer.
            if talk.service.calls.get(call_id) in talk.service.items:
                outputs = len(talk.service.outputs.get(call_id, []))
                # Who sees the result may delete that, too: then another connection is not told it.
                assert outputs == 1 or (outputs == 0 and talk.configuration.show_tools), f"{call_id} was not answered"
        beginnings = {(event["response"]["metadata"] or {}).get("mark") for event in talk.got("response.created")}
        errors = {error["event_id"] for error in talk.errors()} - {None}
        refusals = (
            "conversation_already_has_active_response",
            "response_cancelled",
            "response_timeout",
            "budget_spent",
        )
        nameless = sum(error["event_id"] is None and error["code"] in refusals for error in talk.errors())
        unanswered = [mark for mark, named in self.asked.items() if mark not in beginnings and named not in errors]
        anonymous = [mark for mark in unanswered if self.asked[mark] is None]
        assert not set(unanswered) - set(anonymous), f"neither an answer nor an error for {unanswered}"
        assert len(anonymous) <= nameless, f"neither an answer nor an error for {anonymous}"
        if any(isinstance(action, BudgetReached) and action.stage == "spent" for action in talk.actions):
            return  # what was still to be said cannot be paid
        for round_ in oracle.completed:
            excused = round_ in oracle.excused or talk.service.begun_by.get(round_) in oracle.dropped
            assert round_ in oracle.followed or excused or self._left_to_client(round_), f"nothing follows {round_}"

    def _left_to_client(self, response_id: str) -> bool:
        """The response called the client's tool too, or it was the last that may call any."""
        names = [
            event["item"].get("name")
            for event in self.talk.got("response.output_item.done")
            if event["response_id"] == response_id
        ]
        return CLIENT_TOOL["name"] in names


def _names(frame: bytes) -> list[tuple[bytes, bytes]]:
    """The names of items, responses and calls in a frame, each with the key before it."""
    parts = frame.split(b'"')
    return [
        (parts[index - 2], part)
        for index, part in enumerate(parts)
        if part.startswith((b"item_", b"resp_", b"call_")) and not part.endswith((b"_id", b"_index"))
    ]
