"""Segment files: the packed chunks of one job, in frames that explain themselves.

A segment is a run of frames. A frame is a header of 64 bytes and its payload: a stream's name (JSON)
before its first chunk in the file, or a chunk as one zstd frame. A job's first segment is
`segments/<job>/000001.seg`; a further one follows at 1 GiB, or after a failed sync, whose file is
never trusted again. Frames are written and synced before the catalog knows them; what lies behind
the last one that it knows are orphans, stored again at the next start (`orphans.py`).
"""

from __future__ import annotations

import json
import os
import struct
import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path

from logsvc.errors import StoreUnavailable
from logsvc.model.stream import StreamName

MAX_SEGMENT_BYTES = 1 << 30
NAME, CHUNK = 1, 2
NO_HEADER, CUT_SHORT = TORN = ("no frame header", "cut short")  # as a crash leaves what was being written

_HEADER = struct.Struct("<4sBBHQQIIQII12x")
_MAGIC = b"lsf1"
HEADER_BYTES = 64
_OPEN_FILES = 256  # descriptors kept; jobs beyond it are opened again when needed

assert _HEADER.size + 4 <= HEADER_BYTES


@dataclass(frozen=True)
class Frame:
    """One frame as found in a file; `problem` says why it is not sound."""

    kind: int
    stream: int
    generation: int
    offset: int
    raw_size: int
    payload: bytes
    position: int
    problem: str | None = None


@dataclass(frozen=True)
class Place:
    """Where a frame lies."""

    segment: int
    position: int
    length: int


@dataclass
class Segment:
    """A segment file that is being written."""

    id: int
    job: str
    sequence: int
    path: Path
    size: int  # written, whether or not the catalog knows
    named: set[int] = field(default_factory=set)  # streams whose names stand in it


@dataclass(frozen=True)
class Orphans:
    """What lies in a segment file behind what the catalog knows of it: `size` bytes from `position` on."""

    path: Path
    position: int
    size: int


def encode_frame(kind: int, stream: int, generation: int, offset: int, raw_size: int, payload: bytes) -> bytes:
    """Header and payload."""
    head = _HEADER.pack(
        _MAGIC, 1, kind, HEADER_BYTES, stream, offset, generation, raw_size, len(payload), zlib.crc32(payload), 0
    )
    head = head[: HEADER_BYTES - 4].ljust(HEADER_BYTES - 4, b"\0")
    return head + struct.pack("<I", zlib.crc32(head)) + payload


def read_frame(file: int, place: Place) -> bytes:
    """
    Payload of the frame at a place.

    Raises:
        StoreUnavailable: the file is damaged there.
    """
    data = os.pread(file, place.length, place.position)
    frame = _decode(data, place.position)
    if frame.problem:
        raise StoreUnavailable(
            f"segment {place.segment} is damaged at byte {place.position} ({frame.problem}); run `logsvc doctor`"
        )
    return frame.payload


def frames(path: Path, position: int = 0) -> Iterator[Frame]:
    """Frames of a segment file from a position on, in order; ends after the first one whose header is not sound."""
    with path.open("rb") as file:
        file.seek(position)
        while head := file.read(HEADER_BYTES):
            length = _payload_length(head)
            if length is None:
                yield Frame(0, 0, 0, 0, 0, b"", position, NO_HEADER)
                return
            frame = _decode(head + file.read(length), position)
            yield frame
            position += HEADER_BYTES + length


