"""The spool: its bound, its policies, what it gives back, and what a kill leaves behind."""

from __future__ import annotations

import errno
import os
import random
import re
import threading
from pathlib import Path

import pytest

from collectors.chain import Chain, ChainInUse
from collectors.spool import (
    BLOCK,
    DROP_OLDEST,
    LEAST_SEGMENT_BYTES,
    Spool,
    SpooledFile,
    left_behind,
    parse_size,
)
from logsvc.errors import BadInput

JOB = "J-1"
BOUND = 1 << 20
LOST = re.compile(rb"\[logsvc-collector\] WARNING: ([0-9,]+) bytes lost here: [^\n]*\n")


class Disk:
    """Stands for `os.write` to a disk with so much room."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room = 1 << 60
        self._write = os.write
        monkeypatch.setattr(os, "write", self.write)

    def write(self, fd: int, data: bytes) -> int:
        count = min(len(data), self.room)
        if not count:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room -= count
        return self._write(fd, memoryview(data)[:count])


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def a_spool(folder: Path, policy: str = DROP_OLDEST, bound_bytes: int = BOUND) -> Spool:
    return Spool(folder, JOB, "worker-0", bound_bytes=bound_bytes, policy=policy)


def lines(first: int, count: int) -> bytes:
    return b"".join(b"line %08d of the training\n" % number for number in range(first, first + count))


def taken(file: SpooledFile, limit: int = 1 << 30) -> bytes:
    """Send and acknowledge until nothing is left."""
    parts = []
    while file.size() > file.sent:
        parts.append(file.read(limit))
        file.advance(parts[-1])
    return b"".join(parts)


def on_disk(spool: Spool) -> int:
    return sum(entry.stat().st_size for entry in spool.chain.folder.iterdir())


def as_killed(spool: Spool) -> SpooledFile:
    """What the next collector finds when this one was killed here."""
    spool.chain.release()
    file = left_behind(spool.chain.folder)
    assert file is not None
    return file


def test_own_lines_stand_on_lines_of_their_own(tmp_path: Path) -> None:
    spool = a_spool(tmp_path)
    spool.write_line("started")
    spool.write(b"no newline")
    spool.write_line("multi\nline command")
    found = taken(SpooledFile(spool.chain)).split(b"\n")
    assert found[0].endswith(b" - INFO - started")
    assert found[1] == b"no newline"
    assert found[2].startswith(b"[ModelArts Service Log]2") and found[2].endswith(b"multi line command")


def test_a_spool_is_named_as_its_stream_and_leaves_nothing(tmp_path: Path) -> None:
    spool = a_spool(tmp_path)
    assert spool.chain.folder == spool.folder / f"modelarts-job-{JOB}-worker-0.log.spool"
    spool.remove()
    spool.remove()
    assert list((tmp_path / "runs").iterdir()) == []


def test_bytes_come_out_as_they_went_in_whatever_the_pieces(tmp_path: Path) -> None:
    dice = random.Random(7)
    data = bytes(dice.choice(b"\n\r\0abc") for _ in range(300_000))
    spool = a_spool(tmp_path)
    file = SpooledFile(spool.chain)
    written, got = 0, b""
    while written < len(data):
        piece = data[written : written + dice.randrange(1, 30_000)]
        spool.write(piece)
        written += len(piece)
        got += file.read(dice.randrange(1, 40_000))
        file.advance(got[file.sent :])
    assert got + taken(file, 10_000) == data
    assert file.head == data[:1024]


def test_acknowledged_bytes_are_given_back_while_the_command_runs(tmp_path: Path) -> None:
    """Many times its bound passes through, and no line is lost."""
    spool = a_spool(tmp_path)
    file = SpooledFile(spool.chain, BOUND // 4)
    most = 0
    for turn in range(500):
        spool.write(lines(turn * 1000, 1000))
        assert taken(file) == lines(turn * 1000, 1000)
        most = max(most, on_disk(spool))
    assert file.sent == 500 * len(lines(0, 1000)) > 14 * BOUND
    assert most < BOUND // 4
    assert spool.lost_bytes == 0
    assert file.head == lines(0, 1000)[:1024]


def test_drop_oldest_puts_a_line_in_the_place_of_whole_lines(tmp_path: Path) -> None:
    spool = a_spool(tmp_path)
    data = lines(0, 100_000)
    for start in range(0, len(data), 5000):
        spool.write(data[start : start + 5000])
        assert on_disk(spool) <= BOUND + 8192
    found = taken(SpooledFile(spool.chain))
    marks = list(LOST.finditer(found))
    assert len(marks) == 1  # gaps that touch are one
    before, after = found[: marks[0].start()], found[marks[0].end() :]
    assert data.startswith(before) and before.endswith(b"\n") and before
    assert data.endswith(after) and after.startswith(b"line ")
    assert int(marks[0][1].replace(b",", b"")) == len(data) - len(before) - len(after) == spool.lost_bytes


def test_what_was_handed_out_is_never_dropped(tmp_path: Path) -> None:
    """The service may hold it, though no answer came."""
    spool = a_spool(tmp_path)
    file = SpooledFile(spool.chain, BOUND // 4)
    spool.write(lines(0, 20_000))
    sent = file.read(BOUND)
    assert len(sent) == BOUND // 4
    spool.write(lines(20_000, 50_000))
    assert spool.lost_bytes > 0
    assert file.read(BOUND) == sent
    file.advance(sent)
    rest = taken(file)
    assert (sent + LOST.split(rest)[0]) == lines(0, 70_000)[: len(sent) + len(LOST.split(rest)[0])]
    assert rest.endswith(lines(69_999, 1))


def test_gaps_are_shown_each_at_its_place(tmp_path: Path) -> None:
    """Full, then some is taken, then full again: every byte is there or counted."""
    spool = a_spool(tmp_path)
    file = SpooledFile(spool.chain, BOUND // 4)
    got = b""
    for turn in range(6):
        spool.write(lines(turn * 60_000, 60_000))
        got += file.read(BOUND)
        file.advance(got[file.sent :])
    got += taken(file)
    lost = [int(count.replace(b",", b"")) for count in LOST.findall(got)]
    assert len(lost) > 1
    kept = LOST.sub(b"", got)
    numbers = [int(line.split()[1]) for line in kept.splitlines()]
    assert numbers == sorted(set(numbers))
    assert len(kept) + sum(lost) == len(lines(0, 360_000)) and sum(lost) == spool.lost_bytes


def test_lines_longer_than_a_segment_are_dropped_whole(tmp_path: Path) -> None:
    spool = a_spool(tmp_path)
    line = b"x" * (5 * LEAST_SEGMENT_BYTES) + b"\n"
    for _ in range(40):
        spool.write(line)
    found = taken(SpooledFile(spool.chain))
    assert set(LOST.sub(b"", found).splitlines(keepends=True)) == {line}
    assert len(LOST.findall(found)) == 1


def test_block_waits_for_the_service_and_loses_nothing(tmp_path: Path) -> None:
    spool = a_spool(tmp_path, BLOCK)
    file = SpooledFile(spool.chain, BOUND // 4)
    data = lines(0, 200_000)
    writer = threading.Thread(target=spool.write, args=(data,), daemon=True)
    writer.start()
    got = b""
    while len(got) < len(data):
        assert on_disk(spool) <= BOUND + 8192
        piece = file.read(100_000)
        got += piece
        file.advance(piece)
    writer.join(10)
    assert got == data and spool.lost_bytes == 0


def test_block_does_not_outlive_the_command(tmp_path: Path) -> None:
    """What the pipe still holds at the end fits; a flood behind it does not hold the end."""
    waits = threading.Event()
    spool = Spool(tmp_path, JOB, "worker-0", bound_bytes=BOUND, policy=BLOCK, say=lambda text: waits.set())
    writer = threading.Thread(target=spool.write, args=(lines(0, 50_000),), daemon=True)
    writer.start()
    assert waits.wait(10)
    spool.stop_waiting()
    writer.join(10)
    assert not writer.is_alive() and spool.lost_bytes == 0
    spool.write(lines(50_000, 200_000))
    spool.close()
    found = taken(SpooledFile(spool.chain))
    assert found.startswith(lines(0, 50_000))
    assert int(LOST.findall(found)[-1].replace(b",", b"")) == spool.lost_bytes > 0


@pytest.mark.parametrize("policy", [BLOCK, DROP_OLDEST])
def test_a_full_disk_costs_output_and_says_how_much(tmp_path: Path, disk: Disk, policy: str) -> None:
    spool = a_spool(tmp_path, policy)
    spool.write(lines(0, 100))
    disk.room = 1000
    spool.write(lines(100, 100))
    spool.write(lines(200, 100))
    disk.room = 1 << 60
    spool.write(lines(300, 100))
    found = taken(SpooledFile(spool.chain))
    before, count, after = LOST.split(found)
    assert lines(0, 200).startswith(before) and before.endswith(b"\n")
    assert after == lines(300, 100)
    assert int(count.replace(b",", b"")) == len(lines(0, 300)) - len(before)
    assert b"No space left on device" in found


def test_a_disk_that_stays_full_is_said_at_the_end(tmp_path: Path, disk: Disk) -> None:
    """In a file that was made beforehand."""
    spool = a_spool(tmp_path)
    spool.write(b"kept\nhalf a line")
    disk.room = 0
    spool.write(lines(0, 10))
    spool.close("ended with exit code 1")
    found = taken(as_killed(spool))
    lost = b"[logsvc-collector] WARNING: 300 bytes lost here: No space left on device\n"
    assert found.startswith(b"kept\nhalf a line\n" + lost + b"[ModelArts Service Log]2")
    assert found.endswith(b" - INFO - ended with exit code 1\n") and found.count(b"\n") == 4


def test_the_last_words_stand_on_a_line_of_their_own(tmp_path: Path) -> None:
    spool = a_spool(tmp_path)
    spool.write(b"no newline")
    spool.close("ended")
    spool.close()
    found = taken(SpooledFile(spool.chain)).split(b"\n")
    assert found[0] == b"no newline" and found[1].endswith(b" - INFO - ended") and found[2:] == [b""]


def test_a_full_disk_lets_the_oldest_go_where_that_is_the_policy(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest lines, with the reason of a failure, are worth more."""
    spool = a_spool(tmp_path)
    spool.write(lines(0, 10_000))
    disk.room = 0
    unlink = os.unlink

    def unlink_and_free(path: Path) -> None:
        disk.room += os.stat(path).st_size
        unlink(path)

    monkeypatch.setattr(os, "unlink", unlink_and_free)
    spool.write(lines(10_000, 500))
    found = taken(SpooledFile(spool.chain))
    assert found.endswith(lines(10_000, 500))
    assert len(LOST.findall(found)) == 1


