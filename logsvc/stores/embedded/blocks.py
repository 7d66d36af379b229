"""A stream as a run of blocks: its packed chunks, then its tail, all read in the same way.

A reader takes one `Snapshot`; chunks never change, and those behind the snapshot's packed bytes are
not looked at, so that what is packed meanwhile is seen once.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np

from logsvc.errors import StoreUnavailable
from logsvc.stores.embedded.catalog import Catalog
from logsvc.stores.embedded.marks import ChunkMarks, decode_marks
from logsvc.stores.embedded.octets import line_ends
from logsvc.stores.embedded.segments import Place, SegmentFiles
from logsvc.stores.embedded.tail import HotStream, Tail, View
from logsvc.stores.embedded.zstd import decompress

CACHED_BYTES = 8 * 1024 * 1024  # of unpacked chunks, for windows that follow each other


class ChunkRow(NamedTuple):
    """A chunk as the catalog has it, without its marks."""

    id: int
    stream: int
    column: int
    offset: int
    size: int
    lines_before: int
    lines: int
    users_before: int
    users: int
    opens_inside: int
    invalid: int
    folding: int
    crlf: int
    first_ms: int
    last_ms: int
    segment: int
    position: int
    length: int


ROW = (
    "SELECT id, stream, column_no, offset, size, lines_before, lines, users_before, users, opens_inside, invalid, "
    "folding, crlf, first_ms, last_ms, segment, position, length FROM chunks "
)


class Block:
    r"""
    Bytes of a stream with what is known of the lines that end in them.

    Attributes:
        size: its bytes.
        lines_before, users_before: ends of lines, and of user lines, before it.
        lines: those in it. Their indices count from 0; `ends` are the places of their \n in `data`.
        opens_inside: its first byte belongs to a line that began before.
        invalid: it may hold invalid UTF-8.
        folding: it may hold U+017F or U+212A.
        crlf: it may hold \r\n.
    """

    def __init__(
        self, offset: int, size: int, lines_before: int, users_before: int, lines: int, opens_inside: bool
    ) -> None:
        self.offset = offset
        self.size = size
        self.lines_before = lines_before
        self.users_before = users_before
        self.lines = lines
        self.opens_inside = opens_inside
        self.invalid = self.folding = self.crlf = True

    @property
    def data(self) -> bytes:
        """The bytes."""
        raise NotImplementedError

    @property
    def marks(self) -> ChunkMarks:
        """System, error and warning lines, and when the bytes arrived."""
        raise NotImplementedError

    @cached_property
    def ends(self) -> np.ndarray:
        r"""Places of \n, ascending."""
        return line_ends(self.data)

    @cached_property
    def user_indices(self) -> np.ndarray:
        """Indices of the user lines."""
        mask = np.ones(self.lines, np.bool_)
        mask[self.marks.system] = False
        return np.flatnonzero(mask)

    def received_ms(self, places: np.ndarray) -> np.ndarray:
        """When the bytes at these places were received."""
        marks = self.marks
        return marks.received_ms[np.searchsorted(marks.starts, places, "right") - 1]


class _ChunkBlock(Block):
    # Unpacked when it is asked for: what the marks settle needs no bytes.
    def __init__(self, row: ChunkRow, blocks: Blocks) -> None:
        super().__init__(row.offset, row.size, row.lines_before, row.users_before, row.lines, bool(row.opens_inside))
        self.invalid, self.folding, self.crlf = bool(row.invalid), bool(row.folding), bool(row.crlf)
        self._row, self._blocks = row, blocks
        self._data: bytes | None = None

    @property
    def data(self) -> bytes:
        if self._data is None:
            self._data = self._blocks.unpacked(self._row)
        return self._data

    @cached_property
    def marks(self) -> ChunkMarks:
        return decode_marks(self._blocks.marks_of(self._row.id))


class _TailBlock(Block):
    # What lies behind a view never changes, so that it need not be copied before it is asked for.
    def __init__(self, tail: Tail, view: View) -> None:
        opens_inside = tail.packed_scanner.rule.open_bytes > 0
        super().__init__(tail.base, view.size, tail.lines_before, tail.users_before, view.lines, opens_inside)
        self._tail, self._view = tail, view

    @cached_property
    def data(self) -> bytes:
        return b"".join(self._tail.pieces[: self._view.pieces])

    @cached_property
    def ends(self) -> np.ndarray:
        return np.array(self._tail.marks.ends[: self._view.lines], np.int64)

    @cached_property
    def marks(self) -> ChunkMarks:
        tail, view = self._tail, self._view
        parts = (
            tail.marks.system[: view.system],
            tail.marks.errors[: view.errors],
            tail.marks.warnings[: view.warnings],
            tail.starts[: view.pieces],
            tail.received_ms[: view.pieces],
        )
        return ChunkMarks(*(np.array(part, np.int64) for part in parts))


class Snapshot:
    """One consistent state of a stream."""

    def __init__(self, stream: HotStream) -> None:
        tail = stream.tail
        view = tail.view
        self.stream = stream.id
        self.packed_bytes = tail.base
        self.packed_lines = tail.lines_before
        self.packed_users = tail.users_before
        self.tail: Block = _TailBlock(tail, view)
        self.size = tail.base + view.size
        self.last_ms = view.last_ms
        self.open_line = view.open_line
        self.open_system = view.open_system
        self.open_level = view.open_level
        self.ended_lines = tail.lines_before + view.lines
        self.total_lines = self.ended_lines + view.open_line
        self.ended_users = tail.users_before + view.lines - view.system
        self.total_users = self.ended_users + (view.open_line and not view.open_system)


class Blocks:
    """Reads chunks; keeps a few unpacked."""

    def __init__(self, catalog: Catalog, segments: SegmentFiles) -> None:
        self._catalog = catalog
        self._segments = segments
        self._lock = threading.Lock()
        self._cache: OrderedDict[int, Block] = OrderedDict()
        self._cached_bytes = 0

    def of_line(self, snap: Snapshot, line: int) -> Block:
        r"""The block in which line number `line` has its \n."""
        if line > snap.packed_lines:
            return snap.tail
        return self._one(
            "WHERE stream = ? AND lines_before < ? ORDER BY lines_before DESC, offset DESC LIMIT 1", snap.stream, line
        )

    def of_user_line(self, snap: Snapshot, user_line: int) -> Block:
        r"""The block in which a user line has its \n."""
        if user_line > snap.packed_users:
            return snap.tail
        return self._one(
            "WHERE stream = ? AND users_before < ? ORDER BY users_before DESC, offset DESC LIMIT 1",
            snap.stream,
            user_line,
        )

    def of_time(self, snap: Snapshot, since_ms: int) -> Block:
        """The first block that holds bytes received at or after a time; the tail where there is none."""
        row = self.rows(snap, "AND last_ms >= ? ORDER BY offset LIMIT 1", since_ms)
        return self.block(row[0]) if row else snap.tail

    def at_offset(self, snap: Snapshot, offset: int) -> Block:
        """The block that holds the byte at `offset`."""
        if offset >= snap.packed_bytes:
            return snap.tail
        return self._one("WHERE stream = ? AND offset <= ? ORDER BY offset DESC LIMIT 1", snap.stream, offset)

    def rows(self, snap: Snapshot, more: str = "ORDER BY offset", *values: object) -> list[ChunkRow]:
        """Rows of the snapshot's chunks; `more` goes on after the WHERE."""
        with self._catalog.reader() as reader:
            found = reader.execute(
                f"{ROW} WHERE stream = ? AND offset < ? {more}", (snap.stream, snap.packed_bytes, *values)
            )
            return [ChunkRow._make(row) for row in found]

    def rows_with_seam(self) -> list[ChunkRow]:
        """Rows of all chunks, of any stream, that begin inside a line."""
        with self._catalog.reader() as reader:
            return [ChunkRow._make(row) for row in reader.execute(f"{ROW} WHERE opens_inside ORDER BY stream, offset")]

    def rows_of_columns(self, columns: list[int]) -> list[ChunkRow]:
        """Rows of all chunks in these filter columns."""
        found: list[ChunkRow] = []
        with self._catalog.reader() as reader:
            for start in range(0, len(columns), 500):
                some = columns[start : start + 500]
                marks = ",".join("?" * len(some))
                found += [ChunkRow._make(row) for row in reader.execute(f"{ROW} WHERE column_no IN ({marks})", some)]
        return found

    def marks(self, snap: Snapshot, batch_bytes: int) -> Iterator[list[tuple[int, int, bytes]]]:
        """Of the snapshot's chunks, in order and many at a time: lines and user lines before it, marks unfolded."""
        with self._catalog.reader() as reader:
            found = reader.execute(
                "SELECT lines_before, users_before, marks FROM chunks WHERE stream = ? AND offset < ? ORDER BY offset",
                (snap.stream, snap.packed_bytes),
            )
            batch: list[tuple[int, int, bytes]] = []
            size = 0
            for lines_before, users_before, packed in found:
                batch.append((lines_before, users_before, decompress(packed)))
                size += len(batch[-1][2])
                if size >= batch_bytes:
                    yield batch
                    batch, size = [], 0
            if batch:
                yield batch

    def block(self, row: ChunkRow, *, cache: bool = True) -> Block:
        """A chunk."""
        with self._lock:
            known = self._cache.get(row.id)
            if known is not None:
                self._cache.move_to_end(row.id)
                return known
        block = _ChunkBlock(row, self)
        if cache:
            with self._lock:
                if row.id not in self._cache:
                    self._cache[row.id] = block
                    self._cached_bytes += row.size
                while self._cached_bytes > CACHED_BYTES:
                    self._cached_bytes -= self._cache.popitem(last=False)[1].size
        return block

    def unpacked(self, row: ChunkRow) -> bytes:
        """The bytes of a chunk."""
        data = decompress(self._segments.read(Place(row.segment, row.position, row.length)))
        if len(data) != row.size:
            raise StoreUnavailable(f"chunk {row.id} has {len(data)} bytes, {row.size} were stored; run `logsvc doctor`")
        return data

    def marks_of(self, chunk: int) -> bytes:
        """The marks of a chunk, packed."""
        with self._catalog.reader() as reader:
            return bytes(reader.execute("SELECT marks FROM chunks WHERE id = ?", (chunk,)).fetchone()[0])

    def read(self, snap: Snapshot, start: int, end: int) -> Iterator[bytes]:
        """Bytes [start, end) in pieces of at most a chunk."""
        end = min(end, snap.size)
        while start < end:
            block = self.at_offset(snap, start)
            piece = block.data[start - block.offset : end - block.offset]
            start += len(piece)
            yield piece

    def _one(self, where: str, *values: object) -> Block:
        with self._catalog.reader() as reader:
            row = reader.execute(ROW + where, values).fetchone()
        if row is None:
            raise StoreUnavailable("the catalog lacks a chunk that it has counted; run `logsvc doctor`")
        return self.block(ChunkRow._make(row))
