"""Follow a job in the terminal: all its tasks at once, through lost connections, until it has ended.

Where a reader stands in each log is the last line printed; a connection that is lost is made again from there.
"""

from __future__ import annotations

import asyncio
import heapq
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from logsvc.client import Client
from logsvc.commands.printer import LABELS, Printer, Source
from logsvc.errors import BadInput, NotFound, StoreUnavailable

ENDED = ("succeeded", "failed", "stopped")
MAX_LOGS = 100  # a connection each
LOOK_SECONDS = 2.0  # for new logs, and whether the job has ended
RETRY_SECONDS = (0.5, 1, 2, 5, 10)  # the last one again and again
WINDOW_LINES = 5000


@dataclass(frozen=True)
class Wanted:
    """
    What to follow.

    Attributes:
        tasks, ranks: of these; empty: of any.
        kinds: of these; empty: the tasks' own logs, or any kind where ranks are chosen.
        lines: all, or user lines only.
        start: first line, from 1; -L: the last L lines.
        since: the first line received then instead (RFC 3339).
    """

    job: str
    tasks: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    ranks: frozenset[int] = frozenset()
    lines: str = "all"
    start: int = -10
    since: str | None = None

    def admits(self, stream: dict[str, Any]) -> bool:
        """True for a log that is followed."""
        return (
            (not self.tasks or stream["task"] in self.tasks)
            and (not self.ranks or stream["rank"] in self.ranks)
            and stream["kind"] in (self.kinds or (stream["kind"] if self.ranks else "ordinary",))
        )


@dataclass
class _Log:
    """One file of the job; what is read of it now, and how far."""

    source: Source
    stream: str
    line: int | None = None  # to go on at; None: where `Wanted` says
    sealed: bool = False
    next_stream: str | None = None


