"""Finding the matching lines of a block of half a megabyte at once.

Everything here judges only lines that lie in the block whole; `Needle` judges single lines, and both
say the same (the store's contract tests compare them).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from logsvc.model.query import SearchQuery
from logsvc.stores.embedded.blocks import Block
from logsvc.stores.embedded.grams import Requirement, gram_hashes
from logsvc.stores.embedded.literals import Clause, needs_of
from logsvc.stores.embedded.octets import WORD_OCTETS, line_ends, true_places
from logsvc.stores.embedded.windows import first_millisecond
from logsvc.stores.needle import Needle, compile_re2, word_pattern

SPARSE_HITS = 48  # up to so many matching lines in a block, one find after the other is fastest
FEW_LINES = 8  # where at most one in so many lines may match, they are judged alone
REPLACEMENT = "\ufffd"
EVERY_LINE = ("^", "$", ".*", "^.*", ".*$", "^.*$")  # patterns that every line matches

_local = threading.local()


class Scanner:
    """
    A search query made ready for blocks.

    Attributes:
        never: nothing can match.
        need: what the filters are asked.
        everything: each line matches, whatever its text.
        timed: only lines received at some time are asked for.
        after: number of the line behind which the page begins; 0: at the start.
    """

    def __init__(self, query: SearchQuery) -> None:
        self.query = query
        self.needle = Needle.compile(query)
        self.after = query.after or 0
        self.never = not query.regex and "\n" in query.text
        self.everything = query.regex and not query.word and query.text in EVERY_LINE
        self.timed = query.since is not None or query.until is not None
        self._since = None if query.since is None else first_millisecond(query.since)
        self._until = None if query.until is None else first_millisecond(query.until)
        self._literal: bytes | None = None  # what to find, folded where case is ignored
        self._regexp: Any = None  # run over whole blocks; None: only over single lines
        self._guides: list[bytes] = []  # literals that each matching line holds, the longest first
        if query.regex:
            needs = needs_of(query.text, query.ignore_case)
            self._fold = needs.ignore_case
            clauses = needs.clauses
            if needs.by_line:
                self._regexp = _over_lines(query)
            single = [next(iter(clause)) for clause in clauses if len(clause) == 1]
            if not self._fold:
                self._guides = [text.encode() for text in sorted(single, key=len, reverse=True)[:3]]
        else:
            self._fold = query.ignore_case
            clauses = [frozenset([query.text])]
            text = query.text.encode()
            self._literal = text.lower() if self._fold else text
            if self._fold and not query.text.isascii():
                self._literal = None
            self._regexp = _over_lines(query) if query.word else self.needle.regexp
        self._folds_to_ascii = any(letter in "kKsS" or not letter.isascii() for letter in query.text)
        self.need = self._requirement(clauses)

    def in_time(self, first_ms: int, last_ms: int) -> bool:
        """Whether bytes received between these times can be of lines asked for."""
        return (self._since is None or last_ms >= self._since) and (self._until is None or first_ms < self._until)

    @property
    def page_begin(self) -> int:
        """Number of the first line that may be on the page; where it goes backwards, of the first behind it."""
        return self.after + 1 if self.query.before is None else self.query.before

    def wants(self, system: bool, level: str | None) -> bool:
        """Whether a line is one of those asked for, whenever it was received."""
        query = self.query
        return not ((query.lines == "user" and system) or (query.levels and level not in query.levels))

    def tail_may_match(self, tail: Block) -> bool:
        """False where the tail's bytes cannot hold the needle; saves looking at its lines."""
        if self._literal is None or self._fold or REPLACEMENT in self.query.text:
            return True
        return self._literal in tail.data

    def may_hold(self, block: Block) -> bool:
        """Whether a block has lines of the levels asked for."""
        return not self.query.levels or len(self._of_levels(block)) > 0

    def settled(self, block: Block) -> bool:
        """Whether the marks alone tell which lines of a block match."""
        return not self.may_hold(block) or (self.everything and not self.timed)

    def lines(self, block: Block) -> np.ndarray:
        """Indices of the matching lines that lie in the block whole, ascending."""
        query = self.query
        among = self._of_levels(block) if query.levels else None
        if self.everything:
            found = np.arange(block.lines) if among is None else among
        else:
            found = self._matching(block, among)
        if block.opens_inside and len(found) and found[0] == 0:
            found = found[1:]
        if query.lines == "user" and len(found):
            found = _without(found, block.marks.system, block.lines)
        if self.timed and len(found):
            times = block.received_ms(block.ends[found])
            keep = np.ones(len(found), np.bool_)
            if self._since is not None:
                keep &= times >= self._since
            if self._until is not None:
                keep &= times < self._until
            found = found[keep]
        return found

    def _of_levels(self, block: Block) -> np.ndarray:
        """Indices of the lines of the levels asked for, ascending."""
        marks, wanted = block.marks, self.query.levels
        parts = [part for level, part in (("error", marks.errors), ("warning", marks.warnings)) if level in wanted]
        return np.sort(np.concatenate(parts)) if len(parts) > 1 else parts[0]

    def _requirement(self, clauses: list[Clause]) -> Requirement:
        alternations = []
        for clause in clauses:
            hashes = [self._hashes(text) for text in clause]
            if all(len(each) for each in hashes):
                alternations.append(hashes)
        return Requirement(
            alternations,
            any_invalid=REPLACEMENT in self.query.text
            or ("\\" in self.query.text and "fffd" in self.query.text.lower()),
            any_folding=self._fold and self._folds_to_ascii,
        )

    def _hashes(self, text: str) -> np.ndarray:
        if not self._fold:
            return gram_hashes(text.encode())
        # What lies beyond ASCII folds in other ways than the filter's bytes do.
        runs = "".join(char if char.isascii() else "\0" for char in text).split("\0")
        return np.unique(np.concatenate([gram_hashes(run.encode()) for run in runs]))

    def _matching(self, block: Block, among: np.ndarray | None) -> np.ndarray:
        """Matching lines of a block, cut ones too; `among`: only these may."""
        data = block.data
        if block.invalid and not _is_utf8(data):
            data = data.decode("utf-8", "replace").encode()
        if block.crlf and (self._literal is None or b"\r" in self._literal):
            data = data.replace(b"\r\n", b"\n")
        ends = Ends(data, block if data is block.data else None)
        word = self.query.word
        if self._literal is not None and not (self._fold and self._folds_to_ascii and block.folding):
            folded = data.lower() if self._fold else data
            lines = sparse_lines(folded, ends, self._literal)
            if lines is None:
                lines = dense_lines(folded, ends.all, self._literal, word)
            elif word:
                lines = self._judge_lines(data, ends, lines)
            return lines if among is None else lines[_member(lines, among, block.lines)]
        if among is not None and (self._regexp is None or len(among) < block.lines // FEW_LINES):
            return self._judge_lines(data, ends, among)
        for guide in self._guides:
            lines = sparse_lines(data, ends, guide)
            if lines is not None:
                return self._judge_lines(data, ends, lines if among is None else np.intersect1d(lines, among))
        if self._regexp is None:
            return self._judge_lines(data, ends, np.arange(len(ends.all)))
        lines = _regexp_lines(data, ends, self._regexp)
        return lines if among is None else lines[_member(lines, among, block.lines)]

    def _judge_lines(self, data: bytes, ends: Ends, lines: np.ndarray) -> np.ndarray:
        """Those of the lines that match, each as a subject of its own."""
        if not len(lines):
            return lines
        search, places = self.needle.regexp.search, ends.all
        starts = np.where(lines > 0, places[np.maximum(lines - 1, 0)] + 1, 0).tolist()
        stops = places[lines].tolist()
        hits = [search(data[start:stop]) is not None for start, stop in zip(starts, stops, strict=True)]
        return lines[np.array(hits, np.bool_)]


class Ends:
    r"""Places of \n in data, which may be a block's, found when they are first asked for: most blocks have no match."""

    def __init__(self, data: bytes, block: Block | None = None) -> None:
        self._data, self._block = data, block

    @cached_property
    def all(self) -> np.ndarray:
        """All of them, ascending."""
        return self._block.ends if self._block else line_ends(self._data)

    def lines_of(self, hits: list[int]) -> np.ndarray:
        """Indices of the lines that hold these places; all but the last on a line of its own that ends."""
        if not hits:
            return NONE
        places = self.all
        lines = np.searchsorted(places, np.array(hits, np.int64))
        return lines[: len(lines) - int(lines[-1] == len(places))]


def sparse_lines(data: bytes, ends: Ends, needle: bytes) -> np.ndarray | None:
    """Indices of the lines that hold the needle, ascending; None where they are more than SPARSE_HITS."""
    hits: list[int] = []
    place = data.find(needle)
    while place >= 0:
        if len(hits) == SPARSE_HITS:
            return None
        hits.append(place)
        end = data.find(b"\n", place)
        if end < 0:
            break
        place = data.find(needle, end)
    return ends.lines_of(hits)


def dense_lines(data: bytes, ends: np.ndarray, needle: bytes, word: bool = False) -> np.ndarray:
    """
    The same for needles that are common, by comparing four bytes everywhere at once.

    Args:
        word: only where the needle stands alone.
    """
    octets = np.frombuffer(data, np.uint8)
    seen = np.zeros(len(ends) + 1, np.bool_)  # the last: behind the last line's end
    for places in _places(octets, needle):
        found = places[_stand_alone(octets, places, len(needle))] if word else places
        seen[np.searchsorted(ends, found)] = True
    return np.flatnonzero(seen[:-1])


def _places(octets: np.ndarray, needle: bytes) -> Iterator[np.ndarray]:
    """Where a needle begins."""
    size = len(needle)
    if size < 4:
        hits = octets == needle[0]
        for index in range(1, size):
            hits = hits[: len(octets) - index] & (octets[index:] == needle[index])
        yield np.flatnonzero(hits)
        return
    four = np.frombuffer(needle[:4], "<u4")[0]
    for phase in range(4):
        fours = octets[phase : phase + (len(octets) - phase) // 4 * 4].view("<u4")
        places = true_places(_equal(fours, four))
        places *= 4
        places += phase
        if size > 4:
            places = places[places <= len(octets) - size]
            for index in range(4, size):
                places = places[octets[places + index] == needle[index]]
        yield places


def _stand_alone(octets: np.ndarray, places: np.ndarray, size: int) -> np.ndarray:
    """Whether no character of a word is beside a needle of this size that begins there."""
    last = len(octets) - 1
    before = WORD_OCTETS[octets[np.maximum(places - 1, 0)]] & (places > 0)
    behind = WORD_OCTETS[octets[np.minimum(places + size, last)]] & (places + size <= last)
    return ~(before | behind)


def _regexp_lines(data: bytes, ends: Ends, regexp: Any) -> np.ndarray:
    hits: list[int] = []
    search, find = regexp.search, data.find
    place, size = 0, len(data)
    while place < size:
        match = search(data, place)
        if match is None:
            break
        start = match.start()
        hits.append(start)
        end = find(b"\n", start)
        if end < 0:
            break
        place = end + 1
    return ends.lines_of(hits)


def _over_lines(query: SearchQuery) -> Any:
    """RE2 for a query that is run over many lines at once."""
    pattern = word_pattern(query, b"^|") if query.word else query.text.encode()
    return compile_re2(b"(?m)" + pattern, literal=False, ignore_case=query.ignore_case)


def _equal(octets: np.ndarray, value: Any) -> np.ndarray:
    """Where an array has a value; the answer lives until the thread asks again, for large arrays."""
    if not hasattr(_local, "equal"):
        _local.equal = np.empty(1 << 18, np.bool_)
    if len(octets) > len(_local.equal):
        return np.asarray(octets == value)
    return np.equal(octets, value, out=_local.equal[: len(octets)])


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _without(found: np.ndarray, others: np.ndarray, lines: int) -> np.ndarray:
    return found[~_member(found, others, lines)]


def _member(found: np.ndarray, others: np.ndarray, lines: int) -> np.ndarray:
    mask = np.zeros(lines, np.bool_)
    mask[others] = True
    return mask[found]


NONE = np.empty(0, np.int64)
