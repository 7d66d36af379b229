"""What `test_collector_children.py` runs in child processes: answers, hangs, crashes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

from collectors.samplers import Absent, DeviceReading, Failed, Reading
from collectors.samplers.command import Tool
from collectors.samplers.mounts import fill


def worker() -> Callable[[Any], Any]:
    """Does what it is asked."""
    return do


def do(question: list[Any]) -> Any:
    what, *given = question
    if what == "echo":
        print("a library's own words, and no answer", flush=True)
        os.write(1, b"more of them\n")
        return given
    if what == "pid":
        return os.getpid()
    if what == "hang":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(3600)
    if what == "tool":
        return Tool(leads=False).output(["/bin/sh", "-c", *given])
    if what == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == "end":
        os._exit(3)
    if what == "absent":
        raise Absent(given[0])
    if what == "failed":
        raise Failed(given[0])
    raise KeyError(what)


class Cards:
    """A sampler of one card; it cannot be made twice in one process."""

    made = 0

    def __init__(self) -> None:
        self.name, self.remark = "nvidia", "card 1: GPU is lost"

    def open(self) -> None:
        Cards.made += 1

    def sample(self) -> list[Reading]:
        return [DeviceReading("0", "gpu", 12.5, process_count=Cards.made, uuid="GPU-a", pids=(os.getpid(),))]

    def close(self) -> None:
        pass


def hanging_filler() -> Callable[[str], tuple[int, int, bool]]:
    """Fill levels; of a path that ends in `gone` never."""

    def answer(path: str) -> tuple[int, int, bool]:
        if path.endswith("gone"):
            time.sleep(3600)
        return fill(path)

    return answer
