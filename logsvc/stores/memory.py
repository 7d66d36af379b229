"""The ports in dictionaries: for unit tests, and as the plain reading of the contract.

Nothing here is clever: a stream is a bytearray, its lines are derived by splitting it
whole. What another store answers must equal what this one answers.
"""

from __future__ import annotations

import json
import math
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from logsvc.errors import Conflict, ContentConflict, LogsvcError, NotFound, OffsetGap
from logsvc.model.chunk import HEAD_BYTES, TAIL_BYTES, Appended, Chunk, Generation
from logsvc.model.job import JOB_KIND, new_job
from logsvc.model.line import SystemRule, level_of, line_text
from logsvc.model.query import (
    MAX_ANSWER_TEXT_BYTES,
    MAX_LINE_TEXT_BYTES,
    JobTotals,
    Line,
    Lines,
    Match,
    Matches,
    Overview,
    Record,
    SearchPage,
    SearchQuery,
    StreamMatches,
    Window,
    WindowQuery,
)
from logsvc.model.stream import KINDS, PathParts, Stream, StreamName, natural_key, parse_path
from logsvc.ports import Clock, Committed, Listener
from logsvc.stores.memory_samples import MemorySamples
from logsvc.stores.needle import Needle, match_bytes

PIECE_BYTES = 1 << 20  # of `read`
_Item = TypeVar("_Item", Line, Match)


