"""Mouth positions for phones: IPA symbols to the 22 viseme ids of Azure Speech. Does not animate anything.

The correspondence is that of Azure's documentation, "Map phonemes to visemes" and its table for US English.
"""

from collections.abc import Iterable

from msgspec import Struct

from server.simulator.voice.speech import Phone

SILENCE = 0

# Longest symbols first where one begins another: "t" + "ʃ" is one sound, and so are the diphthongs.
_BY_VISEME: dict[int, str] = {
    1: "æ ə ʌ ɐ a œ ø ɘ ɜ̃ ɚ ɞ ɵ ɑ̃ œ̃",
    2: "ɑ ɒ",
    3: "ɔ ɔ̃",
    4: "ɛ ʊ e eɪ ɛ̃ e̞ ɤ",
    5: "ɝ ɜ",
    6: "j i ɪ y ʏ ᵻ ɨ ɥ ç ʝ ʎ ʲ ỹ ĩ",
    7: "w u ʉ ɯ ʍ ũ ʷ",
    8: "o oʊ əʊ õ",
    9: "aʊ ɑʊ",
    10: "ɔɪ ɔø ɔʏ",
    11: "aɪ ɑɪ",
    12: "h ɦ ħ ʔ ʕ",
    13: "ɹ r ɾ ʁ ʀ ɻ ɽ",
    14: "l ɫ ɭ ɬ ɮ ʟ",
    15: "s z ts dz",
    16: "ʃ ʒ tʃ dʒ ʂ ʐ ɕ ʑ tɕ dʑ",
    17: "ð",
    18: "f v ɱ ʋ pf",
    19: "d t n θ ɖ ʈ ɳ",
    20: "k ɡ g ŋ x ɣ ɲ c ɟ q ɢ χ ɴ",
    21: "p b m β ɸ",
}
_VISEME = {symbol: viseme for viseme, symbols in _BY_VISEME.items() for symbol in symbols.split()}
_LONGEST = max(map(len, _VISEME))
# Where a symbol is unknown the mouth is half open, as for a schwa.
_UNKNOWN = 1


class Viseme(Struct, frozen=True, array_like=True):
    """A mouth position from `offset_ms` on, until the next one."""

    offset_ms: float
    viseme_id: int


def viseme_ids(symbol: str) -> tuple[int, ...]:
    """The positions of one phone in order: "ɑːɹ" has two, "" (a pause) is silence, length and stress count nothing."""
    plain = "".join(char for char in symbol if char not in "ˈˌː.ʰ̩̯ʼ_| -")
    if not plain:
        return (SILENCE,)
    found: list[int] = []
    at = 0
    while at < len(plain):
        for size in range(min(_LONGEST, len(plain) - at), 0, -1):
            viseme = _VISEME.get(plain[at : at + size])
            if viseme is not None:
                found.append(viseme)
                at += size
                break
        else:
            at += 1
    return tuple(found) or (_UNKNOWN,)


def visemes(phones: Iterable[Phone], *, end_ms: float) -> tuple[Viseme, ...]:
    """The mouth's way through `phones`, repeated positions left out, closed at `end_ms`.

    A phone with several positions shares its time evenly among them.
    """
    timed = list(phones)
    path: list[Viseme] = []
    for index, phone in enumerate(timed):
        until_ms = timed[index + 1].offset_ms if index + 1 < len(timed) else end_ms
        ids = viseme_ids(phone.symbol)
        share_ms = max(0.0, until_ms - phone.offset_ms) / len(ids)
        for place, viseme in enumerate(ids):
            if not path or path[-1].viseme_id != viseme:
                path.append(Viseme(round(phone.offset_ms + place * share_ms, 1), viseme))
    if path and path[-1].viseme_id != SILENCE:
        path.append(Viseme(round(max(end_ms, path[-1].offset_ms), 1), SILENCE))
    return tuple(path)
