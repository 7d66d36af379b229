"""What the catalog keeps of a chunk's lines: which are the platform's, errors, warnings; and when its bytes came."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from logsvc.stores.embedded.lines import LineMarks
from logsvc.stores.embedded.zstd import compress, decompress

_COUNTS = struct.Struct("<4I")  # of the four lists of numbers that follow, each as its steps


def encode_marks(marks: LineMarks, starts: list[int], received_ms: list[int]) -> bytes:
    """System, error and warning lines of a chunk, and when its bytes arrived, for the catalog."""
    lists = [np.frombuffer(part.tobytes(), np.uint32) for part in (marks.system, marks.errors, marks.warnings)]
    lists.append(np.array(starts, np.uint32))
    counts = np.array([len(part) for part in lists], np.uint32)
    times = np.array(received_ms, np.int64)
    parts = [counts, *(np.diff(part, prepend=np.uint32(0)) for part in lists), np.diff(times, prepend=np.int64(0))]
    return compress(b"".join(part.tobytes() for part in parts))


@dataclass(frozen=True)
class ChunkMarks:
    """`encode_marks` read back; line indices and byte starts are relative to the chunk."""

    system: np.ndarray
    errors: np.ndarray
    warnings: np.ndarray
    starts: np.ndarray
    received_ms: np.ndarray


def decode_marks(blob: bytes) -> ChunkMarks:
    """What `encode_marks` wrote."""
    data = decompress(blob)
    counts = np.frombuffer(data, np.uint32, 4).tolist()
    at, lists = 16, []
    for count in counts:
        lists.append(np.cumsum(np.frombuffer(data, np.uint32, count, at), dtype=np.int64))
        at += 4 * count
    system, errors, warnings, starts = lists
    return ChunkMarks(system, errors, warnings, starts, np.cumsum(np.frombuffer(data, np.int64, counts[3], at)))


class LevelMarks(NamedTuple):
    """System, error and warning lines of a run of lines, by index, ascending."""

    system: np.ndarray
    errors: np.ndarray
    warnings: np.ndarray


def decode_levels(chunks: Sequence[tuple[int, bytes]]) -> LevelMarks:
    """
    What `encode_marks` wrote of the lines of many chunks, at once.

    Args:
        chunks: of each, in order, the index of its first line, and its marks unfolded.
    """
    counts = np.array([_COUNTS.unpack_from(marks) for _, marks in chunks], np.int64)
    ends = np.cumsum(4 * counts, axis=1) + _COUNTS.size
    starts = ends - 4 * counts
    first = np.array([index for index, _ in chunks], np.int64)
    found = []
    for kind in range(3):
        cuts = zip(chunks, starts[:, kind].tolist(), ends[:, kind].tolist(), strict=True)
        steps = np.frombuffer(b"".join([marks[start:end] for (_, marks), start, end in cuts]), np.uint32)
        # One sum over all: what the chunks before have added to it is taken away again.
        sums = np.cumsum(steps, dtype=np.int64)
        stops = np.cumsum(counts[:, kind])
        added = np.concatenate(([0], sums))[stops - counts[:, kind]]
        found.append(sums + np.repeat(first - added, counts[:, kind]))
    return LevelMarks(*found)
