r"""What a disk holds after a power cut, from a trace of the system calls that wrote to it.

`strace` tells every write, every sync and every answer that was sent. Replayed up to any moment,
they give what was synced by then; of what was not, a power cut keeps any part, in any order: whole
writes, the first sectors of one, none. Names of new files count as unsynced until their folder
is. What was answered by that moment is known from the same trace.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

TRACE = (
    "strace -f -DD --seccomp-bpf -y -xx -s 16777216 -e signal=none -e trace="
    "openat,write,pwrite64,writev,pwritev,sendto,sendmsg,fsync,fdatasync,"
    "ftruncate,truncate,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat"
)
SECTOR_BYTES = 512

_CALL = re.compile(r"^(\d+)\s+(?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)$")
_DONE = re.compile(r"\)\s+= (-?\d+)[^)]*$")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_FILE = re.compile(r"^\d+<((?:\\x[0-9a-f]{2})*)(\(deleted\))?>")
_ANSWER = re.compile(rb'"stream":"([^"]+)","next_offset":(\d+)')


@dataclass(frozen=True)
class Call:
    """A system call that returned; `began` is its place in the order in which calls began."""

    name: str
    arguments: str
    result: int
    began: int

    @property
    def texts(self) -> list[bytes]:
        """Its string arguments."""
        return [_bytes(text) for text in _TEXT.findall(self.arguments)]

    @property
    def file(self) -> str | None:
        """The path behind its first argument, a descriptor."""
        found = _FILE.match(self.arguments)
        return _bytes(found[1]).decode() if found and not found[2] else None


def calls_of(trace: Path) -> Iterator[Call]:
    """All calls, in the order in which they returned."""
    unfinished: dict[str, tuple[str, int]] = {}
    with trace.open() as lines:
        for number, line in enumerate(lines):
            found = _CALL.match(line.rstrip("\n"))
            if not found:
                continue
            thread, resumed, name, rest = found.groups()
            if rest.endswith("<unfinished ...>"):
                unfinished[thread] = rest.removesuffix("<unfinished ...>"), number
                continue
            before, began = unfinished.pop(thread, ("", number)) if resumed else ("", number)
            done = _DONE.search(rest)
            if done:
                yield Call(resumed or name, before + rest[: done.start()], int(done[1]), began)


@dataclass
class _File:
    synced: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, int, bytes | int]] = field(default_factory=list)  # (began, offset, data or new size)
    size: int = 0

    def write(self, began: int, offset: int, data: bytes) -> None:
        self.pending.append((began, offset, data))
        self.size = max(self.size, offset + len(data))

    def truncate(self, began: int, size: int) -> None:
        self.pending.append((began, size, size))
        self.size = size

    def sync(self, began: int) -> None:
        """What was written before the sync began is on the disk."""
        for change in self.pending:
            if change[0] < began:
                _apply(self.synced, change)
        self.pending = [change for change in self.pending if change[0] >= began]


class TracedDisk:
    """A folder as the disk has it and as the processes see it, call after call."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)
        self.answered: dict[str, int] = {}  # stream id -> acknowledged offset
        self._seen: dict[str, _File] = {}  # names as processes see them
        self._held: dict[str, _File] = {}  # names that are on the disk
        self._positions: dict[str, int] = {}

    def take(self, call: Call) -> bool:
        """Do what a call did; True where it sent an acknowledgement."""
        if call.result < 0:
            return False
        path = call.file
        if call.name in ("write", "writev", "sendto", "sendmsg") and not self._ours(path):
            return self._note_answer(b"".join(call.texts))
        if call.name == "openat":
            self._open(call)
        elif call.name in ("fsync", "fdatasync"):
            if path in self._seen:
                self._seen[path].sync(call.began)
            elif self._ours(path):
                self._sync_folder(path or "")
        elif call.name in ("rename", "renameat", "renameat2"):
            old, new = (self._absolute(text) for text in call.texts[:2])
            if old in self._seen:
                self._seen[new] = self._seen.pop(old)
        elif call.name in ("unlink", "unlinkat"):
            self._seen.pop(self._absolute(call.texts[0]), None)
        elif path in self._seen:
            self._change(self._seen[path], call)
        return False

    def image(self, target: Path, chance: random.Random | None) -> None:
        """Write what a power cut now leaves; without `chance`, nothing that was not synced."""
        names = dict(self._held)
        if chance:
            names |= {path: file for path, file in self._seen.items() if path not in names and chance.random() < 0.5}
        for path, file in names.items():
            if path.endswith("-shm"):  # an index in memory that SQLite makes anew
                continue
            content = bytearray(file.synced)
            for began, offset, change in file.pending if chance else ():
                kept = chance.random()  # type: ignore[union-attr]
                if kept < 0.2 and isinstance(change, bytes):
                    sectors = len(change) // SECTOR_BYTES
                    change = change[: SECTOR_BYTES * chance.randint(0, sectors)]  # type: ignore[union-attr]
                if kept < 0.6:
                    _apply(content, (began, offset, change))
            copy = target / PurePosixPath(path).relative_to(self.folder)
            copy.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            copy.write_bytes(content)

    @property
    def unsynced_bytes(self) -> int:
        """How much a power cut may take."""
        return sum(
            len(change) for file in self._seen.values() for _, _, change in file.pending if isinstance(change, bytes)
        )

    def _ours(self, path: str | None) -> bool:
        return path is not None and (path == self.folder or path.startswith(self.folder + "/"))

    def _absolute(self, text: bytes) -> str:
        path = text.decode()
        assert path.startswith("/"), path  # the service was given an absolute folder
        return path

    def _note_answer(self, data: bytes) -> bool:
        found = _ANSWER.search(data)
        if found:
            stream = found[1].decode()
            self.answered[stream] = max(self.answered.get(stream, 0), int(found[2]))
        return found is not None

    def _open(self, call: Call) -> None:
        path = self._absolute(call.texts[0]) if call.texts and call.texts[0].startswith(b"/") else ""
        if not self._ours(path) or "O_DIRECTORY" in call.arguments:
            return
        if "O_CREAT" in call.arguments and path not in self._seen:
            self._seen[path] = _File()
        if "O_TRUNC" in call.arguments and path in self._seen:
            self._seen[path].truncate(call.began, 0)
        self._positions[path] = 0

    def _sync_folder(self, folder: str) -> None:
        def inside(path: str) -> bool:
            return str(PurePosixPath(path).parent) == folder

        self._held = {path: file for path, file in self._held.items() if not inside(path)}
        self._held |= {path: file for path, file in self._seen.items() if inside(path)}

    def _change(self, file: _File, call: Call) -> None:
        if call.name in ("ftruncate", "truncate"):
            file.truncate(call.began, int(call.arguments.rpartition(",")[2]))
            return
        data = b"".join(call.texts)[: call.result]
        if call.name in ("pwrite64", "pwritev"):
            file.write(call.began, int(call.arguments.rpartition(",")[2]), data)
        else:  # only small files are written so, once, from their start
            path = call.file or ""
            file.write(call.began, self._positions.get(path, 0), data)
            self._positions[path] = self._positions.get(path, 0) + len(data)


def _apply(content: bytearray, change: tuple[int, int, bytes | int]) -> None:
    _, offset, data = change
    if isinstance(data, int):
        del content[data:]
        content.extend(bytes(data - len(content)))
        return
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


def _bytes(escaped: str) -> bytes:
    return bytes.fromhex(escaped.replace("\\x", ""))
