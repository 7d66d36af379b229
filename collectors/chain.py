"""A stream's bytes in a chain of files: written at the end, given back at the start, cut in between.

The folder of a chain holds, on any file system:

    000000000003@1048576         the first segment; behind @ the place in the stream of its first byte
    000000000004                 the segments that follow it
    000000000005-000000000009    what stands in the place of segments 5 to 9: a line that says what is lost
    head                         the first bytes of the stream, once segment 0 is given back
    spare                        made beforehand for the next such line: the disk may be full by then
    lock                         held by the one who writes the chain, or ships what is left of it

Each change is one rename or one removal, so that a kill at any place leaves a chain that is right.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from logsvc.model.chunk import HEAD_BYTES

HEAD, SPARE, LOCK = "head", "spare", "lock"
SPARE_BYTES = 4096

_SEGMENT = re.compile(r"([0-9]{12})(?:-([0-9]{12}))?(?:@([0-9]+))?")


class ChainInUse(Exception):
    """Somebody else writes this chain, or ships it."""


@dataclass
class Segment:
    """
    One file of a chain.

    Attributes:
        first, last: its number; a range where it stands in the place of several.
        offset: the place of its first byte, where its name says so.
        size: bytes.
        lost_bytes: what the line in it says is lost; 0 where it holds output.
    """

    first: int
    last: int
    offset: Optional[int]
    size: int = 0
    lost_bytes: int = 0

    @property
    def name(self) -> str:
        """Its file."""
        numbers = f"{self.first:012d}" + (f"-{self.last:012d}" if self.lost_bytes or self.last > self.first else "")
        return numbers if self.offset is None else f"{numbers}@{self.offset}"


class Chain:
    """
    The segments of one stream, oldest first.

    One thread writes (`append`, `cut`), another reads and gives back; both hold `changed` while
    they call, but for `fetch`.

    Attributes:
        segments: oldest first; the last one is written to.
        base: place in the stream of the oldest byte here.
        end: place in the stream behind the newest.
        handed: bytes before this place were given to the sender, and are never cut.
    """

    def __init__(self, folder: Path, segment_bytes: int = 1 << 20) -> None:
        """
        A new chain where the folder is empty, else what is left of one.

        Raises:
            ChainInUse: somebody else writes it.
            OSError: it cannot be read or made.
        """
        self.folder = folder
        self.segment_bytes = segment_bytes
        self.changed = threading.Condition()
        self._lock = self._take_lock()
        self._fd = -1
        self._head = b""
        try:
            self.segments = self._load()
            if not self.segments:
                self._begin(Segment(0, 0, 0))
        except OSError:
            self.release()
            raise
        self.base = self.segments[0].offset or 0
        self.end = self.base + sum(segment.size for segment in self.segments)
        self.handed = self.base
        self._make_spare()

    @property
    def size_bytes(self) -> int:
        """Bytes on disk."""
        return self.end - self.base

    def append(self, data: bytes | memoryview) -> int:
        """
        Write at the end; a full segment is left at the next line end.

        Returns:
            Bytes written; where the disk refuses fewer than given, and then whole lines.

        Raises:
            OSError: nothing was written.
        """
        written = 0
        if self.segments[-1].size >= self.segment_bytes:
            cut = bytes(data).find(b"\n") + 1
            if cut:
                written = self._write(data[:cut])
                if written < cut:
                    return written
            if cut or self.ends_a_line() or self.segments[-1].size >= 2 * self.segment_bytes:
                try:
                    self._begin(Segment(self.segments[-1].last + 1, self.segments[-1].last + 1, None))
                except OSError:
                    if not written:
                        raise
                    return written
        try:
            return written + self._write(data[written:])
        except OSError:
            if not written:
                raise
            return written

    def ends_a_line(self, index: int = -1) -> bool:
        """Whether a segment's last byte is a line end; true for an empty stream."""
        index = index % len(self.segments)
        while index >= 0 and not self.segments[index].size:
            index -= 1
        if index < 0:
            return True
        with (self.folder / self.segments[index].name).open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"

    def cut(self, first: int, last: int, line: bytes, lost_bytes: int) -> None:
        """
        A line in the place of the segments with these indices; none of them is the last one.

        Raises:
            OSError: there is no room for the line; nothing has changed.
        """
        victims = self.segments[first : last + 1]
        gap = Segment(victims[0].first, victims[-1].last, victims[0].offset, len(line), lost_bytes)
        self._place_spare(gap.name, line)
        for victim in victims:
            with suppress(OSError):  # the line stands for it from now on, whether it is there or not
                os.unlink(self.folder / victim.name)
        self.segments[first : last + 1] = [gap]
        self.end += gap.size - sum(victim.size for victim in victims)
        self._make_spare()

    def add_spare(self, line: bytes) -> None:
        """
        A line at the very end, even where the disk is full.

        Raises:
            OSError: it could not be written.
        """
        number = self.segments[-1].last + 1
        self._place_spare(f"{number:012d}", line)
        self.segments.append(Segment(number, number, None, len(line)))
        self.end += len(line)

    def give_back(self, before: int) -> None:
        """
        Delete the segments that end before this place, but the one that is written to.

        Raises:
            OSError: not all could be deleted; they are tried again.
        """
        while len(self.segments) > 1 and self.base + self.segments[0].size <= before:
            old, following = self.segments[0], self.segments[1]
            base = self.base + old.size
            renamed = Segment(following.first, following.last, base, following.size, following.lost_bytes)
            os.rename(self.folder / following.name, self.folder / renamed.name)
            self.segments[1] = renamed
            if old.first == 0:
                self._head = self.head()
                os.rename(self.folder / old.name, self.folder / HEAD)
                os.truncate(self.folder / HEAD, len(self._head))
            else:
                os.unlink(self.folder / old.name)
            del self.segments[0]
            self.base = base

    def prepend(self, line: bytes, offset: int) -> None:
        """
        The stream goes on at `offset`, before all that is here: the line, then what is here.

        Raises:
            OSError: there is no room for the line; nothing has changed.
        """
        number = self.segments[0].first - 1
        first = Segment(number, number, offset, len(line))
        self._place_spare(first.name, line)
        self.segments.insert(0, first)
        moved = offset + len(line) - self.base
        self.base, self.end, self.handed = offset, self.end + moved, self.handed + moved
        self._make_spare()

    def plan(self, start: int, limit: int) -> list[tuple[Path, int, int]]:
        """Where so many bytes from `start` on lie: file, place in it, count."""
        pieces = []
        at = self.base
        for segment in self.segments:
            inside = max(0, start - at)
            count = min(segment.size - inside, limit)
            if count > 0:
                pieces.append((self.folder / segment.name, inside, count))
                start, limit = start + count, limit - count
            at += segment.size
        return pieces

    @staticmethod
    def fetch(pieces: list[tuple[Path, int, int]]) -> bytes:
        """The bytes of a plan; fewer where a file is shorter than it was."""
        parts = []
        for path, inside, count in pieces:
            with path.open("rb", buffering=0) as file:
                parts.append(os.pread(file.fileno(), count, inside))
            if len(parts[-1]) < count:
                break
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def head(self) -> bytes:
        """The first bytes of the stream, 1,024 at most."""
        return self._head or self.fetch(self.plan(self.base, HEAD_BYTES))

    def close(self) -> None:
        """No more is written; may be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def release(self) -> None:
        """Let go of all, the lock too: what is here can be shipped by another; may be called twice."""
        self.close()
        if self._lock >= 0:
            os.close(self._lock)
        self._lock = -1

    def remove(self) -> None:
        """Nothing stays on disk, and the head in memory; may be called twice."""
        with suppress(OSError):  # somebody has deleted the folder
            self._head = self.head()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.release()

    def _take_lock(self) -> int:
        """Hold the lock; a new one has its name only when it is held."""
        name, fresh = self.folder / LOCK, self.folder / (LOCK + ".new")
        made = not name.exists()
        fd = os.open(fresh if made else name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise ChainInUse(self.folder) from None
        except OSError:
            pass  # a file system without locks
        if made:
            os.rename(fresh, name)
        return fd

    def _load(self) -> list[Segment]:
        """What the folder holds; files that another one stands for are removed."""
        found = []
        for name in os.listdir(self.folder):
            match = _SEGMENT.fullmatch(name)
            if match:
                offset = int(match[3]) if match[3] else None
                lost = 1 if match[2] else 0
                size = os.stat(self.folder / name).st_size
                found.append(Segment(int(match[1]), int(match[2] or match[1]), offset, size, lost))
            elif name == HEAD:
                with (self.folder / name).open("rb") as file:
                    self._head = file.read(HEAD_BYTES)
        found.sort(key=lambda segment: (segment.first, -segment.last, -segment.lost_bytes))
        segments: list[Segment] = []
        for segment in found:
            if segments and segment.first <= segments[-1].last:
                os.unlink(self.folder / segment.name)
            else:
                segments.append(segment)
        return segments

    def _begin(self, segment: Segment) -> None:
        fd = os.open(
            self.folder / segment.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = fd
        self.segments.append(segment)

    def _write(self, data: bytes | memoryview) -> int:
        view = memoryview(data)
        written = 0
        try:
            while written < len(view):
                written += os.write(self._fd, view[written:])
        except OSError:
            written = bytes(view[:written]).rfind(b"\n") + 1  # no half line stays
            os.ftruncate(self._fd, self.segments[-1].size + written)
            if not written:
                raise
        finally:
            self.segments[-1].size += written
            self.end += written
        return written

    def _make_spare(self) -> None:
        spare = self.folder / SPARE
        try:
            if not spare.exists():
                spare.write_bytes(bytes(SPARE_BYTES))
        except OSError:
            spare.unlink(missing_ok=True)  # made when there is room

    def _place_spare(self, name: str, line: bytes) -> None:
        """The spare file, with this line in it, under another name."""
        spare = self.folder / SPARE
        self._make_spare()
        fd = os.open(spare, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(fd, max(len(line), os.fstat(fd).st_size))
            if os.pwrite(fd, line, 0) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.ftruncate(fd, len(line))
        finally:
            os.close(fd)
        os.rename(spare, self.folder / name)


def left_bytes(folder: Path) -> Optional[int]:
    """Bytes on disk of a chain that nobody holds; None where somebody does, or it cannot be seen."""
    try:
        lock = os.open(folder / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return sum(os.stat(folder / name).st_size for name in os.listdir(folder) if _SEGMENT.fullmatch(name))
    except OSError:
        return None
    finally:
        os.close(lock)
