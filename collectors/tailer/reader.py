"""The new bytes of one growing file, and the certainty that they follow those already sent.

A file is known by device, inode and its first <= 1,024 bytes. Each read also compares the bytes
just before the new ones: a file that was truncated and has grown past the old place, or that got
a reused inode, does not pass for the old one.
"""

from __future__ import annotations

import os
from typing import Optional

from logsvc.model.chunk import HEAD_BYTES

TAIL_BYTES = 256  # compared before each read


class Replaced(Exception):
    """The file no longer holds the bytes that were read from it."""


class TailedFile:
    """
    One file, read from `sent` on; what is read stays unsent until `advance`.

    The descriptor may be closed while the file is idle and is opened again when needed.
    """

    def __init__(self, name: str, device: int, inode: int) -> None:
        self.name = name
        self.device = device
        self.inode = inode
        self.head = b""  # first <= HEAD_BYTES bytes, as far as they have been seen
        self.sent = 0
        self._tail: Optional[bytes] = None  # the bytes before `sent`; None: not known
        self._fd: Optional[int] = None

    @property
    def is_open(self) -> bool:
        """Whether a descriptor is held."""
        return self._fd is not None

    def open(self) -> bool:
        """Hold a descriptor; False where this file is not under its name any more, or may not be read."""
        if self._fd is not None:
            return True
        try:
            fd = os.open(self.name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return False
        status = os.fstat(fd)
        if (status.st_dev, status.st_ino) != (self.device, self.inode):
            os.close(fd)
            return False
        self._fd = fd
        return True

    def size(self) -> int:
        """Bytes in the file now; 0 where it cannot be opened."""
        if not self.open() or self._fd is None:
            return 0
        return os.fstat(self._fd).st_size

    def learn_head(self) -> bytes:
        """
        Read the head as far as there is one.

        Raises:
            Replaced: it differs from what it was.
        """
        if self.open() and self._fd is not None:
            head = os.pread(self._fd, HEAD_BYTES, 0)
            if not head.startswith(self.head):
                raise Replaced(self.name)
            self.head = head
        return self.head

    def read(self, limit: int, *, before: int = 0) -> bytes:
        """
        At most `limit` new bytes, after `before` bytes already sent (to be compared again).

        Raises:
            Replaced: the file is shorter than what was sent, or its bytes have changed.
        """
        if not self.open() or self._fd is None:
            return b""
        self.learn_head()
        known = self._tail if self._tail is not None else b""
        start = self.sent - max(before, len(known))
        data = os.pread(self._fd, limit + self.sent - start, start)
        if len(data) < self.sent - start:
            raise Replaced(self.name)
        if known and data[self.sent - start - len(known) : self.sent - start] != known:
            raise Replaced(self.name)
        return data[self.sent - start - before :] if self.sent - start > before else data

    def advance(self, data: bytes) -> None:
        """`data`, read from `sent` on, is acknowledged."""
        self.sent += len(data)
        if len(data) >= TAIL_BYTES:
            self._tail = bytes(data[-TAIL_BYTES:])
        else:
            # An unknown tail stays unknown until enough of it has passed through here.
            self._tail = ((self._tail or b"") + data)[-TAIL_BYTES:]

    def move_to(self, offset: int) -> None:
        """Go on from another place: what the service says it holds."""
        self.sent = offset
        self._tail = None

    def close(self) -> None:
        """Let go of the descriptor; may be called twice."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
