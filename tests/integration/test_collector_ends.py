"""How a collector ends where not all can be sent: what cannot be read, and whoever does not want to wait."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import threading
from pathlib import Path

import pytest

from collectors.jobstatus import RECORD
from integration.collector_oracle import Oracle
from integration.command_rig import JOB, LOG, Commands, shell
from integration.watch_rig import OTHER, Watches
from processes import wait_until

TASK = f"modelarts-job-{JOB}/other/worker-0"
# Root reads every file, but for a process that may not do so.
AS_ANYBODY = () if os.getuid() else ("setpriv", "--bounding-set=-dac_override,-dac_read_search")


@pytest.mark.skipif(bool(AS_ANYBODY) and shutil.which("setpriv") is None, reason="root can read all, without setpriv")
def test_a_job_ends_though_a_file_beside_it_cannot_be_read(oracle: Oracle, run: Commands, tmp_path: Path) -> None:
    secret = tmp_path / "logs/secret.log"
    secret.parent.mkdir()
    secret.write_bytes(b"nobody may read this\n")
    secret.chmod(0)
    options = ("--watch", str(secret.parent), "--drain", "2")
    process = run(*shell("echo line; exit 3"), options=options, prefix=AS_ANYBODY)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 3
    assert f"21 bytes of other files are not sent: {secret}: cannot be read (permission?)" in said.decode()
    assert oracle.jobs[JOB]["status"] == "failed" and oracle.content(LOG)[0].endswith(b" with exit code 3\n")
    assert not oracle.content(f"{TASK}/secret.log")
    assert not list((run.state_dir / "runs").iterdir())


@pytest.mark.parametrize("hangs", [False, True], ids=["away", "hangs"])
def test_a_second_signal_ends_a_drain_at_once(oracle: Oracle, start: Watches, tmp_path: Path, hangs: bool) -> None:
    asked, release = threading.Event(), threading.Event()

    def fault(method: str, path: str) -> tuple[int, dict[str, str], bytes]:
        asked.set()
        if hangs:
            release.wait(60)
        return 503, {}, b""

    oracle.fault = fault
    (tmp_path / "logs/a.log").write_bytes(b"one\n")
    process = start("--drain", "600")
    assert asked.wait(20)
    assert process.stderr is not None
    signals, said = 0, b""
    try:
        while b"not all sent, 4 bytes wait: " not in said and signals < 100:
            process.terminate()
            signals += 1
            while select.select([process.stderr], [], [], 0.2)[0] and (heard := os.read(process.stderr.fileno(), 4096)):
                said += heard
        assert process.wait(30) == 0 and 1 < signals < 100
    finally:
        release.set()
    oracle.fault = None
    assert start("--once").wait(30) == 0
    assert oracle.content(f"{OTHER}/a.log") == {0: b"one\n"}


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_after_the_command_ends_the_waiting_and_keeps_the_log(
    oracle: Oracle, run: Commands, tmp_path: Path, how: signal.Signals
) -> None:
    oracle.fault = lambda method, path: (503, {}, b"")
    process = run(*shell("echo precious; exit 4"), options=("--drain", "600"))

    def has_ended() -> bool:
        records = list((run.state_dir / "runs").glob(f"*/{RECORD}"))
        return bool(records) and json.loads(records[0].read_bytes())["exit_code"] == 4

    wait_until(has_ended)
    process.send_signal(how)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 4
    assert b"the log is not all sent: " in said and b"send it later with: logsvc-collector watch --once " in said
    oracle.fault = None
    assert run.watch_once(run.state_dir / "runs").returncode == 0
    assert b"precious\n" in oracle.content(LOG)[0] and oracle.jobs[JOB]["status"] == "failed"
