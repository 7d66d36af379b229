"""`logsvc-collector status`, /metrics and the line of progress, with the real service and real processes."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from collectors.status import ask
from integration.collector_oracle import TOKEN, Oracle
from processes import ServiceProcess, free_port

JOB = "J-1"
OWN = (*("MA_VJ_NAME", "VC_TASK_INDEX", "RANK_ID", "GLOG_log_dir", "MA_LOG_DIR", "ASCEND_PROCESS_LOG_PATH"),)


class Collectors:
    """Collector processes on one state folder, and what `status` says of them."""

    def __init__(self, folder: Path, server: str, token: str) -> None:
        self.state = folder / "state"
        self.logs = folder / "logs"
        self.logs.mkdir()
        self.started: list[subprocess.Popen[bytes]] = []
        self._server = server
        self._environment = {
            name: value for name, value in os.environ.items() if name not in OWN and not name.startswith("LOGSVC_")
        } | {"LOGSVC_TOKEN": token}

    def command(self, verb: str, *more: str) -> list[str]:
        return [
            *(sys.executable, "-m", "collectors", verb, "--server", self._server, "--job", JOB),
            *("--state-dir", str(self.state), *more),
        ]

    def start(self, verb: str, *more: str, **pipes: Any) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(self.command(verb, *more), env=self._environment, **pipes)
        self.started.append(process)
        return process

    def status(self, *more: str) -> tuple[int, str]:
        """Exit status and what is printed."""
        asked = subprocess.run(
            [sys.executable, "-m", "collectors", "status", "--state-dir", str(self.state), *more],
            env={**self._environment, "PYTHONIOENCODING": "ascii"},
            stdout=subprocess.PIPE,
            text=True,
            timeout=30,
            check=False,
        )
        return asked.returncode, asked.stdout

    def wait(self, condition: Callable[[dict[str, Any]], bool], seconds: float = 40.0) -> dict[str, Any]:
        """The report of the only collector, once it is as it should be."""
        deadline = time.monotonic() + seconds
        while True:
            reports = ask(self.state)
            if len(reports) == 1 and condition(reports[0]):
                return reports[0]
            assert time.monotonic() < deadline, reports
            time.sleep(0.02)

    def end(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
                process.wait(20)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[ServiceProcess]:
    service = ServiceProcess(tmp_path / "data").start()
    yield service
    service.kill()


@pytest.fixture
def collectors(service: ServiceProcess, tmp_path: Path) -> Iterator[Collectors]:
    collectors = Collectors(tmp_path, f"http://127.0.0.1:{service.port}", service.token)
    yield collectors
    collectors.end()


@pytest.fixture
def beside_oracle(oracle: Oracle, tmp_path: Path) -> Iterator[Collectors]:
    collectors = Collectors(tmp_path, oracle.url, TOKEN)
    yield collectors
    collectors.end()


def test_status_before_while_and_after_the_service_is_away(service: ServiceProcess, collectors: Collectors) -> None:
    assert collectors.status() == (1, f"no collector runs on {collectors.state}\n")
    log = collectors.logs / "日志.log"
    log.write_bytes(b"first\n")
    os.mkfifo(collectors.logs / "fifo")
    port = free_port()
    process = collectors.start("watch", str(collectors.logs), "--metrics-port", str(port))
    sent = collectors.wait(lambda report: report["bytes_sent"] == 6)
    assert sent["well"] and sent["bytes_behind"] == 0 and sent["answered_seconds_ago"] is not None
    assert (sent["pid"], sent["files_followed"], sent["files_skipped"]) == (process.pid, 1, 1)
    code, text = collectors.status()
    assert code == 0
    code, document = collectors.status("--json")
    assert code == 0 and json.loads(document)["collectors"][0].keys() == sent.keys()
    assert re.match(rf"watch, pid {process.pid} on \S+, running for \d+ s \(since ", text)
    assert re.search(rf"server +http://127.0.0.1:{service.port}, answered \d+ s ago", text)
    assert "neither a file nor a folder" in text and "last error" not in text

    service.kill()
    log.write_bytes(b"first\nsecond\n")
    away = collectors.wait(lambda report: report["problem"] is not None)
    assert not away["well"] and away["errors"]["unavailable"] >= 1
    assert away["furthest_behind"] == [{"file": str(log), "bytes": 7}]
    code, text = collectors.status()
    assert code == 1 and "Connection refused" in text and "behind       7 bytes" in text and "last error" in text
    assert "7 bytes  " in text and "\\u65e5\\u5fd7.log" in text  # a terminal of ASCII only
    metrics = scraped(port)
    assert metrics["logsvc_collector_bytes_behind"] == 7 and metrics["logsvc_collector_up_to_date"] == 0
    assert metrics["logsvc_collector_bytes_sent_total"] == 6 and metrics["logsvc_collector_files"] == 1
    assert 0 <= time.time() - metrics["logsvc_collector_last_success_timestamp_seconds"] < 600

    service.start()
    back = collectors.wait(lambda report: report["bytes_sent"] == 13 and report["well"])
    assert back["last_error"] is not None
    assert scraped(port)["logsvc_collector_up_to_date"] == 1

    process.kill()
    process.wait()
    assert collectors.status() == (1, f"no collector runs on {collectors.state}\n")


def test_status_answers_while_a_request_hangs(service: ServiceProcess, collectors: Collectors) -> None:
    (collectors.logs / "a.log").write_bytes(b"first\n")
    collectors.start("watch", str(collectors.logs))
    collectors.wait(lambda report: report["bytes_sent"] == 6)
    os.killpg(service.process.pid, signal.SIGSTOP)
    with (collectors.logs / "a.log").open("ab") as file:
        file.write(b"more\n")
    hanging = collectors.wait(lambda report: (report["asked_seconds_ago"] or 0) > 1.0)
    assert hanging["bytes_behind"] == 5
    assert re.search(r"server .*, no answer for \d+ s\n", collectors.status()[1])
    os.killpg(service.process.pid, signal.SIGCONT)
    collectors.wait(lambda report: report["bytes_sent"] == 11 and report["asked_seconds_ago"] is None)


def test_a_stopped_collector_is_told_as_such(beside_oracle: Collectors) -> None:
    collectors = beside_oracle
    process = collectors.start("watch", str(collectors.logs))
    collectors.wait(lambda report: report["well"])
    process.send_signal(signal.SIGSTOP)
    code, text = collectors.status()
    assert code == 1 and text.startswith(f"watch, pid {process.pid} on ") and "does not answer" in text


def test_a_run_and_a_watch_on_one_state_folder(beside_oracle: Collectors, tmp_path: Path) -> None:
    collectors = beside_oracle
    release = tmp_path / "release"
    os.mkfifo(release)
    run = collectors.start("run", "--", "sh", "-c", f"echo hello; cat {release}", stdout=subprocess.DEVNULL)
    collectors.wait(lambda report: report["bytes_sent"] > 0)
    collectors.start("watch", str(collectors.logs))
    deadline = time.monotonic() + 20
    while len(reports := ask(collectors.state)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert [report["command"] for report in reports] == ["run", "watch"]
    release.write_bytes(b"")
    assert run.wait(60) == 0
    assert collectors.wait(lambda report: report["command"] == "watch")["well"]


def test_what_a_run_left_behind_is_told_until_it_is_sent(oracle: Oracle, beside_oracle: Collectors) -> None:
    collectors = beside_oracle
    oracle.fault = lambda method, path: (503, {}, b"{}")
    assert collectors.start("run", "--drain", "0", "--", "echo", "x", stdout=subprocess.DEVNULL).wait(30) == 0
    code, text = collectors.status()
    told = re.search(r"left behind: \d+ bytes of a run .*: logsvc-collector (watch --once (\S+))\n", text)
    assert code == 1 and told
    oracle.fault = None
    assert collectors.start(*told[1].split()).wait(30) == 0
    assert "left behind" not in collectors.status()[1]


def test_progress_on_a_terminal_fits_it_and_goes_away(oracle: Oracle, beside_oracle: Collectors) -> None:
    collectors = beside_oracle
    (collectors.logs / ("a-name-that-is-long-" * 8 + ".log")).write_bytes(b"x" * 100_000)
    away = [True]
    oracle.fault = lambda method, path: (503, {}, b"{}") if away[0] else None
    mine, theirs = pty.openpty()
    os.set_blocking(mine, True)
    subprocess.run(["stty", "rows", "24", "cols", "60"], stdin=theirs, check=True)
    process = collectors.start("watch", "--once", str(collectors.logs), stderr=theirs)
    os.close(theirs)
    try:
        seen = read_until(mine, b"left to send")
        away[0] = False
        seen += read_until(mine, b"all sent")
        assert process.wait(30) == 0
    finally:
        os.close(mine)
    shown = re.findall(r"\r\x1b\[K(logsvc-collector: 100\.0 kB left [^\r\n]*)\r", seen.decode())
    assert shown and all(len(line) <= 59 for line in shown)
    last = seen.decode().rpartition("left to send")[2]
    assert re.search(r"\r\x1b\[K(logsvc-collector: .* answers again\r?\n)?logsvc-collector: all sent", last)


def test_progress_of_a_drain_goes_away(oracle: Oracle, beside_oracle: Collectors) -> None:
    collectors = beside_oracle
    oracle.fault = lambda method, path: (503, {}, b"{}")
    mine, theirs = pty.openpty()
    process = collectors.start("run", "--drain", "60", "--", "echo", "x", stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    try:
        seen = read_until(mine, b"left to send")
        process.send_signal(signal.SIGINT)  # ends the wait
        seen += read_until(mine, b"is not all sent")
        assert process.wait(30) == 0
    finally:
        os.close(mine)
    assert re.search(r"\r\x1b\[Klogsvc-collector: the log is not all sent", seen.decode())


def test_no_progress_line_where_there_is_no_terminal(oracle: Oracle, beside_oracle: Collectors) -> None:
    collectors = beside_oracle
    (collectors.logs / "a.log").write_bytes(b"x" * 100_000)
    away = [True]
    oracle.fault = lambda method, path: (503, {}, b"{}") if away[0] else None
    process = collectors.start("watch", "--once", str(collectors.logs), stderr=subprocess.PIPE)
    assert process.stderr is not None
    told = b""
    while b"left to send" not in told:
        piece = os.read(process.stderr.fileno(), 1 << 16)
        assert piece, told
        told += piece
    away[0] = False
    told += process.stderr.read()
    process.stderr.close()
    assert process.wait(30) == 0
    assert b"\r" not in told and b"\x1b" not in told
    assert told.count(b"left to send") == 1 and told.endswith(b"all sent to " + oracle.url.encode() + b"\n")


def scraped(port: int) -> dict[str, float]:
    """Values of /metrics without labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        page = answer.read().decode()
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if not sample.labels
    }


def read_until(terminal: int, words: bytes) -> bytes:
    """What a process writes to a terminal, up to these words."""
    seen = b""
    while words not in seen:
        seen += os.read(terminal, 1 << 16)
    return seen