def test_what_a_killed_collector_leaves_is_whole(tmp_path: Path) -> None:
    """Offsets stay those of the stream, though its start was given back."""
    spool = a_spool(tmp_path)
    file = SpooledFile(spool.chain, BOUND // 4)
    data = lines(0, 60_000)
    for start in range(0, len(data), 10_000):
        spool.write(data[start : start + 10_000])
        if start < len(data) // 2:
            file.advance(file.read(BOUND))
    left = as_killed(spool)
    assert left.first > 0
    assert left.size() == len(data) and left.head == data[:1024]
    left.move_to(file.sent)
    assert left.read(100, before=4096) == data[file.sent - 4096 : file.sent + 100]
    assert taken(left) == data[file.sent :]
    left.complete()
    assert not spool.folder.exists()


def test_a_kill_between_two_steps_leaves_a_chain_that_is_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every rename and removal, while bytes are given back and dropped, in turn is the last thing done."""

    class Killed(BaseException):
        pass

    steps_left = 0

    def stopping(call):  # type: ignore[no-untyped-def]
        def step(*arguments):  # type: ignore[no-untyped-def]
            nonlocal steps_left
            if steps_left == 0:
                raise Killed
            steps_left -= 1
            return call(*arguments)

        return step

    data = lines(0, 30_000)
    for fate in range(200):
        folder = tmp_path / str(fate)
        steps_left = 1 << 30
        spool = a_spool(folder)
        file = SpooledFile(spool.chain, BOUND // 4)
        spool.write(data)
        with monkeypatch.context() as patch:
            for name in ("rename", "unlink", "truncate"):
                patch.setattr(os, name, stopping(getattr(os, name)))
            steps_left = fate
            try:
                file.advance(file.read(100_000))
                spool.write(lines(30_000, 20_000))
                ended = True
            except Killed:
                ended = False
        left = as_killed(spool)
        assert left.first <= 100_000
        left.move_to(max(file.sent, left.first))
        found = LOST.split(taken(left))
        whole = data + lines(30_000, 20_000)
        sent = max(file.sent, spool.chain.base)
        assert whole[sent:].startswith(found[0]) and whole.count(found[-1]) == 1
        if ended:
            assert fate > 20
            return
    pytest.fail("never ended")


def test_a_chain_that_is_written_is_left_alone(tmp_path: Path) -> None:
    spool = a_spool(tmp_path)
    spool.write(b"mine\n")
    assert left_behind(spool.chain.folder) is None
    with pytest.raises(ChainInUse):
        Chain(spool.chain.folder)
    spool.close()
    assert left_behind(spool.chain.folder) is None  # it is still being sent
    assert taken(as_killed(spool)) == b"mine\n"


def test_a_spool_that_is_being_made_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "x.log.spool").mkdir()
    assert left_behind(tmp_path / "x.log.spool") is None


def test_a_service_that_lost_what_was_given_back_gets_a_line_in_its_place(tmp_path: Path) -> None:
    spool = a_spool(tmp_path)
    file = SpooledFile(spool.chain)
    spool.write(lines(0, 10_000))
    file.advance(file.read(200_000))
    first = file.first
    assert 0 < first <= 200_000 - 4096
    file.move_to(1000)
    found = file.read(1 << 20)
    mark = LOST.match(found, 1)
    assert mark and int(mark[1].replace(b",", b"")) == first - 1000
    assert found[mark.end() :] == lines(0, 10_000)[first:]
    left = as_killed(spool)
    left.move_to(1000)
    assert taken(left) == found


@pytest.mark.parametrize(
    ("text", "size"),
    [("1048576", 1 << 20), ("512M", 512 << 20), ("4GiB", 4 << 30), ("1.5g", 3 << 29), ("2TB", 2 << 40)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "M", "12X", "-5M", "nanG", "infG", "1000", "1K"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(BadInput):
        parse_size(text)
