"""File systems that change a file under its name: overlays, mounts made anew, and what NFS does to deleted files."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from collectors.tailer.family import RECHECK_BYTES
from unit.collector_rig import Rig, Service

FIRST = b"".join(b"line %06d\n" % number for number in range(1000))


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    (tmp_path / "a.log").write_bytes(FIRST)
    rig = Rig(tmp_path, Service())
    rig.settle()
    return rig


def replace(log: Path, data: bytes) -> None:
    """Another inode under the name."""
    inode = log.stat().st_ino
    other = log.with_name(".other")
    other.write_bytes(data)
    shutil.move(other, log)
    assert log.stat().st_ino != inode


@pytest.mark.parametrize("more", [b"", b"more\n"])
def test_the_same_bytes_in_another_inode_go_on(rig: Rig, tmp_path: Path, more: bytes) -> None:
    rig.tailer.close()  # as one of more files than may be open
    replace(tmp_path / "a.log", FIRST + more)
    rig.settle()
    replace(tmp_path / "a.log", FIRST + more)
    with (tmp_path / "a.log").open("ab") as file:
        file.write(b"last\n")
    rig.settle()
    assert rig.stream("a.log")[0] == FIRST + more
    assert b"".join(rig.stream("a.log")).endswith(b"last\n")
    assert len(rig.stream("a.log")) == 2  # the second one was replaced while it was held: its writer may go on in it


def test_other_bytes_in_another_inode_are_the_next_generation(rig: Rig, tmp_path: Path) -> None:
    for other in (FIRST[:-1] + b"?more\n", FIRST[:5000], b"?" + FIRST):
        rig.tailer.close()
        replace(tmp_path / "a.log", other)
        rig.settle()
    assert rig.stream("a.log") == [FIRST, FIRST[:-1] + b"?more\n", FIRST[:5000], b"?" + FIRST]


def test_another_middle_is_found_by_the_service(rig: Rig, tmp_path: Path) -> None:
    """Head and last bytes are the same; what the service compares of the end is not."""
    rig.tailer.close()
    middle = len(FIRST) - RECHECK_BYTES + 100
    other = FIRST[:middle] + b"?" + FIRST[middle + 1 :] + b"more\n"
    replace(tmp_path / "a.log", other)
    rig.settle()
    assert rig.stream("a.log") == [FIRST, other]


def test_a_file_deleted_while_it_is_open_has_a_hidden_name(rig: Rig, tmp_path: Path) -> None:
    """NFS renames it to `.nfs…` and deletes that when nobody holds it any more."""
    rig.service.away = True
    hidden = tmp_path / ".nfs0000000000a1b2c300000001"
    with (tmp_path / "a.log").open("ab") as writer:
        writer.write(b"before\n")
        writer.flush()
        rig.step()
        (tmp_path / "a.log").rename(hidden)
        (tmp_path / "a.log").write_bytes(b"second\n")
        rig.step()
        writer.write(b"after\n")
    rig.step()
    rig.service.away = False
    rig.settle()
    hidden.unlink()
    rig.settle()
    assert rig.stream("a.log") == [FIRST + b"before\nafter\n", b"second\n"]
    assert len(rig.paths()) == 1 and not rig.tailer.gaps


def test_a_stale_handle_of_a_file_that_is_still_there_is_opened_again(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server was started again."""
    opened, pread, fstat = os.open, os.pread, os.fstat
    stale = True

    def open_again(*given: Any, **more: Any) -> int:
        nonlocal stale
        stale = stale and given[0] != str(tmp_path / "a.log")
        return opened(*given, **more)

    def refuse(call: Callable[..., Any]) -> Callable[..., Any]:
        def refused(*given: Any) -> Any:
            if stale:
                raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
            return call(*given)

        return refused

    monkeypatch.setattr(os, "open", open_again)
    monkeypatch.setattr(os, "pread", refuse(pread))
    monkeypatch.setattr(os, "fstat", refuse(fstat))
    with open(tmp_path / "a.log", "ab") as file:
        file.write(b"more\n")
    rig.settle()
    assert not stale
    assert rig.stream("a.log") == [FIRST + b"more\n"] and not rig.tailer.gaps
