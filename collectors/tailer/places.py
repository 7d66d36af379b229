"""The place that a log file has in its job, from its name and what surrounds it.

Every layout of the contract is known: a tree as in OBS, the folders of a node and of a container,
kubelet's, MindSpore's own. A file that is none of them goes under
`modelarts-job-<job>/other/<task>/`.

A path is the same at every start: folders, environment and the container's rank table decide it,
never what else is known of the file's process by then. A rank that only other files say fills the
stream's field (`ranks.py`).
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from collectors.settings import Identity
from logsvc.errors import BadInput
from logsvc.model.stream import MAX_PATH_BYTES, StreamName, ascend_path, check_job, other_path, parse_path

FIRST_TASK = "worker-0"  # of files that nothing gives to a task

ORDINARY = re.compile(r"modelarts-job-([A-Za-z0-9._-]{1,128})-([a-z]+-[0-9]+)\.log")
PROC = re.compile(r"modelarts-job-([A-Za-z0-9._-]{1,128})-proc-rank-([0-9]{1,9})-device-[0-9]{1,9}\.txt")
ASCEND_FILE = re.compile(r"(?:plog-|device-)([0-9]+)_[0-9_]+\.log")
MINDSPORE_FILE = re.compile(r"mindspore\.(?:log|[^/]*\.log\.(?:DEBUG|INFO|WARNING|ERROR|FATAL)\.)")
_JOB_FOLDER = re.compile(r"modelarts-job-([A-Za-z0-9._-]{1,128})")
_TASK_FOLDER = re.compile(r"[a-z]+-[0-9]+")
_RANK_FOLDER = re.compile(r"rank_([0-9]{1,9})")
_ASCEND_FOLDER = re.compile(r"plog|device-[0-9]{1,9}")
_POD_FOLDER = re.compile(r"[a-z0-9-]{1,63}_ma-job-([a-z0-9.-]{1,128})-([a-z]+-[0-9]+)_[A-Za-z0-9-]+")  # kubelet's
_POD_LINK = re.compile(r"ma-job-([a-z0-9.-]{1,128})-([a-z]+-[0-9]+)_[a-z0-9-]{1,63}_[^/]+\.log")
_PROC_MARK_BYTES = 1 << 20  # of a worker log, looked through for the ranks that it started

TaskOfRank = Callable[[str, str, int], str]  # tree, job, rank -> task
RankOfDevice = Callable[[str, str, int], Optional[int]]  # job, task, logical device -> rank


@dataclass(frozen=True)
class _Around:
    """What is known beside a file's name."""

    identity: Identity
    glog_dir: Optional[Path]
    task_of_rank: TaskOfRank
    rank_of_device: RankOfDevice


def place_of(
    name: str,
    root: Path,
    identity: Identity,
    *,
    glog_dir: Optional[Path] = None,
    task_of_rank: Optional[TaskOfRank] = None,
    rank_of_device: RankOfDevice = lambda job, task, device: None,
) -> StreamName:
    """
    The stream that a file is a generation of.

    Names win over `identity`: a file that says its job and task goes there.

    Args:
        glog_dir: MindSpore's log folder, where known.
        task_of_rank: for files that name their rank only; otherwise `task_beside`.
        rank_of_device: for logs of a device that name no rank: what a rank table says.

    Raises:
        BadInput: nothing says which job the file is of.
    """
    around = _Around(identity, glog_dir, task_of_rank or task_beside, rank_of_device)
    name = os.path.abspath(name)
    folder, last = os.path.split(name)
    ordinary = ORDINARY.fullmatch(last)
    if ordinary:
        return _checked(ordinary[1], ordinary[2], last) or _unknown(name, root, around, job=ordinary[1])
    proc = PROC.fullmatch(last)
    if proc:
        outer, inner = folder.split("/")[-2:]
        if outer == f"modelarts-job-{proc[1]}" and _TASK_FOLDER.fullmatch(inner):
            task = inner
        else:
            task = identity.task or around.task_of_rank(folder, proc[1], int(proc[2]))
        return _checked(proc[1], task, last) or _unknown(name, root, around, job=proc[1])

    parts = name.split("/")
    for index in range(len(parts) - 2, 0, -1):
        job_folder = _JOB_FOLDER.fullmatch(parts[index])
        if not job_folder:
            continue
        tree, job, rest = "/".join(parts[:index]) or "/", job_folder[1], parts[index + 1 :]
        found = _in_job_folder(name, tree, job, rest, around)
        if found:
            return found
        inside = index >= len(os.path.abspath(root).split("/")) - 1
        if inside or identity.job is None:
            relative = "/".join(rest)
            return StreamName(job, identity.task or FIRST_TASK, other_place(job, identity.task or FIRST_TASK, relative))
    return _of_pod(parts) or _unknown(name, root, around)


def pid_in(path: str) -> Optional[int]:
    """The process that writes an Ascend or MindSpore log, by the file's name; None for any other file."""
    if "/ascend/process_log/" not in path:
        return None
    last = path.rpartition("/")[2]
    ascend = ASCEND_FILE.fullmatch(last)
    if ascend:
        return int(ascend[1])
    pid = last.rpartition(".")[2]
    return int(pid) if MINDSPORE_FILE.match(last) and re.fullmatch(r"[0-9]{1,9}", pid) else None


def task_beside(tree: str, job: str, rank: int) -> str:
    """
    The task that ran a rank, from the ordinary logs in the tree's top folder.

    The only one there; among several the only one that says it started the rank; else worker-0.
    """
    tasks: dict[str, str] = {}
    try:
        for last in os.listdir(tree):
            ordinary = ORDINARY.fullmatch(last)
            if ordinary and ordinary[1] == job:
                tasks[ordinary[2]] = os.path.join(tree, last)
    except OSError:
        return FIRST_TASK
    if len(tasks) == 1:
        return next(iter(tasks))
    mark = b"proc-rank-%d-device-" % rank
    naming = [task for task, log in tasks.items() if mark in _head(log)]
    return naming[0] if len(naming) == 1 else FIRST_TASK


