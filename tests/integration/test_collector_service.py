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


def test_a_rank_learned_later_fills_the_field(service: Service, collect: Collect, tmp_path: Path) -> None:
    """The plogs are all sent when the launcher says it, also to a collector that was away; paths and bytes stay."""
    folder = f"modelarts-job-{JOB}/ascend/process_log/worker-1/plog"
    early, away, fresh = ((f"{folder}/plog-{pid}_1.log", 0) for pid in (74, 75, 76))
    logs, content = tmp_path / "logs", os.urandom(100_000)
    (logs / "plog").mkdir(parents=True)
    for pid in (74, 75):
        (logs / f"plog/plog-{pid}_1.log").write_bytes(content)
    watch = ("watch", str(logs), "--job", JOB, "--task", "worker-1")
    process = collect(*watch)
    sent = {early: (None, len(content)), away: (None, len(content))}
    wait(lambda: {name: (one["rank"], one["size_bytes"]) for name, one in service.streams().items()} == sent)

    launched = "[ModelArts Service Log]2021-09-14 11:34:31,689 - INFO - proc-rank-{}-device-0 (pid: {})\n"
    log = logs / f"modelarts-job-{JOB}-worker-1.log"
    log.write_text(launched.format(8, 74))
    wait(lambda: service.streams()[early]["rank"] == 8)
    process.terminate()
    assert process.wait(20) == 0

    with log.open("a") as file:
        file.write(launched.format(9, 75) + launched.format(10, 76))
    (logs / "plog/plog-76_1.log").write_bytes(content[:5])
    assert collect(*watch, "--once").wait(60) == 0
    streams = service.streams()
    assert len(streams) == 4
    assert [streams[name]["rank"] for name in (early, away, fresh)] == [8, 9, 10]
    assert [service.raw(streams[name]) for name in (early, away, fresh)] == [content, content, content[:5]]


def test_a_launcher_under_run_says_the_ranks(service: Service, collect: Collect, tmp_path: Path) -> None:
    """Its lines go through the spool; the job is gone at once."""
    script = (
        "import os, sys; folder = sys.argv[1] + '/plog'; os.makedirs(folder)\n"
        "open(f'{folder}/plog-{os.getpid()}_1.log', 'w').write('x')\n"
        "print(f'[ModelArts Service Log]x - INFO - proc-rank-5-device-0 (pid: {os.getpid()})')"
    )
    logs = tmp_path / "logs"
    run = ("run", "--watch", str(logs), "--job", JOB, "--task", "worker-1", "--")
    assert collect(*run, sys.executable, "-c", script, str(logs)).wait(60) == 0
    assert [(one["kind"], one["rank"]) for one in service.streams().values()] == [("ordinary", None), ("plog", 5)]


def test_a_container_of_the_platform(
    service: Service, collect: Collect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No folder, no job, no task is given: all is known from the environment."""
    home, logs = tmp_path / "home", tmp_path / "log"
    table = {"server_list": [{"device": [{"rank_id": "8"}, {"rank_id": "9"}]}]}
    launched = "[ModelArts Service Log]x - INFO - proc-rank-9-device-1 (pid: 75)\n"
    files = {
        logs / f"modelarts-job-{JOB}-worker-1.log": launched,
        logs / f"modelarts-job-{JOB}-proc-rank-9-device-1.txt": "x",
        logs / f"modelarts-job-{JOB}/worker-1/plog/plog-74_1.log": "x",
        home / "ascend/log/debug/device-0/device-74_1.log": "x",
        home / "ascend/log/run/plog/plog-75_1.log": "x",
        tmp_path / "process/plog/plog-76_1.log": "x",
        tmp_path / "glog/rank_8/logs/mindspore.log.74": "x",
        logs / "train/loss.txt": "x",
        tmp_path / "table.json": json.dumps(table),
    }
    for file, content in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    for name, value in {
        "HOME": home,
        "MA_VJ_NAME": f"ma-job-{JOB}",
        "VC_TASK_INDEX": 1,
        "MA_LOG_DIR": logs,
        "ASCEND_PROCESS_LOG_PATH": tmp_path / "process",
        "GLOG_log_dir": tmp_path / "glog",
        "RANK_TABLE_FILE": tmp_path / "table.json",
    }.items():
        monkeypatch.setenv(name, str(value))
    assert collect("watch", "--once").wait(60) == 0
    ascend = f"modelarts-job-{JOB}/ascend/process_log"
    assert {path: (one["task"], one["rank"]) for (path, _), one in service.streams().items()} == {
        f"modelarts-job-{JOB}-worker-1.log": ("worker-1", None),
        f"modelarts-job-{JOB}-proc-rank-9-device-1.txt": ("worker-1", 9),
        f"{ascend}/worker-1/plog/plog-74_1.log": ("worker-1", 8),
        f"{ascend}/rank_8/debug/device-0/device-74_1.log": ("worker-1", 8),
        f"{ascend}/worker-1/run/plog/plog-75_1.log": ("worker-1", 9),
        f"{ascend}/worker-1/plog/plog-76_1.log": ("worker-1", None),
        f"{ascend}/rank_8/mindspore/rank_8/logs/mindspore.log.74": ("worker-1", 8),
        f"modelarts-job-{JOB}/other/worker-1/train/loss.txt": ("worker-1", None),
    }
