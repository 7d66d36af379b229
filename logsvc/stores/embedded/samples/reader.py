"""Reading samples: blocks and tails of a job as one committed state; any number of threads."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from logsvc.errors import StoreUnavailable
from logsvc.model.sample import DEVICE_KINDS, READINGS, Pooled, SampleQuery, SeriesName
from logsvc.ports import BucketSeries, RawSeries
from logsvc.stores.embedded.database import Database
from logsvc.stores.embedded.samples.batch import unpack_batches
from logsvc.stores.embedded.samples.blocks import Table, table_of_parts, table_of_records
from logsvc.stores.embedded.samples.buckets import Filling
from logsvc.stores.embedded.samples.layout import Records, Run, Times
from logsvc.stores.embedded.samples.numbers import Damaged
from logsvc.stores.embedded.samples.schema import LAYOUT, part_name
from logsvc.stores.embedded.samples.tasks import Tasks
from logsvc.stores.readings import bucket_edges, is_asked, readings_asked, series_order


class OfTask(NamedTuple):
    """Samples of one task."""

    names: dict[int, SeriesName]  # of its series that are asked for
    tables: Iterator[Table]  # each sample in one of them; with more series, and times, than asked for


class SampleReader:
    """What a job's samples say."""

    def __init__(self, database: Database, tasks: Tasks) -> None:
        self._database = database
        self._tasks = tasks

    def series(self, job: str, kinds: Sequence[str]) -> list[SeriesName]:
        """All series of a job of these kinds."""
        with self._database.reader() as reader:
            rows = reader.execute(
                "SELECT task.task, series.kind, series.name FROM tasks AS task JOIN series ON series.task = task.id "
                f"WHERE task.job = ? AND series.kind IN ({_marks(kinds)})",
                (job, *kinds),
            ).fetchall()
        return sorted(itertools.starmap(SeriesName, rows), key=series_order)

    def raw(self, job: str, query: SampleQuery) -> list[RawSeries]:
        """Every sample asked for."""
        with _damage_told(job):
            return self._raw(job, query)

    def bucketed(self, job: str, query: SampleQuery, buckets: int) -> list[BucketSeries]:
        """Samples by equal spans of time, in one pass over the blocks."""
        with _damage_told(job):
            return self._bucketed(job, query, buckets)

    def pooled(self, jobs: Sequence[str]) -> dict[str, list[Pooled]]:
        """Exact sums of the utilization of each card."""
        in_memory = {task.id: task for job in jobs for task in self._tasks.of_job(job)}
        found = {id_: [one.pooled() for one in list(task.series.values())] for id_, task in in_memory.items()}
        by_job: dict[str, list[Pooled]] = {}
        for id_, cards in found.items():
            by_job.setdefault(in_memory[id_].job, []).extend(card for card in cards if card is not None)
        for job, card in self._packed_pools(jobs, in_memory.keys()):
            by_job.setdefault(job, []).append(card)
        return {job: sorted(by_job[job], key=lambda card: series_order(card.series)) for job in jobs if by_job.get(job)}

    def _raw(self, job: str, query: SampleQuery) -> list[RawSeries]:
        pieces: dict[SeriesName, list[RawSeries]] = {}
        for names, tables in self._tasks_of(job, query):
            for run, times, values in _runs(tables, query):
                start, end = np.searchsorted(times, (query.start_ms, query.end_ms)).tolist()
                for row, id_ in enumerate(run.series if start < end else ()):
                    if id_ in names:
                        readings = {reading: matrix[row, start:end] for reading, matrix in values.items()}
                        piece = RawSeries(names[id_], times[start:end], readings)
                        pieces.setdefault(names[id_], []).append(piece)
        return [_together(pieces[series]) for series in sorted(pieces, key=series_order)]

    def _bucketed(self, job: str, query: SampleQuery, buckets: int) -> list[BucketSeries]:
        edges = bucket_edges(query, buckets)
        rows: dict[SeriesName, int] = {}
        fillings: dict[str, Filling] = {}
        series = [one for one in self.series(job, query.kinds) if is_asked(query, one)]
        for kind in dict.fromkeys(one.kind for one in series):
            of_kind = [one for one in series if one.kind == kind]
            rows.update((one, row) for row, one in enumerate(of_kind))
            fillings[kind] = Filling(of_kind, readings_asked(query, kind), edges)
        for names, tables in self._tasks_of(job, query):
            row_of = {id_: rows[name] for id_, name in names.items() if name in rows}
            for run, times, values in _runs(tables, query):
                wanted = [at for at, id_ in enumerate(run.series) if id_ in row_of]
                if wanted:
                    into = [row_of[run.series[at]] for at in wanted]
                    if len(wanted) < len(run.series):
                        values = {reading: matrix[wanted] for reading, matrix in values.items()}
                    fillings[run.kind].add(into, times, values)
        found = [one for filling in fillings.values() for one in filling.result()]
        return sorted(found, key=lambda one: series_order(one.series))

    def _packed_pools(self, jobs: Sequence[str], known: Container[int]) -> Iterator[tuple[str, Pooled]]:
        """Of tasks that are not in memory: all of them is packed."""
        with self._database.reader() as reader:
            for job in dict.fromkeys(jobs):
                for id_, task, kind, name, *sums in reader.execute(
                    "SELECT task.id, task.task, kind, name, sum_micropercent, count, first_read_ms, last_read_ms "
                    "FROM tasks AS task JOIN series ON series.task = task.id "
                    f"WHERE task.job = ? AND kind IN ({_marks(DEVICE_KINDS)}) AND count > 0",
                    (job, *DEVICE_KINDS),
                ).fetchall():
                    if id_ not in known:
                        yield job, Pooled(SeriesName(task, kind, name), *sums)

    def _tasks_of(self, job: str, query: SampleQuery) -> Iterator[OfTask]:
        """
        What may be asked for, as one committed state.

        Tails are taken first: what was packed since is known by the number of its row.
        """
        tails = {task.id: task.tail() for task in self._tasks.of_job(job)}
        with self._database.reader() as reader, _snapshot(reader):
            for id_, task, packed_through in reader.execute(
                "SELECT id, task, packed_through FROM tasks WHERE job = ?", (job,)
            ).fetchall():
                # Of these kinds only: a task that starts processes again and again has very many of those.
                rows = reader.execute(
                    f"SELECT id, kind, name FROM series WHERE task = ? AND kind IN ({_marks(query.kinds)})",
                    (id_, *query.kinds),
                ).fetchall()
                names = {series: SeriesName(task, kind, name) for series, kind, name in rows}
                asked = {series: name for series, name in names.items() if is_asked(query, name)}
                if asked:
                    tail = [row.data for row in tails.get(id_, ()) if row.id > packed_through]
                    yield OfTask(asked, itertools.chain(_blocks(reader, id_, query), _tail(tail, asked)))


