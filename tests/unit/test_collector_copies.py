"""Copies, compressed generations and gaps: what each file is, under a clock moved by hand."""

from __future__ import annotations

import errno
import gzip
import os
import random
import zlib
from pathlib import Path

import pytest

from collectors.lines import LOST_MARK, lost_line
from collectors.tailer.copies import ends_alike
from collectors.tailer.family import Member
from collectors.tailer.memory import AWAY
from collectors.tailer.packed import PackedFile
from collectors.tailer.reader import Descriptors, TailedFile
from collectors.tailer.rotation import DELETED, NOT_COPIED, TRUNCATED
from unit.collector_rig import Rig, Service

BANNER = b"banner " * 200  # longer than a head


def pack(file: Path, data: bytes) -> None:
    file.write_bytes(gzip.compress(data))


def truncate(file: Path, then: bytes = b"") -> None:
    with file.open("r+b") as log:
        log.truncate(0)
        log.write(then)


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path, Service())


def again(rig: Rig, folder: Path) -> Rig:
    """The collector is killed and started once more."""
    remembered = rig.tailer.remembered()
    rig.tailer.close()
    return Rig(folder, rig.service, remembered)


# What `.gz` files are


def test_compressed_generations_never_seen_are_older_ones(rig: Rig, tmp_path: Path) -> None:
    pack(tmp_path / "a.log.3.gz", b"one\n")
    pack(tmp_path / "a.log.2.gz", b"two\n")
    (tmp_path / "a.log.1").write_bytes(b"three\n")
    (tmp_path / "a.log").write_bytes(b"four\n")
    rig.settle()
    assert rig.stream("a.log") == [b"one\n", b"two\n", b"three\n", b"four\n"]


def test_a_compressed_file_of_dates_and_one_without_a_number(rig: Rig, tmp_path: Path) -> None:
    pack(tmp_path / "a.log-20260102.gz", b"one\n")
    pack(tmp_path / "a.log-20260103.gz", b"two\n")
    (tmp_path / "a.log").write_bytes(b"three\n")
    pack(tmp_path / "b.log.gz", b"one\n")
    (tmp_path / "b.log").write_bytes(b"two\n")
    rig.settle()
    assert rig.stream("a.log") == [b"one\n", b"two\n", b"three\n"]
    assert rig.stream("b.log") == [b"one\n", b"two\n"]


def test_archives_that_are_nobodys_generation_are_left_out(rig: Rig, tmp_path: Path) -> None:
    pack(tmp_path / "dataset.gz", b"no log\n")
    pack(tmp_path / "weights.ckpt.gz", b"no log\n")
    (tmp_path / "weights.ckpt").write_bytes(b"no log\n")
    rig.settle()
    assert rig.service.held == {}


@pytest.mark.parametrize("sent", [0, 4, 3000])
def test_a_compressed_file_gives_the_rest_after_a_restart(tmp_path: Path, sent: int) -> None:
    data = noise(5000)
    rig = Rig(tmp_path, Service())
    if sent:
        (tmp_path / "a.log").write_bytes(data[:sent])
    rig.settle()
    assert rig.stream("a.log") == ([data[:sent]] if sent else [])
    (tmp_path / "a.log").unlink(missing_ok=True)
    pack(tmp_path / "a.log.1.gz", data)
    (tmp_path / "a.log").write_bytes(b"next\n")
    rig = again(rig, tmp_path)
    rig.settle()
    assert rig.stream("a.log") == [data, b"next\n"]
    assert rig.paths() == {rig.tailer.families.copy().popitem()[0].path}


def test_compressing_what_is_sent_changes_nothing(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"one\n")
    rig.settle()
    (tmp_path / "a.log").rename(tmp_path / "a.log.1")
    (tmp_path / "a.log").write_bytes(b"two\n")
    rig.step()
    pack(tmp_path / "a.log.1.gz", b"one\n")
    rig.step()
    (tmp_path / "a.log.1").unlink()
    rig.settle()
    for _ in range(100):
        rig.step()  # until the member is forgotten
    (tmp_path / "a.log.1.gz").rename(tmp_path / "a.log.2.gz")
    rig.settle()
    rig = again(rig, tmp_path)
    rig.settle()
    assert rig.stream("a.log") == [b"one\n", b"two\n"] and len(rig.service.held) == 2
    assert rig.service.resent_bytes == 0


