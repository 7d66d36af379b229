"""Jobs: one training run each, kept as a record of kind "job"."""

from __future__ import annotations

from typing import Any, Optional

JOB_KIND = "job"
STATUSES = ("pending", "running", "succeeded", "failed", "stopped")
ENDED = ("succeeded", "failed", "stopped")
ACCELERATORS = ("ascend", "nvidia", "none")
FIELDS = (
    "name",
    "type",
    "status",
    "owner",
    "algorithm",
    "resource_pool",
    "engine",
    "accelerator",
    "task_count",
    "archive_url",
    "created_at",
    "ended_at",
    "labels",
)


def new_job(job: str, *, owner: Optional[str], now: float) -> dict[str, Any]:
    """
    The record of a job that nobody has described yet.

    `created_at` and `ended_at` are Unix seconds in records; the API shows RFC 3339.
    """
    return {"id": job, "name": job, "status": "running", "owner": owner, "created_at": now}
