"""How full the file systems of a training are: scratch, shared memory, network file systems.

Asking a network file system whose server is gone never returns. So a child asks, one mount at a time; what it hangs
on is set aside, and asked again when the process that hangs is gone.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Optional

from collectors.samplers import Absent, Failed, Hung, MountReading, Reading
from collectors.samplers.child import Child
from collectors.samplers.command import TOOL_SECONDS, helpers

MOUNTS_SECONDS = 30.0  # from one look to the next
ASIDE_SECONDS = 60.0  # until a mount that hung is asked again
MAX_MOUNTS = 32
PATH_CHARACTERS = 512  # the service takes no longer ones
PLACES = ("/cache", "/dev/shm", "/home/ma-user/modelarts")
NETWORK = re.compile(r"nfs[34]?|lustre|cifs|smb3|ceph|beegfs|gpfs|9p|fuse\.(?!portal|gvfs|lxcfs|snapfuse).*")
_ESCAPED = re.compile(r"\\([0-7]{3})")


class Mounts:
    """Sampler `mounts`."""

    def __init__(
        self,
        *,
        table: str = "/proc/self/mounts",
        places: tuple[str, ...] = PLACES,
        target: str = "collectors.samplers.mounts:filler",
        clock: Callable[[], float] = time.monotonic,
        seconds: float = TOOL_SECONDS,
    ) -> None:
        """
        Args:
            table: the kernel's list of mounts.
            places: paths asked beside the network file systems in it, where they are there.
            seconds: until a mount is given up.
        """
        self.name, self.remark = "mounts", ""
        self._table, self._places, self._clock, self._seconds = table, places, clock, seconds
        self._child = Child(target)
        self._aside: dict[str, float] = {}  # path -> when it may be asked again
        self._stuck: dict[str, subprocess.Popen[bytes]] = {}  # path -> who hangs on it

    def open(self) -> None:
        """See `Sampler`."""
        self._child.start()

    def sample(self) -> list[Reading]:
        """See `Sampler`."""
        began = self._clock()
        readings: list[Reading] = []
        hanging = []
        # What has hung comes last, the longest ago first: it takes nobody else's time.
        for path in sorted(self._paths(), key=lambda path: self._aside.get(path, 0.0)):
            if self._is_aside(path, began):
                hanging.append(path)
                continue
            left = began + self._seconds - self._clock()
            if left < self._seconds / 10:  # one before this one has used the time
                if path in self._aside:
                    hanging.append(path)
                continue
            try:
                answer = self._child.ask(path, left)
            except Hung:
                hanging.append(path)
                self._set_aside(path)
                continue
            except (Absent, Failed):
                self._aside.pop(path, None)
                continue  # not there, or not for us
            self._aside.pop(path, None)
            readings.append(MountReading(path, *answer))
        self.remark = f"no answer from {', '.join(hanging)}" if hanging else ""
        return readings

    def close(self) -> None:
        """See `Sampler`."""
        self._child.kill()

    def _paths(self) -> list[str]:
        try:
            lines = Path(self._table).read_text("utf-8", "surrogateescape").splitlines()
        except OSError:
            lines = []
        fields = [line.split(" ") for line in lines]
        network = [_unescaped(entry[1]) for entry in fields if len(entry) > 2 and NETWORK.fullmatch(entry[2])]
        paths = [path for path in dict.fromkeys([*self._places, *network]) if _can_be_told(path)]
        return paths[:MAX_MOUNTS]

    def _is_aside(self, path: str, now: float) -> bool:
        stuck = self._stuck.get(path)
        if stuck is not None and stuck.poll() is not None:
            helpers.pop(stuck.pid, None)
            del self._stuck[path]
        return path in self._stuck or now < self._aside.get(path, 0.0)

    def _set_aside(self, path: str) -> None:
        self._aside[path] = self._clock() + ASIDE_SECONDS
        if self._child.stuck is not None:
            self._stuck[path], self._child.stuck = self._child.stuck, None


def filler() -> Callable[[str], Optional[tuple[int, int, bool]]]:
    """In the child: what `fill` says of a path."""
    return fill


def fill(path: str) -> tuple[int, int, bool]:
    """
    Bytes used and in all, as `df` counts them, and whether the mount is read-only.

    Raises:
        Absent: there is nothing of that name.
    """
    try:
        stats = os.statvfs(path)
    except OSError as exc:
        raise Absent(f"{path}: {exc.strerror}") from exc
    used = (stats.f_blocks - stats.f_bfree) * stats.f_frsize
    return used, used + stats.f_bavail * stats.f_frsize, bool(stats.f_flag & os.ST_RDONLY)


def _can_be_told(path: str) -> bool:
    return len(path) <= PATH_CHARACTERS and not any("\ud800" <= char <= "\udfff" for char in path)


def _unescaped(path: str) -> str:
    """A path of the kernel's list: blanks and the like are written as octal numbers there."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 8)), path)
