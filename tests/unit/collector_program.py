"""A program whose log is rotated in every way, a collector that is killed anywhere, and what must be stored then."""

from __future__ import annotations

import gzip
import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unit.collector_rig import OTHER, Killed, Rig, Service

ROTATIONS = ("renamed", "copied", "replaced")
BANNERS = (0, 0, 30, 1023, 1500, 6000)  # bytes with which each generation begins
DEEDS = {
    "write": 30,
    "rotate": 16,
    "compress": 8,
    "delete": 3,
    "outage": 6,
    "lose_answers": 4,
    "kill": 6,
    "kill_inside": 6,
    "forget": 1,
    "look": 40,
}
SINGLE_LOOKS = (0.1, 1.0, 3.0)


class Program:
    """
    Deeds by chance, the same for a seed: no inode is used twice, and no two states of a file have the same time.

    Attributes:
        journal: the bytes of each generation, oldest first.
        struck: how often each kind of fault did.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.chance = chance = random.Random(seed)
        self.folder, self.log = folder, folder / "a.log"
        self.service = Service()
        self.rotation = chance.choice(ROTATIONS)
        self.creates = self.rotation != "renamed" or chance.random() < 0.5
        self.packs = chance.random() < 0.6
        self.banner = (b"a banner, the same each time\n" * 300)[: chance.choice(BANNERS)]
        self.journal: list[bytes] = []
        self.names: dict[Path, int] = {}  # of rotated files: which generation each is
        self.struck: Counter[str] = Counter()
        self._lines = 0
        self._in_the_middle = False  # of a rotation or compression
        self.hurried = chance.random() < 0.5  # things happen while the collector works
        self._kept: dict[int, int] = {}  # descriptors, by inode
        self._now = 0
        self._start([])

    def _start(self, checkpoint: list[dict[str, Any]]) -> None:
        self._rig = Rig(self.folder, self.service, checkpoint)
        if self.hurried:
            self.service.meanwhile = self._rig.discovery.meanwhile = self._meanwhile

    def _meanwhile(self) -> None:
        if self.chance.random() < 0.1 and not self._in_the_middle:
            self.struck["hurried"] += 1
            self._in_the_middle = True
            self._do(self.chance.choice(["write", "rotate", "compress"]))
            self._in_the_middle = False

    def play(self) -> None:
        """All deeds, then a time of peace."""
        names, weights = zip(*DEEDS.items(), strict=True)
        for _ in range(self.chance.randint(5, 60)):
            self._do(self.chance.choices(names, weights)[0])
        self._come_to_rest()
        self.close()

    def close(self) -> None:
        """Let go of all descriptors."""
        self._rig.tailer.close()
        while self._kept:
            os.close(self._kept.popitem()[1])

    def _come_to_rest(self) -> None:
        self.service.calm()
        self._rig.discovery.meanwhile = self.service.meanwhile
        self._write()
        self._rig.settle()

    def faults(self) -> Iterator[str]:
        """What is not as it must be."""
        stored = self._rig.stream("a.log")
        if stored != self.journal:
            yield f"{_shape(self.journal, stored)}"
        if self._rig.paths() != {f"{OTHER}/a.log"}:
            yield f"stored under {sorted(self._rig.paths())}"
        if self._rig.tailer.gaps:
            yield f"{self._rig.tailer.lost_bytes} bytes called lost"

    def _do(self, deed: str) -> None:
        getattr(self, f"_{deed}")()
        for file in self.folder.iterdir():
            inode = file.stat().st_ino
            if inode not in self._kept:
                self._kept[inode] = os.open(file, os.O_RDONLY)

    def _changed(self) -> None:
        self._now += 1
        os.utime(self.log, (self._now, self._now))

    def _write(self) -> None:
        data = b"".join(b"line %09d\n" % (self._lines + index) for index in range(self.chance.choice([1, 3, 50, 300])))
        self._lines += data.count(b"\n")
        if not self.log.exists() or self.log.stat().st_size == 0:
            self.journal.append(b"")
            data = self.banner + data
        with self.log.open("ab") as file:
            file.write(data)
        self.journal[-1] += data
        self._changed()

    def _rotate(self) -> None:
        if not self.log.exists() or self.log.stat().st_size == 0:
            return
        self.struck["rotations"] += 1
        for path in sorted(self.names, key=lambda path: -int(path.name.split(".")[2])):
            parts = path.name.split(".")
            parts[2] = str(int(parts[2]) + 1)
            self.names[path.rename(self.folder / ".".join(parts))] = self.names.pop(path)
        first = self.folder / "a.log.1"
        self.names[first] = len(self.journal) - 1
        if self.rotation == "renamed":
            self.log.rename(first)
            if self.creates or not self.service.held:  # the first name decides what a rotated file is
                self.log.touch()
            return
        first.write_bytes(self.log.read_bytes())
        self._maybe_look()
        if self.rotation == "copied":
            os.truncate(self.log, 0)
            self._changed()
        else:
            (self.folder / ".new").touch()
            (self.folder / ".new").rename(self.log)

    def _compress(self) -> None:
        """Some of the rotated logs; the collector may look while both files are there."""
        for path in sorted(self.names) if self.packs else ():
            if path.suffix != ".gz" and self.chance.random() < 0.7:
                packed = path.with_name(path.name + ".gz")
                packed.write_bytes(gzip.compress(path.read_bytes(), 1))
                self._maybe_look()
                path.unlink()
                self.names[packed] = self.names.pop(path)

    def _delete(self) -> None:
        """The oldest, where all of it is stored: nothing else could be had of it."""
        for path, number in sorted(self.names.items(), key=lambda item: item[1])[:1]:
            if self.service.holds(f"{OTHER}/a.log", self.journal[number]):
                path.unlink()
                del self.names[path]

    def _outage(self) -> None:
        self.service.away = not self.service.away

    def _lose_answers(self) -> None:
        self.service.lose_answers = self.chance.randint(1, 2)

    def _kill(self) -> None:
        """Then more happens before the next start."""
        self.struck["kills"] += 1
        self._rig.tailer.close()
        if not self._in_the_middle:
            self._in_the_middle = True  # nobody looks meanwhile
            for _ in range(self.chance.choice([0, 0, 1, 3, 8])):
                self._do(self.chance.choice(["write", "write", "rotate", "compress", "delete"]))
            self._in_the_middle = False
        self._start(self._rig.checkpoint)
        self.service.kill_in = None

    def _kill_inside(self) -> None:
        """At one of the next calls, before or after it is taken."""
        self.service.kill_in = self.chance.randint(0, 4)

    def _forget(self) -> None:
        """The checkpoint is spoilt."""
        self._rig.checkpoint = []
        self._do("kill")

    def _look(self) -> None:
        try:
            self._rig.step(self.chance.choice(SINGLE_LOOKS), scan=self.chance.random() < 0.4)
        except Killed:
            self.struck["kills inside a step"] += 1
            self._kill()

    def _maybe_look(self) -> None:
        if self.chance.random() < 0.2 and not self._in_the_middle:
            self._in_the_middle = True
            self._do("look")
            self._in_the_middle = False


def _shape(journal: list[bytes], stored: list[bytes]) -> str:
    """Which generation of the journal each stored one is, or begins as."""
    seen = []
    for data in stored:
        same = [str(number) for number, one in enumerate(journal) if one == data]
        part = [f"{len(data)} of {number}" for number, one in enumerate(journal) if one.startswith(data)]
        seen.append((same or part or ["?"])[0])
    whole = "the bytes are right" if b"".join(stored) == b"".join(journal) else "the bytes are wrong"
    return f"{whole}: of {len(journal)} generations are stored {', '.join(seen)}"
