"""Rotation as it happens: Debian's logrotate, a collector short of descriptors, gaps, `.gz` files and kills."""

from __future__ import annotations

import gzip
import itertools
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from collectors.lines import lost_line
from collectors.tailer.rotation import TRUNCATED
from integration.collector_oracle import Oracle
from integration.watch_rig import JOB, OTHER, Watches

LOGROTATE = shutil.which("logrotate", path=os.environ.get("PATH", "") + ":/usr/sbin")
ROTATIONS = 20
LINES_PER_SECOND = 10_000
# The collector, but for the time that it waits for a copy of lost bytes.
QUICK = "from collectors.tailer import copies; copies.COPY_SECONDS = 2.0; from collectors import __main__"


@pytest.fixture
def start(start: Watches) -> Watches:
    """One that does not wait long for a copy of lost bytes."""
    start.program = ("-c", QUICK)
    return start


class Writer:
    """
    Writes numbered lines, so many a second, and opens its file anew once that was renamed.

    `quiet` is held while it writes: who holds it has a writer that pauses.
    """

    def __init__(self, log: Path) -> None:
        self.log = log
        self.journal = bytearray()
        self.quiet = threading.Lock()
        self.grown = threading.Condition()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write)
        self._thread.start()

    def wait(self, size: int) -> None:
        """Until so many bytes are written."""
        with self.grown:
            assert self.grown.wait_for(lambda: len(self.journal) >= size, 60)

    def stop(self) -> bytes:
        """Everything that was written."""
        self._stop.set()
        self._thread.join()
        return bytes(self.journal)

    def _write(self) -> None:
        numbers = itertools.count()
        fd = -1
        inode = 0
        began = time.monotonic()
        while not self._stop.is_set():
            with self.quiet:
                try:
                    if inode != os.stat(self.log).st_ino:
                        raise FileNotFoundError
                except FileNotFoundError:
                    if fd >= 0:
                        os.close(fd)
                    fd = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
                    inode = os.fstat(fd).st_ino
                lines = b"".join(b"line %09d of the writer\n" % next(numbers) for _ in range(100))
                assert os.write(fd, lines) == len(lines)
                with self.grown:
                    self.journal += lines
                    self.grown.notify_all()
            written = len(self.journal) // len(lines) * 100
            self._stop.wait(max(0.0, began + written / LINES_PER_SECOND - time.monotonic()))
        os.close(fd)


@pytest.mark.skipif(LOGROTATE is None, reason="logrotate is not installed")
@pytest.mark.parametrize("options", ["create", "create compress", "create compress delaycompress"])
def test_logrotate_renames(oracle: Oracle, start: Watches, tmp_path: Path, options: str) -> None:
    """20 rotations in a few seconds, while 10,000 lines a second are written."""
    _rotate(oracle, start, tmp_path, options)


@pytest.mark.skipif(LOGROTATE is None, reason="logrotate is not installed")
@pytest.mark.parametrize("options", ["copytruncate", "copytruncate compress"])
def test_logrotate_copies_and_truncates(oracle: Oracle, start: Watches, tmp_path: Path, options: str) -> None:
    """As above; the writer pauses while logrotate runs, as what it writes between copy and truncation is lost."""
    _rotate(oracle, start, tmp_path, options)


@pytest.mark.skipif(LOGROTATE is None, reason="logrotate is not installed")
@pytest.mark.parametrize("options", ["create compress", "copytruncate compress"])
def test_logrotate_while_the_collector_is_killed(oracle: Oracle, start: Watches, tmp_path: Path, options: str) -> None:
    """Killed again and again, and away for three rotations each time."""
    _rotate(oracle, start, tmp_path, options, kills=True)


def _rotate(oracle: Oracle, start: Watches, tmp_path: Path, options: str, *, kills: bool = False) -> None:
    assert LOGROTATE is not None
    logs = tmp_path / "logs"
    config = tmp_path / "logrotate.conf"
    words = "\n ".join(options.split())
    config.write_text(f"{logs}/a.log {{\n rotate 100\n missingok\n {words}\n}}\n")
    config.chmod(0o644)
    logs.chmod(0o755)
    collector = start()
    writer = Writer(logs / "a.log")
    try:
        for rotation in range(ROTATIONS):
            writer.wait(len(writer.journal) + 40_000)
            if kills and rotation % 5 == 0:
                collector.kill()
                collector.wait()
            if kills and rotation % 5 == 3:
                collector = start()
            with writer.quiet if "copytruncate" in options else threading.Lock():
                subprocess.run(
                    [LOGROTATE, "--force", "--state", str(tmp_path / "rotated"), str(config)], check=True, timeout=60
                )
        writer.wait(len(writer.journal) + 10_000)
    finally:
        journal = writer.stop()
    path = f"{OTHER}/a.log"
    oracle.wait(lambda: sum(map(len, oracle.content(path).values())) >= len(journal), 60)
    stored = b"".join(data for _, data in sorted(oracle.content(path).items()))
    assert stored == journal, _difference(stored, journal)
    assert {name[2] for name in oracle.held} == {path}
    assert len(oracle.content(path)) == ROTATIONS + 1


