"""Readings of cards as the rules want them: without holes told as zeros, each weighed by its time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from logsvc.core.findings.view import JobView, Limits
from logsvc.model.sample import DEVICE_KINDS
from logsvc.ports import RawSeries

GAP_MS = 180_000  # readings farther apart say nothing of the time between them
COVERED = 0.5  # share of a window that readings must stand for, before a rule speaks of it
MAX_STEPS = 5000  # of a grid: bounds its memory where the window is long and the samples are dense
Floats = NDArray[np.float64]
Times = NDArray[np.int64]


@dataclass(frozen=True)
class Card:
    """
    Utilization of one card over a span; at least one reading.

    Attributes:
        at_ms: of the readings, ascending.
        use: percent, no NaN.
    """

    task: str
    device: str
    at_ms: Times
    use: Floats

    @cached_property
    def weight_ms(self) -> Floats:
        """Time that each reading stands for: up to the next, never over a hole."""
        return weights_of(self.at_ms)

    @property
    def seconds(self) -> float:
        """Time that its readings stand for."""
        return float(self.weight_ms.sum() / 1000)

    @cached_property
    def mean(self) -> float:
        """Percent, over time: many readings at once weigh no more than one."""
        return float(np.average(self.use, weights=self.weight_ms))


def reading(series: RawSeries, name: str) -> Floats:
    """A reading by name; NaN throughout where the series has it not."""
    found = series.readings.get(name)
    return found if found is not None else np.full(len(series.at_ms), np.nan)


class Seen:
    """A view of a job with what several rules want of it, made once."""

    def __init__(self, view: JobView, limits: Limits) -> None:
        self.view, self.limits = view, limits

    @cached_property
    def cards(self) -> list[Card]:
        """All cards with a reading in the window of single samples."""
        return cards_of(self.view, self.view.window_start_ms)

    @cached_property
    def recent(self) -> list[Card]:
        """The recent window of those whose readings cover it, and that were there before it began."""
        view, minutes = self.view, self.limits.recent_window_minutes
        start_ms = view.now_ms - 60_000 * minutes
        first_ms = {(one.series.task, one.series.name): one.first_ms for one in view.pooled}
        return [
            card
            for card in cards_of(view, start_ms)
            if first_ms.get((card.task, card.device), view.now_ms) <= start_ms
            and card.seconds >= COVERED * 60 * minutes
            and is_fresh(view, card.at_ms)
        ]


def cards_of(view: JobView, start_ms: float) -> list[Card]:
    """All cards with a reading in [start_ms, now]."""
    found = []
    for series in view.cards:
        if series.series.kind not in DEVICE_KINDS:
            continue
        use = reading(series, "utilization_percent")
        there = ~np.isnan(use) & (series.at_ms >= start_ms) & (series.at_ms <= view.now_ms)
        if there.any():
            found.append(Card(series.series.task, series.series.name, series.at_ms[there], use[there]))
    return found


def is_fresh(view: JobView, at_ms: Times) -> bool:
    """Whether the last of these times is about now."""
    return bool(view.now_ms - at_ms[-1] <= GAP_MS)


def weights_of(at_ms: Times) -> Floats:
    """Time that each reading stands for, at most three usual intervals and at least a millisecond."""
    if len(at_ms) < 2:
        return np.full(len(at_ms), 1.0)
    intervals = np.diff(at_ms).astype(np.float64)
    usual = float(np.median(intervals))
    return np.maximum(1.0, np.append(np.minimum(intervals, min(3 * usual, GAP_MS)), usual))


def by_task(cards: Iterable[Card]) -> Mapping[str, list[Card]]:
    """Cards of each task."""
    found: dict[str, list[Card]] = {}
    for card in cards:
        found.setdefault(card.task, []).append(card)
    return found


def mean_of_cards(cards: Sequence[Card]) -> float:
    """Percent, each card weighed by the time that its readings stand for."""
    weights = np.array([card.weight_ms.sum() for card in cards])
    return float(np.average([card.mean for card in cards], weights=weights))


@dataclass(frozen=True)
class Grid:
    """
    Cards at equal times.

    Attributes:
        at_ms: shape (times,).
        use: shape (cards, times); NaN where a card has no reading within one step.
    """

    at_ms: Floats
    step_ms: float
    use: Floats

    @property
    def mean(self) -> Floats:
        """Over the cards; NaN where none has a reading."""
        there = ~np.isnan(self.use)
        count = there.sum(axis=0)
        total = np.where(there, self.use, 0.0).sum(axis=0)
        return np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)


def gridded(cards: Sequence[Card]) -> Grid | None:
    """Cards on a grid of the usual interval between readings; None where there is no such interval."""
    intervals = [float(np.median(np.diff(card.at_ms))) for card in cards if len(card.at_ms) > 1]
    if not intervals:
        return None
    first, last = min(card.at_ms[0] for card in cards), max(card.at_ms[-1] for card in cards)
    step_ms = max(1000.0, float(np.median(intervals)), float(last - first) / MAX_STEPS)
    at_ms = np.arange(first, last + step_ms / 2, step_ms)
    use = np.full((len(cards), len(at_ms)), np.nan)
    for row, card in zip(use, cards, strict=True):
        after = np.clip(np.searchsorted(card.at_ms, at_ms), 1, max(1, len(card.at_ms) - 1))
        before = after - 1
        after = np.minimum(after, len(card.at_ms) - 1)
        nearest = np.where(at_ms - card.at_ms[before] <= card.at_ms[after] - at_ms, before, after)
        near = np.abs(card.at_ms[nearest] - at_ms) <= step_ms
        row[near] = card.use[nearest[near]]
    return Grid(at_ms, step_ms, use)
