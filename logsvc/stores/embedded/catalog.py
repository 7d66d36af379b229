"""The catalog: one SQLite database with streams, chunks, tails, filters of the open group and records.

One connection writes and checkpoints, ever: SQLite up to 3.51.2 can corrupt a WAL when two do.
Readers are `query_only` and never checkpoint.
"""

from __future__ import annotations

import fcntl
import os
import queue
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from logsvc.errors import CannotStart, DiskFull, LogsvcError, StoreUnavailable

CATALOG = "catalog.db"
COPY = "catalog-copy.db"
FILTERS = "filters.bin"
SEGMENTS = "segments"
LOCK = "lock"

SCHEMA_VERSION = 2
PAGE_BYTES = 16 * 1024
CHECKPOINT_PAGES = 16 * 1024 * 1024 // PAGE_BYTES
JOURNAL_BYTES = 16 * 1024 * 1024
CACHE_KIB = 8 * 1024

# Lines and user lines are counted where they end: `lines` is the number of \n in a chunk, and the
# kth line of the stream is the one that its kth \n ends.
_SCHEMA = """
CREATE TABLE streams (
    id INTEGER PRIMARY KEY, job TEXT NOT NULL, task TEXT NOT NULL, path TEXT NOT NULL,
    generation INTEGER NOT NULL, kind TEXT NOT NULL, rank INTEGER, device INTEGER,
    created_ms INTEGER NOT NULL, sealed INTEGER NOT NULL,
    packed_bytes INTEGER NOT NULL, packed_lines INTEGER NOT NULL, packed_users INTEGER NOT NULL,
    packed_ms INTEGER NOT NULL,     -- when the last packed byte was received
    scanner TEXT NOT NULL,          -- what the line rules carry at the end of the packed bytes
    packed_end BLOB NOT NULL,       -- the last <= 1,024 packed bytes
    head BLOB NOT NULL,             -- the first <= 1,024 bytes
    UNIQUE (job, task, path, generation)
);
CREATE TABLE tails (
    id INTEGER PRIMARY KEY, stream INTEGER NOT NULL, offset INTEGER NOT NULL,
    received_ms INTEGER NOT NULL, data BLOB NOT NULL
);
CREATE INDEX tails_by_stream ON tails (stream, offset);
CREATE TABLE segments (id INTEGER PRIMARY KEY, job TEXT NOT NULL, sequence INTEGER NOT NULL, size INTEGER NOT NULL);
CREATE TABLE chunks (
    id INTEGER PRIMARY KEY, stream INTEGER NOT NULL, column_no INTEGER NOT NULL,
    offset INTEGER NOT NULL, size INTEGER NOT NULL,
    lines_before INTEGER NOT NULL, lines INTEGER NOT NULL,
    users_before INTEGER NOT NULL, users INTEGER NOT NULL,
    opens_inside INTEGER NOT NULL,  -- the first byte belongs to a line that began before
    invalid INTEGER NOT NULL, folding INTEGER NOT NULL, crlf INTEGER NOT NULL,
    first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL,
    segment INTEGER NOT NULL, position INTEGER NOT NULL, length INTEGER NOT NULL,
    marks BLOB NOT NULL
);
CREATE UNIQUE INDEX chunks_by_offset ON chunks (stream, offset);
CREATE INDEX chunks_by_line ON chunks (stream, lines_before, offset);
CREATE INDEX chunks_by_user ON chunks (stream, users_before, offset);
CREATE INDEX chunks_by_column ON chunks (column_no, stream);
CREATE INDEX chunks_with_seam ON chunks (stream, offset) WHERE opens_inside;
CREATE TABLE filter_groups (
    id INTEGER PRIMARY KEY, streams BLOB NOT NULL, invalid INTEGER NOT NULL, folding INTEGER NOT NULL
);
CREATE TABLE filter_columns (
    id INTEGER PRIMARY KEY, stream INTEGER NOT NULL,
    invalid INTEGER NOT NULL, folding INTEGER NOT NULL, bits BLOB NOT NULL
);
CREATE TABLE records (
    kind TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (kind, id)
) WITHOUT ROWID;
"""


