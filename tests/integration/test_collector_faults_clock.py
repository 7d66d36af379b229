"""Exactly once while the clock jumps by hours, forward and backward (libfaketime)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest

from integration.chaos_proxy import Exchange, cut_answer, cut_request
from integration.collector_journal import differences
from integration.fault_rig import Rig

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not LIBRARIES, reason="faketime is missing: apt-get install faketime"),
]

HOUR = 3600
JUMPS = (0, 5 * HOUR, -7 * HOUR, 400 * 24 * HOUR, -30 * HOUR, 90, -HOUR, 0)
LAST_JUMP = -48 * HOUR
TIME = re.compile(rb"\[ModelArts Service Log\]([0-9-]{10} [0-9:]{8}),")

# The collector, but for waits that eight faults in a row would make long.
QUICK = (
    "from collectors import agent; agent.BACKOFF_SECONDS = 0.02; agent.BUSY_CEILING_SECONDS = 0.05; "
    "from collectors import __main__"
)

# The training: for each line that it reads it says what time it has.
TRAINING = """
import sys, time
for line in sys.stdin:
    print("clock", time.time(), line.strip(), flush=True)
"""


class Clock:
    """What the collector and the training take for the time: the real one, and so many seconds."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.jump(0)
        self.environment = {
            "LD_PRELOAD": str(LIBRARIES[0]),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",  # read again at each question
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # that clock never jumps
            "NO_FAKE_STAT": "1",  # nor do the times of files
        }

    def jump(self, seconds: int) -> None:
        """To so many seconds from the real time."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}")
        new.replace(self._file)


def test_the_clock_jumps_by_hours(rig: Rig) -> None:
    """`run` with a folder to watch: between steps of the training the clock jumps, and a request fails."""
    journal = rig.journal(71, "a.log", "b.log")
    clock = Clock(rig.logs.parent / "clock")
    command = [sys.executable, "-c", QUICK, "run", "--server", rig.proxy.url, "--job", rig.job]
    command += ["--state-dir", str(rig.state), "--watch", str(rig.logs), "--", sys.executable, "-c", TRAINING]
    run = subprocess.Popen(
        command,
        env={**os.environ, "LOGSVC_TOKEN": rig.service.token, **clock.environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert run.stdin and run.stdout
    output = b""
    struck = []
    for number, jump in enumerate(JUMPS):
        clock.jump(jump)
        rig.proxy.add((cut_request if number % 2 else cut_answer)(0.5, Exchange.reset))
        journal.write()
        run.stdin.write(b"step %d\n" % number)
        run.stdin.flush()
        line = run.stdout.readline()
        output += line
        struck.append(round((float(line.split()[1]) - time.time() - jump) / 60))
        rig.proxy.wait()
    assert struck == [0] * len(JUMPS), "minutes beside the jump"
    clock.jump(LAST_JUMP)
    run.stdin.close()
    output += run.stdout.read()
    assert run.wait(60) == 0
    run.stdout.close()
    assert sum(rig.proxy.struck.values()) == len(JUMPS)

    stored = rig.stored()
    log = stored.pop((f"modelarts-job-{rig.job}-worker-0.log", 0))
    assert differences(journal.written, stored) == []
    own = TIME.findall(log)
    start, end = (datetime.strptime(text.decode() + "Z", "%Y-%m-%d %H:%M:%S%z") for text in (own[0], own[-1]))
    assert abs((end - start).total_seconds() - LAST_JUMP) < HOUR, "the collector's clock has jumped too"
    lines = [line for line in log.splitlines(keepends=True) if not TIME.match(line)]
    assert b"".join(lines) == output and output.count(b"\n") == len(JUMPS)
