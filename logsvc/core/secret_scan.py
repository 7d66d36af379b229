"""Which secrets a scope of streams holds: counts and places, within bounds of time and memory.

A stream is read once, in pieces, and each piece is looked through in a thread. The text of a secret
stays there: what comes out are kinds, line numbers and spans.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from logsvc.core.secrets import MAX_KEY_LINES, Secret, key_marks, secrets_in, worth_a_look
from logsvc.model.line import line_text
from logsvc.model.stream import Stream
from logsvc.ports import Clock, LogStore

MAX_PLACES = 100
PART_BYTES = 1 << 20  # of a line that is longer, looked through by itself: bounds memory
OVERLAP_BYTES = 8192  # what two parts of such a line share; a secret that is longer counts by its beginning

Progress = Callable[[int, int], None]  # bytes looked through, of how many


@dataclass(frozen=True)
class Place:
    """Where a secret stands; `start` and `end` are code points of its line's text."""

    stream_id: str
    n: int
    kind: str
    start: int
    end: int


@dataclass
class Found:
    """
    Secrets of a scope.

    Attributes:
        counts: by kind; a key over several lines is one.
        places: the first of them, by stream and line.
        exact: False where the time limit ended the scan early.
        scanned_bytes: of log text looked through.
    """

    counts: Counter[str] = field(default_factory=Counter)
    places: list[Place] = field(default_factory=list)
    exact: bool = True
    scanned_bytes: int = 0


async def scan(
    store: LogStore,
    streams: Sequence[Stream],
    clock: Clock,
    *,
    time_limit_seconds: float,
    most_places: int = MAX_PLACES,
    progress: Progress = lambda done, whole: None,
) -> Found:
    """
    Look for secrets in what the streams hold now, in their order. Stops soon when cancelled.

    Raises: NotFound, StoreUnavailable.
    """
    found = Found()
    until = clock.monotonic() + time_limit_seconds
    whole = sum(stream.size_bytes for stream in streams)
    for stream in streams:
        one = StreamScan(stream.id, found, most_places)
        async for piece in store.read(stream.id, 0, stream.size_bytes):
            if clock.monotonic() > until:
                found.exact = False
                return found
            await asyncio.to_thread(one.feed, piece)
            found.scanned_bytes += len(piece)
            progress(found.scanned_bytes, whole)
        await asyncio.to_thread(one.end)
    return found


class StreamScan:
    """Goes through the bytes of a stream, in pieces of any size; holds a part of one line at most."""

    def __init__(self, stream_id: str, found: Found, most_places: int) -> None:
        self._stream_id = stream_id
        self._found = found
        self._most_places = most_places
        self._rest = b""  # of a line whose end has not come
        self._n = 1  # of the line that `rest` is of
        self._before = 0  # code points of that line in front of `rest`
        self._opened = -MAX_KEY_LINES - 1  # the line that opened a key block; where none is open, one long ago

    def feed(self, piece: bytes) -> None:
        """The next bytes."""
        data = self._rest + piece
        cut = data.rfind(b"\n") + 1
        if cut:
            self._lines(data[:cut])
        self._rest = data[cut:]
        if len(self._rest) > PART_BYTES:
            self._part()

    def end(self) -> None:
        """The last line may have no end."""
        if self._rest:
            self._lines(self._rest)

    def _lines(self, block: bytes) -> None:
        n, counted = self._n, 0
        for begin, end in worth_a_look(block):
            n += block.count(b"\n", counted, begin)
            counted = begin
            self._line(n, _text(block[begin:end]))
        self._before = 0
        self._n = n + block.count(b"\n", counted)

    def _line(self, n: int, text: bytes) -> None:
        hidden = 0
        marks = key_marks(text)
        if n - self._opened <= MAX_KEY_LINES:  # the key that these lines are of was counted where it begins
            hidden = marks.ends_at if marks.ends_at >= 0 else len(text)
        self._note(n, text, [one for one in secrets_in(text) if one.start >= hidden])
        if marks.opens:
            self._opened = n
        elif marks.closes:
            self._opened = -MAX_KEY_LINES - 1

    def _part(self) -> None:
        """Of a very long line, all but its end, where a secret may go on."""
        whole = self._rest
        text, kept = _text(whole), len(whole) - OVERLAP_BYTES
        secrets = [one for one in secrets_in(text) if one.start < len(text) - OVERLAP_BYTES]
        if self._n - self._opened > MAX_KEY_LINES:
            self._note(self._n, text, secrets)
        if secrets and text is whole:
            kept = max(kept, secrets[-1].end)
        while kept < len(whole) and whole[kept] & 0xC0 == 0x80 and kept > len(whole) - 2 * OVERLAP_BYTES:
            kept -= 1  # not in the midst of a character
        self._before += len(whole[:kept].decode(errors="replace"))
        self._rest = whole[kept:]

    def _note(self, n: int, text: bytes, secrets: list[Secret]) -> None:
        before = self._before if n == self._n else 0
        for one in secrets:
            self._found.counts[one.kind] += 1
            if len(self._found.places) < self._most_places:
                start = before + len(text[: one.start].decode(errors="replace"))
                end = start + len(text[one.start : one.end].decode(errors="replace"))
                self._found.places.append(Place(self._stream_id, n, one.kind, start, end))


def _text(raw: bytes) -> bytes:
    """Text of a line, in UTF-8."""
    if raw.isascii():
        return raw[:-1] if raw.endswith(b"\r") else raw
    return line_text(raw).encode()
