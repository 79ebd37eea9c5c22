"""The rules that a person's words are looked at by: one a line in a file. What follows from a rule is not decided here.

A line is a phrase, or a pattern between slashes, with a name before it if it shall have one::

    # Nobody is told the operator's secrets.
    secrets = the password
    jailbreak = /ignore (all |the )?(previous|prior) (instructions|rules)/
    /\\bcredit card (no|number)/

Blank lines and lines that begin with ``#`` are skipped. A phrase is found as words of their own, whatever their case;
see ``linear_patterns`` for what patterns may hold.
"""

import re
from pathlib import Path
from typing import Final

from server.security.linear_patterns import BadPattern, Patterns

# More rules, or longer ones, are a list that wants a service of its own: the hook is for those.
RULES_MAX: Final = 500
RULE_MAX_CHARS: Final = 500
FILE_MAX_BYTES: Final = 256 * 1024
_NAMED: Final = re.compile(r"([A-Za-z][A-Za-z0-9_-]{0,39})\s*=\s*(.*)")


class BadRules(Exception):
    """A file of rules cannot be used; the text names the line and what is wrong with it."""


class TranscriptRules:
    """Rules by their names."""

    def __init__(self, patterns: Patterns, names: list[str]) -> None:
        self._patterns = patterns
        self._names = names

    def __len__(self) -> int:
        return len(self._names)

    async def broken_by(self, text: str) -> str | None:
        """The name of the rule that ``text`` breaks, if it breaks one. In time linear in its length; a checkpoint."""
        found = await self._patterns.find(text)
        return None if found is None else self._names[found]


def read_rules(file: Path) -> TranscriptRules:
    """The rules of a file.

    Raises:
        BadRules: it cannot be read, or a line of it cannot.
    """
    try:
        data = file.read_bytes()
        if len(data) > FILE_MAX_BYTES:
            raise BadRules(f"{file}: has more than {FILE_MAX_BYTES // 1024} KiB")
        lines = data.decode("utf-8-sig").splitlines()
    except OSError as error:
        raise BadRules(f"{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadRules(f"{file}: is not UTF-8") from None
    patterns, names = Patterns(), list[str]()
    for number, line in enumerate(lines, start=1):
        rule = line.strip()
        if not rule or rule.startswith("#"):
            continue
        try:
            names.append(_add(rule, patterns) or f"line {number}")
        except BadPattern as error:
            raise BadRules(f"{file}, line {number}: {error}") from None
        if len(names) > RULES_MAX:
            raise BadRules(f"{file}: has more than {RULES_MAX} rules")
    if not names:
        raise BadRules(f"{file}: holds no rule")
    return TranscriptRules(patterns, names)


def _add(rule: str, patterns: Patterns) -> str:
    if len(rule) > RULE_MAX_CHARS:
        raise BadPattern(f"it has more than {RULE_MAX_CHARS} characters")
    name = ""
    if named := _NAMED.fullmatch(rule):
        name, rule = named[1], named[2].strip()
    if len(rule) > 1 and rule.startswith("/") and rule.endswith("/"):
        patterns.add(rule[1:-1])
    else:
        patterns.add_phrase(rule)
    return name