def _difference(stored: bytes, journal: bytes) -> str:
    """Where two logs part, in lines."""
    pairs = itertools.zip_longest(stored.splitlines(), journal.splitlines())
    return next((f"line {n}: {one!r} instead of {two!r}" for n, (one, two) in enumerate(pairs) if one != two), "")


def test_ten_thousand_files_with_a_thousand_descriptors(oracle: Oracle, start: Watches, tmp_path: Path) -> None:
    """All of them grow, again and again; each byte arrives, and the collector stays far below its limit."""
    logs = tmp_path / "logs"
    files = [logs / f"{index % 100:02d}" / f"{index:05d}.log" for index in range(10_000)]
    for folder in {file.parent for file in files}:
        folder.mkdir()
    for file in files:
        file.write_bytes(b"first of %s\n" % file.name.encode())
    process = start(descriptors=1024)
    most = 0

    def arrived(size: int) -> Callable[[], bool]:
        def look() -> bool:
            nonlocal most
            most = max(most, len(os.listdir(f"/proc/{process.pid}/fd")))
            return sum(map(len, oracle.held.values())) >= size

        return look

    size = sum(file.stat().st_size for file in files)
    oracle.wait(arrived(size), 60)
    for file in files:
        with file.open("ab") as log:
            log.write(b"second\n")
    oracle.wait(arrived(size + 7 * len(files)), 60)
    assert 400 < most < 600
    for file in files:
        held = oracle.held[JOB, "worker-0", f"{OTHER}/{file.parent.name}/{file.name}", 0]
        assert held == b"first of %s\nsecond\n" % file.name.encode()
    assert len(oracle.held) == len(files)


def test_descriptors_may_be_very_few(oracle: Oracle, start: Watches, tmp_path: Path) -> None:
    for index in range(300):
        (tmp_path / f"logs/{index}.log").write_bytes(b"%d\n" % index)
    start(descriptors=32)
    oracle.wait(lambda: len(oracle.held) == 300)


def test_a_compressed_rest_a_gap_and_a_kill(oracle: Oracle, start: Watches, tmp_path: Path) -> None:
    """What a `.gz` holds is not lost; what nothing holds is named, once, however often the collector is killed."""
    logs = tmp_path / "logs"
    (logs / "packed.log").write_bytes(b"one\n")
    (logs / "cut.log").write_bytes(b"one\n")
    process = start()
    oracle.wait(lambda: len(oracle.held) == 2)
    process.send_signal(signal.SIGSTOP)
    with (logs / "packed.log").open("ab") as log:
        log.write(b"rest\n" * 10_000)
    (logs / "packed.log.1.gz").write_bytes(gzip.compress((logs / "packed.log").read_bytes()))
    with (logs / "packed.log").open("r+b") as log:
        log.truncate(0)
        log.write(b"2\n")
    process.send_signal(signal.SIGCONT)
    oracle.wait(lambda: oracle.content(f"{OTHER}/packed.log") == {0: b"one\n" + b"rest\n" * 10_000, 1: b"2\n"})
    # The service takes nothing while the collector sees bytes that are gone when it is back.
    oracle.fault = lambda method, path: (503, {"Retry-After": "0"}, b"")
    with (logs / "cut.log").open("ab") as log:
        log.write(b"unsent\n" * 100)
    seen = len(oracle.requests)
    oracle.wait(lambda: len(oracle.requests) > seen + 1)
    with (logs / "cut.log").open("r+b") as log:
        log.truncate(0)
        log.write(b"2\n")
    oracle.fault = None
    lost = b"one\n" + lost_line(700, TRUNCATED)
    for _ in range(3):
        oracle.wait(lambda: oracle.content(f"{OTHER}/cut.log") == {0: lost, 1: b"2\n"}, 30)
        process.kill()
        process.wait()
        process = start()
    (logs / "later.log").write_bytes(b"later\n")
    oracle.wait(lambda: (JOB, "worker-0", f"{OTHER}/later.log", 0) in oracle.held)
    assert oracle.content(f"{OTHER}/cut.log") == {0: lost, 1: b"2\n"}
    assert len(oracle.held) == 5


def test_once_ends_with_a_torn_archive_beside(oracle: Oracle, start: Watches, tmp_path: Path) -> None:
    (tmp_path / "logs/a.log").write_bytes(b"now\n")
    (tmp_path / "logs/a.log.1.gz").write_bytes(gzip.compress(os.urandom(100_000))[:50_000])
    (tmp_path / "logs/a.log.2.gz").write_bytes(gzip.compress(b"older\n" * 1_000_000))
    process = start("--once")
    assert process.wait(30) == 0
    assert oracle.content(f"{OTHER}/a.log") == {0: b"older\n" * 1_000_000, 1: b"now\n"}


def test_fifos_sockets_and_devices_are_skipped_with_a_reason(oracle: Oracle, start: Watches, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    os.mkfifo(logs / "pipe.log")
    (logs / "null.log").symlink_to("/dev/null")
    (logs / "zero.log").symlink_to("/dev/zero")
    (logs / "a.log").write_bytes(b"one\n")
    process = start("--once")
    assert process.wait(30) == 0
    assert process.stderr is not None
    said = process.stderr.read().decode()
    assert "pipe.log: neither a file nor a folder" in said
    assert [name[2] for name in oracle.held] == [f"{OTHER}/a.log"]