class Following:
    """The logs of one job, to one printer."""

    def __init__(self, client: Client, wanted: Wanted, printer: Printer) -> None:
        self._client, self._wanted, self._printer = client, wanted, printer
        self._logs: dict[tuple[str, str], _Log] = {}  # by task and path
        self._away = False  # it was said that the service does not answer

    async def print_held(self) -> None:
        """Everything there is now, in the order in which it was received."""
        for stream in await self._chosen():
            self._add(stream)
        if not self._logs:
            raise self._nothing()
        heads = [(number, log, await self._window(log)) for number, log in enumerate(self._logs.values())]
        heap = [(lines[0]["received_at"], number, log, lines) for number, log, lines in heads if lines]
        heapq.heapify(heap)
        while heap:
            _, number, log, lines = heapq.heappop(heap)
            until = bisect_right(lines, heap[0][0], key=itemgetter("received_at")) if heap else len(lines)
            self._printer.lines(log.source, lines[: max(until, 1)])
            rest = lines[max(until, 1) :] or await self._window(log)
            if rest:
                heapq.heappush(heap, (rest[0]["received_at"], number, log, rest))

    async def run(self) -> None:
        """Lines as they come, until the job has ended and each of its logs is read to the end."""
        try:
            async with asyncio.TaskGroup() as group:
                readers: list[asyncio.Task[None]] = []
                await self._watch(lambda log: readers.append(group.create_task(self._read(log))))
                for reader in readers:
                    reader.cancel()
        except BaseExceptionGroup as broken:
            first: BaseException = broken
            while isinstance(first, BaseExceptionGroup):
                first = first.exceptions[0]
            raise first from None
        self._printer.finish()

    # Which logs.

    async def _watch(self, begin: Callable[[_Log], None]) -> None:
        """Begin each log as it appears; ends when no more can come."""
        looks, told = 0, ""
        while True:
            try:
                job = await self._client.fetch(f"/jobs/{self._wanted.job}")
                chosen = await self._chosen()
            except StoreUnavailable:
                if not looks:
                    raise
            else:
                ended = job["status"] in ENDED
                for stream in chosen:
                    if (stream["task"], stream["path"]) not in self._logs:
                        begin(self._add(stream, new=looks > 0))
                if ended and not self._logs:
                    raise self._nothing()
                if ended and all(log.sealed and not log.next_stream for log in self._logs.values()):
                    return
                say = f"the job has ended ({job['status']}); its last lines are awaited" if ended and looks else ""
                if not self._logs:
                    say = f"job {self._wanted.job} has no such log yet; waiting for one"
                if say and say != told and self._printer.terminal.told:
                    self._printer.say(say)
                told, looks = say, looks + 1
            await asyncio.sleep(LOOK_SECONDS)

    async def _chosen(self) -> list[dict[str, Any]]:
        """Of each file that is wanted the generation to begin with: the newest, or the first received since then."""
        wanted = self._wanted
        files: dict[tuple[str, str], dict[str, Any]] = {}
        for stream in await self._streams():
            name = stream["task"], stream["path"]
            since = wanted.since is not None and name in files and files[name]["last_chunk_at"] >= wanted.since
            if wanted.admits(stream) and not since:
                files[name] = stream
        if len(files) > MAX_LOGS:
            raise BadInput(f"Job {wanted.job} has {len(files)} such logs, at most {MAX_LOGS}; choose some with --task.")
        return list(files.values())

    async def _streams(self) -> list[dict[str, Any]]:
        """Of the job, each file's oldest generation first."""
        streams: list[dict[str, Any]] = (await self._client.fetch(f"/jobs/{self._wanted.job}/streams"))["streams"]
        return streams

    def _add(self, stream: dict[str, Any], *, new: bool = False) -> _Log:
        source = Source(label(stream), _told(stream), LABELS[len(self._logs) % len(LABELS)])
        log = _Log(source, stream["id"], 1 if new else None)
        self._logs[stream["task"], stream["path"]] = log
        if len(self._logs) > 1:
            self._printer.label_width = max(len(log.source.label) for log in self._logs.values())
        return log

    def _nothing(self) -> NotFound:
        return NotFound(f"Job {self._wanted.job} has no such log.")

    # Reading one.

    async def _read(self, log: _Log) -> None:
        failures = 0
        while True:
            try:
                log.line = log.line or await self._first_line(log.stream)
                async for message in self._client.follow(log.stream, start=log.line, lines=self._wanted.lines):
                    failures = 0
                    self._connected()
                    await self._take(log, message)
                if log.next_stream is None:
                    raise StoreUnavailable("The service closed the connection")
                await self._go_on(log, log.next_stream)
            except StoreUnavailable as error:
                if not self._away:
                    self._away = True
                    self._printer.say(f"{error.message.rstrip('.')}. Trying again; nothing will be missing.")
                await asyncio.sleep(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])
                failures += 1

    def _connected(self) -> None:
        if self._away:
            self._away = False
            self._printer.say("connected again")

    async def _take(self, log: _Log, message: dict[str, Any]) -> None:
        log.sealed = bool(message.get("sealed"))
        if log.sealed:
            log.next_stream = message["next_stream"]
        elif "lines" in message:
            self._printer.lines(log.source, message["lines"])
            log.line = message["through"] + 1
        elif "gap" in message:
            await self._catch_up(log, message["gap"]["first_line"] + message["gap"]["count"])
        elif "partial" in message:
            self._printer.partial(log.source, message["partial"])

    async def _catch_up(self, log: _Log, end: int) -> None:
        """Lines before `end` that came faster than they were printed, from history."""
        while (log.line or end) < end:
            lines = await self._window(log)
            if not lines:
                break
            self._printer.lines(log.source, [line for line in lines if line["n"] < end])
        log.line = end

    async def _window(self, log: _Log) -> list[dict[str, Any]]:
        """The next lines of a log; none at its end."""
        log.line = log.line or await self._first_line(log.stream)
        window = await self._lines(log.stream, **{"from": log.line, "limit": WINDOW_LINES})
        log.line = max(window["through"] + 1, log.line)
        lines: list[dict[str, Any]] = window["lines"]
        return lines

    async def _first_line(self, stream: str) -> int:
        """Number of the line to begin at."""
        wanted = self._wanted
        if wanted.start > 0 and wanted.since is None:
            return wanted.start
        place = {"from": wanted.start} if wanted.since is None else {"received_from": wanted.since}
        window = await self._lines(stream, limit=1, **place)
        if window["lines"]:
            return int(window["lines"][0]["n"])
        last = (await self._lines(stream, limit=1, lines="all", **{"from": -1}))["lines"]
        return int(last[0]["n"]) + ("partial" not in last[0]) if last else 1

    async def _go_on(self, log: _Log, next_stream: str) -> None:
        """In the next generation of the file."""
        found = next((stream for stream in await self._streams() if stream["id"] == next_stream), None)
        if found is None:
            raise NotFound(f"The next part of {log.source.label} is gone.")
        log.source.told.update(_told(found))
        log.stream, log.line, log.sealed, log.next_stream = next_stream, 1, False, None

    async def _lines(self, stream: str, **query: Any) -> Any:
        return await self._client.fetch(f"/streams/{stream}/lines", **{"lines": self._wanted.lines, **query})


def _told(stream: dict[str, Any]) -> dict[str, Any]:
    return {name: stream[name] for name in ("job", "task", "kind", "rank", "path", "generation")} | {
        "stream": stream["id"]
    }


def label(stream: dict[str, Any]) -> str:
    """A log's short name within its job."""
    return str(stream["task"] if stream["kind"] == "ordinary" else f"{stream['task']}/{file_name(stream)}")


def file_name(stream: dict[str, Any]) -> str:
    """The last part of a stream's path, without the job's name."""
    name = str(stream["path"]).rpartition("/")[2]
    return name.removeprefix(f"modelarts-job-{stream['job']}-")
