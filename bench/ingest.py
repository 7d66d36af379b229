"""Ingest: straight into the store in a child process, and over HTTP from four senders."""

from __future__ import annotations

import asyncio
import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from bench.plan import MIB, Corpus, LogFile, read
from bench.report import Report
from bench.service import Service, WrongAnswer

SENDERS = 4
BODY_BYTES = 4 * MIB
PIECE_BYTES = 1 * MIB
JOBS = 1000
JOBS_PIECE_BYTES = 64 * 1024
CHILD_SECONDS = 900


@dataclass(frozen=True)
class Source:
    """Bytes of a file that become a stream."""

    path: Path
    name: dict[str, str]
    start: int
    size: int


def straight(report: Report, corpus: Corpus, folder: Path, zstd: float) -> None:
    """Into the store, without HTTP, in a process of its own."""
    root = corpus.big.path.parent.parent
    command = [sys.executable, "-m", "bench.ingest", str(root), str(folder)]
    done = subprocess.run(command, capture_output=True, timeout=CHILD_SECONDS, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.decode(errors="replace")[-300:])
    told = orjson.loads(done.stdout)
    rate = corpus.size / 1e6 / told["acknowledged"]
    note = f"{corpus.size / 1e6 / told['packed']:.0f} until all is packed"
    report.at_least("ingest straight into the store, durable", rate, 80, "MB/s", note)
    if zstd:
        report.at_least("… as a part of this run's zstd -3", rate / zstd, 0.45, "")
    report.at_most("… CPU per raw GB, until packed", told["cpu"] / (corpus.size / 1e9), 12, "s", "reading included")


def over_http(report: Report, service: Service, corpus: Corpus) -> None:
    """The whole corpus into a service; its streams are sealed afterwards."""
    used = service.cpu_seconds()
    service.peak_bytes = 0
    big, others = corpus.big, corpus.others
    sources = [Source(file.path, file.name, 0, file.size) for file in others]
    shares = [[Source(big.path, big.name, 0, big.size)], *(sources[n :: SENDERS - 1] for n in range(SENDERS - 1))]
    seconds = send(service, shares, PIECE_BYTES)
    report.at_least("ingest over HTTP, durable, 4 senders, bodies of 4 MiB", corpus.size / 1e6 / seconds, 50, "MB/s")
    seal(service, corpus.files)
    service.settle()
    spent = service.cpu_seconds() - used
    report.at_most("… CPU of the service per raw GB", spent / (corpus.size / 1e9), 12, "s", "packing included")
    report.at_most("disk / raw after sealing", service.disk_bytes() / corpus.size, 0.25, "")
    report.at_most("peak anonymous memory, ingest", service.peak_bytes / MIB, 250, "MiB")


def many_jobs(report: Report, folder: Path, corpus: Corpus, size: int) -> None:
    """1,000 jobs at once against 64 streams of 16 jobs, the same bytes each time."""
    rates = {}
    for streams, per_job in ((64, 4), (JOBS, 1)):
        service = Service(folder / f"streams-{streams}").start()
        try:
            sources = _slices(corpus, size, streams, per_job)
            shares = [sources[n::SENDERS] for n in range(SENDERS)]
            rates[streams] = sum(source.size for source in sources) / 1e6 / send(service, shares, JOBS_PIECE_BYTES)
        finally:
            service.kill()
    note = f"{rates[JOBS]:.0f} against {rates[64]:.0f} MB/s, pieces of 64 KiB"
    report.at_least("1,000 jobs at once / 64 streams", rates[JOBS] / rates[64], 0.5, "", note)


def send(service: Service, shares: Sequence[Sequence[Source]], piece: int) -> float:
    """Send every share on a connection of its own; seconds until all was acknowledged."""

    def run(share: Sequence[Source]) -> None:
        with service.client() as client:
            for ends, body in _bodies(share, piece):
                results = client.post("/batch", body)["results"]
                if [one.get("next_offset") for one in results] != ends:
                    raise WrongAnswer(f"acknowledged otherwise than sent: {str(results)[:200]}")

    with ThreadPoolExecutor(len(shares)) as threads:
        start = time.perf_counter()
        for done in [threads.submit(run, share) for share in shares]:
            done.result()
        return time.perf_counter() - start


