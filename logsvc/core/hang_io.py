"""First stage of the hang rule: whether any process of the job has done IO since the look before.

Only counters that were seen twice and are equal are still. A process that is new, gone, or whose
counters went back, and a task whose samples were missing for long, count as movement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

RESENT_MS = 10 * 60_000  # a sample this much older than the last is not a resent one: the clock was set back


class ProcessIo(NamedTuple):
    """Counters of one process of the job, since it began."""

    task: str
    pid: int
    at_ms: int
    read_bytes: int
    write_bytes: int


class IoSeen:
    """Last counters of the processes of one job, and when each task was last heard of."""

    def __init__(self) -> None:
        self._last: dict[str, dict[int, ProcessIo]] = {}
        self._counted_ms: dict[str, int] = {}  # task to when its counters came last
        self._heard_ms: dict[str, int] = {}  # … anything at all

    @property
    def processes(self) -> dict[str, int]:
        """Task to how many processes it had when last seen."""
        return {task: len(last) for task, last in self._last.items()}

    def heard(self, tasks: Sequence[str], now_ms: int) -> None:
        """These tasks gave a sign of life."""
        self._heard_ms.update(dict.fromkeys(tasks, now_ms))

    def moved(
        self, now_ms: int, processes: Sequence[ProcessIo], log_lines: Mapping[str, int], *, gap_ms: float
    ) -> str | None:
        """
        What moved since the call before, in words; None: everything that was seen is still.

        Args:
            gap_ms: a task whose counters were missing for longer counts as moved when they come back.
        """
        moves = [f"{task} wrote {_lines(lines)}" for task, lines in sorted(log_lines.items()) if lines > 0]
        self.heard([task for task, lines in log_lines.items() if lines > 0], now_ms)
        given: dict[str, dict[int, list[ProcessIo]]] = {}
        for process in sorted(processes, key=lambda process: process.at_ms):
            given.setdefault(process.task, {}).setdefault(process.pid, []).append(process)
        for task, by_pid in sorted(given.items()):
            moves += self._of_task(task, by_pid, now_ms, gap_ms)
        return moves[0] if moves else None

    def counted(self, now_ms: int) -> bool:
        """Whether counters of any task came at this look."""
        return now_ms in self._counted_ms.values()

    def unseen(self, now_ms: int, *, gone_ms: float) -> list[str]:
        """Tasks that live and whose counters did not come at this look; one silent for `gone_ms` lives no more."""
        return sorted(
            task
            for task, heard_ms in self._heard_ms.items()
            if now_ms - heard_ms < gone_ms and self._counted_ms.get(task) != now_ms
        )

    def _of_task(self, task: str, given: dict[int, list[ProcessIo]], now_ms: int, gap_ms: float) -> list[str]:
        last = self._last.setdefault(task, {})
        moves, fresh = [], set()
        for pid, samples in given.items():
            for sample in samples:
                before = last.get(pid)
                if before and 0 <= before.at_ms - sample.at_ms <= RESENT_MS:
                    continue  # sent again
                fresh.add(pid)
                last[pid] = sample
                if move := _move(before, sample):
                    moves.append(f"process {pid} of {task} {move}")
        if not fresh:
            return []  # everything was sent again: nothing was seen
        for pid in [pid for pid in last if pid not in fresh]:
            del last[pid]
            moves.append(f"process {pid} of {task} ended")
        counted_ms = self._counted_ms.get(task)
        if counted_ms is not None and now_ms - counted_ms > gap_ms:
            moves.append(f"the samples of {task} were missing for {(now_ms - counted_ms) // 1000} seconds")
        self._counted_ms[task] = self._heard_ms[task] = now_ms
        return moves


def _move(before: ProcessIo | None, now: ProcessIo) -> str | None:
    if before is None:
        return "is new"
    if now.read_bytes < before.read_bytes or now.write_bytes < before.write_bytes:
        return "counts anew: its id was used again, or its counters were reset"
    if now.at_ms < before.at_ms:
        return "has an earlier time than before: the clock of its node was set back"
    if (now.read_bytes, now.write_bytes) != (before.read_bytes, before.write_bytes):
        return "read or wrote"
    return None


def _lines(count: int) -> str:
    return "a line" if count == 1 else f"{count:,} lines"
