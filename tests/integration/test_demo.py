"""The demo, at a fast pace: the job fails for its real reason, and everything ends cleanly."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from logsvc.demo.training import TORN_EPOCH

STORE = "embedded" if importlib.util.find_spec("logsvc.stores.embedded.store") else "memory"
Demo = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    started: list[subprocess.Popen[str]] = []

    def demo(*options: str) -> subprocess.Popen[str]:
        machine = {"ASCEND_RT_VISIBLE_DEVICES": "0"}  # says nothing of the demo's cards
        environment = {**os.environ, **machine, "LOGSVC_DEMO_PACE": "0", "LOGSVC_STORE": STORE, "TMPDIR": str(tmp_path)}
        command = [sys.executable, "-m", "logsvc", "demo", *options]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(command, env=environment, text=True, start_new_session=True, **pipes)
        started.append(process)
        return process

    yield demo
    for process in started:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=60)


class Viewer:
    """Asks the service that a demo has started."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("viewer: http://127.0.0.1:"), line
        parts = urlsplit(line.removeprefix("viewer: ").strip())
        self.base = f"{parts.scheme}://{parts.netloc}/api/v1"
        self.token = parse_qs(parts.query)["token"][0]

    def bytes(self, path: str) -> bytes:
        asked = urllib.request.Request(self.base + path, headers={"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(asked, timeout=20) as answer:
            return answer.read()

    def json(self, path: str) -> Any:
        return json.loads(self.bytes(path))


def wait(condition: Callable[[], bool], seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.1)


def test_the_job_fails_and_ctrl_c_ends_everything(demo: Demo, tmp_path: Path) -> None:
    process = demo("--port", "0")
    viewer = Viewer(process)
    wait(lambda: any(job["status"] == "failed" for job in viewer.json("/jobs")["jobs"]))
    (job,) = viewer.json("/jobs")["jobs"]
    assert job["ended_at"] and job["tasks"] == ["worker-0", "worker-1"]

    def streams() -> dict[tuple[str, str], dict[str, Any]]:
        listed = viewer.json(f"/jobs/{job['id']}/streams")["streams"]
        assert all(stream["generation"] == 0 for stream in listed)
        return {(stream["task"], stream["kind"]): stream for stream in listed}

    kinds = ("ordinary", "proc", "plog", "device", "mindspore")
    wait(lambda: set(streams()) == {(task, kind) for task in job["tasks"] for kind in kinds})
    found = streams()
    assert {stream["rank"] for (task, kind), stream in found.items() if kind == "plog"} == {0, 1}

    def log(task: str) -> str:
        return viewer.bytes(f"/streams/{found[task, 'ordinary']['id']}/raw").decode()

    # The first worker to fail fails the job; the other one's last lines come after that.
    wait(lambda: all("exit code 1" in log(task) for task in job["tasks"]))
    found = streams()
    first, second = log("worker-0"), log("worker-1")
    assert "ValueError: matmul" in second and "Traceback (most recent call last)" in second
    assert "the peer is lost" in first
    losses = [float(line.rpartition(" ")[2]) for line in first.splitlines() if line.startswith("epoch:")]
    assert len(losses) >= (TORN_EPOCH - 1) * 10 and losses[-1] < losses[0] / 2
    for text in (first, second):
        assert "[ModelArts Service Log]" in text and "Platform=ModelArts-Service" in text
        assert "数据集已就绪" in text and "\x1b[32m" in text and "\rEval 1:" in text and "exit code 1" in text
    assert 0 < found["worker-0", "ordinary"]["user_lines"] < found["worker-0", "ordinary"]["lines"]

    def cards() -> set[tuple[str, str, str]]:
        series = viewer.json(f"/jobs/{job['id']}/utilization")["series"]
        return {(card["task"], card["device"], card["kind"]) for card in series}

    wait(lambda: cards() == {(task, device, "npu") for task in job["tasks"] for device in ("0", "1")})
    mean = viewer.json(f"/jobs/{job['id']}")["mean_utilization_percent"]
    assert mean is not None and 0 <= mean <= 100

    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert list(tmp_path.glob("logsvc-demo-*")) == []


def test_it_ends_by_itself_also_in_the_middle(demo: Demo, tmp_path: Path) -> None:
    data = tmp_path / "kept"
    process = demo("--port", "0", "--for", "1", "--data-dir", str(data))
    Viewer(process)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out == ""  # the viewer's line is the only one
    assert list(tmp_path.glob("logsvc-demo-*")) == []
    assert STORE == "memory" or data.is_dir()


def test_a_service_that_cannot_start_is_one_clear_end(demo: Demo, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    process = demo("--port", "0", "--data-dir", str(tmp_path / "file"))
    _, said = process.communicate(timeout=60)
    if STORE == "memory":
        pytest.skip("the store in memory needs no folder")
    assert process.returncode == 2
    assert "the service did not start" in said
