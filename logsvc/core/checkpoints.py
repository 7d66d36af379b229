"""Finds the lines of a job's logs that speak of saving a checkpoint, as they come.

Each stream is searched once: a look goes on behind the last. Bounded in streams, in lines a look and
in lines kept, so that a log that speaks of nothing else costs no more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from logsvc.core.findings.checkpoint_words import CHECKPOINT_PATTERN, is_checkpoint_line
from logsvc.core.findings.view import CheckpointLine
from logsvc.errors import NotFound
from logsvc.model.query import SearchQuery, WindowQuery
from logsvc.model.stream import Stream, natural_key
from logsvc.ports import LogStore

MAX_STREAMS = 8  # rank 0 writes checkpoints, or each task its part: a few tell when
MAX_MATCHES = 100  # of a stream at one look; the next one goes on
MAX_LINES = 2000  # kept of a job
SEARCH_SECONDS = 2.0


@dataclass
class _Job:
    through: dict[str, int] = field(default_factory=dict)  # stream to the last line looked at
    lines: deque[CheckpointLine] = field(default_factory=lambda: deque(maxlen=MAX_LINES))


class Checkpoints:
    """Checkpoint lines of jobs, found in their user lines."""

    def __init__(self, logs: LogStore) -> None:
        self._logs = logs
        self._jobs: dict[str, _Job] = {}

    async def of(self, job: str, start_ms: int) -> Sequence[CheckpointLine]:
        """Those that came at `start_ms` (Unix milliseconds) or later, as far as was looked."""
        held = self._jobs.setdefault(job, _Job())
        for stream in _chosen(await self._logs.streams(job), start_ms):
            try:
                await self._look(held, stream, start_ms)
            except NotFound:
                held.through.pop(stream.id, None)
        while held.lines and held.lines[0].at_ms < start_ms:
            held.lines.popleft()
        return sorted((one for one in held.lines if one.at_ms >= start_ms), key=lambda one: one.at_ms)

    def forget(self, job: str) -> None:
        """The job has ended."""
        self._jobs.pop(job, None)

    async def _look(self, held: _Job, stream: Stream, start_ms: int) -> None:
        through = held.through.get(stream.id)
        if through is None:
            first = await self._logs.window(stream.id, WindowQuery(received_from=start_ms / 1000, limit=1))
            through = first.lines[0]["n"] - 1 if first.lines else stream.lines
        if through >= stream.lines:
            held.through[stream.id] = through
            return
        query = SearchQuery(
            CHECKPOINT_PATTERN,
            regex=True,
            lines="user",
            after=through,
            limit=MAX_MATCHES,
            count=False,
            time_limit_seconds=SEARCH_SECONDS,
        )
        found = await self._logs.matches(stream.id, query)
        complete = [match for match in found.matches if match["n"] <= stream.lines]
        for match in complete:
            if is_checkpoint_line(match["text"]):
                window = await self._logs.window(stream.id, WindowQuery(start=match["n"], limit=1))
                came = datetime.fromisoformat(window.lines[0]["received_at"])
                held.lines.append(
                    CheckpointLine(stream.id, match["n"], round(came.timestamp() * 1000), stream.name.task)
                )
        more = found.next is not None or not found.exact
        # The search saw whatever was committed meanwhile; lines behind those known before are for the next look.
        # What gives nothing in its time is not searched again: the next look would get no farther.
        held.through[stream.id] = complete[-1]["n"] if more and complete else stream.lines


def _chosen(streams: Sequence[Stream], start_ms: int) -> list[Stream]:
    """Logs of tasks, or of processes where a task has none of its own; those of the first tasks."""
    alive = [one for one in streams if one.last_chunk_at * 1000 >= start_ms]
    whole = {one.name.task for one in alive if one.kind == "ordinary"}
    spoken = [one for one in alive if one.kind == "ordinary" or (one.kind == "proc" and one.name.task not in whole)]
    return sorted(spoken, key=lambda one: (natural_key(one.name.task), one.name.path, one.name.generation))[
        :MAX_STREAMS
    ]
