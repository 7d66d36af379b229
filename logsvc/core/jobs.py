"""Jobs: described by whoever starts them, made by their first chunk, listed with filters.

A job is one record of kind "job"; changes are compare-and-swap, so that a chunk that makes the
job and a call that describes it may come in any order, from several processes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from logsvc.core.access import no_job
from logsvc.core.clock import rfc3339
from logsvc.core.listing import JobQuery, Page, page_of
from logsvc.errors import ArchiveRequired, BadInput, Conflict
from logsvc.model.job import ENDED, FIELDS, JOB_KIND, new_job
from logsvc.model.query import JobTotals, Record
from logsvc.model.stream import check_job
from logsvc.ports import Clock, LogStore, RecordStore

DAY_SECONDS = 86_400
ATTEMPTS = 20  # of a compare-and-swap; each loss means that somebody else got through
LIST_RECORDS = 1000

log = logging.getLogger(__name__)
Changed = Callable[[dict[str, Any]], None]


class Watched(Protocol):
    """What is seen of jobs while they run; `core.monitor` gives it."""

    async def refresh(self, jobs: Iterable[str]) -> None:
        """Let what is seen of these jobs be of this moment."""
        ...

    async def judge(self) -> None:
        """Let the flags of all jobs be of this moment."""
        ...

    def flags(self, job: str) -> list[str]:
        """Names of what is wrong with a job now."""
        ...

    def shown(self, job: str) -> dict[str, Any]:
        """Fields of a job wherever it is shown."""
        ...

    async def detail(self, job: str) -> dict[str, Any]:
        """These, and those of a job that is shown alone."""
        ...


class Jobs:
    """
    Records of jobs, with what the log store holds of them and what is seen of their cards.

    Args:
        changed: called with the record of a job at each change.
    """

    def __init__(
        self,
        records: RecordStore,
        store: LogStore,
        clock: Clock,
        watched: Watched,
        *,
        retention_days: int,
        require_archive_for_ascend: bool,
        changed: Changed = lambda value: None,
    ) -> None:
        self._records, self._store, self._clock, self._watched = records, store, clock, watched
        self._retention_seconds = retention_days * DAY_SECONDS
        self._require_archive = require_archive_for_ascend
        self._changed = changed

    async def get(self, job: str) -> dict[str, Any]:
        """
        One job in its public form, with what only its page shows.

        Raises: NotFound, also where `job` is no job id.
        """
        return await self._detail(job, (await self.record(job)).value)

    async def record(self, job: str) -> Record:
        """The record; raises NotFound."""
        record = await self._records.get(JOB_KIND, job)
        if record is None:
            raise no_job(job)
        return record

    async def put(self, job: str, given: dict[str, Any], *, owner: str) -> dict[str, Any]:
        """
        Describe a job; what is not given stays.

        Args:
            given: some of `model.job.FIELDS`, checked; times are Unix seconds; None clears.
            owner: of the job, should this make it.

        Raises:
            BadPath: `job` is no job id.
            ArchiveRequired: an Ascend job without a place for its archive.
            BadInput: an end for a job that runs.
        """
        check_job(job)
        for _ in range(ATTEMPTS):
            record = await self._records.get(JOB_KIND, job)
            value = self._merged(record.value if record else new_job(job, owner=owner, now=self._clock.now()), given)
            try:
                await self._records.put(JOB_KIND, job, value, expected=record.version if record else 0)
            except Conflict:
                continue
            self._changed(value)
            log.info("job_put", extra={"job": job, "status": value["status"], "made": record is None})
            return await self._detail(job, value)
        raise Conflict(f"Job {job} is being changed by many at once; try again.")

    async def page(self, query: JobQuery, sees: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """A page of the jobs that somebody sees, in their public form, and where the next one starts."""
        values = [value for value in await self.values() if sees(value)]
        if query.flag is not None:
            await self._watched.judge()
            values = [value for value in values if query.flag in self._watched.flags(value["id"])]
        page: Page = page_of(values, query)
        ids = [value["id"] for value in page.values]
        totals = await self._store.job_totals(ids)
        await self._watched.refresh(ids)
        return {"jobs": [self.shown(value, totals.get(value["id"])) for value in page.values], "next": page.next}

    async def values(self) -> list[dict[str, Any]]:
        """Records of all jobs."""
        found: list[dict[str, Any]] = []
        after = ""
        while True:
            records = await self._records.list(JOB_KIND, after=after, limit=LIST_RECORDS)
            found += [record.value for record in records]
            if len(records) < LIST_RECORDS:
                return found
            after = records[-1].id

    async def chosen(self, admits: Callable[[dict[str, Any]], bool]) -> list[str]:
        """Ids of the jobs whose record is admitted."""
        return [value["id"] for value in await self.values() if admits(value)]

    def shown(self, value: dict[str, Any], totals: JobTotals | None) -> dict[str, Any]:
        """The public form of a record."""
        view: dict[str, Any] = {"id": value["id"]}
        view.update((name, value.get(name)) for name in FIELDS)
        view["labels"] = value.get("labels") or {}
        view["created_at"] = rfc3339(value.get("created_at"))
        view["ended_at"] = rfc3339(value.get("ended_at"))
        last = totals.last_chunk_at if totals else None
        end = ended_at(value)
        view.update(
            self._watched.shown(value["id"]),
            tasks=totals.tasks if totals else [],
            log_bytes=totals.log_bytes if totals else 0,
            last_chunk_at=rfc3339(last),
            expires_at=None if end is None else rfc3339(max(end, last or end) + self._retention_seconds),
        )
        return view

    async def _detail(self, job: str, value: dict[str, Any]) -> dict[str, Any]:
        totals = await self._store.job_totals([job])
        return {**self.shown(value, totals.get(job)), **await self._watched.detail(job)}

    def _merged(self, value: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
        merged = {**value, **given}
        if merged["status"] == "running" and value["status"] != "running":
            merged["started_at"] = self._clock.now()
        if merged["status"] in ENDED:
            if merged.get("ended_at") is None:
                merged["ended_at"] = self._clock.now()
        elif given.get("ended_at") is not None:
            raise BadInput(
                f"ended_at was given for a job that is {merged['status']}; give the status that ended it too.",
                parameter="ended_at",
            )
        else:
            merged["ended_at"] = None  # started again
        if self._require_archive and merged.get("accelerator") == "ascend" and not merged.get("archive_url"):
            raise ArchiveRequired(
                "An Ascend job needs archive_url, the place its logs are kept for good "
                "(obs://bucket/path, s3://bucket/path or file:///path); "
                "the setting require_archive_for_ascend = false lifts this.",
                parameter="archive_url",
            )
        return {name: one for name, one in merged.items() if one is not None}


def started_at(value: dict[str, Any]) -> float:
    """When a job began to run, Unix seconds: when it was made, unless it waited then or had ended since."""
    return float(value.get("started_at") or value["created_at"])


def ended_at(value: dict[str, Any]) -> float | None:
    """When a job ended, Unix seconds; None while it has not."""
    if value.get("status") not in ENDED:
        return None
    end = value.get("ended_at")
    return float(end) if end is not None else None
