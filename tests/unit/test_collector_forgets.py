"""What a collector keeps of files and jobs that are gone for good: nothing, however long it runs on a node."""

from __future__ import annotations

import os
import shutil
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from collectors.agent import Agent
from collectors.client import Client, Frame, Refused
from collectors.jobstatus import JobStatus
from collectors.settings import Settings
from collectors.spool import Spool
from unit.collector_rig import Clock, Service

JOBS = 100  # at a time
LAUNCHED = "[ModelArts Service Log]2022-07-18 19:18:00,000 - INFO - proc-rank-0-device-0 (pid: 166)\n"


class JobService(Service):
    """Knows jobs too; those named `refused-…` and `expired-…` it does not take."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: dict[str, dict[str, Any]] = {}

    def offsets(self, streams: Sequence[tuple[str, str, str]]) -> list[list[dict[str, Any]]]:
        for job, _, _ in streams:
            self._judge(job)
        return super().offsets(streams)

    def job(self, job: str) -> dict[str, Any] | None:
        return self.jobs.get(job)

    def put_job(self, job: str, fields: dict[str, Any]) -> None:
        self.jobs.setdefault(job, {}).update(fields)

    def streams(self, job: str) -> list[dict[str, Any]]:
        return []

    def _append(self, frame: Frame) -> int:
        self._judge(frame.job)
        return super()._append(frame)

    @staticmethod
    def _judge(job: str) -> None:
        if job.startswith("refused"):
            raise Refused(422, "bad_path", "not this one", {})
        if job.startswith("expired"):
            raise Refused(410, "expired", "too old", {})


class Node:
    """An agent on a folder in which jobs come and go."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.logs, self.left = folder / "logs", folder / "left"
        self.logs.mkdir()
        self.service, self.clock, self.said = JobService(), clock, Counter[str]()
        settings = Settings("http://service", state_dir=folder / "state")
        self.agent = Agent(settings, [self.logs, self.left / "runs"], self._hear, state=None)
        self.agent.client = self.agent.shipper.client = cast(Client, self.service)

    def jobs_come(self, first: int) -> None:
        """Each with a worker log; some with a plog, a second opinion of its rank and a FIFO; or a run left behind."""
        for number in range(first, first + JOBS):
            job = f"{('job', 'refused', 'expired', 'job')[number % 4]}-{number}"
            self._write(f"modelarts-job-{job}-worker-0.log", LAUNCHED + f"job {number}\n")
            folder = f"modelarts-job-{job}/worker-0"
            if number % 4 == 3:
                self._write(f"{folder}/plog/plog-166_2022.log", f"plog of {number}\n" * 3)
                self._write(f"{folder}/rank_7/plog/plog-166_2022.log", f"rank 7 of {number}\n")
                os.mkfifo(self.logs / folder / f"fifo-{number}")
                (self.logs / f"nobodys-{number}").write_text("whose?\n")
            if number % 20 in (0, 6):
                self._leave_a_run(job)

    def jobs_go(self) -> None:
        for entry in self.logs.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        for entry in (self.left / "runs").iterdir():
            shutil.rmtree(entry)

    def step(self, seconds: float) -> None:
        until = self.clock.now + seconds
        while self.clock.now < until:
            self.clock.now += 6.0
            while self.agent.step() == 0.0:
                pass

    def _leave_a_run(self, job: str) -> None:
        spool = Spool(self.left, job, "worker-1")
        status = JobStatus(spool.folder, job, "worker-1", "train", None)
        spool.write(f"output of {job}\n".encode())
        status.ended(0)
        spool.close()
        spool.chain.release()

    def _write(self, name: str, text: str) -> None:
        (self.logs / name).parent.mkdir(parents=True, exist_ok=True)
        (self.logs / name).write_text(text)

    def _hear(self, text: str) -> None:
        self.said[text] += 1


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    clock = Clock()
    monkeypatch.setattr("collectors.agent.time", clock)
    node = Node(tmp_path, clock)
    yield node
    node.agent.close()


def kept(root: object) -> Counter[str]:
    """How many entries each collection holds that can be reached from an object of the collector's."""
    sizes: Counter[str] = Counter()
    seen: set[int] = set()
    waiting: list[tuple[str, object]] = [("agent", root)]
    while waiting:
        path, one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, (list, tuple, set, frozenset, deque, dict)):
            sizes[path] += len(one)
            inner = [*one.keys(), *one.values()] if isinstance(one, dict) else [*one]
            waiting += [(path, item) for item in inner]
        elif type(one).__module__.startswith("collectors"):
            names = {**getattr(one, "__dict__", {})}
            waiting += [(f"{type(one).__name__}.{name}", item) for name, item in names.items()]
    return sizes


def test_thousands_of_short_jobs_leave_nothing_in_memory(node: Node) -> None:
    sizes: list[Counter[str]] = []
    for number in range(20):
        node.jobs_come(number * JOBS)
        node.step(30)
        node.jobs_go()
        node.step(72)
        sizes.append(kept(node.agent))
    grown = {path: (sizes[1][path], size) for path, size in sizes[-1].items() if size > sizes[1][path]}
    assert not grown
    taken = [number for number in range(20 * JOBS) if number % 4 in (0, 3)]
    worker_logs = {path for path, _ in node.service.held if path.endswith("-worker-0.log")}
    assert worker_logs == {f"modelarts-job-job-{number}-worker-0.log" for number in taken}
    runs = {path for path, _ in node.service.held if path.endswith("-worker-1.log")}
    assert runs == {f"modelarts-job-job-{number}-worker-1.log" for number in taken if number % 20 in (0, 6)}


def test_a_file_that_comes_again_is_not_stored_again(node: Node) -> None:
    """Its folder was away: what the service holds is asked for anew, and compared."""
    node.jobs_come(0)
    node.step(12)
    held = dict(node.service.held)
    node.logs.rename(node.logs.with_name("away"))
    node.logs.mkdir()
    node.step(72)
    assert {place.task for place in node.agent.tailer.families} == {"worker-1"}  # the runs' spools are still there
    node.logs.rmdir()
    node.logs.with_name("away").rename(node.logs)
    node.step(12)
    assert node.service.held == held
    with (node.logs / "modelarts-job-job-0-worker-0.log").open("a") as file:
        file.write("more\n")
    node.step(12)
    assert node.service.held["modelarts-job-job-0-worker-0.log", 0].endswith(b"job 0\nmore\n")
