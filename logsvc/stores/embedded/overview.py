"""A whole stream in a few numbers: its rows in buckets, and what of them is in each.

Errors and warnings are told by the chunks' marks; no chunk is unpacked for them.
"""

from __future__ import annotations

import numpy as np

from logsvc.model.query import Lines
from logsvc.stores.embedded.blocks import Blocks, Snapshot
from logsvc.stores.embedded.limits import Limits
from logsvc.stores.embedded.packer import ChunkMarks


class Buckets:
    """The rows of a snapshot, lines or user lines, in at most `most` buckets of about equal size."""

    def __init__(self, snap: Snapshot, lines: Lines, most: int) -> None:
        self.rows = snap.total_lines if lines == "all" else snap.total_users
        self.number = min(most, self.rows)
        self.users_only = lines == "user"

    def empty(self) -> np.ndarray:
        """Nothing in any."""
        return np.zeros(self.number, np.int64)

    def count(self, indices: np.ndarray, lines_before: int, users_before: int, marks: ChunkMarks) -> np.ndarray:
        """How many of a block's lines are in each bucket, by their ascending indices; system lines are no user rows."""
        if self.users_only:
            system = np.searchsorted(marks.system, indices)
            if len(marks.system):
                nearest = marks.system[np.minimum(system, len(marks.system) - 1)]
                indices, system = indices[nearest != indices], system[nearest != indices]
            rows = indices - system + users_before
        else:
            rows = indices + lines_before
        return np.bincount(((rows + 1) * self.number - 1) // max(self.rows, 1), minlength=self.number)


def levels(blocks: Blocks, snap: Snapshot, buckets: Buckets, limits: Limits) -> tuple[np.ndarray, np.ndarray]:
    """Error lines and warning lines in each bucket; as far as it came, past the deadline."""
    errors, warnings = buckets.empty(), buckets.empty()
    tail = snap.tail
    for lines_before, users_before, marks in blocks.marks(snap):
        errors += buckets.count(marks.errors, lines_before, users_before, marks)
        warnings += buckets.count(marks.warnings, lines_before, users_before, marks)
        if limits.passed:
            return errors, warnings
    for level, positions, counts in (("error", tail.marks.errors, errors), ("warning", tail.marks.warnings, warnings)):
        counts += buckets.count(positions, tail.lines_before, tail.users_before, tail.marks)
        if snap.open_level == level and not (snap.open_system and buckets.users_only):
            counts[-1] += 1
    return errors, warnings
