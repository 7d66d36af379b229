"""Packing: a stream's unpacked bytes -> zstd frames in its job's segment, with what is known of them.

Runs in threads beside the writer and the event loop: zstd, numpy and the disk let go of the GIL.
A chunk is at most 512 KiB, cut at its last newline; by size where none comes.
"""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from logsvc.model.chunk import TAIL_BYTES
from logsvc.stores.embedded.grams import Words, column_of
from logsvc.stores.embedded.lines import WORDS, LineMarks, LineScanner, Look
from logsvc.stores.embedded.marks import encode_marks
from logsvc.stores.embedded.octets import line_ends
from logsvc.stores.embedded.segments import Place, Segment, SegmentFiles
from logsvc.stores.embedded.tail import HotStream, Tail, View
from logsvc.stores.embedded.zstd import compress

CHUNK_BYTES = 512 * 1024
THREADS = 2
SYNC_THREADS = 12  # they wait for the disk, which does several syncs as fast as one

# How far a pack goes: full chunks only; also the rest up to its last newline; or all of it.
Extent = Literal["full", "lines", "all"]

_WORDS = Words(WORDS)
_FOLDING = ("\u017f", "\u212a")  # fold to ASCII s and k

_local = threading.local()


@dataclass(frozen=True)
class PackedChunk:
    """A chunk ready for the catalog; lines are counted where they end."""

    offset: int
    size: int
    lines_before: int
    lines: int
    users_before: int
    users: int
    opens_inside: bool
    invalid: bool
    folding: bool
    crlf: bool
    first_ms: int
    last_ms: int
    marks: bytes
    payload: bytes
    bits: bytes  # of the filter


@dataclass
class PackTask:
    """
    What to pack of one stream.

    Attributes:
        tail, view: the committed tail.
        data: further bytes, accepted and not in the tail (a large append), received at `received_ms`.
    """

    stream: HotStream
    tail: Tail
    view: View
    extent: Extent
    data: bytes = b""
    received_ms: int = 0


@dataclass
class Packed:
    """The outcome of a task: chunks on disk, synced, that the catalog does not know yet."""

    task: PackTask
    chunks: list[PackedChunk]
    scanner: LineScanner  # at the end of the last chunk
    size: int  # bytes packed
    end: bytes  # the last <= TAIL_BYTES of the stream's bytes up to there
    rest: list[tuple[bytes, int]]  # of tail and data together, with when it was received
    segment: Segment | None = None
    places: list[Place] = field(default_factory=list)

    @property
    def lines(self) -> int:
        """Line ends packed."""
        return sum(chunk.lines for chunk in self.chunks)

    @property
    def users(self) -> int:
        """User lines packed."""
        return sum(chunk.users for chunk in self.chunks)


PackDone = Callable[[list[Packed] | None, Exception | None], None]


