"""A stream in memory: its committed tail and what the writer has accepted on top of it.

The writer thread alone changes a stream. Readers take `stream.tail` and then `tail.view`: both are
replaced after a commit, never changed, so that a reader has one consistent state for as long as it
likes. Arrays behind a view only grow; the view says how much of them is committed.
"""

from __future__ import annotations

import sqlite3
from array import array
from bisect import bisect_right
from dataclasses import dataclass

import orjson

from logsvc.model.chunk import HEAD_BYTES, TAIL_BYTES, Generation
from logsvc.model.line import level_of
from logsvc.model.stream import Stream, StreamName
from logsvc.stores.embedded.lines import LineMarks, LineScanner, below_index


@dataclass(frozen=True)
class View:
    """How much of a tail is committed."""

    pieces: int
    size: int  # bytes
    lines: int  # of them, ended by \n
    system: int
    errors: int
    warnings: int
    last_ms: int  # when the last byte of the stream was received
    open_line: bool  # the stream ends in bytes without \n
    open_system: bool  # and the line they make is the platform's, so far
    open_level: str | None


class Tail:
    """Bytes from `base` on, in the pieces in which they arrived."""

    def __init__(
        self,
        base: int,
        lines_before: int,
        users_before: int,
        packed_ms: int,
        scanner: LineScanner,
        packed_end: bytes = b"",
    ) -> None:
        self.base = base
        self.lines_before = lines_before
        self.users_before = users_before
        self.packed_ms = packed_ms
        self.packed_scanner = scanner  # at `base`
        self.scanner = scanner.copy()  # at the end of all pieces
        self.packed_end = packed_end  # the last <= TAIL_BYTES bytes before `base`
        self.marks = LineMarks()
        self.pieces: list[bytes] = []
        self.rows: list[int] = []  # ids in the table of tails
        self.starts = array("I")
        self.received_ms = array("Q")
        self.size = 0  # of all pieces, committed or not
        self.ends_open = scanner.rule.open_bytes > 0
        self.view = self._view()

    def add(self, row: int, data: bytes, received_ms: int) -> None:
        """Accept a piece; readers see it after `publish`."""
        self.scanner.scan(data, self.size, self.marks)
        self.pieces.append(data)
        self.rows.append(row)
        self.starts.append(self.size)
        self.received_ms.append(received_ms)
        self.size += len(data)
        self.ends_open = data[-1:] != b"\n"

    def publish(self) -> None:
        """Everything accepted is committed."""
        self.view = self._view()

    def end(self, view: View) -> bytes:
        """The last <= TAIL_BYTES bytes of the stream as a view shows it."""
        pieces: list[bytes] = []
        missing = TAIL_BYTES
        for index in range(view.pieces - 1, -1, -1):
            if missing <= 0:
                break
            pieces.append(self.pieces[index])
            missing -= len(pieces[-1])
        return b"".join([self.packed_end, *reversed(pieces)])[-TAIL_BYTES:]

    def rest(self, size: int, lines: int, packed_ms: int, scanner: LineScanner, packed_end: bytes) -> tuple[Tail, bool]:
        """
        The tail that is left when the first `size` bytes, in which `lines` lines end, are packed.

        Also: whether its first piece is part of one that was packed in part.
        """
        marks = self.marks
        users = lines - len(below_index(marks.system, lines))
        left = Tail(
            self.base + size, self.lines_before + lines, self.users_before + users, packed_ms, scanner, packed_end
        )
        left.marks = marks.cut(lines, size)
        first = max(bisect_right(self.starts, size) - 1, 0)
        left.pieces, left.rows = self.pieces[first:], self.rows[first:]
        left.starts = array("I", [max(start - size, 0) for start in self.starts[first:]])
        left.received_ms = self.received_ms[first:]
        inside = size - self.starts[first] if left.pieces else 0
        if inside and inside == len(left.pieces[0]):
            del left.pieces[0], left.rows[0], left.starts[0], left.received_ms[0]
            inside = 0
        elif inside:
            left.pieces[0] = left.pieces[0][inside:]
        left.scanner = self.scanner
        left.size = self.size - size
        left.ends_open = self.ends_open
        left.publish()
        return left, inside > 0

    def _view(self) -> View:
        marks, scanner = self.marks, self.scanner
        return View(
            len(self.pieces),
            self.size,
            len(marks.ends),
            len(marks.system),
            len(marks.errors),
            len(marks.warnings),
            self.received_ms[-1] if self.received_ms else self.packed_ms,
            self.ends_open,
            self.ends_open and scanner.rule.peek(),
            level_of(scanner.open_head) if self.ends_open else None,
        )


