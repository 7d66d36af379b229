"""Which samples a block holds: its series, and at which times each has one.

Cards of one node are read together, so their times are kept once. Series with the same times form a
run: their values are a matrix, and what is done with one of them is done with all at once.
"""

from __future__ import annotations

import itertools
import json
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import zstandard
from numpy.typing import NDArray

from logsvc.stores.embedded.samples.numbers import Damaged, pack_integers, unpack_integers
from logsvc.stores.embedded.zstd import compress, decompress

Times = NDArray[np.int64]
_SIZE = struct.Struct("<I")


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
    """A layout as bytes."""
    times = np.unique(np.concatenate(layout.groups))
    places = [np.searchsorted(times, group) for group in layout.groups]
    low, high = [int(each[0]) for each in places], [int(each[-1]) + 1 for each in places]
    kinds = layout.kinds()
    parts = [
        json.dumps(kinds).encode(),
        pack_integers(times),
        _packed(low),
        _packed(high),
        compress(b"".join(_bits(each) for each in places)),
        _packed([kinds.index(run.kind) for run in layout.runs]),
        _packed([run.times for run in layout.runs]),
        _packed([len(run.series) for run in layout.runs]),
        _packed([id_ for run in layout.runs for id_ in run.series]),
    ]
    return b"".join(_SIZE.pack(len(part)) + part for part in parts)


def unpack_layout(data: bytes) -> Layout:
    """A layout from its bytes; raises Damaged."""
    try:
        parts = list(_parts(data))
        kinds = json.loads(parts[0])
        times, low, high = (unpack_integers(part) for part in parts[1:4])
        bits = decompress(parts[4])
        of_kind, of_group, sizes, ids = (unpack_integers(part).tolist() for part in parts[5:])
        groups, at = [], 0
        for start, end in zip(low.tolist(), high.tolist(), strict=True):
            size = (end - start + 7) // 8
            held = np.unpackbits(np.frombuffer(bits, np.uint8, size, at), count=end - start)
            groups.append(times[start:end][held.view(np.bool_)])
            at += size
        rest = iter(ids)
        runs = [
            Run(kinds[kind], list(itertools.islice(rest, size)), group)
            for kind, group, size in zip(of_kind, of_group, sizes, strict=True)
        ]
    except (ValueError, IndexError, TypeError, struct.error, zstandard.ZstdError) as exc:
        raise Damaged(f"no layout: {exc}") from exc
    if not runs or not all(len(times) for times in groups) or any(run.times >= len(groups) for run in runs):
        raise Damaged("a layout without times")
    return Layout(groups, runs)


def _packed(numbers: Sequence[int]) -> bytes:
    return pack_integers(np.array(numbers, dtype=np.int64))


def _bits(places: NDArray[np.intp]) -> bytes:
    """Which of the times between its first and its last a group has."""
    held = np.zeros(int(places[-1] - places[0]) + 1, np.uint8)
    held[places - places[0]] = 1
    return np.packbits(held).tobytes()


def _parts(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        (size,) = _SIZE.unpack_from(data, at)
        at += _SIZE.size
        yield data[at : at + size]
        at += size
