"""One SQLite database of the data folder: who writes it, who reads it, and its errors as ours.

One connection writes and checkpoints, ever: SQLite up to 3.51.2 can corrupt a WAL when two do.
Readers are `query_only` and never checkpoint.
"""

from __future__ import annotations

import os
import queue
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from logsvc.errors import CannotStart, DiskFull, LogsvcError, StoreUnavailable

JOURNAL_BYTES = 16 * 1024 * 1024  # then the writer checkpoints by itself
CACHE_KIB = 8 * 1024


class Database:
    """
    Owner of a database file and of its connections.

    Args:
        schema, version: what an empty file becomes; another version does not start.
        remedy: a sentence for whoever cannot open it.
    """

    def __init__(self, path: Path, *, schema: str, version: int, page_bytes: int, remedy: str) -> None:
        self.path = path
        self._schema, self._version, self._page_bytes, self._remedy = schema, version, page_bytes, remedy
        self._readers: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()
        self._closed = False

    def open_writer(self) -> sqlite3.Connection:
        """The one connection that writes; makes the schema in an empty folder. Raises CannotStart."""
        try:
            writer = self._connect()
            try:
                self._prepare(writer)
            except BaseException:
                writer.close()
                raise
        except sqlite3.Error as exc:
            raise CannotStart(f"the database {self.path} cannot be opened: {exc}. {self._remedy}") from exc
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

    def _prepare(self, writer: sqlite3.Connection) -> None:
        writer.execute("PRAGMA busy_timeout=0")  # it is alone; a checkpoint does not wait for readers
        writer.execute(f"PRAGMA page_size={self._page_bytes}")
        writer.execute("PRAGMA auto_vacuum=INCREMENTAL")
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("PRAGMA synchronous=FULL")
        writer.execute("PRAGMA secure_delete=0")
        writer.execute(f"PRAGMA journal_size_limit={JOURNAL_BYTES}")
        writer.execute(f"PRAGMA wal_autocheckpoint={JOURNAL_BYTES // self._page_bytes}")
        version = writer.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            writer.executescript(f"BEGIN IMMEDIATE;{self._schema}PRAGMA user_version={self._version};COMMIT;")
        elif version != self._version:
            raise CannotStart(
                f"{self.path} was written by another version of logsvc (format {version}, not {self._version}); "
                "start that version"
            )

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, isolation_level=None, check_same_thread=False, timeout=10.0, cached_statements=256
        )
        connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        return connection


def translated(exc: sqlite3.Error | OSError) -> LogsvcError:
    """A foreign exception as one of ours."""
    name = getattr(exc, "sqlite_errorname", "") or ""
    if (isinstance(exc, OSError) and exc.errno in (28, 122)) or name.startswith("SQLITE_FULL"):  # ENOSPC, EDQUOT
        return DiskFull(
            "the disk of the data folder is full; nothing was stored. It goes on by itself when there is room"
        )
    return StoreUnavailable(f"the store cannot make data durable: {exc}; nothing of this request was stored")
