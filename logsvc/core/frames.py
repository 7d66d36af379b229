"""Frames of the live path: encoded once, shared by all followers of a view."""

from __future__ import annotations

from dataclasses import dataclass, field

import orjson

from logsvc.model.query import Line


@dataclass(frozen=True, slots=True)
class Frame:
    """
    One message of the WebSocket.

    Attributes:
        text: its JSON.
        first, through: lines it tells of, hidden ones too.
        lines: those it holds, to cut it for a reader who has some of them.
        replaces: stands in place of the one before of its kind: a growing partial line.
        is_seal: the stream is sealed.
        last: nothing follows: the stream has a next one.
    """

    text: str
    first: int = 0
    through: int = 0
    lines: list[Line] = field(default_factory=list)
    replaces: bool = False
    is_seal: bool = False
    last: bool = False

    def after(self, line: int) -> Frame | None:
        """This frame for a reader who has everything up to `line`; None: nothing new."""
        if self.is_seal or self.first > line:
            return self
        if self.through <= line:
            return None
        if not self.lines and '"gap"' in self.text[:8]:
            return gap_frame(line + 1, self.through)
        return lines_frame(line + 1, self.through, [one for one in self.lines if one["n"] > line])


def lines_frame(first: int, through: int, lines: list[Line]) -> Frame:
    """Complete lines; `through` is the last line looked at."""
    return Frame(_encoded({"lines": lines, "through": through}), first, through, lines)


def partial_frame(line: Line) -> Frame:
    """The last line, which has no end yet; replaces the partial before."""
    return Frame(_encoded({"partial": line}), line["n"], line["n"], replaces=True)


def hidden_partial_frame(n: int) -> Frame:
    """The partial line shown before has become a system line, which this view hides."""
    return Frame(_encoded({"partial": {"n": n, "text": "", "system": True}}), n, n, replaces=True)


def gap_frame(first: int, through: int) -> Frame:
    """Lines that this follower has to read from history."""
    return Frame(_encoded({"gap": {"first_line": first, "count": through - first + 1}}), first, through)


def sealed_frame(through: int, next_stream: str | None) -> Frame:
    """The stream is complete; `next_stream` is the next generation of its file."""
    text = _encoded({"sealed": True, "next_stream": next_stream})
    return Frame(text, 0, through, is_seal=True, last=next_stream is not None)


def _encoded(message: dict[str, object]) -> str:
    return orjson.dumps(message).decode()
