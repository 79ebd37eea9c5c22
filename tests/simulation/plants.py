"""Faults to be planted in the server, one at a time: each is a line of it, and what stands there instead.

A simulation that does not notice them is no proof of anything. The list names lines by their text, so that one that is
rewritten is missed at once instead of being planted beside the point. Nothing here imports what it plants in.
"""

from typing import NamedTuple


class Plant(NamedTuple):
    """A fault: in ``module``, ``old`` (which stands there once) becomes ``new``."""

    name: str
    module: str
    old: str
    new: str


_ANSWERS = "protocol.conversation.answers"
_CALLS = "protocol.conversation.calls"
_HISTORY = "protocol.conversation.history"
_INTERRUPTION = "protocol.conversation.interruption"
_LEDGER = "protocol.conversation.ledger"
_BUDGET = "protocol.conversation.budget"
_BUDGETS = "server.cluster.in_process_budgets"
_COST = "protocol.prices.cost"
_RATES = "protocol.prices.rates"
_TERMS = "protocol.prices.terms"
_JOURNAL = "protocol.conversation.journal"
_CONNECTIONS = "protocol.conversation.connections"
_OUTLET = "protocol.conversation.outlet"
_PLAYBACK = "protocol.conversation.playback"
_PRESENCE = "protocol.conversation.presence"
_REPLAY = "protocol.conversation.replay"
_SERVICE = "protocol.conversation.service_side"
_SUCCESSION = "protocol.conversation.succession"
_SESSION = "server.session.session"
_RECORDER = "server.session.recorder"
_REGISTRY = "server.session.registry"
_AUTHENTICATOR = "server.security.authenticator"

