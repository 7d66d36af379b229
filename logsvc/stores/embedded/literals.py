r"""What a line must hold to match an RE2 pattern: literals, drawn from the pattern.

`retry=[0-9]+ .*qp=0x[0-9a-f]{8} (failed|timeout)` needs "retry=", "qp=0x", and one of " failed" and
" timeout". Reads the part of RE2's syntax that it is sure of; for anything else it requires nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_STRINGS = 16  # of one alternation

Clause = frozenset[str]  # a line that matches holds at least one of these

_ESCAPES = {"a": "\a", "f": "\f", "t": "\t", "n": "\n", "r": "\r", "v": "\v"}
_ZERO_WIDTH = "AzbB"
_CLASSES = "dDsSwW"
_REPEAT = re.compile(r"\{([0-9]+)(,[0-9]*)?\}")
_GROUP = re.compile(r"\(\?(?::|P?<[A-Za-z_0-9]+>)")
_HEX = re.compile(r"x(?:([0-9A-Fa-f]{2})|\{([0-9A-Fa-f]{1,6})\})")
_PROPERTY = re.compile(r"[pP](?:[A-Z]|\{\^?[A-Za-z_]+\})")
_SET = re.compile(r"\[\^?\]?(?:\[:\^?[a-z]+:\]|\\.|[^\]\\])*\]", re.DOTALL)


@dataclass(frozen=True)
class Needs:
    """
    What a pattern requires.

    Attributes:
        clauses: each must hold in a matching line.
        ignore_case: the literals are to be taken without case.
        by_line: `^` and `$` are all that looks at a line's ends, so that the pattern may be run over
            many lines at once, in multi-line mode.
    """

    clauses: list[Clause]
    ignore_case: bool
    by_line: bool


class _Unsure(Exception):
    """The pattern has something that this module does not read."""


def needs_of(pattern: str, ignore_case: bool) -> Needs:
    """What a line must hold to match `pattern`, which RE2 has accepted."""
    if pattern.startswith("(?i)"):
        return needs_of(pattern[4:], True)
    by_line = not re.search(r"\\[AzC]|\(\?[^:P<]", pattern)
    parser = _Parser(pattern)
    try:
        node = parser.alternation()
        if parser.at != len(pattern):
            raise _Unsure
    except _Unsure:
        return Needs([], ignore_case, by_line)
    clauses = node.clauses + ([node.exact] if node.exact is not None else [])
    return Needs([clause for clause in clauses if all(clause)], ignore_case, by_line)


@dataclass
class _Node:
    """A part of a pattern: all strings it can be (None: too many to tell), and what it requires beside."""

    exact: Clause | None
    clauses: list[Clause]


_ANYTHING = _Node(None, [])


class _Parser:
    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0

    def alternation(self) -> _Node:
        branches = [self._sequence()]
        while self._peek() == "|":
            self.at += 1
            branches.append(self._sequence())
        if len(branches) == 1:
            return branches[0]
        exacts = [branch.exact for branch in branches]
        if all(exact is not None for exact in exacts):
            union = frozenset[str]().union(*(exact for exact in exacts if exact is not None))
            if len(union) <= MAX_STRINGS:
                return _Node(union, [])
        best = [_best(branch) for branch in branches]
        if all(best):
            union = frozenset[str]().union(*(clause for clause in best if clause))
            if len(union) <= MAX_STRINGS:
                return _Node(None, [union])
        return _ANYTHING

    def _sequence(self) -> _Node:
        clauses: list[Clause] = []
        run: Clause = frozenset([""])  # what the last items, taken together, can be
        whole = True
        while (char := self._peek()) and char not in "|)":
            item = self._repeated(self._item())
            clauses += item.clauses
            joined = (
                frozenset(left + right for left in run for right in item.exact)
                if item.exact is not None and len(run) * len(item.exact) <= MAX_STRINGS
                else None
            )
            if joined is not None:
                run = joined
                continue
            whole = False
            clauses.append(run)
            run = item.exact if item.exact is not None else frozenset([""])
        return _Node(run, clauses) if whole else _Node(None, [*clauses, run])

    def _repeated(self, item: _Node) -> _Node:
        char = self._peek()
        least = None
        if char in ("*", "?"):
            least, self.at = 0, self.at + 1
        elif char == "+":
            least, self.at = 1, self.at + 1
        elif char == "{" and (repeat := _REPEAT.match(self.pattern, self.at)):
            least, self.at = int(repeat[1]), repeat.end()
        if least is None:
            return item
        if self._peek() == "?":  # lazy
            self.at += 1
        if self._peek() in ("*", "+", "?") or _REPEAT.match(self.pattern, self.at):
            raise _Unsure
        if not least:
            return _ANYTHING
        return _Node(None, item.clauses + ([item.exact] if item.exact is not None else []))

    def _item(self) -> _Node:
        char = self.pattern[self.at]
        if char == "(":
            return self._group()
        if char == "[":
            found = _SET.match(self.pattern, self.at)
            if not found:
                raise _Unsure
            self.at = found.end()
            return _ANYTHING
        if char == "\\":
            return self._escape()
        self.at += 1
        if char == ".":
            return _ANYTHING
        if char in "^$":
            return _Node(frozenset([""]), [])
        if char in "*+?":
            raise _Unsure
        return _Node(frozenset([char]), [])

    def _group(self) -> _Node:
        if self.pattern.startswith("(?", self.at):
            head = _GROUP.match(self.pattern, self.at)
            if not head:
                raise _Unsure
            self.at = head.end()
        else:
            self.at += 1
        node = self.alternation()
        if self._peek() != ")":
            raise _Unsure
        self.at += 1
        return node

    def _escape(self) -> _Node:
        char = self.pattern[self.at + 1 : self.at + 2]
        for syntax in (_HEX, _PROPERTY):
            found = syntax.match(self.pattern, self.at + 1)
            if found:
                self.at = found.end()
                return _Node(frozenset([chr(int(found[1] or found[2], 16))]), []) if syntax is _HEX else _ANYTHING
        self.at += 2
        if char in _ESCAPES:
            return _Node(frozenset([_ESCAPES[char]]), [])
        if char and char in _ZERO_WIDTH:
            return _Node(frozenset([""]), [])
        if char and char in _CLASSES:
            return _ANYTHING
        if char and not char.isalnum() and char.isascii():
            return _Node(frozenset([char]), [])
        raise _Unsure

    def _peek(self) -> str:
        return self.pattern[self.at : self.at + 1]


def _best(node: _Node) -> Clause | None:
    """The clause of a branch that says most."""
    clauses = [*node.clauses, *([node.exact] if node.exact is not None else [])]
    usable = [clause for clause in clauses if all(clause)]
    return max(usable, key=lambda clause: min(map(len, clause)), default=None)
