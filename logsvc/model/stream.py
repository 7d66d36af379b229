"""Streams: one generation of one log file of one job, and the grammar of their paths.

A path is the place that the file has in a ModelArts OBS log path, below that path's root.
Source: training manual, "Viewing training job logs" (ordinary, proc and Ascend logs).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Optional

from logsvc.errors import BadPath

KINDS = ("ordinary", "proc", "plog", "device", "mindspore", "other")
MAX_PATH_BYTES = 1024
MAX_RANK = 10**9 - 1

_JOB = re.compile(r"[A-Za-z0-9._-]{1,128}")
_TASK = re.compile(r"[a-z]+-[0-9]+")
_NUMBER = r"[0-9]{1,9}"
_PROC = re.compile(rf"proc-rank-({_NUMBER})-device-({_NUMBER})\.txt")
_PLOG = re.compile(r"plog-[0-9]+_[0-9_]+\.log")
_DEVICE_LOG = re.compile(r"device-[0-9]+_[0-9_]+\.log")
_DEVICE_FOLDER = re.compile(rf"device-({_NUMBER})")
_RANK_FOLDER = re.compile(rf"rank_({_NUMBER})")
_CANN_FOLDERS = ("run", "debug", "security")  # CANN 5.1 and newer put one of these in between


@dataclass(frozen=True, order=True)
class StreamName:
    """What names a stream everywhere: the file and which generation of it."""

    job: str
    task: str
    path: str
    generation: int = 0

    def __str__(self) -> str:
        return self.path if self.generation == 0 else f"{self.path}.gen-{self.generation}"


@dataclass(frozen=True)
class PathParts:
    """What a path says of its file; None where it says nothing."""

    kind: str
    rank: Optional[int] = None
    device: Optional[int] = None


@dataclass(frozen=True)
class Stream:
    """
    A stream as a store holds it now.

    Attributes:
        id: opaque, unique within a store, never reused.
        size_bytes: committed bytes.
        lines: lines in them, an unfinished last one included.
        user_lines: those that the platform did not write.
        sealed: complete: nothing more is expected.
        created_at, last_chunk_at: Unix seconds.
    """

    id: str
    name: StreamName
    kind: str
    rank: Optional[int]
    device: Optional[int]
    size_bytes: int
    lines: int
    user_lines: int
    sealed: bool
    created_at: float
    last_chunk_at: float


def check_job(job: str) -> str:
    """The job id itself; raises BadPath where it is none."""
    if not _JOB.fullmatch(job) or job in (".", ".."):
        raise BadPath(
            f"{_shown(job)} is not a job id: 1 to 128 of the characters A-Z a-z 0-9 . _ -, and not . or ..",
        )
    return job


def check_task(task: str) -> str:
    """The task itself; raises BadPath where it is none."""
    if len(task) > 64 or not _TASK.fullmatch(task):
        raise BadPath(f"{_shown(task)} is not a task: lower-case letters, a hyphen and a number, as in worker-0")
    return task


def parse_path(job: str, task: str, path: str) -> PathParts:
    """
    Kind, rank and device that a path names.

    Raises:
        BadPath: job, task or path are malformed, or the path is of none of the kinds, or it
            names another job or task.
    """
    check_job(job)
    check_task(task)
    parts = _safe_parts(path)
    name = f"modelarts-job-{job}"
    if len(parts) == 1:
        if path == f"{name}-{task}.log":
            return PathParts("ordinary")
        proc = _PROC.fullmatch(path[len(name) + 1 :]) if path.startswith(f"{name}-") else None
        if proc:
            return PathParts("proc", int(proc[1]), int(proc[2]))
    elif parts[0] == name:
        if parts[1] == "other" and len(parts) > 3 and parts[2] == task:
            return PathParts("other")
        if parts[1:3] == ["ascend", "process_log"] and len(parts) > 5:
            found = _ascend_parts(task, parts[3], parts[4:])
            if found:
                return found
    raise BadPath(
        f"{_shown(path)} is not a log file of job {job}, task {task}: "
        f"expected for instance {name}-{task}.log or {name}/ascend/process_log/rank_0/plog/plog-<pid>_<time>.log",
    )


def ordinary_path(job: str, task: str) -> str:
    """Path of a task's own log."""
    return f"modelarts-job-{job}-{task}.log"


def proc_path(job: str, rank: int, device: int) -> str:
    """Path of a process's log."""
    return f"modelarts-job-{job}-proc-rank-{rank}-device-{device}.txt"


def ascend_path(job: str, rank_or_task: object, rest: str) -> str:
    """Path of a plog, device or MindSpore log; `rank_or_task` is a rank (int) or a task."""
    folder = f"rank_{rank_or_task}" if isinstance(rank_or_task, int) else str(rank_or_task)
    return f"modelarts-job-{job}/ascend/process_log/{folder}/{rest}"


def other_path(job: str, task: str, rest: str) -> str:
    """Path of any other file of a task."""
    return f"modelarts-job-{job}/other/{task}/{rest}"


def archived_path(name: StreamName) -> str:
    """Path in archives and zips: generations from 1 on carry `.gen-<g>`."""
    return str(name)


def natural_key(text: str) -> list[object]:
    """Sort key that puts worker-2 before worker-10."""
    return [int(part) if index % 2 else part for index, part in enumerate(re.split(r"([0-9]+)", text))]


def _safe_parts(path: str) -> list[str]:
    try:
        size = len(path.encode("utf-8"))
    except UnicodeEncodeError as exc:
        raise BadPath(f"{_shown(path)} is not a path: it holds lone surrogates") from exc
    parts = path.split("/")
    if size > MAX_PATH_BYTES:
        raise BadPath(f"{_shown(path)} is not a path: {size} bytes long, at most {MAX_PATH_BYTES}")
    if "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise BadPath(f"{_shown(path)} is not a path: it must be relative, without NUL or empty, . or .. parts")
    return parts


def _ascend_parts(task: str, owner: str, rest: list[str]) -> Optional[PathParts]:
    """`rest` is what lies below the folder of the rank (or, where that is unknown, the task)."""
    rank_folder = _RANK_FOLDER.fullmatch(owner)
    if not rank_folder and owner != task:
        return None
    rank = int(rank_folder[1]) if rank_folder else None
    if rest[0] == "mindspore":
        return PathParts("mindspore", rank) if len(rest) > 1 else None
    if rest[0] in _CANN_FOLDERS:
        rest = rest[1:]
    if len(rest) != 2:
        return None
    if rest[0] == "plog" and _PLOG.fullmatch(rest[1]):
        return PathParts("plog", rank)
    device = _DEVICE_FOLDER.fullmatch(rest[0])
    if device and _DEVICE_LOG.fullmatch(rest[1]):
        return PathParts("device", rank, int(device[1]))
    return None


def _shown(text: str) -> str:
    """`text` for a message: printable, and not longer than a line."""
    shown = ascii(text)
    return shown if len(shown) <= 120 else f"{shown[:100]}…' ({len(text)} characters)"