PLANTS: tuple[Plant, ...] = (
    # Money
    Plant("a response is billed again when its end is repeated", _LEDGER,
          " or response_id in self._charged:", ":"),
    Plant("a transcription is billed again when it is repeated", _LEDGER,
          "if not item_id or key in self._charged:", "if not item_id:"),
    Plant("a cancelled response is not billed", _LEDGER,
          '        cost = cost_of(used, price, is_owed=status != "failed")\n',
          "        cost = cost_of(used, price)\n        if status == 'cancelled':\n            return True\n"),
    Plant("transcriptions are not billed", _CONNECTIONS,
          "if head.type in (RESPONSE_DONE, TRANSCRIBED) and", "if head.type == RESPONSE_DONE and"),
    Plant("a response is billed without its tokens", _LEDGER,
          "                usage=used.usage if used is not None else None,\n                cost=cost,\n",
          "                usage=None,\n                cost=cost,\n"),
    Plant("a response is priced as another connection's model", _LEDGER,
          "            self._served.move_to_end(connection)\n            return self._served[connection]\n",
          "            return next(iter(self._served.values()))\n"),
    Plant("what was cached costs as much as what was not", _COST,
          'bill.tokens(modality, "input", read[modality] - cached[modality])',
          'bill.tokens(modality, "input", read[modality])'),
    Plant("tokens of an unknown kind are the cheapest", _RATES,
          "return max(known, key=lambda one: one[1], default=None)",
          "return min(known, key=lambda one: one[1], default=None)"),
    Plant("a regional deployment costs what any does", _TERMS,
          "row.rates.raised(terms.uplift_percent) if row", "row.rates if row"),
    Plant("a model that nobody knows costs nothing", _TERMS,
          "        return self.dearest.tokens[modality, kind], False\n", "        return _NO_UPLIFT, False\n"),
    Plant("the session's cost leaves out what nobody saw", _LEDGER,
          "        self.usd += usd\n", "        self.usd += usd if charge.status == 'completed' else 0\n"),
    Plant("what a session set aside is kept when it ends", _SESSION,
          "                self._tab.close(self.ledger.usd)\n", "                pass\n"),
    Plant("what was set aside is not given back when it was spent", _BUDGETS,
          "            total.held -= self._held\n", "            pass\n"),
    Plant("an answer is asked for without money", _BUDGET,
          "        if self.stage is Stage.SPENT or not self._was_answered:\n            return False\n",
          "        if self.stage is not Stage.SPENT:\n            return True\n"),
    Plant("money that is spent is spent again", _BUDGETS,
          "            total.spent += cost\n", "            pass\n"),
    # Tools
    Plant("a tool's answer is lost", _CALLS, "        self._outlet.send_event(create)\n", "        pass\n"),
    Plant("a tool's answer is given twice", _CALLS,
          "        self._outlet.send_event(create)\n",
          "        self._outlet.send_event(create)\n"
          "        self._outlet.send_event({**create, 'item': {**create['item'], 'id': item_id + 'b'}})\n"),
    Plant("a call that is seen twice runs twice", _CALLS,
          "        if call_id in self._calls:\n            return False\n", ""),
    Plant("calls that nobody answers any more are not recorded", _ANSWERS,
          "        self._calls.lose_unanswered()\n", "        pass\n"),
    Plant("a tool's call is shown to the client", _CALLS,
          "return item.id in self._hidden or (self.is_one(item) and not self._configuration.show_tools)",
          "return False"),
    # Nurseries
    Plant("the tasks of a session outlive it", _SESSION,
          "            self._client.close(reason, message)\n"
          "        if self._tasks is not None:\n            self._tasks.cancel_scope.cancel()\n",
          "            self._client.close(reason, message)\n"),
    Plant("the service's connection is left open", _SESSION,
          "await connection.aclose()  # shields itself, within its own deadline", "pass"),
    Plant("a connection that was given up goes on", _SESSION,
          "                    scope.cancel()\n", "                    pass\n"),
    Plant("nobody stops waiting for a client that does not come back", _PRESENCE,
          "self._outlet.do(SetDeadline(RESUME_DEADLINE, self._outlet.now + self._limits.resume_s))", "pass"),
    # Connections to the service
    Plant("a lost connection is the end of the session", _CONNECTIONS,
          "elif not self._succession.was_confirmed or (lost.phase is Phase.CONNECTING and not retryable):",
          "elif True:"),
    Plant("a new connection is not told the conversation", _SUCCESSION,
          "            self._tell(connection)\n            self._anchor(connection)\n",
          "            self._anchor(connection)\n"),
    Plant("a new connection is not configured", _SUCCESSION,
          "        self._outlet.send_once(update, connection.number)\n", "        pass\n"),
    Plant("results of tools are missing in a new connection", _HISTORY,
          '        case "function_call_output":\n', '        case "function_call_output_":\n'),
    Plant("a new connection is told the conversation from its end", _HISTORY,
          "        for place, item_id in enumerate(self._order):\n            entry",
          "        for place, item_id in reversed(list(enumerate(self._order))):\n            entry"),
    Plant("our note to a new connection becomes part of the conversation", _SUCCESSION,
          "        connection.echoes.add(item_id)\n        connection.last_told = item_id\n",
          "        connection.last_told = item_id\n"),
    Plant("what was not answered is not asked again", _JOURNAL,
          "        sent = list(self._entries)\n", "        sent: list[Unsettled] = []\n"),
    Plant("what was answered is asked again", _JOURNAL,
          "                self._remove(entry)\n                return entry\n        return None\n\n"
          "    def speech_started",
          "                return entry\n        return None\n\n    def speech_started"),
    Plant("speech is not said again to a new connection", _JOURNAL,
          "        self._entries.append(entry)\n        self._audio_ms += entry.audio_ms\n",
          "        self._entries.append(entry)\n        self._audio_ms += entry.audio_ms\n"
          "        self._entries.pop()\n        self._audio_ms -= entry.audio_ms\n        return 0.0\n"),
    Plant("a successor takes over in the middle of an answer", _CONNECTIONS,
          "if self._answers.is_at_rest and journal.is_quiet and not self._service.awaits_transcript:", "if True:"),
    Plant("what a connection says that is over still counts", _SUCCESSION,
          "            if connection is not None and connection.number == number:\n",
          "            if connection is not None:\n"),
    Plant("a successor is not told what was said since", _SUCCESSION,
          "        self._tell(successor)\n", "        pass\n"),
    # Answers
    Plant("an answer that broke off is not ended for the client", _ANSWERS,
          '        if turn.open_to_client:\n            self._shown.end_turn(turn, "incomplete", None)\n'
          "        unwanted", "        unwanted"),
    Plant("late events of an ended answer are shown", _ANSWERS,
          "return response_id in self._shown.out_of_band\n\n    @property\n    def shown",
          "return True\n\n    @property\n    def shown"),
    # What was heard
    Plant("an interrupted answer counts as heard to its end", _PLAYBACK,
          "            return self.acknowledged_ms\n        return min(self.sent_ms",
          "            return self.sent_ms\n        return min(self.sent_ms"),
    Plant("more is believed to be heard than was sent", _PLAYBACK,
          "min(played_ms, item.sent_ms)", "played_ms"),
    Plant("an interruption cuts nothing off", _SERVICE, "            self._interruption.silence()\n", ""),
    Plant("the record keeps what nobody heard", _HISTORY,
          "        self._set_text(entry, heard)\n        entry.heard_ms = heard_ms\n",
          "        entry.heard_ms = heard_ms\n"),
    # Coming back
    Plant("whoever resumes needs no credential", _REGISTRY,
          'if not owner.is_minted and (principal is None or owner.kind != "open"):', "if False:"),
    Plant("nobody needs a credential", _AUTHENTICATOR,
          "return None if self.knows_credentials else LOCAL", "return PUBLIC"),
    Plant("any token resumes a session", _SESSION, "self._tokens.accepts(resume.token)", "True"),
    Plant("the older connection still has a say", _SESSION,
          "            older.close(reason, reason.text)\n        self._client_scope.cancel()\n", "            pass\n"),
    Plant("the replay begins one too late", _REPLAY,
          "missed = [sent for sent in self._control if sent.number > place]",
          "missed = [sent for sent in self._control if sent.number > place + 1]"),
    Plant("the replay is out of order", _REPLAY,
          "        return sorted(missed, key=lambda sent: sent.number)\n", "        return missed\n"),
    Plant("a hole in the ring goes unnoticed", _REPLAY,
          "        if place < self._lost_control or place < self._lost_audio:\n", "        if False:\n"),
    Plant("sound that was not heard is not replayed", _PRESENCE,
          "return sent.item_id is not None and self._playback.is_wanted(sent.item_id, sent.end_ms)", "return False"),
    Plant("what is said while nobody is there is not kept", _OUTLET,
          "            if self.replay is not None:\n                self.replay.add",
          "            if self.replay is not None and audio_ms:\n                self.replay.add"),
    # Endings
    Plant("something is asked for after the end", _OUTLET,
          "        self._actions.append(Close(reason, message))\n        self.closed = True\n",
          "        self._actions.append(Close(reason, message))\n"),
    Plant("a drain ends nobody", _REGISTRY,
          "            session.drain(reason, message, max(0.0, leave_at - trio.current_time()))\n",
          "            pass\n"),
    # Records
    Plant("a charge of nothing but sound is not kept", _RECORDER,
          '        if charge.kind == "response" and not self._model',
          '        if charge.kind == "transcription":\n            return\n'
          '        if charge.kind == "response" and not self._model'),
    Plant("what a session cost is kept in fewer decimals", _RECORDER,
          "usd.quantize(USD_QUANTUM, ROUND_UP)", 'usd.quantize(Decimal("1e-6"), ROUND_UP)'),
    Plant("the record is kept with the same end for every session", _SESSION,
          "                self.recorder.ended(self.ending, self._message)\n",
          "                self.recorder.ended(EndReason.COMPLETED, self._message)\n"),
)  # fmt: skip
