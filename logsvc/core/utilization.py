"""How the cards of a job were used over time, for a chart: down-sampled series, exact means, log rate, events."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from logsvc.core.clock import rfc3339
from logsvc.core.jobs import Jobs, ended_at
from logsvc.core.low_use import MICRO, Mean, flagged_mean, mean_of
from logsvc.core.monitor import Monitor
from logsvc.errors import BadInput
from logsvc.model.sample import DEVICE_KINDS, Pooled, SampleQuery, SeriesName
from logsvc.model.stream import natural_key
from logsvc.ports import Buckets, BucketSeries, Clock, SampleStore

By = Literal["device", "task", "job"]
MAX_NUMBERS = 300_000  # of each of min, mean, max in an answer: past it there are fewer points
LEAST_MS = 1000  # shortest span of a chart
BEFORE_MS = 86_400_000  # readings may be older than their job; older ones are of a clock that was not set


@dataclass(frozen=True)
class ChartQuery:
    """
    What to show of a job.

    Attributes:
        start, end: Unix seconds; None: the job's life.
        tasks, devices: these only; empty: all.
        readings: names of `READINGS["gpu"]`.
    """

    start: float | None = None
    end: float | None = None
    points: int = 300
    by: By = "device"
    tasks: frozenset[str] = frozenset()
    devices: frozenset[str] = frozenset()
    readings: tuple[str, ...] = ("utilization_percent",)


class Utilization:
    """Charts over one store."""

    def __init__(self, jobs: Jobs, store: SampleStore, monitor: Monitor, clock: Clock) -> None:
        self._jobs, self._store, self._monitor, self._clock = jobs, store, monitor, clock

    async def chart(self, job: str, query: ChartQuery) -> dict[str, Any]:
        """
        The answer in its public form; `series` hold arrays with NaN where there is no reading.

        Raises: NotFound; BadInput where `end` is not behind `start`.
        """
        value = (await self._jobs.record(job)).value
        await self._monitor.refresh([job])
        pooled = [] if value.get("accelerator") == "none" else (await self._store.pooled([job])).get(job, [])
        start_ms, end_ms = self._span(value, pooled, query)
        # A card without any reading of utilization is in no sum.
        shown = sum(_asked(one, query) for one in await self._store.sample_series(job, DEVICE_KINDS))
        most = max(MAX_NUMBERS // max(shown * len(query.readings), 1), 1)
        points = max(min(query.points, most, end_ms - start_ms), 1)
        found = await self._store.bucketed_samples(
            job,
            SampleQuery(
                start_ms,
                end_ms,
                tasks=query.tasks or None,
                names=query.devices or None,
                readings=frozenset(query.readings),
            ),
            buckets=points,
        )
        logs = await self._store.bucketed_samples(
            job,
            SampleQuery(start_ms, end_ms, kinds=("log",), tasks=query.tasks or None, readings=frozenset(("lines",))),
            buckets=points,
        )
        start, end = rfc3339(start_ms / 1000) or "", rfc3339(end_ms / 1000) or ""
        return {
            "job": job,
            "from": start,
            "to": end,
            "bucket_seconds": (end_ms - start_ms) / points / 1000,
            "state": self._monitor.state(job),
            "series": [_series(group, query.readings) for group in _groups(found, query.by)],
            "means": means(pooled),
            "log_lines": _log_lines(logs, points),
            "events": [one for one in await self._monitor.events(job) if start <= one["at"] <= end],
        }

    def _span(self, value: dict[str, Any], pooled: Sequence[Pooled], query: ChartQuery) -> tuple[int, int]:
        created = value.get("created_at") or self._clock.now()
        end = ended_at(value) or self._clock.now()
        created_ms = round(created * 1000)
        start_ms = min([created_ms, *(max(one.first_ms, created_ms - BEFORE_MS) for one in pooled)])
        end_ms = max(round(end * 1000), start_ms + LEAST_MS)
        if query.start is not None:
            start_ms = math.floor(query.start * 1000)
            if query.end is None:
                end_ms = max(end_ms, start_ms + LEAST_MS)
        if query.end is not None:
            end_ms = math.ceil(query.end * 1000)
            if query.start is None:
                start_ms = min(start_ms, end_ms - LEAST_MS)
        if end_ms <= start_ms:
            raise BadInput("to must be later than from.", parameter="to")
        return start_ms, end_ms


def means(pooled: Sequence[Pooled]) -> dict[str, Any]:
    """Exact means over the whole of a job, from its pooled sums."""
    tasks: dict[str, list[Pooled]] = {}
    for one in pooled:
        tasks.setdefault(one.series.task, []).append(one)
    return {
        "mean_utilization_percent": _percent(flagged_mean(pooled)),
        "job_percent": _percent(mean_of(pooled)),
        "tasks": [
            {
                "task": task,
                "mean_percent": _percent(mean_of(tasks[task])),
                "readings": sum(one.count for one in tasks[task]),
            }
            for task in sorted(tasks, key=natural_key)
        ],
        "devices": [
            {
                "task": one.series.task,
                "device": one.series.name,
                "kind": one.series.kind,
                "mean_percent": one.sum_micropercent / (MICRO * one.count),
                "readings": one.count,
            }
            for one in pooled
        ],
    }


def _asked(one: SeriesName, query: ChartQuery) -> bool:
    return (not query.tasks or one.task in query.tasks) and (not query.devices or one.name in query.devices)


def _groups(found: Iterable[BucketSeries], by: By) -> list[list[BucketSeries]]:
    """Series that become one, in the order of the first of each."""
    groups: dict[tuple[str, ...], list[BucketSeries]] = {}
    for one in found:
        task, kind, name = one.series
        groups.setdefault({"device": (task, kind, name), "task": (task, kind), "job": (kind,)}[by], []).append(one)
    return list(groups.values())


def _series(group: Sequence[BucketSeries], readings: Sequence[str]) -> dict[str, Any]:
    first = group[0].series
    whole = {one.series for one in group}
    return {
        "task": first.task if len({one.task for one in whole}) == 1 else None,
        "device": first.name if len(whole) == 1 else None,
        "kind": first.kind,
        "readings": {
            name: _shown(merged([one.readings[name] for one in group if name in one.readings]))
            for name in readings
            if any(name in one.readings for one in group)
        },
    }


def merged(buckets: Sequence[Buckets]) -> Buckets:
    """Buckets of several series as those of one: all their readings pooled."""
    if len(buckets) == 1:
        return buckets[0]
    count = np.sum([one.count for one in buckets], axis=0)
    total = np.sum([np.where(one.count > 0, one.mean * one.count, 0.0) for one in buckets], axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(count > 0, total / count, np.nan)
    return Buckets(
        np.fmin.reduce([one.minimum for one in buckets]), mean, np.fmax.reduce([one.maximum for one in buckets]), count
    )


def _shown(buckets: Buckets) -> dict[str, NDArray[np.float64]]:
    return {
        "min": buckets.minimum.round(3),
        "mean": buckets.mean.round(3),
        "max": buckets.maximum.round(3),
    }


def _log_lines(found: Iterable[BucketSeries], points: int) -> list[int] | None:
    """Lines that came in each bucket, over the tasks; None where no task ever wrote."""
    total: NDArray[np.float64] | None = None
    for one in found:
        lines = one.readings["lines"]
        summed = np.where(lines.count > 0, lines.mean * lines.count, 0.0)
        total = summed if total is None else total + summed
    return None if total is None else [round(one) for one in total]


def _percent(mean: Mean | None) -> float | None:
    return mean.percent if mean else None
