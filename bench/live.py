"""The live path: a line until a reader has it, many followers, many small streams."""

from __future__ import annotations

import asyncio
import json
import random
import select
import subprocess
import sys
import time
from typing import Any

import orjson
from websockets.asyncio.client import connect

from bench.ingest import frame
from bench.plan import Scale
from bench.report import Report, median, percentile
from bench.service import Service, WrongAnswer

FRAMES_PER_SECOND = 10
FRAME_LINES = 100
STREAMS, STREAMS_A_NODE, LINES_PER_SECOND = 3200, 32, 10
GIVE_UP_MS = 10_000  # a node that is this late sends no more: the service does not keep up
READY_SECONDS = 120


def named(job: str, task: str = "worker-0") -> dict[str, str]:
    """A task's own log."""
    return {"job": job, "task": task, "path": f"modelarts-job-{job}-{task}.log"}


def latency(report: Report, service: Service, scale: Scale) -> None:
    """A line at a time, about five a second: from before its request until a follower has it."""
    times = asyncio.run(_latency(service, scale.live_lines))
    report.at_most("line -> reader, live, p50", median(times), 10, "ms", f"{len(times)} lines, 5 a second")
    report.at_most("line -> reader, live, p99", percentile(times, 99), 50, "ms", f"max {max(times):.0f}")


async def _latency(service: Service, lines: int) -> list[float]:
    name = named("bench-live")
    rng = random.Random(11)
    head = b"the first line\n"
    with service.client() as client:
        stream = client.post("/chunks", head, offset=0, **name)["stream"]
        address = f"ws://127.0.0.1:{service.port}/api/v1/streams/{stream}/follow?from=1"
        headers = {"Authorization": f"Bearer {service.token}"}
        offset, times = len(head), []
        async with connect(address, additional_headers=headers, compression=None, proxy=None) as socket:
            await _line(socket, 1)
            for n in range(2, lines + 2):
                await asyncio.sleep(rng.uniform(0.12, 0.28))
                line = f"epoch: 1 step: {n}, loss is {rng.random():.7f}\n".encode()
                waiting = asyncio.create_task(_line(socket, n))
                start = time.perf_counter()
                await asyncio.to_thread(client.post, "/chunks", line, offset=offset, **name)
                times.append(1000 * (await waiting - start))
                offset += len(line)
    return times


async def _line(socket: Any, n: int) -> float:
    """When line `n` came."""
    while True:
        message = json.loads(await asyncio.wait_for(socket.recv(), 10))
        now = time.perf_counter()
        if any(line["n"] == n for line in message.get("lines", [])):
            return now


def followers(report: Report, service: Service, scale: Scale) -> None:
    """One stream, 100 and then 1,000 readers, ten frames a second of 100 lines."""
    for count in (100, 1000):
        service.peak_bytes = 0
        cores, told = _followed(service, named(f"bench-follow-{count}"), count, scale.follow_seconds)
        frames = scale.follow_seconds * FRAMES_PER_SECOND * count
        if told["complete"] != count or told["gaps"]:
            raise WrongAnswer(f"{told['complete']} of {count} followers had every line; {told['gaps']} gaps")
        note = (
            f"{told['frames']:,} frames of {frames:,} appends, p50 {told['p50']:.0f} ms, p99 {told['p99']:.0f} ms, "
            f"peak {service.peak_bytes >> 20} MiB"
        )
        report.at_most(f"{count:,} followers, 10 frames/s x 100 lines", cores, 1, "cores", note)


