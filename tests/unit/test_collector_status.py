"""What a collector tells of itself: the report, the socket, the page of metrics, the line on a terminal."""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import stat
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from collectors import progress as progress_module
from collectors import status as status_module
from collectors.agent import Agent
from collectors.client import Refused, Unavailable
from collectors.metrics import MetricsServer, exposition
from collectors.progress import Progress
from collectors.settings import Identity, Settings, metrics_port_from
from collectors.spool import LEAST_SPOOL_BYTES, Spool
from collectors.status import FOLDER, STUCK_SECONDS, Report, StatusSocket, ask, in_words, left_spools, report_of
from collectors.words import cut, printable, size, span
from logsvc.errors import BadInput
from processes import free_port

NOW = 1_795_507_618.5
SERVER = "http://127.0.0.1:9"
REPORT: Report = {
    "command": "watch",
    "pid": 4711,
    "node": "node-7",
    "started_at": "2026-11-24T08:06:58+00:00",
    "running_seconds": 11_520.0,
    "well": True,
    "problem": None,
    "server": SERVER,
    "answered_seconds_ago": 2.0,
    "asked_seconds_ago": None,
    "step_seconds_ago": 0.1,
    "files_followed": 212,
    "files_waiting": 1,
    "files_skipped": 1,
    "skipped": [{"file": "/logs/fifo", "reason": "neither a file nor a folder"}],
    "bytes_behind": 1_250_000,
    "furthest_behind": [{"file": "/logs/a.log", "bytes": 1_250_000}],
    "bytes_sent": 12_300_000_000,
    "newest_line_seconds_ago": 0.5,
    "gaps": 2,
    "lost_bytes": 12_345,
    "rank_conflicts": ["process 166 of worker-0 has no rank, its sources differ"],
    "errors": {"unavailable": 3, "refused": 0},
    "last_error": {"seconds_ago": 240.0, "message": "no answer in time"},
    "sampling": {
        "samplers": [
            {
                "name": "nvidia",
                "state": "ok",
                "reason": "card 3: GPU is lost",
                "state_seconds": 90.0,
                "sampled_seconds_ago": 2.0,
            },
            {
                "name": "npu-smi",
                "state": "hung",
                "reason": "no answer",
                "state_seconds": 90.0,
                "sampled_seconds_ago": None,
            },
        ],
        "readings_sent": 1_234_567,
        "readings_waiting": 40,
        "readings_dropped": 7,
        "problem": "no answer in time",
    },
}


