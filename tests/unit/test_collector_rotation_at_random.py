"""
Rotations, compressions, outages, lost answers and kills in any order: every byte once, in its order.

`ROTATION_PROGRAMS=5000 pytest tests/unit/test_collector_rotation_at_random.py` plays more; a fault names its seed.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from unit.collector_program import ROTATIONS, Program

PROGRAMS = int(os.environ.get("ROTATION_PROGRAMS", "200"))
ONCE_WRONG = {
    "nothing is asked of a collector that was killed": [4480],
    "a log was truncated before it was opened, and its copy is known": [641, 1609, 3458, 4338],
    "of two lost generations that begin alike, a copy has all bytes of one": [2354],
    "a past generation stands before what is younger, should it prove to be another": [1308],
    "a log was truncated before its last bytes were compared with what is held": [861],
}


def test_every_byte_arrives_once_and_in_order(tmp_path: Path) -> None:
    faults, struck = [], Counter[str]()
    for seed in range(PROGRAMS):
        folder = tmp_path / str(seed)
        folder.mkdir()
        program = Program(folder, seed)
        program.play()
        faults += [f"seed {seed}: {fault}" for fault in program.faults()]
        struck += Counter(program.struck)
        struck[program.rotation] += 1
        shutil.rmtree(folder)
    assert not faults, "\n".join(faults)
    for fault in ("kills", "kills inside a step", "rotations", "hurried", *ROTATIONS):
        assert struck[fault] > PROGRAMS / 20, struck


@pytest.mark.parametrize(
    "seed", [pytest.param(seed, id=f"{why}, {seed}") for why, seeds in ONCE_WRONG.items() for seed in seeds]
)
def test_what_was_wrong_once(seed: int, tmp_path: Path) -> None:
    """Seeds of longer runs, by what was mended."""
    program = Program(tmp_path, seed)
    program.play()

    assert not list(program.faults())
