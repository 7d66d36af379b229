"""A journal, a collector that ships it through a proxy, and what the service holds of it."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

from integration.chaos_proxy import ChaosProxy, Exchange
from integration.collector_forks import Forks
from integration.collector_journal import Journal, Name, differences
from processes import ServiceProcess

# Waits that a user does not notice, and a hundred faults in a row would.
QUICK = {
    "agent.BACKOFF_SECONDS": 0.02,
    "agent.BACKOFF_CEILING_SECONDS": 0.05,
    "agent.BUSY_CEILING_SECONDS": 0.05,
    "client.ANSWER_SECONDS": 1.0,
}
OFTEN = {"busy_seconds": 0.02}

OFFSETS = "/api/v1/offsets"  # what every collector asks first


class Rig:
    """One job, whose log files lie in `logs`; one collector at a time, whose state lies in `state`."""

    def __init__(self, folder: Path, job: str, service: ServiceProcess) -> None:
        self.job, self.service = job, service
        self.logs, self.state = folder / "logs", folder / "state"
        self.checkpoint = self.state / "checkpoint.json"
        self.proxy = ChaosProxy(service.port)
        self.forks = Forks(folder / "collectors.txt", QUICK, OFTEN)
        self.collector = 0
        self._asked = 0

    def close(self) -> None:
        """Kill what still runs."""
        self.proxy.close()
        self.forks.close()
        assert "Traceback" not in self.forks.said()

    def journal(self, seed: int, *names: str) -> Journal:
        """Log files to be shipped."""
        return Journal(self.logs, self.job, seed, names)

    def stream(self, name: str) -> str:
        """Path of the stream of a file in `logs`."""
        return f"modelarts-job-{self.job}/other/worker-0/{name}"

    def start(self, *more: str) -> None:
        """A collector, on the state that the one before it has left."""
        place = ("--server", self.proxy.url, "--state-dir", str(self.state), "--job", self.job)
        self._asked = self.proxy.passed[OFFSETS]
        self.collector = self.forks.start("watch", *place, *more, str(self.logs), token=self.service.token)

    def kill(self, _: Exchange | None = None) -> None:
        """`kill -9`; it is gone when this returns."""
        assert self.forks.kill(self.collector) == -9

    def stop(self) -> None:
        """TERM, once it has begun to work: it sends what there is, keeps its checkpoint and ends."""
        self.proxy.wait_until(lambda: self.proxy.passed[OFFSETS] > self._asked)
        assert self.forks.kill(self.collector, signal.SIGTERM) == 0, self.forks.said()[-2000:]

    def stored(self) -> dict[Name, bytes]:
        """All bytes that the service holds of the job."""
        client = self.service.client()
        try:
            return {(stream["path"], stream["generation"]): client.raw(stream["id"]) for stream in self.streams()}
        finally:
            client.close()

    def streams(self) -> list[dict[str, Any]]:
        """The job's streams at the service."""
        client = self.service.client()
        try:
            listed = client.ask("GET", f"/jobs/{self.job}/streams")
            return list(listed.json["streams"]) if listed.status == 200 else []
        finally:
            client.close()

    def settle(self, journal: Journal, seconds: float = 30.0) -> None:
        """Wait until as many bytes are stored as were written: they must be those, once and in order."""
        deadline = time.monotonic() + seconds
        while sum(stream["size_bytes"] for stream in self.streams()) < journal.size and time.monotonic() < deadline:
            time.sleep(0.02)
        wrong = differences(journal.written, self.stored())
        assert not wrong, "\n".join([*wrong[:20], self.forks.said()[-2000:]])
