"""What a look at rest costs and sees: folders by their times, files by their names, a full scan now and then."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from collectors.settings import Identity
from collectors.tailer.discovery import Discovery, Found
from collectors.tailer.folders import SETTLED_SECONDS, Folders
from collectors.tailer.rotation import SCAN_SECONDS, Tailer

JOB = "J-1"


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Counted(Discovery):
    """Counts its scans; its folders live by a clock that is moved by hand."""

    def __init__(self, root: Path, clock: Clock) -> None:
        super().__init__([root], Identity(JOB), folders=Folders(clock))
        self.scans = 0

    def scan(self) -> list[Found]:
        self.scans += 1
        return super().scan()


class Rig:
    def __init__(self, root: Path) -> None:
        self.clock = Clock()
        self.discovery = Counted(root, self.clock)
        self.tailer = Tailer(self.discovery)

    def look(self, seconds: float = 1.0) -> int:
        """Look so many seconds later; returns how many full scans that took."""
        self.clock.now += seconds
        before = self.discovery.scans
        self.tailer.look(self.clock.now)
        return self.discovery.scans - before

    def rest(self) -> None:
        """Until nothing that was there at the start is news, and all have their generations."""
        for _ in range(20):
            if self.look() == 0:
                for family in self.tailer.families.values():
                    for member in family.members:
                        family.give_number(member)
                return
        raise AssertionError("each look is a full scan")

    def sizes(self) -> dict[str, int]:
        found = [member for family in self.tailer.families.values() for member in family.members]
        return {Path(member.file.name).name: member.size for member in found}


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.log").write_bytes(b"one\n")
    (tmp_path / "deep/b.log").write_bytes(b"one\n")
    rig = Rig(tmp_path)
    rig.rest()
    return rig


def test_growth_is_seen_without_a_scan(rig: Rig, tmp_path: Path) -> None:
    for name in ("a.log", "deep/b.log"):
        with (tmp_path / name).open("ab") as file:
            file.write(b"two\n")
    assert rig.look() == 0
    assert rig.sizes() == {"a.log": 8, "b.log": 8}


@pytest.mark.parametrize("folder", [".", "deep", "new/er"])
def test_a_new_file_is_found_at_the_next_look(rig: Rig, tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    (tmp_path / folder / "c.log").write_bytes(b"one\n")
    assert rig.look() == 1
    assert rig.sizes() == {"a.log": 4, "b.log": 4, "c.log": 4}


def test_a_changed_folder_is_listed_until_its_time_can_be_trusted(rig: Rig, tmp_path: Path) -> None:
    """Two files made within one tick of the file system's clock: the second one's time says nothing."""
    (tmp_path / "c.log").write_bytes(b"one\n")
    assert rig.look() == 1
    listed = os.stat(tmp_path)
    (tmp_path / "d.log").write_bytes(b"one\n")
    os.utime(tmp_path, ns=(listed.st_atime_ns, listed.st_mtime_ns))
    assert rig.look() == 1
    assert "d.log" in rig.sizes()
    rig.rest()
    assert rig.clock.now - 100 > SETTLED_SECONDS


def test_a_file_renamed_replaced_or_deleted_asks_for_a_scan(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "deep/b.log").rename(tmp_path / "deep/b.log.1")
    times = os.stat(tmp_path / "deep")
    assert rig.look() == 1
    rig.rest()
    (tmp_path / "deep/b.log.1").unlink()
    os.utime(tmp_path / "deep", ns=(times.st_atime_ns, times.st_mtime_ns))  # not even its folder tells
    assert rig.look() == 1


def test_a_full_scan_comes_now_and_then_whatever_the_folders_say(rig: Rig, tmp_path: Path) -> None:
    times = os.stat(tmp_path)
    (tmp_path / "c.log").write_bytes(b"one\n")
    os.utime(tmp_path, ns=(times.st_atime_ns, times.st_mtime_ns))
    for _ in range(int(SCAN_SECONDS) + 1):
        rig.look()
    assert "c.log" in rig.sizes()


def test_a_root_and_a_link_that_lead_nowhere_yet(tmp_path: Path) -> None:
    root = tmp_path / "later"
    rig = Rig(root)
    rig.rest()
    root.mkdir()
    (root / "link.log").symlink_to(tmp_path / "outside.log")
    assert rig.look() == 1
    rig.rest()
    (tmp_path / "outside.log").write_bytes(b"one\n")
    assert rig.look() == 1
    assert rig.sizes() == {"link.log": 4}


def test_a_link_that_points_elsewhere_now(rig: Rig, tmp_path: Path) -> None:
    """The folder of the link is as it was: the chain was swapped further on."""
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    for name in ("one", "two"):
        (outside / name).write_bytes(name.encode())
    (outside / "current").symlink_to("one")
    (tmp_path / "link.log").symlink_to(outside / "current")
    rig.look()
    rig.rest()
    (outside / "next").symlink_to("two")
    (outside / "next").rename(outside / "current")
    (outside / "two").write_bytes(b"two and more")
    assert rig.look() == 1
    newest = [family.members[-1] for family in rig.tailer.families.values() if "link.log" in family.place.path]
    assert [member.size for member in newest] == [12]
