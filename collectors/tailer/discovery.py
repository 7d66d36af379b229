"""Which log files there are, and the place that each one has in its job.

Every layout of the contract is known: a tree as in OBS, the folders of a node, MindSpore's own.
A file that is none of them goes under `modelarts-job-<job>/other/<task>/`. A file is found once,
under its real name, however many links point at it.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from collectors.settings import Identity
from logsvc.errors import BadInput
from logsvc.model.stream import MAX_PATH_BYTES, StreamName, ascend_path, check_job, other_path, parse_path

FIRST_TASK = "worker-0"  # of files that nothing gives to a task
CURRENT = (2, 0, 0, "")  # age of the file that is written now; rotated ones sort before it

_ORDINARY = re.compile(r"modelarts-job-([A-Za-z0-9._-]{1,128})-([a-z]+-[0-9]+)\.log")
_PROC = re.compile(r"modelarts-job-([A-Za-z0-9._-]{1,128})-proc-rank-([0-9]{1,9})-device-[0-9]{1,9}\.txt")
_JOB_FOLDER = re.compile(r"modelarts-job-([A-Za-z0-9._-]{1,128})")
_TASK_FOLDER = re.compile(r"[a-z]+-[0-9]+")
_RANK_FOLDER = re.compile(r"rank_([0-9]{1,9})")
_ASCEND_FILE = re.compile(r"(?:plog-|device-)[0-9]+_[0-9_]+\.log")
_ASCEND_FOLDER = re.compile(r"plog|device-[0-9]{1,9}")
_MINDSPORE_FILE = re.compile(r"mindspore\.(?:log|[^/]*\.log\.(?:DEBUG|INFO|WARNING|ERROR|FATAL)\.)")
_NUMBERED = re.compile(r"(.+)\.([0-9]{1,3})")
_DATED = re.compile(r"(.+?)[._-]([0-9]{8}(?:[-_T]?[0-9]{2,6})?|[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[-_T][0-9:-]{2,8})?)")
_OLD = re.compile(r"(.+)\.(?:old|bak|prev)")

# What training writes beside its logs. A program that logs into such a name is told so in the docs.
NOT_LOGS = tuple(
    f".{suffix}"
    for group in (
        ("gz", "xz", "bz2", "zst", "zip", "tar", "tgz", "whl", "so", "py", "pyc"),
        ("ckpt", "pt", "pth", "safetensors", "onnx", "om", "mindir", "air", "npy", "npz", "pkl", "pickle", "h5", "bin"),
        ("png", "jpg", "jpeg", "pdf", "mp4", "db", "sqlite", "lock", "swp", "tmp", "part", "pid", "sock"),
    )
    for suffix in group
)
_PROC_MARK_BYTES = 1 << 20  # of a worker log, looked through for the ranks that it started

Age = tuple[int, int, int, str]
TaskOfRank = Callable[[str, str, int], str]  # tree, job, rank -> task


@dataclass(frozen=True)
class Found:
    """One file, with where it belongs; `age` orders the files of one place, oldest first."""

    name: str
    place: StreamName
    age: Age
    device: int
    inode: int
    size_bytes: int
    modified_at: float


@dataclass
class Discovery:
    """
    Looks through folders and files.

    Args:
        roots: folders or files; those that do not exist yet are looked for again each time.
        identity: job, task and rank for names that say nothing of them.
        glog_dir: MindSpore's log folder (GLOG_log_dir), where known.
        skip: folders never entered: the collector's own state.
    """

    roots: list[Path]
    identity: Identity
    glog_dir: Optional[Path] = None
    skip: frozenset[str] = frozenset()
    unplaced: dict[str, str] = field(default_factory=dict)  # file -> why it is not shipped
    _places: dict[str, Optional[StreamName]] = field(default_factory=dict)
    _tasks: dict[tuple[str, str, int], str] = field(default_factory=dict)

    def scan(self) -> list[Found]:
        """All log files there are now, each device and inode once, by place and age."""
        claimed: set[tuple[int, int]] = set()
        found: list[Found] = []
        links: list[tuple[Path, str]] = []
        visited: set[tuple[int, int]] = set()
        shared: list[tuple[bool, str, Path, os.stat_result]] = []  # hard links
        for root in self.roots:
            for name, status in self._files(root, os.fspath(root), links, visited):
                if status.st_nlink == 1:
                    self._claim(root, name, status, claimed, found)
                else:
                    place = self._place(root, self._age(name)[0])
                    shared.append((place is None or "/other/" in place.path, name, root, status))
        for _, name, root, status in sorted(shared, key=lambda file: file[:2]):
            self._claim(root, name, status, claimed, found)
        # Links come last: what they point at has been found under its own name, or lies elsewhere.
        while links:
            root, link = links.pop(0)
            try:
                status = os.stat(link)
            except OSError:
                continue
            if stat.S_ISDIR(status.st_mode):
                for name, inner in self._files(root, link, links, visited):
                    self._claim(root, name, inner, claimed, found)
            elif stat.S_ISREG(status.st_mode):
                self._claim(root, link, status, claimed, found)
        found.sort(key=lambda file: (file.place, file.age, file.name))
        return found

    def elsewhere(self, name: str) -> Optional[StreamName]:
        """Another place for a file whose own is taken: `other`, by its whole name."""
        place = self._places.get(name)
        job = place.job if place else self.identity.job
        if job is None:
            return None
        task = place.task if place else self.identity.task or FIRST_TASK
        return StreamName(job, task, _other(job, task, os.path.abspath(name).strip("/")))

    def _files(
        self, root: Path, top: str, links: list[tuple[Path, str]], visited: set[tuple[int, int]]
    ) -> Iterator[tuple[str, os.stat_result]]:
        try:
            status = os.stat(top)
        except OSError:
            return
        if stat.S_ISREG(status.st_mode):
            yield top, status
            return
        folders = [top]
        while folders:
            folder = folders.pop()
            try:
                entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
                status = os.stat(folder)
            except OSError:
                continue
            if (status.st_dev, status.st_ino) in visited or folder in self.skip:
                continue
            visited.add((status.st_dev, status.st_ino))
            for entry in entries:
                if entry.name.startswith(".") or entry.name == "__pycache__":
                    continue
                try:
                    if entry.is_symlink():
                        links.append((root, entry.path))
                    elif entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        yield entry.path, entry.stat(follow_symlinks=False)
                    elif entry.path not in self.unplaced:
                        self.unplaced[entry.path] = "neither a file nor a folder"
                except OSError:
                    continue  # gone between the listing and the look

    def _claim(
        self, root: Path, name: str, status: os.stat_result, claimed: set[tuple[int, int]], found: list[Found]
    ) -> None:
        key = (status.st_dev, status.st_ino)
        if key in claimed or name.lower().endswith(NOT_LOGS):
            return
        base, age = self._age(name)
        place = self._place(root, base)
        if place is None:
            return
        claimed.add(key)
        found.append(Found(name, place, age, status.st_dev, status.st_ino, status.st_size, status.st_mtime))

    def _age(self, name: str) -> tuple[str, Age]:
        """The name that a rotated file had when it was written, and how old it is among its kind."""
        folder, last = os.path.split(name)
        base, age = rotated_from(last)
        if base == last:
            return name, CURRENT
        whole = os.path.join(folder, base)
        # `.9763` may be a rotation or a process id: only a file of the bare name decides.
        if whole in self._places or os.path.exists(whole) or _ORDINARY.fullmatch(base) or _PROC.fullmatch(base):
            return whole, age
        return name, CURRENT

    def _place(self, root: Path, name: str) -> Optional[StreamName]:
        """Decided once a name; it stays when more is learned later."""
        if name not in self._places:
            try:
                self._places[name] = place_of(
                    name, root, self.identity, glog_dir=self.glog_dir, task_of_rank=self._task_of_rank
                )
            except BadInput as exc:
                self.unplaced[name] = exc.message
                self._places[name] = None
        return self._places[name]

    def _task_of_rank(self, tree: str, job: str, rank: int) -> str:
        """The task whose worker log lies beside, or names, this rank."""
        key = (tree, job, rank)
        if key not in self._tasks:
            self._tasks[key] = task_beside(tree, job, rank)
        return self._tasks[key]


def rotated_from(name: str) -> tuple[str, Age]:
    """
    The base name of a rotated file and its age; the name itself and CURRENT where it is none.

    `.1` is younger than `.2`; a date is older the smaller it is (logrotate's `dateext`).
    """
    numbered = _NUMBERED.fullmatch(name)
    if numbered:
        dated = _DATED.fullmatch(numbered[1])
        if dated:
            return dated[1], (1, 1, -int(numbered[2]), dated[2])
        return numbered[1], (1, 0, -int(numbered[2]), "")
    dated = _DATED.fullmatch(name)
    if dated and not _ASCEND_FILE.fullmatch(name):
        return dated[1], (1, 1, 0, dated[2])
    old = _OLD.fullmatch(name)
    return (old[1], (1, 0, -1, "")) if old else (name, CURRENT)


def place_of(
    name: str,
    root: Path,
    identity: Identity,
    *,
    glog_dir: Optional[Path] = None,
    task_of_rank: Optional[TaskOfRank] = None,
) -> StreamName:
    """
    The stream that a file is a generation of.

    Names win over `identity`: a file that says its job and task goes there.

    Raises:
        BadInput: nothing says which job the file is of.
    """
    task_of_rank = task_of_rank or task_beside
    name = os.path.abspath(name)
    folder, last = os.path.split(name)
    ordinary = _ORDINARY.fullmatch(last)
    if ordinary:
        return _checked(ordinary[1], ordinary[2], last) or _unknown(name, root, identity, job=ordinary[1])
    proc = _PROC.fullmatch(last)
    if proc:
        around = folder.split("/")[-2:]
        if around[0] == f"modelarts-job-{proc[1]}" and _TASK_FOLDER.fullmatch(around[-1]):
            task = around[-1]
        else:
            task = identity.task or task_of_rank(folder, proc[1], int(proc[2]))
        return _checked(proc[1], task, last) or _unknown(name, root, identity, job=proc[1])

    parts = name.split("/")
    for index in range(len(parts) - 2, 0, -1):
        job_folder = _JOB_FOLDER.fullmatch(parts[index])
        if not job_folder:
            continue
        tree, job, rest = "/".join(parts[:index]) or "/", job_folder[1], parts[index + 1 :]
        found = _in_job_folder(tree, job, rest, identity, task_of_rank)
        if found:
            return found
        inside = index >= len(os.path.abspath(root).split("/")) - 1
        if inside or identity.job is None:
            relative = "/".join(rest)
            return StreamName(job, identity.task or FIRST_TASK, _other(job, identity.task or FIRST_TASK, relative))
    return _unknown(name, root, identity, glog_dir=glog_dir)


def task_beside(tree: str, job: str, rank: int) -> str:
    """
    The task that ran a rank, from the ordinary logs in the tree's top folder.

    The only one there; among several the only one that says it started the rank; else worker-0.
    """
    tasks: dict[str, str] = {}
    try:
        for last in os.listdir(tree):
            ordinary = _ORDINARY.fullmatch(last)
            if ordinary and ordinary[1] == job:
                tasks[ordinary[2]] = os.path.join(tree, last)
    except OSError:
        return FIRST_TASK
    if len(tasks) == 1:
        return next(iter(tasks))
    mark = b"proc-rank-%d-device-" % rank
    naming = [task for task, log in tasks.items() if mark in _head(log)]
    return naming[0] if len(naming) == 1 else FIRST_TASK


def _in_job_folder(
    tree: str, job: str, rest: list[str], identity: Identity, task_of_rank: TaskOfRank
) -> Optional[StreamName]:
    """Layouts below `modelarts-job-<job>/`: as in OBS, or the manual's snippet for MA_LOG_DIR."""
    if rest[:2] == ["ascend", "process_log"] and len(rest) > 3:
        rank = _RANK_FOLDER.fullmatch(rest[2])
        if rank:
            task = identity.task or task_of_rank(tree, job, int(rank[1]))
        elif _TASK_FOLDER.fullmatch(rest[2]):
            task = rest[2]
        else:
            return None
        return _checked(job, task, "/".join([f"modelarts-job-{job}", *rest])) or StreamName(
            job, task, _other(job, task, "/".join(rest))
        )
    if rest[0] == "other" and len(rest) > 2 and _TASK_FOLDER.fullmatch(rest[1]):
        return StreamName(job, rest[1], _other(job, rest[1], "/".join(rest[2:])))
    if _TASK_FOLDER.fullmatch(rest[0]) and len(rest) > 1:
        task, inner = rest[0], rest[1:]
        return _ascend(job, task, inner, None) or StreamName(job, task, _other(job, task, "/".join(inner)))
    return None


def _unknown(
    name: str, root: Path, identity: Identity, *, glog_dir: Optional[Path] = None, job: Optional[str] = None
) -> StreamName:
    """A file outside any job's folder: Ascend's or MindSpore's by its form, else `other`."""
    job = identity.job or job
    if job is None:
        raise BadInput(f"{name}: nothing says which job this file is of; give --job (or set MA_VJ_NAME)")
    check_job(job)
    task = identity.task or FIRST_TASK
    top = os.path.abspath(root)
    relative = os.path.relpath(name, top) if name != top else os.path.basename(name)
    glog = os.fspath(glog_dir) if glog_dir else None
    if glog and name.startswith(glog + "/"):
        inner = os.path.relpath(name, glog).split("/")
        rank = _rank_in(inner, identity.rank)
        found = _checked(job, task, ascend_path(job, task if rank is None else rank, "/".join(["mindspore", *inner])))
        if found:
            return found
    outer = _rank_in(top.split("/"), identity.rank)
    return _ascend(job, task, relative.split("/"), outer, name) or StreamName(job, task, _other(job, task, relative))


def _ascend(job: str, task: str, parts: list[str], rank: Optional[int], name: str = "") -> Optional[StreamName]:
    """plog, device and MindSpore files by the form of their names, wherever their folder lies."""
    rank = _rank_in(parts, rank)
    owner: object = task if rank is None else rank
    whole = parts if len(parts) > 2 else [*name.split("/")[: -len(parts)], *parts]  # the root may be `plog` itself
    last = parts[-1]
    if len(whole) > 1 and _ASCEND_FILE.fullmatch(last) and _ASCEND_FOLDER.fullmatch(whole[-2]):
        rest = whole[-2:]
        if len(whole) > 2 and whole[-3] in ("run", "debug", "security"):
            rest = whole[-3:]
        return _checked(job, task, ascend_path(job, owner, "/".join(rest)))
    if _MINDSPORE_FILE.match(last) or "mindspore" in parts[:-1]:
        if "mindspore" in parts[:-1]:
            parts = parts[parts.index("mindspore") + 1 :]
        return _checked(job, task, ascend_path(job, owner, "/".join(["mindspore", *parts])))
    return None


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


def _other(job: str, task: str, relative: str) -> str:
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
