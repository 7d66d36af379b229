"""Ranks and layouts with the real service: what the streams of a job say of their processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.test_collector_service import Collect, Service, wait


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = Service(tmp_path_factory.mktemp("service") / "data")
    service.start()
    yield service
    service.stop()


@pytest.fixture
def collect(service: Service, tmp_path: Path) -> Iterator[Collect]:
    started: list[subprocess.Popen[bytes]] = []

    def collect(verb: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "collectors", verb, "--server", service.url]
        command += ["--state-dir", str(tmp_path / "state"), *arguments]
        started.append(subprocess.Popen(command, env={**os.environ, "LOGSVC_TOKEN": service.token}))
        return started[-1]

    yield collect
    for process in started:
        process.kill()
        process.wait(20)


def test_a_rank_learned_later_fills_the_field(service: Service, collect: Collect, tmp_path: Path) -> None:
    """The plogs are all sent when the launcher says it, also to a collector that was away; paths and bytes stay."""
    job = "J-1"
    folder = f"modelarts-job-{job}/ascend/process_log/worker-1/plog"
    early, away, fresh = ((f"{folder}/plog-{pid}_1.log", 0) for pid in (74, 75, 76))
    logs, content = tmp_path / "logs", os.urandom(100_000)
    (logs / "plog").mkdir(parents=True)
    for pid in (74, 75):
        (logs / f"plog/plog-{pid}_1.log").write_bytes(content)
    watch = ("watch", str(logs), "--job", job, "--task", "worker-1")
    process = collect(*watch)
    sent = {early: (None, len(content)), away: (None, len(content))}
    wait(lambda: {name: (one["rank"], one["size_bytes"]) for name, one in service.streams(job).items()} == sent)

    launched = "[ModelArts Service Log]2021-09-14 11:34:31,689 - INFO - proc-rank-{}-device-0 (pid: {})\n"
    log = logs / f"modelarts-job-{job}-worker-1.log"
    log.write_text(launched.format(8, 74))
    wait(lambda: service.streams(job)[early]["rank"] == 8)
    process.terminate()
    assert process.wait(20) == 0

    with log.open("a") as file:
        file.write(launched.format(9, 75) + launched.format(10, 76))
    (logs / "plog/plog-76_1.log").write_bytes(content[:5])
    assert collect(*watch, "--once").wait(60) == 0
    streams = service.streams(job)
    assert len(streams) == 4
    assert [streams[name]["rank"] for name in (early, away, fresh)] == [8, 9, 10]
    assert [service.raw(streams[name]) for name in (early, away, fresh)] == [content, content, content[:5]]


def test_a_launcher_under_run_says_the_ranks(service: Service, collect: Collect, tmp_path: Path) -> None:
    """Its lines go through the spool; the job is gone at once."""
    job = "J-2"
    script = (
        "import os, sys; folder = sys.argv[1] + '/plog'; os.makedirs(folder)\n"
        "open(f'{folder}/plog-{os.getpid()}_1.log', 'w').write('x')\n"
        "print(f'[ModelArts Service Log]x - INFO - proc-rank-5-device-0 (pid: {os.getpid()})')"
    )
    logs = tmp_path / "logs"
    run = ("run", "--watch", str(logs), "--job", job, "--task", "worker-1", "--")
    assert collect(*run, sys.executable, "-c", script, str(logs)).wait(60) == 0
    assert [(one["kind"], one["rank"]) for one in service.streams(job).values()] == [("ordinary", None), ("plog", 5)]


def test_a_container_of_the_platform(
    service: Service, collect: Collect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No folder, no job, no task is given: all is known from the environment."""
    job = "J-3"
    home, logs = tmp_path / "home", tmp_path / "log"
    table = {"server_list": [{"device": [{"rank_id": "8"}, {"rank_id": "9"}]}]}
    launched = "[ModelArts Service Log]x - INFO - proc-rank-9-device-1 (pid: 75)\n"
    files = {
        logs / f"modelarts-job-{job}-worker-1.log": launched,
        logs / f"modelarts-job-{job}-proc-rank-9-device-1.txt": "x",
        logs / f"modelarts-job-{job}/worker-1/plog/plog-74_1.log": "x",
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
        "MA_VJ_NAME": f"ma-job-{job}",
        "VC_TASK_INDEX": 1,
        "MA_LOG_DIR": logs,
        "ASCEND_PROCESS_LOG_PATH": tmp_path / "process",
        "GLOG_log_dir": tmp_path / "glog",
        "RANK_TABLE_FILE": tmp_path / "table.json",
    }.items():
        monkeypatch.setenv(name, str(value))
    assert collect("watch", "--once").wait(60) == 0
    ascend = f"modelarts-job-{job}/ascend/process_log"
    assert {path: (one["task"], one["rank"]) for (path, _), one in service.streams(job).items()} == {
        f"modelarts-job-{job}-worker-1.log": ("worker-1", None),
        f"modelarts-job-{job}-proc-rank-9-device-1.txt": ("worker-1", 9),
        f"{ascend}/worker-1/plog/plog-74_1.log": ("worker-1", 8),
        f"{ascend}/rank_8/debug/device-0/device-74_1.log": ("worker-1", 8),
        f"{ascend}/worker-1/run/plog/plog-75_1.log": ("worker-1", 9),
        f"{ascend}/worker-1/plog/plog-76_1.log": ("worker-1", None),
        f"{ascend}/rank_8/mindspore/rank_8/logs/mindspore.log.74": ("worker-1", 8),
        f"modelarts-job-{job}/other/worker-1/train/loss.txt": ("worker-1", None),
    }
