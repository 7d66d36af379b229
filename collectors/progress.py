"""How far catching up has come: one line rewritten in place on a terminal, a line a minute elsewhere."""

from __future__ import annotations

import os
import time
from collections import deque
from typing import Optional, TextIO

from collectors.client import Say
from collectors.status import behind
from collectors.tailer.rotation import Tailer
from collectors.words import cut, printable, size, span

MUCH_BYTES = 1 << 20  # less than this is gone before anybody has read of it
FIRST_SECONDS = 1.0  # nothing is said of what is over by then
TERMINAL_SECONDS = 0.25
ELSEWHERE_SECONDS = 60.0
SPEED_SECONDS = 10.0  # the speed shown is the mean of so long

_TO_START, _CLEAR = "\r", "\r\x1b[K"


class Progress:
    """
    Says how much is left, how fast it goes, and how long that takes.

    Args:
        stream: where lines go; it may be a terminal.
        say: says a line where it is none.
        server: where the bytes go.
        awaited: somebody waits for the end: also of a little, and also while nothing moves.
    """

    def __init__(self, stream: TextIO, say: Say, server: str, *, awaited: bool) -> None:
        self._stream, self._say, self._server = stream, say, server
        self._least_bytes = 1 if awaited else MUCH_BYTES
        self._awaited = awaited
        self._on_terminal = stream.isatty() and os.environ.get("TERM") != "dumb"
        self._shown = False
        self._next = time.monotonic() + FIRST_SECONDS
        self._marks: deque[tuple[float, int]] = deque()  # monotonic seconds, bytes sent by then

    def look(self, tailer: Tailer, sent_bytes: int, problem: Optional[str]) -> None:
        """Show how far it is now, where that is due."""
        now = time.monotonic()
        if not self._marks:
            self._marks.append((now, sent_bytes))
        if now < self._next:
            return
        self._next = now + (TERMINAL_SECONDS if self._on_terminal else ELSEWHERE_SECONDS)
        self._marks.append((now, sent_bytes))
        while len(self._marks) > 2 and self._marks[1][0] <= now - SPEED_SECONDS:
            self._marks.popleft()
        since, sent_then = self._marks[0]
        speed = (sent_bytes - sent_then) / (now - since) if now > since else 0.0
        waiting = behind(tailer)
        left = sum(count for count, _ in waiting)
        if left < self._least_bytes:
            self.clear()
        elif self._on_terminal:
            self._show(_words(left, speed, self._server, problem or max(waiting)[1]))
        elif speed > 0 or self._awaited:
            self._say(_words(left, speed, self._server, problem or ""))

    def clear(self) -> None:
        """Away with the line on the terminal: another one follows."""
        if self._shown:
            self._shown = False
            self._write(_CLEAR)

    def _show(self, text: str) -> None:
        try:
            cells = os.get_terminal_size(self._stream.fileno()).columns or 80
        except (OSError, ValueError):
            cells = 80
        self._shown = True
        # One cell stays free: a full line would wrap, and could not be taken back.
        self._write(_CLEAR + cut(printable(f"logsvc-collector: {text}"), cells - 1) + _TO_START)

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            self._on_terminal = False  # it is gone; the logs are sent all the same


def _words(left_bytes: int, speed: float, server: str, remark: str) -> str:
    text = f"{size(left_bytes)} left to send to {server}"
    if speed > 0:
        text += f", {speed / 1e6:.1f} MB/s, {span(left_bytes / speed)}"
    return f"{text} ({remark})" if remark else text