class MemoryStore(MemorySamples):
    """LogStore, RecordStore and SampleStore in dictionaries. Durable as long as the object lives."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self._streams: dict[str, _Stream] = {}  # by id, oldest first
        self._names: dict[StreamName, str] = {}
        self._records: dict[tuple[str, str], Record] = {}
        self._listeners: list[Listener] = []

    async def open(self) -> None:
        """Nothing to make ready."""

    async def close(self) -> None:
        """Nothing to let go of: opening again finds everything."""

    # LogStore: appending

    async def append(self, chunks: Sequence[Chunk]) -> list[Appended | LogsvcError]:
        """Take chunks in order; a later one sees the earlier."""
        before = self._states()
        results: list[Appended | LogsvcError] = []
        for chunk in chunks:
            try:
                results.append(self._append(chunk))
            except LogsvcError as error:
                results.append(error)
        self._publish(before)
        return results

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` after each commit."""
        self._listeners.append(listener)

    async def seal(self, stream_ids: Sequence[str]) -> None:
        """Declare streams complete."""
        before = self._states()
        for stream_id in stream_ids:
            if stream_id in self._streams:
                self._streams[stream_id].final = True
        self._publish(before)

    # LogStore: reading

    async def stream(self, stream_id: str) -> Stream:
        """One stream as it is now."""
        return self._shown(self._held(stream_id))

    async def find(self, name: StreamName) -> Stream | None:
        """The stream of this name, if there is one."""
        return self._shown(self._streams[self._names[name]]) if name in self._names else None

    async def streams(self, job: str) -> list[Stream]:
        """All streams of a job, by kind, task, path, generation."""
        found = [self._shown(held) for held in self._streams.values() if held.name.job == job]
        return sorted(found, key=_stream_order)

    async def stream_ids(self, jobs: Sequence[str] | None) -> list[str]:
        """Ids of the streams of these jobs, newest stream first."""
        return [id for id, held in reversed(self._streams.items()) if jobs is None or held.name.job in jobs]

    async def generations(self, job: str, task: str, path: str) -> list[Generation]:
        """What is held of one file, oldest generation first."""
        found = [
            held for held in self._streams.values() if held.name == StreamName(job, task, path, held.name.generation)
        ]
        return [
            Generation(
                generation=held.name.generation,
                next_offset=len(held.data),
                head=bytes(held.data[:HEAD_BYTES]),
                tail=bytes(held.data[-TAIL_BYTES:]),
                sealed=self._sealed(held),
            )
            for held in sorted(found, key=lambda held: held.name.generation)
        ]

    async def job_totals(self, jobs: Sequence[str]) -> dict[str, JobTotals]:
        """Sizes for those of the jobs that have streams."""
        totals = {}
        for job in jobs:
            held = [held for held in self._streams.values() if held.name.job == job]
            if held:
                totals[job] = JobTotals(
                    log_bytes=sum(len(one.data) for one in held),
                    last_chunk_at=max(one.last_chunk_at for one in held),
                    tasks=sorted({one.name.task for one in held}, key=natural_key),
                )
        return totals

    async def window(self, stream_id: str, query: WindowQuery) -> Window:
        """Lines around a place."""
        lines = self._held(stream_id).lines()
        wanted = [line for line in lines if query.lines == "all" or not line.system]
        first = _first_wanted(lines, wanted, query)
        asked = [line for line in wanted if first is not None and line.n >= first]
        given: list[Line] = list(_bounded([line.shown() for line in asked[: query.limit]], _line_bytes))
        if first is None or first > len(lines):
            through = 0
        elif len(given) < len(asked):
            through = given[-1]["n"]
        else:
            through = len(lines)
        return Window(len(lines), sum(not line.system for line in lines), given, through)

    async def matches(self, stream_id: str, query: SearchQuery) -> Matches:
        """Search one stream."""
        held, needle = self._held(stream_id), Needle.compile(query)
        found = list(held.matches(needle))
        if query.before is not None:
            page = [match for match in reversed(found) if match["n"] < query.before]
        else:
            page = [match for match in found if match["n"] > (query.after or 0)]
        given: list[Match] = list(_bounded(page[: query.limit], match_bytes))
        lowest = min((match["n"] for match in given), default=0)
        return Matches(
            total=len(found) if query.count else None,
            exact=True,
            scanned_bytes=len(held.data),
            matches=given,
            next=given[-1]["n"] if given and len(given) < len(page) else None,
            preceding=sum(match["n"] < lowest for match in found) if given and query.count else None,
        )

    async def overview(
        self, stream_id: str, *, buckets: int, lines: Lines, query: SearchQuery | None = None
    ) -> Overview:
        """Where a stream has errors, warnings and matches."""
        held = self._held(stream_id)
        rows = [line for line in held.lines() if lines == "all" or not line.system]
        found = None if query is None else {match["n"] for match in held.matches(Needle.compile(query))}
        size = min(buckets, len(rows))
        parts = [rows[index * len(rows) // size : (index + 1) * len(rows) // size] for index in range(size)]
        return Overview(
            rows=len(rows),
            errors=[sum(line.level == "error" for line in part) for part in parts],
            warnings=[sum(line.level == "warning" for line in part) for part in parts],
            matches=None if found is None else [sum(line.n in found for line in part) for part in parts],
            exact=True,
        )

    async def search(
        self, stream_ids: Sequence[str], query: SearchQuery, after: tuple[str, int] | None = None
    ) -> SearchPage:
        """Search streams in the order given, each by line."""
        needle = Needle.compile(query)
        found = {id: list(self._streams[id].matches(needle)) for id in stream_ids if id in self._streams}
        rest = [(id, match) for id, matches in found.items() for match in matches]
        if after is not None:
            order = list(stream_ids)
            place = (order.index(after[0]) if after[0] in order else len(order), after[1])
            rest = [(id, match) for id, match in rest if (order.index(id), match["n"]) > place]
        given = rest[: len(list(_bounded([match for _, match in rest[: query.limit]], match_bytes)))]
        streams = [
            StreamMatches(id, len(matches) if query.count else None, [match for other, match in given if other == id])
            for id, matches in found.items()
            if matches
        ]
        return SearchPage(
            streams=[one for one in streams if query.count or one.matches],
            exact=True,
            scanned_bytes=sum(len(self._streams[id].data) for id in found),
            next=(given[-1][0], given[-1][1]["n"]) if given and len(given) < len(rest) else None,
        )

    async def read(self, stream_id: str, start: int, end: int) -> AsyncGenerator[bytes, None]:
        """Bytes [start, end) verbatim."""
        data = bytes(self._held(stream_id).data[start:end])
        for offset in range(0, len(data), PIECE_BYTES):
            yield data[offset : offset + PIECE_BYTES]

    async def refresh(self) -> None:
        """Readers see everything at once."""

    # RecordStore

    async def get(self, kind: str, id: str) -> Record | None:
        """One document, or None."""
        record = self._records.get((kind, id))
        return None if record is None else _copied(record)

    async def put(self, kind: str, id: str, value: dict[str, Any], *, expected: int | None = None) -> Record:
        """Write one document."""
        version = self._checked_version(kind, id, expected)
        record = Record(kind, id, json.loads(json.dumps(value)), version + 1)
        self._records[kind, id] = record
        return _copied(record)

    async def delete(self, kind: str, id: str, *, expected: int | None = None) -> bool:
        """True if there was one."""
        self._checked_version(kind, id, expected)
        return self._records.pop((kind, id), None) is not None

    async def list(self, kind: str, *, after: str = "", limit: int = 1000) -> list[Record]:
        """Documents of a kind by id."""
        found = sorted((id, record) for (of, id), record in self._records.items() if of == kind and id > after)
        return [_copied(record) for _, record in found[:limit]]

    # Helpers

    def _append(self, chunk: Chunk) -> Appended:
        parts = parse_path(chunk.stream.job, chunk.stream.task, chunk.stream.path)
        stream_id = self._names.get(chunk.stream)
        held = self._streams[stream_id] if stream_id is not None else None
        size = len(held.data) if held else 0
        if chunk.offset > size:
            raise OffsetGap(chunk.stream, expected=size, got=chunk.offset)
        if held:
            _compare(held, chunk)
            if held.rank is None:
                held.rank = chunk.rank
        fresh = chunk.data[size - chunk.offset :]
        if not fresh and not chunk.final:
            return Appended(stream_id or "", size)
        if held is None:
            held = self._created(chunk, parts)
        if fresh:
            held.data += fresh
            held.arrivals.append((len(held.data), _milliseconds(self._clock.now())))
            held.last_chunk_at = self._clock.now()
        held.final = chunk.final
        return Appended(held.id, len(held.data))

    def _created(self, chunk: Chunk, parts: PathParts) -> _Stream:
        now, job = self._clock.now(), chunk.stream.job
        if (JOB_KIND, job) not in self._records:
            self._records[JOB_KIND, job] = Record(JOB_KIND, job, new_job(job, owner=chunk.owner, now=now), 1)
        rank = chunk.rank if parts.rank is None else parts.rank
        held = _Stream(f"{len(self._streams) + 1:x}", chunk.stream, parts, rank, now, now)
        self._streams[held.id] = held
        self._names[chunk.stream] = held.id
        return held

    def _held(self, stream_id: str) -> _Stream:
        if stream_id not in self._streams:
            raise NotFound(f"there is no stream {stream_id[:100]!a}")
        return self._streams[stream_id]

    def _sealed(self, held: _Stream) -> bool:
        """By itself, or by a newer generation of its file."""
        name = held.name
        newer = (
            other.generation > name.generation
            and (other.job, other.task, other.path) == (name.job, name.task, name.path)
            for other in self._names
        )
        return held.final or any(newer)

    def _shown(self, held: _Stream) -> Stream:
        lines = held.lines()
        return Stream(
            id=held.id,
            name=held.name,
            kind=held.parts.kind,
            rank=held.rank,
            device=held.parts.device,
            size_bytes=len(held.data),
            lines=len(lines),
            user_lines=sum(not line.system for line in lines),
            sealed=self._sealed(held),
            created_at=held.created_at,
            last_chunk_at=held.last_chunk_at,
        )

    def _states(self) -> dict[str, Committed]:
        return {
            id: Committed(id, held.data.count(b"\n"), len(held.data), self._sealed(held))
            for id, held in self._streams.items()
        }

    def _publish(self, before: dict[str, Committed]) -> None:
        changed = [state for id, state in self._states().items() if state != before.get(id)]
        if changed:
            for listener in self._listeners:
                listener(changed)

    def _checked_version(self, kind: str, id: str, expected: int | None) -> int:
        """The version a document has now, 0 for none."""
        record = self._records.get((kind, id))
        version = record.version if record else 0
        if expected is not None and expected != version:
            raise Conflict(
                f"{kind} {id[:100]!a} is at version {version}, not {expected}; read it again", version=version
            )
        return version


@dataclass(frozen=True)
class _Line:
    """A line with everything that is known of it."""

    n: int
    u: int | None
    offset: int
    raw: bytes  # without \n
    text: str
    system: bool
    level: str | None
    received_ms: int
    partial: bool

    def shown(self) -> Line:
        line: Line = {
            "n": self.n,
            "u": self.u,
            "offset": self.offset,
            "text": self.text,
            "system": self.system,
            "level": self.level,
            "received_at": _rfc3339(self.received_ms),
        }
        self._mark(line)
        return line

    def match(self, spans: list[list[int]]) -> Match:
        match: Match = {"n": self.n, "u": self.u, "text": self.text, "spans": spans, "level": self.level}
        self._mark(match)
        return match

    def _mark(self, item: Line | Match) -> None:
        encoded = self.text.encode()
        if self.partial:
            item["partial"] = True
        if len(encoded) > MAX_LINE_TEXT_BYTES:
            item["text"] = encoded[:MAX_LINE_TEXT_BYTES].decode(errors="ignore")
            item["cut"] = True
            item["size_bytes"] = len(self.raw)


@dataclass
class _Stream:
    """One generation of a file: its bytes, and when they came."""

    id: str
    name: StreamName
    parts: PathParts
    rank: int | None
    created_at: float
    last_chunk_at: float
    data: bytearray = field(default_factory=bytearray)
    final: bool = False
    arrivals: list[tuple[int, int]] = field(default_factory=list)  # (end of the bytes, milliseconds)

    derived: tuple[int, list[_Line]] = (0, [])  # lines, and the size they were derived at

    def lines(self) -> list[_Line]:
        """Every line, an unfinished last one included."""
        if self.derived[0] != len(self.data):
            self.derived = (len(self.data), list(self._split()))
        return self.derived[1]

    def _split(self) -> Iterator[_Line]:
        rule, offset, users, arrivals = SystemRule(), 0, 0, iter(self.arrivals)
        arrived_end, arrived_ms = 0, 0
        pieces = bytes(self.data).split(b"\n")
        complete = len(pieces) - 1
        for index, raw in enumerate(pieces):
            partial = index == complete
            if partial and not raw:
                return
            end = offset + len(raw) + (not partial)
            while arrived_end < end:
                arrived_end, arrived_ms = next(arrivals)
            system = rule.peek(raw) if partial else rule.feed(raw)
            users += not system
            u = None if system else users
            yield _Line(index + 1, u, offset, raw, line_text(raw), system, level_of(raw), arrived_ms, partial)
            offset = end

    def matches(self, needle: Needle) -> Iterator[Match]:
        """Every matching line, in order."""
        query = needle.query
        for line in self.lines():
            if (query.lines == "user" and line.system) or (query.levels and line.level not in query.levels):
                continue
            if query.since is not None and line.received_ms < _first_millisecond(query.since):
                continue
            if query.until is not None and line.received_ms >= _first_millisecond(query.until):
                continue
            spans = needle.spans(line.text)
            if spans is not None:
                yield line.match(spans)


def _compare(held: _Stream, chunk: Chunk) -> None:
    """Bytes sent again must be those held."""
    there = held.data[chunk.offset : chunk.offset + len(chunk.data)]
    if not chunk.data.startswith(bytes(there)):
        first = next(
            index for index, (ours, theirs) in enumerate(zip(there, chunk.data, strict=False)) if ours != theirs
        )
        raise ContentConflict(chunk.stream, offset=chunk.offset + first)


def _first_wanted(lines: list[_Line], wanted: list[_Line], query: WindowQuery) -> int | None:
    """Number of the line that a window starts at; None where there is none."""
    if query.received_from is not None:
        since = _first_millisecond(query.received_from)
        return next((line.n for line in lines if line.received_ms >= since), None)
    if query.user_start is not None:
        return next((line.n for line in lines if line.u is not None and line.u >= query.user_start), None)
    if query.start < 0:
        return wanted[query.start :][0].n if wanted else None
    return query.start


def _bounded(items: list[_Item], size_of: Callable[[_Item], int]) -> Iterator[_Item]:
    """Items up to the limit of an answer, at least one."""
    size = 0
    for index, item in enumerate(items):
        size += size_of(item)
        if index and size > MAX_ANSWER_TEXT_BYTES:
            return
        yield item


def _line_bytes(line: Line) -> int:
    return len(line["text"].encode())


def _stream_order(stream: Stream) -> tuple[int, list[object], list[object], int]:
    name = stream.name
    return KINDS.index(stream.kind), natural_key(name.task), natural_key(name.path), name.generation


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _first_millisecond(seconds: float) -> int:
    """The first whole millisecond at or after a time."""
    return math.ceil(round(seconds * 1000, 3))


def _rfc3339(milliseconds: int) -> str:
    at = datetime.fromtimestamp(milliseconds // 1000, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z"


def _copied(record: Record) -> Record:
    return Record(record.kind, record.id, json.loads(json.dumps(record.value)), record.version)
