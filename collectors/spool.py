"""The log of a command while it runs, on disk: what is not acknowledged yet waits here.

A spool has a bound. When it is full, `drop-oldest` lets the oldest lines go that were never sent,
and puts a line in their place that says how many bytes are lost; `block` makes the command wait.
Acknowledged bytes are given back while the command runs. What is left when it has ended, however
it ended, is shipped later by `watch`: nothing but the folder is needed.
"""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Callable, Optional

from collectors import words
from collectors.chain import LOCK, Chain, ChainInUse
from collectors.jobstatus import JobStatus
from collectors.lines import lost_line, service_line
from logsvc.errors import BadInput
from logsvc.model.chunk import HEAD_BYTES
from logsvc.model.stream import ordinary_path

RUNS = "runs"  # in the state folder: a folder for each run
SPOOL_SUFFIX = ".spool"  # of a folder that holds a stream's chain, named as the stream
DROP_OLDEST, BLOCK = "drop-oldest", "block"
POLICIES = (DROP_OLDEST, BLOCK)
SPOOL_BYTES = 4 << 30
LEAST_SPOOL_BYTES = 1 << 20
SEGMENTS = 64  # a full spool is cut a 64th at a time
LEAST_SEGMENT_BYTES, MOST_SEGMENT_BYTES = 16 << 10, 8 << 20
KEPT_BYTES = 4096  # of those acknowledged, to be compared after a restart
KILLED = "the collector itself was killed before it could tell how the command ended"
LAST_BYTES = 2 << 20  # what a pipe still holds when its command ends fits, even where the spool is full


