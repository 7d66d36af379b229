"""Which rank each process has: what the launcher wrote, the rank table and the folders say.

Sources are compared, never preferred: a process that two of them give different ranks has none
here, and `conflicts` says so in words.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from logsvc.model.line import BODY_ANNOUNCED, MARKS
from logsvc.model.stream import MAX_RANK, natural_key

# What the launcher prints for each process: `[ModelArts Service Log]… - INFO - proc-rank-0-device-0 (pid: 74)`.
_LAUNCHED = re.compile(rb"proc-rank-([0-9]{1,9})-device-([0-9]{1,9}) \(pid: ([0-9]{1,9})\)")
_LAUNCHED_MARK = b"proc-rank-"
_IN_RECORDS = (b'"server_id"', b'"rank_list"')  # one of them is in every rank table
_KNOWN_VERSION = re.compile(r"1\.[0-9]+|2\.0")
STEP_BYTES = 4 << 20  # of a worker log, read at a time
OVERLAP_BYTES = 64 << 10  # read again: a line or a record may have been cut
RECORD_BYTES = 1 << 20  # of a record's JSON
HEARD_BYTES = 16 << 10  # kept of a log that cannot be read again
MAX_TABLE_BYTES = 16 << 20


@dataclass(frozen=True)
class Process:
    """A process by its id, which counts within its task's container."""

    job: str
    task: str
    pid: int

    def __str__(self) -> str:
        return f"process {self.pid} of job {self.job}, {self.task}"


@dataclass(frozen=True)
class Server:
    """
    A node in a rank table.

    Attributes:
        pod: name of the pod on it; empty where the table says none.
        ranks: of its devices, by logical device: the table's order within the node.
    """

    pod: str
    ranks: tuple[int, ...]


class RankMap:
    """What is known of the processes of all jobs here."""

    def __init__(self) -> None:
        self.version = 0  # grows with each new fact
        self._of_process: dict[Process, dict[int, str]] = {}  # rank -> who says so
        self._of_device: dict[tuple[str, str, int], dict[int, str]] = {}
        self._devices: dict[Process, set[int]] = {}
        self._conflicts: dict[Process, str] = {}

    @property
    def conflicts(self) -> list[str]:
        """Processes of two ranks, a line each."""
        return list(self._conflicts.values())

    def tell(self, process: Process, rank: int, source: str) -> None:
        """`source` says that a process has this rank."""
        self._add(self._of_process.setdefault(process, {}), rank, source)

    def tell_device(self, job: str, task: str, device: int, rank: int, source: str) -> None:
        """`source` says that the process on this logical device has this rank."""
        self._add(self._of_device.setdefault((job, task, device), {}), rank, source)

    def tell_servers(self, job: str, task: Optional[str], servers: list[Server], source: str) -> None:
        """A rank table: of the pods that it names; of `task`, where it has one server only."""
        for owner, ranks in by_task(job, task, servers):
            for device, rank in enumerate(ranks):
                self.tell_device(job, owner, device, rank, source)

    def uses(self, process: Process, device: int) -> None:
        """A process has a log of this logical device."""
        devices = self._devices.setdefault(process, set())
        if device not in devices:
            devices.add(device)
            self.version += 1

    def rank(self, process: Process) -> Optional[int]:
        """Its rank; None where nothing says it, or two sources differ."""
        said = dict(self._of_process.get(process, {}))
        devices = self._devices.get(process, set())
        if len(devices) == 1:  # a process on several devices has no rank of theirs
            device = next(iter(devices))
            for rank, source in self._of_device.get((process.job, process.task, device), {}).items():
                said.setdefault(rank, f"{source}, by its device {device}")
        if len(said) > 1:
            each = "; ".join(f"rank {rank}: {source}" for rank, source in sorted(said.items()))
            self._conflicts[process] = f"{process} has no rank, its sources differ: {each}"
            return None
        return next(iter(said), None)

    def keep_only(self, jobs: set[str]) -> None:
        """Forget the processes of all other jobs: nothing of theirs is there any more."""
        self._of_process = {process: said for process, said in self._of_process.items() if process.job in jobs}
        self._of_device = {key: said for key, said in self._of_device.items() if key[0] in jobs}
        self._devices = {process: devices for process, devices in self._devices.items() if process.job in jobs}
        self._conflicts = {process: text for process, text in self._conflicts.items() if process.job in jobs}

    def _add(self, said: dict[int, str], rank: int, source: str) -> None:
        if rank not in said:
            said[rank] = source
            self.version += 1


