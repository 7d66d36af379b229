"""Mean utilization over the last hour, for the line in the list: in few bytes, since every job ever seen has one."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

PARTS = 30
SLOT_MS = 10_000  # a job of a minute has a line too
SLOTS = 360  # an hour


class Hour:
    """
    Readings, summed by slots of ten seconds.

    Each slot has its place, which the next one takes an hour later. So what comes from a clock that is far
    ahead costs the place of one slot only.
    """

    def __init__(self) -> None:
        self._slot, self._count = array("i", [-1] * SLOTS), array("i", [0] * SLOTS)
        self._sum = array("f", [0.0] * SLOTS)

    def add(self, slot: int, total: float, count: int = 1) -> None:
        """Readings of one slot; those of an hour before the slot that is held count no more."""
        place = slot % SLOTS
        if slot > self._slot[place]:
            self._slot[place], self._sum[place], self._count[place] = slot, 0.0, 0
        if slot == self._slot[place]:
            self._sum[place] += total
            self._count[place] += count

    def means(self, made: int, last: int) -> list[float | None]:
        """
        Means of equal parts up to the slot `last`, at most `PARTS`; None: a part without readings.

        Args:
            made: slot with which they begin, unless there are earlier readings; an hour back at most.
        """
        held = np.frombuffer(self._slot, np.int32)
        began = min([made, *held[(held > last - SLOTS) & (held <= last)].tolist()])
        slots = min(SLOTS, max(1, last + 1 - began))
        each = -(-slots // PARTS)
        shown = np.arange(last + 1 - each * -(-slots // each), last + 1)
        there = held[shown % SLOTS] == shown
        sums, counts = (self._of_parts(values, shown, there, each) for values in (self._sum, self._count))
        return [round(total / count, 1) if count else None for total, count in _pairs(sums, counts)]

    def _of_parts(
        self, values: array[float] | array[int], shown: NDArray[np.int64], there: NDArray[np.bool_], each: int
    ) -> NDArray[np.float64]:
        of_slots = np.frombuffer(values, values.typecode)[shown % SLOTS].astype(np.float64)
        return np.where(there, of_slots, 0.0).reshape(-1, each).sum(axis=1)


def _pairs(first: NDArray[np.float64], second: NDArray[np.float64]) -> Iterable[tuple[float, float]]:
    return zip(first.tolist(), second.tolist(), strict=True)