class Packer:
    """Threads that pack."""

    def __init__(self, segments: SegmentFiles) -> None:
        self._segments = segments
        self._squeezers = ThreadPoolExecutor(THREADS, thread_name_prefix="squeeze")
        self._syncers = ThreadPoolExecutor(SYNC_THREADS, thread_name_prefix="sync")
        self._jobs = ThreadPoolExecutor(THREADS, thread_name_prefix="pack")

    def submit(self, tasks: list[PackTask], done: PackDone) -> None:
        """Pack, write and sync, then call `done` (from a thread) with the outcome or the error."""
        self._jobs.submit(self._run, tasks, done)

    def close(self) -> None:
        """Wait for what was submitted."""
        self._jobs.shutdown(wait=True)
        self._squeezers.shutdown(wait=True)
        self._syncers.shutdown(wait=True)

    def _run(self, tasks: list[PackTask], done: PackDone) -> None:
        try:
            packed = [self._pack(task) for task in tasks]
            self._write(packed)
        except Exception as exc:
            done(None, exc)
            return
        done(packed, None)

    def _write(self, packed: list[Packed]) -> None:
        by_job: dict[str, list[Packed]] = {}
        for each in packed:
            if each.chunks:
                by_job.setdefault(each.task.stream.name.job, []).append(each)
        if len(by_job) > 1:
            list(self._syncers.map(self._write_job, by_job, by_job.values()))
        else:
            for job, members in by_job.items():
                self._write_job(job, members)

    def _write_job(self, job: str, members: list[Packed]) -> None:
        frames = [
            (each.task.stream.id, each.task.stream.name, chunk.offset, chunk.size, chunk.payload)
            for each in members
            for chunk in each.chunks
        ]
        segment, places = self._segments.append(job, frames)
        at = 0
        for each in members:
            each.segment, each.places = segment, places[at : at + len(each.chunks)]
            at += len(each.chunks)

    def _pack(self, task: PackTask) -> Packed:
        tail, view = task.tail, task.view
        data = b"".join([*tail.pieces[: view.pieces], task.data])
        starts, received = tail.starts[: view.pieces], tail.received_ms[: view.pieces]
        if task.data:
            starts.append(view.size)
            received.append(task.received_ms)
        scanner = tail.packed_scanner.copy()
        lines, users, opens_inside = tail.lines_before, tail.users_before, scanner.rule.open_bytes > 0
        cuts = _cuts(data, task.extent)
        pieces = [data[start:end] for start, end in zip([0, *cuts], cuts, strict=False)]
        squeezed = self._squeezers.map(_squeeze, pieces) if len(pieces) > 1 else map(_squeeze, pieces)
        chunks = []
        at = 0
        for piece, squeeze in zip(pieces, squeezed, strict=True):
            marks = LineMarks()
            scanner.scan(piece, 0, marks, squeeze.look)
            arrivals = _arrivals(starts, received, at, at + len(piece))
            ended = len(marks.ends)
            chunks.append(
                PackedChunk(
                    offset=tail.base + at,
                    size=len(piece),
                    lines_before=lines,
                    lines=ended,
                    users_before=users,
                    users=ended - len(marks.system),
                    opens_inside=opens_inside,
                    invalid=squeeze.invalid,
                    folding=squeeze.folding,
                    crlf=squeeze.crlf,
                    first_ms=arrivals[1][0],
                    last_ms=arrivals[1][-1],
                    marks=encode_marks(marks, *arrivals),
                    payload=squeeze.payload,
                    bits=squeeze.bits,
                )
            )
            at += len(piece)
            lines += ended
            users += ended - len(marks.system)
            opens_inside = piece[-1:] != b"\n"
        rest = [
            (data[max(start, at) : end], ms)
            for start, end, ms in zip(starts, [*starts[1:], len(data)], received, strict=True)
            if end > at
        ]
        end = data[max(at - TAIL_BYTES, 0) : at]
        return Packed(task, chunks, scanner, at, (tail.packed_end + end)[-TAIL_BYTES:], rest)


@dataclass(frozen=True)
class _Squeezed:
    """What can be had of a chunk without knowing what comes before it."""

    payload: bytes
    bits: bytes
    look: Look
    invalid: bool
    folding: bool
    crlf: bool


def _squeeze(data: bytes) -> _Squeezed:
    payload = compress(data)
    octets = np.frombuffer(data, np.uint8)
    bits, words = column_of(octets, _WORDS)
    ends = line_ends(data)
    invalid = folding = False
    if not data.isascii():
        try:
            text = data.decode()
        except UnicodeDecodeError:
            invalid, text = True, data.decode("utf-8", "replace")
        folding = any(letter in text for letter in _FOLDING)
    crlf = bool((octets[np.maximum(ends - 1, 0)] == 13).any())
    return _Squeezed(payload, bits, Look(ends, words), invalid, folding, crlf)


def _cuts(data: bytes, extent: Extent) -> array[int]:
    """Where chunks end."""
    cuts = array("Q")
    at, size = 0, len(data)
    while size - at >= CHUNK_BYTES:
        end = data.rfind(b"\n", at, at + CHUNK_BYTES) + 1
        at = end if end > at else at + CHUNK_BYTES
        cuts.append(at)
    if at < size and extent != "full":
        end = data.rfind(b"\n", at) + 1
        cuts.append(size if extent == "all" or end <= at else end)
    return cuts


def _arrivals(starts: Sequence[int], received_ms: Sequence[int], begin: int, end: int) -> tuple[list[int], list[int]]:
    """Where in [begin, end) bytes of another arrival begin, relative to `begin`, and their times."""
    first = max(bisect_right(starts, begin) - 1, 0)
    last = bisect_left(starts, end)
    places: list[int] = []
    times: list[int] = []
    for index in range(first, last):
        if not times or received_ms[index] != times[-1]:
            places.append(max(starts[index] - begin, 0))
            times.append(received_ms[index])
    return places, times