class Terminal(io.StringIO):
    """Keeps what a terminal would get."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    """On a folder `logs`; nobody answers at its server."""
    logs = tmp_path / "logs"
    logs.mkdir()
    agent = Agent(Settings(SERVER, state_dir=tmp_path / "state", identity=Identity("J-1")), [logs], said, state=None)
    yield agent
    agent.close()


def said(text: str) -> None:
    """Lines for a person go nowhere here."""


def family_values(page: str) -> dict[str, float]:
    return {
        "/".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (999_960, "1.0 MB"),
        (12_345_678, "12.3 MB"),
        (5e12, "5.0 TB"),
    ],
)
def test_sizes(count: float, words: str) -> None:
    assert size(count) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-1, "0 s"), (59.4, "59 s"), (59.6, "1 min"), (3599, "1 h 0 min"), (11_100, "3 h 5 min"), (200_000, "2 d 8 h")],
)
def test_spans(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_names_move_no_cursor() -> None:
    assert printable("a\x1b[2Jb\nc\udc80é日") == "a\\x1b[2Jb\\nc\\udc80é日"


@pytest.mark.parametrize(
    ("text", "cells", "left"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdefg", 6, "abcde…"),
        ("日本語", 6, "日本語"),
        ("日本語x", 6, "日本…"),
        ("ab", 0, ""),
    ],
)
def test_cut_counts_cells(text: str, cells: int, left: str) -> None:
    assert cut(text, cells) == left


def test_a_report_tells_what_is_followed_waits_and_is_skipped(agent: Agent, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    (logs / "a.log").write_bytes(b"x" * 30)
    (logs / "b.log").write_bytes(b"y" * 500)
    (logs / "empty.log").touch()
    (logs / "refused.log").write_bytes(b"z")
    long_ago = time.time() - 5000
    os.utime(logs / "a.log", (long_ago, long_ago))
    os.utime(logs / "b.log", (1, 1))
    os.mkfifo(logs / "fifo")
    agent.tailer.scan(0.0)
    (refused,) = (family for family in agent.tailer.families.values() if family.place.path.endswith("refused.log"))
    agent.tailer.drop(refused, "bad path (bad_path)")

    report = report_of(agent, "watch")

    assert (report["files_followed"], report["files_waiting"], report["bytes_behind"]) == (3, 2, 530)
    assert [(Path(entry["file"]).name, entry["bytes"]) for entry in report["furthest_behind"]] == [
        ("b.log", 500),
        ("a.log", 30),
    ]
    assert report["skipped"] == [
        {"file": str(logs / "fifo"), "reason": "neither a file nor a folder"},
        {"file": str(logs / "refused.log"), "reason": "bad path (bad_path)"},
    ]
    assert 5000 <= report["newest_line_seconds_ago"] < 10_000  # of a.log: the empty one has no line
    assert report["last_error"] is None and report["answered_seconds_ago"] is None
    assert json.loads(json.dumps(report)) == report


def test_what_a_full_spool_loses_is_told(agent: Agent, tmp_path: Path) -> None:
    agent.spool = Spool(tmp_path / "state", "J-1", "worker-0", bound_bytes=LEAST_SPOOL_BYTES)
    for _ in range(3):
        agent.spool.write((b"x" * 99 + b"\n") * 5000)
    report = report_of(agent, "run")
    assert report["gaps"] == 1  # however often it grows
    assert 1_500_000 - LEAST_SPOOL_BYTES <= report["lost_bytes"] < 1_500_000
    agent.tailer.gaps, agent.tailer.lost_bytes = 2, 50  # of files
    both = report_of(agent, "run")
    assert (both["gaps"], both["lost_bytes"]) == (3, report["lost_bytes"] + 50)
    agent.spool.close()


def test_errors_are_counted_by_kind(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "logs/a.log").write_bytes(b"x")

    def refuse(client: Any) -> None:
        raise Refused(422, "bad_path", "no such path", {})

    def deny(client: Any) -> None:
        raise Unavailable("who are you?", refused=True)

    agent.errands.extend([refuse, deny])
    agent.step()  # the first is refused and gone, the second stays and waits
    report = report_of(agent, "watch")
    assert {kind: count for kind, count in report["errors"].items() if count} == {"refused": 1, "unauthorized": 1}
    assert report["last_error"]["message"] == report["problem"] == "who are you?"
    assert not report["well"]


@pytest.mark.parametrize(
    ("field", "value"), [("problem", "away"), ("asked_at", -STUCK_SECONDS), ("stepped_at", -STUCK_SECONDS)]
)
def test_what_is_not_well(agent: Agent, field: str, value: object) -> None:
    assert report_of(agent, "watch")["well"]
    owner = agent.client if field == "asked_at" else agent
    setattr(owner, field, value if isinstance(value, str) else agent.now() + float(str(value)))
    assert not report_of(agent, "watch")["well"]


def test_words_for_a_person() -> None:
    assert in_words(REPORT).splitlines() == [
        "watch, pid 4711 on node-7, running for 3 h 12 min (since 2026-11-24T08:06:58+00:00)",
        "  server       http://127.0.0.1:9, answered 2 s ago",
        "  files        212 followed, 1 waiting, 1 skipped",
        "  newest line  0 s ago",
        "  sent         12.3 GB",
        "  behind       1.2 MB",
        "                     1.2 MB  /logs/a.log",
        "  skipped      /logs/fifo: neither a file nor a folder",
        "  lost         12,345 bytes at 2 places, marked in the logs",
        "  conflict     process 166 of worker-0 has no rank, its sources differ",
        "  sampler      nvidia: ok, card 3: GPU is lost; read 2 s ago",
        "  sampler      npu-smi: hung for 2 min, no answer",
        "  readings     1,234,567 sent, 40 wait: no answer in time; 7 lost",
        "  last error   4 min ago: no answer in time",
    ]


def test_what_is_not_known_is_not_printed() -> None:
    nothing = {
        "answered_seconds_ago": None,
        "files_skipped": 0,
        "skipped": [],
        "bytes_behind": 0,
        "furthest_behind": [],
        "newest_line_seconds_ago": None,
        "gaps": 0,
        "lost_bytes": 0,
        "rank_conflicts": [],
        "last_error": None,
        "sampling": None,
    }
    assert in_words({**REPORT, **nothing}).splitlines()[1:] == [
        "  server       http://127.0.0.1:9",
        "  files        212 followed, 1 waiting, 0 skipped",
        "  sent         12.3 GB",
        "  behind       nothing",
    ]


def test_words_say_for_how_long_no_answer_comes() -> None:
    assert f"  server       {SERVER}, no answer for 40 s" in in_words({**REPORT, "asked_seconds_ago": 40.0})


def test_a_socket_tells_the_report_from_a_folder_of_any_length(tmp_path: Path) -> None:
    state_dir = tmp_path / ("long" * 50)
    assert ask(state_dir) == []
    door = StatusSocket(state_dir, "watch", lambda: REPORT)
    younger = StatusSocket(state_dir, "run", lambda: {**REPORT, "command": "run", "running_seconds": 1.0})
    try:
        assert [report["command"] for report in ask(state_dir)] == ["watch", "run"]
        assert ask(state_dir)[0] == REPORT
        assert stat.S_IMODE((state_dir / FOLDER).stat().st_mode) == 0o700
        for entry in (state_dir / FOLDER).iterdir():
            assert stat.S_IMODE(entry.stat().st_mode) == 0o600
    finally:
        younger.close()
        door.close()
        door.close()
    assert ask(state_dir) == []
    assert list((state_dir / FOLDER).iterdir()) == []


def test_spools_that_nobody_sends_are_told(tmp_path: Path) -> None:
    assert left_spools(tmp_path) == []
    running = Spool(tmp_path, "J-1", "worker-0")
    running.write(b"x" * 1234)
    assert left_spools(tmp_path) == []
    left = tmp_path / "runs" / "left"
    shutil.copytree(running.folder, left)  # the same, and nobody holds its lock
    assert left_spools(tmp_path) == [{"folder": str(left), "bytes": 1234}]
    running.close()


def test_sockets_of_the_dead_are_passed_over_and_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / FOLDER).mkdir()
    here = os.uname().nodename[:32]
    for command in ("watch", "run"):
        for node in (here, "elsewhere"):
            with socket.socket(socket.AF_UNIX) as dead:
                dead.bind(f"{FOLDER}/{command}-1-abcd@{node}.sock")
    assert ask(tmp_path) == []

    def left() -> set[str]:
        return {entry.name for entry in (tmp_path / FOLDER).iterdir()}

    # Another node's sockets refuse too, seen through a shared folder: they are that node's to sweep,
    StatusSocket(tmp_path, "run", lambda: REPORT).close()
    assert left() == {"watch-1-abcd@elsewhere.sock", "run-1-abcd@elsewhere.sock"}
    # but for those of `watch`: one holds the folder at a time.
    StatusSocket(tmp_path, "watch", lambda: REPORT).close()
    assert left() == {"run-1-abcd@elsewhere.sock"}


def test_a_collector_that_is_stopped_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(status_module, "ASK_SECONDS", 0.05)
    (tmp_path / FOLDER).mkdir()
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(f"{FOLDER}/run-77-abcd@node-7.sock")
        silent.listen()
        (report,) = ask(tmp_path)
    assert (report["command"], report["pid"], report["node"], report["well"]) == ("run", 77, "node-7", False)
    assert in_words(report).splitlines() == ["run, pid 77 on node-7", f"  problem      {report['problem']}"]


def test_the_page_of_metrics_is_prometheus_text() -> None:
    page = exposition(REPORT, NOW)
    families = list(text_string_to_metric_families(page))
    assert all(family.documentation and family.type in ("gauge", "counter") for family in families)
    assert family_values(page) == {
        "logsvc_collector_files": 212,
        "logsvc_collector_files_waiting": 1,
        "logsvc_collector_files_skipped": 1,
        "logsvc_collector_bytes_behind": 1_250_000,
        "logsvc_collector_up_to_date": 0,
        "logsvc_collector_bytes_sent_total": 12_300_000_000,
        "logsvc_collector_gaps_total": 2,
        "logsvc_collector_lost_bytes_total": 12_345,
        "logsvc_collector_rank_conflicts": 1,
        "logsvc_collector_errors_total/unavailable": 3,
        "logsvc_collector_errors_total/refused": 0,
        "logsvc_collector_sampler_up/nvidia": 1,
        "logsvc_collector_sampler_up/npu-smi": 0,
        "logsvc_collector_readings_sent_total": 1_234_567,
        "logsvc_collector_readings_waiting": 40,
        "logsvc_collector_readings_lost_total": 7,
        "logsvc_collector_start_timestamp_seconds": NOW - 11_520,
        "logsvc_collector_last_success_timestamp_seconds": NOW - 2,
        "logsvc_collector_newest_line_seconds": 0.5,
    }


@pytest.mark.parametrize(
    ("changed", "up_to_date"), [({"bytes_behind": 0}, 1), ({"bytes_behind": 0, "problem": "away"}, 0), ({}, 0)]
)
def test_up_to_date(changed: Report, up_to_date: int) -> None:
    assert family_values(exposition({**REPORT, **changed}, NOW))["logsvc_collector_up_to_date"] == up_to_date


def test_what_is_not_known_has_no_metric() -> None:
    values = family_values(exposition({**REPORT, "answered_seconds_ago": None, "newest_line_seconds_ago": None}, NOW))
    assert "logsvc_collector_last_success_timestamp_seconds" not in values
    assert "logsvc_collector_newest_line_seconds" not in values


def test_only_get_of_two_pages_is_served() -> None:
    report = dict(REPORT)
    port = free_port()
    server = MetricsServer(port, lambda: report)

    def status_of(path: str, method: str = "GET") -> int:
        try:
            with urllib.request.urlopen(
                urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method), timeout=10
            ) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as exc:
            return exc.code

    try:
        assert [status_of(path) for path in ("/metrics", "/healthz", "/", "/metrics/../x")] == [200, 200, 404, 404]
        assert [status_of("/metrics", method) for method in ("POST", "PUT", "DELETE", "HEAD")] == [501] * 4
        report["step_seconds_ago"] = STUCK_SECONDS
        assert (status_of("/healthz"), status_of("/metrics")) == (503, 200)
    finally:
        server.close()
        server.close()


def test_a_port_that_is_taken_costs_the_metrics_only(agent: Agent) -> None:
    lines: list[str] = []
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        settings = Settings(SERVER, state_dir=agent.settings.state_dir, metrics_port=port)
        other = Agent(settings, [], lines.append, state=None)
        other.show("watch")
    try:
        assert lines == [f"no metrics on port {port}: Address already in use"]
        assert len(ask(settings.state_dir)) == 1
    finally:
        other.close()


@pytest.mark.parametrize(
    ("flag", "variable", "port"), [(None, "", 0), (None, "9100", 9100), (0, "9100", 0), (9200, "9100", 9200)]
)
def test_port_of_metrics(flag: int | None, variable: str, port: int) -> None:
    assert metrics_port_from(flag, {"LOGSVC_COLLECTOR_METRICS_PORT": variable}) == port


@pytest.mark.parametrize(("flag", "variable"), [(70_000, ""), (-1, ""), (None, "http")])
def test_no_port(flag: int | None, variable: str) -> None:
    with pytest.raises(BadInput):
        metrics_port_from(flag, {"LOGSVC_COLLECTOR_METRICS_PORT": variable})


class Clock:
    """Monotonic seconds, moved by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(progress_module, "time", SimpleNamespace(monotonic=lambda: self.now))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setenv("TERM", "xterm")
    return Clock(monkeypatch)