class LaunchLog:
    """What the launcher wrote into one worker log, read as that grows."""

    def __init__(self, ranks: RankMap, job: str, task: str) -> None:
        self._ranks, self._job, self._task = ranks, job, task
        self._read = 0
        self._heard = b""  # the last bytes before `_read`, of a log that is heard

    def read(self, name: str, size_bytes: int) -> None:
        """The next bytes of the log, a step at most; it starts again in a log that was truncated."""
        if size_bytes == self._read:
            return
        start = max(0, self._read - OVERLAP_BYTES) if size_bytes > self._read else 0
        try:
            with open(name, "rb") as file:
                file.seek(start)
                data = file.read(STEP_BYTES + OVERLAP_BYTES)
        except OSError:
            return
        self._read = start + len(data)
        self._look(data, name)

    def hear(self, offset: int, data: bytes) -> None:
        """Bytes of a log that is not a file of its own, as they are sent; what is sent again says nothing new."""
        if offset + len(data) <= self._read:
            return
        whole = self._heard + data if offset == self._read else data
        self._read, self._heard = offset + len(data), whole[-HEARD_BYTES:]
        self._look(whole, f"the log of {self._task}")

    def _look(self, data: bytes, source: str) -> None:
        for rank, device, pid in launched(data):
            self._ranks.tell(Process(self._job, self._task, pid), rank, source)
            self._ranks.tell_device(self._job, self._task, device, rank, source)
        for record in records(data):
            self._ranks.tell_servers(self._job, self._task, servers_in(record), f"rank table in {source}")


class RankTable:
    """
    A rank table in a file, read again when it has changed.

    Args:
        job, task: whose container it lies in.

    Attributes:
        problem: why no rank is taken from a table that is there, in words; empty where one may be.
    """

    def __init__(self, file: Path, job: str, task: Optional[str]) -> None:
        self._file, self._job, self._task = file, job, task
        self._seen: Optional[tuple[int, int, int]] = None
        self._servers: list[Server] = []
        self.problem = ""

    def rank(self, job: str, task: str, device: int) -> Optional[int]:
        """Of a task's logical device; None where the table does not say it, or is not there, or not complete."""
        self._read()
        of_task = dict(by_task(job, self._task, self._servers)) if job == self._job else {}
        ranks = of_task.get(task, ())
        return ranks[device] if device < len(ranks) else None

    def tell(self, ranks: RankMap) -> None:
        """All that it says."""
        self._read()
        ranks.tell_servers(self._job, self._task, self._servers, f"rank table {self._file}")

    def _read(self) -> None:
        try:
            status = os.stat(self._file)
            seen = (status.st_ino, status.st_size, status.st_mtime_ns)
            if seen == self._seen or status.st_size > MAX_TABLE_BYTES:
                return
            table = json.loads(self._file.read_bytes())
        except (OSError, ValueError, RecursionError):
            return
        self._seen = seen
        self._servers = servers_in(table)
        self.problem = ""
        if isinstance(table, dict) and not _is_of_known_version(table):
            version = table["version"]
            self.problem = f"rank table {self._file} has version {version!r}, which is not known: it says no ranks"


