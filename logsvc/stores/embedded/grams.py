"""The filter that says in which chunks a needle cannot be.

A chunk's filter is a set of 2^17 bits: the hashed 4-grams of its bytes, folded. The filters of
64 columns are a group, transposed: one 64-bit word for each hash value, one bit for each column, so
that asking a needle of the whole store is a handful of words a group. Full groups lie one after
another in one memory-mapped file; the open group is in memory, its columns in the catalog. A column
holds one chunk, or several small ones.

The filter only ever skips, it never decides.
"""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from logsvc.stores.embedded.octets import eights_at, fold, true_places

BITS = 17
VALUES = 1 << BITS
COLUMNS = 64  # of a group
COLUMN_BYTES = VALUES // 8
GROUP_BYTES = VALUES * 8
SEVERAL = 0  # stream number of a column that holds chunks of several streams

_FACTOR = np.uint32(0x85EBCA6B)
_SHIFT = np.uint32(32 - BITS)
_BLOCK = 128 * 1024  # grams hashed at a time: scratch stays in the cache

_scratch = threading.local()


class Words:
    """Words of four bytes or more, made ready to be found in any case while a filter is made."""

    def __init__(self, words: Sequence[bytes]) -> None:
        folded = [fold(np.frombuffer(word, np.uint8)).tobytes() for word in words]
        self._eights = [np.uint64(int.from_bytes(word[:8], "little")) for word in folded if len(word) >= 8]
        self._fours = [np.uint64(int.from_bytes(word[:4], "little")) for word in folded if len(word) < 8]
        self.hashes = np.zeros(VALUES, np.bool_)  # of their first four bytes
        self.hashes[[int(gram_hashes(word[:4])[0]) for word in words]] = True

    def begin(self, octets: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Whether one of them begins at each of the places of folded bytes, as far as eight bytes tell."""
        near = eights_at(octets, places)
        first = near & np.uint64(0xFFFFFFFF)
        found = np.zeros(len(places), np.bool_)
        for number in self._eights:
            found |= near == number
        for number in self._fours:
            found |= first == number
        return found


def column_of(octets: np.ndarray, words: Words | None = None) -> tuple[bytes, np.ndarray]:
    """
    Filter of one chunk from its bytes.

    Args:
        words: what else is to be found on the way.

    Returns: 2^17 bits, and all places where one of the words begins, ascending (perhaps some where
    only its first eight bytes do, or its first four for a word of less than eight, or bytes that
    `fold` makes the same).
    """
    octets = fold(octets)
    column = np.zeros(VALUES, np.uint8)
    if not hasattr(_scratch, "hashes"):
        _scratch.hashes = np.empty(_BLOCK, np.uint32)
        _scratch.index = np.empty(_BLOCK, np.intp)
        _scratch.hits = np.empty(_BLOCK, np.bool_)
    found = []
    for phase in range(min(4, len(octets))):
        grams = octets[phase : phase + (len(octets) - phase) // 4 * 4].view("<u4")
        for start in range(0, len(grams), _BLOCK):
            block = grams[start : start + _BLOCK]
            hashes, index = _scratch.hashes[: len(block)], _scratch.index[: len(block)]
            np.multiply(block, _FACTOR, out=hashes)
            np.right_shift(hashes, _SHIFT, out=hashes)
            index[:] = hashes
            column[index] = 1
            if words:
                hits = np.take(words.hashes, index, out=_scratch.hits[: len(block)], mode="clip")
                found.append(true_places(hits) * 4 + (start * 4 + phase))
    bits = np.packbits(column).tobytes()
    if not found or words is None:
        return bits, np.empty(0, np.int64)
    places = np.sort(np.concatenate(found))
    return bits, places[words.begin(octets, places)]


def gram_hashes(needle: bytes) -> np.ndarray:
    """Hashes of the 4-grams of a needle, folded as chunks are: shape (n,), distinct."""
    octets = fold(np.frombuffer(needle, np.uint8)).astype(np.uint32)
    if len(octets) < 4:
        return np.empty(0, np.intp)
    grams = octets[:-3] | octets[1:-2] << 8 | octets[2:-1] << 16 | octets[3:] << 24
    return np.unique((grams * _FACTOR) >> _SHIFT).astype(np.intp)


@dataclass(frozen=True)
class Requirement:
    """
    What a chunk must hold to be worth a look: of every alternation, at least one of the literals.

    Attributes:
        alternations: each a list of literals' hashes; without any, every chunk is a candidate.
        any_invalid: chunks with invalid UTF-8 are candidates whatever they hold.
        any_folding: so are chunks with U+017F or U+212A.
    """

    alternations: list[list[np.ndarray]]
    any_invalid: bool = False
    any_folding: bool = False


@dataclass(frozen=True)
class _State:
    """What a question is asked of; replaced as a whole when a group is full."""

    full: np.ndarray  # shape (groups, VALUES), uint64, in the mapped file
    open: np.ndarray  # byte k of each of those words: shape (8, VALUES), uint8
    streams: np.ndarray  # whose chunks a column holds: shape (groups + 1, COLUMNS), int64
    invalid: np.ndarray  # columns with invalid UTF-8: shape (groups + 1,), uint64
    folding: np.ndarray  # columns with U+017F or U+212A: likewise


class FilterGroups:
    """All filters of a store. One thread writes; any may ask."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._begin([], np.empty((0, VALUES), np.uint64))

    def _begin(self, groups: list[tuple[bytes, int, int]], full: np.ndarray) -> None:
        self._state = _State(
            full,
            np.zeros((COLUMNS // 8, VALUES), np.uint8),
            np.array([*(np.frombuffer(streams, np.int64) for streams, _, _ in groups), np.zeros(COLUMNS, np.int64)]),
            np.array([*(invalid & _ALL for _, invalid, _ in groups), 0], np.uint64),
            np.array([*(folding & _ALL for _, _, folding in groups), 0], np.uint64),
        )
        self.columns = len(groups) * COLUMNS  # given out; the next one's number
        self._used: set[int] = set()  # columns of the open group that hold a chunk
        self._small: int | None = None  # the column that takes small chunks
        self._small_bytes = 0

    @property
    def open_group(self) -> int:
        """Number of the group that is being filled."""
        return len(self._state.full)

    def load(self, groups: list[tuple[bytes, int, int]], columns: list[tuple[int, int, int, int, bytes]]) -> None:
        """
        Take up what the catalog holds, and nothing else.

        Args:
            groups: for each full group its 64 streams (int64), its invalid and its folding columns.
            columns: of the open group: number, stream, invalid, folding (0 or 1), 2^17 bits.
        """
        self._begin(groups, self._mapped(len(groups)))
        for number, stream, invalid, folding, bits in columns:
            self.add(number, stream, invalid=bool(invalid), folding=bool(folding), bits=bits)
            self.columns = max(self.columns, number + 1)

    def place(self, size: int, *, small_below: int, full_at: int) -> int:
        """
        Number of the column for a chunk of `size` bytes; small chunks share one.

        The caller closes the group first where `is_full`.
        """
        if size < small_below:
            if self._small is not None and self._small_bytes + size <= full_at:
                self._small_bytes += size
                return self._small
            self._small, self._small_bytes = self.columns, size
        self.columns += 1
        return self.columns - 1

    @property
    def is_full(self) -> bool:
        """No further column can be begun in the open group."""
        return self.columns >= (self.open_group + 1) * COLUMNS

    def add(
        self, number: int, stream: int, *, invalid: bool, folding: bool, bits: bytes
    ) -> tuple[int, bool, bool, bytes]:
        """
        Put a chunk into a column of the open group.

        Returns: the column's row for the catalog: stream, invalid, folding, bits; of all its chunks.
        """
        state, one = self._state, np.uint64(1 << number % COLUMNS)
        plane, bit = state.open[number % COLUMNS // 8], np.uint8(number % 8)
        column = np.unpackbits(np.frombuffer(bits, np.uint8))
        np.left_shift(column, bit, out=column)
        np.bitwise_or(plane, column, out=plane)
        if invalid:
            state.invalid[-1] |= one
        if folding:
            state.folding[-1] |= one
        owners = state.streams[-1]
        if number not in self._used:
            self._used.add(number)
            owners[number % COLUMNS] = stream
            return stream, invalid, folding, bits
        if owners[number % COLUMNS] != stream:
            owners[number % COLUMNS] = SEVERAL
        bits = np.packbits(plane & (np.uint8(1) << bit)).tobytes()
        return int(owners[number % COLUMNS]), bool(state.invalid[-1] & one), bool(state.folding[-1] & one), bits

    def write_open_group(self) -> tuple[bytes, int, int]:
        """Write the full open group to the file and sync it; returns its row for the catalog."""
        state = self._state
        place = self.open_group * GROUP_BYTES
        data = memoryview(np.ascontiguousarray(state.open.T).tobytes())
        written = 0
        while written < GROUP_BYTES:
            written += os.pwrite(self._file, data[written:], place + written)
        os.fdatasync(self._file)
        return state.streams[-1].tobytes(), _signed(state.invalid[-1]), _signed(state.folding[-1])

    def begin_group(self) -> None:
        """Go on with an empty group, when the full one was written."""
        state = self._state
        self._state = _State(
            self._mapped(self.open_group + 1),
            np.zeros((COLUMNS // 8, VALUES), np.uint8),
            np.concatenate((state.streams, np.zeros((1, COLUMNS), np.int64))),
            np.append(state.invalid, np.uint64(0)),
            np.append(state.folding, np.uint64(0)),
        )
        self._small = None
        self._used = set()

    def candidates(self, need: Requirement, stream: int | None) -> np.ndarray:
        """Numbers of the columns that may hold the needle, of one stream's chunks or of all."""
        state, columns = self._state, self.columns
        groups = len(state.full) + 1
        words = np.full(groups, _ALL, np.uint64)
        for alternation in need.alternations:
            either = np.zeros(groups, np.uint64)
            for hashes in alternation:
                either[:-1] |= np.bitwise_and.reduce(state.full[:, hashes], axis=1)
                either[-1] |= np.bitwise_and.reduce(state.open[:, hashes], axis=1).view(np.uint64)[0]
            words &= either
        if need.any_invalid:
            words |= state.invalid
        if need.any_folding:
            words |= state.folding
        bits = np.unpackbits(words.view(np.uint8), bitorder="little")  # little-endian words: bit k is column k
        found = np.flatnonzero(bits)
        if stream is not None:
            owners = state.streams.reshape(-1)[found]
            found = found[(owners == stream) | (owners == SEVERAL)]
        return found[found < columns]

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _mapped(self, groups: int) -> np.ndarray:
        size = groups * GROUP_BYTES
        if not size:
            return np.empty((0, VALUES), np.uint64)
        missing = size - os.fstat(self._file).st_size
        if missing > 0:
            # A lost filter costs time, never a match: with all bits set, its chunks are looked at.
            os.pwrite(self._file, b"\xff" * missing, size - missing)
        return np.frombuffer(mmap.mmap(self._file, size, access=mmap.ACCESS_READ), np.uint64).reshape(groups, VALUES)


_ALL = (1 << 64) - 1


def _signed(word: np.uint64) -> int:
    return int(word.astype(np.int64))
