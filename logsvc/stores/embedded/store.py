"""The embedded store: SQLite as the catalog, zstd frames in segment files, filters beside them.

Ports on top of `writer.py` (the one thread that changes things), `windows.py` and `search.py` (any
number of readers), and `samples/` beside them. Crash order: see `writer.py`.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import sqlite3
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import orjson

from logsvc.errors import Conflict, LogsvcError, NotFound, StoreUnavailable
from logsvc.model.chunk import Appended, Chunk, Generation
from logsvc.model.query import (
    JobTotals,
    Lines,
    Matches,
    Overview,
    Record,
    SearchPage,
    SearchQuery,
    Window,
    WindowQuery,
)
from logsvc.model.sample import READINGS, Pooled, Sample, SampleQuery, SeriesName
from logsvc.model.stream import KINDS, Stream, StreamName, natural_key
from logsvc.ports import BucketSeries, Clock, Committed, Listener, RawSeries
from logsvc.stores.embedded import catalog as files
from logsvc.stores.embedded.blocks import Blocks, Snapshot
from logsvc.stores.embedded.catalog import Catalog, lock_folder
from logsvc.stores.embedded.grams import FilterGroups
from logsvc.stores.embedded.limits import Cancelled
from logsvc.stores.embedded.orphans import take_up
from logsvc.stores.embedded.packer import Packer
from logsvc.stores.embedded.registry import Registry
from logsvc.stores.embedded.rows import read_filters
from logsvc.stores.embedded.samples.store import SampleFiles
from logsvc.stores.embedded.search import Searcher
from logsvc.stores.embedded.segments import SegmentFiles
from logsvc.stores.embedded.tail import HotStream
from logsvc.stores.embedded.windows import Windows
from logsvc.stores.embedded.work import Append, Call, Outcome, PackNow, Seal
from logsvc.stores.embedded.writer import Writer

READERS = 4  # threads for windows, downloads and the like
MAX_BACKLOG_BYTES = 48 * 1024 * 1024  # of appends under way; beyond it, they wait
MAX_UNPACKED_BYTES = 96 * 1024 * 1024  # of tails, should packing not keep up
COPY_AGE_SECONDS = 24 * 3600
COPY_CHECK_SECONDS = 600
PIECE_BYTES = 1024 * 1024

T = TypeVar("T")
log = logging.getLogger("logsvc.store")


class EmbeddedStore:
    """LogStore, RecordStore and SampleStore in a folder of this machine, for one process."""

    def __init__(self, data_dir: Path, *, clock: Clock) -> None:
        self._folder = data_dir
        self._clock = clock
        self._listeners: list[Listener] = []
        self._is_open = False
        self._in_flight_bytes = 0
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Take the folder, mend what a crash left, start the threads; raises CannotStart."""
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Event()
        self._read_threads = ThreadPoolExecutor(READERS, thread_name_prefix="read")
        try:
            await self._in_thread(self._open)
        except BaseException:
            self._read_threads.shutdown(wait=False)
            raise
        self._is_open = True
        self._recovery = asyncio.create_task(self._take_up_orphans())
        self._tasks = [asyncio.create_task(self._copy_daily()), self._recovery]
        with self._catalog.reader() as reader:
            unpacked = reader.execute(
                "SELECT id FROM streams WHERE sealed AND id IN (SELECT stream FROM tails)"
            ).fetchall()
        for (stream,) in unpacked:
            self._writer.submit(PackNow(stream, self._loop.create_future()))

    def _open(self) -> None:
        _keep_buffers()
        self._lock = lock_folder(self._folder)
        try:
            (self._folder / files.SEGMENTS).mkdir(mode=0o700, exist_ok=True)
            self._catalog = Catalog(self._folder)
            connection = self._catalog.open_writer()
            self._segments = SegmentFiles(self._folder / files.SEGMENTS)
            rows = connection.execute("SELECT id, job, sequence, size FROM segments ORDER BY id").fetchall()
            for problem in self._segments.load(rows):
                log.error("segment_damaged", extra={"reason": problem})
            self._filters = FilterGroups(self._folder / files.FILTERS)
            self._filters.load(*read_filters(connection))
            self._registry = Registry(self._catalog)
            self._blocks = Blocks(self._catalog, self._segments)
            self._windows = Windows(self._blocks)
            self._searcher = Searcher(self._registry, self._filters, self._blocks, self._windows)
            self._packer = Packer(self._segments)
            self._writer = Writer(
                connection, self._registry, self._filters, self._packer, self._clock, self._held, self._hand_over
            )
            self._samples = SampleFiles(self._folder, self._clock, lambda outcomes: self._hand_over(outcomes, []))
            self._writer.start()
        except BaseException:
            _unlock(self._lock)
            raise

    async def close(self) -> None:
        """Finish what was accepted, let go of the folder."""
        if not self._is_open:
            return
        self._is_open = False
        self._samples.refuse()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self._close)
        await asyncio.sleep(0)  # what the writer handed over last

    def _close(self) -> None:
        self._writer.stop()
        self._samples.close()
        self._packer.close()
        self._searcher.close()
        self._read_threads.shutdown(wait=True)
        self._segments.close()
        self._filters.close()
        self._catalog.close()
        _unlock(self._lock)

    # Appending.

    async def append(self, chunks: Sequence[Chunk]) -> list[Appended | LogsvcError]:
        """Durable when it returns; see the port."""
        size = sum(len(chunk.data) for chunk in chunks)
        while self._in_flight_bytes and not (
            self._in_flight_bytes + size <= MAX_BACKLOG_BYTES and self._writer.tail_bytes <= MAX_UNPACKED_BYTES
        ):
            self._room.clear()
            await self._room.wait()
        self._in_flight_bytes += size
        future: asyncio.Future[list[Appended | LogsvcError]] = self._loop.create_future()
        future.add_done_callback(lambda _: self._landed(size))
        self._submit(Append(chunks, future))
        return await asyncio.shield(future)  # a caller who goes away does not take the bytes along

    async def seal(self, stream_ids: Sequence[str]) -> None:
        """Declare streams complete."""
        future: asyncio.Future[None] = self._loop.create_future()
        self._submit(Seal([id_ for text in stream_ids if (id_ := _number(text)) is not None], future))
        await asyncio.shield(future)

    async def pack(self, stream_id: str) -> None:
        """Pack a stream's whole tail now, even inside a line; for tests and for operators."""
        future: asyncio.Future[None] = self._loop.create_future()
        self._submit(PackNow(self._existing(stream_id).id, future))
        await asyncio.shield(future)

    async def recovered(self) -> None:
        """Wait until what a crash or an older catalog left in the segments is stored; for tests and for operators."""
        await asyncio.shield(self._recovery)

    def subscribe(self, listener: Listener) -> None:
        """Tell of each commit, on the event loop."""
        self._listeners.append(listener)

    def _submit(self, item: Append | Call | Seal | PackNow) -> None:
        if not self._is_open:
            item.future.cancel()
            raise StoreUnavailable("the service is stopping; send again when it is back")
        self._writer.submit(item)

    def _landed(self, size: int) -> None:
        self._in_flight_bytes -= size
        self._room.set()

    def _hand_over(self, outcomes: list[Outcome], events: list[Committed]) -> None:
        """Called by the writer after a commit."""
        with suppress(RuntimeError):  # the loop is gone: nobody waits any more
            self._loop.call_soon_threadsafe(self._deliver, outcomes, events)

    def _deliver(self, outcomes: list[Outcome], events: list[Committed]) -> None:
        for outcome in outcomes:
            if outcome.future.done():
                continue
            if outcome.error is not None:
                outcome.future.set_exception(outcome.error)
                outcome.future.exception()  # whoever waited may be gone
            else:
                outcome.future.set_result(outcome.value)
        if events:
            for listener in self._listeners:
                listener(events)

    def _held(self, stream: HotStream, start: int, end: int) -> bytes:
        """Bytes that the writer has accepted; called by the writer."""
        snap = Snapshot(stream)
        held = b"".join(self._blocks.read(snap, start, min(end, snap.size)))
        if end > snap.size:
            draft = stream.draft
            if draft.base > snap.size:
                raise StoreUnavailable("these bytes are being stored just now; send them again in a moment")
            begin = max(start, snap.size) - draft.base
            held += b"".join(draft.pieces)[begin : end - draft.base]
        return held

    # Streams.

    async def stream(self, stream_id: str) -> Stream:
        """One stream as it is now."""
        number = _number(stream_id)
        held = self._registry.loaded(number) if number is not None else None
        if held is not None and held.committed:
            return held.noun()
        return await self._in_thread(lambda: self._existing(stream_id).noun())

    async def find(self, name: StreamName) -> Stream | None:
        """The stream of this name, if there is one."""
        held = await self._in_thread(lambda: self._registry.by_name(name))
        return held.noun() if held is not None and held.committed else None

    async def streams(self, job: str) -> list[Stream]:
        """All streams of a job."""

        def load() -> list[Stream]:
            found = [self._registry.by_id(id_) for id_ in self._ids("WHERE job = ?", job)]
            return sorted((each.noun() for each in found if each is not None), key=_stream_order)

        return await self._in_thread(load)

    async def stream_ids(self, jobs: Sequence[str] | None) -> list[str]:
        """Ids, newest stream first."""

        def load() -> list[str]:
            if jobs is None:
                return [str(id_) for id_ in self._ids("ORDER BY id DESC")]
            found = (id_ for job in dict.fromkeys(jobs) for id_ in self._ids("WHERE job = ?", job))
            return [str(id_) for id_ in sorted(found, reverse=True)]

        return await self._in_thread(load)

    async def generations(self, job: str, task: str, path: str) -> list[Generation]:
        """What is held of one file."""

        def load() -> list[Generation]:
            found = [
                self._registry.by_id(id_)
                for id_ in self._ids("WHERE job = ? AND task = ? AND path = ?", job, task, path)
            ]
            held = sorted((each for each in found if each is not None), key=lambda each: each.name.generation)
            return [each.generation() for each in held]

        return await self._in_thread(load)

    async def job_totals(self, jobs: Sequence[str]) -> dict[str, JobTotals]:
        """Sizes of jobs, from one snapshot of the catalog."""
        return await self._in_thread(lambda: dict(self._job_totals(jobs)))

    def _job_totals(self, jobs: Sequence[str]) -> Iterator[tuple[str, JobTotals]]:
        with self._catalog.reader() as reader:
            reader.execute("BEGIN")
            try:
                for job in jobs:
                    tasks = [
                        row[0] for row in reader.execute("SELECT DISTINCT task FROM streams WHERE job = ?", (job,))
                    ]
                    if not tasks:
                        continue
                    packed, packed_ms = reader.execute(
                        "SELECT SUM(packed_bytes), MAX(packed_ms) FROM streams WHERE job = ?", (job,)
                    ).fetchone()
                    tail, tail_ms = reader.execute(
                        "SELECT COALESCE(SUM(LENGTH(data)), 0), COALESCE(MAX(received_ms), 0) FROM streams "
                        "JOIN tails ON tails.stream = streams.id WHERE job = ?",
                        (job,),
                    ).fetchone()
                    yield job, JobTotals(packed + tail, max(packed_ms, tail_ms) / 1000, sorted(tasks, key=natural_key))
            finally:
                reader.execute("COMMIT")

    # Reading.

    async def window(self, stream_id: str, query: WindowQuery) -> Window:
        """Lines around a place."""
        number = _number(stream_id)
        held = self._registry.loaded(number) if number is not None else None
        if held is not None and held.committed:
            snap = Snapshot(held)
            first = query.start if query.start > 0 else snap.total_lines + query.start + 1
            by_number = query.user_start is None and query.received_from is None
            if by_number and first > snap.packed_lines + 1 and (query.lines == "all" or query.start > 0):
                return self._windows.window(snap, query)  # all of it is in memory: no thread is needed
        return await self._in_thread(lambda: self._windows.window(Snapshot(self._existing(stream_id)), query))

    async def matches(self, stream_id: str, query: SearchQuery) -> Matches:
        """Search one stream."""
        number = _number(stream_id)
        if number is None:
            raise _no_stream(stream_id)
        return await self._cancellable(lambda cancelled: self._searcher.matches(number, query, cancelled))

    async def overview(
        self, stream_id: str, *, buckets: int, lines: Lines, query: SearchQuery | None = None
    ) -> Overview:
        """Where a stream has errors, warnings and matches."""
        number = _number(stream_id)
        if number is None:
            raise _no_stream(stream_id)
        return await self._cancellable(
            lambda cancelled: self._searcher.overview(number, buckets, lines, query, cancelled)
        )

    async def search(
        self, stream_ids: Sequence[str], query: SearchQuery, after: tuple[str, int] | None = None
    ) -> SearchPage:
        """Search many streams."""
        numbers = [id_ for text in stream_ids if (id_ := _number(text)) is not None]
        place = (int(after[0]), after[1]) if after and _number(after[0]) is not None else None
        return await self._cancellable(lambda cancelled: self._searcher.search(numbers, query, place, cancelled))

    async def read(self, stream_id: str, start: int, end: int) -> AsyncGenerator[bytes, None]:
        """Bytes verbatim."""
        snap = await self._in_thread(lambda: Snapshot(self._existing(stream_id)))
        end = min(end, snap.size)
        while start < end:
            stop = min(end, start + PIECE_BYTES)
            yield await self._in_thread(lambda: b"".join(self._blocks.read(snap, start, stop)))  # noqa: B023
            start = stop

    async def refresh(self) -> None:
        """Readers see everything at once."""

    # Samples.

    async def add_samples(self, job: str, samples: Sequence[Sample]) -> int:
        """Durable when it returns; see the port."""
        return await self._samples.add(job, samples)

    async def sample_series(self, job: str, kinds: Sequence[str] = tuple(READINGS)) -> list[SeriesName]:
        """All series of a job of these kinds."""
        return await self._in_thread(lambda: self._samples.read.series(job, kinds))

    async def raw_samples(self, job: str, query: SampleQuery) -> list[RawSeries]:
        """Every sample asked for."""
        return await self._in_thread(lambda: self._samples.read.raw(job, query))

    async def bucketed_samples(self, job: str, query: SampleQuery, *, buckets: int) -> list[BucketSeries]:
        """Samples by equal spans of time."""
        return await self._in_thread(lambda: self._samples.read.bucketed(job, query, buckets))

    async def pooled(self, jobs: Sequence[str]) -> dict[str, list[Pooled]]:
        """Exact sums of the utilization of each card."""
        return await self._in_thread(lambda: self._samples.read.pooled(jobs))

    async def pack_samples(self, job: str) -> None:
        """Pack a job's samples now; for tests and for operators."""
        await self._samples.pack(job)

    # Records.

    async def get(self, kind: str, id: str) -> Record | None:
        """One document."""

        def load() -> Record | None:
            with self._catalog.reader() as reader:
                row = reader.execute(
                    "SELECT version, value FROM records WHERE kind = ? AND id = ?", (kind, id)
                ).fetchone()
            return Record(kind, id, orjson.loads(row[1]), row[0]) if row else None

        return await self._in_thread(load)

    async def put(self, kind: str, id: str, value: dict[str, Any], *, expected: int | None = None) -> Record:
        """Write one document."""
        text = orjson.dumps(value).decode()

        def write(connection: sqlite3.Connection) -> Record:
            version = _checked_version(connection, kind, id, expected) + 1
            connection.execute("INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?)", (kind, id, version, text))
            return Record(kind, id, orjson.loads(text), version)

        return await self._call(write)

    async def delete(self, kind: str, id: str, *, expected: int | None = None) -> bool:
        """True if there was one."""

        def write(connection: sqlite3.Connection) -> bool:
            _checked_version(connection, kind, id, expected)
            return connection.execute("DELETE FROM records WHERE kind = ? AND id = ?", (kind, id)).rowcount > 0

        return await self._call(write)

    async def list(self, kind: str, *, after: str = "", limit: int = 1000) -> list[Record]:
        """Documents of a kind by id."""

        def load() -> list[Record]:
            with self._catalog.reader() as reader:
                rows = reader.execute(
                    "SELECT id, version, value FROM records WHERE kind = ? AND id > ? ORDER BY id LIMIT ?",
                    (kind, after, limit),
                ).fetchall()
            return [Record(kind, id_, orjson.loads(value), version) for id_, version, value in rows]

        return await self._in_thread(load)

    # Helpers.

    async def _call(self, run: Callable[[sqlite3.Connection], T]) -> T:
        future: asyncio.Future[T] = self._loop.create_future()
        self._submit(Call(run, future))
        return await asyncio.shield(future)

    async def _in_thread(self, run: Callable[[], T]) -> T:
        return await self._loop.run_in_executor(self._read_threads, run)

    async def _cancellable(self, run: Callable[[threading.Event], T]) -> T:
        cancelled = threading.Event()
        try:
            return await self._in_thread(lambda: run(cancelled))
        except asyncio.CancelledError:
            cancelled.set()
            raise
        except Cancelled as exc:
            raise asyncio.CancelledError from exc

    def _existing(self, stream_id: str) -> HotStream:
        number = _number(stream_id)
        held = self._registry.by_id(number) if number is not None else None
        if held is None or not held.committed:
            raise _no_stream(stream_id)
        return held

    def _ids(self, where: str, *values: object) -> Sequence[int]:
        with self._catalog.reader() as reader:
            return [row[0] for row in reader.execute(f"SELECT id FROM streams {where}", values)]

    async def _take_up_orphans(self) -> None:
        def name_of(number: int) -> StreamName | None:
            held = self._registry.by_id(number)
            return held.name if held else None

        await take_up(self._segments, self.append, name_of, self._in_thread)

    async def _copy_daily(self) -> None:
        """Keep a copy of the catalog that is at most a day old."""
        target = self._folder / files.COPY
        while True:
            with suppress(OSError, LogsvcError, sqlite3.Error):
                if not target.exists() or time.time() - target.stat().st_mtime > COPY_AGE_SECONDS:
                    await self._in_thread(lambda: self._catalog.copy_to(target))
            await asyncio.sleep(COPY_CHECK_SECONDS)


