"""Logs on a real overlay: copied up as they grow, renamed, truncated, whited out, mounted anew; stored once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from collectors.tailer.family import RECHECK_BYTES
from integration.collector_oracle import Oracle
from integration.watch_rig import OTHER, Watches
from small_mount import Overlay, overlay, why_no_overlays
from unit.collector_rig import Rig, Service

LOWER = b"".join(b"line %06d of the image\n" % number for number in range(1000))


@pytest.fixture(scope="module", autouse=True)
def overlays(tmp_path_factory: pytest.TempPathFactory) -> None:
    reason = why_no_overlays(tmp_path_factory.mktemp("probe"))
    if reason:
        pytest.skip(reason)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Overlay]:
    """`a.log` lies in the lower layer."""
    with overlay(tmp_path / "disk") as disk:
        (disk.lower / "a.log").write_bytes(LOWER)
        disk.mount()
        yield disk


@pytest.fixture
def rig(disk: Overlay) -> Iterator[Rig]:
    rig = Rig(disk.folder, Service())
    rig.settle()
    assert rig.stream("a.log") == [LOWER]
    yield rig
    rig.tailer.close()


def append(disk: Overlay, data: bytes, name: str = "a.log") -> None:
    with (disk.folder / name).open("ab") as file:
        file.write(data)


def identity(disk: Overlay, name: str = "a.log") -> tuple[int, int]:
    status = os.stat(disk.folder / name)
    return status.st_dev, status.st_ino


def test_a_file_that_is_copied_up_goes_on(rig: Rig, disk: Overlay) -> None:
    for number in range(5):
        append(disk, b"written %d\n" % number)
        rig.step(scan=number % 2 == 0)
    rig.settle()
    written = b"".join(b"written %d\n" % number for number in range(5))
    assert rig.stream("a.log") == [LOWER + written] and rig.service.resent_bytes == 0


@pytest.mark.parametrize("held", [False, True])
def test_a_file_whose_inode_is_another_after_the_copying_up_goes_on(rig: Rig, disk: Overlay, held: bool) -> None:
    append(disk, b"written\n")
    rig.settle()
    before = identity(disk)
    if not held:
        rig.tailer.close()
    disk.unmount()
    disk.mount()
    assert identity(disk) != before
    rig.settle()
    append(disk, b"and more\n")
    rig.settle()
    assert b"".join(rig.stream("a.log")) == LOWER + b"written\nand more\n"
    assert rig.service.resent_bytes <= RECHECK_BYTES


def test_lower_files_are_rotated(rig: Rig, disk: Overlay) -> None:
    append(disk, b"last of the first\n")
    (disk.folder / "a.log").rename(disk.folder / "a.log.1")
    (disk.folder / "a.log").write_bytes(b"second\n")
    rig.settle()
    assert rig.stream("a.log") == [LOWER + b"last of the first\n", b"second\n"]


def test_a_lower_file_is_truncated_behind_a_copy(rig: Rig, disk: Overlay) -> None:
    rig.service.away = True
    append(disk, b"last of the first\n")
    rig.step()
    (disk.folder / "a.log.1").write_bytes((disk.folder / "a.log").read_bytes())
    os.truncate(disk.folder / "a.log", 0)
    append(disk, b"second\n")
    rig.step()
    rig.service.away = False
    rig.settle()
    assert rig.stream("a.log") == [LOWER + b"last of the first\n", b"second\n"]


def test_a_lower_file_that_is_deleted_is_read_to_its_end(rig: Rig, disk: Overlay) -> None:
    rig.service.away = True
    append(disk, b"last words\n")
    rig.step()
    (disk.folder / "a.log").unlink()
    rig.step()
    rig.service.away = False
    rig.settle()
    assert rig.stream("a.log") == [LOWER + b"last words\n"] and not rig.tailer.gaps


def test_a_collector_that_starts_again_on_a_disk_mounted_anew(
    oracle: Oracle, start: Watches, disk: Overlay, tmp_path: Path
) -> None:
    """A container that starts again: other numbers for device and inode, the same files."""
    (tmp_path / "logs").rmdir()
    (tmp_path / "logs").symlink_to(disk.folder)
    contents = LOWER
    for number in range(3):
        append(disk, b"start %d\n" % number)
        contents += b"start %d\n" % number
        assert start("--once").wait(30) == 0
        disk.unmount()
        disk.mount()
    assert oracle.content(f"{OTHER}/a.log") == {0: contents}
    assert oracle.resent_bytes <= 2 * RECHECK_BYTES
