"""Where a text that broke off goes on: what is said a second time is left out. Knows only the two texts."""

# Nobody repeats more than that, and every place in it is a comparison.
_LONGEST_OVERLAP_CHARS = 1000


class Seam:
    """Joins the rest of a text to its beginning.

    Who is asked to go on begins where it believes that it was last heard, which may be a little before the end of what
    is known here.

    Args:
        before: the text up to where it broke off.
    """

    def __init__(self, before: str) -> None:
        self._before = before.rstrip()
        # Behind the seam stands one space, whoever brings it.
        self._has_space = not before or before[-1].isspace()
        first = max(0, len(self._before) - _LONGEST_OVERLAP_CHARS)
        # Places where the rest may begin anew, longest overlap first.
        self._places = [at for at in range(first, len(self._before)) if self._is_word_start(at)]
        self._held = ""
        self._joined = False

    def _is_word_start(self, at: int) -> bool:
        return not self._before[at].isspace() and (at == 0 or self._before[at - 1].isspace())

    def add(self, piece: str) -> str:
        """A piece of the rest: returns what is new of all that has come, as far as that is certain."""
        self._held += piece
        if not self._joined:
            self._held = self._held.lstrip()
            self._places = [at for at in self._places if self._fits(at)]
            overlap = len(self._before) - self._places[0] if self._places else 0
            if not self._held or len(self._held) < overlap:
                return ""
            self._joined = True
            self._held = self._held[overlap:]
            if not overlap and not self._has_space:
                self._held = f" {self._held}"
        new = self._held.lstrip() if self._has_space else self._held
        self._has_space = self._has_space and not new
        self._held = ""
        return new

    def end(self) -> str:
        """Nothing more comes: returns what was held back in case it should be a repetition. It was none."""
        self._places = []
        return self.add("")

    def _fits(self, at: int) -> bool:
        length = min(len(self._held), len(self._before) - at)
        return self._held[:length] == self._before[at : at + length]
