"""A collector that is killed while its command runs: the next one sends what is left, and fails the job."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from collectors.jobstatus import RECORD
from collectors.spool import KILLED
from integration.collector_oracle import Oracle
from integration.command_rig import JOB, LOG, NAME, Commands, shell
from processes import wait_until


@pytest.fixture
def release(tmp_path: Path) -> Iterator[Path]:
    """A FIFO that commands wait for: they go on when the test is over, whoever is left of them."""
    release = tmp_path / "release"
    os.mkfifo(release)
    holder = os.open(release, os.O_RDWR)
    yield release
    os.close(holder)


def killed(run: Commands, release: Path, oracle: Oracle, *options: str) -> None:
    """A command that writes a line and goes on, and whose collector is killed then."""
    process = run(*shell(f"echo line; exec cat {release}"), options=options)
    assert process.stdout is not None
    assert process.stdout.readline() == b"line\n"
    if oracle.fault is None:
        oracle.wait(lambda: b"line\n" in oracle.held.get(NAME, b""))
    process.kill()
    process.wait()


def left(run: Commands) -> list[Path]:
    return list((run.state_dir / "runs").iterdir())


def said_killed(oracle: Oracle, generation: int = 0) -> int:
    return bytes(oracle.held[(*NAME[:3], generation)]).count(KILLED.encode())


def watch_elsewhere(run: Commands, tmp_path: Path) -> None:
    """A collector of the same node, on another folder."""
    (tmp_path / "logs").mkdir(exist_ok=True)
    done = run.watch_once(tmp_path / "logs")
    assert done.returncode == 0, done.stderr


def run_another(run: Commands, tmp_path: Path) -> None:
    assert run("true", options=("--job", "J-2")).wait(30) == 0


@pytest.mark.parametrize("come", [watch_elsewhere, run_another])
@pytest.mark.parametrize("away", [False, True])
def test_the_next_collector_sends_what_is_left_and_fails_the_job(
    oracle: Oracle, run: Commands, tmp_path: Path, release: Path, come: Callable[[Commands, Path], None], away: bool
) -> None:
    oracle.fault = (lambda method, path: (503, {}, b"")) if away else None
    killed(run, release, oracle)
    oracle.fault = None
    come(run, tmp_path)
    log = oracle.content(LOG)[0].splitlines()
    assert log[-2] == b"line" and log[-1].startswith(b"[ModelArts Service Log]") and log[-1].endswith(KILLED.encode())
    assert oracle.jobs[JOB]["status"] == "failed" and NAME in oracle.sealed
    assert not left(run)


def test_without_service_lines_there_is_none(oracle: Oracle, run: Commands, tmp_path: Path, release: Path) -> None:
    killed(run, release, oracle, "--no-service-lines")
    watch_elsewhere(run, tmp_path)
    assert oracle.content(LOG) == {0: b"line\n"} and oracle.jobs[JOB]["status"] == "failed"


@pytest.mark.parametrize("status", ["stopped", "succeeded"])
def test_what_somebody_else_has_said_of_the_job_stays(
    oracle: Oracle, run: Commands, tmp_path: Path, release: Path, status: str
) -> None:
    killed(run, release, oracle)
    oracle.jobs[JOB]["status"] = status
    watch_elsewhere(run, tmp_path)
    assert oracle.jobs[JOB]["status"] == status and said_killed(oracle) == 1 and not left(run)


def test_a_job_of_others_keeps_its_status(oracle: Oracle, run: Commands, tmp_path: Path, release: Path) -> None:
    oracle.jobs[JOB] = {"id": JOB, "status": "running"}
    killed(run, release, oracle)
    watch_elsewhere(run, tmp_path)
    assert oracle.jobs[JOB] == {"id": JOB, "status": "running"} and NAME in oracle.sealed and not left(run)


@pytest.mark.parametrize("away", [False, True])
def test_a_task_that_runs_again_has_not_failed(
    oracle: Oracle, run: Commands, tmp_path: Path, release: Path, away: bool
) -> None:
    """Its log is the next generation, whether or not the service has anything of the first."""
    oracle.fault = (lambda method, path: (503, {}, b"")) if away else None
    killed(run, release, oracle)
    again = run(*shell(f"echo again; exec cat {release}"))
    assert again.stdout is not None and again.stdout.readline() == b"again\n"
    oracle.fault = None
    oracle.wait(lambda: (*NAME[:3], 0) in oracle.sealed and b"again\n" in oracle.held.get((*NAME[:3], 1), b""))
    wait_until(lambda: len(left(run)) == 1)
    assert oracle.jobs[JOB]["status"] == "running" and said_killed(oracle) == 1
    again.send_signal(signal.SIGTERM)
    assert again.wait(30) == 143
    assert oracle.jobs[JOB]["status"] == "failed" and said_killed(oracle, 1) == 0 and not left(run)


def test_a_task_that_ran_again_elsewhere_has_not_failed(
    oracle: Oracle, run: Commands, tmp_path: Path, release: Path
) -> None:
    killed(run, release, oracle)
    oracle.held[(*NAME[:3], 1)] = bytearray(b"on another node\n")
    watch_elsewhere(run, tmp_path)
    assert oracle.jobs[JOB]["status"] == "running" and said_killed(oracle) == 1


def test_several_collectors_that_find_it_at_once_tell_it_once(
    oracle: Oracle, run: Commands, tmp_path: Path, release: Path
) -> None:
    killed(run, release, oracle)
    oracle.requests.clear()
    others: list[subprocess.Popen[bytes]] = [run("true", options=("--job", f"J-{number}")) for number in range(2, 7)]
    assert [process.wait(60) for process in others] == [0] * 5
    watch_elsewhere(run, tmp_path)
    assert oracle.jobs[JOB]["status"] == "failed" and said_killed(oracle) == 1 and list(oracle.content(LOG)) == [0]
    assert oracle.requests.count(f"PUT /api/v1/jobs/{JOB}") == 1 and not left(run)


def test_a_run_that_lives_is_left_alone(oracle: Oracle, run: Commands, tmp_path: Path, release: Path) -> None:
    """Its log is all there, and the job's end not told yet."""
    puts: list[str] = []

    def no_end(method: str, path: str) -> tuple[int, dict[str, str], bytes] | None:
        puts.append(path) if method == "PUT" and path.endswith(JOB) else None
        return (503, {}, b"") if len(puts) > 1 and method in ("PUT", "GET") and path.endswith(JOB) else None

    oracle.fault = no_end
    process = run(*shell("echo line; exit 3"))
    oracle.wait(lambda: NAME in oracle.sealed and len(puts) > 1)
    watch_elsewhere(run, tmp_path)
    assert [entry.name for folder in left(run) for entry in folder.iterdir()] == [RECORD]
    oracle.fault = None
    assert process.wait(30) == 3
    assert oracle.jobs[JOB]["status"] == "failed" and said_killed(oracle) == 0 and not left(run)
