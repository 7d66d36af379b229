"""The new bytes of one growing file, and the certainty that they follow those already sent.

A file is known by device, inode and its first <= 1,024 bytes. Each read also compares the bytes
just before the new ones: a file that was truncated and has grown past the old place, or that got
a reused inode, does not pass for the old one.
"""

from __future__ import annotations

import errno
import os
import resource
from collections import OrderedDict
from typing import Optional, Protocol

from logsvc.model.chunk import HEAD_BYTES

TAIL_BYTES = 256  # compared before each read
MOST_OPEN = 512  # descriptors; fewer where the system allows fewer


class Replaced(Exception):
    """The file no longer holds the bytes that were read from it."""


class Tailed(Protocol):
    """What is read from `sent` on, byte after byte: a file, or what stands for one."""

    name: str
    device: int
    inode: int
    sent: int

    @property
    def head(self) -> bytes:
        """The first <= HEAD_BYTES bytes, as far as they have been seen."""

    @property
    def first(self) -> int:
        """The place of the oldest byte that is still there."""

    @property
    def is_open(self) -> bool:
        """Whether a descriptor is held."""

    def open(self) -> bool:
        """Whether it can be read."""

    def size(self) -> int:
        """Where it ends now."""

    def learn_head(self) -> bytes:
        """Read the head as far as there is one."""

    def read(self, limit: int, *, before: int = 0) -> bytes:
        """At most `limit` new bytes, after `before` bytes already sent."""

    def advance(self, data: bytes) -> None:
        """`data`, read from `sent` on, is acknowledged."""

    def move_to(self, offset: int) -> None:
        """Go on from another place."""

    def close(self) -> None:
        """Let go; may be called twice."""

    def complete(self) -> None:
        """The service has all of it, and was told that nothing follows."""


