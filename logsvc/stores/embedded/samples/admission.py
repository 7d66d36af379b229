"""Which samples are new, and their rows: what a transaction does before its commit.

Nearly every sample is younger than all before it of its series, and that is known without a look.
The others are looked for in the tail and in those blocks that reach over their time.
"""

from __future__ import annotations

import logging
import sqlite3
from collections import OrderedDict
from collections.abc import Iterable, Sequence

import numpy as np

from logsvc.model.sample import DEVICE_KINDS, Sample
from logsvc.stores.embedded.samples.batch import pack_batch, unpack_batches
from logsvc.stores.embedded.samples.layout import Layout, unpack_layout
from logsvc.stores.embedded.samples.numbers import Damaged
from logsvc.stores.embedded.samples.schema import LAYOUT
from logsvc.stores.embedded.samples.tasks import Row, Series, Sums, Task, Tasks, load_task

LAYOUTS = 64  # kept unpacked for late samples

log = logging.getLogger("logsvc.samples")

Place = tuple[int, int]  # series and time


class Admission:
    """Drafts of one transaction at a time; then `publish` or `take_back`."""

    def __init__(self, connection: sqlite3.Connection, tasks: Tasks) -> None:
        self._connection = connection
        self._tasks = tasks
        self._next = {
            "tasks": self._above("SELECT MAX(id) FROM tasks"),
            "series": self._above("SELECT MAX(id) FROM series"),
            # Never again a number that was packed: readers know by it which rows are in a block.
            "tails": self._above(
                "SELECT MAX(id) FROM (SELECT id FROM tails UNION ALL SELECT packed_through FROM tasks)"
            ),
        }
        self._layouts: OrderedDict[int, Layout | None] = OrderedDict()
        self._new_tasks: list[Task] = []
        self._touched: dict[int, Task] = {}
        self._changed: dict[int, tuple[Task, Series]] = {}

    def add(self, job: str, samples: Sequence[Sample], now: float) -> int:
        """Write those that are new; how many they are."""
        by_task: dict[str, list[Sample]] = {}
        for sample in samples:
            by_task.setdefault(sample.series.task, []).append(sample)
        return sum(self._add(self._task(job, name, now), of_task) for name, of_task in by_task.items())

    def publish(self) -> list[Task]:
        """The commit is done: readers see it. Returns the tasks with more samples."""
        for _, series in self._changed.values():
            series.held = series.draft
        grown = list(self._touched.values())
        for task in grown:
            task.publish_tail()
        self._forget_drafts()
        return grown

    def take_back(self) -> None:
        """There was no commit: everything is as it was before."""
        for task, series in self._changed.values():
            if series.held is None:
                del task.series[series.name.kind, series.name.name]
                self._tasks.series -= 1
            else:
                series.draft = series.held
        for task in self._touched.values():
            task.take_back_tail()
        self._tasks.drop(self._new_tasks)
        self._forget_drafts()

    def _forget_drafts(self) -> None:
        self._new_tasks, self._touched, self._changed = [], {}, {}

    def _task(self, job: str, name: str, now: float) -> Task:
        task = self._tasks.get(job, name)
        if task is None:
            task = load_task(self._connection, job, name)
            if task is None:
                task = Task(self._id("tasks"), job, name)
                self._connection.execute("INSERT INTO tasks VALUES (?, ?, ?, 0)", (task.id, job, name))
                self._new_tasks.append(task)
            self._tasks.add(task)
        task.touched_at = now
        return task

    def _add(self, task: Task, samples: Sequence[Sample]) -> int:
        new: list[tuple[Series, Sample]] = []
        late: list[tuple[Series, Sample]] = []
        for sample in samples:
            series = task.series.get(sample.series[1:]) or self._new_series(task, sample)
            self._changed[series.id] = (task, series)
            latest = series.draft.last_ms
            if latest is None or sample.at_ms > latest:
                series.draft = series.draft.with_sample(sample.at_ms)
                new.append((series, sample))
            else:
                late.append((series, sample))
        if late:
            new += self._not_held(task, late, {(series.id, sample.at_ms) for series, sample in new})
        if not new:
            return 0
        for series, sample in new:
            if sample.series.kind in DEVICE_KINDS:
                series.draft = series.draft.with_reading(sample.at_ms, sample.values[0])
        data = pack_batch((series.id, sample.at_ms, sample.values) for series, sample in new)
        row = Row(self._id("tails"), len(new), data)
        self._connection.execute("INSERT INTO tails VALUES (?, ?, ?)", (row.id, task.id, data))
        task.rows.append(row)
        task.tail_samples += row.samples
        self._touched[task.id] = task
        return len(new)

    def _new_series(self, task: Task, sample: Sample) -> Series:
        name = sample.series
        series = task.series[name.kind, name.name] = Series(self._id("series"), name, Sums())
        self._connection.execute(
            "INSERT INTO series VALUES (?, ?, ?, ?, NULL, 0, 0, 0, 0)", (series.id, task.id, name.kind, name.name)
        )
        self._tasks.series += 1
        return series

    def _not_held(
        self, task: Task, late: list[tuple[Series, Sample]], taken: set[Place]
    ) -> Iterable[tuple[Series, Sample]]:
        """Those of the late samples that are nowhere yet."""
        times: dict[int, set[int]] = {}
        for series, sample in late:
            times.setdefault(series.id, set()).add(sample.at_ms)
        held = taken | self._in_tail(task, times) | self._in_blocks(task, times)
        for series, sample in late:
            place = (series.id, sample.at_ms)
            if place not in held:
                held.add(place)
                yield series, sample

    def _in_tail(self, task: Task, times: dict[int, set[int]]) -> set[Place]:
        records = unpack_batches(row.data for row in task.rows)
        mine = np.isin(records.series, list(times))
        places = zip(records.series[mine].tolist(), records.at_ms[mine].tolist(), strict=True)
        return {(id_, at) for id_, at in places if at in times[id_]}

    def _in_blocks(self, task: Task, times: dict[int, set[int]]) -> set[Place]:
        found: set[Place] = set()
        first, last = min(map(min, times.values())), max(map(max, times.values()))
        for (block,) in self._connection.execute(
            "SELECT id FROM blocks WHERE task = ? AND last_ms >= ? AND first_ms <= ?", (task.id, first, last)
        ).fetchall():
            layout = self._layout(block)
            for run in layout.runs if layout else ():
                for id_ in times.keys() & set(run.series):
                    wanted = np.array(list(times[id_]), dtype=np.int64)
                    held = wanted[np.isin(wanted, layout.groups[run.times])]  # type: ignore[union-attr]
                    found.update((id_, at) for at in held.tolist())
        return found

    def _layout(self, block: int) -> Layout | None:
        """What a block holds; None where that cannot be read: a sample must not be refused for ever."""
        if block not in self._layouts:
            (data,) = self._connection.execute(
                "SELECT data FROM parts WHERE block = ? AND name = ?", (block, LAYOUT)
            ).fetchone() or (b"",)
            try:
                self._layouts[block] = unpack_layout(data)
            except Damaged as exc:
                log.error("block_damaged", extra={"reason": f"block {block}: {exc}"})
                self._layouts[block] = None
            if len(self._layouts) > LAYOUTS:
                self._layouts.popitem(last=False)
        self._layouts.move_to_end(block)
        return self._layouts[block]

    def _above(self, highest: str) -> int:
        return int(self._connection.execute(highest).fetchone()[0] or 0) + 1

    def _id(self, table: str) -> int:
        number = self._next[table]
        self._next[table] += 1
        return number