def _checked_version(connection: sqlite3.Connection, kind: str, id_: str, expected: int | None) -> int:
    """The version a document has now, 0 for none."""
    row = connection.execute("SELECT version FROM records WHERE kind = ? AND id = ?", (kind, id_)).fetchone()
    version = int(row[0]) if row else 0
    if expected is not None and expected != version:
        raise Conflict(f"{kind} {id_[:100]!a} is at version {version}, not {expected}; read it again", version=version)
    return version


def _number(stream_id: str) -> int | None:
    """A stream's number from its id; None for what is no id."""
    if stream_id.isascii() and stream_id.isdigit() and len(stream_id) <= 18 and stream_id[0] != "0":
        return int(stream_id)
    return None


def _no_stream(stream_id: str) -> NotFound:
    return NotFound(f"there is no stream {stream_id[:100]!a}")


def _stream_order(stream: Stream) -> tuple[int, list[object], list[object], int]:
    name = stream.name
    return KINDS.index(stream.kind), natural_key(name.task), natural_key(name.path), name.generation


def _unlock(lock: int) -> None:
    os.close(lock)


def _keep_buffers() -> None:
    """Let malloc keep buffers of up to 32 MiB: the page faults of fresh ones cost more than the work done in them."""
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(-3, 32 << 20)  # M_MMAP_THRESHOLD
        libc.mallopt(-1, 64 << 20)  # M_TRIM_THRESHOLD
