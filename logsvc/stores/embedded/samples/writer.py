"""The one thread that changes the database of samples: group commit, then packing.

It takes every batch that is queued when it wakes as one transaction and one sync, then tells those
who wait. Between commits it packs: a task's tail becomes a block, and blocks of one size become one
of the next, so that a long chart reads few.

Crash order: a batch is committed, then acknowledged. A block goes in, the tail or the blocks that it
is made of go out, and the sums of what is packed are written, all in one transaction.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from logsvc.errors import StoreUnavailable
from logsvc.model.sample import Sample
from logsvc.ports import Clock
from logsvc.stores.embedded.database import translated
from logsvc.stores.embedded.samples.admission import Admission
from logsvc.stores.embedded.samples.batch import unpack_batches
from logsvc.stores.embedded.samples.numbers import Damaged
from logsvc.stores.embedded.samples.packing import Packing
from logsvc.stores.embedded.samples.tasks import Row, Task, Tasks, load_task
from logsvc.stores.embedded.work import Outcome

PACK_SAMPLES = 1024  # a tail of so many is packed
MAX_TAIL_SAMPLES = 500_000  # of all tails together; then the largest are packed
QUIET_SECONDS = 1.0  # then the WAL is truncated and free pages are given back
GATHER_SECONDS = 0.1  # that a batch waits for others, if there are any
ALONE_SECONDS = 1.0  # without looking for them again
IDLE_SECONDS = 900.0  # a tail that nothing was added to for so long is packed
LOOK_SECONDS = 60.0  # between looks for those
VACUUM_PAGES = 4096  # given back at a time

log = logging.getLogger("logsvc.samples")

Deliver = Callable[[list[Outcome]], None]


@dataclass
class Add:
    """Samples to be made durable."""

    job: str
    samples: Sequence[Sample]
    future: asyncio.Future[int]


@dataclass
class PackJob:
    """A job whose tails are to be packed, and its blocks joined."""

    job: str
    future: asyncio.Future[None]


class SampleWriter:
    """Owner of the writing connection."""

    def __init__(self, connection: sqlite3.Connection, tasks: Tasks, clock: Clock, deliver: Deliver) -> None:
        self._connection = connection
        self._tasks = tasks
        self._clock = clock
        self._deliver = deliver
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._looked_at = clock.monotonic()
        self._alone_until = time.monotonic() + ALONE_SECONDS
        self._admission = Admission(connection, tasks)
        self._packing = Packing(connection)
        self._load_tails()
        self._thread = threading.Thread(target=self._run, name="samples", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def submit(self, item: Add | PackJob) -> None:
        """Queue work; its future is resolved on the event loop."""
        self._queue.put(item)

    def stop(self) -> None:
        """Finish what was queued, then end; waits for it."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        quiet = stopping = False
        while not stopping:
            items = []
            try:
                items.append(self._queue.get(timeout=LOOK_SECONDS if quiet else QUIET_SECONDS))
                self._gather(items)
            except queue.Empty:
                quiet = not self._tidy()
            stopping = None in items
            try:
                self._work([item for item in items if item is not None])
            except Exception as exc:
                log.error("writer_failed", exc_info=exc)
                failed = StoreUnavailable("the store failed inside; send again")
                self._deliver([Outcome(item.future, error=failed) for item in items if item is not None])
            quiet = quiet and not items
        self._tidy()
        self._connection.close()

    def _gather(self, items: list[Any]) -> None:
        """
        What else is queued. Where many send, it waits a moment for more: a commit costs the same for all of them.

        Where nobody else came in that moment, it does not wait again for a while: who sends one batch after another
        gets each answer at once.
        """
        waits = time.monotonic() >= self._alone_until and isinstance(items[0], Add)
        if waits:
            time.sleep(GATHER_SECONDS)
        with suppress(queue.Empty):
            while True:
                items.append(self._queue.get_nowait())
        if waits and len(items) == 1:
            self._alone_until = time.monotonic() + ALONE_SECONDS

    def _work(self, items: list[Add | PackJob]) -> None:
        adds = [item for item in items if isinstance(item, Add)]
        grown = self._commit(adds) if adds else []
        for item in items:
            if isinstance(item, PackJob):
                packed = [self._pack(task, whole=True) for task in self._tasks.of_job(item.job)]
                error = None if all(packed) else StoreUnavailable("the samples cannot be packed just now")
                self._deliver([Outcome(item.future, error=error)])
        for task in self._to_pack(grown):
            self._pack(task)
        self._tasks.trim()

    def _commit(self, adds: list[Add]) -> list[Task]:
        """
        All of them in one transaction; where it fails nothing of it happened, on disk or in memory.

        Returns: the tasks that have more samples now.
        """
        now = self._clock.monotonic()
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            added = [self._admission.add(item.job, item.samples, now) for item in adds]
            self._connection.execute("COMMIT")
        except Exception as exc:
            self._roll_back()
            self._admission.take_back()
            if isinstance(exc, (sqlite3.Error, OSError)):
                error = translated(exc)
                log.warning("commit_failed", extra={"reason": str(exc)})
            else:
                error = StoreUnavailable("the store failed inside; nothing of this request was stored")
                log.error("commit_failed", exc_info=exc)
            self._deliver([Outcome(item.future, error=error) for item in adds])
            return []
        grown = self._admission.publish()
        self._deliver([Outcome(item.future, new) for item, new in zip(adds, added, strict=True)])
        return grown

    def _roll_back(self) -> None:
        with suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    # Packing.

    def _to_pack(self, grown: list[Task]) -> list[Task]:
        """Tails that have grown enough, and now and then those that have not grown for long, or are too much."""
        now = self._clock.monotonic()
        found = [task for task in grown if task.tail_samples >= max(PACK_SAMPLES, task.pack_from)]
        if now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            others = [task for task in self._tasks.all() if task.rows and task not in found]
            found += [task for task in others if now - task.touched_at >= IDLE_SECONDS]
            excess = sum(task.tail_samples for task in others) - MAX_TAIL_SAMPLES
            for task in sorted(others, key=lambda one: -one.tail_samples):
                if excess <= 0:
                    break
                found.append(task)
                excess -= task.tail_samples
        return found

    def _pack(self, task: Task, *, whole: bool = False) -> bool:
        """
        A task's tail as a block, then blocks joined while there are enough of one size. False where it cannot be.

        Args:
            whole: join all blocks, however few.
        """
        try:
            if task.rows:
                self._in_transaction(lambda: self._packing.pack_tail(task))
                task.clear_tail()
            while self._in_transaction(lambda: self._packing.join_blocks(task, whole=whole)):
                pass
        except (sqlite3.Error, OSError, Damaged) as exc:
            # The tail is durable as it is. It is packed once it has grown, by when there may be room.
            task.pack_from = task.tail_samples + PACK_SAMPLES
            log.warning("pack_failed", extra={"job": task.job, "task": task.name, "reason": str(exc)})
            return False
        return True

    def _in_transaction(self, run: Callable[[], bool]) -> bool:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            done = run()
            self._connection.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        return done

    def _tidy(self) -> bool:
        """Truncate the WAL and give back some free pages. True while there is more to give back."""
        try:
            free = int(self._connection.execute("PRAGMA freelist_count").fetchone()[0])
            if free:
                self._connection.execute(f"PRAGMA incremental_vacuum({VACUUM_PAGES})").fetchall()
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error as exc:
            log.warning("checkpoint_failed", extra={"reason": str(exc)})
            return False
        return free > VACUUM_PAGES

    def _load_tails(self) -> None:
        """Take up every task that has a tail. A damaged batch is left out, and told."""
        tails: dict[tuple[str, str], list[Row]] = {}
        for id_, job, task, data in self._connection.execute(
            "SELECT tails.id, job, task, data FROM (SELECT id, task AS of_task, data FROM tails) AS tails "
            "JOIN tasks ON tasks.id = of_task ORDER BY tails.id"
        ):
            try:
                records = unpack_batches([data])
            except Damaged as exc:
                log.error("tail_damaged", extra={"job": job, "task": task, "reason": f"row {id_}: {exc}"})
                continue
            tails.setdefault((job, task), []).append(Row(id_, len(records.series), data))
        for (job, name), rows in tails.items():
            task = load_task(self._connection, job, name, rows)
            if task is not None:
                task.touched_at = self._clock.monotonic()
                self._tasks.add(task)
