"""Samples that tests are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from logsvc.model.sample import READINGS, Sample, SampleQuery, SeriesName
from logsvc.ports import SampleStore

FOREVER = SampleQuery(-(1 << 50), 1 << 50, kinds=tuple(READINGS))


def a_card(name: str = "0", *, task: str = "worker-0", kind: str = "npu") -> SeriesName:
    """A card's series."""
    return SeriesName(task, kind, name)


def a_sample(at_ms: int, *values: float | None, series: SeriesName | None = None) -> Sample:
    """A sample whose last readings, those not given, are none."""
    of = series or a_card()
    return Sample(of, at_ms, (*values, *[None] * (len(READINGS[of.kind]) - len(values))))


def plain(value: Any) -> Any:
    """What a store answered, in objects that compare: NaN as None, numbers to 12 digits."""
    if isinstance(value, np.ndarray):
        return [None if one != one else float(f"{one:.12g}") for one in value.tolist()]
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (str, SeriesName)):
        return [plain(one) for one in value]
    return {name: plain(one) for name, one in vars(value).items()} if hasattr(value, "__dict__") else value


async def all_of(store: SampleStore, job: str) -> Any:
    """Everything that a store holds of a job's samples, bit by bit."""
    found = await store.raw_samples(job, FOREVER)
    return {
        one.series: {
            int(at): tuple(
                None if column[row] != column[row] else float(column[row]).hex() for column in one.readings.values()
            )
            for row, at in enumerate(one.at_ms)
        }
        for one in found
    }