def test_a_compressed_file_of_a_forgotten_generation_is_known(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"one\n")
    rig.settle()
    (tmp_path / "a.log").unlink()
    (tmp_path / "a.log").write_bytes(b"two\n")
    for _ in range(100):
        rig.step()
    assert len(next(iter(rig.tailer.families.values())).members) == 1
    pack(tmp_path / "a.log.1.gz", b"one\n")
    rig.settle()
    assert rig.stream("a.log") == [b"one\n", b"two\n"] and len(rig.service.held) == 2


def test_a_torn_file_waits_until_it_is_whole(rig: Rig, tmp_path: Path) -> None:
    data = noise(200_000)
    whole = gzip.compress(data)
    (tmp_path / "a.log").write_bytes(b"now\n")
    (tmp_path / "a.log.1.gz").write_bytes(whole[:100_000])
    rig.settle()
    assert rig.stream("a.log") == [b"now\n"]
    with (tmp_path / "a.log.1.gz").open("ab") as file:
        file.write(whole[100_000:])
    rig.settle()
    assert b"now\n" in rig.stream("a.log")
    assert data in rig.service.held.values()  # under `other` by its whole name: the numbers before 0 are none


def test_a_file_that_is_no_gzip_at_all_harms_nobody(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"now\n")
    (tmp_path / "a.log.1.gz").write_bytes(b"not gzip")
    (tmp_path / "a.log.2.gz").write_bytes(b"")
    rig.settle()
    assert rig.service.held.keys() == {("modelarts-job-J-1/other/worker-0/a.log", 0)}


