"""A process that stores samples until it is killed, and what must be there afterwards.

Run as a program it says which batches are acknowledged, as the service says it of chunks, or, asked by
lines of JSON, forks such processes: many starts in little time.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

from builders import HandClock
from logsvc.model.sample import READINGS, Sample, SeriesName
from logsvc.stores.embedded.doctor import check
from logsvc.stores.embedded.samples import packing, writer
from logsvc.stores.embedded.store import EmbeddedStore
from samples_of import FOREVER

JOB = "killed-samples"
TASKS = 4
CARDS = 3
MAX_BATCHES = 4000


def slots(batch: int) -> list[int]:
    """Which times a batch has: four of its own, but every seventh comes two batches late; and some once more."""
    own = [slot for slot in range(4 * batch, 4 * batch + 4) if slot % 7]
    late = [slot for slot in range(4 * batch - 8, 4 * batch - 4) if slot >= 0 and slot % 7 == 0]
    return [*own, *late, *[slot for slot in range(4 * batch - 3, 4 * batch) if slot >= 0 and slot % 7]]


def used(task: int, card: int, slot: int) -> float | None:
    """The utilization at a time."""
    return None if slot % 13 == 0 else (slot * 37 + task * 11 + card) % 1001 / 10


def samples_of(task: int, batch: int) -> list[Sample]:
    """A batch."""
    return [
        Sample(
            SeriesName(f"worker-{task}", "gpu", str(card)),
            slot * 5000,
            (used(task, card, slot), float(slot << 20), 2.0**36, 300 + slot / 1000, 60.0, 1.0),
        )
        for slot in slots(batch)
        for card in range(CARDS)
    ]


async def store_from(folder: Path, first: list[int]) -> None:
    """Every task's batches from one on, each once the one before it is acknowledged; small blocks, often joined."""
    writer.PACK_SAMPLES = 96
    packing.JOIN = 3
    store = EmbeddedStore(folder, clock=HandClock())
    await store.open()

    async def send(task: int) -> None:
        for batch in range(first[task], MAX_BATCHES):
            await store.add_samples(JOB, samples_of(task, batch))
            os.write(1, b'{"stream":"%d","next_offset":%d}\n' % (task + 1, batch + 1))

    await asyncio.gather(*map(send, range(TASKS)))


async def check_held(folder: Path, acknowledged: list[int]) -> list[int]:
    """
    Everything acknowledged is there, batches are there whole or not at all, sums are those of what is there.

    Returns: how many batches of each task are there.
    """
    assert check(folder) == []
    store = EmbeddedStore(folder, clock=HandClock())
    await store.open()
    try:
        found = await store.raw_samples(JOB, FOREVER)
        pooled = {one.series: one for one in (await store.pooled([JOB])).get(JOB, [])}
    finally:
        await store.close()
    there = [0] * TASKS
    for one in found:
        task, card = int(one.series.task.removeprefix("worker-")), int(one.series.name)
        held = [int(at) // 5000 for at in one.at_ms]
        batches = acknowledged[task]
        while set(held) - {slot for batch in range(batches) for slot in slots(batch)}:
            batches += 1
            assert batches <= acknowledged[task] + 1, "more is there than was under way"
        assert held == sorted({slot for batch in range(batches) for slot in slots(batch)})
        there[task] = batches
        column = [None if value != value else float(value) for value in one.readings["utilization_percent"]]
        assert column == [used(task, card, slot) for slot in held]
        assert one.readings["power_watts"].tolist() == [300 + slot / 1000 for slot in held]
        assert len(one.readings) == len(READINGS["gpu"])
        read = [value for value in column if value is not None]
        assert pooled[one.series].sum_micropercent == sum(round(value * 10**6) for value in read)
        assert pooled[one.series].count == len(read)
    assert all(have >= said for have, said in zip(there, acknowledged, strict=True))
    return there


class Forks:
    """Starts and kills processes that store samples."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )

    def start(self, folder: Path, said: Path, first: list[int]) -> int:
        """A process; `said` is where it says what is acknowledged."""
        return self._ask({"folder": str(folder), "said": str(said), "first": first})

    def kill(self, pid: int) -> int:
        """`kill -9`; minus the signal that ended it, or its exit status."""
        return self._ask({"pid": pid})

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=30)

    def _ask(self, what: dict[str, Any]) -> int:
        assert self._process.stdin and self._process.stdout
        print(json.dumps(what), file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())


def serve() -> None:
    """Answer on stdout what stdin asks."""
    for line in sys.stdin:
        asked = json.loads(line)
        if "pid" in asked:
            os.kill(asked["pid"], signal.SIGKILL)
            print(os.waitstatus_to_exitcode(os.waitpid(asked["pid"], 0)[1]), flush=True)
            continue
        pid = os.fork()
        if pid == 0:
            try:
                os.dup2(os.open(asked["said"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 1)
                asyncio.run(store_from(Path(asked["folder"]), asked["first"]))
            except BaseException:
                traceback.print_exc()
            os._exit(1)
        print(pid, flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(store_from(Path(sys.argv[1]), [0] * TASKS))
    else:
        serve()
