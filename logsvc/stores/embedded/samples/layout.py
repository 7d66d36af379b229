"""Which samples a block holds: its series, and at which times each has one.

Cards of one node are read together, so their times are kept once. Series with the same times form a
run: their values are a matrix, and what is done with one of them is done with all at once.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from logsvc.stores.embedded.samples.numbers import Damaged, pack_integers, unfold, unpack_integers
from logsvc.stores.embedded.zstd import compress

Times = NDArray[np.int64]
_SIZES = struct.Struct("<II")


class Run(NamedTuple):
    """Series of one kind with the same times."""

    kind: str
    series: list[int]
    times: int  # which of `Layout.groups`


@dataclass(frozen=True)
class Records:
    """
    Samples in any order, shape (samples,); no two have both series and time alike.

    `values` has shape (samples, readings); a kind has as many of them as it has readings.
    """

    series: NDArray[np.int64]
    at_ms: Times
    values: NDArray[np.float64]


@dataclass(frozen=True)
class Layout:
    """Runs, one after the other as their values lie; `groups`: the times of each, ascending."""

    groups: list[Times]
    runs: list[Run]

    @property
    def samples(self) -> int:
        """How many there are."""
        return sum(len(run.series) * len(self.groups[run.times]) for run in self.runs)

    @property
    def first_ms(self) -> int:
        """The earliest time."""
        return min(int(times[0]) for times in self.groups)

    @property
    def last_ms(self) -> int:
        """The latest time."""
        return max(int(times[-1]) for times in self.groups)

    def kinds(self) -> list[str]:
        """Kinds that have samples."""
        return list(dict.fromkeys(run.kind for run in self.runs))

    def size_of(self, kind: str) -> int:
        """How many samples are of a kind."""
        return sum(len(run.series) * len(self.groups[run.times]) for run in self.runs if run.kind == kind)

    def matrices(self, kind: str, column: NDArray[np.float64]) -> Iterator[tuple[Run, Times, NDArray[np.float64]]]:
        """The runs of a kind with their part of a column, shape (series, times)."""
        at = 0
        for run in self.runs:
            if run.kind == kind:
                times = self.groups[run.times]
                size = len(run.series) * len(times)
                yield run, times, column[at : at + size].reshape(len(run.series), len(times))
                at += size


def arranged(records: Records, kind_of: Callable[[int], str]) -> tuple[Layout, NDArray[np.intp]]:
    """The layout of these samples, and the order in which their values follow it."""
    order = np.lexsort((records.at_ms, records.series))
    series, at_ms = records.series[order], records.at_ms[order]
    starts = np.flatnonzero(np.diff(series, prepend=series[0] - 1))
    groups: dict[bytes, int] = {}
    found: list[tuple[str, int, int, int, int]] = []  # kind, group, series, its samples in `order`
    for start, end in itertools.pairwise([*starts.tolist(), len(series)]):
        id_ = int(series[start])
        group = groups.setdefault(at_ms[start:end].tobytes(), len(groups))
        found.append((kind_of(id_), group, id_, start, end))
    found.sort()
    runs = [
        Run(kind, [one[2] for one in each], group)
        for (kind, group), each in itertools.groupby(found, key=lambda one: one[:2])
    ]
    places = np.concatenate([order[start:end] for *_, start, end in found])
    return Layout([np.frombuffer(times, np.int64) for times in groups], runs), places


def pack_layout(layout: Layout) -> bytes:
    """A layout as bytes: sizes, what is few as JSON, all times, and which of them each group has."""
    times = np.unique(np.concatenate(layout.groups))
    groups, bits = [], []
    for group in layout.groups:
        places = np.searchsorted(times, group)
        low, high = int(places[0]), int(places[-1]) + 1
        whole = len(group) == high - low
        groups.append((low, high, whole))
        if not whole:
            bits.append(_bits(places))
    few = orjson.dumps({"groups": groups, "runs": [list(run) for run in layout.runs]})
    all_times = pack_integers(times)
    return compress(b"".join([_SIZES.pack(len(few), len(all_times)), few, all_times, *bits]))


def unpack_layout(data: bytes) -> Layout:
    """A layout from its bytes; raises Damaged."""
    unfolded = unfold(data)
    try:
        few_size, times_size = _SIZES.unpack_from(unfolded)
        at = _SIZES.size + few_size
        few = orjson.loads(memoryview(unfolded)[_SIZES.size : at])
        times = unpack_integers(unfolded[at : at + times_size])
        at += times_size
        groups = []
        for low, high, whole in few["groups"]:
            group = times[low:high]
            if not whole:
                size = (high - low + 7) // 8
                held = np.unpackbits(np.frombuffer(unfolded, np.uint8, size, at), count=high - low)
                group = group[held.view(np.bool_)]
                at += size
            groups.append(group)
        runs = [Run(*run) for run in few["runs"]]
        sound = bool(runs) and all(len(group) for group in groups) and all(run.series for run in runs)
        if not sound or max(run.times for run in runs) >= len(groups):
            raise Damaged("a layout without times")
    except (ValueError, KeyError, TypeError, struct.error) as exc:
        raise Damaged(f"no layout: {exc}") from exc
    return Layout(groups, runs)


def _bits(places: NDArray[np.intp]) -> bytes:
    """Which of the times between its first and its last a group has."""
    held = np.zeros(int(places[-1] - places[0]) + 1, np.uint8)
    held[places - places[0]] = 1
    return np.packbits(held).tobytes()
