"""The promise under a power cut: what was answered 2xx was synced, so unsynced tails may be cut anywhere."""

from __future__ import annotations

import asyncio
import random
import shutil
import time
from functools import cache
from pathlib import Path

import pytest

from builders import HandClock, a_chunk, a_stream, read_all
from logsvc.model.chunk import Appended
from logsvc.model.stream import StreamName
from logsvc.stores.embedded.store import EmbeddedStore
from processes import ServiceProcess
from traced_disk import TRACE, TracedDisk, calls_of

SEED = 5
CUTS = 60
STREAMS = 6
LOG_BYTES = 12_000_000  # of the content that each stream's log is taken from

pytestmark = [
    pytest.mark.kill,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        shutil.which("strace") is None, reason="strace is not installed (Debian: apt-get install strace)"
    ),
]


def name_of(number: int) -> StreamName:
    return a_stream(job=f"power-{number % 3}", task=f"worker-{number}")


@cache
def log_of(number: int) -> bytes:
    """A stream's log, far longer than what is sent of it; made when it is needed, since files are collected often."""
    lines = (f"{number} step {n} loss={(n * 7919 % 10_000) / 10_000}\n" for n in range(LOG_BYTES // 28))
    return "".join(lines).encode()


def ingest(service: ServiceProcess, chance: random.Random) -> dict[str, int]:
    """Send chunks of all sizes, with pauses in which the store tidies up; ids of the streams."""
    client, ids = service.client(), {}
    offsets = [0] * STREAMS
    for turn in range(150):
        number = chance.randrange(STREAMS)
        size = chance.choice((10, 300, 5_000, 60_000, 300_000, 700_000))
        log, name, offset = log_of(number), name_of(number), offsets[number]
        data = log[offset : offset + size]
        query = {"job": name.job, "task": name.task, "path": name.path, "final": int(chance.random() < 0.1)}
        answer = client.chunk(data, offset=offset, **query)
        assert answer.status == 200, answer.body
        offsets[number] = answer.json["next_offset"]
        ids[answer.json["stream"]] = number
        if turn in (50, 100):
            time.sleep(1.5)
    return ids


async def written(trace: Path) -> None:
    """Strace ends a moment after the service."""
    size = -1
    while size != trace.stat().st_size:
        size = trace.stat().st_size
        await asyncio.sleep(0.5)


async def check(folder: Path, answered: dict[str, int], ids: dict[str, int]) -> None:
    """A store on what the power cut left has every acknowledged byte, no wrong one, and goes on."""
    store = EmbeddedStore(folder, clock=HandClock(time.time()))
    await store.open()
    await store.recovered()
    try:
        for id, number in ids.items():
            acknowledged = answered.get(id, 0)
            held = await store.find(name_of(number))
            size = held.size_bytes if held else 0
            assert size >= acknowledged, (number, size, acknowledged)
            if held:
                assert await read_all(store, held.id) == log_of(number)[:size]
                assert held.lines == log_of(number)[:size].count(b"\n") + (log_of(number)[size - 1 : size] != b"\n")
            more = log_of(number)[size : size + 1000]
            [result] = await store.append([a_chunk(more, offset=size, stream=name_of(number))])
            assert isinstance(result, Appended) and result.next_offset == size + 1000
    finally:
        await store.close()


async def test_acknowledged_bytes_survive_a_power_cut(tmp_path: Path) -> None:
    """At the very moment of an answer and at any other; with all, none or some of what was not synced."""
    chance, trace = random.Random(SEED), tmp_path / "trace"
    prefix = (*TRACE.split(), "-o", str(trace))
    service = ServiceProcess(tmp_path / "data", prefix=prefix).start()
    ids = ingest(service, chance)
    service.kill()
    await written(trace)

    calls = list(calls_of(trace))
    trace.unlink()
    disk = TracedDisk(tmp_path / "data")
    answers = [place for place, call in enumerate(calls) if disk.take(call)]
    assert len(answers) >= 140 and len(disk.answered) == STREAMS
    after_answers = chance.sample(answers, CUTS // 2)
    cuts = sorted({*after_answers, answers[-1], *(chance.randrange(len(calls)) for _ in range(CUTS // 2))})

    disk, unsynced = TracedDisk(tmp_path / "data"), 0
    for place, call in enumerate(calls):
        disk.take(call)
        if place in cuts:
            unsynced += disk.unsynced_bytes > 0
            for kept in (None, random.Random(place)):
                image = tmp_path / "image"
                disk.image(image, kept)
                if image.exists():
                    await check(image, disk.answered, ids)
                    shutil.rmtree(image)
    assert unsynced > CUTS / 3  # at most moments there was something to lose
