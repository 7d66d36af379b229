"""What the core needs of the outside, as protocols. Stores implement them; only `app.py` chooses.

Foreign exceptions never pass a port: a store raises `logsvc.errors` only.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from logsvc.errors import LogsvcError
from logsvc.model.chunk import Appended, Chunk, Generation
from logsvc.model.query import JobTotals, Lines, Matches, Overview, Record, SearchPage, SearchQuery, Window, WindowQuery
from logsvc.model.sample import READINGS, Pooled, Sample, SampleQuery, SeriesName
from logsvc.model.stream import Stream, StreamName


@dataclass(frozen=True)
class Committed:
    """A stream grew or was sealed, durably."""

    stream_id: str
    lines: int  # complete lines now
    size_bytes: int
    sealed: bool


@dataclass(frozen=True)
class RawSeries:
    """
    Samples of one series, by time.

    Attributes:
        at_ms: Unix milliseconds, shape (samples,), ascending, no two alike.
        readings: name to values, shape (samples,); NaN: no reading.
    """

    series: SeriesName
    at_ms: NDArray[np.int64]
    readings: dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Buckets:
    """
    One reading over equal spans of time, shape (buckets,) each; NaN where a bucket has no reading.

    `count` is the number of readings in each.
    """

    minimum: NDArray[np.float64]
    mean: NDArray[np.float64]
    maximum: NDArray[np.float64]
    count: NDArray[np.int64]


@dataclass(frozen=True)
class BucketSeries:
    """Down-sampled readings of one series, by the reading's name."""

    series: SeriesName
    readings: dict[str, Buckets]


Listener = Callable[[Sequence[Committed]], None]


class Clock(Protocol):
    """Time; moved by hand in tests."""

    def now(self) -> float:
        """Unix seconds."""
        ...

    def monotonic(self) -> float:
        """Seconds from some start, never going back."""
        ...


