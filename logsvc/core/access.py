"""Who may do what: the one place that decides.

A token has a role, which says what kind of call it may make, and a scope, which says of which jobs.
A job out of scope does not exist for whoever reads: not found by its name, absent from lists,
searches and totals. Whoever writes to one is told so, or a collector would send it for ever.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase
from typing import Any, Literal

from logsvc.errors import BadInput, Forbidden, LogsvcError, NotFound
from logsvc.model.chunk import Chunk
from logsvc.model.job import JOB_KIND
from logsvc.ports import Clock, LogStore, RecordStore

Role = Literal["ingest", "viewer", "admin"]
ROLES: tuple[Role, ...] = ("ingest", "viewer", "admin")
ALL_JOBS = ("*",)
MAX_PATTERNS = 100
OWNER_SECONDS = 5.0  # an owner is looked up again after this; what this process changes counts at once
KNOWN_JOBS = 100_000
KNOWN_STREAMS = 200_000  # a stream's job never changes
_PATTERN = re.compile(r"[A-Za-z0-9._*?-]{1,128}")


class Right(Enum):
    """What a call does, as far as anybody's right to it goes."""

    OPEN = "open"  # nobody is asked who it is
    KNOWN = "known"  # any token: metrics and the description of the API
    WRITE = "write"  # chunks, samples, descriptions of jobs, and where their streams end
    LOOK = "look"  # that a job and its streams are there: a collector needs it, a reader too
    READ = "read"  # lists, lines, searches, downloads, readings
    ADMIN = "admin"  # tokens


ROLE_RIGHTS: dict[Role, frozenset[Right]] = {
    "ingest": frozenset({Right.OPEN, Right.KNOWN, Right.WRITE, Right.LOOK}),
    "viewer": frozenset({Right.OPEN, Right.KNOWN, Right.LOOK, Right.READ}),
    "admin": frozenset(Right),
}


@dataclass(frozen=True)
class Principal:
    """
    Whoever a token speaks for.

    Attributes:
        owner: of the jobs that it makes; "me" in a filter.
        jobs: patterns of the ids of the jobs in its scope (`*`, `?`); None: those of its owner.
        token: hash of the token; empty where nobody is asked for one.
    """

    owner: str
    role: Role
    jobs: tuple[str, ...] | None = ALL_JOBS
    token: str = ""

    @property
    def everything(self) -> bool:
        """Whether every job is in its scope."""
        return self.jobs == ALL_JOBS

    def covers(self, job: str, owner: str | None) -> bool:
        """Whether a job of this owner is in its scope."""
        if self.jobs is None:
            return owner == self.owner
        return self.everything or any(fnmatchcase(job, pattern) for pattern in self.jobs)

    def sees(self, value: dict[str, Any]) -> bool:
        """Whether the job of this record is in its scope."""
        return self.covers(value["id"], value.get("owner"))


