"""Where the lines of a run of bytes end, which the platform wrote, which tell of errors.

The rules are `logsvc.model.line`'s, line by line; here they are applied to megabytes: only lines
that hold a mark or a level word are looked at at all, and of those most are settled by numpy, too.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

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
from logsvc.stores.embedded.octets import WORD_OCTETS, bytes_at, eights_at, line_ends, octet_table

SMALL_BYTES = 4096  # up to here plain Python is faster than numpy's calls


_GLOG_STARTS = octet_table(GLOG_START)
_GLOG_LETTERS = {bytes([letter]) for letter in GLOG_START}
_MARK_STARTS = octet_table(b"".join(mark[:1] + mark[:1].upper() for mark in MARKS))
_MARK_BYTES = max(map(len, MARKS))
# A line whose last byte is none of these announces no body (and `_find_system` need not look closer).
_MAY_ANNOUNCE = octet_table(b" \r" + BODY_ANNOUNCED[-1:])
# Level words that decide by themselves where they are a line's first level word and stand alone.
# No "." may follow: what is before it could be the start of a name that ends in Error.
_PLAIN_WORDS = [
    (len(word), np.uint64(int.from_bytes(word, "little")), np.uint64((1 << 8 * len(word)) - 1), level)
    for word, level in (
        (b"ERROR", "error"),
        (b"FATAL", "error"),
        (b"CRITICAL", "error"),
        (b"WARN", "warning"),
        (b"WARNING", "warning"),
    )
]
_PLAIN_BYTES = LEVEL_BYTES - 9  # of a line, in which they decide
_AFTER_PLAIN = ~WORD_OCTETS & ~octet_table(b".")


@dataclass(frozen=True)
class Look:
    r"""
    What can be known of bytes without knowing what comes before them.

    Attributes:
        ends: places of `\n`, ascending.
        words: places of marks and level words, ascending; perhaps more.
    """

    ends: np.ndarray
    words: np.ndarray


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

    def scan(self, data: bytes, base: int, marks: LineMarks, look: Look | None = None) -> None:
        """
        Add the lines that end in `data`, which lies `base` bytes into the run of `marks`.

        Args:
            look: at `data`, of those who had it already.
        """
        if len(data) <= SMALL_BYTES:
            self._scan_small(data, base, marks)
            return
        look = look or Look(line_ends(data), find_words(data.lower()))
        if not len(look.ends):
            self._push(data)
            return
        octets = np.frombuffer(data, np.uint8)
        first = len(marks.ends)
        marks.ends.frombytes((look.ends + base).astype(np.uint32).tobytes())
        self._find_levels(data, octets, look, first, marks)
        self._find_system(data, octets, look, first, marks)
        self.open_head = b""
        self._push(data[int(look.ends[-1]) + 1 :])

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

    def _find_levels(self, data: bytes, octets: np.ndarray, look: Look, first: int, marks: LineMarks) -> None:
        # The first line may have begun before `data`.
        ends = look.ends
        _add_level(level_of(self.open_head + data[: min(int(ends[0]), LEVEL_BYTES)]), first, marks)
        starts = ends[:-1] + 1
        glog = starts[_GLOG_STARTS[octets[starts]]]
        glog = glog[octets[glog + 1] - np.uint8(48) < 10]  # a digit follows
        words = look.words[~_MARK_STARTS[octets[look.words]]]
        places = np.sort(np.concatenate((words, glog)))
        lines = np.searchsorted(ends, places)
        leading = np.diff(lines, prepend=0) > 0  # the first place of a line other than the first line
        lines, places = lines[leading], places[leading]
        whole = lines < len(ends)
        lines, places = lines[whole], places[whole]
        starts = starts[lines - 1]
        near = places - starts < LEVEL_BYTES
        lines, places, starts = lines[near], places[near], starts[near]
        alone = ~WORD_OCTETS[octets[places - 1]] & (places - starts < _PLAIN_BYTES)
        eights = eights_at(octets, places)
        settled = np.zeros(len(lines), np.bool_)
        of_level: dict[str | None, list[int]] = {"error": [], "warning": [], None: []}
        for size, number, mask, level in _PLAIN_WORDS:
            plain = alone & (eights & mask == number) & _AFTER_PLAIN[octets[np.minimum(places + size, len(octets) - 1)]]
            of_level[level] += lines[plain].tolist()
            settled |= plain
        open_ = ~settled
        stops = np.minimum(ends[lines], starts + LEVEL_BYTES)
        judged = (lines[open_].tolist(), places[open_].tolist(), starts[open_].tolist(), stops[open_].tolist())
        for line, place, start, stop in zip(*judged, strict=True):
            of_level[level_of(data[start:stop], place - start)].append(line)
        for into, level in ((marks.errors, "error"), (marks.warnings, "warning")):
            into.frombytes((np.sort(np.array(of_level[level], np.uint32)) + np.uint32(first)).tobytes())

    def _find_system(self, data: bytes, octets: np.ndarray, look: Look, first: int, marks: LineMarks) -> None:
        rule, ends = self.rule, look.ends
        words = look.words[_MARK_STARTS[octets[look.words]]]
        marked = np.unique(np.searchsorted(ends, words[_are_marks(octets, words)]))
        marked = marked[marked < len(ends)]
        announcing = marked[_MAY_ANNOUNCE[octets[np.maximum(ends[marked] - 1, 0)]]].tolist()
        at = 0  # the next line to judge
        while True:
            # What is not quiet is judged line by line: the line that was open, and the bodies of records.
            while at < len(ends) and not rule.quiet:
                if rule.feed(data[int(ends[at - 1]) + 1 if at else 0 : int(ends[at])]):
                    marks.system.append(first + at)
                at += 1
            announced = bisect_left(announcing, at)
            stop = announcing[announced] if announced < len(announcing) else len(ends)
            low, high = np.searchsorted(marked, (at, stop))
            marks.system.frombytes((marked[low:high] + first).astype(np.uint32).tobytes())
            if stop == len(ends):
                return
            marks.system.append(first + stop)
            rule.feed(data[int(ends[stop - 1]) + 1 if stop else 0 : int(ends[stop])])
            at = stop + 1


WORDS = (*MARKS, *LEVEL_WORDS)


def find_words(folded: bytes) -> np.ndarray:
    """Where folded bytes hold a mark or a level word, at least once a line of each: ascending."""
    return np.sort(np.array([place for word in WORDS for place in _one_a_line(folded, word)], np.int64))


def _are_marks(octets: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Whether a mark begins at each of the places, in any ASCII case."""
    found = np.zeros(len(places), np.bool_)
    near = bytes_at(octets, places, _MARK_BYTES)
    for mark in MARKS:
        capital = np.frombuffer(mark.upper(), np.uint8)
        wanted = np.frombuffer(mark, np.uint8)
        here = near[:, : len(mark)]
        fits = ((here == wanted) | (here == capital)).all(axis=1)
        found |= fits & (places + len(mark) <= len(octets))
    return found


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
