"""Samples by equal spans of time, as they come: minimum, sum, maximum and count of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from logsvc.model.sample import SeriesName
from logsvc.ports import Buckets, BucketSeries


class Filling:
    """
    Buckets of series of one kind.

    Args:
        edges: first millisecond of each bucket and the end of the last, shape (buckets + 1,).
    """

    def __init__(self, series: Sequence[SeriesName], readings: Sequence[str], edges: NDArray[np.int64]) -> None:
        self._series, self._edges = series, edges
        self._seen = np.zeros(len(series), np.bool_)
        shape = (len(series), len(edges) - 1)
        self._low = {reading: np.full(shape, np.nan) for reading in readings}
        self._high = {reading: np.full(shape, np.nan) for reading in readings}
        self._sum = {reading: np.zeros(shape) for reading in readings}
        self._count = {reading: np.zeros(shape, np.int64) for reading in readings}

    def add(self, rows: list[int], times: NDArray[np.int64], values: dict[str, NDArray[np.float64]]) -> None:
        """
        Samples of several series at the same times.

        Args:
            rows: which series, shape (series,).
            times: ascending, shape (times,).
            values: by reading, shape (series, times).
        """
        bounds = np.searchsorted(times, self._edges)
        filled = np.flatnonzero(bounds[1:] > bounds[:-1])
        if not len(filled):
            return
        self._seen[rows] = True
        starts, end = bounds[filled], bounds[-1]
        place = _place(rows, filled)
        counts = np.diff(np.append(starts, end))
        for reading, matrix in values.items():
            part = matrix[:, :end]
            gaps = np.isnan(part)
            low, high = np.minimum.reduceat, np.maximum.reduceat
            counted = counts
            if gaps.any():
                low, high = np.fmin.reduceat, np.fmax.reduceat
                counted = np.add.reduceat(~gaps, starts, axis=1, dtype=np.int64)
            self._low[reading][place] = np.fmin(self._low[reading][place], low(part, starts, axis=1))
            self._high[reading][place] = np.fmax(self._high[reading][place], high(part, starts, axis=1))
            self._sum[reading][place] += np.add.reduceat(
                np.where(gaps, 0.0, part) if counted is not counts else part, starts, axis=1
            )
            self._count[reading][place] += counted

    def result(self) -> list[BucketSeries]:
        """Those series that have a sample in any bucket."""
        means = {}
        for reading, count in self._count.items():
            means[reading] = np.full(count.shape, np.nan)
            np.divide(self._sum[reading], count, out=means[reading], where=count > 0)
        return [
            BucketSeries(
                self._series[row],
                {
                    reading: Buckets(self._low[reading][row], means[reading][row], self._high[reading][row], count[row])
                    for reading, count in self._count.items()
                },
            )
            for row in np.flatnonzero(self._seen).tolist()
        ]


def _place(rows: list[int], columns: NDArray[np.intp]) -> Any:
    """Where these rows and columns meet; by slices, which copy nothing, where both are without holes."""
    if columns[-1] - columns[0] == len(columns) - 1 and rows == list(range(rows[0], rows[0] + len(rows))):
        return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return np.ix_(np.array(rows), columns)
