"""What is known in memory of the tasks that send samples: their series, sums, and tails.

Changed by the writer alone. It works on drafts and publishes them after the commit; readers see what
was published, in objects that are replaced and never changed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from logsvc.model.sample import DEVICE_KINDS, Pooled, SeriesName
from logsvc.stores.embedded.samples.batch import unpack_batches
from logsvc.stores.readings import MICROPERCENT, micropercent

MAX_SERIES = 50_000  # in memory; beyond it, tasks without a tail are forgotten


class Sums(NamedTuple):
    """What is held of a series, as a whole."""

    last_ms: int | None = None  # the latest sample
    sum_micropercent: int = 0  # of utilization readings, and so are these
    readings: int = 0
    first_read_ms: int = 0
    last_read_ms: int = 0

    def with_sample(self, at_ms: int) -> Sums:
        """And one more sample."""
        latest = at_ms if self.last_ms is None else max(self.last_ms, at_ms)
        return Sums(latest, self.sum_micropercent, self.readings, self.first_read_ms, self.last_read_ms)

    def with_reading(self, at_ms: int, percent: float | None) -> Sums:
        """And the utilization of one sample."""
        if percent is None or percent != percent:
            return self
        return Sums(
            self.last_ms,
            self.sum_micropercent + round(percent * MICROPERCENT),
            self.readings + 1,
            min(at_ms, self.first_read_ms) if self.readings else at_ms,
            max(at_ms, self.last_read_ms) if self.readings else at_ms,
        )

    def with_readings(self, at_ms: NDArray[np.int64], percent: NDArray[np.float64]) -> Sums:
        """And the utilization of these samples; NaN: none."""
        read = ~np.isnan(percent)
        if not read.any():
            return self
        first, last = int(at_ms[read].min()), int(at_ms[read].max())
        return Sums(
            self.last_ms,
            self.sum_micropercent + int(micropercent(percent[read]).sum()),
            self.readings + int(read.sum()),
            min(first, self.first_read_ms) if self.readings else first,
            max(last, self.last_read_ms) if self.readings else last,
        )


@dataclass
class Series:
    """One series of a task."""

    id: int
    name: SeriesName
    draft: Sums
    held: Sums | None = None  # committed; None: not yet

    def pooled(self) -> Pooled | None:
        """What readers get; None where there is nothing."""
        held = self.held
        if held is None or not held.readings or self.name.kind not in DEVICE_KINDS:
            return None
        return Pooled(self.name, held.sum_micropercent, held.readings, held.first_read_ms, held.last_read_ms)


class Row(NamedTuple):
    """A batch in the tail."""

    id: int
    samples: int
    data: bytes


@dataclass
class Task:
    """One task of a job."""

    id: int
    job: str
    name: str
    series: dict[tuple[str, str], Series] = field(default_factory=dict)  # by kind and name
    rows: list[Row] = field(default_factory=list)  # draft; grows, or is replaced
    held: tuple[list[Row], int] = field(default_factory=lambda: ([], 0))  # committed: the first so many of these
    tail_samples: int = 0
    touched_at: float = 0.0  # of the monotonic clock
    pack_from: int = 0  # samples; set when packing has failed

    def tail(self) -> list[Row]:
        """The committed tail."""
        rows, count = self.held
        return rows[:count]

    def publish_tail(self) -> None:
        """The draft is committed."""
        self.held = (self.rows, len(self.rows))

    def take_back_tail(self) -> None:
        """The draft is not committed."""
        del self.rows[self.held[1] :]
        self.tail_samples = sum(row.samples for row in self.rows)

    def clear_tail(self) -> None:
        """All of it is packed."""
        self.rows, self.tail_samples, self.pack_from = [], 0, 0
        self.publish_tail()

    def by_id(self) -> dict[int, Series]:
        """Its series by their numbers."""
        return {one.id: one for one in list(self.series.values())}


class Tasks:
    """Tasks in memory, each at most once."""

    def __init__(self) -> None:
        self._jobs: dict[str, dict[str, Task]] = {}
        self.series = 0

    def get(self, job: str, task: str) -> Task | None:
        """One task if it is in memory."""
        return self._jobs.get(job, {}).get(task)

    def of_job(self, job: str) -> list[Task]:
        """Those of a job."""
        return list(self._jobs.get(job, {}).values())

    def all(self) -> list[Task]:
        """Every one."""
        return [task for tasks in list(self._jobs.values()) for task in list(tasks.values())]

    def add(self, task: Task) -> None:
        """Take one up."""
        self._jobs.setdefault(task.job, {})[task.name] = task
        self.series += len(task.series)

    def drop(self, tasks: Iterable[Task]) -> None:
        """Forget tasks; what is held of them is in the database."""
        for task in tasks:
            held = self._jobs.get(task.job, {})
            if held.pop(task.name, None) is not None:
                self.series -= len(task.series)
                if not held:
                    del self._jobs[task.job]

    def trim(self) -> None:
        """Keep memory bounded; called by the writer, between commits."""
        if self.series > MAX_SERIES:
            for task in sorted(self.all(), key=lambda one: one.touched_at):
                if self.series <= MAX_SERIES // 2:
                    break
                if not task.rows:
                    self.drop([task])


def load_task(connection: sqlite3.Connection, job: str, name: str, tail: list[Row] | None = None) -> Task | None:
    """
    A task as it is committed; None where there is none.

    Args:
        tail: its rows; a task that is not in memory has none.
    """
    found = connection.execute("SELECT id FROM tasks WHERE job = ? AND task = ?", (job, name)).fetchone()
    if found is None:
        return None
    task = Task(found[0], job, name, rows=tail or [])
    for id_, kind, series, *sums in connection.execute(
        "SELECT id, kind, name, last_ms, sum_micropercent, count, first_read_ms, last_read_ms FROM series "
        "WHERE task = ?",
        (task.id,),
    ):
        task.series[kind, series] = Series(id_, SeriesName(name, kind, series), Sums(*sums))
    _add_tail(task)
    for one in task.series.values():
        one.held = one.draft
    task.tail_samples = sum(row.samples for row in task.rows)
    task.publish_tail()
    return task


def _add_tail(task: Task) -> None:
    """What is not packed counts, too."""
    records = unpack_batches(row.data for row in task.rows)
    by_id = task.by_id()
    for id_ in np.unique(records.series).tolist():
        one, mine = by_id[id_], records.series == id_
        one.draft = one.draft.with_sample(int(records.at_ms[mine].max()))
        if one.name.kind in DEVICE_KINDS:
            one.draft = one.draft.with_readings(records.at_ms[mine], records.values[mine, 0])
