"""A rotated generation that was compressed (`.gz`), read as the bytes that it holds.

It is unpacked as a stream, a bounded piece at a time: what unpacks to more than memory or disk
could hold costs time only. Nothing of it counts before all of it was unpacked once and its
checksum held: a file that is still being written, or was cut off, waits.
"""

from __future__ import annotations

import errno
import gzip
import os
import zlib
from typing import Optional

from collectors.tailer.reader import Descriptors, TailedFile
from logsvc.model.chunk import HEAD_BYTES

PACKED = ".gz"
PIECE_BYTES = 256 << 10  # unpacked at a time, and kept until it is acknowledged
MOST_UNPACKED_BYTES = 4 << 20  # to compare the bytes at a place in it
END_BYTES = 4096  # the last bytes, compared with those of a file that may be the same generation
MOST_FOLDED = 1032  # deflate makes nothing smaller than that


class PackedFile(TailedFile):
    """
    The unpacked bytes of a `.gz`; `sent` and all other places count in them.

    Attributes:
        end: the last bytes, once it is whole.
        torn: it ends in the middle, now.
    """

    def __init__(self, name: str, device: int, inode: int, descriptors: Optional[Descriptors] = None) -> None:
        super().__init__(name, device, inode, descriptors)
        self.end = b""
        self.torn = False
        self._whole = False
        self._checked = 0  # bytes unpacked so far to see whether it is whole
        self._stream: Optional[gzip.GzipFile] = None
        self._piece = (0, b"")
        self._looks: list[tuple[int, int]] = []  # size and time of the file when it was torn, then later

    @property
    def is_whole(self) -> bool:
        """All of it was unpacked once."""
        return self._whole

    def size(self) -> int:
        """Unpacked bytes; 0 until it is whole."""
        return self._checked if self._whole else 0

    def promised_size(self) -> Optional[int]:
        """Unpacked bytes as the file's own end says it; None where that says nothing certain."""
        if self._whole:
            return self._checked
        if not self.open() or self._fd is None:
            return None
        packed = os.fstat(self._fd).st_size
        if packed < 18 or packed * MOST_FOLDED >= 1 << 32:
            return None
        return int.from_bytes(os.pread(self._fd, 4, packed - 4), "little")

    def learn_head(self) -> bytes:
        """The first unpacked bytes; none while the file holds too little to unpack."""
        if not self.head and not self.torn and self.open():
            try:
                self.head = self._unpack(0, HEAD_BYTES)
            except OSError:
                self._is_torn()
        return self.head

    def check(self, limit: int) -> int:
        """
        Unpack at most `limit` bytes more to see whether it is whole; returns how many that were.

        A torn file is tried again once it has changed and then stayed the same from one look to the next.
        """
        if self._whole or not self.open():
            return 0
        if self.torn and not self._has_settled():
            return 0
        done = 0
        try:
            self.learn_head()
            while done < limit and not self._whole:
                piece = self._unpack(self._checked, PIECE_BYTES)
                self.end = (self.end + piece)[-END_BYTES:]
                self._checked += len(piece)
                done += len(piece)
                self._whole = not piece
        except OSError:
            self._is_torn()
        return done

    def peek(self, start: int, count: int) -> bytes:
        """At most `count` unpacked bytes, fewer where that is handier; raises OSError where there are none."""
        offset, piece = self._piece
        if not offset <= start < offset + len(piece):
            offset, piece = self._piece = start, self._unpack(start, PIECE_BYTES)
        return piece[start - offset :][:count]

    def before(self, end: int, count: int) -> Optional[bytes]:
        """None also where much would have to be unpacked for it."""
        start = len(self.end) - (self._checked - end) - count
        if self._whole and start >= 0:
            return self.end[start:][:count]
        return super().before(end, count) if end <= MOST_UNPACKED_BYTES else None

    def read(self, limit: int, *, before: int = 0) -> bytes:
        """As of any file; nothing until it is whole."""
        if not self._whole or not self.open():
            return b""
        return self.peek(self.sent - before, limit + before)

    def close(self) -> None:
        """Let go of the descriptor; the next read unpacks from the beginning."""
        self._stream = None
        self._piece = (0, b"")
        super().close()

    def _unpack(self, start: int, count: int) -> bytes:
        if not self.open() or self._fd is None:
            raise OSError(errno.ENOENT, "gone", self.name)
        try:
            if self._stream is None:
                os.lseek(self._fd, 0, os.SEEK_SET)
                self._stream = gzip.GzipFile(fileobj=os.fdopen(self._fd, "rb", closefd=False))
            self._stream.seek(start)
            return self._stream.read(count)
        except (EOFError, zlib.error, gzip.BadGzipFile) as exc:
            self._stream = None
            raise OSError(errno.EIO, "not a whole gzip file", self.name) from exc

    def _is_torn(self) -> None:
        self.torn, self._checked, self.head, self.end = True, 0, b"", b""
        self._looks = [self._look()]

    def _has_settled(self) -> bool:
        look = self._look()
        settled = look != self._looks[0] and look == self._looks[-1]
        self._looks = [self._looks[0], look]
        self.torn = not settled
        return settled

    def _look(self) -> tuple[int, int]:
        if not self.open() or self._fd is None:
            return (0, 0)
        status = os.fstat(self._fd)
        return (status.st_size, status.st_mtime_ns)
