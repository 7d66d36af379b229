"""What was found wrong with each job, and when that changed: one record of kind "monitor" a job.

Findings of a job outlive its end and the service. An event is durable before anybody is told of it;
one that nobody could be told of before a kill is told again after the start.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from logsvc.core.clock import rfc3339
from logsvc.core.findings.finding import Finding
from logsvc.core.notify import Event
from logsvc.errors import LogsvcError
from logsvc.ports import RecordStore

MONITOR_KIND = "monitor"
MAX_EVENTS = 100
LIST_RECORDS = 1000

log = logging.getLogger(__name__)
Tell = Callable[[Event], Awaitable[None]]


class Journal:
    """
    Findings and events of all jobs, in records.

    Args:
        tell: told of each event once it is durable, at least once; raises LogsvcError to be told again.
    """

    def __init__(self, records: RecordStore, tell: Tell | None = None) -> None:
        self._records, self._tell = records, tell
        self._writing = asyncio.Lock()
        self._untold: set[str] = set()  # jobs with events that nobody was told of yet

    async def all(self) -> dict[str, dict[str, Any]]:
        """Every job's record, by job; asked once, at the start."""
        found: dict[str, dict[str, Any]] = {}
        after = ""
        while records := await self._records.list(MONITOR_KIND, after=after, limit=LIST_RECORDS):
            found.update((record.id, record.value) for record in records)
            self._untold.update(record.id for record in records if record.value["untold"])
            after = records[-1].id
        return found

    async def events(self, job: str) -> list[dict[str, Any]]:
        """The last events of a job in their public form, oldest first."""
        record = await self._records.get(MONITOR_KIND, job)
        return [_shown_event(one) for one in record.value.get("events", ())] if record else []

    async def write(self, job: str, state: Mapping[str, Any], events: list[Event]) -> None:
        """
        Make the state of a job and its new events durable, then tell of them.

        Args:
            state: fields of the record besides its events.

        Raises: StoreUnavailable, DiskFull, Conflict: nothing was written.
        """
        async with self._writing:
            record = await self._records.get(MONITOR_KIND, job)
            held = record.value if record else {}
            new = [_recorded(event) for event in events]
            value = {
                **state,
                "events": [*held.get("events", ()), *new][-MAX_EVENTS:],
                "untold": [*held.get("untold", ()), *new][-MAX_EVENTS:] if self._tell else [],
            }
            await self._records.put(MONITOR_KIND, job, value, expected=record.version if record else 0)
        for event in events:
            log.info(
                "finding_changed",
                extra={"job": job, "finding": event.name, "change": event.change, "reason": event.reason},
            )
        if events and self._tell is not None:
            self._untold.add(job)
            await self.tell()

    async def tell(self) -> None:
        """Tell of events that nobody was told of yet; those that are not taken wait for the next call."""
        for job in list(self._untold):
            try:
                await self._tell_of(job)
            except LogsvcError as error:
                log.warning("event_told_later", extra={"job": job, "code": error.code, "reason": error.message})
            else:
                self._untold.discard(job)

    async def _tell_of(self, job: str) -> None:
        async with self._writing:
            record = await self._records.get(MONITOR_KIND, job)
            if self._tell is None or record is None or not record.value["untold"]:
                return
            for event in record.value["untold"]:
                await self._tell(Event(job, **event))
            await self._records.put(MONITOR_KIND, job, {**record.value, "untold": []}, expected=record.version)


def shown_finding(finding: Finding, *, since_ms: int) -> dict[str, Any]:
    """The public form of a finding."""
    return {
        "name": finding.name,
        "since": moment(since_ms),
        "reason": finding.reason,
        "advice": finding.advice,
        "numbers": dict(finding.numbers),
        "tasks": list(finding.tasks),
        "devices": [{"task": task, "device": device} for task, device in finding.devices],
        "from": moment(finding.from_ms),
        "to": moment(finding.to_ms),
        "lines": [{"stream": stream, "n": n} for stream, n in finding.lines],
    }


def moment(at_ms: int | None) -> str | None:
    """Unix milliseconds as RFC 3339."""
    return None if at_ms is None else rfc3339(at_ms / 1000)


def _recorded(event: Event) -> dict[str, Any]:
    return {
        "at": event.at,
        "name": event.name,
        "change": event.change,
        "reason": event.reason,
        "advice": event.advice,
        "numbers": dict(event.numbers),
    }


def _shown_event(event: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "at": rfc3339(event["at"]),
        "name": event["name"],
        "change": event["change"],
        "reason": event["reason"],
    }
