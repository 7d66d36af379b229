"""A full disk: 507, reads go on, and appends too as soon as there is room. On a small file system of its own."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders import a_stream
from processes import Answer, Client, ServiceProcess, wait_until
from small_disk import small_disk, small_disks_are_allowed

DISK_BYTES = 24 << 20
NAME = a_stream(job="full")
QUERY = {"job": NAME.job, "task": NAME.task, "path": NAME.path}
LINE = b"%07d loss=0.25 %s\n"


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not small_disks_are_allowed(), reason="mounting a disk of one's own is not allowed"),
]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[ServiceProcess]:
    """A service whose data folder lies on a small disk."""
    disk = tmp_path / "disk"
    disk.mkdir()
    service = ServiceProcess(disk / "data", prefix=small_disk(disk, DISK_BYTES))
    service.log = tmp_path / "service.log"
    service.start()
    yield service
    service.kill()


def inside(service: ServiceProcess) -> Path:
    """The disk, as the service sees it."""
    return Path(f"/proc/{service.process.pid}/root{service.folder.parent}")


def fill(service: ServiceProcess, spare_bytes: int) -> Path:
    """Leave so much room."""
    filler = inside(service) / "filler"
    room = shutil.disk_usage(inside(service)).free - spare_bytes
    filler.write_bytes(bytes(max(0, room)))
    return filler


def log_of(size: int) -> bytes:
    """Lines that do not compress well."""
    noise = (hashlib.sha256(b"%d" % n).hexdigest().encode() for n in range(size // 80 + 1))
    return b"".join(LINE % (n, text) for n, text in enumerate(noise))[:size]


def send_until_refused(client: Client, log: bytes, offset: int, size: int) -> tuple[int, Answer]:
    """Where the stream ends, and how it was said that the disk is full."""
    while offset < len(log):
        answer = client.chunk(log[offset : offset + size], offset=offset, **QUERY)
        if answer.status != 200:
            return offset, answer
        offset = answer.json["next_offset"]
    pytest.fail("the disk did not get full")


def goes_on(client: Client, log: bytes, offset: int) -> int:
    """Wait until a small chunk is taken; where the stream ends then."""
    wait_until(lambda: client.chunk(log[offset : offset + 1000], offset=offset, **QUERY).status == 200, 15)
    return offset + 1000


@pytest.mark.parametrize("size", [2_000, 60_000, 900_000])
def test_full_disk_is_told_and_gone_through(service: ServiceProcess, size: int) -> None:
    """Chunks of every size: refused with 507, read meanwhile, stored once there is room again."""
    client, log = service.client(), log_of(30 << 20)
    first = client.chunk(log[:700_000], offset=0, **QUERY).json
    stream = first["stream"]
    filler = fill(service, 1_500_000)
    offset, refused = send_until_refused(client, log, first["next_offset"], size)

    assert (refused.status, refused.code) == (507, "disk_full")
    assert int(refused.headers["Retry-After"]) >= 1
    for more in (10, size, 2_000_000):  # nothing that does not fit is acknowledged, and nothing breaks
        answer = client.chunk(log[offset : offset + more], offset=offset, **QUERY)
        assert answer.status in (200, 507), answer.body
        offset = answer.json["next_offset"] if answer.status == 200 else offset
        held = client.get("/chunks", **QUERY)["next_offset"]
        assert held == offset
    new = a_stream(job="new")
    client.chunk(b"x\n" * 500_000, offset=0, job=new.job, task=new.task, path=new.path)
    read_everything(client, stream, log[:offset])

    filler.unlink()
    offset = goes_on(client, log, offset)
    for _ in range(5):
        answer = client.chunk(log[offset : offset + size], offset=offset, **QUERY)
        assert answer.status == 200, answer.body
        offset = answer.json["next_offset"]
    read_everything(client, stream, log[:offset])
    assert "Traceback" not in service.logged()


def test_disk_full_over_and_over(service: ServiceProcess) -> None:
    """Room comes and goes; every acknowledged byte stays."""
    client, log = service.client(), log_of(30 << 20)
    stream = client.chunk(log[:10], offset=0, **QUERY).json["stream"]
    offset = 10
    for turn in range(6):
        filler = fill(service, 700_000)
        offset, refused = send_until_refused(client, log, offset, (5_000, 300_000)[turn % 2])
        assert refused.code == "disk_full"
        filler.unlink()
        time.sleep(0.2)
        offset = goes_on(client, log, offset)
        read_everything(client, stream, log[:offset])


def test_disk_that_was_full_at_a_kill(service: ServiceProcess, tmp_path: Path) -> None:
    """What was acknowledged before is there in a copy of the folder, as after any kill."""
    client, log = service.client(), log_of(30 << 20)
    stream = client.chunk(log[:10], offset=0, **QUERY).json["stream"]
    fill(service, 2_000_000)
    offset, _ = send_until_refused(client, log, 10, 200_000)
    shutil.copytree(inside(service) / "data", tmp_path / "copy", ignore=shutil.ignore_patterns("*.sock"))
    service.kill()

    again = ServiceProcess(tmp_path / "copy").start()
    try:
        read_everything(again.client(), stream, log[:offset])
    finally:
        again.stop()


def read_everything(client: Client, stream: str, expected: bytes) -> None:
    """Windows, searches, bytes: reads go on."""
    assert client.raw(stream) == expected
    lines = expected.split(b"\n")
    count = len(lines) - (not lines[-1])
    shown = client.get(f"/streams/{stream}/lines", **{"from": -2})
    assert shown["total_lines"] == count
    assert shown["lines"][-1]["text"] == lines[count - 1].decode()
    found = client.get(f"/streams/{stream}/matches", q="0000777 ", limit=1)
    assert found["total"] == sum(b"0000777 " in line for line in lines)
    assert client.get(f"/jobs/{NAME.job}")["log_bytes"] == len(expected)
