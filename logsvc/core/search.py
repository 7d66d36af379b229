"""Matches in one stream, or in many: newest stream first, then by line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from logsvc.core.listing import read_cursor, write_cursor
from logsvc.errors import NotFound
from logsvc.model.query import MAX_ANSWER_TEXT_BYTES, Line, Lines, Match, SearchQuery, WindowQuery
from logsvc.model.stream import Stream
from logsvc.ports import LogStore

MAX_LEFT_OUT = 1000  # named in an answer
KNOWN_STREAMS = 200_000  # names never change: bounds what a search over everything looks up again


@dataclass(frozen=True)
class Scope:
    """
    Streams to search.

    Attributes:
        jobs: of these jobs; None: of all.
        kinds, tasks, ranks: of these; empty: of any.
        proc: also proc logs that say the same as a worker log that is searched.
    """

    jobs: Sequence[str] | None = None
    kinds: frozenset[str] = frozenset()
    tasks: frozenset[str] = frozenset()
    ranks: frozenset[int] = frozenset()
    proc: bool = False


@dataclass(frozen=True)
class Named:
    """What never changes of a stream (but for a rank that is learned late), and what a list of matches shows."""

    id: str
    job: str
    task: str
    kind: str
    rank: int | None
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
            "rank": self.rank,
            "path": self.path,
            "generation": self.generation,
        }


class Search:
    """Searches over one store."""

    def __init__(self, store: LogStore) -> None:
        self._store = store
        self._named: dict[str, Named] = {}

    async def stream(self, stream_id: str, query: SearchQuery, context: int = 0) -> dict[str, Any]:
        """
        Matches of one stream in their public form, each with `context` lines before and behind it.

        Raises: NotFound, BadPattern.
        """
        found = await self._store.matches(stream_id, query)
        matches = await self._in_context([(stream_id, match) for match in found.matches], query.lines, context)
        left = len(found.matches) - len(matches)
        preceding = found.preceding
        if preceding is not None and query.before is not None:
            preceding += left
        return {
            "total": found.total,
            "exact": found.exact,
            "scanned_bytes": found.scanned_bytes,
            "matches": matches,
            "next": matches[-1]["n"] if left else found.next,
            "preceding": preceding,
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

    async def streams(self, scope: Scope, query: SearchQuery, cursor: str | None, context: int = 0) -> dict[str, Any]:
        """
        A page of matches of many streams in its public form, each with `context` lines before and behind it.

        Raises: BadPattern, BadInput for a foreign cursor.
        """
        after = None
        if cursor is not None:
            stream_id, n = read_cursor(cursor, str, int)
            after = (stream_id, n)
        chosen = [
            one
            for one in await self._candidates(scope)
            if (not scope.kinds or one.kind in scope.kinds)
            and (not scope.tasks or one.task in scope.tasks)
            and (not scope.ranks or one.rank in scope.ranks)
        ]
        searched, left_out = (chosen, []) if scope.proc else _without_proc_logs(chosen)
        page = await self._store.search([one.id for one in searched], query, after)
        by_id = {one.id: one for one in searched}
        given = [(found.stream_id, match) for found in page.streams for match in found.matches]
        matches = await self._in_context(given, query.lines, context)
        end = page.next if len(matches) == len(given) else (given[len(matches) - 1][0], matches[-1]["n"])
        return {
            "matches": [{**by_id[id].shown, **match} for (id, _), match in zip(given, matches, strict=False)],
            "totals": [
                {**by_id[found.stream_id].shown, "total": found.total}
                for found in page.streams
                if found.total is not None
            ],
            "exact": page.exact,
            "scanned_bytes": page.scanned_bytes,
            "searched_streams": len(searched),
            "left_out_streams": len(left_out),
            "left_out": [one.id for one in left_out[:MAX_LEFT_OUT]],
            "cursor": write_cursor(list(end)) if end else None,
        }

    async def _candidates(self, scope: Scope) -> list[Named]:
        """Streams of the jobs asked for, newest first."""
        ids = await self._store.stream_ids(scope.jobs)
        unknown = [id for id in ids if id not in self._named or (scope.ranks and self._named[id].rank is None)]
        if len(unknown) > len(scope.jobs or ids):
            for job in scope.jobs or ():
                for stream in await self._store.streams(job):
                    self._remember(stream)
        else:
            for id in unknown:
                try:
                    self._remember(await self._store.stream(id))
                except NotFound:
                    continue
        return [self._named[id] for id in ids if id in self._named]

    def _remember(self, stream: Stream) -> None:
        while len(self._named) >= KNOWN_STREAMS:
            del self._named[next(iter(self._named))]
        name = stream.name
        self._named[stream.id] = Named(
            stream.id, name.job, name.task, stream.kind, stream.rank, name.path, name.generation
        )

    # The lines around a match.

    async def _in_context(
        self, matches: Sequence[tuple[str, Match]], lines: Lines, context: int
    ) -> list[dict[str, Any]]:
        """The matches of these streams with `before` and `after`; fewer where an answer would become too large."""
        if not context:
            return [dict(match) for _, match in matches]
        shown: list[dict[str, Any]] = []
        size = 0
        for stream_id, match in matches:
            before, after = await self._around(stream_id, match, lines, context)
            size += sum(len(line["text"].encode()) for line in (match, *before, *after))
            if shown and size > MAX_ANSWER_TEXT_BYTES:
                break
            shown.append({**match, "before": list(map(_beside, before)), "after": list(map(_beside, after))})
        return shown

    async def _around(self, stream_id: str, match: Match, lines: Lines, context: int) -> tuple[list[Line], list[Line]]:
        number = match["u"] if lines == "user" and match["u"] else match["n"]
        first = max(number - context, 1)
        limit = number - first + 1 + context
        if lines == "user":
            query = WindowQuery(user_start=first, limit=limit, lines="user")
        else:
            query = WindowQuery(start=first, limit=limit)
        around = (await self._store.window(stream_id, query)).lines
        return [line for line in around if line["n"] < match["n"]], [line for line in around if line["n"] > match["n"]]


def _beside(line: Line) -> dict[str, Any]:
    """A line as it stands beside a match."""
    return {name: value for name, value in line.items() if name not in ("offset", "received_at")}


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
