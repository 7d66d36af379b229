"""Generations, decided without a service: heads, offsets, copies, and what is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from collectors.settings import Identity
from collectors.state import State
from collectors.tailer.discovery import Discovery
from collectors.tailer.reader import Replaced, TailedFile
from collectors.tailer.rotation import Family, Member, Tailer
from logsvc.errors import CannotStart
from unit.collector_rig import told

JOB = "J-1"


def tailed(file: Path) -> TailedFile:
    status = file.stat()
    return TailedFile(str(file), status.st_dev, status.st_ino)


def scanned(folder: Path) -> Tailer:
    tailer = Tailer(Discovery([folder], Identity(JOB)))
    tailer.scan(0.0)
    return tailer


def numbers(family: Family) -> list[tuple[str, int | None, int]]:
    return [(Path(member.file.name).name, member.number, member.file.sent) for member in family.members]


def only(tailer: Tailer) -> Family:
    (family,) = tailer.families.values()
    return family


def test_reads_go_on_where_they_were(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_bytes(b"one\ntwo")
    file = tailed(log)
    assert file.read(4) == b"one\n"
    file.advance(b"one\n")
    assert file.read(100) == b"two"
    assert file.read(100, before=2) == b"e\ntwo"
    with log.open("ab") as more:
        more.write(b" three")
    assert file.read(100) == b"two three"


def test_other_bytes_before_the_place_are_noticed(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_bytes(b"H" * 2000 + b"first\n")
    file = tailed(log)
    file.advance(file.read(10_000))
    log.write_bytes(b"H" * 2000 + b"other\nand more\n")  # same inode, same head, grown
    with pytest.raises(Replaced):
        file.read(100)


def test_a_shorter_file_is_noticed(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_bytes(b"one\n")
    file = tailed(log)
    file.advance(file.read(100))
    log.write_bytes(b"")
    with pytest.raises(Replaced):
        file.read(100)


def test_a_service_that_knows_nothing_gets_all_from_generation_0(tmp_path: Path) -> None:
    for name in ("a.log.2", "a.log.1", "a.log"):
        (tmp_path / name).write_text(name)
    tailer = scanned(tmp_path)
    tailer.resolve(only(tailer), [], 0.0)
    assert numbers(only(tailer)) == [("a.log.2", 0, 0), ("a.log.1", 1, 0), ("a.log", 2, 0)]


def test_heads_find_the_place_and_newer_files_follow(tmp_path: Path) -> None:
    for name in ("a.log.2", "a.log.1", "a.log"):
        (tmp_path / name).write_text(name)
    tailer = scanned(tmp_path)
    tailer.resolve(only(tailer), [told(0, b"gone"), told(1, b"a.log.2")], 0.0)
    assert numbers(only(tailer)) == [("a.log.2", 1, 7), ("a.log.1", 2, 0), ("a.log", 3, 0)]


def test_a_file_older_than_all_that_is_held_goes_elsewhere(tmp_path: Path) -> None:
    for name in ("a.log.2", "a.log.1", "a.log"):
        (tmp_path / name).write_text(name)
    tailer = scanned(tmp_path)
    tailer.resolve(next(iter(tailer.families.values())), [told(0, b"a.log.1")], 0.0)
    first, second = tailer.families.values()
    assert numbers(first) == [("a.log.1", 0, 7), ("a.log", 1, 0)]
    assert second.place.path.startswith(f"modelarts-job-{JOB}/other/worker-0/") and len(second.members) == 1
    assert second.place.path.endswith("a.log.2")


def test_a_file_shorter_than_what_is_held_is_new(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"abc")
    tailer = scanned(tmp_path)
    tailer.resolve(only(tailer), [told(4, b"abcdef")], 0.0)
    assert numbers(only(tailer)) == [("a.log", 5, 0)]


def test_an_empty_file_takes_no_number(tmp_path: Path) -> None:
    (tmp_path / "a.log").touch()
    tailer = scanned(tmp_path)
    tailer.resolve(only(tailer), [], 0.0)
    assert numbers(only(tailer)) == [("a.log", None, 0)]


def test_a_rename_chain_within_one_scan(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("H" * 1024 + "one")
    tailer = scanned(tmp_path)
    tailer.resolve(only(tailer), [], 0.0)
    (tmp_path / "a.log").rename(tmp_path / "a.log.2")
    (tmp_path / "a.log.1").write_text("H" * 1024 + "two")  # the same head throughout
    (tmp_path / "a.log").write_text("H" * 1024 + "three")
    tailer.scan(1.0)
    assert [Path(member.file.name).name for member in only(tailer).members] == ["a.log.2", "a.log.1", "a.log"]
    assert [member.superseded for member in only(tailer).members] == [True, True, False]


def test_a_copy_before_its_truncation_is_not_shipped(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("one\n")
    tailer = scanned(tmp_path)
    tailer.resolve(only(tailer), [], 0.0)
    (tmp_path / "a.log.1").write_text("on")  # still being written
    tailer.scan(1.0)
    (tmp_path / "a.log.1").write_text("one\n")
    tailer.scan(2.0)
    assert numbers(only(tailer)) == [("a.log", 0, 0)]


def test_a_file_renamed_to_any_name_stays_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("one\n")
    tailer = scanned(tmp_path)
    tailer.resolve(only(tailer), [], 0.0)
    (tmp_path / "a.log").rename(tmp_path / "kept for later.log")
    (tmp_path / "a.log").write_text("two\n")
    tailer.scan(1.0)
    assert [Path(member.file.name).name for member in only(tailer).members] == ["kept for later.log", "a.log"]


def test_two_live_files_of_one_path_do_not_mix(tmp_path: Path) -> None:
    first, second = tmp_path / "x", tmp_path / "y"
    for folder in (first, second):
        folder.mkdir()
        (folder / "a.log").write_text(folder.name)
    tailer = Tailer(Discovery([first, second], Identity(JOB)))
    tailer.scan(0.0)
    paths = sorted(place.path for place in tailer.families)
    assert len(paths) == 2 and paths[0] != paths[1]
    tailer.scan(1.0)
    assert sorted(place.path for place in tailer.families) == paths


def test_a_member_is_over_only_when_superseded_and_quiet(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("x")
    member = Member(tailed(tmp_path / "a.log"), number=0, size=1)
    member.file.advance(b"x")
    assert not member.wants_seal(100.0)
    member.superseded = True
    member.grew_at = 99.0
    assert not member.wants_seal(100.0)
    assert member.wants_seal(102.0)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"files": 3}', b'{"files": [1, {"job": "x"}]}', b"\xff\0", b"[" * 100_000, b'{"files": null}'],
)
def test_a_broken_checkpoint_is_no_checkpoint(tmp_path: Path, content: bytes) -> None:
    state = State(tmp_path)
    (tmp_path / "checkpoint.json").write_bytes(content)
    assert state.load() == []
    state.close()


def test_a_state_folder_has_one_holder(tmp_path: Path) -> None:
    state = State(tmp_path / "deep/er")
    with pytest.raises(CannotStart, match="in use by another collector"):
        State(tmp_path / "deep/er")
    state.close()
    State(tmp_path / "deep/er").close()


def test_a_rotated_file_beside_another_of_its_name_is_sent_as_other(tmp_path: Path) -> None:
    """Also where nothing but its name says which job it is of."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    theirs.mkdir()
    (ours / "modelarts-job-J-9-worker-0.log").write_bytes(b"ours\n")
    tailer = Tailer(Discovery([ours, theirs], Identity()))
    tailer.scan(0.0)
    family = only(tailer)
    tailer.resolve(family, [], 0.0)
    family.give_number(family.members[0])
    (theirs / "modelarts-job-J-9-worker-0.log.1").write_bytes(b"theirs, of long ago\n")
    for now in (1.0, 30.0):
        tailer.scan(now)
    (stray,) = (place for place in tailer.families if place != family.place)
    assert (stray.job, stray.task) == ("J-9", "worker-0")
    assert stray.path.startswith("modelarts-job-J-9/other/worker-0/")
    assert stray.path.endswith("/theirs/modelarts-job-J-9-worker-0.log.1")
    assert [member.pending for member in tailer.families[stray].members] == [20]


def test_numbers_that_were_given_and_never_used_are_given_again_in_order(tmp_path: Path) -> None:
    """Killed after the newest was sent and before its elders were: they still come before it."""
    files = {"a.log.3": b"first\n", "a.log.2": b"second\n", "a.log.1": b"third\n", "a.log": b"fourth\n"}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    tailer = scanned(tmp_path)
    family = only(tailer)
    tailer.resolve(family, [told(0, b"first\n", sealed=True), told(4, b"fourth\n")], 0.0)
    assert numbers(family) == [("a.log.3", 0, 6), ("a.log.2", 1, 0), ("a.log.1", 2, 0), ("a.log", 4, 7)]

    tailer.conflict(family, family.members[2])  # the service holds other bytes under 2 after all
    assert numbers(family) == [("a.log.3", 0, 6), ("a.log.2", 1, 0), ("a.log.1", 3, 0), ("a.log", 4, 7)]
    tailer.conflict(family, family.members[2])
    assert numbers(family) == [("a.log.3", 0, 6), ("a.log.2", 1, 0), ("a.log.1", 5, 0), ("a.log", 4, 7)]