class SegmentFiles:
    """The segment files of a store; appends to a job's segment come one at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._writing: dict[str, Segment] = {}
        self._job_locks: dict[str, threading.Lock] = {}
        # An evicted file is closed when its last reader lets go of it.
        self._reading: OrderedDict[int, FileIO] = OrderedDict()
        self._paths: dict[int, Path] = {}
        self._next_id = 1
        self._next_sequence: dict[str, int] = {}
        self.orphans: list[Orphans] = []

    def load(self, rows: list[tuple[int, str, int, int]]) -> list[str]:
        """
        Take up the catalog's segments (id, job, sequence, size), and what it does not know as `orphans`.

        Returns: sentences about files that are missing or too short.
        """
        problems = []
        for id_, job, sequence, size in rows:
            path = self._path(job, sequence)
            self._paths[id_] = path
            self._next_id = max(self._next_id, id_ + 1)
            self._next_sequence[job] = max(self._next_sequence.get(job, 1), sequence + 1)
            try:
                found = path.stat().st_size
            except FileNotFoundError:
                problems.append(f"{path} is missing, {size} bytes of job {job}")
                continue
            if found > size:
                self.orphans.append(Orphans(path, size, found - size))
                continue  # nothing is written behind them
            if found < size:
                problems.append(f"{path} has {found} bytes, {size} were committed")
                continue
            known = self._writing.get(job)
            if size < MAX_SEGMENT_BYTES and (known is None or known.sequence < sequence):
                self._writing[job] = Segment(id_, job, sequence, path, size)
        for job in self._jobs():
            while (path := self._path(job, self._next_sequence.get(job, 1))).exists():
                self._next_sequence[job] = self._next_sequence.get(job, 1) + 1
                self.orphans.append(Orphans(path, 0, path.stat().st_size))
        return problems

    def cut(self, orphans: Orphans) -> None:
        """Give back the room of orphans that are stored."""
        if orphans.position:
            os.truncate(orphans.path, orphans.position)
        else:
            orphans.path.unlink()

    def _jobs(self) -> list[str]:
        return os.listdir(self.folder) if self.folder.is_dir() else []

    def append(self, job: str, chunks: list[tuple[int, StreamName, int, int, bytes]]) -> tuple[Segment, list[Place]]:
        """
        Write chunks (stream, name, offset, raw size, payload) to a job's segment and sync it.

        Raises:
            OSError: not durable; the segment is not used again.
        """
        with self._lock:
            job_lock = self._job_locks.setdefault(job, threading.Lock())
        with job_lock:
            segment = self._segment(job)
            return segment, self._write(segment, chunks)

    def read(self, place: Place) -> bytes:
        """Payload of a frame; raises StoreUnavailable where it is damaged or gone."""
        with self._lock:
            file = self._reading.get(place.segment)
            if file is None:
                file = self._open_for_reading(place.segment)
            else:
                self._reading.move_to_end(place.segment)
        return read_frame(file.fileno(), place)

    def close(self) -> None:
        """Close every file."""
        with self._lock:
            self._reading.clear()

    def _path(self, job: str, sequence: int) -> Path:
        return self.folder / job / f"{sequence:06d}.seg"

    def _segment(self, job: str) -> Segment:
        with self._lock:
            segment = self._writing.get(job)
            if segment and segment.size < MAX_SEGMENT_BYTES:
                return segment
            sequence = self._next_sequence.get(job, 1)
            self._next_sequence[job] = sequence + 1
            segment = Segment(self._next_id, job, sequence, self._path(job, sequence), 0)
            self._next_id += 1
            self._paths[segment.id] = segment.path
            self._writing[job] = segment
        new_folder = not segment.path.parent.exists()
        segment.path.parent.mkdir(mode=0o700, exist_ok=True)
        segment.path.touch(mode=0o600)
        sync_folder(segment.path.parent)
        if new_folder:
            sync_folder(self.folder)
        return segment

    def _write(self, segment: Segment, chunks: list[tuple[int, StreamName, int, int, bytes]]) -> list[Place]:
        parts: list[bytes] = []
        places: list[Place] = []
        position = segment.size
        named: set[int] = set()
        for stream, name, offset, raw_size, payload in chunks:
            if stream not in segment.named:
                segment.named.add(stream)
                named.add(stream)
                about = json.dumps(
                    {"job": name.job, "task": name.task, "path": name.path, "generation": name.generation}
                )
                parts.append(encode_frame(NAME, stream, name.generation, 0, 0, about.encode()))
                position += len(parts[-1])
            parts.append(encode_frame(CHUNK, stream, name.generation, offset, raw_size, payload))
            places.append(Place(segment.id, position, len(parts[-1])))
            position += len(parts[-1])
        file = os.open(segment.path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            try:
                at = segment.size
                for part in parts:
                    written = 0
                    while written < len(part):
                        written += os.pwrite(file, part[written:] if written else part, at + written)
                    at += len(part)
                self._sync(file, segment)
            except OSError:
                segment.named.difference_update(named)
                with suppress(OSError):  # a full disk gets its room back
                    os.ftruncate(file, segment.size)
                raise
        finally:
            os.close(file)
        segment.size = position
        return places

    def _sync(self, file: int, segment: Segment) -> None:
        try:
            os.fdatasync(file)
        except OSError:
            # The kernel may have dropped what it could not write, and tells only once: never again this file.
            with self._lock:
                self._writing.pop(segment.job, None)
            raise

    def _open_for_reading(self, segment: int) -> FileIO:
        path = self._paths.get(segment)
        try:
            if path is None:
                raise FileNotFoundError(segment)
            file = FileIO(path, "rb")
        except OSError as exc:
            raise StoreUnavailable(
                f"segment {path or segment} cannot be read: {exc.strerror}; run `logsvc doctor`"
            ) from exc
        self._reading[segment] = file
        if len(self._reading) > _OPEN_FILES:
            self._reading.popitem(last=False)
        return file


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _payload_length(head: bytes) -> int | None:
    if len(head) < HEADER_BYTES or head[:4] != _MAGIC:
        return None
    if struct.unpack_from("<I", head, HEADER_BYTES - 4)[0] != zlib.crc32(head[: HEADER_BYTES - 4]):
        return None
    return int(_HEADER.unpack_from(head)[8])


def _decode(data: bytes, position: int) -> Frame:
    length = _payload_length(data[:HEADER_BYTES])
    if length is None:
        return Frame(0, 0, 0, 0, 0, b"", position, NO_HEADER)
    _, _, kind, _, stream, offset, generation, raw_size, _, crc, _ = _HEADER.unpack_from(data)
    payload = data[HEADER_BYTES : HEADER_BYTES + length]
    problem = None
    if len(payload) < length:
        problem = CUT_SHORT
    elif zlib.crc32(payload) != crc:
        problem = "wrong checksum"
    return Frame(kind, stream, generation, offset, raw_size, payload, position, problem)
