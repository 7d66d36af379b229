"""How log text comes to a terminal or a pipe: coloured for people, verbatim for programs.

A pipe gets the text of the log as it is. A terminal gets the log's own colours and nothing else that
could move its cursor, set its title or fill its clipboard: other control characters are shown as ^X.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

RESET = "\x1b[0m"
HIT, PLACE, NUMBER, QUIET = "1;31", "35", "32", "2"
LEVELS = {"error": "31", "warning": "33"}
_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_UNFINISHED = re.compile(r"\x1b(?:\[[0-9;:]*)?\Z")
_CONTROL = re.compile(r"(\x1b\[[0-9;:]*m)|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

Span = Sequence[int]  # [start, end) in code points


class Terminal:
    """Standard output and standard error of a command."""

    def __init__(self, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self.out, self.err = out or sys.stdout, err or sys.stderr
        self.is_terminal = self.out.isatty()
        self.coloured = self.is_terminal and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        self.told = self.err.isatty()  # whether somebody reads what is said beside the lines

    def write(self, text: str) -> None:
        """To standard output; what its encoding lacks becomes `?`."""
        try:
            self.out.write(text)
        except UnicodeEncodeError:
            encoding = self.out.encoding or "ascii"
            self.out.write(text.encode(encoding, "replace").decode(encoding))

    def flush(self) -> None:
        """Everything written is on its way."""
        self.out.flush()

    def say(self, text: str) -> None:
        """A sentence to standard error."""
        self.flush()
        self.err.write(f"logsvc: {text}\n")
        self.err.flush()

    def styled(self, text: str, style: str | None) -> str:
        """Text in a style, where there are colours."""
        return f"\x1b[{style}m{text}{RESET}" if style and self.coloured and text else text

    def shown(self, text: str, style: str | None = None) -> str:
        """A line of a log. Its own colours go before `style`."""
        if not self.is_terminal:
            return text
        text = last_state(text)
        if not self.coloured or not _COLOUR.search(text):
            return self.styled(harmless(_COLOUR.sub("", text)), style)
        return harmless(text) + RESET

    def marked(self, text: str, spans: Iterable[Span], style: str | None = None) -> str:
        """A line of a log with hits in it."""
        if not self.is_terminal:
            return text
        parts, at = [], 0
        for start, end in spans:
            parts += [self.styled(_plain(text[at:start]), style), self.styled(_plain(text[start:end]), HIT)]
            at = end
        return "".join([*parts, self.styled(_plain(text[at:]), style)])


def last_state(text: str) -> str:
    r"""What a line that was written over itself (`\r`) shows at last."""
    return next((part for part in reversed(text.split("\r")) if part), "")


def harmless(text: str, *, rewind: bool = False) -> str:
    r"""Text whose control characters are shown as ^X, but for colours; `rewind`: `\r` and `\b` do what they do."""

    def visible(found: re.Match[str]) -> str:
        char = found[0]
        if found[1] or (rewind and char in "\r\b"):
            return char
        code = ord(char)
        return f"^{chr(code ^ 0x40)}" if code < 0x80 else f"<U+{code:04X}>"

    return _CONTROL.sub(visible, text)


def settled(text: str) -> str:
    """Text that may grow, without a colour's beginning at its end."""
    return _UNFINISHED.sub("", text)


@contextmanager
def quietly() -> Iterator[None]:
    """Ends without a word where whoever reads the output has enough of it."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still buffered goes nowhere, so that the interpreter's last flush does not fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _plain(text: str) -> str:
    return harmless(_COLOUR.sub("", text))
