"""Utilization that goes up and down with a period: the cards wait for data, again and again.

The period comes from the autocorrelation of each card's readings on a grid; readings that are missing
are left out of it, never taken for zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from logsvc.core.findings.finding import Finding
from logsvc.core.findings.series import COVERED, Floats, Seen, cards_of, gridded, is_fresh
from logsvc.core.findings.view import Limits
from logsvc.core.findings.words import percent, span

PERIODS = 6  # of the longest one looked for, in the window; a shorter series must show as many of its own
LEAST_STEPS = 3  # readings in a period; faster ones are seen as noise
LEAST_SHARE = 0.15  # of the time, spent low and spent high; less is a dip or a burst
FIRST = 0.6  # of the highest correlation, at one period: it falls between two steps of the grid, its multiples may not
REPEATS = 0.5  # of the correlation at one period that a multiple must still show
WELL = 0.35  # how far the correlation falls between two periods; a slow drift has no such well


class Wave(NamedTuple):
    """What one card does again and again."""

    period_seconds: float
    high_percent: float
    low_percent: float


def sawtooth(seen: Seen, *, without: Sequence[tuple[float, float]] = ()) -> Finding | None:
    """
    Cards whose utilization swings with a period.

    Args:
        without: spans (from, to) in Unix milliseconds that another finding explains.
    """
    view, limits = seen.view, seen.limits
    start_ms = view.now_ms - 1000 * PERIODS * limits.sawtooth_max_seconds
    cards = [card for card in cards_of(view, max(start_ms, view.window_start_ms)) if is_fresh(view, card.at_ms)]
    grid = gridded(cards)
    if grid is None:
        return None
    use = grid.use.copy()
    for from_ms, to_ms in without:
        use[:, (grid.at_ms >= from_ms - grid.step_ms) & (grid.at_ms <= to_ms + grid.step_ms)] = np.nan
    waves = [wave_of(row, grid.step_ms / 1000, limits) for row in use]
    swinging = [(card, wave) for card, wave in zip(cards, waves, strict=True) if wave]
    if not swinging:
        return None
    period, high, low = (float(each) for each in np.median([wave for _, wave in swinging], axis=0))
    return Finding(
        "sawtooth",
        f"Utilization swings between {percent(high)} and {percent(low)} every {span(period)}"
        + (f", on {len(swinging)} of {len(cards)} cards." if len(swinging) < len(cards) else "."),
        "The cards most likely wait for data. Load it with more processes (`num_workers`, `num_parallel_workers`) and "
        "ahead of time (`prefetch_factor`, `prefetch_size`, pinned memory), decode less per sample, and read from the "
        "local disk (`/cache`) instead of a mount.",
        {"period_seconds": period, "high_percent": high, "low_percent": low},
        devices=tuple((card.task, card.device) for card, _ in swinging) if len(swinging) < len(cards) else (),
    )


def wave_of(use: Floats, step_seconds: float, limits: Limits) -> Wave | None:
    """
    The swing of one card.

    Args:
        use: percent at equal steps; NaN: no reading.
    """
    there = ~np.isnan(use)
    if there.sum() < max(COVERED * len(use), PERIODS * LEAST_STEPS):
        return None
    known = use[there]
    high, low = (float(value) for value in np.percentile(known, [90, 10]))
    share_low = float(np.mean(known < (high + low) / 2))
    if high - low < limits.sawtooth_points or not LEAST_SHARE <= share_low <= 1 - LEAST_SHARE:
        return None
    alike = autocorrelation(use)
    lag = _period_steps(alike, limits.sawtooth_correlation, limits.sawtooth_max_seconds / step_seconds, len(use))
    return None if lag is None else Wave(lag * step_seconds, high, low)


def autocorrelation(use: Floats) -> Floats:
    """
    How alike a series is to itself a number of steps later, −1 to 1; shape (steps // 2 + 1,).

    Over the pairs of which both are known, around the mean of all; 0 where there are too few pairs.
    """
    there = ~np.isnan(use)
    centred = np.where(there, use - np.mean(use[there]), 0.0)
    size = 1 << (2 * len(use) - 1).bit_length()
    lags = len(use) // 2 + 1

    def correlated(first: Floats, second: Floats) -> Floats:
        product = np.conj(np.fft.rfft(first, size)) * np.fft.rfft(second, size)
        found: Floats = np.fft.irfft(product, size)[:lags]
        return found

    known = there.astype(np.float64)
    energy = np.sqrt(np.maximum(0.0, correlated(centred**2, known)) * np.maximum(0.0, correlated(known, centred**2)))
    enough = (correlated(known, known) >= LEAST_STEPS * PERIODS / 2) & (energy > 1e-9)
    return np.divide(correlated(centred, centred), energy, out=np.zeros(lags), where=enough)


def _period_steps(alike: Floats, least: float, longest: float, steps: int) -> float | None:
    """The shortest lag at which the series is itself again, having been something else between."""
    last = min(int(longest), steps // PERIODS, len(alike) - 2)
    if last < LEAST_STEPS:
        return None
    lags = np.arange(LEAST_STEPS, min(2 * last, len(alike) - 2) + 1)
    peaks = lags[(alike[lags] >= alike[lags - 1]) & (alike[lags] >= alike[lags + 1])]
    if not len(peaks) or (best := alike[peaks].max()) < least:
        return None
    for lag in peaks[(alike[peaks] >= FIRST * best) & (peaks <= last)]:
        if alike[1:lag].min() <= alike[lag] - WELL:
            return _refined(alike, int(lag))
    return None


def _refined(alike: Floats, lag: int) -> float:
    """The period from the farthest of its multiples that still shows: a step is then a small part of it."""
    period = _vertex(alike, lag)
    for times in range(2, len(alike) // lag):
        expected = round(times * period)
        if expected >= len(alike):
            break
        peak = _peak_near(alike, expected, reach=1 + lag // 10)
        if alike[peak] < REPEATS * alike[lag]:
            break
        period = _vertex(alike, peak) / times
    return period


def _peak_near(alike: Floats, lag: int, *, reach: int) -> int:
    start = max(1, lag - reach)
    return start + int(np.argmax(alike[start : lag + reach + 1]))


def _vertex(alike: Floats, lag: int) -> float:
    """Top of the parabola through a peak and its neighbours; the lag itself where it is no peak."""
    if not 0 < lag < len(alike) - 1:
        return float(lag)
    before, top, after = (float(value) for value in alike[lag - 1 : lag + 2])
    bend = before - 2 * top + after
    return lag + (0.5 * (before - after) / bend if top >= max(before, after) and bend < 0 else 0.0)