class Catalog:
    """Owner of the database file and of its connections."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / CATALOG
        self._readers: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()
        self._closed = False

    def open_writer(self) -> sqlite3.Connection:
        """The one connection that writes; makes the schema in an empty folder."""
        try:
            writer = self._connect()
            writer.execute("PRAGMA busy_timeout=0")  # it is alone; a checkpoint does not wait for readers
            writer.execute(f"PRAGMA page_size={PAGE_BYTES}")
            writer.execute("PRAGMA auto_vacuum=INCREMENTAL")
            writer.execute("PRAGMA journal_mode=WAL")
            writer.execute("PRAGMA synchronous=FULL")
            writer.execute("PRAGMA secure_delete=0")
            writer.execute(f"PRAGMA journal_size_limit={JOURNAL_BYTES}")
            writer.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
            version = writer.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                writer.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}PRAGMA user_version={SCHEMA_VERSION};COMMIT;")
            elif version != SCHEMA_VERSION:
                raise CannotStart(
                    f"{self.path} was written by another version of logsvc (format {version}, not {SCHEMA_VERSION}); "
                    "start that version"
                )
        except sqlite3.Error as exc:
            raise CannotStart(
                f"the catalog {self.path} cannot be opened: {exc}. `logsvc doctor` says more; "
                f"a copy at most a day old lies beside it as {COPY}"
            ) from exc
        return writer

    @contextmanager
    def reader(self) -> Iterator[sqlite3.Connection]:
        """A connection that only reads, for the length of the block."""
        try:
            reader = self._readers.get_nowait()
        except queue.Empty:
            reader = self._connect()
            reader.execute("PRAGMA query_only=1")
            reader.execute("PRAGMA wal_autocheckpoint=0")
        try:
            yield reader
        except sqlite3.Error as exc:
            raise translated(exc) from exc
        finally:
            if self._closed:
                reader.close()
            else:
                self._readers.put(reader)

    def close(self) -> None:
        """Close the readers; the writer belongs to its thread."""
        self._closed = True
        with suppress(queue.Empty):
            while True:
                self._readers.get_nowait().close()

    def copy_to(self, target: Path) -> None:
        """A consistent copy of the database in another file, replaced at once."""
        part = target.with_suffix(".part")
        part.unlink(missing_ok=True)
        with self.reader() as reader:
            copy = sqlite3.connect(part)
            try:
                reader.backup(copy)  # in one step: from one snapshot, however much is written meanwhile
                copy.execute("PRAGMA journal_mode=DELETE")
            finally:
                copy.close()
        file = os.open(part, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)
        part.replace(target)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, isolation_level=None, check_same_thread=False, timeout=10.0, cached_statements=256
        )
        connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        return connection


def lock_folder(folder: Path) -> int:
    """
    Make the data folder if need be and take it for this process.

    Returns: a descriptor that holds the lock until it is closed.

    Raises: CannotStart.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise CannotStart(
            f"the data folder {folder} cannot be used: {exc.strerror}; choose another with --data-dir"
        ) from exc
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        os.close(file)
        raise CannotStart(
            f"another logsvc uses the data folder {folder}; stop that one, or choose another folder with --data-dir"
        ) from exc
    return file


def translated(exc: sqlite3.Error | OSError) -> LogsvcError:
    """A foreign exception as one of ours."""
    name = getattr(exc, "sqlite_errorname", "") or ""
    if (isinstance(exc, OSError) and exc.errno in (28, 122)) or name.startswith("SQLITE_FULL"):  # ENOSPC, EDQUOT
        return DiskFull(
            "the disk of the data folder is full; nothing was stored. It goes on by itself when there is room"
        )
    return StoreUnavailable(f"the store cannot make data durable: {exc}; nothing of this request was stored")
