"""The promise for samples under `kill -9` and a power cut: what was acknowledged is there, once, and summed exactly."""

from __future__ import annotations

import asyncio
import random
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from integration import sample_program
from integration.sample_program import TASKS, Forks, check_held
from processes import wait_until
from traced_disk import TRACE, TracedDisk, calls_of

KILLS = 10
CUTS = 16
ANSWERS = 120  # before the power is cut
SEED = 6

pytestmark = [pytest.mark.kill, pytest.mark.timeout(300)]


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    """Kills at random moments of commits, packing and joining; some senders send again what is held."""
    chance, forks = random.Random(SEED), Forks()
    folder, said = tmp_path / "data", tmp_path / "said"
    there = [0] * TASKS
    grew = 0
    try:
        for _ in range(KILLS):
            first = [max(0, batches - chance.choice((0, 0, 3))) for batches in there]
            said.write_bytes(b"")
            pid = forks.start(folder, said, first)
            enough = chance.choice((1, 1000, 3000))
            wait_until(lambda: said.stat().st_size >= enough)  # noqa: B023
            time.sleep(chance.uniform(0, 0.03))
            assert forks.kill(pid) == -9
            acknowledged = list(there)
            for task, batches in re.findall(rb'"stream":"(\d+)","next_offset":(\d+)', said.read_bytes()):
                acknowledged[int(task) - 1] = max(acknowledged[int(task) - 1], int(batches))
            grew += sum(acknowledged) - sum(there) > TASKS
            there = asyncio.run(check_held(folder, acknowledged))
    finally:
        forks.close()
    assert grew > KILLS / 3 and min(there) > 30, (grew, there)  # many were packed, and joined


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is missing: apt-get install strace")
def test_what_was_acknowledged_survives_a_power_cut(tmp_path: Path) -> None:
    """Cuts at acknowledgements and between; of what was not synced all, none, or some sectors are lost."""
    chance, trace = random.Random(SEED), tmp_path / "trace"
    program = [sys.executable, sample_program.__file__, str(tmp_path / "data")]
    process = subprocess.Popen(
        [*TRACE.split(), "-o", str(trace), *program],
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": ":".join(path for path in sys.path if path), "PATH": "/usr/bin:/bin"},
    )
    assert process.stdout
    for _ in range(ANSWERS):
        assert process.stdout.readline()
    process.kill()
    process.stdout.close()
    process.wait(30)
    answer = "".join(f"\\x{byte:02x}" for byte in b"next_offset").encode()
    wait_until(lambda: trace.read_bytes().count(answer) >= ANSWERS)  # strace ends a moment after the program
    calls = list(calls_of(trace))
    disk = TracedDisk(tmp_path / "data")
    answers = [place for place, call in enumerate(calls) if disk.take(call)]
    assert len(answers) >= ANSWERS
    first = answers[0]
    cuts = {
        *chance.sample(answers, CUTS // 2),
        answers[-1],
        *(chance.randrange(first, len(calls)) for _ in range(CUTS // 2)),
    }
    disk, unsynced = TracedDisk(tmp_path / "data"), 0
    for place, call in enumerate(calls):
        disk.take(call)
        if place in cuts:
            unsynced += disk.unsynced_bytes > 0
            for kept in (None, random.Random(place)):
                disk.image(tmp_path / "image", kept)
                answered = [disk.answered.get(str(task + 1), 0) for task in range(TASKS)]
                asyncio.run(check_held(tmp_path / "image", answered))
                shutil.rmtree(tmp_path / "image")
    assert unsynced >= 2  # there was something to lose
