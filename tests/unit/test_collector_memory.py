"""What a checkpoint remembers from one start of the collector to the next."""

from __future__ import annotations

from pathlib import Path

from unit.collector_rig import Rig, Service

BANNER = b"a banner, the same each time\n" * 100


def test_a_start_while_the_service_is_away_forgets_nothing(tmp_path: Path) -> None:
    """Files that begin alike are told apart by the checkpoint, also by the one that was kept meanwhile."""
    rig = Rig(tmp_path, Service())
    (tmp_path / "a.log").write_bytes(BANNER + b"first\n")
    rig.settle()
    kept = rig.tailer.remembered()
    rig.tailer.close()
    (tmp_path / "a.log").rename(tmp_path / "a.log.1")
    (tmp_path / "a.log").write_bytes(BANNER + b"second\n")
    rig.service.away = True
    for _ in range(2):
        rig = Rig(tmp_path, rig.service, kept)
        rig.step()
        assert rig.tailer.remembered() == kept
        rig.tailer.close()
    rig.service.away = False
    rig = Rig(tmp_path, rig.service, kept)
    rig.settle()
    assert rig.stream("a.log") == [BANNER + b"first\n", BANNER + b"second\n"]
    assert len(rig.service.held) == 2


def test_a_rotated_file_without_a_successor_is_known(tmp_path: Path) -> None:
    """`a.log.1` alone might be a file of its own; not where the checkpoint has seen `a.log`."""
    rig = Rig(tmp_path, Service())
    (tmp_path / "a.log").write_bytes(b"first\n")
    rig.settle()
    for number in (1, 2):
        kept = rig.tailer.remembered()
        rig.tailer.close()
        with (tmp_path / "a.log").open("ab") as log:
            log.write(b"more\n")
        for elder in range(number - 1, 0, -1):
            (tmp_path / f"a.log.{elder}").rename(tmp_path / f"a.log.{elder + 1}")
        (tmp_path / "a.log").rename(tmp_path / "a.log.1")
        rig = Rig(tmp_path, rig.service, kept)
        rig.settle()
        (tmp_path / "a.log").write_bytes(b"another\n")
        rig.settle()
    assert rig.stream("a.log") == [b"first\nmore\n", b"another\nmore\n", b"another\n"]
    assert len(rig.service.held) == 3


def test_a_rotated_file_without_a_successor_is_known_to_the_service(tmp_path: Path) -> None:
    """Killed in its first step, with no checkpoint; what only looks like a rotated file is one of its own."""
    rig = Rig(tmp_path, Service())
    (tmp_path / "a.log").write_bytes(b"first\n")
    rig.step()
    rig.tailer.close()
    (tmp_path / "a.log").rename(tmp_path / "a.log.1")
    (tmp_path / "b.log.166").write_bytes(b"a process\n")
    rig.service.away = True
    rig = Rig(tmp_path, rig.service)
    rig.step()
    assert list(rig.tailer.families) == list(rig.tailer.unsure)
    rig.service.away = False
    rig.settle()
    with (tmp_path / "a.log.1").open("ab") as log:
        log.write(b"more\n")
    rig.step()
    (tmp_path / "a.log").write_bytes(b"second\n")
    rig.settle()
    assert rig.stream("a.log") == [b"first\nmore\n", b"second\n"]
    assert rig.stream("b.log.166") == [b"a process\n"] and len(rig.service.held) == 3
    rig.tailer.close()
