"""SampleStore in dictionaries: the plain reading of the contract, for tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from logsvc.model.sample import DEVICE_KINDS, READINGS, Pooled, Sample, SampleQuery, SeriesName, Values
from logsvc.ports import Buckets, BucketSeries, RawSeries
from logsvc.stores.readings import NO_READING, check, is_asked, micropercent, readings_asked, series_order


class MemorySamples:
    """Samples of each job: series to time to values."""

    def __init__(self) -> None:
        self._samples: dict[str, dict[SeriesName, dict[int, Values]]] = {}

    async def add_samples(self, job: str, samples: Sequence[Sample]) -> int:
        """Take those whose series and time are new."""
        check(samples)
        added = 0
        for sample in samples:
            held = self._samples.setdefault(job, {}).setdefault(sample.series, {})
            if sample.at_ms not in held:
                held[sample.at_ms] = sample.values
                added += 1
        return added

    async def sample_series(self, job: str, kinds: Sequence[str] = tuple(READINGS)) -> list[SeriesName]:
        """All series of a job of these kinds."""
        return sorted((one for one in self._samples.get(job, {}) if one.kind in kinds), key=series_order)

    async def raw_samples(self, job: str, query: SampleQuery) -> list[RawSeries]:
        """Every sample asked for."""
        found = []
        for series in await self.sample_series(job):
            held = self._samples[job][series]
            times = sorted(at for at in held if query.start_ms <= at < query.end_ms)
            if not times or not is_asked(query, series):
                continue
            rows = [[NO_READING if value is None else value for value in held[at]] for at in times]
            table = dict(zip(READINGS[series.kind], np.array(rows, dtype=np.float64).T, strict=True))
            readings = {name: table[name] for name in readings_asked(query, series.kind)}
            found.append(RawSeries(series, np.array(times, dtype=np.int64), readings))
        return found

    async def bucketed_samples(self, job: str, query: SampleQuery, *, buckets: int) -> list[BucketSeries]:
        """Samples by equal spans of time."""
        span = query.end_ms - query.start_ms
        found = []
        for raw in await self.raw_samples(job, query):
            place = [(int(at) - query.start_ms) * buckets // span for at in raw.at_ms]
            readings = {}
            for name, values in raw.readings.items():
                into: list[list[float]] = [[] for _ in range(buckets)]
                for index, value in zip(place, values, strict=True):
                    if value == value:
                        into[index].append(float(value))
                readings[name] = Buckets(
                    minimum=np.array([min(part, default=NO_READING) for part in into]),
                    mean=np.array([sum(part) / len(part) if part else NO_READING for part in into]),
                    maximum=np.array([max(part, default=NO_READING) for part in into]),
                    count=np.array([len(part) for part in into], dtype=np.int64),
                )
            found.append(BucketSeries(raw.series, readings))
        return found

    async def pooled(self, jobs: Sequence[str]) -> dict[str, list[Pooled]]:
        """Exact sums of the utilization of each card."""
        found = {}
        for job in jobs:
            cards = [self._pool(job, series) for series in await self.sample_series(job) if series.kind in DEVICE_KINDS]
            if any(card.count for card in cards):
                found[job] = [card for card in cards if card.count]
        return found

    def _pool(self, job: str, series: SeriesName) -> Pooled:
        read = {at: value for at, (value, *_) in self._samples[job][series].items() if value is not None}
        read = {at: value for at, value in read.items() if value == value}
        total = int(micropercent(np.array(list(read.values()), dtype=np.float64)).sum())
        return Pooled(series, total, len(read), min(read, default=0), max(read, default=0))