class LogStore(Protocol):
    """
    Append-only streams of bytes that can be read by line and searched.

    A stream id is an opaque string, given at the stream's first chunk and never reused.
    Every reader sees one consistent state of a stream, committed bytes only.
    """

    async def open(self) -> None:
        """Make ready; raises CannotStart with a sentence that says what to do."""

    async def close(self) -> None:
        """Finish what was accepted and let go of everything; may be called twice."""

    async def append(self, chunks: Sequence[Chunk]) -> list[Appended | LogsvcError]:
        """
        Make chunks durable, in order, all that can be in one commit.

        Returns, once durable, one entry a chunk: `Appended`, or why that chunk was refused
        (OffsetGap, ContentConflict). A refused chunk changes nothing, not even by making a job
        or a stream. Bytes already held are compared and not stored again. The first chunk of a
        job makes its record (kind "job", see `model.job.new_job`) in the same commit.
        An empty chunk with `final` seals; without it, it stores nothing (and makes nothing).
        A chunk with bytes or `final` opens or seals: a later chunk with new bytes opens a sealed
        stream again. A chunk's `rank` becomes its stream's where that has none; one that is there
        stays.

        Raises: StoreUnavailable, DiskFull: none of the chunks was acknowledged.
        """
        ...

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` on the event loop after each commit, in commit order, never awaited."""

    async def stream(self, stream_id: str) -> Stream:
        """One stream as it is now; raises NotFound (also for a malformed id)."""
        ...

    async def find(self, name: StreamName) -> Stream | None:
        """The stream of this name, if there is one."""
        ...

    async def streams(self, job: str) -> list[Stream]:
        """All streams of a job, by kind, task, path, generation; none for an unknown job."""
        ...

    async def stream_ids(self, jobs: Sequence[str] | None) -> list[str]:
        """Ids of the streams of these jobs (None: of all), newest stream first."""
        ...

    async def generations(self, job: str, task: str, path: str) -> list[Generation]:
        """What is held of one file, oldest generation first."""
        ...

    async def job_totals(self, jobs: Sequence[str]) -> dict[str, JobTotals]:
        """Sizes for those of the jobs that have streams."""
        ...

    async def seal(self, stream_ids: Sequence[str]) -> None:
        """Declare streams complete; sealed ones stay so."""

    async def window(self, stream_id: str, query: WindowQuery) -> Window:
        """Lines around a place; raises NotFound."""
        ...

    async def matches(self, stream_id: str, query: SearchQuery) -> Matches:
        """Search one stream; raises NotFound, BadPattern. Stops soon when cancelled."""
        ...

    async def overview(
        self, stream_id: str, *, buckets: int, lines: Lines, query: SearchQuery | None = None
    ) -> Overview:
        """
        Where a stream has errors, warnings and matches; raises NotFound, BadPattern. Stops soon when cancelled.

        Args:
            buckets: at most so many; as many as there are rows where those are fewer.
            lines: what the rows are.
            query: what to search for, with the same `lines`; its page is not used.
        """
        ...

    async def search(
        self, stream_ids: Sequence[str], query: SearchQuery, after: tuple[str, int] | None = None
    ) -> SearchPage:
        """
        Search streams in the order given, each by line; `after` is where the last page ended.

        `query.after` and `query.before` are not used. Streams that do not exist are passed over.
        Raises BadPattern. Stops soon when cancelled.
        """
        ...

    def read(self, stream_id: str, start: int, end: int) -> AsyncGenerator[bytes, None]:
        """Bytes [start, end) verbatim, in pieces of at most 1 MiB; fewer past the end. Close it to stop early."""
        ...

    async def refresh(self) -> None:
        """Make everything committed visible to readers; for stores where that takes time."""


class RecordStore(Protocol):
    """JSON documents by kind and id, with compare-and-swap."""

    async def get(self, kind: str, id: str) -> Record | None: ...

    async def put(self, kind: str, id: str, value: dict[str, Any], *, expected: int | None = None) -> Record:
        """
        Write one document, durable on return.

        Args:
            expected: the version it must have now (0: it must not exist); None: whatever it has.

        Raises: Conflict where the version is another; StoreUnavailable, DiskFull.
        """
        ...

    async def delete(self, kind: str, id: str, *, expected: int | None = None) -> bool:
        """True if there was one; raises Conflict as `put`."""
        ...

    async def list(self, kind: str, *, after: str = "", limit: int = 1000) -> list[Record]:
        """Documents of a kind by id, those with an id greater than `after`."""
        ...


class SampleStore(Protocol):
    """
    Readings of jobs over time. Every reader sees committed samples only.

    A NaN is no reading. Of samples with the same series and time the first one stays.
    """

    async def add_samples(self, job: str, samples: Sequence[Sample]) -> int:
        """
        Make samples durable; they may come in any order of time.

        Returns: how many were new; one whose series and time are held already changes nothing.

        Raises: StoreUnavailable, DiskFull, BadInput (infinite, a utilization outside 0..100, an
        unknown kind): none of them was stored.
        """
        ...

    async def sample_series(self, job: str, kinds: Sequence[str] = tuple(READINGS)) -> list[SeriesName]:
        """All series of a job of these kinds, by task, kind, name (numbers by value)."""
        ...

    async def raw_samples(self, job: str, query: SampleQuery) -> list[RawSeries]:
        """Every sample asked for; series without any, or without those readings, are left out. By task, kind, name."""
        ...

    async def bucketed_samples(self, job: str, query: SampleQuery, *, buckets: int) -> list[BucketSeries]:
        """
        Samples by `buckets` equal spans of [start_ms, end_ms), in one pass; as `raw_samples` otherwise.

        Bucket i holds the samples with floor((at_ms - start_ms) * buckets / (end_ms - start_ms)) = i.
        """
        ...

    async def pooled(self, jobs: Sequence[str]) -> dict[str, list[Pooled]]:
        """For those of the jobs with utilization readings of cards: exact sums, by task, kind, name."""
        ...


class Webhook(Protocol):
    """A receiver of messages somewhere else."""

    async def post(self, body: bytes, headers: Mapping[str, str]) -> str | None:
        """
        Send one message, within a bound of time.

        Returns: None once the receiver has taken it; else why it has not, without its address.
        """
        ...

    async def close(self) -> None:
        """Let go of everything; may be called twice."""
