"""`logsvc download`: cut connections, killed services, interrupts, wrong bytes; what comes is what is stored."""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import pty
import random
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from integration.chaos_proxy import ChaosProxy, Exchange, Fault
from logsvc import cli
from logsvc.client import Client
from logsvc.commands import fetching
from logsvc.commands.download import Download, Wanted
from logsvc.commands.progress import Unseen, progress
from logsvc.commands.terminal import Terminal
from logsvc.errors import LogsvcError, StoreUnavailable
from logsvc.model.stream import ordinary_path
from processes import ServiceProcess

BYTES = random.Random(7).randbytes(3_000_000)
RAW, SUM = r"GET /api/v1/streams/[^/]+/raw\b", r"/sha256\b"
SECONDS = 60.0


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for seconds; sums are of small parts."""
    monkeypatch.setattr(fetching, "RETRY_SECONDS", (0.0, 0.0))
    monkeypatch.setattr(fetching, "SPAN_BYTES", 1 << 20)


@pytest.fixture
def proxy(faulted_service: ServiceProcess) -> Iterator[ChaosProxy]:
    proxy = ChaosProxy(faulted_service.port)
    yield proxy
    proxy.close()


def fill(service: ServiceProcess, job: str, *tasks: str, data: bytes = BYTES) -> None:
    client = service.client()
    for task in tasks:
        answer = client.chunk(data, offset=0, job=job, task=task, path=ordinary_path(job, task))
        assert answer.status == 200, answer.body
    client.close()


def downloaded(
    url: str, service: ServiceProcess, job: str, *tasks: str, output: Path | None
) -> tuple[Path | None, str]:
    """Where it lies, and what was said."""
    said = io.StringIO()
    done = Download(Client(url, service.token), Unseen(Terminal(err=said))).run(Wanted(job, tasks, output))
    return done, said.getvalue()


def cut(share: float) -> Fault:
    """The answer breaks off."""

    def strike(exchange: Exchange) -> str:
        answer = exchange.ask(exchange.take(exchange.request_bytes))
        exchange.give(answer[: int(len(answer) * share)])
        exchange.close()
        return "cut"

    return strike


def noted(requests: list[str], then: Fault) -> Fault:
    """A fault, and the request that it struck."""

    def strike(exchange: Exchange) -> str:
        taken = exchange.take(exchange.request_bytes)
        requests.append(taken.decode("latin-1").lower())
        exchange.take = lambda size_bytes: taken  # type: ignore[method-assign]
        return then(exchange)

    return strike


def passed(exchange: Exchange) -> str:
    exchange.give(exchange.ask(exchange.take(exchange.request_bytes)))
    return "passed"


def spoiled(exchange: Exchange) -> str:
    """One byte of the body is another."""
    answer = bytearray(exchange.ask(exchange.take(exchange.request_bytes)))
    answer[-1] ^= 1
    exchange.give(bytes(answer))
    return "spoiled"


def test_a_cut_connection_is_gone_on_with(faulted_service: ServiceProcess, proxy: ChaosProxy, tmp_path: Path) -> None:
    fill(faulted_service, "dl-cut", "worker-0")
    for share in (0.5, 0.1, 0.9):
        proxy.add(cut(share), on=RAW)
    target, said = downloaded(proxy.url, faulted_service, "dl-cut", output=tmp_path / "one.log")
    proxy.wait()
    assert target and target.read_bytes() == BYTES
    assert proxy.struck["cut"] == 3 and said == ""
    assert [*tmp_path.iterdir()] == [target]


def test_what_was_cut_for_good_is_kept_for_the_next_call(
    faulted_service: ServiceProcess, proxy: ChaosProxy, tmp_path: Path
) -> None:
    fill(faulted_service, "dl-kept", "worker-0")
    asked: list[str] = []
    for share in (0.5, 0.0, 0.0, 0.0):
        proxy.add(noted(asked, cut(share)), on=RAW)
    target, part = tmp_path / "one.log", tmp_path / "one.log.part"
    with pytest.raises(StoreUnavailable, match="was cut"):
        downloaded(proxy.url, faulted_service, "dl-kept", output=target)
    held = part.stat().st_size
    assert 1_000_000 < held < 2_000_000 and not target.exists()
    assert f"bytes={held}-2999999" in asked[1] and "if-range" in asked[1]

    proxy.add(noted(asked, passed), on=RAW)
    downloaded(proxy.url, faulted_service, "dl-kept", output=target)
    assert f"bytes={held}-2999999" in asked[-1], "what is there is not fetched again"
    assert target.read_bytes() == BYTES
    assert [*tmp_path.iterdir()] == [target]


def test_several_files_are_one_zip_and_each_goes_on(
    faulted_service: ServiceProcess, proxy: ChaosProxy, tmp_path: Path
) -> None:
    fill(faulted_service, "dl-zip", "worker-0", "worker-1", "worker-2")
    for fault in (passed, cut(0.5), cut(0.0), cut(0.0), cut(0.0)):
        proxy.add(fault, on=RAW)
    with pytest.raises(StoreUnavailable):
        downloaded(proxy.url, faulted_service, "dl-zip", output=tmp_path)
    sizes = sorted(path.stat().st_size for path in (tmp_path / "modelarts-job-dl-zip.zip.parts").iterdir())
    assert len(sizes) == 2 and 1_000_000 < sizes[0] < 2_000_000 and sizes[1] == 3_000_000

    asked: list[str] = []
    for _ in range(2):
        proxy.add(noted(asked, passed), on=RAW)
    target, said = downloaded(proxy.url, faulted_service, "dl-zip", output=tmp_path)
    proxy.wait()
    assert [f"bytes={sizes[0]}-" in asked[0], "bytes=0-" in asked[1], said] == [True, True, ""]
    assert target == tmp_path / "modelarts-job-dl-zip.zip" and [*tmp_path.iterdir()] == [target]
    with zipfile.ZipFile(target) as archive:
        manifest = archive.read("manifest.sha256").decode()
        assert archive.namelist()[-1] == "manifest.sha256" and len(archive.namelist()) == 4
        for name in archive.namelist()[:-1]:
            assert archive.read(name) == BYTES
            assert f"{hashlib.sha256(BYTES).hexdigest()}  {name}\n" in manifest

    one, _ = downloaded(proxy.url, faulted_service, "dl-zip", "worker-1", output=tmp_path)
    assert one == tmp_path / ordinary_path("dl-zip", "worker-1") and one.read_bytes() == BYTES


def test_wrong_bytes_are_found_and_fetched_again(
    faulted_service: ServiceProcess, proxy: ChaosProxy, tmp_path: Path
) -> None:
    fill(faulted_service, "dl-wrong", "worker-0")
    asked: list[str] = []
    target = tmp_path / "one.log"
    proxy.add(spoiled, on=RAW)
    proxy.add(noted(asked, passed), on=RAW)
    downloaded(proxy.url, faulted_service, "dl-wrong", output=target)
    assert target.read_bytes() == BYTES
    assert f"bytes={2 << 20}-2999999" in asked[0], "only from where it is wrong"

    target.unlink()
    for _ in range(2):
        proxy.add(spoiled, on=RAW)
    with pytest.raises(LogsvcError, match="SHA-256"):
        downloaded(proxy.url, faulted_service, "dl-wrong", output=target)
    assert not target.exists() and (tmp_path / "one.log.part").read_bytes() == BYTES[: 2 << 20]


@pytest.mark.parametrize("left", [b"of another log", BYTES[: 1 << 20] + b"and then another", BYTES + b"more", BYTES])
def test_whatever_a_part_file_holds(faulted_service: ServiceProcess, tmp_path: Path, left: bytes) -> None:
    fill(faulted_service, "dl-part", "worker-0")
    (tmp_path / "one.log.part").write_bytes(left)
    url = f"http://127.0.0.1:{faulted_service.port}"
    target, said = downloaded(url, faulted_service, "dl-part", output=tmp_path / "one.log")
    assert target and target.read_bytes() == BYTES
    assert ("fetched again" in said) == (not left.startswith(BYTES))


def test_what_a_grown_log_has_left_is_gone_on_with(faulted_service: ServiceProcess, tmp_path: Path) -> None:
    fill(faulted_service, "dl-grown", "worker-0", data=BYTES[:2_000_000])
    (tmp_path / "one.log.part").write_bytes(BYTES[:1_500_000])
    fill(faulted_service, "dl-grown", "worker-0")
    url = f"http://127.0.0.1:{faulted_service.port}"
    target, said = downloaded(url, faulted_service, "dl-grown", output=tmp_path / "one.log")
    assert target and target.read_bytes() == BYTES and said == ""


def test_a_service_that_knows_no_ranges(faulted_service: ServiceProcess, proxy: ChaosProxy, tmp_path: Path) -> None:
    fill(faulted_service, "dl-whole", "worker-0")

    def without_range(exchange: Exchange) -> str:
        request = exchange.take(exchange.request_bytes)
        plain = b"\r\n".join(line for line in request.split(b"\r\n") if not line.lower().startswith(b"range:"))
        exchange.request_bytes = len(plain)
        answer = exchange.ask(plain)
        assert answer.startswith(b"HTTP/1.1 200 ")
        exchange.give(answer)
        return "whole"

    proxy.add(cut(0.5), on=RAW)
    proxy.add(without_range, on=RAW)
    target, _ = downloaded(proxy.url, faulted_service, "dl-whole", output=tmp_path / "one.log")
    assert target and target.read_bytes() == BYTES and proxy.struck["whole"] == 1


def test_two_at_once_do_not_meet(faulted_service: ServiceProcess, tmp_path: Path) -> None:
    fill(faulted_service, "dl-two", "worker-0")
    url = f"http://127.0.0.1:{faulted_service.port}"
    with open(tmp_path / "one.log.part", "wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(LogsvcError, match="Another download"):
            downloaded(url, faulted_service, "dl-two", output=tmp_path / "one.log")


def command(service: ServiceProcess, *words: str, port: int = 0) -> subprocess.Popen[bytes]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LOGSVC_")}
    environment |= {"LOGSVC_SERVER": f"http://127.0.0.1:{port or service.port}", "LOGSVC_TOKEN": service.token}
    return subprocess.Popen(
        [sys.executable, "-m", "logsvc", "download", *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def ended(process: subprocess.Popen[bytes]) -> tuple[int, bytes, str]:
    out, err = process.communicate(timeout=SECONDS)
    assert b"Traceback" not in err
    return process.returncode, out, err.decode()


@pytest.fixture
def here(
    faulted_service: ServiceProcess, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> Callable[..., tuple[int, bytes, str]]:
    """The command in this process: exit status, output, what was said."""
    monkeypatch.setenv("LOGSVC_SERVER", f"http://127.0.0.1:{faulted_service.port}")
    monkeypatch.setenv("LOGSVC_TOKEN", faulted_service.token)

    def run(*words: str) -> tuple[int, bytes, str]:
        monkeypatch.setattr(sys, "argv", ["logsvc", "download", *words])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        out, err = capfdbinary.readouterr()
        assert b"Traceback" not in err
        return int(caught.value.code or 0), out, err.decode()

    return run


def test_exit_statuses_and_standard_output(
    faulted_service: ServiceProcess,
    here: Callable[..., tuple[int, bytes, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(faulted_service, "dl-out", "worker-0", "worker-1", data=b"one\n")
    assert here("dl-out", "--task", "worker-1", "-o", "-") == (0, b"one\n", "")
    status, out, said = here("dl-out", "-o", "-")
    assert (status, said) == (0, "") and len(zipfile.ZipFile(io.BytesIO(out)).namelist()) == 3
    target = tmp_path / "x.zip"
    assert here("dl-out", "-o", str(target)) == (0, f"{target}\n".encode(), "")
    for words, status, told in (
        (("dl-none",), 1, "dl-none"),
        (("dl-out", "--task", "worker-7"), 1, "worker-7"),
        (("dl-out", "-o", str(tmp_path / "no" / "x.zip")), 2, "cannot be written"),
    ):
        got, out, said = here(*words)
        assert (got, out) == (status, b"") and told in said and len(said.splitlines()) == 1
    monkeypatch.setenv("LOGSVC_TOKEN", "wrong")
    assert here("dl-out")[0] == 1
    monkeypatch.setenv("LOGSVC_SERVER", "http://127.0.0.1:9")
    assert here("dl-out")[0] == 2


def test_an_interrupt_leaves_a_part_that_is_gone_on_with(
    faulted_service: ServiceProcess, proxy: ChaosProxy, tmp_path: Path
) -> None:
    fill(faulted_service, "dl-int", "worker-0")

    def stalled(exchange: Exchange) -> str:
        answer = exchange.ask(exchange.take(exchange.request_bytes))
        exchange.give(answer[: len(answer) // 2])
        process.send_signal(signal.SIGINT)
        exchange.hold()
        return "stalled"

    proxy.add(stalled, on=RAW)
    process = command(faulted_service, "dl-int", "-o", str(tmp_path / "one.log"), port=proxy.port)
    status, _, err = ended(process)
    assert status == 130 and "the same command goes on" in err
    assert [path.name for path in tmp_path.iterdir()] == ["one.log.part"]
    left = (tmp_path / "one.log.part").read_bytes()
    assert BYTES.startswith(left)
    url = f"http://127.0.0.1:{faulted_service.port}"
    target, _ = downloaded(url, faulted_service, "dl-int", output=tmp_path / "one.log")
    assert target and target.read_bytes() == BYTES


def test_a_terminal_sees_how_far_it_is(
    faulted_service: ServiceProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    fill(faulted_service, "dl-tty", "worker-0")
    ours, theirs = pty.openpty()
    url = f"http://127.0.0.1:{faulted_service.port}"
    with os.fdopen(theirs, "w") as err:
        monkeypatch.setattr(sys, "stderr", err)
        with progress(Terminal(io.StringIO(), err)) as watcher:
            Download(Client(url, faulted_service.token), watcher).run(Wanted("dl-tty", (), tmp_path))
            watcher.say("a\x1b]0;b")
    seen = os.read(ours, 1 << 20).decode()
    os.close(ours)
    assert "modelarts-job-dl-tty-worker-0.log" in seen and "MiB" in seen
    assert "a^[]0;b" in seen


def test_a_killed_service_is_waited_for(
    faulted_service: ServiceProcess, proxy: ChaosProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(faulted_service, "dl-killed", "worker-0")

    def struck(exchange: Exchange) -> str:
        answer = exchange.ask(exchange.take(exchange.request_bytes))
        exchange.give(answer[: len(answer) // 2])
        faulted_service.kill()
        exchange.close()
        return "killed"

    waited: list[float] = []

    def started_again(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 2:
            faulted_service.start()

    proxy.add(struck, on=RAW)
    monkeypatch.setattr(fetching, "sleep", started_again)
    target, _ = downloaded(proxy.url, faulted_service, "dl-killed", output=tmp_path / "one.log")
    assert target and target.read_bytes() == BYTES and len(waited) == 2
