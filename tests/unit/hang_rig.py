"""A job before a hang watch: time is moved by hand, utilization is made, counters are made or read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from logsvc.core.hang import HangRules, HangState, HangWatch, ProcessIo
from logsvc.model.sample import SeriesName
from logsvc.ports import RawSeries

MINUTE_MS = 60_000
STEP_MS = 5_000
Use = Callable[[np.ndarray], np.ndarray]


def steady(percent: float) -> Use:
    return lambda at_ms: np.full(len(at_ms), percent)


def noisy(percent: float, by: float) -> Use:
    """The same noise at the same time, however often it is looked at."""
    return lambda at_ms: percent + by * np.sin(at_ms / 7919.0)


def series(task: str, device: str, at_ms: np.ndarray, use: np.ndarray, kind: str = "npu") -> RawSeries:
    return RawSeries(SeriesName(task, kind, device), at_ms.astype(np.int64), {"utilization_percent": use})


def io_of(pid: int) -> tuple[int, int]:
    """Bytes that a real process has read and written with system calls."""
    fields = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return int(fields["rchar"]), int(fields["wchar"])


class Job:
    """
    One job.

    Attributes:
        counters: (task, pid) to counters; what is not there was not seen.
        use: (task, device) to utilization at given times; what is not there gives no readings.
        lines: log lines by task, until the next look.
    """

    def __init__(self, rules: HangRules | None = None) -> None:
        self.watch = HangWatch(rules or HangRules())
        self.now_ms = 1_700_000_000_000
        self.counters: dict[tuple[str, int], tuple[int, int]] = {("worker-0", 10): (5, 7)}
        self.use: dict[tuple[str, str], Use] = {("worker-0", "0"): steady(100)}
        self.began_ms = self.now_ms - 60 * MINUTE_MS
        self.lines: dict[str, int] = {}

    def look(self) -> HangState:
        """A minute later."""
        self.now_ms += MINUTE_MS
        lines, self.lines = self.lines, {}
        return self.watch.cycle(self.now_ms, processes=self._processes(), cards=self._cards(), log_lines=lines)

    def minutes(self, count: int) -> list[HangState]:
        return [self.look() for _ in range(count)]

    def hang(self) -> HangState:
        """Until it hangs."""
        state = self.minutes(36)[-1]
        assert state.stage == 2, state
        return state

    def _processes(self) -> Iterable[ProcessIo]:
        return [ProcessIo(task, pid, self.now_ms, *io) for (task, pid), io in self.counters.items()]

    def _cards(self) -> list[RawSeries]:
        start = max(self.began_ms, self.now_ms - int(1000 * self.watch.reach_seconds))
        at_ms = np.arange(start // STEP_MS * STEP_MS, self.now_ms, STEP_MS)
        return [series(task, device, at_ms, use(at_ms)) for (task, device), use in self.use.items()]


def stages(states: Iterable[HangState]) -> list[int]:
    return [state.stage for state in states]


def of(states: Iterable[HangState]) -> Mapping[int, int]:
    """Stage to how many looks had it."""
    found = stages(states)
    return {stage: found.count(stage) for stage in sorted(set(found))}
