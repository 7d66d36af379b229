"""A whole stream in a few numbers: its rows in buckets, and what of them is in each.

Errors and warnings are told by the chunks' marks, many chunks at a time; none is unpacked for them.
"""

from __future__ import annotations

from bisect import bisect_right

import numpy as np

from logsvc.model.query import Lines
from logsvc.stores.embedded.blocks import Blocks, Snapshot
from logsvc.stores.embedded.limits import Limits
from logsvc.stores.embedded.marks import LevelMarks, decode_levels

BATCH_BYTES = 4 << 20  # of marks, decoded at once


class Buckets:
    """The rows of a snapshot, lines or user lines, in at most `most` buckets of about equal size."""

    def __init__(self, snap: Snapshot, lines: Lines, most: int) -> None:
        self.rows = snap.total_lines if lines == "all" else snap.total_users
        self.users_only = lines == "user"
        number = min(most, self.rows)
        self._starts = [index * self.rows // number for index in range(number)]  # first row of each

    def empty(self) -> np.ndarray:
        """Nothing in any."""
        return np.zeros(len(self._starts), np.int64)

    def count(
        self, counts: np.ndarray, indices: np.ndarray, system: np.ndarray, *, lines_before: int, users_before: int
    ) -> None:
        """
        Add lines to the counts of their buckets; system lines are no user rows.

        Args:
            indices: of the lines in a run of lines, ascending.
            system: which of the run's lines the platform wrote, likewise.
            lines_before, users_before: lines and user lines in front of the run.
        """
        rows = indices + lines_before
        if self.users_only:
            hidden = np.searchsorted(system, indices)
            own = hidden == np.searchsorted(system, indices, "right")
            rows = (indices - hidden)[own] + users_before
        if not len(rows):
            return
        first, last = (bisect_right(self._starts, int(row)) - 1 for row in (rows[0], rows[-1]))
        cuts = np.searchsorted(rows, self._starts[first + 1 : last + 1])
        counts[first : last + 1] += np.diff(cuts, prepend=0, append=len(rows))


def levels(blocks: Blocks, snap: Snapshot, buckets: Buckets, limits: Limits) -> tuple[np.ndarray, np.ndarray]:
    """Error lines and warning lines in each bucket; as far as it came, past the deadline."""
    errors, warnings = buckets.empty(), buckets.empty()

    def add(marks: LevelMarks, lines_before: int, users_before: int) -> None:
        for counts, indices in ((errors, marks.errors), (warnings, marks.warnings)):
            buckets.count(counts, indices, marks.system, lines_before=lines_before, users_before=users_before)

    for batch in blocks.marks(snap, BATCH_BYTES):
        lines_before, users_before, _ = batch[0]
        add(decode_levels([(before - lines_before, marks) for before, _, marks in batch]), lines_before, users_before)
        if limits.passed:
            return errors, warnings
    tail = snap.tail
    add(LevelMarks(tail.marks.system, tail.marks.errors, tail.marks.warnings), tail.lines_before, tail.users_before)
    if snap.open_line and not (snap.open_system and buckets.users_only):
        errors[-1] += snap.open_level == "error"
        warnings[-1] += snap.open_level == "warning"
    return errors, warnings
