"""Second stage of the hang rule: whether the utilization of any card moves.

Judged over the two last windows of each card's own samples. What has too few readings for that is
not judged, never taken for still.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from logsvc.ports import RawSeries

LEAST_READINGS = 3  # in each window; fewer have no variance worth the name
UTILIZATION = "utilization_percent"


class Movement(NamedTuple):
    """
    Utilization over the last window against the window before.

    Attributes:
        variance: points squared, of the card that varies most in either window.
        median_percent: over the cards, of their medians in the last window.
        median_points: the largest change of a card's median from one window to the next.
    """

    variance: float
    median_percent: float
    median_points: float


class CardsSeen:
    """When each card of a job last gave a reading."""

    def __init__(self) -> None:
        self._newest_ms: dict[tuple[str, str], int] = {}  # card to the time of its newest reading
        self._seen_ms: dict[tuple[str, str], int] = {}  # … to the look that brought it

    def fresh(self, now_ms: int, cards: Sequence[RawSeries]) -> list[RawSeries]:
        """Those with a reading that the look before had not."""
        found = []
        for card in cards:
            newest = _newest_ms(card)
            key = (card.series.task, card.series.name)
            if newest is None or newest == self._newest_ms.get(key):
                continue
            self._newest_ms[key], self._seen_ms[key] = newest, now_ms
            found.append(card)
        return found

    def unseen(self, now_ms: int, *, gone_ms: float) -> list[tuple[str, str]]:
        """Cards without a reading at this look; one silent for `gone_ms` is left out."""
        return sorted(card for card, seen_ms in self._seen_ms.items() if 0 < now_ms - seen_ms < gone_ms)


def movement(cards: Sequence[RawSeries], *, window_ms: float) -> Movement | None:
    """How utilization moved; None: no cards, or one whose readings do not cover both windows."""
    halves = [_windows(card, window_ms) for card in cards]
    if not halves:
        return None
    variance = drift = 0.0
    medians = []
    for pair in halves:
        if pair is None:
            return None
        before, after = (float(np.median(window)) for window in pair)
        variance = max(variance, *(float(np.var(window)) for window in pair))
        drift = max(drift, abs(after - before))
        medians.append(after)
    return Movement(variance, float(np.median(medians)), drift)


def _newest_ms(card: RawSeries) -> int | None:
    use = card.readings.get(UTILIZATION)
    if use is None or np.isnan(use).all():
        return None
    return int(card.at_ms[~np.isnan(use)][-1])


def _windows(card: RawSeries, window_ms: float) -> list[NDArray[np.float64]] | None:
    """Readings of the window before the last and of the last, which ends with the newest reading."""
    use = card.readings[UTILIZATION]
    there = ~np.isnan(use)
    use, age_ms = use[there], (card.at_ms[there][-1] - card.at_ms[there]).astype(np.float64)
    pair = [use[(age_ms >= window_ms) & (age_ms < 2 * window_ms)], use[age_ms < window_ms]]
    holes = np.diff(np.concatenate(([0.0], age_ms[age_ms < 2 * window_ms][::-1], [2 * window_ms])))
    if min(len(window) for window in pair) < LEAST_READINGS or holes.max() > window_ms / 2:
        return None
    return pair
