"""What every store makes of samples in the same way: which it takes, sums, orders and buckets."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from logsvc.errors import BadInput
from logsvc.model.sample import DEVICE_KINDS, READINGS, Sample, SampleQuery, SeriesName
from logsvc.model.stream import natural_key

MICROPERCENT = 1_000_000  # of a percent
MAX_MS = 1 << 53  # Unix milliseconds, either side
MAX_VALUE = 1e300
NO_READING = math.nan


def check(samples: Sequence[Sample]) -> None:
    """
    Refuse what cannot be kept as it is.

    Raises:
        BadInput: names the first sample that is none of its kind, is infinite, or at no time.
    """
    for index, sample in enumerate(samples):
        kind, values = sample.series.kind, sample.values
        if kind not in READINGS:
            raise BadInput(f"sample {index}: there is no kind {kind[:100]!a}")
        if len(values) != len(READINGS[kind]):
            raise BadInput(f"sample {index}: {len(values)} values, of kind {kind} are {len(READINGS[kind])}")
        if type(sample.at_ms) is not int or abs(sample.at_ms) >= MAX_MS:
            raise BadInput(f"sample {index}: {sample.at_ms!r} is no time in Unix milliseconds")
        for value in values:
            if value is not None and not (abs(value) <= MAX_VALUE or value != value):
                raise BadInput(f"sample {index}: {value!r} is no reading")
        if kind in DEVICE_KINDS and values[0] is not None and not (0 <= values[0] <= 100 or values[0] != values[0]):
            raise BadInput(f"sample {index}: a utilization of {values[0]!r} percent")


def micropercent(percent: NDArray[np.float64]) -> NDArray[np.int64]:
    """Each reading rounded to a millionth of a percent, half to even."""
    return np.rint(percent * MICROPERCENT).astype(np.int64)


def series_order(series: SeriesName) -> tuple[list[object], str, list[object]]:
    """By task, kind, name; numbers in them by value."""
    return natural_key(series.task), series.kind, natural_key(series.name)


def readings_asked(query: SampleQuery, kind: str) -> tuple[str, ...]:
    """Names of the readings of this kind that are asked for; none where the kind is not asked for."""
    if kind not in query.kinds:
        return ()
    return tuple(name for name in READINGS[kind] if query.readings is None or name in query.readings)


def is_asked(query: SampleQuery, series: SeriesName) -> bool:
    """Whether a series is one of those asked for."""
    return (
        bool(readings_asked(query, series.kind))
        and (query.tasks is None or series.task in query.tasks)
        and (query.names is None or series.name in query.names)
    )


def bucket_edges(query: SampleQuery, buckets: int) -> NDArray[np.int64]:
    """First millisecond of each bucket and the end of the last, shape (buckets + 1,); exact for any span."""
    span = query.end_ms - query.start_ms
    return np.array([query.start_ms - index * span // -buckets for index in range(buckets + 1)], dtype=np.int64)
