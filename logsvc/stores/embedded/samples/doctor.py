"""Is every sample there and sound, once, and are the pooled sums theirs?

Unpacks every column of every block and adds up again what the sums say. Changes nothing; one snapshot,
so the service may go on writing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from logsvc.model.sample import DEVICE_KINDS, READINGS, SeriesName
from logsvc.stores.embedded.samples.batch import unpack_batches
from logsvc.stores.embedded.samples.blocks import Table, table_of_parts
from logsvc.stores.embedded.samples.layout import Times
from logsvc.stores.embedded.samples.numbers import Damaged
from logsvc.stores.embedded.samples.schema import SAMPLES, part_name
from logsvc.stores.embedded.samples.tasks import Sums

Problem = tuple[str, str]  # where, and what


@dataclass
class _Seen:
    """What was found of one series."""

    name: SeriesName
    sums: Sums = field(default_factory=Sums)
    times: list[Times] = field(default_factory=list)


def problems(data_dir: Path) -> Iterator[Problem]:
    """Everything that is wrong with the samples of a data folder; none where it has none."""
    path = data_dir / SAMPLES
    if not path.is_file():
        return
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            connection.execute("BEGIN")  # one snapshot
            yield from _all(connection)
    except sqlite3.Error as exc:
        yield (
            str(path),
            f"the samples cannot be read: {exc}. Logs do not need them: without this file the service starts",
        )


def _all(connection: sqlite3.Connection) -> Iterator[Problem]:
    for (line,) in connection.execute("PRAGMA integrity_check(20)"):
        if line != "ok":
            yield SAMPLES, f"the database is damaged: {line}"
    for what, statement in (
        ("blocks of no task", "SELECT COUNT(*) FROM blocks WHERE task NOT IN (SELECT id FROM tasks)"),
        ("columns of no block", "SELECT COUNT(*) FROM parts WHERE block NOT IN (SELECT id FROM blocks)"),
        ("batches of no task", "SELECT COUNT(*) FROM tails WHERE task NOT IN (SELECT id FROM tasks)"),
    ):
        (count,) = connection.execute(statement).fetchone()
        if count:
            yield SAMPLES, f"{count} {what}"
    tails: dict[int, list[tuple[int, bytes]]] = {}
    for id_, task, data in connection.execute("SELECT id, task, data FROM tails ORDER BY id"):
        tails.setdefault(task, []).append((id_, data))
    for id_, job, task, packed_through in connection.execute("SELECT id, job, task, packed_through FROM tasks"):
        for where, what in _task(connection, id_, task, packed_through, tails.get(id_, [])):
            yield f"{SAMPLES}: job {job}, {task}{where}", what


def _task(
    connection: sqlite3.Connection, id_: int, task: str, packed_through: int, tail: list[tuple[int, bytes]]
) -> Iterator[Problem]:
    seen = {
        series: _Seen(SeriesName(task, kind, name))
        for series, kind, name in connection.execute("SELECT id, kind, name FROM series WHERE task = ?", (id_,))
    }
    for block, *known in connection.execute(
        "SELECT id, first_ms, last_ms, samples FROM blocks WHERE task = ? ORDER BY id", (id_,)
    ).fetchall():
        parts = dict(connection.execute("SELECT name, data FROM parts WHERE block = ?", (block,)).fetchall())
        try:
            table = table_of_parts(parts)
            missing = _missing(table, parts)
            _take(table, seen)
        except (Damaged, KeyError) as exc:
            yield f", block {block}", f"{exc}; its {known[2]} samples are lost"
            continue
        layout = table.layout
        if missing:
            yield f", block {block}", f"no column {', '.join(missing)}"
        if known != [layout.first_ms, layout.last_ms, layout.samples]:
            yield f", block {block}", f"holds {layout.samples} samples; its row says {known[2]}, or other times"
    packed = {series: one.sums for series, one in seen.items()}
    for row in connection.execute(
        "SELECT id, last_ms, sum_micropercent, count, first_read_ms, last_read_ms FROM series WHERE task = ?", (id_,)
    ):
        if Sums(*row[1:]) != packed[row[0]]:
            yield f", {_told(seen[row[0]])}", f"its sums are {Sums(*row[1:])}; its blocks say {packed[row[0]]}"
    for row_id, data in tail:
        try:
            records = unpack_batches([data])
            for series in np.unique(records.series).tolist():
                seen[series].times.append(records.at_ms[records.series == series])
        except (Damaged, KeyError) as exc:
            yield f", batch {row_id}", f"{exc}; its samples are lost"
        if row_id <= packed_through:
            yield f", batch {row_id}", f"is said to be packed (all up to {packed_through}), and is there"
    for one in seen.values():
        times = np.concatenate([np.zeros(0, np.int64), *one.times])
        twice = len(times) - len(np.unique(times))
        if twice:
            yield f", {_told(one)}", f"{twice} samples are held twice"


def _missing(table: Table, parts: dict[str, bytes]) -> list[str]:
    """Columns that are not there, once those that are have been unpacked; raises Damaged."""
    missing = []
    for kind in table.layout.kinds():
        for reading in READINGS[kind]:
            table.column(kind, reading)
            if part_name(kind, reading) not in parts:
                missing.append(part_name(kind, reading))
    return missing


def _take(table: Table, seen: dict[int, _Seen]) -> None:
    """Count what a block holds. Raises Damaged, KeyError for a series that the task has not."""
    for kind in table.layout.kinds():
        column = (
            table.column(kind, "utilization_percent") if kind in DEVICE_KINDS else np.zeros(table.layout.size_of(kind))
        )
        for run, times, matrix in table.layout.matrices(kind, column):
            if (np.diff(times) <= 0).any():
                raise Damaged("its times do not ascend")
            for id_, values in zip(run.series, matrix, strict=True):
                if seen[id_].name.kind != kind:
                    raise Damaged(f"series {id_} is no {kind}")
                sums = seen[id_].sums.with_sample(int(times[-1]))
                seen[id_].sums = sums.with_readings(times, values) if kind in DEVICE_KINDS else sums
                seen[id_].times.append(times)


def _told(one: _Seen) -> str:
    return f"{one.name.kind} {one.name.name}".rstrip()