class HotStream:
    """
    A stream that the store has in memory.

    Attributes:
        tail: what readers see.
        draft: what the writer has accepted; the same object but for the length of a transaction
            that packs.
        committed: readers may know of it.
        sealed: declared complete.
        superseded: there is a newer generation of the file.
        told: size and whether sealed, when followers were last told.
        busy: an append of it is being packed; later ones wait.
        packing: its tail is being packed; appends go on.
    """

    __slots__ = (
        "busy",
        "committed",
        "created_ms",
        "device",
        "draft",
        "head",
        "id",
        "kind",
        "name",
        "packing",
        "rank",
        "sealed",
        "superseded",
        "tail",
        "told",
    )

    def __init__(
        self, id_: int, name: StreamName, kind: str, rank: int | None, device: int | None, created_ms: int, tail: Tail
    ) -> None:
        self.id, self.name, self.kind, self.rank, self.device = id_, name, kind, rank, device
        self.created_ms = created_ms
        self.tail = self.draft = tail
        self.sealed = self.superseded = False
        self.head = b""
        self.told: tuple[int, bool] | None = None
        self.committed = self.busy = self.packing = False

    @property
    def size(self) -> int:
        """Committed bytes."""
        tail = self.tail
        return tail.base + tail.view.size

    def lead(self, data: bytes) -> None:
        """Keep the stream's first bytes."""
        if len(self.head) < HEAD_BYTES:
            self.head = (self.head + data[:HEAD_BYTES])[:HEAD_BYTES]

    def generation(self) -> Generation:
        """As a collector compares it; all of one state."""
        tail = self.tail
        view = tail.view
        size = tail.base + view.size
        return Generation(self.name.generation, size, self.head[:size], tail.end(view), self.is_sealed)

    @property
    def is_sealed(self) -> bool:
        """Nothing more is expected."""
        return self.sealed or self.superseded

    def noun(self) -> Stream:
        """As the port gives it."""
        tail = self.tail
        view = tail.view
        users = tail.users_before + view.lines - view.system
        return Stream(
            id=str(self.id),
            name=self.name,
            kind=self.kind,
            rank=self.rank,
            device=self.device,
            size_bytes=tail.base + view.size,
            lines=tail.lines_before + view.lines + view.open_line,
            user_lines=users + (view.open_line and not view.open_system),
            sealed=self.is_sealed,
            created_at=self.created_ms / 1000,
            last_chunk_at=view.last_ms / 1000,
        )


COLUMNS = (
    "id, job, task, path, generation, kind, rank, device, created_ms, sealed, "
    "packed_bytes, packed_lines, packed_users, packed_ms, scanner, packed_end, head"
)


def load_stream(reader: sqlite3.Connection, row: tuple) -> HotStream:  # type: ignore[type-arg]
    """A stream from its row (`COLUMNS`) and its tail's rows, within one snapshot of `reader`."""
    id_, job, task, path, generation, kind, rank, device, created_ms, sealed = row[:10]
    packed_bytes, packed_lines, packed_users, packed_ms, scanner, packed_end, head = row[10:]
    state = LineScanner.from_state(orjson.loads(scanner))
    tail = Tail(packed_bytes, packed_lines, packed_users, packed_ms, state, packed_end)
    for piece_row, received_ms, data in reader.execute(
        "SELECT id, received_ms, data FROM tails WHERE stream = ? ORDER BY offset", (id_,)
    ):
        tail.add(piece_row, data, received_ms)
    tail.publish()
    stream = HotStream(id_, StreamName(job, task, path, generation), kind, rank, device, created_ms, tail)
    stream.head = head[:packed_bytes]  # when it was written, the tail may have been longer than what was packed
    for piece in tail.pieces:
        stream.lead(piece)
    stream.sealed, stream.committed = bool(sealed), True
    newest = reader.execute(
        "SELECT MAX(generation) FROM streams WHERE job = ? AND task = ? AND path = ?", (job, task, path)
    ).fetchone()[0]
    stream.superseded = newest > generation
    stream.told = (stream.size, stream.is_sealed)
    return stream
