"""Debian's logrotate goes on while the collector is away, under 10,000 lines a second."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from processes import ServiceProcess

ROTATIONS, LEAVES, RETURNS = 6, 1, 4  # the collector is away for three of them
LINES_EACH = 4_000
LOGROTATE = shutil.which("logrotate", path=f"{os.environ['PATH']}:/usr/sbin")
# Writes numbered lines, 10,000 a second, each hundred at once; says when it is time for the next rotation.
# USR1 makes it open its log again, between two writes.
WRITER = """
import os, signal, sys, time
path, every, total = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
opened = lambda: os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
file = opened()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
for first in range(0, total, 100):
    if signal.sigtimedwait([signal.SIGUSR1], 0.01):
        os.close(file)
        file = opened()
    os.write(file, b"".join(b"%08d a line of the training\\n" % n for n in range(first, first + 100)))
    if (first + 100) % every == 0:
        os.write(1, b".")
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    started = ServiceProcess(tmp_path_factory.mktemp("service") / "data").start()
    yield started
    started.stop()


class Node:
    """A program that writes a log, logrotate with a configuration, and a collector."""

    def __init__(self, folder: Path, service: ServiceProcess, job: str, options: str, every: int) -> None:
        self.logs = folder / "logs"
        self.logs.mkdir()
        self.log = self.logs / f"modelarts-job-{job}-worker-0.log"
        self.total = (ROTATIONS + 1) * every
        self._folder, self._service, self._job = folder, service, job
        words = [sys.executable, "-c", WRITER, str(self.log), str(every), str(self.total)]
        self.writer = subprocess.Popen(words, stdout=subprocess.PIPE)
        self._configuration = folder / "logrotate.conf"
        self._configuration.write_text(
            f"{self.log} {{\nrotate 100\n{options}\npostrotate\nkill -USR1 {self.writer.pid}\nendscript\n}}\n"
        )
        self._configuration.chmod(0o644)
        self.collector: subprocess.Popen[bytes] | None = None

    def close(self) -> None:
        """End what still runs."""
        for process in (self.writer, self.collector):
            if process and process.poll() is None:
                process.kill()
                process.wait()
        if self.writer.stdout:
            self.writer.stdout.close()

    def rotate(self) -> None:
        """All rotations, some of them while the collector is away."""
        self.watch()
        for rotation in range(ROTATIONS):
            self._rotate_when_it_is_time()
            if rotation == LEAVES:
                self.stop()
            if rotation == RETURNS:
                self.watch()

    def watch(self, *more: str) -> subprocess.Popen[bytes]:
        """A collector on the folder."""
        command = [sys.executable, "-m", "collectors", "watch", str(self.logs), *more]
        command += ["--server", f"http://127.0.0.1:{self._service.port}", "--state-dir", str(self._folder / "state")]
        self.collector = subprocess.Popen(command, env={**os.environ, "LOGSVC_TOKEN": self._service.token})
        return self.collector

    def stop(self) -> None:
        """End the collector in order."""
        assert self.collector
        self.collector.send_signal(signal.SIGTERM)
        assert self.collector.wait(30) in (0, -signal.SIGTERM)  # its interpreter may not even have started

    def finish(self) -> list[bytes]:
        """Wait for the program's end and ship the rest; the stored generations."""
        assert self.writer.wait(60) == 0
        self.stop()
        assert self.watch("--once").wait(60) == 0
        client = self._service.client()
        try:
            streams = client.get(f"/jobs/{self._job}/streams")["streams"]
            assert {stream["path"] for stream in streams} == {self.log.name}
            return [client.raw(stream["id"]) for stream in sorted(streams, key=lambda stream: stream["generation"])]
        finally:
            client.close()

    def _rotate_when_it_is_time(self) -> None:
        """Wait until the program has written so much, then let logrotate do its work."""
        assert self.writer.stdout and self.writer.stdout.read(1) == b"."
        assert LOGROTATE
        state = str(self._folder / "logrotate.state")
        done = subprocess.run([LOGROTATE, "--force", "--state", state, self._configuration], capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")


@pytest.fixture
def node(request: pytest.FixtureRequest, service: ServiceProcess, tmp_path: Path) -> Iterator[Node]:
    """As the test's parameter says: job, logrotate's options, lines between two rotations."""
    if not LOGROTATE:
        words = "logrotate is missing: apt-get install logrotate"
        pytest.fail(words) if os.environ.get("LOGSVC_TESTED") else pytest.skip(words)
    made = Node(tmp_path, service, *request.param)
    yield made
    made.close()


RENAMING = {
    "create": ("create", LINES_EACH),
    "compress": ("create\ncompress", LINES_EACH),
    # A second at least between two: the name holds no smaller part.
    "dateext": ("create\ncompress\ndelaycompress\ndateext\ndateformat -%Y%m%d-%s", 3 * LINES_EACH),
}


@pytest.mark.parametrize("node", [(name, *how) for name, how in RENAMING.items()], ids=list(RENAMING), indirect=True)
def test_renaming_loses_nothing_and_ships_nothing_twice(node: Node) -> None:
    """Nor does compressing what was renamed."""
    node.rotate()

    stored = node.finish()

    assert len(stored) == ROTATIONS + 1
    assert b"".join(stored) == b"".join(b"%08d a line of the training\n" % n for n in range(node.total))


@pytest.mark.parametrize("node", [("copytruncate", "copytruncate", LINES_EACH)], ids=["copytruncate"], indirect=True)
def test_copytruncate_loses_no_more_than_logrotate_does(node: Node) -> None:
    """What is written between its copy and its truncation is in no file any more; all that a copy holds is stored."""
    node.rotate()

    stored = numbers(b"".join(node.finish()))

    assert stored == sorted(set(stored))
    left = [path.read_bytes() for path in sorted(node.logs.iterdir())]
    assert len(left) == ROTATIONS + 1
    kept = numbers(b"".join(left))
    assert set(kept) - set(stored) == set()
    assert len(stored) > 0.9 * node.total


def numbers(data: bytes) -> list[int]:
    """Of the whole lines; a write may have been copied in part."""
    return [
        int(line[:8]) for line in data.splitlines() if line.endswith(b" a line of the training") and len(line) == 31
    ]