def test_a_bomb_is_unpacked_piece_by_piece(tmp_path: Path) -> None:
    """300 MB out of 300 kB: never more than a piece of it in memory."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    with (tmp_path / "bomb.gz").open("wb") as file:
        for _ in range(300):
            file.write(packer.compress(bytes(1_000_000)))
        file.write(packer.flush())
    status = (tmp_path / "bomb.gz").stat()
    packed = PackedFile(str(tmp_path / "bomb.gz"), status.st_dev, status.st_ino)
    looks = 0
    while not packed.is_whole:
        assert packed.check(16 << 20) <= 17 << 20
        looks += 1
    assert packed.size() == 300_000_000 and looks > 15
    assert len(packed.read(1 << 30)) <= 1 << 20
    packed.close()


def test_several_members_in_one_gzip_file(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"one\n") + gzip.compress(b"two\n"))
    status = (tmp_path / "a.gz").stat()
    packed = PackedFile(str(tmp_path / "a.gz"), status.st_dev, status.st_ino)
    packed.check(1 << 20)
    assert packed.size() == 8 and packed.read(100) == b"one\ntwo\n"
    packed.close()


# Copies


def test_a_copy_made_before_the_truncation_gives_what_was_not_sent(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"one\n" * 500)
    rig.settle()
    rig.service.away = True
    with (tmp_path / "a.log").open("ab") as log:
        log.write(b"unsent\n")
    rig.step()
    (tmp_path / "a.log.1").write_bytes((tmp_path / "a.log").read_bytes())
    truncate(tmp_path / "a.log", b"two\n")
    rig.step()
    rig.service.away = False
    rig.settle()
    assert rig.stream("a.log") == [b"one\n" * 500 + b"unsent\n", b"two\n"]
    assert rig.tailer.gaps == 0


def test_copied_truncated_and_compressed_between_two_looks(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(BANNER + b"one\n")
    rig.settle()
    pack(tmp_path / "a.log.2.gz", BANNER + b"one\nmore\n")
    pack(tmp_path / "a.log.1.gz", BANNER + b"two\n")  # a generation never seen in its place
    truncate(tmp_path / "a.log", BANNER + b"x\n")
    rig.step(scan=False)
    rig.settle()
    assert rig.stream("a.log") == [BANNER + b"one\nmore\n", BANNER + b"two\n", BANNER + b"x\n"]
    assert rig.tailer.gaps == 0


def test_a_copy_of_what_grew_and_went_while_the_service_was_away(rig: Rig, tmp_path: Path) -> None:
    """Nothing of it was read to be sent; it is known all the same."""
    (tmp_path / "a.log").write_bytes(b"one\n")
    rig.settle()
    rig.service.away = True
    truncate(tmp_path / "a.log")
    rig.step()
    (tmp_path / "a.log").write_bytes(b"two\n")
    rig.step()
    pack(tmp_path / "a.log.1.gz", b"two\nmore\n")
    truncate(tmp_path / "a.log", b"3\n")
    rig.settle()
    rig.service.away = False
    rig.settle()
    assert rig.stream("a.log") == [b"one\n", b"two\nmore\n", b"3\n"] and rig.tailer.gaps == 0


def test_a_copy_longer_than_the_log_when_it_was_last_looked_at(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"one\n")
    rig.settle()
    (tmp_path / "a.log").rename(tmp_path / "a.log.1")
    (tmp_path / "a.log").write_bytes(b"two\n")
    rig.service.away = True
    rig.step()
    old, _ = next(iter(rig.tailer.families.values())).members
    with (tmp_path / "a.log.1").open("ab") as log:
        log.write(b"late\n")
    pack(tmp_path / "a.log.1.gz", b"one\nlate\n")
    copy = Member(PackedFile(str(tmp_path / "a.log.1.gz"), 0, (tmp_path / "a.log.1.gz").stat().st_ino))
    copy.file.device = (tmp_path / "a.log.1.gz").stat().st_dev
    assert isinstance(copy.file, PackedFile) and copy.file.check(1000) == 9
    copy.size = copy.file.size()
    assert old.size == 4 and ends_alike(copy, old)
    copy.file.close()


def test_generations_that_begin_alike_are_not_taken_for_copies(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(BANNER + b"a long first generation\n")
    (tmp_path / "a.log.1").write_bytes(BANNER + b"short\n")
    rig.settle()
    assert rig.stream("a.log") == [BANNER + b"short\n", BANNER + b"a long first generation\n"]
    (tmp_path / "a.log.1").rename(tmp_path / "a.log.2")
    (tmp_path / "a.log").rename(tmp_path / "a.log.1")
    (tmp_path / "a.log").write_bytes(BANNER + b"third\n")
    rig.settle()
    pack(tmp_path / "a.log.2.gz", BANNER + b"short\n")
    (tmp_path / "a.log.2").unlink()
    rig.settle()
    rig = again(rig, tmp_path)
    rig.settle()
    assert [data[len(BANNER) :] for data in rig.stream("a.log")] == [
        b"short\n",
        b"a long first generation\n",
        b"third\n",
    ]
    assert len(rig.service.held) == 3


@pytest.mark.parametrize("checkpoint", [True, False])
def test_rotated_several_times_while_away_with_one_banner_throughout(tmp_path: Path, checkpoint: bool) -> None:
    parts = [BANNER + noise(2000 + 700 * (index % 3), index) for index in range(6)]
    rig = Rig(tmp_path, Service())
    (tmp_path / "a.log.1").write_bytes(parts[0])
    (tmp_path / "a.log").write_bytes(parts[1][:2500])
    rig.settle()
    with (tmp_path / "a.log").open("ab") as log:
        log.write(parts[1][2500:])
    (tmp_path / "a.log.1").unlink()
    (tmp_path / "a.log").rename(tmp_path / "a.log.4")
    pack(tmp_path / "a.log.3.gz", parts[2])
    (tmp_path / "a.log.2").write_bytes(parts[3])
    (tmp_path / "a.log.1").write_bytes(parts[4])
    (tmp_path / "a.log").write_bytes(parts[5])
    remembered = rig.tailer.remembered() if checkpoint else []
    rig.tailer.close()
    rig = Rig(tmp_path, rig.service, remembered)
    rig.settle()
    if checkpoint:
        assert rig.stream("a.log") == parts and len(rig.service.held) == 6
    else:
        assert set(parts) <= {
            bytes(data) for data in rig.service.held.values()
        }  # some of it twice perhaps, but all of it


# Gaps


def test_what_was_truncated_before_it_was_sent_is_named_with_its_size(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"sent\n")
    rig.settle()
    rig.service.away = True
    with (tmp_path / "a.log").open("ab") as log:
        log.write(b"x" * 12_345)
    rig.step()
    truncate(tmp_path / "a.log", b"next\n")
    rig.step()
    rig.service.away = False
    for _ in range(8):
        rig.step()
    assert rig.stream("a.log") == [b"sent\n", b"next\n"] and rig.tailer.gaps == 0  # a copy may still come
    rig.settle()
    assert rig.stream("a.log") == [
        b"sent\n" + lost_line(12_345, TRUNCATED),
        b"next\n",
    ]
    assert (rig.tailer.gaps, rig.tailer.lost_bytes) == (1, 12_345)
    assert {generation for _, generation in rig.service.sealed} == {0}


def test_the_line_stands_at_the_start_of_a_line(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"half a li")
    rig.settle()
    rig.service.away = True
    (tmp_path / "a.log").write_bytes(b"half a line\n")
    rig.step()
    truncate(tmp_path / "a.log")
    rig.settle()
    rig.service.away = False
    rig.settle()
    (lost,) = rig.stream("a.log")
    assert lost.startswith(b"half a li\n" + LOST_MARK.encode()) and b" 3 bytes " in lost


def test_bytes_whose_answer_got_lost_are_not_called_lost(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"one\n")
    rig.service.lose_answers = 1
    rig.step()
    rig.service.away = True
    truncate(tmp_path / "a.log", b"2\n")
    rig.settle()
    rig.service.away = False
    rig.settle()
    assert rig.stream("a.log") == [b"one\n", b"2\n"] and rig.tailer.gaps == 0


def test_what_was_never_sent_at_all_is_a_generation_of_one_line(rig: Rig, tmp_path: Path) -> None:
    rig.service.away = True
    (tmp_path / "a.log").write_bytes(b"never sent\n")
    rig.step()
    truncate(tmp_path / "a.log", b"next\n")
    rig.settle()
    rig.service.away = False
    rig.settle()
    lost, following = rig.stream("a.log")
    assert lost.startswith(LOST_MARK.encode()) and b" 11 bytes " in lost and following == b"next\n"


def test_a_copy_without_the_last_bytes_is_followed_by_the_line(tmp_path: Path) -> None:
    """What a writer adds between the copy and the truncation is in neither; also after restarts."""
    rig = Rig(tmp_path, Service())
    (tmp_path / "a.log").write_bytes(b"one\n")
    rig.settle()
    rig.service.away = True
    (tmp_path / "a.log").write_bytes(b"one\ntwo\n")
    rig.step()
    (tmp_path / "a.log.1").write_bytes(b"one\ntwo\n")
    (tmp_path / "a.log").write_bytes(b"one\ntwo\nthree\n")
    rig.step()
    truncate(tmp_path / "a.log", b"4\n")
    rig.step()
    rig.service.away = False
    rig.settle()
    expected = [b"one\ntwo\n" + lost_line(6, NOT_COPIED), b"4\n"]
    assert rig.stream("a.log") == expected
    for _ in range(3):
        rig = again(rig, tmp_path)
        for _ in range(100):
            rig.step()
        assert rig.stream("a.log") == expected and len(rig.service.held) == 2
    (tmp_path / "a.log.1").rename(tmp_path / "a.log.2")
    (tmp_path / "a.log").rename(tmp_path / "a.log.1")
    (tmp_path / "a.log").touch()
    rig = again(rig, tmp_path)
    rig.settle()
    assert rig.stream("a.log") == expected and len(rig.service.held) == 2


def test_a_deleted_file_that_is_held_is_read_to_its_end(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"one\n")
    rig.settle()
    rig.service.away = True
    with (tmp_path / "a.log").open("ab", buffering=0) as log:
        log.write(b"two\n")
        (tmp_path / "a.log").unlink()
        rig.step()
        log.write(b"three\n")
        rig.step()
    rig.service.away = False
    rig.settle()
    assert rig.stream("a.log") == [b"one\ntwo\nthree\n"] and rig.tailer.gaps == 0


def test_a_deleted_file_that_is_not_held_is_a_gap(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"one\n")
    rig.settle()
    rig.service.away = True
    (tmp_path / "a.log").write_bytes(b"one\ntwo\n")
    rig.step()
    for member in next(iter(rig.tailer.families.values())).members:
        member.file.close()  # as for want of descriptors
    (tmp_path / "a.log").unlink()
    rig.settle()
    rig.service.away = False
    rig.settle()
    assert rig.stream("a.log") == [b"one\n" + lost_line(4, DELETED)]


def test_a_file_deleted_on_another_client_of_nfs_is_a_gap(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its descriptor is stale: nothing of it can be read any more, and the others go on."""
    (tmp_path / "a.log").write_bytes(b"one\n")
    rig.settle()
    rig.service.away = True
    (tmp_path / "a.log").write_bytes(b"one\ntwo\n")
    rig.step()
    (stale,) = next(iter(rig.tailer.families.values())).members
    assert isinstance(stale.file, TailedFile)
    (tmp_path / "a.log").unlink()
    (tmp_path / "b.log").write_bytes(b"other\n")
    pread = os.pread

    def refuse(fd: int, count: int, offset: int) -> bytes:
        if fd == stale_fd:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return pread(fd, count, offset)

    stale_fd = stale.file._fd
    monkeypatch.setattr(os, "pread", refuse)
    rig.service.away = False
    rig.settle()
    monkeypatch.undo()
    assert rig.stream("a.log") == [b"one\n" + lost_line(4, DELETED)]
    assert rig.stream("b.log") == [b"other\n"]


