"""What a commit writes into the catalog: rows of streams, tails, chunks and filters.

Called by the writer alone, within its transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import orjson

from logsvc.model.job import JOB_KIND, new_job
from logsvc.stores.embedded.grams import FilterGroups
from logsvc.stores.embedded.packer import CHUNK_BYTES, Packed
from logsvc.stores.embedded.tail import HotStream, Tail

SMALL_CHUNK_BYTES = 128 * 1024  # smaller chunks share a filter column


class Rows:
    """Statements on the writing connection."""

    def __init__(self, connection: sqlite3.Connection, filters: FilterGroups) -> None:
        self._connection = connection
        self._filters = filters
        self._next_tail = self.next_id("tails")
        self._columns: dict[int, tuple[int, bool, bool, bytes]] = {}  # of the open group, changed and not written

    def next_id(self, table: str) -> int:
        """An id above all that the table has."""
        return int(self._connection.execute(f"SELECT COALESCE(MAX(id), 0) + 1 FROM {table}").fetchone()[0])

    def tail_bytes(self) -> int:
        """Bytes of all tails together."""
        return int(self._connection.execute("SELECT COALESCE(SUM(LENGTH(data)), 0) FROM tails").fetchone()[0])

    def reload(self) -> None:
        """Take up the filters as they are committed."""
        self._columns.clear()
        self._filters.load(*read_filters(self._connection))

    def insert_stream(self, stream: HotStream, owner: str | None, now: float) -> None:
        """A new stream, and its job where that is new too."""
        name = stream.name
        scanner = orjson.dumps(stream.tail.packed_scanner.state()).decode()
        self._connection.execute(
            "INSERT INTO streams VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0, 0, ?, ?, x'', x'')",
            (stream.id, name.job, name.task, name.path, name.generation, stream.kind, stream.rank, stream.device,
             stream.created_ms, stream.created_ms, scanner),
        )  # fmt: skip
        job = orjson.dumps(new_job(name.job, owner=owner, now=now)).decode()
        self._connection.execute("INSERT OR IGNORE INTO records VALUES (?, ?, 1, ?)", (JOB_KIND, name.job, job))

    def other_generations(self, stream: HotStream) -> list[tuple[int, int]]:
        """Id and generation of the other streams of the same file."""
        name = stream.name
        return self._connection.execute(
            "SELECT id, generation FROM streams WHERE job = ? AND task = ? AND path = ? AND id != ?",
            (name.job, name.task, name.path, stream.id),
        ).fetchall()

    def set_sealed(self, stream: int, sealed: bool) -> None:
        """Whether a stream was declared complete."""
        self._connection.execute("UPDATE streams SET sealed = ? WHERE id = ?", (sealed, stream))

    def set_rank(self, stream: int, rank: int) -> None:
        """A rank that was learned."""
        self._connection.execute("UPDATE streams SET rank = ? WHERE id = ?", (rank, stream))

    def insert_tail(self, stream: int, offset: int, data: bytes, received_ms: int) -> int:
        """A piece of a tail; returns its row's id."""
        self._connection.execute(
            "INSERT INTO tails VALUES (?, ?, ?, ?, ?)", (self._next_tail, stream, offset, received_ms, data)
        )
        self._next_tail += 1
        return self._next_tail - 1

    def delete_tails(self, rows: Sequence[int]) -> None:
        """Pieces that are packed now."""
        self._connection.executemany("DELETE FROM tails WHERE id = ?", [(row,) for row in rows])

    def update_stream(self, stream: HotStream, tail: Tail) -> None:
        """Where the packed bytes end, and what is known there."""
        self._connection.execute(
            "UPDATE streams SET packed_bytes = ?, packed_lines = ?, packed_users = ?, packed_ms = ?, scanner = ?, "
            "packed_end = ?, head = ? WHERE id = ?",
            (tail.base, tail.lines_before, tail.users_before, tail.packed_ms,
             orjson.dumps(tail.packed_scanner.state()).decode(), tail.packed_end, stream.head, stream.id),
        )  # fmt: skip

    def insert_chunks(self, packed: Packed) -> None:
        """Chunks that lie in a segment, synced."""
        segment, stream = packed.segment, packed.task.stream
        assert segment is not None
        self._connection.execute(
            "INSERT INTO segments VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET size = MAX(size, excluded.size)",
            (segment.id, segment.job, segment.sequence, packed.places[-1].position + packed.places[-1].length),
        )
        for chunk, place in zip(packed.chunks, packed.places, strict=True):
            column = self._column(stream.id, chunk.size, chunk.invalid, chunk.folding, chunk.bits)
            self._connection.execute(
                "INSERT INTO chunks VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (stream.id, column, chunk.offset, chunk.size, chunk.lines_before, chunk.lines, chunk.users_before,
                 chunk.users, chunk.opens_inside, chunk.invalid, chunk.folding, chunk.crlf,
                 chunk.first_ms, chunk.last_ms, place.segment, place.position, place.length, chunk.marks),
            )  # fmt: skip

    def _column(self, stream: int, size: int, invalid: bool, folding: bool, bits: bytes) -> int:
        filters = self._filters
        if filters.is_full:
            group = filters.write_open_group()
            self._connection.execute(
                "INSERT OR REPLACE INTO filter_groups VALUES (?, ?, ?, ?)", (filters.open_group, *group)
            )
            self._connection.execute("DELETE FROM filter_columns")
            self._columns.clear()
            filters.begin_group()
        number = filters.place(size, small_below=SMALL_CHUNK_BYTES, full_at=CHUNK_BYTES)
        self._columns[number] = filters.add(number, stream, invalid=invalid, folding=folding, bits=bits)
        return number

    def write_columns(self) -> None:
        """Filters of the chunks inserted; once, before the commit: many small chunks share a column."""
        if self._columns:
            self._connection.executemany(
                "INSERT OR REPLACE INTO filter_columns VALUES (?, ?, ?, ?, ?)",
                [(number, *row) for number, row in self._columns.items()],
            )
            self._columns.clear()


def read_filters(
    connection: sqlite3.Connection,
) -> tuple[list[tuple[bytes, int, int]], list[tuple[int, int, int, int, bytes]]]:
    """Full groups and the columns of the open one, as `FilterGroups.load` takes them."""
    groups = connection.execute("SELECT streams, invalid, folding FROM filter_groups ORDER BY id").fetchall()
    columns = connection.execute("SELECT id, stream, invalid, folding, bits FROM filter_columns").fetchall()
    return groups, columns
