"""Stalled-job flag, in two stages over all processes and cards of a job.

1. No process has changed its IO counters, and no log line came, for the detect time and several cycles.
2. Then, over one window and the next, the utilization of no card moves: its variance stays at most
   `hang_variance`, its median where it was. A constant 100 % is as still as a constant 0 %: that is
   how a stuck all-reduce looks.

What is not seen is never taken for still. The watch reads no clock and does no I/O: a cycle is a call.

Source: training manual, detection of suspended jobs; `docs/monitoring.md` has the constants.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Self

from logsvc.core.findings.finding import Finding
from logsvc.core.findings.words import cards as named_cards
from logsvc.core.findings.words import percent, some, span
from logsvc.core.hang_io import IoSeen, ProcessIo
from logsvc.core.hang_use import CardsSeen, Movement, movement
from logsvc.ports import RawSeries

if TYPE_CHECKING:
    from logsvc.settings import Settings

__all__ = ["HangRules", "HangState", "HangWatch", "ProcessIo", "hung"]


@dataclass(frozen=True)
class HangRules:
    """Constants of the rule; options of the service under the same names."""

    hang_detect_minutes: float = 30.0
    hang_cycles: int = 3
    hang_window_minutes: float = 5.0
    hang_variance: float = 1.0
    hang_median_points: float = 1.0
    hang_gap_seconds: float = 180.0
    hang_cycle_seconds: float = 60.0

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The constants among the service's options."""
        return cls(**{each.name: getattr(settings, each.name) for each in fields(cls)})


