"""Tails become blocks, and blocks of one level become one of the next. Called in a transaction of the writer."""

from __future__ import annotations

import logging
import sqlite3

from logsvc.stores.embedded.samples.batch import unpack_batches
from logsvc.stores.embedded.samples.blocks import (
    Table,
    joined,
    pack_table,
    records_of,
    table_of_parts,
    table_of_records,
)
from logsvc.stores.embedded.samples.numbers import Damaged
from logsvc.stores.embedded.samples.tasks import Task

JOIN = 8  # blocks of one level
LEVELS = 2  # above the first: up to 65,536 samples of full tails
DAMAGED = -1  # level of a block that is left as it is

log = logging.getLogger("logsvc.samples")


class Packing:
    """Statements on the writing connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def pack_tail(self, task: Task) -> bool:
        """A block in, the tail out, and the sums that include it."""
        records = unpack_batches(row.data for row in task.rows)
        by_id = task.by_id()
        self._insert(task, 0, table_of_records(records, lambda id_: by_id[id_].name.kind))
        self._connection.executemany("DELETE FROM tails WHERE id = ?", [(row.id,) for row in task.rows])
        self._connection.execute("UPDATE tasks SET packed_through = ? WHERE id = ?", (task.rows[-1].id, task.id))
        self._connection.executemany(
            "UPDATE series SET last_ms = ?, sum_micropercent = ?, count = ?, first_read_ms = ?, last_read_ms = ? "
            "WHERE id = ?",
            [(*by_id[id_].draft, id_) for id_ in set(records.series.tolist())],
        )
        return True

    def join_blocks(self, task: Task, *, whole: bool) -> bool:
        """
        The blocks of one level as one of the next, if there are enough of them.

        Args:
            whole: all levels at once, however few they are.

        Returns: whether something was joined.
        """
        rows = self._connection.execute(
            "SELECT id, level FROM blocks WHERE task = ? AND level != ? ORDER BY id", (task.id, DAMAGED)
        ).fetchall()
        for level in range(LEVELS):
            ids = [id_ for id_, of_level in rows if of_level == level or whole]
            if len(ids) >= (2 if whole else JOIN):
                self._join(task, ids, min(level + 1 if not whole else LEVELS, LEVELS))
                return True
        return False

    def _join(self, task: Task, ids: list[int], level: int) -> None:
        by_id = task.by_id()
        records, sound = [], []
        for id_ in ids:
            try:
                records.append(records_of(table_of_parts(self._parts(id_))))
            except Damaged as exc:
                log.error("block_damaged", extra={"job": task.job, "task": task.name, "reason": f"block {id_}: {exc}"})
                self._connection.execute("UPDATE blocks SET level = ? WHERE id = ?", (DAMAGED, id_))
                continue
            sound.append(id_)
        if len(sound) > 1:
            self._insert(task, level, table_of_records(joined(records), lambda one: by_id[one].name.kind))
            self._connection.executemany("DELETE FROM blocks WHERE id = ?", [(id_,) for id_ in sound])
            self._connection.executemany("DELETE FROM parts WHERE block = ?", [(id_,) for id_ in sound])

    def _parts(self, block: int) -> dict[str, bytes]:
        return dict(self._connection.execute("SELECT name, data FROM parts WHERE block = ?", (block,)).fetchall())

    def _insert(self, task: Task, level: int, table: Table) -> None:
        layout = table.layout
        (block,) = self._connection.execute("SELECT COALESCE(MAX(id), 0) + 1 FROM blocks").fetchone()
        self._connection.execute(
            "INSERT INTO blocks VALUES (?, ?, ?, ?, ?, ?)",
            (block, task.id, level, layout.first_ms, layout.last_ms, layout.samples),
        )
        self._connection.executemany(
            "INSERT INTO parts (block, name, data) VALUES (?, ?, ?)",
            [(block, name, data) for name, data in pack_table(table).items()],
        )
