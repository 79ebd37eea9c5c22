"""What the next responses of a conversation can cost at most, and its goodbye. It sets nothing aside."""

from decimal import Decimal

from protocol.conversation.configuration import RESPONSE_MAX_TOKENS, Configuration
from protocol.conversation.ledger import Ledger
from protocol.conversation.outlet import Outlet
from protocol.prices.rates import Modality
from protocol.prices.worst_case import dearest_response, dearest_transcription

# The longest short answer: its sound takes a token for 50 ms (the services' figure), so this is fifteen seconds of it,
# and a quarter more for its words.
SHORT_MAX_TOKENS = 400
# A sentence of five seconds.
GOODBYE_MAX_TOKENS = 150
# Of the person's last words, in a goodbye; one takes four bytes at most, and so many tokens.
WORDS_MAX_CHARS = 200
_CHAR_MAX_BYTES = 4
# What the person may say, and be answered to, before more is set aside: a minute of speech, and what a search finds.
# In tokens of sound and of text.
_AHEAD = (1200, 4096)
_AHEAD_SHORT = (400, 2048)
# The services' figures: a token for 100 ms of the person's sound, here twice that. Speech has three words a second.
_MS_PER_TOKEN = 50
_SOUND_TOKENS_PER_S = 10
_TEXT_TOKENS_PER_S = 6


class NextPrice:
    """Prices what has not begun, at the dearest of the connections that it may come by.

    Attributes:
        connections: their numbers.
        longest: tokens of the longest response that a request has named.
    """

    __slots__ = ("_basis", "_configuration", "_known", "_ledger", "_outlet", "connections", "longest")

    def __init__(self, outlet: Outlet, configuration: Configuration, ledger: Ledger) -> None:
        self._outlet = outlet
        self._configuration = configuration
        self._ledger = ledger
        self.connections: tuple[int, ...] = ()
        self.longest = 0
        # What is asked for at every step, and changes with few.
        self._basis: object = None
        self._known: dict[tuple[int, Decimal, bool], Decimal | None] = {}

    def of(self, responses: int, *, part_ahead: Decimal, is_short: bool) -> Decimal | None:
        """US dollars of so many responses at once, and the goodbye; None: nobody knows yet what serves.

        Args:
            part_ahead: of what may be said before they begin, so much is priced with them: 1 is all of it.
            is_short: their answers are.
        """
        size, configuration = self._outlet.size, self._configuration
        basis = (
            size.state if size is not None else None,
            [self._ledger.quotes(connection) for connection in self.connections],
            (self.longest, configuration.max_output_tokens, configuration.transcribes),
        )
        if basis != self._basis:
            self._basis = basis
            self._known.clear()
        which = responses, part_ahead, is_short
        if which not in self._known:
            one = self._of_one(part_ahead, is_short=is_short)
            self._known[which] = None if one is None else one * responses + self.goodbye
        return self._known[which]

    def _of_one(self, part_ahead: Decimal, *, is_short: bool) -> Decimal | None:
        size = self._outlet.size
        if size is None:
            return None
        written = max(min(self._configuration.max_output_tokens, RESPONSE_MAX_TOKENS), self.longest)
        ahead = _AHEAD
        if is_short:
            written, ahead = min(written, SHORT_MAX_TOKENS), _AHEAD_SHORT
        bound, besides = size.bound()
        sound, text = int(ahead[0] * part_ahead), int(ahead[1] * part_ahead)
        read: dict[Modality, int] = {**bound, "audio": bound["audio"] + sound, "text": bound["text"] + text}
        seconds = Decimal(int(size.audio_ms) + sound * _MS_PER_TOKEN + 1) / 1000
        dearest = None
        for connection in self.connections:
            quotes = self._ledger.quotes(connection)
            if quotes is None:
                continue
            usd = dearest_response(quotes[0], read=read, read_besides=besides, written=written)
            if self._configuration.transcribes:
                usd += dearest_transcription(
                    quotes[1],
                    seconds=seconds,
                    tokens_read=int(seconds * _SOUND_TOKENS_PER_S) + 1,
                    tokens_written=int(seconds * _TEXT_TOKENS_PER_S) + 1,
                )
            dearest = usd if dearest is None else max(dearest, usd)
        return dearest

    @property
    def goodbye(self) -> Decimal:
        """US dollars of a goodbye: it reads the instructions and the tools, and the person's last words."""
        size = self._outlet.size
        read: dict[Modality, int] = {"text": (size.configured if size else 0) + _CHAR_MAX_BYTES * WORDS_MAX_CHARS}
        prices = [quotes for one in self.connections if (quotes := self._ledger.quotes(one)) is not None]
        return max(
            (dearest_response(one[0], read=read, read_besides=0, written=GOODBYE_MAX_TOKENS) for one in prices),
            default=Decimal(0),
        )