def _in_job_folder(name: str, tree: str, job: str, rest: list[str], around: _Around) -> Optional[StreamName]:
    """Layouts below `modelarts-job-<job>/`: as in OBS, or the manual's snippet for MA_LOG_DIR."""
    identity = around.identity
    if rest[:2] == ["ascend", "process_log"] and len(rest) > 3:
        rank = _RANK_FOLDER.fullmatch(rest[2])
        if rank:
            task = identity.task or around.task_of_rank(tree, job, int(rank[1]))
        elif _TASK_FOLDER.fullmatch(rest[2]):
            task = rest[2]
        else:
            return None
        return _checked(job, task, "/".join([f"modelarts-job-{job}", *rest])) or StreamName(
            job, task, other_place(job, task, "/".join(rest))
        )
    if rest[0] == "other" and len(rest) > 2 and _TASK_FOLDER.fullmatch(rest[1]):
        return StreamName(job, rest[1], other_place(job, rest[1], "/".join(rest[2:])))
    if _TASK_FOLDER.fullmatch(rest[0]) and len(rest) > 1:
        task, inner = rest[0], rest[1:]
        mine = (identity.job, identity.task) == (job, task)
        return _ascend(job, task, inner, identity.rank if mine else None, name, around) or StreamName(
            job, task, other_place(job, task, "/".join(inner))
        )
    return None


def _of_pod(parts: list[str]) -> Optional[StreamName]:
    """Kubelet's `<namespace>_ma-job-<job>-<task>_<uid>/<container>/0.log`, and the link that it makes to that."""
    for index, part in enumerate(parts):
        is_last = index == len(parts) - 1
        pod = (_POD_LINK if is_last else _POD_FOLDER).fullmatch(part)
        if pod:
            job, task = pod[1], pod[2]
            return StreamName(job, task, other_place(job, task, part if is_last else "/".join(parts[index + 1 :])))
    return None


def _unknown(name: str, root: Path, around: _Around, *, job: Optional[str] = None) -> StreamName:
    """A file outside any job's folder: Ascend's or MindSpore's by its form, else `other`."""
    identity = around.identity
    job = identity.job or job
    if job is None:
        raise BadInput(f"{name}: nothing says which job this file is of; give --job (or set MA_VJ_NAME)")
    check_job(job)
    task = identity.task or FIRST_TASK
    top = os.path.abspath(root)
    relative = os.path.relpath(name, top) if name != top else os.path.basename(name)
    outer = _rank_in(top.split("/"), identity.rank)
    found = _ascend(job, task, relative.split("/"), outer, name, around)
    return found or StreamName(job, task, other_place(job, task, relative))


def _ascend(
    job: str, task: str, parts: list[str], rank: Optional[int], name: str, around: _Around
) -> Optional[StreamName]:
    """plog, device and MindSpore files by the form of their names, wherever their folder lies."""
    rank = _rank_in(parts, rank)
    glog_dir = around.glog_dir
    whole = parts if len(parts) > 2 else [*name.split("/")[: -len(parts)], *parts]  # the root may be `plog` itself
    last = parts[-1]
    if len(whole) > 1 and ASCEND_FILE.fullmatch(last) and _ASCEND_FOLDER.fullmatch(whole[-2]):
        rest = whole[-2:]
        if len(whole) > 2 and whole[-3] in ("run", "debug", "security"):
            rest = whole[-3:]
        if rank is None and whole[-2] != "plog":
            rank = around.rank_of_device(job, task, int(whole[-2].rpartition("-")[2]))
        return _checked(job, task, ascend_path(job, task if rank is None else rank, "/".join(rest)))
    if glog_dir is not None and name.startswith(f"{glog_dir}/"):
        below = os.path.relpath(name, glog_dir)
    elif "mindspore" in parts[:-1]:
        below = "/".join(parts[parts.index("mindspore") + 1 :])
    elif MINDSPORE_FILE.match(last):
        below = "/".join(parts)
    else:
        return None
    return _checked(job, task, ascend_path(job, task if rank is None else rank, f"mindspore/{below}"))


def _rank_in(parts: Iterable[str], otherwise: Optional[int]) -> Optional[int]:
    ranks = [int(found[1]) for found in map(_RANK_FOLDER.fullmatch, parts) if found]
    return ranks[-1] if ranks else otherwise


def _checked(job: str, task: str, path: str) -> Optional[StreamName]:
    """The stream, where the service would take it; None where not."""
    try:
        parse_path(job, task, path)
    except BadInput:
        return None
    return StreamName(job, task, path)


def other_place(job: str, task: str, relative: str) -> str:
    """Path of any other file; bytes that are no UTF-8 as %XX, an overlong name by its checksum."""
    raw = os.fsencode(relative)
    parts = [part for part in _utf8(raw).split("/") if part not in ("", ".", "..")]
    path = other_path(job, task, "/".join(parts))
    if len(path.encode()) > MAX_PATH_BYTES:
        path = other_path(job, task, f"{hashlib.sha256(raw).hexdigest()[:16]}-{parts[-1][-64:]}")
    return path


def _utf8(raw: bytes) -> str:
    text = raw.decode("utf-8", "surrogateescape")
    return "".join(f"%{ord(char) - 0xDC00:02X}" if "\udc80" <= char <= "\udcff" else char for char in text)


def _head(name: str) -> bytes:
    try:
        with open(name, "rb") as file:
            return file.read(_PROC_MARK_BYTES)
    except OSError:
        return b""
