"""Samples that the service has not taken yet: in order, packed, within a bound; the oldest go first."""

from __future__ import annotations

import json
import zlib
from collections import deque
from typing import Any, NamedTuple, Optional

BOUND_BYTES = 32 << 20  # packed: days for a node of 8 cards
BODY_ENTRIES = 5_000  # readings in one request; the service takes 10,000
LISTS = ("samples", "process_io", "host", "mounts")

Body = dict[str, Any]  # of POST /samples


class _Packed(NamedTuple):
    job: str
    task: str
    entries: int
    data: bytes


class Backlog:
    """
    Bodies that wait. One thread uses it; the counters may be read from any.

    Attributes:
        waiting: readings that wait.
        dropped: readings that went because there was no room.
    """

    def __init__(self, bound_bytes: int = BOUND_BYTES) -> None:
        self.waiting = self.dropped = 0
        self._bound_bytes, self._bytes = bound_bytes, 0
        self._packed: deque[_Packed] = deque()
        self._given = 0  # how many of the first ones are in the body that was given last

    def add(self, body: Body) -> int:
        """Keep one; returns how many readings were dropped for it."""
        packed = _Packed(body["job"], body["task"], entries_of(body), zlib.compress(json.dumps(body).encode(), 1))
        self._packed.append(packed)
        self.waiting += packed.entries
        self._bytes += len(packed.data)
        dropped = 0
        while self._bytes > self._bound_bytes and len(self._packed) > 1:
            dropped += self._forget_first()
            self._given = max(0, self._given - 1)
        self.dropped += dropped
        return dropped

    def first(self, *, alone: bool = False) -> Optional[Body]:
        """
        The oldest, with those behind it of the same task that fit into one request; None where nothing waits.

        Args:
            alone: without those behind it.
        """
        bodies: list[Body] = []
        entries = 0
        for packed in self._packed:
            same = not bodies or (packed.job, packed.task) == (bodies[0]["job"], bodies[0]["task"])
            if bodies and (alone or not same or entries + packed.entries > BODY_ENTRIES):
                break
            bodies.append(json.loads(zlib.decompress(packed.data)))
            entries += packed.entries
        self._given = len(bodies)
        if not bodies:
            return None
        body = {**bodies[0], **bodies[-1]}  # states are as they were last
        for name in LISTS:
            joined = [entry for part in bodies for entry in part.get(name, ())]
            if joined:
                body[name] = joined
        return body

    def taken(self) -> int:
        """The service has what `first` gave last, or will never take it; returns its readings."""
        entries = 0
        for _ in range(self._given):
            entries += self._forget_first()
        self._given = 0
        return entries

    def forget(self, job: str) -> None:
        """Nothing of this job is sent any more."""
        kept = [packed for packed in self._packed if packed.job != job]
        self._packed = deque(kept)
        self._given = 0
        self.waiting, self._bytes = sum(packed.entries for packed in kept), sum(len(packed.data) for packed in kept)

    def _forget_first(self) -> int:
        packed = self._packed.popleft()
        self.waiting -= packed.entries
        self._bytes -= len(packed.data)
        return packed.entries


def entries_of(body: Body) -> int:
    """Readings in a body."""
    return sum(len(body.get(name, ())) for name in LISTS)
