"""The processes of a job and what each has read and written, from /proc.

Bytes count twice over: those that passed through read and write calls (pages in memory, pipes and network file
systems too) and those that the process made the kernel fetch or store (files mapped into memory never pass through
a call). So a counter stands still only where the process does neither. A byte that came by a call and from a disk is
in both; the counters say whether something moves, and no more.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Optional

from collectors.samplers import ProcessReading
from collectors.samplers.cards import said_by
from collectors.samplers.command import helpers
from collectors.settings import identity_from
from collectors.tailer.places import FIRST_TASK

MAX_PROCESSES = 1000  # of which counters are sent
ENVIRONMENT_BYTES = 1 << 20
HANG_VARIABLE = "MA_HANG_DETECT_TIME"


class _Stat(NamedTuple):
    parent: int
    started: int  # ticks since boot: a pid that is used again has another
    name: bytes  # of the program: a process that becomes another one has another environment


@dataclass
class Process:
    """
    What is known of a process and does not change while it is the same program.

    Attributes:
        parent: pid of the one that had started it when it was first seen.
        job, task: by its environment; empty where that says none or may not be read.
        visible: variables of its environment that say which cards it sees.
        is_read: whether it has an environment; one that is just becoming another program has none.
        is_collector: whether it is a collector itself, or none of a job's at all.
    """

    started: int
    parent: int
    name: bytes
    job: str = ""
    task: str = ""
    visible: Mapping[str, str] = field(default_factory=dict)
    hang_minutes: str = ""
    is_read: bool = False
    is_collector: bool = False


class Processes:
    """
    The processes of one container, looked at again and again.

    Attributes:
        known: those of the last look that belong to the job, by pid.
        left_out: how many more there were than are read.
    """

    def __init__(self, *, command: Optional[int], job: Optional[str], task: Optional[str], proc: str = "/proc") -> None:
        """
        Args:
            command: pid of the one that this process runs: only what descends from here is looked at.
            job, task: whose processes are looked for, where that is known; then those that name another are left out.
        """
        self.known: dict[int, Process] = {}
        self.left_out = 0
        self._command, self._job, self._task, self._proc = command, job, task, proc
        self._met: dict[int, Process] = {}
        self._children: dict[int, int] = {}  # pid -> started, of our own at the last look
        self._kin: dict[int, int] = {}  # pid -> started, of what descended from us when it was first seen

    def look(self) -> list[ProcessReading]:
        """Counters of the job's processes now; one that has ended meanwhile, or may not be read, has none."""
        stats = self._stats()
        self._met = {
            pid: met
            if (met := self._met.get(pid)) and met.is_read and (met.started, met.name) == (stat.started, stat.name)
            else self._meet(pid, stat)
            for pid, stat in stats.items()
        }
        self.known = self._chosen(stats)
        readings = []
        chosen = sorted(self.known, key=lambda pid: (self.known[pid].started, pid))
        self.left_out = max(0, len(chosen) - MAX_PROCESSES)
        for pid in chosen[:MAX_PROCESSES]:
            counters = self._counters(pid)
            if counters is not None:
                readings.append(ProcessReading(pid, *counters, self.known[pid].job, self.known[pid].task))
        return readings

    def _chosen(self, stats: Mapping[int, _Stat]) -> dict[int, Process]:
        # What has just been started for a sampler may not be in `helpers` yet, or no more: our children but the
        # command count from the second time on that they are seen.
        children = {pid: stat.started for pid, stat in stats.items() if stat.parent == os.getpid()}
        fresh = {pid for pid, started in children.items() if self._children.get(pid) != started} - {self._command}
        self._children = children
        ours = _descendants(stats, (helpers.keys() & stats.keys()) | fresh)
        others = {pid: met for pid, met in self._met.items() if pid not in ours and not met.is_collector}
        if self._command is not None:
            self._kin = {pid: start for pid, start in self._kin.items() if pid in stats and stats[pid].started == start}
            kin = _descendants(stats, {os.getpid(), *self._kin})
            self._kin = {pid: stats[pid].started for pid in kin if pid in others}
            return {pid: met for pid, met in others.items() if pid in kin}
        if self._job is None:
            return {pid: met for pid, met in others.items() if met.job}
        naming = {pid: met for pid, met in others.items() if met.job == self._job and self._task in (None, met.task)}
        if naming:
            return naming
        return {pid: met for pid, met in others.items() if not met.job}

    def _stats(self) -> dict[int, _Stat]:
        found = {}
        for name in os.listdir(self._proc):
            if not name.isdigit():
                continue
            text = self._read(f"{name}/stat", 4096)
            fields = text[text.rfind(b")") + 2 :].split()
            if len(fields) > 19 and fields[0] not in (b"Z", b"X"):
                stat = _Stat(int(fields[1]), int(fields[19]), text[: text.rfind(b")")])
                if stat.parent != 2 and name != "2":  # a kernel thread
                    found[int(name)] = stat
        return found

    def _meet(self, pid: int, stat: _Stat) -> Process:
        process = Process(stat.started, stat.parent, stat.name)
        arguments = self._read(f"{pid}/cmdline", 4096).split(b"\0")
        process.is_collector = pid == os.getpid() or _runs_collector(arguments)
        if process.is_collector:
            return process  # looked at again: our own fork is one, until it is the command
        pairs = [
            (name, value)
            for item in self._read(f"{pid}/environ", ENVIRONMENT_BYTES).split(b"\0")
            for name, found, value in [os.fsdecode(item).partition("=")]
            if found
        ]
        environment = dict(pairs)
        process.is_read = bool(environment)
        identity = identity_from(
            None, None, {name: environment.get(name, "") for name in ("MA_VJ_NAME", "VC_TASK_INDEX")}
        )
        if identity.job is not None:
            process.job, process.task = identity.job, identity.task or FIRST_TASK
        process.visible = said_by(pairs)
        process.hang_minutes = environment.get(HANG_VARIABLE, "")
        return process

    def _counters(self, pid: int) -> Optional[tuple[int, int]]:
        counts = {
            name: int(count)
            for line in self._read(f"{pid}/io", 4096).splitlines()
            for name, _, count in [line.partition(b":")]
        }
        try:
            return counts[b"rchar"] + counts[b"read_bytes"], counts[b"wchar"] + counts[b"write_bytes"]
        except KeyError:
            return None

    def _read(self, name: str, limit: int) -> bytes:
        """Empty where it is gone or may not be read."""
        try:
            fd = os.open(f"{self._proc}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return b""
        try:
            content = b""
            while len(content) < limit and (piece := os.read(fd, limit - len(content))):
                content += piece
            return content
        except OSError:
            return b""
        finally:
            os.close(fd)


def _descendants(stats: Mapping[int, _Stat], roots: set[int]) -> set[int]:
    """These and all below them."""
    children: dict[int, list[int]] = {}
    for pid, stat in stats.items():
        children.setdefault(stat.parent, []).append(pid)
    found, waiting = set(), list(roots)
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting += children.get(pid, ())
    return found


def _runs_collector(arguments: Sequence[bytes]) -> bool:
    """Whether a command line starts a collector: the command, the single file, or `python -m collectors`."""
    first = arguments[:3]
    return any(os.path.basename(part).startswith(b"logsvc-collector") for part in first) or any(
        pair == (b"-m", b"collectors") for pair in zip(first, arguments[1:4])
    )
