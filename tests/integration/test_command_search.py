"""`logsvc search` and `logsvc follow` as processes: exit statuses, pipes, terminals, interrupts."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from builders import MARKED
from logsvc import cli
from logsvc.commands import search
from logsvc.model.stream import ordinary_path
from processes import ServiceProcess

SECONDS = 60.0
LINES = [
    b"start\n",
    b"loss 1\n",
    b"val_loss 2\n",
    b"fine\n",
    b"[ERROR] Loss 3\n",
    b"end\n",
    b"a\x1b[32mloss\x07\n",
    b"x\n",
]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """Two jobs with a log each, and a process log that says the same as one of them."""
    service = ServiceProcess(tmp_path_factory.mktemp("service") / "data").start()
    client = service.client()
    names = [(job, ordinary_path(job, "worker-0")) for job in ("one", "two")]
    for job, path in [*names, ("one", "modelarts-job-one-proc-rank-0-device-0.txt")]:
        data = b"".join(LINES) + (MARKED if job == "two" else b"")
        answer = client.chunk(data, offset=0, job=job, task="worker-0", path=path, final=1)
        assert answer.status == 200, answer.body
    client.ask("PUT", "/jobs/one", b'{"status": "succeeded"}', {"Content-Type": "application/json"})
    client.close()
    yield service
    service.stop()


def environment(service: ServiceProcess, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LOGSVC_", "NO_COLOR"))}
    where = {"LOGSVC_SERVER": f"http://127.0.0.1:{service.port}", "LOGSVC_TOKEN": service.token, "TERM": "xterm"}
    return {**kept, "PYTHONUTF8": "1", **where, **more}


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "logsvc", *words]


def piped(service: ServiceProcess, *words: str) -> subprocess.CompletedProcess[str]:
    """A command whose output goes into a pipe."""
    done = subprocess.run(
        command(*words), env=environment(service), capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert "Traceback" not in done.stderr
    return done


def on_terminal(service: ServiceProcess, *words: str, **more: str) -> tuple[int, str]:
    """Exit status, and all that a terminal was sent."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(command(*words), env=environment(service, **more), stdout=theirs, stderr=theirs)
    os.close(theirs)
    seen = b""
    try:
        while piece := os.read(ours, 65536):
            seen += piece
    except OSError:
        pass  # the other end is closed
    finally:
        os.close(ours)
    return process.wait(SECONDS), seen.decode().replace("\r\n", "\n")


Here = Callable[..., tuple[int, str, str]]


@pytest.fixture
def here(service: ServiceProcess, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """A command in this process, without a terminal: its exit status, output and errors."""
    for name, value in environment(service).items():
        monkeypatch.setenv(name, value)

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["logsvc", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


def test_matches_as_grep_prints_them(service: ServiceProcess) -> None:
    done = piped(service, "search", "loss")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split("\n") == [
        "two/worker-0:2:loss 1",
        "two/worker-0:3:val_loss 2",
        "two/worker-0:7:a\x1b[32mloss\x07",
        "one/worker-0:2:loss 1",
        "one/worker-0:3:val_loss 2",
        "one/worker-0:7:a\x1b[32mloss\x07",
        "",
    ]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["loss", "-i", "-w", "--job", "one"], ["one/worker-0:2:loss 1", "one/worker-0:5:[ERROR] Loss 3"]),
        (["--level", "error", "--job", "two"], ["two/worker-0:5:[ERROR] Loss 3"]),
        (["^s|^e", "-e", "--task", "worker-0", "--job", "one"], ["one/worker-0:1:start", "one/worker-0:6:end"]),
        (["started", "--user-lines"], []),
        (["loss", "--until", "2h"], []),
        (["fine", "--since", "2h", "-m", "1"], ["two/worker-0:4:fine"]),
        (["fine", "--kind", "proc"], ["one/worker-0/proc-rank-0-device-0.txt:4:fine"]),
        (["fine", "--rank", "0"], ["one/worker-0/proc-rank-0-device-0.txt:4:fine"]),
        (["fine", "--mine", "-c"], ["two/worker-0:1", "one/worker-0:1"]),
        (["fine", "--proc", "-c"], ["one/worker-0/proc-rank-0-device-0.txt:1", "two/worker-0:1", "one/worker-0:1"]),
        (
            ["loss 1|fine|end", "-e", "-C1", "--job", "one"],
            [
                "one/worker-0-1-start",
                "one/worker-0:2:loss 1",
                "one/worker-0-3-val_loss 2",
                "one/worker-0:4:fine",
                "one/worker-0-5-[ERROR] Loss 3",
                "one/worker-0:6:end",
                "one/worker-0-7-a\x1b[32mloss\x07",
            ],
        ),
        (
            ["start|end", "-e", "-A1", "--job", "one"],
            [
                "one/worker-0:1:start",
                "one/worker-0-2-loss 1",
                "--",
                "one/worker-0:6:end",
                "one/worker-0-7-a\x1b[32mloss\x07",
            ],
        ),
        (
            ["fine", "-B1"],
            [
                "two/worker-0-3-val_loss 2",
                "two/worker-0:4:fine",
                "--",
                "one/worker-0-3-val_loss 2",
                "one/worker-0:4:fine",
            ],
        ),
    ],
)
def test_what_is_searched_and_shown(here: Here, words: list[str], expected: list[str]) -> None:
    status, out, err = here("search", *words)
    assert out.splitlines() == expected
    assert (status, err) == (0 if expected else 1, "")


