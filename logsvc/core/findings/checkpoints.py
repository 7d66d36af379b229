"""Dips of utilization that begin or end beside lines of the log that speak of saving a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from logsvc.core.findings.finding import Finding
from logsvc.core.findings.series import GAP_MS, Floats, Grid, Seen, gridded
from logsvc.core.findings.view import CheckpointLine
from logsvc.core.findings.words import percent, span

LEAST_DIPS = 2
DEPTH_POINTS = 20.0  # below the usual utilization; deeper where that is high:
DEPTH_SHARE = 0.3
CHANCE = 3.0  # dips at lines must be so many times as frequent as lines alone would let them be
MAX_LINES = 100  # given back


@dataclass(frozen=True)
class Dip:
    """
    A stretch of low readings.

    Attributes:
        began_ms: last reading before it, first reading in it: it began between them.
        ended_ms: last reading in it, first reading after it.
        lines: that explain it.
    """

    began_ms: tuple[float, float]
    ended_ms: tuple[float, float]
    lines: tuple[CheckpointLine, ...] = ()

    @property
    def span_ms(self) -> tuple[float, float]:
        """Its likely begin and end."""
        return sum(self.began_ms) / 2, sum(self.ended_ms) / 2

    def explained_by(self, lines: Sequence[CheckpointLine], near_ms: float) -> tuple[CheckpointLine, ...]:
        """Lines at its begin, as `saving`, or at its end, as `saved`."""
        return tuple(
            line
            for line in lines
            if any(edge[0] - near_ms <= line.at_ms <= edge[1] + near_ms for edge in (self.began_ms, self.ended_ms))
        )


def checkpoint_dips(seen: Seen) -> tuple[Finding | None, list[tuple[float, float]]]:
    """
    What saving costs, and the spans of the dips that lines explain, whatever they cost.

    The tasks that wrote the lines are looked at for dips; the cost is over all cards of the job.
    """
    view, limits = seen.view, seen.limits
    lines = sorted(
        (line for line in view.checkpoints if view.window_start_ms <= line.at_ms <= view.now_ms),
        key=lambda line: (line.at_ms, line.stream, line.n),
    )
    if not lines:
        return None, []
    cards = seen.cards
    saving = {line.task for line in lines} & {card.task for card in cards}
    grid = gridded([card for card in cards if card.task in saving or not saving])
    if grid is None:
        return None, []
    near_ms = 1000 * limits.checkpoint_near_seconds
    dips = dips_of(grid)
    explained = [Dip(dip.began_ms, dip.ended_ms, shown) for dip in dips if (shown := dip.explained_by(lines, near_ms))]
    if not _beyond_chance(dips, explained, lines, grid, near_ms):
        return None, []
    spans = [dip.span_ms for dip in explained]
    whole = grid if len(saving) == len({card.task for card in cards}) else gridded(cards)
    lost_percent = _lost_percent(whole or grid, spans)
    if lost_percent < limits.checkpoint_lost_percent:
        return None, spans
    mean_seconds = float(np.mean([end - start for start, end in spans])) / 1000
    shown_lines = dict.fromkeys((line.stream, line.n) for dip in explained for line in dip.lines)
    return Finding(
        "checkpoint_dips",
        f"Utilization dipped {len(explained)} times for {span(mean_seconds)} on average beside lines of the log about "
        f"saving a checkpoint; that cost {percent(lost_percent)} of the cards' work.",
        "Save less often, save in the background (an asynchronous checkpoint), let one rank or each rank its own part "
        "write, and write to the local disk (`/cache`) first and copy from there beside the training.",
        {"dips": len(explained), "mean_dip_seconds": mean_seconds, "lost_percent": lost_percent},
        lines=tuple(shown_lines)[-MAX_LINES:],
    ), spans


def dips_of(grid: Grid) -> list[Dip]:
    """Stretches in which the mean of the cards lies far below its usual level, each between two that do not."""
    mean = grid.mean
    there = np.flatnonzero(~np.isnan(mean))
    if len(there) < 3:
        return []
    at_ms, use = grid.at_ms[there], mean[there]
    usual = _usual(use)
    low = use < usual - max(DEPTH_POINTS, DEPTH_SHARE * usual)
    edges = np.diff(low.astype(np.int8))
    starts, ends = np.flatnonzero(edges > 0), np.flatnonzero(edges < 0)  # the last one before the edge
    found = []
    for start in starts:
        later = ends[ends > start]
        if len(later) and not _has_hole(at_ms[start : later[0] + 2]):
            end = later[0]
            found.append(
                Dip((float(at_ms[start]), float(at_ms[start + 1])), (float(at_ms[end]), float(at_ms[end + 1])))
            )
    return found


def _usual(use: Floats) -> float:
    """The level between the dips."""
    return float(np.percentile(use, 75))


def _has_hole(at_ms: NDArray[np.float64]) -> bool:
    return bool(np.diff(at_ms).max() > GAP_MS)


def _beyond_chance(
    dips: Sequence[Dip], explained: Sequence[Dip], lines: Sequence[CheckpointLine], grid: Grid, near_ms: float
) -> bool:
    """Whether dips keep to the lines: where lines stand everywhere, each dip has one beside it."""
    if len(explained) < LEAST_DIPS:
        return False
    reach_ms = near_ms + grid.step_ms  # to both sides
    starts = np.array([line.at_ms for line in lines]) - reach_ms
    ends = np.minimum(starts + 2 * reach_ms, np.append(starts[1:], np.inf))
    whole_ms = float(grid.at_ms[-1] - grid.at_ms[0]) or 1.0
    chance = float((ends - starts).sum()) / whole_ms
    return len(explained) >= min(1.0, CHANCE * chance) * len(dips) and chance < 0.5


def _lost_percent(grid: Grid, spans: Sequence[tuple[float, float]]) -> float:
    """Share of the work at the usual level that was not done in these spans."""
    use = grid.mean
    there = ~np.isnan(use)
    at_ms, use = grid.at_ms[there], use[there]
    usual = _usual(use)
    if usual <= 0:
        return 0.0
    lost = 0.0
    for start_ms, end_ms in spans:
        inside = (at_ms >= start_ms) & (at_ms <= end_ms)
        if inside.any():
            lost += max(0.0, usual - float(use[inside].mean())) * (end_ms - start_ms)
    return 100 * lost / (usual * len(use) * grid.step_ms)
