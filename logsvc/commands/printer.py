"""Followed lines as they are printed: for people with labels and colours, for programs as text or JSON."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from logsvc.commands.terminal import LEVELS, QUIET, Span, Terminal, harmless, settled
from logsvc.errors import BadInput

LABELS = ("36", "32", "35", "33", "34", "96", "92", "95", "93", "94")


@dataclass(frozen=True)
class Look:
    """
    How lines are shown.

    Attributes:
        json: an object a line.
        timestamps: when a line was received stands before it.
        only: lines without it are left out, and it is marked in the others.
    """

    json: bool = False
    timestamps: bool = False
    only: re.Pattern[str] | None = None


@dataclass(frozen=True, eq=False)
class Source:
    """A log that lines come from: what is said of them beside their text."""

    label: str
    told: dict[str, Any]
    style: str


class Printer:
    """
    Prints lines of one log or of several. The last, unfinished line of a single log grows on a terminal as it
    comes; elsewhere it is printed once it has its end, or by `finish`.
    """

    def __init__(self, terminal: Terminal, look: Look) -> None:
        self.terminal, self.look = terminal, look
        self.label_width = 0  # where there are lines of several logs, each says of which it is
        self._partials: dict[Source, dict[str, Any]] = {}
        self._grown = ""  # what is on the terminal of a line that grows there

    def lines(self, source: Source, lines: Sequence[dict[str, Any]]) -> None:
        """Complete lines, in order."""
        for line in lines:
            self._partials.pop(source, None)
            grown, self._grown = self._grown, ""
            text: str = line["text"]
            if grown and text.startswith(grown):
                self.terminal.write(harmless(text[len(grown) :], rewind=True) + "\n")
                continue
            self._print(source, line)
        if lines:
            self.terminal.flush()

    def partial(self, source: Source, line: dict[str, Any]) -> None:
        """The last line so far, which has no end yet."""
        self._partials[source] = line
        if (
            not self.terminal.is_terminal
            or self.look.json
            or self.look.only
            or self.look.timestamps
            or self.label_width
        ):
            return
        text = settled(line["text"])
        if not text.startswith(self._grown):
            self.end_line()
        self.terminal.write(harmless(text[len(self._grown) :], rewind=True))
        self.terminal.flush()
        self._grown = text

    def finish(self) -> None:
        """Nothing more comes: lines without an end are printed as they are."""
        for source, line in list(self._partials.items()):
            self.lines(source, [line])

    def say(self, text: str) -> None:
        """A sentence beside the lines."""
        self.end_line()
        self.terminal.say(text)

    def end_line(self) -> None:
        """The next thing printed begins a line of the terminal."""
        if self._grown:
            self._grown = ""
            self.terminal.write("\n")

    def _print(self, source: Source, line: dict[str, Any]) -> None:
        text: str = line["text"]
        spans = None
        if self.look.only:
            spans = [found.span() for found in self.look.only.finditer(text)]
            if not spans:
                return
        if self.look.json:
            self.terminal.write(orjson.dumps({**source.told, **line}).decode() + "\n")
            return
        self.terminal.write(f"{self._head(source, line)}{self._text(line, spans)}\n")

    def _head(self, source: Source, line: dict[str, Any]) -> str:
        label = ""
        if self.label_width:
            label = self.terminal.styled(f"{source.label:<{self.label_width}} | ", source.style)
        received = self.terminal.styled(line["received_at"] + " ", QUIET) if self.look.timestamps else ""
        return label + received

    def _text(self, line: dict[str, Any], spans: Sequence[Span] | None) -> str:
        style = LEVELS.get(line["level"] or "", QUIET if line["system"] else None)
        if spans is not None:
            return self.terminal.marked(line["text"], spans, style)
        return self.terminal.shown(line["text"], style)


def pattern(text: str, *, regex: bool, ignore_case: bool, word: bool) -> re.Pattern[str]:
    """What to look for in lines that are here already; raises BadInput."""
    body = text if regex else re.escape(text)
    if word:
        body = rf"(?<![0-9A-Za-z_])(?:{body})(?![0-9A-Za-z_])"
    try:
        return re.compile(body, re.IGNORECASE if ignore_case else 0)
    except re.error as exc:
        raise BadInput(f"The pattern is not understood: {exc}.") from exc