def test_a_folder_that_was_away_is_no_loss(rig: Rig, tmp_path: Path) -> None:
    folder = tmp_path / "mount"
    folder.mkdir()
    (folder / "a.log").write_bytes(b"one\n")
    rig.settle()
    rig.service.away = True
    (folder / "a.log").write_bytes(b"one\ntwo\n")
    rig.step()
    for member in next(iter(rig.tailer.families.values())).members:
        member.file.close()
    folder.rename(tmp_path / ".elsewhere")
    rig.service.away = False
    rig.step()
    (tmp_path / ".elsewhere").rename(folder)
    rig.settle()
    assert rig.stream("mount/a.log") == [b"one\ntwo\n"] and rig.tailer.gaps == 0


@pytest.mark.parametrize("then", [None, b"next\n"])
def test_what_was_lost_while_the_collector_was_away_is_a_gap(tmp_path: Path, then: bytes | None) -> None:
    rig = Rig(tmp_path, Service())
    (tmp_path / "a.log").write_bytes(b"one\n")
    rig.settle()
    rig.service.away = True
    (tmp_path / "a.log").write_bytes(b"one\nunsent\n")
    rig.step()
    remembered = rig.tailer.remembered()
    rig.tailer.close()
    (tmp_path / "a.log").unlink() if then is None else truncate(tmp_path / "a.log", then)
    rig.service.away = False
    rig = Rig(tmp_path, rig.service, remembered)
    rig.settle()
    lost = b"one\n" + lost_line(7, AWAY)
    assert rig.stream("a.log") == [lost] + ([then] if then else [])
    rig = again(rig, tmp_path)
    rig.settle()
    assert rig.stream("a.log") == [lost] + ([then] if then else [])