def _marks(values: Sequence[str]) -> str:
    return ", ".join("?" * len(values))


def _runs(tables: Iterator[Table], query: SampleQuery) -> Iterator[tuple[Run, Times, dict[str, NDArray[np.float64]]]]:
    """Series of one kind at the same times, with the readings asked for, shape (series, times) each."""
    for table in tables:
        for kind in table.layout.kinds():
            readings = readings_asked(query, kind)
            columns = [table.layout.matrices(kind, table.column(kind, reading)) for reading in readings]
            for runs in zip(*columns, strict=True):
                run, times, _ = runs[0]
                yield run, times, {name: part[2] for name, part in zip(readings, runs, strict=True)}


def _tail(batches: list[bytes], names: dict[int, SeriesName]) -> Iterator[Table]:
    records = unpack_batches(batches)
    mine = np.isin(records.series, list(names))
    if mine.any():
        asked = Records(records.series[mine], records.at_ms[mine], records.values[mine])
        yield table_of_records(asked, lambda one: names[one].kind)


def _blocks(reader: sqlite3.Connection, task: int, query: SampleQuery) -> Iterator[Table]:
    """A task's blocks that reach into the time asked for, with the columns asked for."""
    names = [LAYOUT, *(part_name(kind, name) for kind in READINGS for name in readings_asked(query, kind))]
    rows = reader.execute(
        "SELECT block, name, data FROM parts "
        "WHERE block IN (SELECT id FROM blocks WHERE task = ? AND last_ms >= ? AND first_ms < ?) "
        f"AND name IN ({_marks(names)}) ORDER BY block",
        (task, query.start_ms, query.end_ms, *names),
    )
    for _, parts in itertools.groupby(rows, key=lambda row: row[0]):
        yield table_of_parts({name: data for _, name, data in parts})


@contextmanager
def _snapshot(reader: sqlite3.Connection) -> Iterator[None]:
    """One state for everything that is read within."""
    reader.execute("BEGIN")
    try:
        yield
    finally:
        if reader.in_transaction:
            reader.execute("COMMIT")


@contextmanager
def _damage_told(job: str) -> Iterator[None]:
    try:
        yield
    except Damaged as exc:
        raise StoreUnavailable(f"a block of samples of job {job} is damaged; `logsvc doctor` says which") from exc


def _together(pieces: list[RawSeries]) -> RawSeries:
    """Pieces of one series by time."""
    if len(pieces) == 1:
        return pieces[0]
    at_ms = np.concatenate([piece.at_ms for piece in pieces])
    order = np.argsort(at_ms, kind="stable")
    readings = {name: np.concatenate([piece.readings[name] for piece in pieces])[order] for name in pieces[0].readings}
    return RawSeries(pieces[0].series, at_ms[order], readings)
