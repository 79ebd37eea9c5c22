"""The simple query syntax, with all its operators, so that a query which smuggles one in is seen to do so."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Mode = Literal["any", "all"]


@dataclass(frozen=True)
class Term:
    text: str
    is_phrase: bool = False
    is_prefix: bool = False


@dataclass(frozen=True)
class Not:
    inner: "Node"


@dataclass(frozen=True)
class Group:
    """All of the nodes, or any of them."""

    nodes: tuple["Node", ...]
    needs_all: bool


Node = Term | Not | Group
Holds = Callable[[Term], bool]

_MARKS = '+|"()-'


def parse(text: str, mode: Mode) -> Group:
    """The query as a tree. Like the service it takes whatever is written, also operators without operands."""
    return _Parser(text, mode).group()


def matches(node: Node, holds: Holds) -> bool:
    if isinstance(node, Term):
        return holds(node)
    if isinstance(node, Not):
        return not matches(node.inner, holds)
    found = [matches(inner, holds) for inner in node.nodes]
    return bool(found) and (all(found) if node.needs_all else any(found))


def wanted(node: Node) -> list[Term]:
    """The terms that count for the score."""
    if isinstance(node, Term):
        return [node]
    if isinstance(node, Not):
        return []
    return [term for inner in node.nodes for term in wanted(inner)]


class _Parser:
    def __init__(self, text: str, mode: Mode) -> None:
        self._text = text
        self._at = 0
        self._mode = mode

    def group(self, *, nested: bool = False) -> Group:
        """Terms up to the end, or to the closing parenthesis. ``+`` binds two neighbours, a space as the mode says."""
        any_of: list[Node] = []
        operator = ""
        while self._at < len(self._text):
            char = self._text[self._at]
            if nested and char == ")":
                self._at += 1
                break
            if char.isspace() or char in "|+)":
                operator = char if char in "|+" else operator
                self._at += 1
                continue
            node = self._node()
            if node is None:
                continue
            joined = operator == "+" or (operator == "" and self._mode == "all")
            if joined and any_of:
                any_of[-1] = Group((any_of[-1], node), needs_all=True)
            else:
                any_of.append(node)
            operator = ""
        return Group(tuple(any_of), needs_all=False)

    def _node(self) -> Node | None:
        char = self._text[self._at]
        if char == "-" and (self._at == 0 or self._text[self._at - 1].isspace() or self._text[self._at - 1] in "(|+"):
            self._at += 1
            if self._at == len(self._text) or self._text[self._at].isspace():
                return None
            inner = self._node()
            return None if inner is None else Not(inner)
        if char == "(":
            self._at += 1
            return self.group(nested=True)
        if char == '"':
            end = self._text.find('"', self._at + 1)
            end = len(self._text) if end < 0 else end
            phrase = self._text[self._at + 1 : end]
            self._at = end + 1
            return Term(phrase, is_phrase=True)
        return self._word()

    def _word(self) -> Node | None:
        word = ""
        escaped_end = False
        while self._at < len(self._text):
            char = self._text[self._at]
            if char == "\\" and self._at + 1 < len(self._text):
                word += self._text[self._at + 1]
                self._at += 2
                escaped_end = True
                continue
            if char.isspace() or (char in _MARKS and not (char == "-" and word)):
                break
            word += char
            escaped_end = False
            self._at += 1
        if word.endswith("*") and not escaped_end:
            return Term(word[:-1], is_prefix=True)
        if not word:
            self._at += 1
            return None
        return Term(word)
