"""Rotations, compressions, outages, lost answers and restarts in any order: every byte once, in its order."""

from __future__ import annotations

import gzip
import os
import random
from pathlib import Path

import pytest

from unit.collector_rig import OTHER, Rig, Service

CASES = 25  # of each kind


class Program:
    """Writes numbered lines to a log that is rotated as logrotate would."""

    def __init__(self, folder: Path, chance: random.Random, *, copies: bool) -> None:
        self.folder, self.chance, self.copies = folder, chance, copies
        self.log = folder / "a.log"
        self.log.touch()
        self.journal = b""
        self._lines = 0

    def write(self) -> None:
        count = self.chance.choice([1, 3, 50, 300])
        data = b"".join(b"line %09d\n" % (self._lines + index) for index in range(count))
        self._lines += count
        with self.log.open("ab") as file:
            file.write(data)
        self.journal += data

    def rotate(self) -> None:
        if self.log.stat().st_size == 0:
            return
        olds = [path for path in self.folder.iterdir() if path != self.log]
        for path in sorted(olds, key=lambda path: -int(path.name.split(".")[2])):
            parts = path.name.split(".")
            parts[2] = str(int(parts[2]) + 1)
            path.rename(self.folder / ".".join(parts))
        if self.copies:
            (self.folder / "a.log.1").write_bytes(self.log.read_bytes())
            os.truncate(self.log, 0)
        else:
            self.log.rename(self.folder / "a.log.1")
            self.log.touch()

    def compress(self, rig: Rig) -> None:
        """Some of the rotated logs; the collector may look while both files are there."""
        for path in sorted(self.folder.iterdir()):
            if path == self.log or path.suffix == ".gz" or self.chance.random() < 0.3:
                continue
            path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes(), 1))
            if self.chance.random() < 0.2:
                rig.step(self.chance.random(), scan=self.chance.random() < 0.5)
            path.unlink()


@pytest.mark.parametrize("copies", [False, True], ids=["renamed", "copied"])
@pytest.mark.parametrize("killed", [False, True], ids=["lives", "is_killed"])
def test_every_byte_arrives_once_and_in_order(tmp_path: Path, copies: bool, killed: bool) -> None:
    rotated = kills = 0
    for seed in range(CASES):
        folder = tmp_path / str(seed)
        folder.mkdir()
        chance = random.Random(seed)
        service = Service()
        program = Program(folder, chance, copies=copies)
        rig = Rig(folder, service)
        for _ in range(chance.randint(5, 60)):
            what = chance.random()
            if what < 0.35:
                program.write()
            elif what < 0.55:
                program.rotate()
            elif what < 0.65:
                program.compress(rig)
            elif what < 0.72:
                service.away = not service.away
            elif what < 0.75:
                service.lose_answers = chance.randint(1, 2)
            elif what < 0.78 and killed:
                remembered = rig.tailer.remembered()
                rig.tailer.close()
                rig = Rig(folder, service, remembered)
                kills += 1
            else:
                rig.step(chance.choice([0.1, 1.0]), scan=chance.random() < 0.4)
        service.away, service.lose_answers = False, 0
        rig.settle()
        stored = b"".join(rig.stream("a.log"))
        assert stored == program.journal, f"seed {seed}"
        assert rig.paths() <= {f"{OTHER}/a.log"} and rig.tailer.gaps == 0, f"seed {seed}"
        rotated += len(list(folder.iterdir())) - 1
        rig.tailer.close()
    assert rotated > CASES and (kills > 0) == killed