class Spool:
    """
    The writer's end: the bytes of one command, and the collector's own lines.

    Attributes:
        folder: its place; only this spool is in it.
        chain: the bytes, also for whoever sends them.
        gaps, lost_bytes: places where bytes are lost for good until now, and how many.
    """

    def __init__(
        self,
        state_dir: Path,
        job: str,
        task: str,
        *,
        bound_bytes: int = SPOOL_BYTES,
        policy: str = DROP_OLDEST,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        """
        Make the spool, in a folder of its own; in the temporary folder where the state folder refuses.

        Raises:
            OSError: there is no room anywhere.
        """
        name = f"{job[:60]}-{task}-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}"
        try:
            runs = state_dir / RUNS
            runs.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.folder = Path(tempfile.mkdtemp(prefix=name + "-", dir=runs))
        except OSError:
            self.folder = Path(tempfile.mkdtemp(prefix=f"logsvc-{name}-"))
        chain_folder = self.folder / (ordinary_path(job, task) + SPOOL_SUFFIX)
        chain_folder.mkdir(mode=0o700)
        segment_bytes = min(max(bound_bytes // SEGMENTS, LEAST_SEGMENT_BYTES), MOST_SEGMENT_BYTES)
        self.chain = Chain(chain_folder, segment_bytes)
        self.gaps = self.lost_bytes = 0
        self._bound_bytes = bound_bytes
        self._full = f"the spool was full ({words.size(bound_bytes)})"
        self._policy = policy
        self._say = say
        self._waits = policy == BLOCK
        self._ends_a_line = True
        self._unsaid_bytes = 0  # lost at the end of what is here, and no line says so yet
        self._why = ""

    def write(self, data: bytes | memoryview) -> None:
        """Append; what finds no room is lost, and said as soon as there is some."""
        view = memoryview(data)
        for start in range(0, len(view), self.chain.segment_bytes):
            self._put(view[start : start + self.chain.segment_bytes])

    def write_line(self, text: str) -> None:
        """Append one of the collector's own lines, at the start of a line."""
        self.write((("" if self._ends_a_line else "\n") + service_line(text)).encode("utf-8", "backslashreplace"))

    def stop_waiting(self) -> None:
        """The command has ended, or nobody sends any more: from now on `write` never waits."""
        with self.chain.changed:
            if self._waits:
                self._waits = False
                self._bound_bytes += LAST_BYTES
                self.chain.changed.notify_all()

    def close(self, last_words: str = "") -> None:
        """No more bytes come but one line of the collector's own; they fit where the disk is full, too."""
        with self.chain.changed:
            left = b""
            if self._unsaid_bytes and not self._put_lost_line():
                left = self._lost_line()
            if last_words:
                line = service_line(last_words).encode("utf-8", "backslashreplace")
                line = line if left or self._ends_a_line else b"\n" + line
                if left or not self._put_line(line):
                    left += line
            if left:
                try:
                    self.chain.add_spare(left)
                except OSError as exc:
                    self._say(f"spool {self.folder}: {exc.strerror}: {self.lost_bytes} bytes of output are lost")
            self._unsaid_bytes, self._ends_a_line = 0, True
        self.chain.close()

    def remove(self) -> None:
        """Nothing stays on disk; may be called twice."""
        remove_chain(self.chain)

    def _put(self, piece: memoryview) -> None:
        with self.chain.changed:
            if not self._has_room(len(piece)):
                self._lose(len(piece), self._full)
            elif self._unsaid_bytes and not self._put_lost_line():
                self._lose(len(piece), self._why)
            else:
                self._append(piece)

    def _has_room(self, count: int) -> bool:
        """Whether the bound allows so many bytes more, after waiting or dropping as the policy says."""
        while self.chain.size_bytes + count > self._bound_bytes:
            if self._waits:
                self._say(f"{self._full}: the command waits until the service takes some")
                self.chain.changed.wait()
            elif self._policy == BLOCK or not self._drop_oldest():
                return False
        return True

    def _append(self, piece: memoryview) -> None:
        """Write it all; where the disk is full the oldest lines go first."""
        while piece:
            try:
                written = self.chain.append(piece)
            except OSError as exc:
                if self._policy == BLOCK or not self._drop_oldest():
                    self._lose(len(piece), exc.strerror or str(exc))
                    return
                continue
            self._ends_a_line = piece[written - 1] == ord("\n")
            piece = piece[written:]

    def _drop_oldest(self) -> bool:
        """The oldest segment that was never sent goes; a line in its place says so."""
        try:
            return self._cut_oldest(self.chain)
        except OSError:
            return False  # no room for the line, or somebody has deleted the folder

    def _cut_oldest(self, chain: Chain) -> bool:
        first = self._oldest_to_drop()
        last = first + 1 if chain.segments[first].lost_bytes else first  # a gap that grows stays one line
        while last + 2 < len(chain.segments) and not chain.ends_a_line(last):
            last += 1
        if last + 1 >= len(chain.segments):
            return False
        victims = chain.segments[first : last + 1]
        lost = sum(victim.lost_bytes or victim.size for victim in victims)
        line = lost_line(lost, f"{self._full} before the service took them")
        if not chain.ends_a_line(first - 1):
            line = b"\n" + line
        chain.cut(first, last, line, lost)
        self._say(f"{self._full}: the oldest lines are being lost")
        self.gaps += not any(victim.lost_bytes for victim in victims)  # else one of them grows
        self.lost_bytes += sum(0 if victim.lost_bytes else victim.size for victim in victims)
        return True

    def _oldest_to_drop(self) -> int:
        """The first segment that was never sent, and begins a line if one does; the last one: none can go."""
        chain = self.chain
        at, unsent = chain.base, []
        for index, segment in enumerate(chain.segments[:-1]):
            if index > 0 and at >= chain.handed:  # the stream's first lines say what runs: they stay
                unsent.append(index)
                if chain.ends_a_line(index - 1):
                    return index
            at += segment.size
        return unsent[0] if unsent else len(chain.segments) - 1

    def _lose(self, count: int, why: str) -> None:
        self._say(f"spool {self.folder}: {why}: output is being lost")
        self.gaps += self._unsaid_bytes == 0
        self.lost_bytes += count
        self._unsaid_bytes += count
        self._why = why

    def _lost_line(self) -> bytes:
        return (b"" if self._ends_a_line else b"\n") + lost_line(self._unsaid_bytes, self._why)

    def _put_lost_line(self) -> bool:
        """Say what was lost at this place; False where there is no room for that either."""
        if not self._put_line(self._lost_line()):
            return False
        self._unsaid_bytes, self._ends_a_line = 0, True
        return True

    def _put_line(self, line: bytes) -> bool:
        try:
            return self.chain.append(line) == len(line)
        except OSError:
            return False


class SpooledFile:
    """
    The sender's end of a chain; to the tailer it is a file that is never renamed nor truncated.

    Attributes:
        name, device, inode: of the chain's folder.
        sent: place in the stream up to which all is acknowledged.
    """

    def __init__(self, chain: Chain, most_bytes: int = SPOOL_BYTES) -> None:
        """`most_bytes`: read at once, since what was read cannot be dropped any more."""
        status = os.stat(chain.folder)
        self.name = os.fspath(chain.folder)
        self.device, self.inode = status.st_dev, status.st_ino
        self.sent = chain.base
        self._chain = chain
        self._most_bytes = most_bytes
        self._head = b""

    @property
    def head(self) -> bytes:
        """The first <= HEAD_BYTES bytes of the stream."""
        if len(self._head) < HEAD_BYTES:
            with self._chain.changed, suppress(OSError):  # somebody has deleted the folder
                self._head = self._chain.head()
        return self._head

    @property
    def first(self) -> int:
        """The place of the oldest byte that is still there."""
        return self._chain.base

    @property
    def is_open(self) -> bool:
        """Always: it needs no name."""
        return True

    def open(self) -> bool:
        """Always there."""
        return True

    def size(self) -> int:
        """Where the stream ends now."""
        return self._chain.end

    def learn_head(self) -> bytes:
        """The first bytes of the stream."""
        return self.head

    def read(self, limit: int, *, before: int = 0) -> bytes:
        """At most `limit` bytes from `sent` on, after `before` bytes sent before."""
        chain = self._chain
        start = self.sent - before
        with chain.changed:
            count = min(before + min(limit, self._most_bytes), chain.end - start)
            chain.handed = max(chain.handed, start + count)
            pieces = chain.plan(start, count)
        return chain.fetch(pieces)

    def advance(self, data: bytes) -> None:
        """`data`, read from `sent` on, is acknowledged: what lies before is given back."""
        self.sent += len(data)
        with self._chain.changed:
            with suppress(OSError):  # with the next, or never where somebody has deleted the folder
                self._chain.give_back(self.sent - KEPT_BYTES)
            self._chain.changed.notify_all()

    def move_to(self, offset: int) -> None:
        """Go on from where the service says; what it lacks and is not here any more is lost."""
        with self._chain.changed:
            if offset < self._chain.base:
                line = lost_line(self._chain.base - offset, "the service does not hold them, and the spool no longer")
                self._chain.prepend((b"\n" if offset else b"") + line, offset)
        self.sent = offset

    def close(self) -> None:
        """No descriptor is held."""

    def release(self) -> None:
        """Others may have what is left."""
        self._chain.release()

    def complete(self) -> None:
        """All is acknowledged, and the service says that the stream is complete: nothing stays on disk."""
        remove_chain(self._chain)


def left_behind(folder: Path) -> Optional[SpooledFile]:
    """
    The spool of a command that has ended; None while it runs.

    Where its collector was killed, a last line says so.

    Raises:
        OSError: it cannot be read.
    """
    if not (folder / LOCK).exists():
        return None  # it is being made
    try:
        chain = Chain(folder)
    except ChainInUse:
        return None
    status = JobStatus.left_in(folder.parent)
    if status is not None:
        status.release()
        if status.was_killed and status.lines:
            _say_killed(chain)
    return SpooledFile(chain)


def _say_killed(chain: Chain) -> None:
    """Once, however often it is found; not where the disk has no room."""
    line = service_line(f"logsvc-collector: {KILLED}").encode()
    if not chain.ends_a_line():
        line = b"\n" + line
    with suppress(OSError):
        if KILLED.encode() not in chain.fetch(chain.plan(chain.end - len(line), len(line))):
            chain.add_spare(line)


def remove_chain(chain: Chain) -> None:
    """The chain, and the folder that was made for it."""
    chain.remove()
    try:
        chain.folder.parent.rmdir()
    except OSError:
        pass  # something else is in it


def parse_size(text: str) -> int:
    """
    Bytes from `1000000`, `512M` or `4GiB`: K, M, G and T are powers of 1,024.

    Raises:
        BadInput: it is no size, or too small for a spool.
    """
    number = text.strip().upper().removesuffix("B").removesuffix("I")
    power = "KMGT".find(number[-1:]) + 1 if number else 0
    try:
        size = int(float(number[:-1] if power else number) * 1024**power)
    except (ValueError, OverflowError):
        raise BadInput(f"{text!r} is not a size; write it as 512M or 4G") from None
    if size < LEAST_SPOOL_BYTES:
        raise BadInput(f"a spool of {text} is too small; it needs {words.size(LEAST_SPOOL_BYTES)} at least")
    return size