@dataclass(frozen=True)
class HangState:
    """
    Where a job stands.

    Attributes:
        stage: 0: its IO moves, or cannot be judged, or is not still for long enough; 1: the first stage
            is passed; 2: both: the job hangs.
        io_still_seconds: from when IO was last seen to move to when it was last seen not to.
        cycles: in a row, in which it was seen not to move.
        variance: of utilization over two windows, points squared, of the card that moves most; None: not
            looked at, or the cards do not give enough readings.
        median_percent: over the cards, of their medians over the last window.
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
    """
    Watches one job; knows nothing when it is made anew, as after a restart of the service.

    Attributes:
        rules: may be replaced at any time, as when a collector tells `MA_HANG_DETECT_TIME`.
    """

    def __init__(self, rules: HangRules) -> None:
        self.rules = rules
        self._io, self._cards = IoSeen(), CardsSeen()
        self._moved_ms: int | None = None  # when IO was last seen to move
        self._move = ""
        self._still_ms = 0  # when it was last seen not to
        self._cycles = 0
        self._stage, self._since_ms = 0, 0

    @property
    def window_seconds(self) -> float:
        """How far back from its last reading utilization is looked at: two windows."""
        return 2 * 60 * self.rules.hang_window_minutes

    @property
    def reach_seconds(self) -> float:
        """How far back from now samples are wanted: a window more, for a node whose clock is behind."""
        return self.window_seconds + 60 * self.rules.hang_window_minutes

    @property
    def processes(self) -> dict[str, int]:
        """Task to how many processes it had when last seen, for `JobView.processes`."""
        return self._io.processes

    def cycle(
        self,
        now_ms: int,
        *,
        processes: Sequence[ProcessIo],
        cards: Sequence[RawSeries],
        log_lines: Mapping[str, int],
    ) -> HangState:
        """
        Look once; the caller does so at about equal times, each no shorter than a sampling interval.

        Args:
            now_ms: later than in the call before.
            processes: what came since the call before: all samples, or the last of each process.
            cards: `utilization_percent` of all cards over the last `reach_seconds`.
            log_lines: lines that came since the call before, by task; those of users, not of the platform.
        """
        fresh = self._cards.fresh(now_ms, cards)
        self._io.heard([card.series.task for card in fresh], now_ms)
        # A hang is not taken back because nothing was seen for a while; only movement clears it.
        gap_ms = math.inf if self._stage == 2 else self._gap_ms
        move = self._io.moved(now_ms, processes, log_lines, gap_ms=gap_ms)
        if move:
            self._moved_ms, self._move, self._cycles = now_ms, move, 0
            self._still_ms = now_ms
        elif self._io.counted(now_ms) and self._moved_ms is not None:
            self._still_ms, self._cycles = now_ms, self._cycles + 1

        if move or not self._io_is_still(now_ms):
            if move or self._stage < 2:
                self._enter(0, now_ms)
            return self._state(self._io_words(now_ms), None)
        if self._stage == 0:
            self._enter(1, now_ms)
        return self._judged_by_use(now_ms, fresh)

    def _io_is_still(self, now_ms: int) -> bool:
        return (
            self._io.counted(now_ms)
            and not self._io.unseen(now_ms, gone_ms=self._detect_ms)
            and self._cycles >= self.rules.hang_cycles
            and self._still_seconds >= 60 * self.rules.hang_detect_minutes
        )

    def _judged_by_use(self, now_ms: int, fresh: list[RawSeries]) -> HangState:
        window_ms = 60_000 * self.rules.hang_window_minutes
        unseen = self._cards.unseen(now_ms, gone_ms=self._detect_ms)
        use = None if unseen else movement(fresh, window_ms=window_ms)
        if use and self._moves(use):
            self._enter(1, now_ms)
        elif use and now_ms - self._since_ms >= window_ms:
            self._enter(2, now_ms)
        return self._state(f"{self._still_words()}{self._use_words(use, fresh, unseen)}", use)

    def _moves(self, use: Movement) -> bool:
        return use.variance > self.rules.hang_variance or use.median_points > self.rules.hang_median_points

    def _enter(self, stage: int, now_ms: int) -> None:
        if stage != self._stage or not self._since_ms:
            self._stage, self._since_ms = stage, now_ms

    @property
    def _gap_ms(self) -> float:
        """Longer than a look that was missed, however rarely it is looked."""
        return 1000 * max(self.rules.hang_gap_seconds, 2.5 * self.rules.hang_cycle_seconds)

    @property
    def _detect_ms(self) -> float:
        return 60_000 * self.rules.hang_detect_minutes

    @property
    def _still_seconds(self) -> float:
        return 0.0 if self._moved_ms is None else (self._still_ms - self._moved_ms) / 1000

    def _state(self, reason: str, use: Movement | None) -> HangState:
        return HangState(
            self._stage,
            self._still_seconds,
            self._cycles,
            60 * self.rules.hang_window_minutes,
            None if use is None else use.variance,
            None if use is None else use.median_percent,
            self._since_ms,
            reason,
        )

    def _io_words(self, now_ms: int) -> str:
        unseen = self._io.unseen(now_ms, gone_ms=self._detect_ms)
        if self._stage == 2:
            silent = some(unseen) if unseen else "it"
            return f"The job hung when it was last seen; no IO counters come from {silent} any more."
        if self._moved_ms is None:
            return "Cannot be judged: no IO counters of the job's processes have come."
        if self._moved_ms == now_ms:
            return f"IO moves: {self._move}."
        if unseen:
            return f"Cannot be judged: {some(unseen)} sent no IO counters of processes at this look."
        if not self._io.counted(now_ms):
            return f"Cannot be judged: no IO counters have come for {span((now_ms - self._still_ms) / 1000)}."
        return f"{self._still_words()}From {span(self._detect_ms / 1000)} on its cards are looked at."

    def _still_words(self) -> str:
        looks = "1 look" if self._cycles == 1 else f"{self._cycles} looks"
        return (
            f"No process of the job has changed its IO counters, and no log line has come, "
            f"for {span(self._still_seconds)} ({looks}). "
        )

    def _use_words(self, use: Movement | None, fresh: list[RawSeries], unseen: list[tuple[str, str]]) -> str:
        if unseen:
            return f"Whether it hangs cannot be told: no utilization comes from {named_cards(unseen)}."
        if not fresh:
            return "Whether it hangs cannot be told: no card gives utilization."
        if use is None:
            return "Whether it hangs cannot be told: its cards give too few readings of utilization."
        windows = span(self.window_seconds)
        numbers = f"variance {use.variance:.2g}, median {percent(use.median_percent)}"
        if self._moves(use):
            return f"It works: over the last {windows} utilization moved ({numbers})."
        if self._stage < 2:
            return f"The utilization of its cards does not move either so far ({numbers})."
        return f"Over the last {windows} the utilization of none of its cards has moved ({numbers})."


def hung(state: HangState | None) -> Finding | None:
    """The finding on a job that hangs; None for any other."""
    if state is None or state.stage < 2:
        return None
    numbers = {
        "io_still_seconds": state.io_still_seconds,
        "cycles": state.cycles,
        "window_seconds": state.window_seconds,
        "variance": state.variance,
        "median_percent": state.median_percent,
    }
    return Finding(
        "hung",
        state.reason,
        "Look at the last lines of each worker: one that stopped earlier than the others, or shows an error, holds up "
        "the rest. At a steady 100 % the cards usually wait in a collective operation for a worker that is gone; "
        "at 0 % the processes usually wait for data, a lock or a mount. Print the stacks (`py-spy dump --pid`), then "
        "restart from the last checkpoint.",
        {name: value for name, value in numbers.items() if value is not None},
        since_ms=state.since_ms,
    )
