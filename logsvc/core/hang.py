"""Stalled-job flag, in two stages over all processes and cards of a job.

1. No process has changed its IO counters, and no log line came, for the detect time.
2. Then, over one window and the next, the utilization of no card has moved: its variance stays at
   most `hang_variance`, its median where it was. A constant 100 % is as still as a constant 0 %.

What is not seen is never taken for still. The watch reads no clock and does no I/O: a cycle is a call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, NamedTuple, Self

from logsvc.core.findings.finding import Finding
from logsvc.ports import RawSeries

if TYPE_CHECKING:
    from logsvc.settings import Settings


@dataclass(frozen=True)
class HangRules:
    """Constants of the rule; options of the service under the same names."""

    hang_detect_minutes: float = 30.0
    hang_window_minutes: float = 5.0
    hang_variance: float = 1.0
    hang_median_points: float = 1.0

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The constants among the service's options."""
        return cls(**{each.name: getattr(settings, each.name) for each in fields(cls)})


class ProcessIo(NamedTuple):
    """Counters of one process of the job, since it began."""

    task: str
    pid: int
    at_ms: int
    read_bytes: int
    write_bytes: int


@dataclass(frozen=True)
class HangState:
    """
    Where a job stands.

    Attributes:
        stage: 0: its IO moves, or cannot be judged, or is not still for long enough; 1: the first stage
            is passed; 2: both: the job hangs.
        io_still_seconds: since the IO was last seen to move.
        cycles: in a row, in which it was seen not to move.
        variance: of utilization over the window, points squared, of the card that moves most; None:
            not looked at, or no card gives readings.
        median_percent: over the cards, of their medians over the window.
        since_ms: when this stage began.
        reason: all of it in an English sentence.
    """

    stage: int
    io_still_seconds: float
    cycles: int
    window_seconds: float
    variance: float | None
    median_percent: float | None
    since_ms: int
    reason: str


class HangWatch:
    """Watches one job; forgets everything when it is made anew, as after a restart of the service."""

    def __init__(self, rules: HangRules) -> None:
        self.rules = rules  # may be replaced at any time, as when a collector tells MA_HANG_DETECT_TIME

    @property
    def window_seconds(self) -> float:
        """How far back from now the samples of cards must reach at each cycle: two windows."""
        return 2 * 60 * self.rules.hang_window_minutes

    @property
    def processes(self) -> Mapping[str, int]:
        """Task to how many processes it had when last seen, for `JobView.processes`."""
        raise NotImplementedError

    def cycle(
        self,
        now_ms: int,
        *,
        processes: Sequence[ProcessIo],
        cards: Sequence[RawSeries],
        log_lines: Mapping[str, int],
    ) -> HangState:
        """
        Look once; the caller does so at equal times, each no shorter than a sampling interval.

        Args:
            now_ms: never earlier than in the call before.
            processes: what came since the call before: the last counters of each process, or all of them.
            cards: `utilization_percent` of all cards over the last `window_seconds`.
            log_lines: lines that came since the call before, by task.
        """
        raise NotImplementedError


def hung(state: HangState | None) -> Finding | None:
    """The finding on a job that hangs."""
    raise NotImplementedError