def test_a_kill_between_the_line_and_its_answer_does_not_repeat_it(tmp_path: Path) -> None:
    rig = Rig(tmp_path, Service())
    (tmp_path / "a.log").write_bytes(b"one\n")
    rig.settle()
    rig.service.away = True
    (tmp_path / "a.log").write_bytes(b"one\n" + b"unsent\n" * 100)
    rig.step()
    truncate(tmp_path / "a.log", b"next\n")
    rig.step()
    rig.service.away = False
    while rig.tailer.gaps == 0:
        rig.service.lose_answers = 1
        rig.step()
    rig.service.lose_answers = 0
    held = rig.stream("a.log")
    assert LOST_MARK.encode() in held[0]
    rig = again(rig, tmp_path)
    rig.settle()
    assert rig.stream("a.log") == held and rig.service.resent_bytes > 0


def test_a_file_under_a_folder_not_watched_now_is_not_called_lost(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        (folder / "a.log").write_bytes(b"one\n")
    rig = Rig(first, Service())
    rig.settle()
    rig.service.away = True
    (first / "a.log").write_bytes(b"one\nunsent\n")
    rig.step()
    remembered = rig.tailer.remembered()
    rig.tailer.close()
    other = Rig(second, Service(), remembered)
    other.settle()
    assert other.stream("a.log") == [b"one\n"] and other.tailer.gaps == 0


def test_rewritten_in_place_to_the_same_size_is_a_new_generation(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"50 %\n")
    rig.settle()
    truncate(tmp_path / "a.log", b"60 %\n")
    os.utime(tmp_path / "a.log", (5, 5))
    rig.settle()
    os.utime(tmp_path / "a.log", (6, 6))
    rig.settle()
    assert rig.stream("a.log") == [b"50 %\n", b"60 %\n"]


def test_cut_shorter_than_seen_but_not_than_sent_names_only_what_is_gone(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"one\n")
    rig.settle()
    rig.service.away = True
    (tmp_path / "a.log").write_bytes(b"one\ntwo\nthree\n")
    rig.step()
    os.truncate(tmp_path / "a.log", 8)
    rig.step()
    rig.service.away = False
    rig.settle()
    lost, fresh = rig.stream("a.log")
    assert lost.startswith(b"one\n") and b" 6 bytes " in lost and fresh == b"one\ntwo\n"
    assert rig.tailer.lost_bytes == 6


# Descriptors and links


def test_descriptors_are_bounded_and_the_least_used_goes_first(tmp_path: Path) -> None:
    descriptors = Descriptors(3)
    files = []
    for index in range(5):
        path = tmp_path / f"{index}.log"
        path.write_bytes(b"%d\n" % index)
        status = path.stat()
        files.append(TailedFile(str(path), status.st_dev, status.st_ino, descriptors))
    for file in files[:3]:
        file.open()
    files[0].read(10)
    files[1].keep(True)  # its name is gone: not counted, not closed
    files[3].open()
    files[4].open()
    assert [file.is_open for file in files] == [True, True, False, True, True]
    assert files[2].read(10) == b"2\n"
    assert [file.is_open for file in files] == [False, True, True, True, True]
    for file in files:
        file.close()


def test_a_link_that_is_swapped_is_the_next_generation(rig: Rig, tmp_path: Path) -> None:
    outside = tmp_path / ".outside"
    outside.mkdir()
    (outside / "1").write_bytes(b"one\n")
    (outside / "2").write_bytes(b"two\n")
    (tmp_path / "a.log").symlink_to(outside / "1")
    rig.settle()
    with (outside / "1").open("ab") as file:
        file.write(b"late\n")
    (tmp_path / ".new").symlink_to(outside / "2")
    (tmp_path / ".new").rename(tmp_path / "a.log")
    rig.settle()
    assert rig.stream("a.log") == [b"one\nlate\n", b"two\n"]


def test_what_a_truncated_file_has_grown_to_is_not_called_lost(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"one\n")
    rig.settle()
    rig.service.away = True
    truncate(tmp_path / "a.log", b"longer than before\n")
    rig.step()
    truncate(tmp_path / "a.log", b"3\n")
    rig.settle()
    rig.service.away = False
    rig.settle()
    first, second, third = rig.stream("a.log")
    assert first == b"one\n" and second.startswith(LOST_MARK.encode()) and b" 19 bytes " in second and third == b"3\n"
    assert rig.tailer.lost_bytes == 19


# At a start


def test_a_copy_found_beside_its_log_at_the_start_is_no_generation(tmp_path: Path) -> None:
    """Between the copy and the truncation; whatever the service holds by then."""
    for sent in (b"", BANNER + b"one\n", BANNER + b"one\ntwo\n"):
        folder = tmp_path / str(len(sent))
        folder.mkdir()
        rig = Rig(folder, Service())
        if sent:
            (folder / "a.log").write_bytes(sent)
            rig.settle()
        rig.tailer.close()
        (folder / "a.log").write_bytes(BANNER + b"one\ntwo\n")
        (folder / "a.log.1").write_bytes(BANNER + b"one\ntwo\n")
        rig = Rig(folder, rig.service)
        rig.settle()
        truncate(folder / "a.log", BANNER + b"three\n")
        rig.settle()
        assert rig.stream("a.log") == [BANNER + b"one\ntwo\n", BANNER + b"three\n"]
        assert len(rig.service.held) == 2
        rig.tailer.close()


def test_files_that_begin_alike_are_told_apart_by_where_the_service_ends(tmp_path: Path) -> None:
    """Truncated and grown past the old place while the collector was away, with no checkpoint to say so."""
    rig = Rig(tmp_path, Service())
    (tmp_path / "a.log").write_bytes(BANNER + b"one\n")
    rig.settle()
    rig.tailer.close()
    (tmp_path / "a.log.1").write_bytes(BANNER + b"one\nmore\n")
    truncate(tmp_path / "a.log", BANNER + b"2nd\nand a long line that goes past that place\n")
    rig = Rig(tmp_path, rig.service)
    rig.step()
    assert rig.stream("a.log") == [BANNER + b"one\nmore\n", (tmp_path / "a.log").read_bytes()]
    assert [member.number for family in rig.tailer.families.values() for member in family.members] == [0, 1]
    (tmp_path / "a.log.1").unlink()
    rig.tailer.close()
    truncate(tmp_path / "a.log", BANNER + b"3rd\nand a longer line that goes past that place as well\n")
    rig = Rig(tmp_path, rig.service)
    rig.settle()
    assert rig.stream("a.log")[2:] == [(tmp_path / "a.log").read_bytes()] and len(rig.service.held) == 3


def test_a_file_replaced_before_it_was_opened_is_an_older_generation(tmp_path: Path) -> None:
    """Listed, copied and replaced before it could be opened: the copy is all that is left of it."""
    rig = Rig(tmp_path, Service())
    log = tmp_path / "a.log"
    log.write_bytes(b"first\n")

    def replace() -> None:
        (tmp_path / "a.log.1").write_bytes(log.read_bytes() + b"more\n")
        (tmp_path / "new").write_bytes(b"second\n")
        (tmp_path / "new").rename(log)
        rig.discovery.meanwhile = lambda: None

    rig.discovery.meanwhile = replace
    rig.settle()
    assert rig.stream("a.log") == [b"first\nmore\n", b"second\n"]
    assert len(rig.service.held) == 2 and rig.tailer.gaps == 0
    rig.tailer.close()


def test_a_log_that_grew_past_its_old_end_while_nothing_could_be_sent_is_another(tmp_path: Path) -> None:
    """Truncated and written again between two looks, with the same banner, and none of it acknowledged."""
    rig = Rig(tmp_path, Service())
    rig.service.away = True
    (tmp_path / "a.log").write_bytes(BANNER + b"first\n")
    rig.step()
    (tmp_path / "a.log.1").write_bytes(BANNER + b"first\n")
    truncate(tmp_path / "a.log", BANNER + b"second, and more of it\n")
    rig.step()
    rig.service.away = False
    rig.settle()
    assert rig.stream("a.log") == [BANNER + b"first\n", BANNER + b"second, and more of it\n"]
    assert rig.tailer.gaps == 0
    rig.tailer.close()


def test_an_incomplete_copy_is_no_generation(tmp_path: Path) -> None:
    """Younger generations get their numbers when the service has said what it is."""
    for copy, stored in ((BANNER + b"one\n", 2), (BANNER + b"no\n", 3)):
        folder = tmp_path / str(stored)
        folder.mkdir()
        rig = Rig(folder, Service())
        (folder / "a.log").write_bytes(BANNER + b"one\ntwo\n")
        rig.settle()
        (folder / "a.log.1").write_bytes(copy)
        truncate(folder / "a.log", BANNER + b"3\n")
        rig.settle()
        generations = [BANNER + b"one\ntwo\n", BANNER + b"3\n"]
        assert rig.stream("a.log") == (generations if stored == 2 else [generations[0], copy, generations[1]])
        rig.tailer.close()


def test_generations_of_a_banner_alone_stay_apart_where_the_collector_saw_them(tmp_path: Path) -> None:
    """Which one goes on after a restart is what the checkpoint says."""
    rig = Rig(tmp_path, Service())
    (tmp_path / "a.log").write_bytes(BANNER)
    rig.settle()
    truncate(tmp_path / "a.log")
    rig.step()
    (tmp_path / "a.log").write_bytes(BANNER)
    rig.settle()
    rig = again(rig, tmp_path)
    with (tmp_path / "a.log").open("ab") as log:
        log.write(b"and a line\n")
    rig.settle()
    assert rig.stream("a.log") == [BANNER, BANNER + b"and a line\n"]
    rig.tailer.close()
