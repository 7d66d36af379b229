"""The status of a job whose tasks run under `logsvc-collector run`.

The collector that meets an unknown job makes it and marks it as its own; collectors of the job's
other tasks see the mark and keep the status with it. One failed task fails the job; the job has
succeeded when the last task's log is sealed and none has failed.

What is still to be told lies beside the spool, so that whoever ships the spool later tells it. The
run's folder is locked by the one who will tell it: the run itself while it lives, afterwards one who
has found what it left. A run that left no exit status was killed, and its command with it as far as
anybody can tell: its job has failed, if nobody has said otherwise and the task does not run again.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Optional

from collectors.client import Client, Refused

MADE_BY = "logsvc-collector"
RECORD = ".run.json"  # in a run's folder; hidden, so it never passes for a log
_FIELDS: dict[str, tuple[type, ...]] = {
    "job": (str,),
    "task": (str,),
    "name": (str,),
    "lines": (bool,),
    "started_at": (str,),
    "always": (bool, type(None)),
    "mine": (bool, type(None)),
    "exit_code": (int, type(None)),
    "ended_at": (str, type(None)),
}


@dataclass
class JobStatus:
    """
    Start and end of one task, told to the service.

    Attributes:
        folder: the run's; what is not told yet is kept there.
        always: True: set the status of any job; False: never; None: of jobs that collectors made.
        name: of a job that is made here.
        lines: whether the log may hold lines of the collector's own.
        mine: whether the status is set from here; None: the start has not been told.
        exit_code, ended_at: of the command; None: it runs, or nobody saw how it ended.
    """

    folder: Path
    job: str
    task: str
    name: str
    always: Optional[bool]
    lines: bool = True
    started_at: str = field(default_factory=lambda: now())
    mine: Optional[bool] = None
    exit_code: Optional[int] = None
    ended_at: Optional[str] = None
    _lock: int = field(default=-1, init=False, repr=False, compare=False)
    _is_left: bool = field(default=False, init=False, repr=False, compare=False)
    _keeping: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    @classmethod
    def left_in(cls, folder: Path) -> Optional[JobStatus]:
        """
        What a command that has ended left to be told, held for us; None where that cannot be read.

        None, too, while somebody else holds it: the command runs, or another collector tells its end.
        """
        lock = _locked(folder)
        if lock < 0:
            return None
        kept = _read(folder / RECORD)
        if kept is None:
            os.close(lock)
            return None
        left = cls(folder, **kept)
        left._lock, left._is_left = lock, True
        return left

    @property
    def was_killed(self) -> bool:
        """Whether the collector of a command is gone, and nobody saw how that ended."""
        return self._is_left and self.exit_code is None

    def hold(self) -> None:
        """Until all is told, or this process ends, nobody else may tell it."""
        self._lock = _locked(self.folder)

    def release(self) -> None:
        """Others may tell it; may be called twice."""
        if self._lock >= 0:
            os.close(self._lock)
        self._lock = -1

    def keep(self) -> None:
        """Put what is to be told on disk; on a disk that is full only this process can tell it."""
        with self._keeping:
            if self.always is False or self.mine is False:
                self._forget()
                return
            new = self.folder / (RECORD + ".new")
            try:
                new.write_text(json.dumps({name: getattr(self, name) for name in _FIELDS}), "utf-8")
                os.replace(new, self.folder / RECORD)
            except OSError:
                pass

    @property
    def is_untold(self) -> bool:
        """Whether something is left to be told."""
        return (self.folder / RECORD).exists()

    def start(self, client: Client) -> None:
        """Running, since it began; an errand for the agent, to be done once."""
        if self.mine is None and self.always is not False:
            self.mine = self._tell_start(client)
            self.keep()

    def ended(self, exit_code: int) -> None:
        """The command has ended, now."""
        self.exit_code, self.ended_at = exit_code, now()
        self.keep()

    def end(self, client: Client, generation: int = -1) -> None:
        """Succeeded or failed; an errand for the agent, after the log, this generation of it, was sealed."""
        try:
            if self.mine and self.was_killed:
                self._tell_kill(client, generation)
            elif self.mine and self.exit_code is not None:
                self._tell_end(client, self.exit_code)
        except Refused:
            self._forget()  # it will be refused again
            raise
        self._forget()

    def _tell_start(self, client: Client) -> bool:
        """Whether the status of this job is to be kept from here."""
        known = client.job(self.job)
        if known is None:
            fields: dict[str, Any] = {"status": "running", "name": self.name, "created_at": self.started_at}
            client.put_job(self.job, {**fields, "labels": {"made_by": MADE_BY}})
            return True
        if not self.always and (known.get("labels") or {}).get("made_by") != MADE_BY:
            return False
        if self.was_killed:
            return True  # whatever its status is by now
        if known.get("status") == "failed" and not self._ran_before(client):
            return True  # another task has failed: that stays, whenever this one began
        if known.get("status") != "running" or known.get("ended_at"):
            client.put_job(self.job, {"status": "running", "ended_at": None})
        return True

    def _tell_end(self, client: Client, exit_code: int) -> None:
        if exit_code != 0:
            client.put_job(self.job, {"status": "failed", "ended_at": self.ended_at})
            return
        known = client.job(self.job)
        if known is None or known.get("status") in ("failed", "stopped"):
            return
        others = [
            stream
            for stream in client.streams(self.job)
            if stream.get("kind") == "ordinary" and stream.get("task") != self.task and not stream.get("sealed")
        ]
        if not others:
            client.put_job(self.job, {"status": "succeeded", "ended_at": self.ended_at})

    def _tell_kill(self, client: Client, generation: int) -> None:
        """Failed, where the service knows no better and no later run of the task is there."""
        known = client.job(self.job)
        if known is None or known.get("status") != "running":
            return
        runs_again = any(
            stream.get("kind") == "ordinary"
            and stream.get("task") == self.task
            and (not stream.get("sealed") or stream.get("generation", 0) > generation >= 0)
            for stream in client.streams(self.job)
        )
        if not runs_again:
            client.put_job(self.job, {"status": "failed"})

    def _forget(self) -> None:
        """Nothing is left to be told; the folder goes when its spool has."""
        self.release()
        try:
            (self.folder / RECORD).unlink(missing_ok=True)
            self.folder.rmdir()
        except OSError:
            pass

    def _ran_before(self, client: Client) -> bool:
        return any(
            stream.get("kind") == "ordinary" and stream.get("task") == self.task for stream in client.streams(self.job)
        )


def _locked(folder: Path) -> int:
    """A descriptor that holds the folder; -1 where somebody else does, or nobody can."""
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return -1
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return -1
    return lock


def _read(record: Path) -> Optional[dict[str, Any]]:
    """What was kept; None where it is not all there."""
    try:
        kept = json.loads(record.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(kept, dict) or kept.keys() != _FIELDS.keys():
        return None
    return kept if all(isinstance(kept[name], kinds) for name, kinds in _FIELDS.items()) else None


def now() -> str:
    """RFC 3339, milliseconds."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