class Access:
    """
    Decides on calls and jobs. Asks no store where the scope is every job, as an administrator's is.

    Raises `Forbidden` to whoever has not the right, `NotFound` to a reader without the scope.
    """

    def __init__(self, records: RecordStore, store: LogStore, clock: Clock) -> None:
        self._records, self._store, self._clock = records, store, clock
        self._owners: dict[str, tuple[str | None, float]] = {}  # of jobs that there are; and until when
        self._jobs: dict[str, str] = {}  # stream -> job

    def allow(self, who: Principal, right: Right) -> None:
        """Let the role have this right; raises Forbidden."""
        if right not in ROLE_RIGHTS[who.role]:
            raise Forbidden(f"A token of the role {who.role} may not do this.")

    async def see_job(self, who: Principal, job: str) -> None:
        """Let there be such a job in its scope; raises NotFound, as for a job that is not there."""
        if not await self.visible(who, job):
            raise no_job(job)

    async def see_stream(self, who: Principal, stream: str) -> None:
        """Let the job of a stream be in its scope; raises NotFound, as for a stream that is not there."""
        if who.everything:
            return
        job = self._jobs.get(stream)
        if job is None:
            job = (await self._store.stream(stream)).name.job
            if len(self._jobs) >= KNOWN_STREAMS:
                self._jobs.clear()
            self._jobs[stream] = job
        if not await self.visible(who, job):
            raise NotFound(f"there is no stream {stream[:100]!a}")

    async def visible(self, who: Principal, job: str) -> bool:
        """Whether a job that is there is in its scope; with patterns, whether or not it is there."""
        if who.jobs is not None:
            return who.covers(job, None)
        owner = await self._owner(job)
        return owner is not None and who.covers(job, owner[0])

    async def write_job(self, who: Principal, job: str) -> None:
        """Let it write to a job, be it there or not; raises Forbidden."""
        if who.everything:
            return
        if who.jobs is not None:
            if not who.covers(job, None):
                raise Forbidden(f"This token may not write to job {job[:128]!a}: it is for {', '.join(who.jobs)}.")
            return
        owner = await self._owner(job)
        if owner is not None and not who.covers(job, owner[0]):
            raise Forbidden(f"This token writes to the jobs of {who.owner} only, and {job[:128]!a} is another's.")

    async def writable(self, who: Principal, job: str) -> bool:
        """Whether it may write to a job; of others it is not told what is held."""
        try:
            await self.write_job(who, job)
        except Forbidden:
            return False
        return True

    async def only_own(self, who: Principal, chunks: list[Chunk | LogsvcError]) -> list[Chunk | LogsvcError]:
        """The chunks, those of jobs that it may not write to refused at their place."""
        if who.everything:
            return chunks
        refused: dict[str, LogsvcError] = {}
        for job in {chunk.stream.job for chunk in chunks if isinstance(chunk, Chunk)}:
            try:
                await self.write_job(who, job)
            except Forbidden as error:
                refused[job] = error
        return [refused.get(chunk.stream.job, chunk) if isinstance(chunk, Chunk) else chunk for chunk in chunks]

    def describe_job(self, who: Principal, given: dict[str, Any]) -> None:
        """Let it say this of a job; raises Forbidden where that would take the job out of its scope."""
        if who.jobs is None and given.get("owner", who.owner) != who.owner:
            raise Forbidden(f"This token is for the jobs of {who.owner}; it cannot give them to somebody else.")

    def changed(self, value: dict[str, Any]) -> None:
        """A job was described: its owner may be another."""
        self._owners.pop(value["id"], None)

    async def _owner(self, job: str) -> tuple[str | None] | None:
        """Owner of a job, in a tuple; None where there is no job."""
        now = self._clock.monotonic()
        known = self._owners.get(job)
        if known is not None and known[1] > now:
            return (known[0],)
        record = await self._records.get(JOB_KIND, job)
        if record is None:
            return None
        if len(self._owners) >= KNOWN_JOBS:
            self._owners.clear()
        self._owners[job] = (record.value.get("owner"), now + OWNER_SECONDS)
        return (record.value.get("owner"),)


def checked_patterns(patterns: Iterable[str]) -> tuple[str, ...]:
    """Patterns of job ids; raises BadInput where one can match none, or there are none or too many."""
    given = tuple(patterns)
    if not 1 <= len(given) <= MAX_PATTERNS:
        raise BadInput(f"jobs must have 1 to {MAX_PATTERNS} patterns.", parameter="jobs")
    for pattern in given:
        if not _PATTERN.fullmatch(pattern):
            raise BadInput(
                f"{pattern[:40]!a} is no pattern of job ids: 1 to 128 of A-Z a-z 0-9 . _ - and * and ?.",
                parameter="jobs",
            )
    return ALL_JOBS if "*" in given else given


def no_job(job: str) -> NotFound:
    """There is no such job, or none for whoever asks."""
    return NotFound(f"There is no job {job[:128]!a}.")