def _followed(service: Service, name: dict[str, str], count: int, seconds: int) -> tuple[float, dict[str, Any]]:
    """Cores that the service used, and what its followers tell."""
    ticks = seconds * FRAMES_PER_SECOND
    with service.client() as client:
        offset = len(head := b"the first line\n")
        stream = client.post("/chunks", head, offset=0, **name)["stream"]
        command = [sys.executable, "-m", "bench.followers", str(service.port), service.token, stream]
        limit = seconds + 30
        more = [str(count), str(ticks * FRAME_LINES + 1), str(limit)]
        child = subprocess.Popen([*command, *more], stdout=subprocess.PIPE)
        try:
            assert child.stdout
            ready, _, _ = select.select([child.stdout], [], [], READY_SECONDS)
            if not ready or child.stdout.readline() != b"ready\n":
                raise RuntimeError("the followers could not connect")
            time.sleep(0.5)
            used, start = service.cpu_seconds(), time.perf_counter()
            for tick in range(ticks):
                time.sleep(max(0.0, start + tick / FRAMES_PER_SECOND - time.perf_counter()))
                stamp = f"at={time.time_ns()}"
                rows = (f"{stamp} epoch: 1 step: {tick}, loss is 0.{n:07d}\n" for n in range(FRAME_LINES))
                data = "".join(rows).encode()
                client.post("/chunks", data, offset=offset, **name)
                offset += len(data)
            out, _ = child.communicate(timeout=limit + 30)
            told = orjson.loads(out)
            return (service.cpu_seconds() - used) / (told["last"] - told["first"] + 1 / FRAMES_PER_SECOND), told
        finally:
            if child.poll() is None:
                child.kill()
            child.wait()


def fleet(report: Report, service: Service, scale: Scale) -> None:
    """3,200 streams of ten lines a second: a batch of 32 streams a second from each of 100 nodes."""
    used, start = service.cpu_seconds(), time.perf_counter()
    first, times = asyncio.run(_fleet(service, scale.fleet_seconds))
    cores = (service.cpu_seconds() - used) / (time.perf_counter() - start)
    wanted = scale.fleet_seconds * STREAMS // STREAMS_A_NODE
    note = (
        f"p50 {median(times):.0f}, {len(times):,} of {wanted:,} batches, {cores:.2f} cores; "
        f"first batches, which make the streams, p99 {percentile(first, 99):.0f}"
    )
    report.at_most("3,200 streams x 10 lines/s, acknowledged, p99", percentile(times, 99), 500, "ms", note)


async def _fleet(service: Service, seconds: int) -> tuple[list[float], list[float]]:
    """Milliseconds of the first batch of each node, and of those after it."""
    nodes = STREAMS // STREAMS_A_NODE
    made = asyncio.Barrier(nodes)
    async with asyncio.timeout(seconds + 60):
        told = await asyncio.gather(*(_node(service, node, node / nodes, seconds, made) for node in range(nodes)))
    return [times[0] for times in told], [ms for times in told for ms in times[1:]]


async def _node(service: Service, node: int, part: float, seconds: int, made: asyncio.Barrier) -> list[float]:
    """Milliseconds from when each batch was due until it was acknowledged."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    names = [named(f"bench-fleet-{node}", f"worker-{n}") for n in range(STREAMS_A_NODE)]
    offset, times = 0, []
    start = time.perf_counter() + part
    try:
        for second in range(seconds + 1):
            rows = (
                f"epoch: {second} step: {n:02d}, loss is 0.{node:07d} {'x' * 80}\n" for n in range(LINES_PER_SECOND)
            )
            data = "".join(rows).encode()
            body = b"".join(frame(name, offset, data) for name in names)
            head = (
                f"POST /api/v1/batch HTTP/1.1\r\nHost: 127.0.0.1:{service.port}\r\n"
                f"Authorization: Bearer {service.token}\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            if second == 1:
                await made.wait()  # the streams are there; the pace starts here
                start = time.perf_counter() + part - 1
            due = start + second
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            writer.write(head.encode() + body)
            status = await reader.readuntil(b"\r\n\r\n")
            size = int(status.lower().partition(b"content-length:")[2].split(None, 1)[0])
            answer = await reader.readexactly(size)
            times.append(1000 * (time.perf_counter() - due))
            offset += len(data)
            results = orjson.loads(answer).get("results", []) if b" 200 " in status[:20] else []
            if [one.get("next_offset") for one in results] != [offset] * STREAMS_A_NODE:
                raise WrongAnswer(f"a batch was not stored: {answer[:200]!r}")
            if second and times[-1] > GIVE_UP_MS:
                break
    finally:
        writer.close()
    return times
