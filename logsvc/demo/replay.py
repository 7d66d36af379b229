"""Ascend and MindSpore files written beside the training, line by line, with the time of writing."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import datetime
from importlib import resources
from pathlib import Path

_STAMP = re.compile(r"\d{4}-\d\d-\d\d-\d\d:\d\d:\d\d\.\d{1,3}\.\d{0,3}")
_GLOG_STAMP = re.compile(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d")
_PID = re.compile(r"\((166|9763)(?=[,:])")
STEADY_LINES = 8  # of MindSpore's long file, with each beat


class Replay:
    """
    The files of one process.

    Lines of the level ERROR are held back until `fail`: they tell of what has not happened yet.
    """

    def __init__(self, folder: Path, pid: int, host: str) -> None:
        now = datetime.now().astimezone()
        stamp = now.strftime("%Y%m%d%H%M%S%f")[:17]
        mindspore = folder / "mindspore"
        long_name = f"mindspore.{host}.ma-user.log.INFO.{now:%Y%m%d-%H%M%S}.{pid}"
        self._pid = pid
        self._files = {
            folder / "plog" / f"plog-{pid}_{stamp}.log": _lines("plog.txt"),
            folder / "device-0" / f"device-{pid}_{stamp}.log": _lines("device.txt"),
            mindspore / f"mindspore.log.{pid}": _lines("mindspore.txt"),
            mindspore / long_name: _lines("mindspore-info.txt"),
        }
        self._held: dict[Path, list[str]] = {}
        for file in self._files:
            file.parent.mkdir(parents=True, exist_ok=True)
        (mindspore / "mindspore.INFO").symlink_to(long_name)

    def beat(self) -> None:
        """The next lines of each file."""
        for file, lines in self._files.items():
            for _ in range(STEADY_LINES if file.name.count(".") > 3 else 1):
                line = next(lines, None)
                if line is None:
                    break
                if line.startswith("[ERROR]"):
                    self._held.setdefault(file, []).append(line)
                else:
                    self._write(file, line)

    def fail(self) -> None:
        """What the device's libraries say when a peer is gone."""
        for file, lines in self._files.items():
            for line in [*self._held.pop(file, []), *(line for line in lines if line.startswith("[ERROR]"))]:
                self._write(file, line)

    def _write(self, file: Path, line: str) -> None:
        now = datetime.now().astimezone()
        fresh = now.strftime("%Y-%m-%d-%H:%M:%S.") + f"{now.microsecond // 1000:03}.{now.microsecond % 1000:03}"
        line = _STAMP.sub(fresh, line)
        line = _GLOG_STAMP.sub(now.strftime("%Y/%m/%d %H:%M:%S"), line)
        with file.open("a", encoding="utf-8") as out:
            out.write(_PID.sub(f"({self._pid}", line) + "\n")


def _lines(name: str) -> Iterator[str]:
    text = resources.files("logsvc.demo").joinpath("samples", name).read_bytes().decode("utf-8", "replace")
    return iter(text.splitlines())


def sample(name: str) -> list[str]:
    """All lines of a sample."""
    return list(_lines(name))


def rest(seconds: float) -> None:
    """A human pace: the demo is to be watched."""
    if seconds > 0:
        time.sleep(seconds)
