"""One stream into one file, through cut connections and from call to call, and proven to be what the service holds.

The part that a call before has left is taken for nothing but bytes: the service's sums say how much of it is the
stream's beginning, and it is gone on with from there. A stream only grows, so that this stays right.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import sleep
from typing import BinaryIO, TypeVar

from logsvc.client import Connection
from logsvc.commands.progress import Watcher
from logsvc.errors import LogsvcError, StoreUnavailable

SPAN_BYTES = 1 << 28  # summed in one call: soon answered, and little to fetch again where it is wrong
READ_BYTES = 1 << 20
RETRY_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0)  # without a byte between; then it is for a person to try again
ROUNDS = 2  # a stream that is wrong after that is not mended by fetching it again
_T = TypeVar("_T")


@dataclass(frozen=True)
class Remote:
    """
    A stream to fetch, as it is when the download begins.

    Attributes:
        name: of its file, as `file_names` gives it.
        last_at: Unix seconds, when its last bytes came.
    """

    id: str
    name: str
    size_bytes: int
    last_at: float


class Fetching:
    """Fetches streams over one connection."""

    def __init__(self, connection: Connection, watcher: Watcher) -> None:
        self._connection, self._watcher = connection, watcher

    def into(self, remote: Remote, part: Path) -> None:
        """
        `part` holds the stream's `size_bytes` bytes, durable and checked.

        Raises:
            LogsvcError: it cannot be had; what was fetched stays in `part`.
            OSError: it cannot be written.
        """
        with _alone(part) as file:
            held = min(file.seek(0, os.SEEK_END), remote.size_bytes)
            right = self._right(file, remote, 0, held)
            if right < held:
                self._watcher.say(
                    f"{part}: from byte {right} on it is not what the service holds, and is fetched again"
                )
            for _ in range(ROUNDS):
                file.truncate(right)
                self._receive(file, remote, right)
                right = self._right(file, remote, right, remote.size_bytes)
                if right == remote.size_bytes:
                    os.fsync(file.fileno())
                    return
            file.truncate(right)
        raise LogsvcError(
            f"{remote.name}: from byte {right} on, what comes is not what the service holds by its SHA-256."
        )

    def pieces(self, remote: Remote) -> Iterator[bytes]:
        """The stream's bytes for a reader that cannot go back; raises as `into`, behind the last byte too."""
        at, sums = 0, []
        span = hashlib.sha256()
        for piece in self._coming(remote, 0):
            while piece:
                taken = piece[: SPAN_BYTES - at % SPAN_BYTES]
                span.update(taken)
                yield taken
                at, piece = at + len(taken), piece[len(taken) :]
                if at % SPAN_BYTES == 0 or at == remote.size_bytes:
                    sums.append(span.hexdigest())
                    span = hashlib.sha256()
        for index, sum_ in enumerate(sums):
            start = index * SPAN_BYTES
            if sum_ != self._sum(remote, start, min(start + SPAN_BYTES, remote.size_bytes)):
                raise LogsvcError(f"{remote.name}: what came is not what the service holds by its SHA-256.")

    def _receive(self, file: BinaryIO, remote: Remote, start: int) -> None:
        file.seek(start)
        self._watcher.begin(remote.name, remote.size_bytes)
        self._watcher.advance(start)
        for piece in self._coming(remote, start):
            file.write(piece)
            self._watcher.advance(len(piece))

    def _coming(self, remote: Remote, start: int) -> Iterator[bytes]:
        """Bytes from `start` to the end, over as many connections as that takes."""
        at, tag = start, None
        waits = iter(RETRY_SECONDS)
        while at < remote.size_bytes:
            try:
                for part in self._connection.part(f"/streams/{remote.id}/raw", at, remote.size_bytes, tag):
                    tag = part.tag
                    # A service or proxy that knows no ranges, or another log by now, gives all of it: pass over.
                    piece = part.data[max(at - part.at, 0) : remote.size_bytes - part.at]
                    if piece:
                        yield piece
                        at += len(piece)
                        waits = iter(RETRY_SECONDS)
                if at < remote.size_bytes:
                    raise StoreUnavailable(f"{remote.name} ended early, at byte {at} of {remote.size_bytes}.")
            except StoreUnavailable as error:
                self._wait(waits, error)

    def _right(self, file: BinaryIO, remote: Remote, start: int, end: int) -> int:
        """Up to where, from `start` on, the file is what the service holds: `end`, or the beginning of a wrong span."""
        if start < end:
            self._watcher.begin(f"checking {remote.name}", end - start)
        while start < end:
            stop = min(start + SPAN_BYTES, end)
            if self._local_sum(file, start, stop) != self._sum(remote, start, stop):
                return start
            start = stop
        return end

    def _local_sum(self, file: BinaryIO, start: int, end: int) -> str:
        file.flush()
        file.seek(start)
        sum_ = hashlib.sha256()
        while start < end and (piece := file.read(min(READ_BYTES, end - start))):
            sum_.update(piece)
            self._watcher.advance(len(piece))
            start += len(piece)
        return sum_.hexdigest()

    def _sum(self, remote: Remote, start: int, end: int) -> str:
        """The service's; of fewer bytes where it holds fewer, which is another sum then."""
        answer = self._patiently(lambda: self._connection.get(f"/streams/{remote.id}/sha256", start=start, end=end))
        return str(answer["sha256"]) if answer["end"] == end else ""

    def _patiently(self, ask: Callable[[], _T]) -> _T:
        waits = iter(RETRY_SECONDS)
        while True:
            try:
                return ask()
            except StoreUnavailable as error:
                self._wait(waits, error)

    def _wait(self, waits: Iterator[float], error: StoreUnavailable) -> None:
        """Raises: the error, where it was waited for it long enough."""
        seconds = next(waits, None)
        if seconds is None:
            raise error
        sleep(seconds)


@contextmanager
def _alone(part: Path) -> Iterator[BinaryIO]:
    """The file, for reading and writing, by nobody else at the same time."""
    with open(os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666), "r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise LogsvcError(f"Another download writes to {part} just now.") from exc
        yield file
