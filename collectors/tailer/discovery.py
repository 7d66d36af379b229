"""Which log files there are now, where each one belongs, and what is known of its process's rank.

A file is found once, under its real name, however many links point at it.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional, Union

from collectors.jobstatus import RECORD
from collectors.settings import Identity
from collectors.spool import SPOOL_SUFFIX
from collectors.tailer.folders import Folders
from collectors.tailer.packed import PACKED
from collectors.tailer.places import ASCEND_FILE, ORDINARY, PROC, pid_in, place_of, task_beside
from collectors.tailer.ranks import LaunchLog, Process, RankMap, RankTable
from logsvc.errors import BadInput
from logsvc.model.stream import StreamName, parse_path

NO_FILE = "neither a file nor a folder"
CURRENT = (2, 0, 0, "")  # age of the file that is written now; rotated ones sort before it

_NUMBERED = re.compile(r"(.+)\.([0-9]{1,3})")
_DATED = re.compile(r"(.+?)[._-]([0-9]{8}(?:[-_T]?[0-9]{2,10})?|[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[-_T][0-9:-]{2,8})?)")
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

Age = tuple[int, int, int, str]


@dataclass(frozen=True)
class Found:
    """
    One file, with where it belongs; `age` orders the files of one place, oldest first.

    Attributes:
        perhaps: the stream that it is a rotated file of, if its name means that; only the service may know.
    """

    name: str
    place: StreamName
    age: Age
    device: int
    inode: int
    size_bytes: int
    modified_at: float
    perhaps: Optional[StreamName] = None


@dataclass
class Discovery:
    """
    Looks through folders and files.

    Args:
        roots: folders or files; those that do not exist yet are looked for again each time.
        identity: job, task and rank for names that say nothing of them.
        glog_dir: MindSpore's log folder (GLOG_log_dir), where known.
        skip: folders never entered: the collector's own state.
        rank_table: file with the rank table of this container's job, where known.

    Attributes:
        unplaced: file -> why it is not shipped, as of the last scan.
        ranks: ranks that a path does not say and something else does, as of the last scan.
        spools: folders in which a command left its spool, and their streams, as of the last scan.
        runs: folders in which a command left word of itself, as of the last scan.
        bases: names under which files were written before this start; rotated files are theirs.
    """

    roots: list[Path]
    identity: Identity
    glog_dir: Optional[Path] = None
    skip: frozenset[str] = frozenset()
    rank_table: Optional[Path] = None
    unplaced: dict[str, str] = field(default_factory=dict)
    ranks: dict[StreamName, int] = field(default_factory=dict)
    spools: list[tuple[str, StreamName]] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    bases: frozenset[str] = frozenset()
    folders: Folders = field(default_factory=Folders)  # of the last scan
    is_torn: bool = False  # names changed during the last scan: a file may have been missed
    _places: dict[str, Union[StreamName, str]] = field(default_factory=dict)  # by name; or why there is none
    _used: set[str] = field(default_factory=set)  # names asked for in the scan under way
    _skipped: dict[str, str] = field(default_factory=dict)  # of the scan under way
    _tasks: dict[tuple[str, str, int], str] = field(default_factory=dict)
    _rank_map: RankMap = field(default_factory=RankMap)
    _ranked_version: int = 0  # of the rank map when `ranks` was made
    _processes: dict[StreamName, Optional[Process]] = field(default_factory=dict)
    _launch_logs: dict[tuple[int, int], LaunchLog] = field(default_factory=dict)
    _spooled_logs: dict[StreamName, LaunchLog] = field(default_factory=dict)

    def __post_init__(self) -> None:
        job = self.identity.job
        self._table = RankTable(self.rank_table, job, self.identity.task) if self.rank_table and job else None

    @property
    def conflicts(self) -> list[str]:
        """Processes that two sources give different ranks, a line each."""
        return self._rank_map.conflicts

    @property
    def remarks(self) -> list[str]:
        """What else a person should know, a line each."""
        return [self._table.problem] if self._table and self._table.problem else []

    def scan(self) -> list[Found]:
        """All log files there are now, each device and inode once, by place and age."""
        self.folders.begin()
        self.spools.clear()
        self.runs.clear()
        self._skipped = {}
        self.is_torn = False
        self._used = set()
        claimed: set[tuple[int, int]] = set()
        found: list[Found] = []
        links: list[tuple[Path, str]] = []
        visited: set[tuple[int, int]] = set()
        shared: list[tuple[bool, str, Path, os.stat_result]] = []  # hard links
        for root in self.roots:
            for name, status in self._files(root, os.fspath(root), links, visited):
                if status.st_nlink == 1:
                    self._claim(root, name, status, claimed, found)
                elif not (base := self._age(name)[0]).lower().endswith(NOT_LOGS):
                    place = self._place(root, base)
                    shared.append((place is None or "/other/" in place.path, name, root, status))
        for _, name, root, status in sorted(shared, key=lambda file: file[:2]):
            self._claim(root, name, status, claimed, found)
        # Links come last: what they point at has been found under its own name, or lies elsewhere.
        while links:
            root, link = links.pop(0)
            try:
                status = os.stat(link)
            except OSError:
                self.folders.note(link, None)
                continue
            if stat.S_ISDIR(status.st_mode):
                for name, inner in self._files(root, link, links, visited):
                    self._claim(root, name, inner, claimed, found)
            elif stat.S_ISREG(status.st_mode):
                self._claim(root, link, status, claimed, found)
            else:
                self._skipped[link] = NO_FILE
        self._learn_ranks(found)
        jobs = {place.job for place in [*(file.place for file in found), *self._spooled_logs]}
        self._rank_map.keep_only(jobs)
        self._tasks = {key: task for key, task in self._tasks.items() if key[1] in jobs}
        self.unplaced = self._skipped
        self.spools.sort()
        # A base name stays as long as there are rotated files of it: they ask for it in each scan.
        self._places = {name: place for name, place in self._places.items() if name in self._used}
        found.sort(key=lambda file: (file.place, file.age, file.name))
        return found

    def hear(self, place: StreamName, offset: int, data: bytes) -> bool:
        """Bytes of a spool, which lies under no name of its own; whether a launcher wrote something new there."""
        version = self._rank_map.version
        if ORDINARY.fullmatch(place.path):
            if place not in self._spooled_logs:
                self._spooled_logs[place] = LaunchLog(self._rank_map, place.job, place.task)
            self._spooled_logs[place].hear(offset, data)
        return self._rank_map.version != version

    def forget(self, place: StreamName) -> None:
        """Nothing of this stream is there any more."""
        self._spooled_logs.pop(place, None)

    def _files(
        self, root: Path, top: str, links: list[tuple[Path, str]], visited: set[tuple[int, int]]
    ) -> Iterator[tuple[str, os.stat_result]]:
        try:
            status = os.stat(top)
        except OSError as exc:
            self.folders.note(top, None)
            self._cannot_read(top, exc)
            return
        if stat.S_ISREG(status.st_mode):
            yield top, status
            return
        if not stat.S_ISDIR(status.st_mode):
            self._skipped[top] = NO_FILE
            return
        folders = [top]
        while folders:
            folder = folders.pop()
            try:
                status = os.stat(folder)
                self.folders.note(folder, status.st_mtime_ns)
                entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
            except OSError as exc:
                self._cannot_read(folder, exc)
                continue
            if (status.st_dev, status.st_ino) in visited or folder in self.skip:
                continue
            visited.add((status.st_dev, status.st_ino))
            if folder.endswith(SPOOL_SUFFIX):
                self._take_spool(root, folder)
                continue
            for entry in entries:
                if entry.name == RECORD:
                    self.runs.append(folder)
                if entry.name.startswith(".") or entry.name == "__pycache__":
                    continue
                try:
                    if entry.is_symlink():
                        links.append((root, entry.path))
                    elif entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        yield entry.path, entry.stat(follow_symlinks=False)
                    else:
                        self._skipped[entry.path] = NO_FILE
                except OSError:
                    self.is_torn = True  # gone between the listing and the look, or renamed

    def _cannot_read(self, name: str, exc: OSError) -> None:
        """A folder that is there and cannot be listed is told; one that is not there may come."""
        if exc.errno not in (errno.ENOENT, errno.ENOTDIR):
            self._skipped[name] = f"cannot be read: {exc.strerror}"

    def _take_spool(self, root: Path, folder: str) -> None:
        place = self._place(root, folder[: -len(SPOOL_SUFFIX)])
        if place is not None:
            self.spools.append((folder, place))

    def _claim(
        self, root: Path, name: str, status: os.stat_result, claimed: set[tuple[int, int]], found: list[Found]
    ) -> None:
        key = (status.st_dev, status.st_ino)
        base, age = self._age(name)
        if key in claimed or base.lower().endswith(NOT_LOGS):
            return
        place = self._place(root, base)
        if place is None:
            return
        claimed.add(key)
        perhaps = self._perhaps(root, name) if age == CURRENT else None
        found.append(Found(name, place, age, status.st_dev, status.st_ino, status.st_size, status.st_mtime, perhaps))

    def _age(self, name: str) -> tuple[str, Age]:
        """The name that a rotated file had when it was written, and how old it is among its kind."""
        folder, last = os.path.split(name)
        base, age = rotated_from(last)
        if base == last:
            return name, CURRENT
        whole = os.path.join(folder, base)
        # `.9763` may be a rotation or a process id: only a file of the bare name decides.
        known = whole in self._places or whole in self.bases
        if known or os.path.exists(whole) or ORDINARY.fullmatch(base) or PROC.fullmatch(base):
            return whole, age
        return name, CURRENT

    def _perhaps(self, root: Path, name: str) -> Optional[StreamName]:
        base = base_of(name)
        place = self._decide(root, base) if base != name else None
        return None if isinstance(place, str) else place

    def _place(self, root: Path, name: str) -> Optional[StreamName]:
        """Decided once a name; it stays when more is learned later."""
        self._used.add(name)
        if name not in self._places:
            self._places[name] = self._decide(root, name)
        place = self._places[name]
        if isinstance(place, str):
            self._skipped[name] = place
            return None
        return place

    def _decide(self, root: Path, name: str) -> Union[StreamName, str]:
        """The stream of a file of this name, or why there is none."""
        try:
            return place_of(
                name,
                root,
                self.identity,
                glog_dir=self.glog_dir,
                task_of_rank=self._task_of_rank,
                rank_of_device=self._rank_of_device,
            )
        except BadInput as exc:
            return exc.message

    def _learn_ranks(self, found: list[Found]) -> None:
        """From the folders, the worker logs and the rank table; where there are files that need it."""
        known, self._processes = self._processes, {}
        for file in found:
            place = file.place
            self._processes[place] = known[place] if place in known else self._process_of(file)
        tasks = {(process.job, process.task) for process in self._processes.values() if process}
        logs, self._launch_logs = self._launch_logs, {}
        for file in found:
            place, key = file.place, (file.device, file.inode)
            if "/" not in place.path and (place.job, place.task) in tasks and ORDINARY.fullmatch(place.path):
                log = logs.get(key) or LaunchLog(self._rank_map, place.job, place.task)
                log.read(file.name, file.size_bytes)
                self._launch_logs[key] = log
        if tasks and self._table:
            self._table.tell(self._rank_map)
        if self._rank_map.version != self._ranked_version or self._processes.keys() != known.keys():
            self._ranked_version = self._rank_map.version
            ranks = {place: self._rank_map.rank(process) for place, process in self._processes.items() if process}
            self.ranks = {
                place: rank
                for place, rank in ranks.items()
                if rank is not None and parse_path(place.job, place.task, place.path).rank is None
            }

    def _process_of(self, file: Found) -> Optional[Process]:
        """The process that writes a file of Ascend's or MindSpore's; what its folder says is told."""
        place = file.place
        pid = pid_in(place.path)
        if pid is None:
            return None
        process, parts = Process(place.job, place.task, pid), parse_path(place.job, place.task, place.path)
        if parts.kind == "device" and parts.device is not None:
            self._rank_map.uses(process, parts.device)
        # A pid counts within its container: the task must be sure, not one that was chosen for the rank.
        if parts.rank is not None and (self.identity.task or f"/{place.task}/" in file.name):
            self._rank_map.tell(process, parts.rank, f"place of {file.name}")
        return process

    def _rank_of_device(self, job: str, task: str, device: int) -> Optional[int]:
        return self._table.rank(job, task, device) if self._table else None

    def _task_of_rank(self, tree: str, job: str, rank: int) -> str:
        """The task whose worker log lies beside, or names, this rank."""
        key = (tree, job, rank)
        if key not in self._tasks:
            self._tasks[key] = task_beside(tree, job, rank)
        return self._tasks[key]


def base_of(name: str) -> str:
    """The name under which a file was written, if its own name says that it was rotated."""
    folder, last = os.path.split(name)
    return os.path.join(folder, rotated_from(last)[0])


def rotated_from(name: str) -> tuple[str, Age]:
    """
    The base name of a rotated file and its age; the name itself and CURRENT where it is none.

    `.1` is younger than `.2`; a date is older the smaller it is (logrotate's `dateext`). `.gz` behind a name
    is what it was, compressed.
    """
    if name.endswith(PACKED):
        base, age = rotated_from(name[: -len(PACKED)])
        return base, age if age != CURRENT else (1, 0, -1, "")
    numbered = _NUMBERED.fullmatch(name)
    if numbered:
        dated = _DATED.fullmatch(numbered[1])
        if dated:
            return dated[1], (1, 1, -int(numbered[2]), dated[2])
        return numbered[1], (1, 0, -int(numbered[2]), "")
    dated = _DATED.fullmatch(name)
    if dated and not ASCEND_FILE.fullmatch(name):
        return dated[1], (1, 1, 0, dated[2])
    old = _OLD.fullmatch(name)
    return (old[1], (1, 0, -1, "")) if old else (name, CURRENT)
