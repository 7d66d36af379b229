"""The status of a job whose tasks run under `logsvc-collector run`.

The collector that meets an unknown job makes it and marks it as its own; collectors of the job's
other tasks see the mark and keep the status with it. One failed task fails the job; the job has
succeeded when the last task's log is sealed and none has failed.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Optional

from collectors.client import Client

MADE_BY = "logsvc-collector"


class JobStatus:
    """
    Start and end of one task, told to the service.

    Args:
        always: True: set the status of any job; False: never; None: of jobs that collectors made.
        name: of a job that is made here.
    """

    def __init__(self, job: str, task: str, *, always: Optional[bool], name: str) -> None:
        self.job, self.task, self.name = job, task, name
        self._always = always
        self._mine = bool(always)
        self._started_at = _now()

    def start(self, client: Client) -> None:
        """Running, from now; an errand for the agent."""
        if self._always is False:
            return
        known = client.job(self.job)
        if known is None:
            self._mine = True
            fields: dict[str, Any] = {"status": "running", "name": self.name, "created_at": self._started_at}
            client.put_job(self.job, {**fields, "labels": {"made_by": MADE_BY}})
            return
        self._mine = bool(self._always) or (known.get("labels") or {}).get("made_by") == MADE_BY
        if not self._mine:
            return
        if known.get("status") == "failed" and not self._ran_before(client):
            return  # another task has failed: that stays, whenever this one began
        if known.get("status") != "running" or known.get("ended_at"):
            client.put_job(self.job, {"status": "running", "ended_at": None})

    def end(self, client: Client, exit_code: int, ended_at: str) -> None:
        """Succeeded or failed; an errand for the agent, after the log was sealed."""
        if not self._mine:
            return
        if exit_code != 0:
            client.put_job(self.job, {"status": "failed", "ended_at": ended_at})
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
            client.put_job(self.job, {"status": "succeeded", "ended_at": ended_at})

    def _ran_before(self, client: Client) -> bool:
        return any(
            stream.get("kind") == "ordinary" and stream.get("task") == self.task for stream in client.streams(self.job)
        )


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
