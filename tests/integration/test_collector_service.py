"""The collector and the real service, as processes: what is stored is what lies in the files."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

STORE = "embedded" if importlib.util.find_spec("logsvc.stores.embedded.store") else "memory"
SAMPLES = Path(__file__).resolve().parents[1] / "samples"
JOB = "J-1"


class Service:
    """`logsvc serve` on a folder; may be killed and started again."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.port = 0
        self.token = ""
        self.process: subprocess.Popen[str]

    def start(self) -> None:
        command = [sys.executable, "-m", "logsvc", "serve", "--store", STORE, "--data-dir", str(self.data)]
        self.process = subprocess.Popen(
            [*command, "--port", str(self.port)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        parts = urlsplit(line.removeprefix("viewer: ").strip())
        assert parts.port is not None, line
        self.port = parts.port
        self.token = parse_qs(parts.query)["token"][0]

    def stop(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)
        self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def bytes(self, path: str) -> bytes:
        asked = urllib.request.Request(self.url + "/api/v1" + path, headers={"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return answer.read()

    def streams(self, job: str = JOB) -> dict[tuple[str, int], dict[str, Any]]:
        try:
            listed = json.loads(self.bytes(f"/jobs/{job}/streams"))["streams"]
        except urllib.error.HTTPError as exc:
            if exc.code == 404:
                return {}
            raise
        return {(stream["path"], stream["generation"]): stream for stream in listed}

    def raw(self, stream: dict[str, Any]) -> bytes:
        return self.bytes(f"/streams/{stream['id']}/raw")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path / "data")
    service.start()
    yield service
    if service.process.poll() is None:
        service.stop()


Collect = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def collect(service: Service, tmp_path: Path) -> Iterator[Collect]:
    started: list[subprocess.Popen[bytes]] = []

    def collect(*arguments: str) -> subprocess.Popen[bytes]:
        verb, *rest = arguments
        command = [sys.executable, "-m", "collectors", verb, "--server", service.url]
        command += ["--state-dir", str(tmp_path / "state"), *rest]
        process = subprocess.Popen(command, env={**os.environ, "LOGSVC_TOKEN": service.token})
        started.append(process)
        return process

    yield collect
    for process in started:
        if process.poll() is None:
            process.terminate()
            process.wait(20)


def wait(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.01)


def test_a_whole_job_as_in_obs(service: Service, collect: Collect) -> None:
    assert collect("watch", "--once", str(SAMPLES), "--job", JOB).wait(60) == 0
    (tree,) = (path for path in SAMPLES.iterdir() if path.name.startswith("modelarts-job-") and path.is_dir())
    job = tree.name.removeprefix("modelarts-job-")
    files = {str(path.relative_to(SAMPLES)): path for path in SAMPLES.rglob("modelarts-job-*/**/*") if path.is_file()}
    files |= {path.name: path for path in SAMPLES.glob("modelarts-job-*") if path.is_file()}
    streams = service.streams(job)
    assert {path for path, _ in streams} == set(files)
    for (path, generation), stream in streams.items():
        assert generation == 0
        assert hashlib.sha256(service.raw(stream)).digest() == hashlib.sha256(files[path].read_bytes()).digest()
    assert {stream["kind"] for stream in streams.values()} == {"ordinary", "proc", "plog", "device", "mindspore"}


def test_rotation_truncation_and_kills_of_the_collector(service: Service, collect: Collect, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    chance = random.Random(3)
    path = f"modelarts-job-{JOB}/other/worker-0/a.log"
    written: list[bytes] = []
    struck = 0
    for generation in range(4):
        written.append(b"")
        for piece in range(2):
            data = (
                b"generation %d, piece %d " % (generation, piece) + chance.randbytes(8_000_000).hex().encode() + b"\n"
            )
            with (logs / "a.log").open("ab") as file:
                file.write(data)
            written[-1] += data
            process = collect("watch", str(logs), "--job", JOB)
            sofar = service.streams().get((path, generation), {}).get("size_bytes", 0)
            wait(lambda: service.streams().get((path, generation), {}).get("size_bytes", 0) > sofar)  # noqa: B023
            process.kill()
            process.wait()
            struck += service.streams()[path, generation]["size_bytes"] < len(written[-1])
        if generation < 3:
            for number in (2, 1):
                if (logs / f"a.log.{number}").exists():
                    (logs / f"a.log.{number}").rename(logs / f"a.log.{number + 1}")
            (logs / "a.log").rename(logs / "a.log.1")
    collect("watch", str(logs), "--job", JOB)
    for generation, data in enumerate(written):
        wait(lambda: service.streams()[path, generation]["size_bytes"] == len(data))  # noqa: B023
    streams = service.streams()
    assert len(streams) == 4
    for generation, data in enumerate(written):
        assert hashlib.sha256(service.raw(streams[path, generation])).digest() == hashlib.sha256(data).digest()
    wait(lambda: [service.streams()[path, g]["sealed"] for g in range(4)] == [True, True, True, False])
    with (logs / "a.log").open("r+b") as file:
        file.truncate(0)
        file.write(b"after truncation\n")
    wait(lambda: (path, 4) in service.streams())
    assert service.raw(service.streams()[path, 4]) == b"after truncation\n"
    assert struck >= 1


def test_a_run_while_the_service_is_away_and_back(service: Service, collect: Collect, tmp_path: Path) -> None:
    if STORE == "memory":
        pytest.skip("what the store in memory held is gone after a restart")
    release = tmp_path / "release"
    script = f"echo before; while [ ! -e {release} ]; do sleep 0.05; done; for i in $(seq 2000); do echo line $i; done"
    process = collect("run", "--job", JOB, "--", "sh", "-c", script)
    path = (f"modelarts-job-{JOB}-worker-0.log", 0)
    wait(lambda: path in service.streams() and b"before" in service.raw(service.streams()[path]))
    service.stop(signal.SIGKILL)
    release.touch()
    service.start()
    assert process.wait(90) == 0
    stream = service.streams()[path]
    lines = service.raw(stream).split(b"\n")
    assert [line for line in lines if line.startswith(b"line ")] == [b"line %d" % index for index in range(1, 2001)]
    assert stream["sealed"]
    job = json.loads(service.bytes(f"/jobs/{JOB}"))
    assert job["status"] == "succeeded" and job["ended_at"]
    assert stream["lines"] - stream["user_lines"] == 3  # started, command, ended


def test_a_fast_job_is_whole_and_ended(service: Service, collect: Collect) -> None:
    process = collect(
        "run", "--job", JOB, "--", sys.executable, "-c", "for i in range(1000): print(i)\nraise SystemExit(9)"
    )
    assert process.wait(60) == 9
    stream = service.streams()[f"modelarts-job-{JOB}-worker-0.log", 0]
    assert stream["user_lines"] == 1000 and stream["sealed"]
    assert json.loads(service.bytes(f"/jobs/{JOB}"))["status"] == "failed"