def test_pages(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as it takes."""
    monkeypatch.setattr(search, "PAGE", 2)
    status, out, _ = here("search", "loss")
    assert (status, len(out.splitlines())) == (0, 6)
    assert len(here("search", "loss", "-m", "3")[1].splitlines()) == 3


def test_one_object_a_match(here: Here) -> None:
    _, out, _ = here("search", "val_", "--json", "-C", "1", "--job", "one")
    [match] = [json.loads(line) for line in out.splitlines()]
    assert (match["job"], match["task"], match["n"], match["spans"]) == ("one", "worker-0", 3, [[0, 4]])
    assert [line["text"] for line in match["before"] + match["after"]] == ["loss 1", "fine"]
    _, out, _ = here("search", "val_", "--json", "-c")
    assert [json.loads(line)["total"] for line in out.splitlines()] == [1, 1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["(", "-e"], "not understood"),
        ([], "what to find"),
        (["x", "--since", "soon"], "no time"),
        (["x", "--kind", "poetry"], "no kind"),
        (["x", "--level", "loud"], "level"),
        (["x", "--job", ".."], "job"),
    ],
)
def test_wrong_use_is_a_sentence(here: Here, words: list[str], said: str) -> None:
    status, out, err = here("search", *words)
    assert (status, out) == (2, "")
    assert said in err and len(err.splitlines()) == 1


def test_a_service_that_is_away(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    assert here("follow", "nobody")[0] == 1
    monkeypatch.setenv("LOGSVC_TOKEN", "wrong")
    assert (here("search", "x")[0], here("follow", "one")[0]) == (2, 1)
    monkeypatch.setenv("LOGSVC_SERVER", "http://127.0.0.1:1")
    for words in (["search", "x"], ["follow", "one"]):
        status, out, err = here(*words)
        assert (status, out) == (2, "")
        assert "No service answers" in err and len(err.splitlines()) == 1


def test_hits_are_marked_on_a_terminal(service: ServiceProcess) -> None:
    status, seen = on_terminal(service, "search", "loss", "--job", "one")
    assert status == 0
    lines = seen.splitlines()
    head = "\x1b[35mone/worker-0\x1b[0m\x1b[2m:\x1b[0m\x1b[32m7\x1b[0m\x1b[2m:\x1b[0m"
    assert lines[2] == head + "a\x1b[1;31mloss\x1b[0m^G"
    assert lines[3] == ("logsvc: searched 1 log; left out 1 log of processes that say the same (--proc searches them)")
    status, seen = on_terminal(service, "search", "nowhere", "--job", "two", NO_COLOR="1")
    assert (status, seen) == (1, "logsvc: searched 1 log\n")
    status, seen = on_terminal(service, "search", "loss", "--job", "two", "-m1", NO_COLOR="1")
    assert seen.splitlines()[0] == "two/worker-0:2:loss 1"
    assert "--limit" in seen


def test_follow_on_a_terminal_and_in_a_pipe(service: ServiceProcess) -> None:
    """Colours for people; verbatim for programs; both end with the job."""
    status, seen = on_terminal(service, "follow", "one", "--from", "1")
    assert status == 0
    lines = [line for line in seen.splitlines() if not line.startswith("logsvc: ")]
    assert lines == [
        *("start", "loss 1", "val_loss 2", "fine", "\x1b[31m[ERROR] Loss 3\x1b[0m", "end"),
        *("a\x1b[32mloss^G\x1b[0m", "x"),
    ]
    done = piped(service, "follow", "one", "--from", "1")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.encode() == b"".join(LINES)
    done = piped(
        service, "follow", "two", "--no-wait", "--from", "-4", "--user-lines", "--grep", "L.ss", "-e", "-i", "-t"
    )
    assert re.fullmatch(r"20\S+Z \[ERROR\] Loss 3\n20\S+Z a\x1b\[32mloss\x07\n", done.stdout)


def test_whoever_has_enough_ends_it_quietly(service: ServiceProcess) -> None:
    """A reader that closes the pipe."""
    for words in (["search", "loss"], ["follow", "two", "--from", "1"]):
        process = subprocess.Popen(
            command(*words), env=environment(service), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdout and process.stderr
        process.stdout.close()
        if words[0] == "follow":
            write_more(service)
        assert process.wait(SECONDS) == 0
        assert process.stderr.read() == b""
        process.stderr.close()


def write_more(service: ServiceProcess) -> None:
    """Another line, for a follower that has not noticed yet that nobody reads."""
    client = service.client()
    name: dict[str, Any] = {"job": "two", "task": "worker-0", "path": ordinary_path("two", "worker-0")}
    end = client.get("/chunks", **name)["next_offset"]
    assert client.chunk(b"more\n", offset=end, **name).status == 200
    client.close()


def test_an_interrupt_leaves_no_trace(service: ServiceProcess) -> None:
    """130, as shells expect it."""
    process = subprocess.Popen(
        command("follow", "two", "--from", "1"),
        env=environment(service),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout and process.stderr
    assert process.stdout.readline() == b"start\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(SECONDS) == 130
    assert process.stderr.read() == b""
    process.stdout.close()
    process.stderr.close()