def a_backlog(agent: Agent, logs: Path, size_bytes: int) -> None:
    with (logs / "a.log").open("wb") as file:
        file.truncate(size_bytes)
    agent.tailer.scan(0.0)


def test_one_line_is_rewritten_on_a_terminal(agent: Agent, tmp_path: Path, clock: Clock) -> None:
    terminal = Terminal()
    progress = Progress(terminal, pytest.fail, SERVER, awaited=False)
    a_backlog(agent, tmp_path / "logs", 30_000_000)
    progress.look(agent.tailer, 0, None)
    assert terminal.getvalue() == ""  # not yet: it may be over before anybody reads it
    clock.now += 2
    progress.look(agent.tailer, 10_000_000, None)
    clock.now += 0.1
    progress.look(agent.tailer, 20_000_000, None)  # too soon for another look
    shown = terminal.getvalue()
    assert shown.startswith("\r\x1b[Klogsvc-collector: 30.0 MB left to send to http://127.0.0.1:9, 5.0 MB/s, 6 s")
    assert shown.count("left") == 1 and shown.endswith("…\r") and "\n" not in shown
    assert len(shown.strip("\r").removeprefix("\x1b[K")) <= 79
    progress.clear()
    progress.clear()
    assert terminal.getvalue() == shown + "\r\x1b[K"


