"""Seals the streams of jobs that have ended, a minute after the end or after the last chunk since.

Jobs that ended are known from their records at the start, then from each change. Looking at them
again is cheap: streams are listed only where a chunk has come since the last look.
"""

from __future__ import annotations

import logging
from typing import Any

from logsvc.core.jobs import ended_at
from logsvc.core.periodic import repeat
from logsvc.ports import Clock, LogStore

LOOK_SECONDS = 2.0

log = logging.getLogger(__name__)


class Sealer:
    """
    Housekeeper of ended jobs.

    Args:
        after_seconds: from the end, and from the last chunk, to the seal.
    """

    def __init__(self, store: LogStore, clock: Clock, *, after_seconds: float) -> None:
        self._store, self._clock, self._after = store, clock, after_seconds
        self._ended: dict[str, float] = {}
        self._due: dict[str, float] = {}  # jobs to look at, and when

    def ended(self, job: str, at: float | None) -> None:
        """A job ended at `at`, or (None) runs again."""
        if at is None:
            self._ended.pop(job, None)
            self._due.pop(job, None)
        else:
            self._ended[job] = at
            self._due[job] = at + self._after

    def known(self, value: dict[str, Any]) -> None:
        """A record of a job as the service starts."""
        self.ended(value["id"], ended_at(value))

    def touched(self, job: str) -> None:
        """A chunk came; of an ended job, it opened a stream again."""
        if job in self._ended:
            self._due[job] = max(self._due.get(job, 0.0), self._clock.now() + self._after)

    async def run(self) -> None:
        """Look for ever."""
        await repeat(self.look, seconds=LOOK_SECONDS, name="seal")

    async def look(self) -> None:
        """Seal whatever is due now."""
        now = self._clock.now()
        for job in [job for job, due in self._due.items() if due <= now]:
            streams = [stream for stream in await self._store.streams(job) if not stream.sealed]
            ready = [stream for stream in streams if stream.last_chunk_at + self._after <= now]
            if ready:
                await self._store.seal([stream.id for stream in ready])
                log.info("streams_sealed", extra={"job": job, "streams": len(ready)})
            if job in self._due and self._due[job] <= now:
                waiting = [stream.last_chunk_at + self._after for stream in streams if stream not in ready]
                if waiting:
                    self._due[job] = min(waiting)
                else:
                    del self._due[job]
