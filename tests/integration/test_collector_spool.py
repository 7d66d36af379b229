"""The spool of a command: bounded, given back, whole after a kill, and a full disk."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.collector_oracle import Oracle
from integration.command_rig import LOG, NAME, Commands, python, shipped
from small_disk import small_disk, small_disks_are_allowed

BOUND = 1 << 20
LOST = re.compile(rb"\[logsvc-collector\] WARNING: ([0-9,]+) bytes lost here: [^\n]*\n")
DISK_BYTES = 4 << 20

# Writes lines by number, so many for each line that it reads.
WRITER = """if True:
    import sys
    number = 0
    for count in map(int, sys.stdin):
        sys.stdout.write("".join("line %08d of the training\\n" % n for n in range(number, number + count)))
        sys.stdout.flush()
        number += count
"""


class Training:
    """A command that writes as much as it is told; its own stdout is read all the while."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.said: list[bytes] = []
        self.written = 0
        self._shown = 0
        self._changed = threading.Condition()
        self._readers = [threading.Thread(target=self._read_out), threading.Thread(target=self._read_said)]
        for reader in self._readers:
            reader.start()

    def write(self, count: int) -> None:
        """So many lines; returns at once."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"%d\n" % count)
        self.process.stdin.flush()
        self.written += count

    def is_shown(self) -> None:
        """Wait until all of it stands on the terminal: the collector has taken it."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._shown == len(lines(self.written)), 30)

    def says(self, text: bytes) -> None:
        """Wait for a line of the collector's."""
        with self._changed:
            assert self._changed.wait_for(lambda: any(text in line for line in self.said), 30), self.said

    def end(self) -> int:
        """Its exit status."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.wait()

    def wait(self) -> int:
        status = self.process.wait(60)
        for reader in self._readers:
            reader.join(30)
        self.process.stdin = self.process.stdout = self.process.stderr = None
        return status

    def _read_out(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as out:
            while data := out.read1(65536):  # type: ignore[attr-defined]
                with self._changed:
                    self._shown += len(data)
                    self._changed.notify_all()

    def _read_said(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as said:
            for line in said:
                with self._changed:
                    self.said.append(line)
                    self._changed.notify_all()


def lines(count: int) -> bytes:
    return b"".join(b"line %08d of the training\n" % number for number in range(count))


def away(method: str, path: str) -> tuple[int, dict[str, str], bytes]:
    """No service, as a proxy says it."""
    return 503, {}, b""


def on_disk(folder: Path) -> int:
    total = 0
    for file in folder.rglob("*"):
        try:
            total += file.stat().st_size
        except FileNotFoundError:
            continue  # given back meanwhile
    return total


def test_a_small_spool_is_enough_for_a_large_log(oracle: Oracle, run: Commands) -> None:
    """What is acknowledged is given back while the command runs."""
    most = 0

    def measure(method: str, path: str) -> None:
        nonlocal most
        most = max(most, on_disk(run.state_dir))

    oracle.fault = measure
    training = Training(run(*python(WRITER), options=("--spool-bytes", "1M", "--spool-policy", "block")))
    training.write(500_000)
    assert training.end() == 0
    assert shipped(oracle) == lines(500_000)
    assert 0 < most < 2 * BOUND + 65536  # the bound, and what the pipe held at the end
    assert not list((run.state_dir / "runs").iterdir())


def test_a_full_spool_lets_the_oldest_lines_go_and_says_so(oracle: Oracle, run: Commands) -> None:
    oracle.fault = away
    training = Training(run(*python(WRITER), options=("--spool-bytes", "1M")))
    for _ in range(10):
        training.write(20_000)
    training.is_shown()  # it was not held up
    training.says(b"the spool was full")
    oracle.fault = None
    assert training.end() == 0
    before, count, after = LOST.split(shipped(oracle))
    written = lines(200_000)
    assert written.startswith(before) and before.endswith(b"\n")
    assert written.endswith(after) and len(after) > BOUND // 2
    assert len(before) + int(count.replace(b",", b"")) + len(after) == len(written)


def test_a_full_spool_makes_the_command_wait_where_no_line_may_be_lost(oracle: Oracle, run: Commands) -> None:
    oracle.fault = away
    training = Training(run(*python(WRITER), options=("--spool-bytes", "1M", "--spool-policy", "block")))
    training.write(200_000)
    training.says(b"the command waits")
    assert on_disk(run.state_dir) < BOUND + 65536
    oracle.fault = None
    assert training.end() == 0
    assert shipped(oracle) == lines(200_000)


def test_a_command_that_waits_for_the_spool_can_be_ended(oracle: Oracle, run: Commands) -> None:
    oracle.fault = away
    options = ("--spool-bytes", "1M", "--spool-policy", "block", "--drain", "0")
    training = Training(run(*python(WRITER), options=options))
    training.write(200_000)
    training.says(b"the command waits")
    training.process.terminate()
    assert training.end() == 143


def test_a_killed_collector_leaves_a_spool_that_is_shipped_later(oracle: Oracle, run: Commands) -> None:
    """Its start was given back; the offsets are those of the stream all the same."""
    training = Training(run(*python(WRITER), options=("--spool-bytes", "1M", "--spool-policy", "block")))
    training.write(20_000)
    oracle.wait(lambda: lines(20_000) in oracle.held.get(NAME, b""))
    oracle.fault = away
    training.write(10_000)
    training.is_shown()
    (folder,) = (run.state_dir / "runs").iterdir()
    assert (folder / f"{LOG}.spool/head").exists()
    while_it_runs = run.watch_once(folder)
    training.process.kill()
    assert training.wait() == -9
    held = len(oracle.held[NAME])
    assert while_it_runs.returncode == 0 and held < len(lines(30_000))  # a spool that is written is left alone

    oracle.fault = None
    later = run.watch_once(folder)
    assert later.returncode == 0, later.stderr
    assert shipped(oracle) == lines(30_000)
    assert NAME in oracle.sealed
    assert not (folder / f"{LOG}.spool").exists()


def test_a_spool_that_somebody_deletes_does_not_harm_the_training(oracle: Oracle, run: Commands) -> None:
    oracle.fault = away
    training = Training(run(*python(WRITER), options=("--spool-bytes", "1M", "--drain", "1")))
    training.write(10_000)
    training.is_shown()
    shutil.rmtree(run.state_dir)
    oracle.fault = None
    training.write(100_000)
    training.is_shown()
    assert training.end() == 0
    assert any(b"the log is not all sent: somebody has deleted" in line for line in training.said)


def test_two_runs_left_behind_are_two_generations(oracle: Oracle, run: Commands) -> None:
    """A task that was started again, and again without a service."""
    oracle.fault = away
    for text in ("first", "second"):
        run(*python(f"print({text!r})"), options=("--drain", "0")).communicate(timeout=30)
    oracle.fault = None
    later = run.watch_once(run.state_dir / "runs")
    assert later.returncode == 0, later.stderr
    held = oracle.content(LOG)
    assert b"\nfirst\n" in held[0] and b"\nsecond\n" in held[1] and len(held) == 2


@pytest.fixture
def disk(run: Commands) -> Iterator[tuple[str, ...]]:
    """The state folder lies on a small disk."""
    if not small_disks_are_allowed():
        pytest.skip("mounting in a namespace of one's own is not allowed here")
    run.state_dir.mkdir()
    yield small_disk(run.state_dir, DISK_BYTES)


def test_a_full_disk_costs_output_and_never_the_training(oracle: Oracle, run: Commands, disk: tuple[str, ...]) -> None:
    oracle.fault = away
    training = Training(run(*python(WRITER), prefix=disk))
    training.write(300_000)
    training.is_shown()
    training.says(b"No space left on device: output is being lost")
    oracle.fault = None
    assert training.end() == 0
    before, count, after = LOST.split(shipped(oracle))
    assert lines(300_000).startswith(before) and len(before) > DISK_BYTES // 2
    assert after == b"" and b"with exit code 0" in oracle.held[NAME]
    assert len(before) + int(count.replace(b",", b"")) == len(lines(300_000))


def test_a_disk_that_is_full_and_free_again_loses_only_what_came_between(
    oracle: Oracle, run: Commands, disk: tuple[str, ...]
) -> None:
    """The disk is full of the spool itself: what the service takes makes room."""
    oracle.fault = away
    training = Training(run(*python(WRITER), prefix=disk, options=("--spool-bytes", "64M", "--spool-policy", "block")))
    training.write(300_000)
    training.is_shown()
    oracle.fault = None
    oracle.wait(lambda: len(oracle.held.get(NAME, b"")) > DISK_BYTES // 2)
    training.write(50_000)
    training.is_shown()
    assert training.end() == 0
    kept = shipped(oracle)
    lost = [int(count.replace(b",", b"")) for count in LOST.findall(kept)]
    assert lost and len(LOST.sub(b"", kept)) + sum(lost) == len(lines(350_000))
    assert lines(350_000).endswith(LOST.split(kept)[-1])
