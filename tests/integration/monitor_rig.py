"""A service whose clock is moved by hand, closed and opened again, with jobs that send samples and lines."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from builders import HandClock
from logsvc.core.clock import rfc3339
from logsvc.core.monitor import Monitor
from logsvc.model.stream import ordinary_path
from serving import Served, a_store, in_process

SETTINGS = {"hang_detect_minutes": 2, "hang_window_minutes": 1, "hang_cycle_seconds": 15}


class Rig:
    """A service that is closed and opened again, its jobs, and time."""

    def __init__(self, kind: str, folder: Path, clock: HandClock) -> None:
        self.clock, self.kind, self.folder = clock, kind, folder
        self.store = a_store(kind, folder, clock)
        self._stack = contextlib.AsyncExitStack()
        self.written: dict[str, int] = {}

    async def open(self) -> None:
        self._stack = contextlib.AsyncExitStack()
        self.served: Served = await self._stack.enter_async_context(
            in_process(self.folder, store=self.store, clock=self.clock, **SETTINGS)
        )

    async def close(self) -> None:
        await self._stack.aclose()

    async def restart(self, *, away_seconds: float = 0.0) -> None:
        await self.close()
        self.clock.move(away_seconds)
        if self.kind == "embedded":
            self.store = a_store(self.kind, self.folder, self.clock)
        await self.open()

    @property
    def monitor(self) -> Monitor:
        return self.served.service.services.monitor

    @property
    def at(self) -> str:
        return rfc3339(self.clock.at) or ""

    async def report(self, job: str, *percents: float | None, task: str = "worker-0", **more: Any) -> None:
        """A sample of each card, now; `io`: the counter of the task's one process."""
        lists: dict[str, Any] = {
            "samples": [
                {"at": self.at, "device": device, "kind": "gpu", "utilization_percent": percent}
                for device, percent in enumerate(percents)
            ]
        }
        if "io" in more:
            io = more.pop("io")
            lists["process_io"] = [{"at": self.at, "pid": 71, "read_bytes": io, "write_bytes": 0}]
        response = await self.served.http.post("/api/v1/samples", json={"job": job, "task": task, **lists, **more})
        assert response.status_code == 204, response.text

    async def pass_time(
        self, seconds: float, job: str, *percents: float, io: Callable[[int], int], **more: Any
    ) -> None:
        """Report every 10 s, and look."""
        for step in range(round(seconds / 10)):
            self.clock.move(10)
            await self.report(job, *percents, io=io(step), **more)
            await self.monitor.look()

    async def write(self, job: str, data: bytes, *, path: str | None = None) -> str:
        path = path or ordinary_path(job, "worker-0")
        offset = self.written.get(path, 0)
        self.written[path] = offset + len(data)
        return await self.served.write(data, job=job, path=path, offset=offset)

    async def job(self, job: str) -> dict[str, Any]:
        found: dict[str, Any] = await self.served.get(f"/jobs/{job}")
        return found

    async def put(self, job: str, **given: Any) -> None:
        assert (await self.served.http.put(f"/api/v1/jobs/{job}", json=given)).status_code == 200

    async def changes(self, job: str) -> list[tuple[str, str]]:
        return [(one["name"], one["change"]) for one in (await self.job(job))["events"]]
