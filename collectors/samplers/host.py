"""CPU and memory of the container, or of the node where there is none, and the job's processes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Optional

from collectors.samplers import Failed, HostReading, Reading
from collectors.samplers.processes import Processes

NO_LIMIT = 1 << 60  # cgroup v1 writes a number as large as this where there is no limit
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Host:
    """Sampler `host`: one HostReading, and the counters of the job's processes."""

    def __init__(self, processes: Processes, *, root: str = "/", clock: Callable[[], float] = time.monotonic) -> None:
        """Args: root: where /proc and /sys lie."""
        self.name, self.remark = "host", ""
        self._processes = processes
        self._root = Path(root)
        self._clock = clock
        self._before: Optional[tuple[float, float]] = None  # when, and CPU seconds used by then
        self._groups = _Groups(self._root)

    def open(self) -> None:
        """See `Sampler`."""
        self._before = None
        self._groups = _Groups(self._root)

    def sample(self) -> list[Reading]:
        """See `Sampler`."""
        readings: list[Reading] = [self._host()]
        try:
            readings += self._processes.look()
        except OSError as exc:
            raise Failed(f"/proc: {exc.strerror}") from exc
        left_out = self._processes.left_out
        self.remark = f"{left_out} processes more than are read" if left_out else ""
        return readings

    def close(self) -> None:
        """See `Sampler`."""

    def _host(self) -> HostReading:
        used, total = self._groups.memory() or self._node_memory()
        return HostReading(self._cpu_percent(), used, total)

    def _cpu_percent(self) -> Optional[float]:
        """Since the sample before, of all cores that there are for us."""
        now, cores = self._clock(), float(len(os.sched_getaffinity(0)))
        group = self._groups.cpu()
        if group is not None:
            seconds, quota = group
            cores = min(cores, quota or cores)
        else:
            seconds, cores = self._node_cpu()
        before, self._before = self._before, (now, seconds)
        if before is None or now <= before[0] or seconds < before[1] or not cores:
            return None
        return min(100.0, round(100.0 * (seconds - before[1]) / (now - before[0]) / cores, 2))

    def _node_cpu(self) -> tuple[float, float]:
        """CPU seconds used since boot, and cores."""
        lines = _text(self._root / "proc/stat").splitlines()
        fields = [int(field) for field in lines[0].split()[1:9]] if lines else []
        if len(fields) < 8:
            return 0.0, 0.0
        user, nice, system, _idle, _waiting, irq, softirq, steal = fields
        cores = sum(line.startswith("cpu") for line in lines) - 1
        return (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND, float(cores)

    def _node_memory(self) -> tuple[Optional[int], Optional[int]]:
        found = {}
        for line in _text(self._root / "proc/meminfo").splitlines():
            name, _, rest = line.partition(":")
            if name in ("MemTotal", "MemAvailable"):
                found[name] = int(rest.split()[0]) * 1024
        total, available = found.get("MemTotal"), found.get("MemAvailable")
        return (None if total is None or available is None else total - available), total


class _Groups:
    """
    Limits and use of our control group, version 1 or 2.

    A container sees its own group at the root of the file system; a process of a node, the group whose limit is the
    least among its own and those above. Where there is no limit and no container, the node's figures hold.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._base = root / "sys/fs/cgroup"
        places = {}
        for line in _text(root / "proc/self/cgroup").splitlines():
            _, controllers, path = line.split(":", 2)
            for controller in controllers.split(","):
                places[controller] = path.lstrip("/")
        self._is_v2 = (self._base / "cgroup.controllers").exists()
        self._places = places

    def memory(self) -> Optional[tuple[Optional[int], Optional[int]]]:
        """Bytes used, without what the kernel would give up first, and the limit; None: the node's hold."""
        names = (
            ("memory.max", "memory.current", "inactive_file")
            if self._is_v2
            else ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        )
        limited = [
            (limit, group) for group in self._groups("memory") if (limit := _number(group / names[0])) is not None
        ]
        limit, group = min(limited, key=lambda found: found[0], default=(NO_LIMIT, self._base))
        node_total = _number_of(_text(self._root / "proc/meminfo"), "MemTotal:") * 1024
        if limit >= NO_LIMIT or (node_total and limit > node_total):
            return None
        used = _number(group / names[1])
        if used is None:
            return None
        return max(0, used - _number_of(_text(group / "memory.stat"), names[2])), limit

    def cpu(self) -> Optional[tuple[float, Optional[float]]]:
        """CPU seconds used, and how many cores' worth may be; None: the node's hold."""
        found = []
        for group in self._groups("cpu"):
            quota = self._quota(group)
            if quota is not None:
                found.append((quota, group))
        if not found:
            return None
        quota, group = min(found, key=lambda entry: entry[0])
        if self._is_v2:
            seconds = _number_of(_text(group / "cpu.stat"), "usage_usec") / 1e6
        else:
            accounted = [place for place in self._groups("cpuacct") if (place / "cpuacct.usage").exists()]
            seconds = (_number(accounted[0] / "cpuacct.usage") or 0) / 1e9 if accounted else 0.0
        return (seconds, quota) if seconds else None

    def _quota(self, group: Path) -> Optional[float]:
        if self._is_v2:
            words = _text(group / "cpu.max").split()
            quota, period = (words[0], words[1]) if len(words) == 2 else ("max", "0")
        else:
            quota, period = _text(group / "cpu.cfs_quota_us").strip(), _text(group / "cpu.cfs_period_us").strip()
        return int(quota) / int(period) if quota.isdigit() and period.isdigit() and int(period) else None

    def _groups(self, controller: str) -> list[Path]:
        """Our group and those above, as far as they can be seen from here."""
        base = self._base if self._is_v2 else self._base / controller
        path = self._places.get("" if self._is_v2 else controller, "")
        own = base / path
        if not own.is_dir():
            own = base  # the name is the node's; here our group is the root
        return (
            [own, *(above for above in own.parents if above == base or base in above.parents)]
            if own != base
            else [base]
        )


def _text(path: Path) -> str:
    """Empty where there is none."""
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


def _number(path: Path) -> Optional[int]:
    text = _text(path).strip()
    return int(text) if text.isdigit() else None


def _number_of(text: str, name: str) -> int:
    """What stands behind a name at the start of a line; 0 where it does not."""
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == name and words[1].isdigit():
            return int(words[1])
    return 0
