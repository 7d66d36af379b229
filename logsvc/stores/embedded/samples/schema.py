"""The database of samples, beside the catalog: a task's series, its tail, its blocks.

tails    one row a batch, as it came; all of a task's become a block when there are enough
blocks   samples of one task, packed: `parts` has its layout (name "") and a column for each
         reading of each kind (name "gpu.power_watts")
series   names, and what is packed of each: the latest time and the pooled utilization. With the
         tail added that is all there is, so sums stay exact whatever a crash takes away
"""

from __future__ import annotations

from pathlib import Path

from logsvc.stores.embedded.database import Database

SAMPLES = "samples.db"
LAYOUT = ""  # name of a part
SCHEMA_VERSION = 1
PAGE_BYTES = 4 * 1024  # a batch is smaller, and a commit writes whole pages

_SCHEMA = """
CREATE TABLE tasks (
    id INTEGER PRIMARY KEY, job TEXT NOT NULL, task TEXT NOT NULL,
    packed_through INTEGER NOT NULL,  -- the last row of `tails` that is in a block
    UNIQUE (job, task)
);
CREATE TABLE series (
    id INTEGER PRIMARY KEY, task INTEGER NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,
    last_ms INTEGER, sum_micropercent INTEGER NOT NULL, count INTEGER NOT NULL,
    first_read_ms INTEGER NOT NULL, last_read_ms INTEGER NOT NULL,
    UNIQUE (task, kind, name)
);
CREATE TABLE tails (id INTEGER PRIMARY KEY, task INTEGER NOT NULL, data BLOB NOT NULL);
CREATE TABLE blocks (
    id INTEGER PRIMARY KEY, task INTEGER NOT NULL, level INTEGER NOT NULL,
    first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL, samples INTEGER NOT NULL
);
CREATE INDEX blocks_by_time ON blocks (task, last_ms, first_ms);
CREATE TABLE parts (id INTEGER PRIMARY KEY, block INTEGER NOT NULL, name TEXT NOT NULL, data BLOB NOT NULL);
CREATE UNIQUE INDEX parts_by_name ON parts (block, name);
"""


def samples_database(folder: Path) -> Database:
    """The samples of a data folder; its writer is to be opened first."""
    remedy = f"`logsvc doctor` says more. Logs do not need it: without {SAMPLES} the service starts, with no samples"
    return Database(folder / SAMPLES, schema=_SCHEMA, version=SCHEMA_VERSION, page_bytes=PAGE_BYTES, remedy=remedy)


def part_name(kind: str, reading: str) -> str:
    """Name of the part with a column."""
    return f"{kind}.{reading}"
