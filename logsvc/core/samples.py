"""Accept what a collector read of a task's cards, processes, host and mounts: durable, once.

A report that comes twice is held once. What is durable is told to whoever watches the job.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from logsvc.errors import Conflict
from logsvc.model.job import JOB_KIND, new_job
from logsvc.model.sample import Sample
from logsvc.ports import Clock, RecordStore, SampleStore

KNOWN_JOBS = 100_000  # that have a record, so that it is not looked up again

SamplerState = Literal["ok", "failed", "hung", "absent"]


@dataclass(frozen=True)
class SamplerReport:
    """What a collector says of one of its samplers."""

    name: str
    state: SamplerState
    reason: str


@dataclass(frozen=True)
class Report:
    """
    What one collector read of one task.

    Attributes:
        samplers: those of the collector, as they are now; None where nothing is said of them.
        hang_detect_minutes: `MA_HANG_DETECT_TIME` of the job's container.
    """

    job: str
    task: str
    samples: tuple[Sample, ...]
    samplers: tuple[SamplerReport, ...] | None = None
    hang_detect_minutes: float | None = None


Accepted = Callable[[Report, int], None]


class Samples:
    """
    The one way in for readings.

    Args:
        accepted: called with each report that is durable, and how many of its samples were new.
    """

    def __init__(
        self,
        records: RecordStore,
        store: SampleStore,
        clock: Clock,
        accepted: Accepted = lambda report, new: None,
    ) -> None:
        self._records, self._store, self._clock = records, store, clock
        self._accepted = accepted
        self._known: set[str] = set()

    async def accept(self, report: Report, *, owner: str) -> None:
        """
        Make a report durable; the first of a job makes the job. One that says nothing makes nothing.

        Args:
            owner: of the job, should this make it.

        Raises: StoreUnavailable, DiskFull: nothing was stored.
        """
        if not report.samples and report.samplers is None and report.hang_detect_minutes is None:
            return
        if report.job not in self._known:
            await self._make(report.job, owner)
        new = await self._store.add_samples(report.job, report.samples) if report.samples else 0
        self._accepted(report, new)

    async def _make(self, job: str, owner: str) -> None:
        if await self._records.get(JOB_KIND, job) is None:
            try:
                await self._records.put(JOB_KIND, job, new_job(job, owner=owner, now=self._clock.now()), expected=0)
            except Conflict:
                pass  # somebody else made it meanwhile
        if len(self._known) >= KNOWN_JOBS:
            self._known.clear()
        self._known.add(job)
