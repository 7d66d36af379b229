"""The catalog: one SQLite database with streams, chunks, tails, filters of the open group and records."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from logsvc.errors import CannotStart
from logsvc.stores.embedded.database import Database

CATALOG = "catalog.db"
COPY = "catalog-copy.db"
FILTERS = "filters.bin"
SEGMENTS = "segments"
LOCK = "lock"

SCHEMA_VERSION = 2
PAGE_BYTES = 16 * 1024

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


class Catalog(Database):
    """The catalog of a data folder."""

    def __init__(self, folder: Path) -> None:
        remedy = f"`logsvc doctor` says more; a copy at most a day old lies beside it as {COPY}"
        super().__init__(folder / CATALOG, schema=_SCHEMA, version=SCHEMA_VERSION, page_bytes=PAGE_BYTES, remedy=remedy)


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
