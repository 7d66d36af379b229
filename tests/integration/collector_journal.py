"""A seeded writer of log files that remembers every byte, and the comparison with what is stored."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

Name = tuple[str, int]  # path of a stream, generation


class Journal:
    """
    Writes log files below a folder.

    Attributes:
        written: bytes of each stream and generation, for a collector that is started with `--job job`.
    """

    def __init__(self, folder: Path, job: str, seed: int, names: Sequence[str]) -> None:
        folder.mkdir(exist_ok=True)
        self.written: dict[Name, bytearray] = {}
        self._folder, self._job = folder, job
        self._chance = random.Random(seed)
        self._generation = dict.fromkeys(names, 0)
        self._lines = dict.fromkeys(names, 0)

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return sum(map(len, self.written.values()))

    def write(self, lines: int = 20, widest: int = 300) -> None:
        """Lines of all lengths and bytes to each file, in pieces that end anywhere."""
        for name in self._generation:
            self.write_bytes(name, b"".join(self._line(name, widest) for _ in range(self._chance.randint(1, lines))))

    def write_bytes(self, name: str, data: bytes) -> None:
        """These bytes to one file, in a few pieces."""
        cuts = sorted(self._chance.randint(0, len(data)) for _ in range(2))
        for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
            with (self._folder / name).open("ab") as file:
                file.write(data[start:end])
        stream = f"modelarts-job-{self._job}/other/worker-0/{name}", self._generation[name]
        self.written.setdefault(stream, bytearray()).extend(data)

    def rotate(self, name: str) -> None:
        """`name` becomes `name.1`, that `name.2`, and so on; nothing is deleted."""
        for number in range(self._generation[name], 0, -1):
            (self._folder / f"{name}.{number}").rename(self._folder / f"{name}.{number + 1}")
        (self._folder / name).rename(self._folder / f"{name}.1")
        self._generation[name] += 1

    def _line(self, name: str, widest: int) -> bytes:
        self._lines[name] += 1
        chance = self._chance
        middle = chance.randbytes(chance.randint(0, widest)).replace(b"\n", b"\0")
        return b"%s %d %s%s" % (name.encode(), self._lines[name], middle, chance.choice((b"\n", b"\n", b"\r\n")))


def differences(written: Mapping[Name, bytes], stored: Mapping[Name, bytes]) -> list[str]:
    """What is wrong with the stored bytes, in words; nothing where they are those written, once and in order."""
    found = [f"{name}: never written" for name in stored if name not in written]
    for name, expected in written.items():
        held = stored.get(name, b"")
        if hashlib.sha256(held).digest() != hashlib.sha256(expected).digest():
            found.append(f"{name}: {len(held)} bytes of {len(expected)}")
        found += (f"{name}: {problem}" for problem in _lines_wrong(bytes(expected).split(b"\n"), held.split(b"\n")))
    return found


def _lines_wrong(expected: list[bytes], held: list[bytes]) -> list[str]:
    """Lines of a journal are numbered, so each occurs once."""
    places = {line: place for place, line in enumerate(expected)}
    problems: list[str] = []
    seen: set[bytes] = set()
    last = -1
    for line in held:
        place = places.get(line)
        if place is None:
            problems.append(f"a line that nobody wrote: {line[:60]!r}")
        elif line in seen:
            problems.append(f"line {place + 1} twice")
        elif place < last:
            problems.append(f"line {place + 1} after line {last + 1}")
        else:
            last = place
        seen.add(line)
    problems += (f"line {place + 1} lost" for line, place in places.items() if line not in seen)
    return problems