class Descriptors:
    """
    The open files, `limit` at most: the one not used for longest is closed, and opened again when needed.

    Files whose name is gone are not counted here: closed, they could not be opened again.
    """

    def __init__(self, limit: Optional[int] = None) -> None:
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if limit is None:
            limit = MOST_OPEN if soft == resource.RLIM_INFINITY else max(8, min(MOST_OPEN, soft // 2))
        self.limit = limit
        self._files: OrderedDict[TailedFile, None] = OrderedDict()  # least recently used first

    def use(self, file: TailedFile) -> None:
        """`file` is open and was used now."""
        self._files[file] = None
        self._files.move_to_end(file)
        if len(self._files) > self.limit:
            self._shrink(self.limit)

    def forget(self, file: TailedFile) -> None:
        """`file` is closed, or stays open whatever happens."""
        self._files.pop(file, None)

    def relieve(self) -> bool:
        """The system has no more descriptors: let half of them go; False where there is none."""
        had = len(self._files)
        self._shrink(had // 2)
        return had > 0

    def _shrink(self, limit: int) -> None:
        while len(self._files) > limit:
            next(iter(self._files)).close()


class TailedFile:
    """
    One file, read from `sent` on; what is read stays unsent until `advance`.

    The descriptor may be closed while the file is idle and is opened again when needed.

    Attributes:
        mark: a place, and the bytes seen before it while they were not sent: a copy has them too.
    """

    first = 0

    def __init__(self, name: str, device: int, inode: int, descriptors: Optional[Descriptors] = None) -> None:
        self.name = name
        self.device = device
        self.inode = inode
        self.head = b""  # first <= HEAD_BYTES bytes, as far as they have been seen
        self.sent = 0
        self.ended_a_line = False  # as remembered of `sent`; what has passed through here knows better
        self.mark = (0, b"")
        self._tail: Optional[bytes] = None  # the bytes before `sent`; None: not known
        self._fd: Optional[int] = None
        self._descriptors = descriptors
        self._kept = False  # its name is gone

    @property
    def is_open(self) -> bool:
        """Whether a descriptor is held."""
        return self._fd is not None

    @property
    def ends_in_a_line(self) -> bool:
        """Whether what is sent ends with a newline, or nothing is sent; False where nobody knows."""
        return self.sent == 0 or (self.ended_a_line if self._tail is None else self._tail.endswith(b"\n"))

    def open(self) -> bool:
        """Hold a descriptor; False where this file is not under its name any more, or may not be read."""
        if self._fd is None:
            fd = self._open()
            if fd is None:
                return False
            status = os.fstat(fd)
            if (status.st_dev, status.st_ino) != (self.device, self.inode):
                os.close(fd)
                return False
            self._fd = fd
            self._used()
        return True

    def keep(self, kept: bool) -> None:
        """Whether the descriptor must be held, since no name leads to the file any more."""
        self._kept = kept
        if kept and self._descriptors:
            self._descriptors.forget(self)

    def size(self) -> int:
        """Bytes in the file now; 0 where it cannot be opened."""
        if not self.open() or self._fd is None:
            return 0
        try:
            return os.fstat(self._fd).st_size
        except OSError:
            self.close()  # on NFS, deleted elsewhere
            return 0

    def learn_head(self) -> bytes:
        """
        Read the head as far as there is one.

        Raises:
            Replaced: it differs from what it was.
        """
        if self.open():
            head = self.peek(0, HEAD_BYTES)
            if not head.startswith(self.head):
                raise Replaced(self.name)
            self.head = head
        return self.head

    def peek(self, start: int, count: int) -> bytes:
        """
        At most `count` bytes from anywhere in the file; none where it cannot be opened.

        Raises:
            OSError: they cannot be read now.
        """
        if not self.open() or self._fd is None:
            return b""
        try:
            return os.pread(self._fd, count, start)
        except OSError:
            self.close()  # on NFS, deleted elsewhere: its name tells whether it can be had again
            raise

    def before(self, end: int, count: int) -> Optional[bytes]:
        """The bytes just before a place; None where they cannot be had now."""
        try:
            data = exactly(self, end - count, count)
        except OSError:
            return None
        return data if len(data) == count else None

    def learn_tail(self) -> None:
        """The service holds what is before `sent`: read the last of it."""
        self._tail = self.before(self.sent, min(self.sent, TAIL_BYTES))

    @property
    def last_sent(self) -> bytes:
        """The bytes just before `sent`, as far as they are known."""
        return self._tail or b""

    def note(self, size: int) -> None:
        """
        Keep the bytes before `size`, which were not sent: what is there later is compared with them.

        Raises:
            OSError: they cannot be read now.
        """
        start = max(self.sent, size - TAIL_BYTES)
        seen = self.peek(start, size - start) if size > start else b""
        self.mark = (start + len(seen), seen)

    def goes_on(self) -> bool:
        """Whether what is in the file follows what was there, as far as it can be read; learns a head that grows."""
        try:
            if not self._has_mark():
                return False
            if len(self.head) < HEAD_BYTES:
                self.learn_head()
            if self._tail:
                return self.peek(self.sent - len(self._tail), len(self._tail)) == self._tail
            return self.head.startswith(self.peek(0, len(self.head)))
        except Replaced:
            return False
        except OSError:
            return True  # reading it will tell

    def was_cut(self) -> bool:
        """Whether a file that is shorter than it was still begins as it did, by its head and the last bytes sent."""
        tail = self._tail or b""
        try:
            same_tail = self.peek(self.sent - len(tail), len(tail)) == tail
            return same_tail and self.head.startswith(self.peek(0, len(self.head)))
        except OSError:
            return False

    def read(self, limit: int, *, before: int = 0) -> bytes:
        """
        At most `limit` new bytes, after `before` bytes already sent (to be compared again).

        Raises:
            Replaced: the file is shorter than what was sent, or its bytes have changed.
        """
        if not self.open():
            return b""
        self._used()
        self.learn_head()
        known = self._tail if self._tail is not None else b""
        start = self.sent - max(before, len(known))
        if not self._has_mark():
            raise Replaced(self.name)
        data = self.peek(start, limit + self.sent - start)
        if len(data) < self.sent - start:
            raise Replaced(self.name)
        if known and data[self.sent - start - len(known) : self.sent - start] != known:
            raise Replaced(self.name)
        return data[self.sent - start - before :] if self.sent - start > before else data

    def advance(self, data: bytes) -> None:
        """`data`, read from `sent` on, is acknowledged."""
        self.sent += len(data)
        if self.sent >= self.mark[0]:
            self.mark = (0, b"")
        if len(data) >= TAIL_BYTES:
            self._tail = bytes(data[-TAIL_BYTES:])
        else:
            # An unknown tail stays unknown until enough of it has passed through here.
            self._tail = ((self._tail or b"") + data)[-TAIL_BYTES:]

    def move_to(self, offset: int) -> None:
        """Go on from another place: what the service says it holds."""
        self.sent = offset
        self.ended_a_line = False
        self._tail = None

    def complete(self) -> None:
        """The service has all of it and was told so: a file that others write stays where it is."""

    def close(self) -> None:
        """Let go of the descriptor; may be called twice."""
        if self._descriptors:
            self._descriptors.forget(self)
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _has_mark(self) -> bool:
        end, seen = self.mark
        return self.peek(end - len(seen), len(seen)) == seen if seen else True

    def _used(self) -> None:
        if self._descriptors and not self._kept:
            self._descriptors.use(self)

    def _open(self) -> Optional[int]:
        while True:
            try:
                return os.open(self.name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            except OSError as exc:
                full = exc.errno in (errno.EMFILE, errno.ENFILE)
                if not (full and self._descriptors and self._descriptors.relieve()):
                    return None


def exactly(file: TailedFile, start: int, count: int) -> bytes:
    """These bytes of a file, fewer only where it ends; raises OSError where they cannot be read now."""
    data = file.peek(start, count)
    while 0 < len(data) < count:
        piece = file.peek(start + len(data), count - len(data))
        if not piece:
            break
        data += piece
    return data


class LostMark(TailedFile):
    """
    What the collector says in the place of lost bytes: read like a file, from `start` on.

    Attributes:
        start: its place in the stream.
        behind: size of the file that the line stands behind; 0 where that is gone.
    """

    def __init__(self, lost: Tailed, start: int, line: bytes, *, behind: int) -> None:
        super().__init__(lost.name, lost.device, lost.inode)
        self.start = self.sent = start
        self.line, self.behind = line, behind

    def open(self) -> bool:
        """It is always there."""
        return True

    def size(self) -> int:
        """The end of the line."""
        return self.start + len(self.line)

    def learn_head(self) -> bytes:
        """Nothing of the file is left."""
        return b""

    def peek(self, start: int, count: int) -> bytes:
        """Bytes of the line; none of those before it."""
        return self.line[start - self.start :][:count] if start >= self.start else b""

    def read(self, limit: int, *, before: int = 0) -> bytes:
        """What is left of the line."""
        return self.peek(self.sent, limit)

    def move_to(self, offset: int) -> None:
        """The service holds less than was acknowledged: the line stands where that ends."""
        super().move_to(offset)
        self.start = min(self.start, offset)
