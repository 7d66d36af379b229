"""How a job ended is told once its log is whole, also where the log is sent long after the end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from collectors.jobstatus import RECORD
from integration.collector_oracle import TOKEN, Oracle

JOB = "J-1"
NAME = (JOB, "worker-0", f"modelarts-job-{JOB}-worker-0.log", 0)
Collect = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def collect(oracle: Oracle, tmp_path: Path) -> Iterator[Collect]:
    started: list[subprocess.Popen[bytes]] = []

    def collect(verb: str, *more: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "collectors", verb, "--server", oracle.url, "--state-dir"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("LOGSVC_", "MA_"))}
        process = subprocess.Popen(
            [*command, str(tmp_path / "state"), *more], env=environment | {"LOGSVC_TOKEN": TOKEN}
        )
        started.append(process)
        return process

    yield collect
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()


def away(method: str, path: str) -> tuple[int, dict[str, str], bytes]:
    return 503, {}, b"{}"


def run_of(script: str) -> tuple[str, ...]:
    return ("run", "--job", JOB, "--drain", "0", "--", "sh", "-c", script)


def send_what_is_left(collect: Collect, tmp_path: Path) -> None:
    assert collect("watch", "--once", str(tmp_path / "state/runs")).wait(30) == 0
    assert list((tmp_path / "state/runs").iterdir()) == []


@pytest.mark.parametrize(("code", "status"), [(0, "succeeded"), (3, "failed")])
def test_start_and_end_are_told_later_where_the_service_was_away(
    oracle: Oracle, collect: Collect, tmp_path: Path, code: int, status: str
) -> None:
    oracle.fault = away
    assert collect(*run_of(f"exit {code}")).wait(30) == code
    ended = datetime.now(UTC)
    oracle.fault = None
    send_what_is_left(collect, tmp_path)
    job = oracle.jobs[JOB]
    assert (job["status"], job["name"], job["labels"]) == (status, "sh", {"made_by": "logsvc-collector"})
    assert job["created_at"] <= job["ended_at"] <= ended.isoformat(timespec="milliseconds")
    assert NAME in oracle.sealed


def test_the_end_is_told_later_where_only_that_was_missed(oracle: Oracle, collect: Collect, tmp_path: Path) -> None:
    release = tmp_path / "release"
    os.mkfifo(release)
    process = collect(*run_of(f"cat {release}; exit 7"))
    oracle.wait(lambda: JOB in oracle.jobs)
    oracle.fault = away
    release.write_bytes(b"last words\n")
    assert process.wait(30) == 7
    assert oracle.jobs[JOB]["status"] == "running"
    oracle.fault = None
    oracle.requests.clear()
    send_what_is_left(collect, tmp_path)
    assert oracle.jobs[JOB]["status"] == "failed"
    assert b"last words\n" in oracle.held[NAME]
    assert oracle.requests.count(f"PUT /api/v1/jobs/{JOB}") == 1  # the start was told in its time


def test_an_end_that_was_not_told_before_a_kill_is_told_by_the_next(
    oracle: Oracle, collect: Collect, tmp_path: Path
) -> None:
    oracle.fault = away
    assert collect(*run_of("exit 3")).wait(30) == 3
    puts: list[str] = []

    def no_end(method: str, path: str) -> tuple[int, dict[str, str], bytes] | None:
        puts.append(path) if method == "PUT" else None
        return away(method, path) if method == "PUT" and len(puts) > 1 else None

    oracle.fault = no_end
    killed = collect("watch", "--once", str(tmp_path / "state/runs"))
    oracle.wait(lambda: len(puts) > 1)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    (folder,) = (tmp_path / "state/runs").iterdir()
    assert [entry.name for entry in folder.iterdir()] == [RECORD]  # the log itself is all there
    oracle.fault = None
    oracle.requests.clear()
    send_what_is_left(collect, tmp_path)
    assert oracle.jobs[JOB]["status"] == "failed"
    assert oracle.requests == [f"PUT /api/v1/jobs/{JOB}"]  # the start was told by the one that was killed


def test_an_end_that_is_refused_is_not_told_for_ever(oracle: Oracle, collect: Collect, tmp_path: Path) -> None:
    oracle.fault = away
    assert collect(*run_of("exit 3")).wait(30) == 3
    refusal = json.dumps({"error": {"code": "bad_request", "message": "no such status", "detail": {}}}).encode()
    puts: list[str] = []

    def no_end(method: str, path: str) -> tuple[int, dict[str, str], bytes] | None:
        puts.append(path) if method == "PUT" else None
        return (422, {}, refusal) if method == "PUT" and len(puts) > 1 else None

    oracle.fault = no_end
    send_what_is_left(collect, tmp_path)
    assert oracle.jobs[JOB]["status"] == "running" and len(puts) == 2


def test_the_status_of_somebody_elses_job_is_left_alone(oracle: Oracle, collect: Collect, tmp_path: Path) -> None:
    oracle.jobs[JOB] = {"id": JOB, "status": "running"}
    oracle.fault = away
    assert collect(*run_of("exit 3")).wait(30) == 3
    oracle.fault = None
    send_what_is_left(collect, tmp_path)
    assert oracle.jobs[JOB] == {"id": JOB, "status": "running"}
    assert NAME in oracle.sealed


def test_a_run_that_goes_on_is_not_ended_by_somebody_who_looks(
    oracle: Oracle, collect: Collect, tmp_path: Path
) -> None:
    release = tmp_path / "release"
    os.mkfifo(release)
    process = collect("run", "--job", JOB, "--", "sh", "-c", f"cat {release}")
    oracle.wait(lambda: JOB in oracle.jobs)
    assert collect("watch", "--once", str(tmp_path / "state/runs")).wait(30) == 0
    assert oracle.jobs[JOB]["status"] == "running" and NAME not in oracle.sealed
    (folder,) = (tmp_path / "state/runs").iterdir()
    assert (folder / RECORD).exists()
    release.write_bytes(b"")
    assert process.wait(30) == 0
    assert oracle.jobs[JOB]["status"] == "succeeded"
    assert list((tmp_path / "state/runs").iterdir()) == []
