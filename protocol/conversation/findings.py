"""What was found for the answer that comes next, and what the client is told of it. Searches nothing."""

from protocol.avatar.events import AvatarCitations
from protocol.conversation.actions import Evidence, ToolResult
from protocol.conversation.citations import by_support, tool_response
from protocol.conversation.history import History
from protocol.conversation.outlet import Outlet
from protocol.conversation.visibility import HiddenItems


class Findings:
    """The evidence of the tools since the last answer; the next message is what rests on it.

    Args:
        avatar_events: the client is told by ``avatar.citations``.
        voicerag_events: it is told by VoiceRAG's event.
    """

    __slots__ = ("_avatar_events", "_evidence", "_hidden", "_history", "_outlet", "_tool_name", "_voicerag_events")

    def __init__(
        self, outlet: Outlet, history: History, hidden: HiddenItems, *, avatar_events: bool, voicerag_events: bool
    ) -> None:
        self._outlet = outlet
        self._history = history
        self._hidden = hidden
        self._avatar_events = avatar_events
        self._voicerag_events = voicerag_events
        self._evidence: tuple[Evidence, ...] = ()
        self._tool_name = ""

    def add(self, tool_name: str, result: ToolResult) -> None:
        """A tool found something, perhaps something that was found before."""
        known = {found.source.id for found in self._evidence}
        self._evidence += tuple(found for found in result.evidence if found.source.id not in known)
        if result.evidence:
            self._tool_name = tool_name

    def forget(self) -> None:
        """Nothing will rest on it any more."""
        self._evidence = ()

    def cite(self, response_id: str, item_id: str, text: str) -> None:
        """Names what the answer rests on, when it is known what was answered: well before it was played."""
        evidence = self._evidence
        self.forget()
        if not evidence or not (self._avatar_events or self._voicerag_events):
            return
        sources = by_support(text, evidence)
        if self._avatar_events:
            self._outlet.announce(AvatarCitations(response_id=response_id, item_id=item_id, sources=sources))
        if self._voicerag_events:
            asked_in = self._history.before(item_id, self._hidden)
            self._outlet.announce(tool_response(sources, evidence, self._tool_name, asked_in))