def test_the_line_goes_when_little_is_left(agent: Agent, tmp_path: Path, clock: Clock) -> None:
    terminal = Terminal()
    progress = Progress(terminal, pytest.fail, SERVER, awaited=False)
    a_backlog(agent, tmp_path / "logs", 30_000_000)
    clock.now += 1
    progress.look(agent.tailer, 0, None)
    assert "left to send" in terminal.getvalue()
    (family,) = agent.tailer.families.values()
    family.members[0].file.move_to(29_999_000)
    clock.now += 1
    progress.look(agent.tailer, 29_999_000, None)
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_speed_is_of_the_last_seconds(agent: Agent, tmp_path: Path, clock: Clock) -> None:
    terminal = Terminal()
    progress = Progress(terminal, pytest.fail, SERVER, awaited=False)
    a_backlog(agent, tmp_path / "logs", 30_000_000)
    sent = 0
    for second in range(40):
        sent += 1_000_000 if second < 20 else 100_000
        progress.look(agent.tailer, sent, None)
        clock.now += 1
    assert "0.1 MB/s, 5 min" in terminal.getvalue().rpartition("left")[2]


def test_elsewhere_a_line_a_minute_and_only_of_what_moves(agent: Agent, tmp_path: Path, clock: Clock) -> None:
    lines: list[str] = []
    progress = Progress(io.StringIO(), lines.append, SERVER, awaited=False)
    a_backlog(agent, tmp_path / "logs", 30_000_000)
    for second in range(121):
        progress.look(agent.tailer, second * 1000, None)
        clock.now += 1
    assert len(lines) == 2
    for _ in range(180):
        progress.look(agent.tailer, 120_000, "away")
        clock.now += 1
    assert len(lines) == 3  # the first minute's speed still counts what moved before it


def test_somebody_who_waits_hears_of_a_little_and_why(agent: Agent, tmp_path: Path, clock: Clock) -> None:
    lines: list[str] = []
    progress = Progress(io.StringIO(), lines.append, SERVER, awaited=True)
    a_backlog(agent, tmp_path / "logs", 10)
    clock.now += 1
    progress.look(agent.tailer, 0, "no answer in time")
    assert lines == ["10 bytes left to send to http://127.0.0.1:9 (no answer in time)"]


def test_a_line_for_a_person_takes_the_progress_away_first(agent: Agent, tmp_path: Path, clock: Clock) -> None:
    terminal = Terminal()
    agent.progress = Progress(terminal, pytest.fail, SERVER, awaited=True)
    a_backlog(agent, tmp_path / "logs", 10)
    clock.now += 1
    agent.progress.look(agent.tailer, 0, None)
    agent.say("something happened")
    assert terminal.getvalue().endswith("\r\x1b[K")
