"""Where the lines of a run of bytes end, which the platform wrote, which tell of errors.

The rules are `logsvc.model.line`'s, line by line; here they are applied to megabytes: only lines
that hold a mark or a level word are looked at closely, the rest are counted by numpy.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator

import numpy as np

from logsvc.model.line import (
    BODY_ANNOUNCED,
    GLOG_START,
    LEVEL_BYTES,
    LEVEL_WORDS,
    MARKS,
    SystemRule,
    level_of,
)

SMALL_BYTES = 4096  # up to here plain Python is faster than numpy's calls


def _table(octets: bytes) -> np.ndarray:
    """Whether each of the 256 byte values is one of these."""
    table = np.zeros(256, np.bool_)
    table[list(octets)] = True
    return table


_GLOG_STARTS = _table(GLOG_START)
_GLOG_LETTERS = {bytes([letter]) for letter in GLOG_START}
_MARK_STARTS = _table(b"".join(mark[:1] + mark[:1].upper() for mark in MARKS))


class LineMarks:
    r"""
    What is known of the lines that end in a run of bytes.

    Attributes:
        ends: places of the `\n`, relative to the run's start.
        system, errors, warnings: which of these lines, by index into `ends`, ascending.
    """

    __slots__ = ("ends", "errors", "system", "warnings")

    def __init__(self) -> None:
        self.ends = array("I")
        self.system = array("I")
        self.errors = array("I")
        self.warnings = array("I")

    def cut(self, lines: int, size: int) -> LineMarks:
        """Marks of what follows the first `lines` lines, `size` bytes."""
        rest = LineMarks()
        rest.ends = _less(self.ends[lines:], size)
        rest.system = _less(from_index(self.system, lines), lines)
        rest.errors = _less(from_index(self.errors, lines), lines)
        rest.warnings = _less(from_index(self.warnings, lines), lines)
        return rest


class LineScanner:
    """Feeds bytes in offset order to the rules; carries the open line from one run to the next."""

    __slots__ = ("open_head", "rule")

    def __init__(self) -> None:
        self.rule = SystemRule()
        self.open_head = b""  # first bytes of the open line, for its level

    def copy(self) -> LineScanner:
        """An independent scanner in the same state."""
        other = LineScanner()
        other.rule, other.open_head = self.rule.copy(), self.open_head
        return other

    def state(self) -> list[object]:
        """Everything carried, as JSON values."""
        return [self.open_head.decode("latin-1"), *self.rule.state()]

    @classmethod
    def from_state(cls, state: list[object]) -> LineScanner:
        """A scanner that goes on where `state` was taken."""
        scanner = cls()
        if state:
            scanner.open_head = str(state[0]).encode("latin-1")
            scanner.rule = SystemRule.from_state(state[1:])
        return scanner

    def scan(self, data: bytes, base: int, marks: LineMarks, words: np.ndarray | None = None) -> None:
        """
        Add the lines that end in `data`, which lies `base` bytes into the run of `marks`.

        Args:
            words: where `data` may hold a mark or a level word (ascending; more does no harm), for
                those who have found them already.
        """
        if len(data) <= SMALL_BYTES:
            self._scan_small(data, base, marks)
            return
        octets = np.frombuffer(data, np.uint8)
        ends = np.flatnonzero(octets == 10)
        if not len(ends):
            self._push(data)
            return
        if words is None:
            words = find_words(data.lower())
        first = len(marks.ends)
        marks.ends.frombytes((ends + base).astype(np.uint32).tobytes())
        self._find_levels(data, octets, ends, words, first, marks)
        self._find_system(data, octets, ends, words, first, marks)
        self.open_head = b""
        self._push(data[int(ends[-1]) + 1 :])

    def _scan_small(self, data: bytes, base: int, marks: LineMarks) -> None:
        """The same, line by line."""
        folded = data.lower()
        marked = any(mark in folded for mark in MARKS)
        telling = any(word in folded for word in LEVEL_WORDS)
        start, end = 0, data.find(b"\n")
        while end >= 0:
            index = len(marks.ends)
            marks.ends.append(base + end)
            line = data[start:end]
            if (marked or not self.rule.quiet) and self.rule.feed(line):
                marks.system.append(index)
            if self.open_head:
                line, self.open_head = self.open_head + line, b""
                _add_level(level_of(line), index, marks)
            elif telling or line[:1] in _GLOG_LETTERS:
                _add_level(level_of(line), index, marks)
            start = end + 1
            end = data.find(b"\n", start)
        self._push(data[start:])

    def _push(self, piece: bytes) -> None:
        self.rule.push(piece)
        if len(self.open_head) < LEVEL_BYTES:
            self.open_head = (self.open_head + piece[:LEVEL_BYTES])[:LEVEL_BYTES]

    def _find_levels(
        self, data: bytes, octets: np.ndarray, ends: np.ndarray, words: np.ndarray, first: int, marks: LineMarks
    ) -> None:
        # The first line may have begun before `data`.
        _add_level(level_of(self.open_head + data[: min(int(ends[0]), LEVEL_BYTES)]), first, marks)
        starts = ends[:-1] + 1
        glog = starts[_GLOG_STARTS[octets[starts]]]
        glog = glog[octets[glog + 1] - np.uint8(48) < 10]  # a digit follows
        words = words[~_MARK_STARTS[octets[words]]]
        places = np.sort(np.concatenate((words, glog)))
        lines, firsts = np.unique(np.searchsorted(ends, places), return_index=True)
        for index, place in zip(lines.tolist(), places[firsts].tolist(), strict=True):
            if index == len(ends):
                break
            if index:
                start = int(ends[index - 1]) + 1
                if place - start < LEVEL_BYTES:
                    line = data[start : min(int(ends[index]), start + LEVEL_BYTES)]
                    _add_level(level_of(line, place - start), first + index, marks)

    def _find_system(
        self, data: bytes, octets: np.ndarray, ends: np.ndarray, words: np.ndarray, first: int, marks: LineMarks
    ) -> None:
        rule, count = self.rule, len(ends)
        words = words[_MARK_STARTS[octets[words]]]
        places = [place for place in words.tolist() if _is_mark(data, place)]
        marked = np.unique(np.searchsorted(ends, np.array(places, np.int64))).tolist() if places else []
        at = 0  # the next line to judge
        next_marked = 0
        while at < count:
            while at < count and not rule.quiet:
                start = int(ends[at - 1]) + 1 if at else 0
                if rule.feed(data[start : int(ends[at])]):
                    marks.system.append(first + at)
                at += 1
            while next_marked < len(marked) and marked[next_marked] < at:
                next_marked += 1
            if next_marked == len(marked) or marked[next_marked] >= count:
                return
            at = marked[next_marked]
            start, end = int(ends[at - 1]) + 1 if at else 0, int(ends[at])
            marks.system.append(first + at)
            if data[start:end].rstrip(b" \r").endswith(BODY_ANNOUNCED):
                rule.feed(data[start:end])
            at += 1


WORDS = (*MARKS, *LEVEL_WORDS)


def find_words(folded: bytes) -> np.ndarray:
    """Where folded bytes hold a mark or a level word, at least once a line of each: ascending."""
    return np.sort(np.array([place for word in WORDS for place in _one_a_line(folded, word)], np.int64))


def _is_mark(data: bytes, place: int) -> bool:
    return any(data[place : place + len(mark)].lower() == mark for mark in MARKS)


def from_index(positions: array[int], first: int) -> array[int]:
    """Those of ascending `positions` that are not below `first`."""
    return positions[int(np.searchsorted(_view(positions), first)) :]


def below_index(positions: array[int], end: int) -> array[int]:
    """Those of ascending `positions` that are below `end`."""
    return positions[: int(np.searchsorted(_view(positions), end))]


def _view(positions: array[int]) -> np.ndarray:
    # A copy: an array that exports its buffer cannot grow.
    return np.frombuffer(positions.tobytes(), np.uint32)


def _less(positions: array[int], by: int) -> array[int]:
    out = array("I")
    out.frombytes((_view(positions) - np.uint32(by)).tobytes())
    return out


def _one_a_line(folded: bytes, word: bytes) -> Iterator[int]:
    place = folded.find(word)
    while place >= 0:
        yield place
        end = folded.find(b"\n", place)
        if end < 0:
            return
        place = folded.find(word, end)


def _add_level(level: str | None, index: int, marks: LineMarks) -> None:
    if level == "error":
        marks.errors.append(index)
    elif level:
        marks.warnings.append(index)
