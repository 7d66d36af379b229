"""Exact search: filters choose chunks, two threads unpack and scan them, lines are judged alone.

Most lines lie in one block whole and are found by scanning the block. Those that chunk borders cut,
and the unfinished last one, are put together and judged one by one; there are few of them.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from logsvc.errors import NotFound
from logsvc.model.line import line_text
from logsvc.model.query import (
    MAX_ANSWER_TEXT_BYTES,
    Lines,
    Match,
    Matches,
    Overview,
    SearchPage,
    SearchQuery,
    StreamMatches,
)
from logsvc.stores.embedded.blocks import Block, Blocks, ChunkRow, Snapshot
from logsvc.stores.embedded.grams import FilterGroups
from logsvc.stores.embedded.limits import Limits
from logsvc.stores.embedded.overview import Buckets, levels
from logsvc.stores.embedded.registry import Registry
from logsvc.stores.embedded.scan import NONE, Scanner
from logsvc.stores.embedded.windows import Windows, set_text
from logsvc.stores.needle import match_bytes

THREADS = 2
AHEAD = 6  # units in flight: bounds memory
UNIT_CHUNKS = 4  # unpacked and scanned by one thread at a time, at most
UNITS_A_THREAD = 4  # at least, so that both end at about the same time


@dataclass
class _Part:
    """One block of a stream, and what of it is to be looked at."""

    row: ChunkRow | None  # None: the tail
    inside: bool  # the lines that lie in it whole
    seam: bool  # the line that began before and ends here
    open_line: bool = False  # the unfinished line at the stream's end


@dataclass
class _Found:
    """What a unit of work found."""

    count: int = 0
    preceding: int = 0  # of them, in front of where the page begins (or ends, where it goes backwards)
    scanned_bytes: int = 0
    matches: list[Match] = field(default_factory=list)
    in_buckets: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    unfinished: bool = False


@dataclass
class _Page:
    """Matches in order, up to a limit; one more tells that there is a next page."""

    limit: int
    matches: list[tuple[int, Match]] = field(default_factory=list)  # with the stream
    bytes: int = 0
    more: bool = False

    @property
    def complete(self) -> bool:
        return self.more or self.limit == 0

    @property
    def room(self) -> int:
        return 0 if self.complete else self.limit + 1 - len(self.matches)

    def add(self, stream: int, matches: Sequence[Match]) -> None:
        for match in matches:
            if self.complete:
                return
            size = match_bytes(match)
            if len(self.matches) >= self.limit or (self.matches and self.bytes + size > MAX_ANSWER_TEXT_BYTES):
                self.more = True
                return
            self.bytes += size
            self.matches.append((stream, match))


@dataclass
class _Run:
    """A search through one stream."""

    snap: Snapshot
    scanner: Scanner
    page: _Page
    limits: Limits
    buckets: Buckets | None = None  # to count the matching lines in

    def nothing_found(self) -> _Found:
        """Yet."""
        return _Found(in_buckets=self.buckets.empty()) if self.buckets else _Found()


class Searcher:
    """Searches streams of the store; called from threads."""

    def __init__(self, registry: Registry, filters: FilterGroups, blocks: Blocks, windows: Windows) -> None:
        self._registry = registry
        self._filters = filters
        self._blocks = blocks
        self._windows = windows
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="search")

    def close(self) -> None:
        """Wait for what is under way."""
        self._threads.shutdown(wait=True)

    def matches(self, stream: int, query: SearchQuery, cancelled: threading.Event) -> Matches:
        """What `LogStore.matches` promises."""
        scanner = Scanner(query)
        snap = self._snapshot(stream)
        if snap is None:
            raise NotFound(f"there is no stream {stream}")
        limits = Limits(time.monotonic() + query.time_limit_seconds, cancelled)
        page = _Page(query.limit)
        found = self._through(_Run(snap, scanner, page, limits))
        given = [match for _, match in page.matches]
        preceding = found.preceding - (len(given) if query.before is not None else 0)
        return Matches(
            total=found.count if query.count else None,
            exact=not found.unfinished,
            scanned_bytes=found.scanned_bytes,
            matches=given,
            next=given[-1]["n"] if given and page.more else None,
            preceding=preceding if given and query.count and not found.unfinished else None,
        )

    def overview(
        self, stream: int, buckets: int, lines: Lines, query: SearchQuery | None, cancelled: threading.Event
    ) -> Overview:
        """What `LogStore.overview` promises."""
        scanner = Scanner(query) if query else None
        snap = self._snapshot(stream)
        if snap is None:
            raise NotFound(f"there is no stream {stream}")
        limits = Limits(time.monotonic() + (query.time_limit_seconds if query else math.inf), cancelled)
        into = Buckets(snap, lines, buckets)
        errors, warnings = levels(self._blocks, snap, into, limits)
        found = self._through(_Run(snap, scanner, _Page(0), limits, into)) if scanner else _Found()
        return Overview(
            rows=into.rows,
            errors=errors.tolist(),
            warnings=warnings.tolist(),
            matches=found.in_buckets.tolist() if scanner else None,
            exact=not (found.unfinished or limits.passed),
        )

    def search(
        self, streams: Sequence[int], query: SearchQuery, after: tuple[int, int] | None, cancelled: threading.Event
    ) -> SearchPage:
        """What `LogStore.search` promises."""
        scanner = Scanner(query)
        limits = Limits(time.monotonic() + query.time_limit_seconds, cancelled)
        page, whole = _Page(query.limit), _Found()
        totals: dict[int, int] = {}
        # Before the chunks are looked up: a tail that is packed meanwhile is seen here, or there.
        tailed = self._with_tail(set(streams))
        seams = _by_stream(self._blocks.rows_with_seam())
        rows, worth = self._candidates_of_all(scanner, {*seams, *tailed})
        place = list(streams).index(after[0]) if after and after[0] in streams else -1
        for index, stream in enumerate(streams):
            if (worth is not None and stream not in worth) or (index < place and not query.count):
                continue
            if (page.complete and not query.count) or whole.unfinished:
                break
            snap = tailed.get(stream) or self._snapshot(stream)
            if snap is None:
                continue
            some = self._blocks.rows(snap) if worth is None else rows.get(stream, [])
            line = after[1] if after and index == place else 0
            scanner.after = line if index >= place else snap.total_lines
            parts = self._parts(snap, scanner, some, seams.get(stream, []))
            found = self._look(_Run(snap, scanner, page, limits), parts)
            whole.scanned_bytes += found.scanned_bytes
            whole.unfinished |= found.unfinished
            if found.count:
                totals[stream] = found.count
        by_stream: dict[int, list[Match]] = {stream: [] for stream in totals} if query.count else {}
        for stream, match in page.matches:
            by_stream.setdefault(stream, []).append(match)
        last = page.matches[-1] if page.matches and page.more else None
        return SearchPage(
            streams=[
                StreamMatches(
                    str(stream), totals.get(stream, len(by_stream[stream])) if query.count else None, by_stream[stream]
                )
                for stream in streams
                if stream in by_stream
            ],
            exact=not whole.unfinished,
            scanned_bytes=whole.scanned_bytes,
            next=(str(last[0]), last[1]["n"]) if last else None,
        )

    # Which blocks.

    def _candidates(self, scanner: Scanner, snap: Snapshot) -> list[ChunkRow]:
        if scanner.never:
            return []
        if not scanner.need.alternations:
            return self._blocks.rows(snap)
        columns = self._filters.candidates(scanner.need, snap.stream).tolist()
        return [row for row in self._blocks.rows_of_columns(columns) if row.stream == snap.stream]

    def _candidates_of_all(
        self, scanner: Scanner, others: set[int]
    ) -> tuple[dict[int, list[ChunkRow]], set[int] | None]:
        """Candidates by stream, and with `others` the streams worth a look (None: all, with all their chunks)."""
        if scanner.never:
            return {}, set()
        if not scanner.need.alternations:
            return {}, None
        columns = self._filters.candidates(scanner.need, None).tolist()
        rows = _by_stream(self._blocks.rows_of_columns(columns))
        return rows, {*rows, *others}

    def _with_tail(self, streams: set[int]) -> dict[int, Snapshot]:
        """Those of the streams that hold unpacked bytes, as they are now."""
        found = ((stream, self._snapshot(stream)) for stream in self._registry.ids_with_tail() if stream in streams)
        return {stream: snap for stream, snap in found if snap}

    def _snapshot(self, stream: int) -> Snapshot | None:
        held = self._registry.by_id(stream)
        return Snapshot(held) if held is not None and held.committed else None

    def _parts(self, snap: Snapshot, scanner: Scanner, rows: list[ChunkRow], seams: list[ChunkRow]) -> list[_Part]:
        """Blocks to look at, in order; those that chunk borders cut always."""
        if scanner.never:
            return []
        known = snap.packed_bytes
        inside = {row.offset: row for row in rows if row.offset < known and scanner.in_time(row.first_ms, row.last_ms)}
        cut = {row.offset: row for row in seams if row.lines and row.offset < known}
        merged = inside | cut
        parts = [_Part(merged[offset], offset in inside, offset in cut) for offset in sorted(merged)]
        tail = snap.tail
        if tail.lines:
            whole = scanner.tail_may_match(tail)
            if whole or tail.opens_inside:
                parts.append(_Part(None, whole, tail.opens_inside))
        if snap.open_line:
            parts.append(_Part(None, False, False, open_line=True))
        return parts

    # Looking at them.

    def _through(self, run: _Run) -> _Found:
        """The whole of one stream."""
        snap, scanner = run.snap, run.scanner
        seams = self._blocks.rows(snap, "AND opens_inside ORDER BY offset")
        return self._look(run, self._parts(snap, scanner, self._candidates(scanner, snap), seams))

    def _look(self, run: _Run, parts: list[_Part]) -> _Found:
        whole, scanner = run.nothing_found(), run.scanner
        if scanner.query.before is not None:
            parts = parts[::-1]
        if not scanner.query.count:
            parts = [part for part in parts if self._in_page(part, scanner)]
        size = min(UNIT_CHUNKS, max(1, len(parts) // (UNITS_A_THREAD * THREADS)))
        units = [parts[start : start + size] for start in range(0, len(parts), size)]
        if not scanner.query.count and units:
            # The first page is wanted soon: small units first.
            units = [*([part] for part in units[0]), *units[1:]]
        for found in self._ordered(run, units):
            whole.count += found.count
            whole.preceding += found.preceding
            whole.in_buckets += found.in_buckets
            whole.scanned_bytes += found.scanned_bytes
            whole.unfinished |= found.unfinished
            run.page.add(run.snap.stream, found.matches)
            if run.page.complete and not scanner.query.count:
                break
        return whole

    def _ordered(self, run: _Run, units: list[list[_Part]]) -> Iterator[_Found]:
        """Outcomes of the units in order; the threads run a few ahead."""
        if len(units) == 1:
            yield self._unit(run, units[0])
            return
        flying: list[Future[_Found]] = []
        try:
            for unit in units:
                flying.append(self._threads.submit(self._unit, run, unit))
                if len(flying) >= AHEAD:
                    yield flying.pop(0).result()
            while flying:
                yield flying.pop(0).result()
        finally:
            for future in flying:
                future.cancel()

    def _unit(self, run: _Run, parts: list[_Part]) -> _Found:
        found, scanner = run.nothing_found(), run.scanner
        for part in parts:
            if run.limits.passed:
                found.unfinished = True
                break
            block = run.snap.tail if part.row is None else self._blocks.block(part.row, cache=False)
            indices = scanner.lines(block) if part.inside and scanner.may_hold(block) else NONE
            if part.inside and not scanner.settled(block):
                found.scanned_bytes += block.size
            if part.seam and self._judged(run, block, 0, found):
                indices = np.concatenate(([0], indices))
            if part.open_line and self._judged(run, block, block.lines, found):
                indices = np.array([block.lines])
            if not len(indices):
                continue
            numbers = indices + (block.lines_before + 1)
            found.count += len(numbers)
            found.preceding += int(np.searchsorted(numbers, scanner.page_begin))
            if run.buckets:
                before = {"lines_before": block.lines_before, "users_before": block.users_before}
                run.buckets.count(found.in_buckets, indices, block.marks.system, **before)
            room = run.page.room - len(found.matches)
            if room > 0:
                found.matches += self._page_of(run, block, numbers, room)
        return found

    def _page_of(self, run: _Run, block: Block, numbers: np.ndarray, room: int) -> list[Match]:
        begin = int(np.searchsorted(numbers, run.scanner.page_begin))
        backwards = run.scanner.query.before is not None
        lines = numbers[:begin][::-1][:room] if backwards else numbers[begin : begin + room]
        return [self._match(run.snap, run.scanner, block, line) for line in lines.tolist()]

    def _judged(self, run: _Run, block: Block, index: int, found: _Found) -> bool:
        """Whether a line matches that must be put together: the first of a block, or the unfinished one."""
        snap, scanner = run.snap, run.scanner
        if index == block.lines:
            about = snap.open_system, snap.open_level
        else:
            about = self._windows.user_number(block, index) is None, _level(block, index)
        if not scanner.wants(*about):
            return False
        if scanner.timed:
            last = int(block.received_ms(block.ends[index : index + 1])[0]) if index < block.lines else snap.last_ms
            if not scanner.in_time(last, last):
                return False
        if scanner.everything:
            return True
        raw = self._raw(snap, block.lines_before + index + 1)
        found.scanned_bytes += len(raw)
        return scanner.needle.in_text(line_text(raw))

    def _raw(self, snap: Snapshot, line: int) -> bytes:
        start = self._windows.line_offset(snap, line)
        if line > snap.ended_lines:
            end = snap.size
        else:
            block = self._blocks.of_line(snap, line)
            end = block.offset + int(block.ends[line - 1 - block.lines_before])
        return b"".join(self._blocks.read(snap, start, end))

    def _match(self, snap: Snapshot, scanner: Scanner, block: Block, line: int) -> Match:
        index = line - 1 - block.lines_before
        if line > snap.ended_lines:
            raw = self._raw(snap, line)
            match: Match = {
                "n": line,
                "u": None if snap.open_system else snap.total_users,
                "text": "",
                "spans": [],
                "level": snap.open_level,
                "partial": True,
            }
        else:
            if index == 0 and block.opens_inside:
                raw = self._raw(snap, line)
            else:
                raw = block.data[int(block.ends[index - 1]) + 1 if index else 0 : int(block.ends[index])]
            match = {
                "n": line,
                "u": self._windows.user_number(block, index),
                "text": "",
                "spans": [],
                "level": _level(block, index),
            }
        match["spans"] = scanner.needle.spans(line_text(raw)) or []
        set_text(match, raw, len(raw))
        return match

    def _in_page(self, part: _Part, scanner: Scanner) -> bool:
        """Whether a block can hold lines of the page."""
        if part.row is None:
            return True
        if scanner.query.before is not None:
            return part.row.lines_before + 1 < scanner.query.before
        return part.row.lines_before + part.row.lines > scanner.after


def _by_stream(rows: list[ChunkRow]) -> dict[int, list[ChunkRow]]:
    found: dict[int, list[ChunkRow]] = {}
    for row in rows:
        found.setdefault(row.stream, []).append(row)
    return found


def _level(block: Block, index: int) -> str | None:
    for level, positions in (("error", block.marks.errors), ("warning", block.marks.warnings)):
        place = int(np.searchsorted(positions, index))
        if place < len(positions) and positions[place] == index:
            return level
    return None