def seal(service: Service, files: Sequence[LogFile]) -> None:
    """Declare the streams complete."""
    body = b"".join(frame(file.name, file.size, b"", final=True) for file in files)
    with service.client() as client:
        client.post("/batch", body)


def frame(name: dict[str, str], offset: int, data: bytes, *, final: bool = False) -> bytes:
    """One frame of a batch."""
    head: dict[str, Any] = {**name, "generation": 0, "offset": offset, "length": len(data), "final": final}
    text = orjson.dumps(head)
    return b"".join((struct.pack("<I", len(text)), text, data))


def _bodies(share: Sequence[Source], piece: int) -> Iterator[tuple[list[int], bytes]]:
    """Offsets to be acknowledged, and a body: pieces of the share's streams in turn."""
    files = {path: os.open(path, os.O_RDONLY) for path in {source.path for source in share}}
    try:
        held: list[bytes] = []
        ends: list[int] = []
        size = 0
        waiting = [(source, 0) for source in share if source.size]
        while waiting:
            source, at = waiting.pop(0)
            data = os.pread(files[source.path], min(piece, source.size - at), source.start + at)
            held.append(frame(source.name, at, data))
            ends.append(at + len(data))
            size += len(data)
            if ends[-1] < source.size:
                waiting.append((source, ends[-1]))
            if size >= BODY_BYTES or not waiting:
                yield ends, b"".join(held)
                held, ends, size = [], [], 0
    finally:
        for number in files.values():
            os.close(number)


def _slices(corpus: Corpus, size: int, streams: int, per_job: int) -> list[Source]:
    """Streams of equal size, cut from the corpus."""
    each = size // streams
    found: list[Source] = []
    for file in corpus.files:
        for start in range(0, file.size - each + 1, each):
            job, task = f"bench-{streams}-{len(found) // per_job}", f"worker-{len(found) % per_job}"
            name = {"job": job, "task": task, "path": f"modelarts-job-{job}-{task}.log"}
            found.append(Source(file.path, name, start, each))
            if len(found) == streams:
                return found
    return found


async def _into_store(root: Path, folder: Path) -> dict[str, float]:
    from logsvc.core.clock import SystemClock
    from logsvc.model.chunk import Chunk
    from logsvc.model.stream import StreamName
    from logsvc.stores.embedded.store import EmbeddedStore

    corpus = read(root)
    shares = [[corpus.big], *(corpus.others[n :: SENDERS - 1] for n in range(SENDERS - 1))]
    folder.mkdir(parents=True)
    store = EmbeddedStore(folder, clock=SystemClock())
    await store.open()
    ids: set[str] = set()

    async def run(share: list[LogFile]) -> None:
        for file in share:
            name, at = StreamName(file.name["job"], file.name["task"], file.name["path"]), 0
            with file.path.open("rb", buffering=0) as opened:
                while data := opened.read(PIECE_BYTES):
                    (got,) = await store.append([Chunk(name, at, data)])
                    at += len(data)
                    if isinstance(got, Exception) or got.next_offset != at or got.stream_id is None:
                        raise WrongAnswer(f"not stored: {got}")
                    ids.add(got.stream_id)

    used, start = time.process_time(), time.perf_counter()
    await asyncio.gather(*map(run, shares))
    acknowledged = time.perf_counter() - start
    await store.seal(sorted(ids))
    for id_ in ids:
        await store.pack(id_)  # returns once the tail is packed
    packed = time.perf_counter() - start
    used = time.process_time() - used
    await store.close()
    return {"acknowledged": acknowledged, "packed": packed, "cpu": used}


if __name__ == "__main__":
    import uvloop

    print(orjson.dumps(uvloop.run(_into_store(Path(sys.argv[1]), Path(sys.argv[2])))).decode())
