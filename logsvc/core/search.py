"""Matches in one stream, or in many: newest stream first, then by line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from logsvc.core.listing import read_cursor, write_cursor
from logsvc.errors import NotFound
from logsvc.model.query import Lines, SearchQuery
from logsvc.model.stream import Stream
from logsvc.ports import LogStore

KNOWN_STREAMS = 200_000  # names never change: bounds what a search over everything looks up again


@dataclass(frozen=True)
class Scope:
    """Streams to search: of these jobs, kinds and tasks; empty: any."""

    jobs: tuple[str, ...] = ()
    kinds: frozenset[str] = frozenset()
    tasks: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Named:
    """What never changes of a stream, and what a list of matches shows."""

    id: str
    job: str
    task: str
    kind: str
    path: str
    generation: int

    @property
    def shown(self) -> dict[str, Any]:
        """How an answer names it."""
        return {
            "stream": self.id,
            "job": self.job,
            "task": self.task,
            "kind": self.kind,
            "path": self.path,
            "generation": self.generation,
        }


class Search:
    """Searches over one store."""

    def __init__(self, store: LogStore) -> None:
        self._store = store
        self._named: dict[str, Named] = {}

    async def stream(self, stream_id: str, query: SearchQuery) -> dict[str, Any]:
        """
        Matches of one stream in their public form.

        Raises: NotFound, BadPattern.
        """
        found = await self._store.matches(stream_id, query)
        return {
            "total": found.total,
            "exact": found.exact,
            "scanned_bytes": found.scanned_bytes,
            "matches": found.matches,
            "next": found.next,
            "preceding": found.preceding,
        }

    async def overview(
        self, stream_id: str, *, buckets: int, lines: Lines, query: SearchQuery | None
    ) -> dict[str, Any]:
        """
        Where a stream has errors, warnings and matches, in its public form.

        Raises: NotFound, BadPattern.
        """
        seen = await self._store.overview(stream_id, buckets=buckets, lines=lines, query=query)
        return {
            "lines": lines,
            "rows": seen.rows,
            "errors": seen.errors,
            "warnings": seen.warnings,
            "matches": seen.matches,
            "exact": seen.exact,
        }

    async def streams(self, scope: Scope, query: SearchQuery, cursor: str | None) -> dict[str, Any]:
        """
        A page of matches of many streams in its public form.

        Raises: BadPattern, BadInput for a foreign cursor.
        """
        after = None
        if cursor is not None:
            stream_id, n = read_cursor(cursor, str, int)
            after = (stream_id, n)
        chosen = [
            one
            for one in await self._candidates(scope)
            if (not scope.kinds or one.kind in scope.kinds) and (not scope.tasks or one.task in scope.tasks)
        ]
        searched, left_out = _without_proc_logs(chosen)
        page = await self._store.search([one.id for one in searched], query, after)
        by_id = {one.id: one for one in searched}
        matches = []
        for found in page.streams:
            shown = by_id[found.stream_id].shown
            matches += [{**shown, **match} for match in found.matches]
        return {
            "matches": matches,
            "totals": [
                {**by_id[found.stream_id].shown, "total": found.total}
                for found in page.streams
                if found.total is not None
            ],
            "exact": page.exact,
            "scanned_bytes": page.scanned_bytes,
            "searched_streams": len(searched),
            "left_out": [one.id for one in left_out],
            "cursor": write_cursor(list(page.next)) if page.next else None,
        }

    async def _candidates(self, scope: Scope) -> list[Named]:
        """Streams of the jobs asked for, newest first."""
        ids = await self._store.stream_ids(list(scope.jobs) or None)
        unknown = [id for id in ids if id not in self._named]
        if unknown and scope.jobs:
            for job in scope.jobs:
                for stream in await self._store.streams(job):
                    self._remember(stream)
        for id in unknown:
            if id not in self._named:
                try:
                    self._remember(await self._store.stream(id))
                except NotFound:
                    continue
        return [self._named[id] for id in ids if id in self._named]

    def _remember(self, stream: Stream) -> None:
        while len(self._named) >= KNOWN_STREAMS:
            del self._named[next(iter(self._named))]
        name = stream.name
        self._named[stream.id] = Named(stream.id, name.job, name.task, stream.kind, name.path, name.generation)


def _without_proc_logs(streams: Sequence[Named]) -> tuple[list[Named], list[Named]]:
    """
    Streams to search, and the proc logs that say the same as a worker log among them.

    The launcher copies what each process writes into the task's own log as well; a match would
    be found twice. A proc log stays where its task's log is not among the streams.
    """
    told = {(one.job, one.task) for one in streams if one.kind == "ordinary"}
    searched: list[Named] = []
    left_out: list[Named] = []
    for one in streams:
        (left_out if one.kind == "proc" and (one.job, one.task) in told else searched).append(one)
    return searched, left_out