def by_task(job: str, task: Optional[str], servers: list[Server]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Tasks of a job with their ranks by logical device: of the pods named, or of `task` where there is one server."""
    for server in servers:
        named = server.pod.rpartition(f"{job}-")[2] if f"{job}-" in server.pod else ""
        owner = named or (task if len(servers) == 1 else None)
        if owner is not None:
            yield owner, server.ranks


def launched(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Rank, logical device and pid of each process that the launcher says it started."""
    if _LAUNCHED_MARK not in data:  # quicker to tell than the form
        return
    for found in _LAUNCHED.finditer(data):
        line = data[data.rfind(b"\n", 0, found.start()) + 1 : found.start()].lower()
        if any(mark in line for mark in MARKS):
            yield int(found[1]), int(found[2]), int(found[3])


def records(data: bytes) -> Iterator[object]:
    """JSON bodies of the platform's records in which a rank table may lie; complete ones only."""
    if not any(mark in data for mark in _IN_RECORDS):
        return
    decoder = json.JSONDecoder()
    at = data.find(BODY_ANNOUNCED)
    while at >= 0:
        end = data.find(b"\n", at)
        if end < 0:
            return
        announces = not data[at + len(BODY_ANNOUNCED) : end].strip(b" \r")
        line = data[data.rfind(b"\n", 0, at) + 1 : at].lower() if announces else b""
        if any(mark in line for mark in MARKS):
            body = data[end + 1 : end + 1 + RECORD_BYTES].decode("utf-8", "replace").lstrip()
            try:
                yield decoder.raw_decode(body)[0]
            except (ValueError, RecursionError):
                pass
        at = data.find(BODY_ANNOUNCED, end)


def servers_in(table: object) -> list[Server]:
    """
    Nodes of a rank table: template 1 (`server_list`, versions 1.0 and 1.2), template 2 (`group_list`,
    whose ranks count through its pods by their numbers), version 2.0 (`rank_list`), or one node of the
    first. None of anything else, of another version, of a table that is not complete, or where the
    devices of a node are not in order.

    Source: training manual, "Ascend rank table file"; the launcher's own records; HCCL user guide, "Rank
    table configuration"; Ascend's mind-cluster, hccl.json.
    """
    if not isinstance(table, dict) or table.get("status", "completed") != "completed":
        return []
    if not _is_of_known_version(table):
        return []
    try:
        if "rank_list" in table:
            servers = _version_2(table["rank_list"])
        else:
            servers = _template_2(table["group_list"]) if "group_list" in table else _template_1(table)
    except (AttributeError, KeyError, TypeError, ValueError):
        return []
    return [server for server in servers if list(server.ranks) == sorted(server.ranks)]


def _is_of_known_version(table: dict[str, Any]) -> bool:
    version = table.get("version")
    return version is None or _KNOWN_VERSION.fullmatch(str(version)) is not None


def _template_1(table: dict[str, Any]) -> list[Server]:
    listed = table.get("server_list", [table])
    return [
        Server(str(one.get("pod_name", "")), tuple(_rank(device["rank_id"]) for device in one["device"]))
        for one in listed
    ]


def _template_2(groups: list[dict[str, Any]]) -> list[Server]:
    [group] = groups  # in which order the ranks of several groups count is not said
    instances = group["instance_list"]
    if "rank_id" in instances[0]:  # an older form: an instance a device
        by_server: dict[str, list[int]] = {}
        for one in instances:
            [_] = one["devices"]
            by_server.setdefault(one["server_id"], []).append(_rank(one["rank_id"]))
        return [Server("", tuple(ranks)) for ranks in by_server.values()]
    servers, first = [], 0
    for one in sorted(instances, key=lambda one: natural_key(one["pod_name"])):
        after = first + len(one["devices"])
        servers.append(Server(one["pod_name"], tuple(range(first, after))))
        first = after
    return servers


def _version_2(listed: list[dict[str, Any]]) -> list[Server]:
    """
    Each rank by itself: which of them share a node, their lowest net layer says (`net_instance_id`).

    A device that comes again there is another node's: a rack of several is one instance.
    """
    nodes: dict[tuple[str, int], dict[int, int]] = {}
    for one in sorted(listed, key=lambda one: _rank(one["rank_id"])):
        lowest = min(one.get("level_list") or [{}], key=lambda level: int(level.get("net_layer", 0)))
        instance, device, count = str(lowest.get("net_instance_id", "")), int(str(one["device_id"])), 0
        while device in nodes.get((instance, count), ()):
            count += 1
        nodes.setdefault((instance, count), {})[device] = _rank(one["rank_id"])
    return [Server("", tuple(rank for _, rank in sorted(devices.items()))) for devices in nodes.values()]


def _rank(value: object) -> int:
    rank = int(str(value))
    if not 0 <= rank <= MAX_RANK:
        raise ValueError(value)
    return rank
