"""Samples of cards: CPU of taking them in, bytes on disk, a day's chart, and `/metrics` with all of them."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson

from bench.plan import Scale
from bench.readings import Readings, readings
from bench.report import Report, median
from bench.service import Service, WrongAnswer

CARDS = 8
WORKERS = 128
WORKERS_A_JOB = 8
EVERY_SECONDS = 5
BLOCK_TIMES = 128  # a task's tail of eight cards is packed then
JOIN = 8
DAY_TIMES = 86_400 // EVERY_SECONDS
SLOW_SECONDS = 15
MONTH_READINGS = 1024 * 4 * 30 * 86_400 // SLOW_SECONDS
BATCH_TIMES = 120  # of a post that fills the store
FLEET_SECONDS = 60
AT_ONCE = 16  # posts under way


@dataclass(frozen=True)
class Worker:
    """One node and what it has yet to send."""

    job: str
    task: str
    read: Readings

    def bodies(self, first: int, last: int, size: int) -> Iterator[bytes]:
        """Posts of its samples [first, last), so many times in each."""
        for start in range(first, last, size):
            samples = [sample for at in range(start, min(start + size, last)) for sample in self._samples(at)]
            yield orjson.dumps({"job": self.job, "task": self.task, "samples": samples})

    def _samples(self, at: int) -> Iterator[dict[str, Any]]:
        read = self.read
        moment = datetime.fromtimestamp(int(read.at_ms[at]) / 1000, UTC).isoformat(timespec="milliseconds")
        for card in range(CARDS):
            used = float(read.utilization[card, at])
            yield {
                "at": moment,
                "device": str(card),
                "kind": "gpu",
                "utilization_percent": None if used != used else used,
                "memory_used_bytes": int(read.memory[card, at]),
                "memory_total_bytes": 80 << 30,
                "power_watts": float(read.power[card, at]),
                "temperature_celsius": float(read.temperature[card, at]),
            }


class Poster:
    """Posts on one connection."""

    def __init__(self, service: Service) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
        self._headers = {"Authorization": f"Bearer {service.token}", "Content-Type": "application/json"}

    def post(self, body: bytes) -> None:
        """One report; raises WrongAnswer unless it was stored."""
        self._ask("POST", "/api/v1/samples", body, 204)

    def get(self, target: str) -> tuple[float, bytes]:
        """Milliseconds until the whole answer was there, and the answer."""
        start = time.perf_counter()
        answer = self._ask("GET", target, None, 200)
        return 1000 * (time.perf_counter() - start), answer

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()

    def _ask(self, method: str, target: str, body: bytes | None, status: int) -> bytes:
        self._connection.request(method, target, body, self._headers)
        response = self._connection.getresponse()
        answer = response.read()
        if response.status != status:
            raise WrongAnswer(f"{method} {target[:80]}: {response.status} {answer[:200]!r}")
        return answer


def samples(report: Report, service: Service, scale: Scale) -> None:
    """Everything about samples, on a service that has none yet."""
    poster = Poster(service)
    try:
        _ingest(report, service)
        _metrics(report, service, poster, scale)
        _chart(report, service, poster, scale)
    finally:
        poster.close()


def size(report: Report, service: Service, scale: Scale) -> None:
    """What readings take of the disk, on a service that has nothing else."""
    poster = Poster(service)
    chance = np.random.default_rng(6)
    days = scale.sample_days
    times = days * 86_400 // SLOW_SECONDS
    try:
        for number in range(2):
            read = readings(
                chance, cards=CARDS, times=times, interval_seconds=SLOW_SECONDS, end_ms=_now_ms() - number * 1000
            )
            for body in Worker("bench-size", f"worker-{number}", read).bodies(0, times, BATCH_TIMES):
                poster.post(body)
    finally:
        poster.close()
        service.stop()
    held = sum(path.stat().st_size for path in service.folder.glob("samples.db*"))
    count = 2 * CARDS * times * 4
    note = f"{count / 1e6:.1f} million readings of utilization, memory, power, temperature; {days} days; tails included"
    report.at_most("bytes a reading on disk", held / count, 1.5, "", note)
    month = held / count * MONTH_READINGS / 1e9
    report.at_most(
        "… 30 days of 1,024 cards x 4 readings every 15 s", month, 1.1, "GB", "extrapolated from the row above"
    )


def _ingest(report: Report, service: Service) -> None:
    """All workers at their pace, each somewhere between two packs, as it is after hours."""
    chance = np.random.default_rng(5)
    rounds = FLEET_SECONDS // EVERY_SECONDS
    times = BLOCK_TIMES * JOIN + rounds
    workers = []
    for number in range(WORKERS):
        read = readings(chance, cards=CARDS, times=times, interval_seconds=EVERY_SECONDS, end_ms=_now_ms())
        job, task = f"bench-samples-{number // WORKERS_A_JOB}", f"worker-{number % WORKERS_A_JOB}"
        workers.append(Worker(job, task, read))
    filler = Poster(service)
    for number, worker in enumerate(workers):
        first = times - rounds - number % JOIN * BLOCK_TIMES - number % BLOCK_TIMES
        for body in worker.bodies(first, times - rounds, BLOCK_TIMES):
            filler.post(body)
    filler.close()
    for worker in workers:  # filling took its time, and a card whose last sample is old is not told of
        worker.read.at_ms[-rounds:] = _now_ms() + 1000 * EVERY_SECONDS * np.arange(rounds)
    bodies = [list(worker.bodies(times - rounds, times, 1)) for worker in workers]
    posters = [Poster(service) for _ in workers]
    service.settle()
    used, begin = service.cpu_seconds(), time.monotonic()
    late = 0.0
    posts = []
    with ThreadPoolExecutor(AT_ONCE) as threads:  # workers do not wait for each other
        for turn in range(rounds):
            for number, poster in enumerate(posters):
                due = begin + EVERY_SECONDS * (turn + number / WORKERS)
                time.sleep(max(0.0, due - time.monotonic()))
                late = max(late, time.monotonic() - due)
                posts.append(threads.submit(poster.post, bodies[number][turn]))
        for post in posts:
            post.result()
    seconds = time.monotonic() - begin
    share = (service.cpu_seconds() - used) / seconds
    for poster in posters:
        poster.close()
    note = f"{seconds:.0f} s, {rounds * WORKERS / seconds:.1f} posts/s; the latest {late:.1f} s after its time"
    report.at_most("128 workers x 8 cards, a sample each 5 s: CPU of a core", 100 * share, 8, "%", note)


def _metrics(report: Report, service: Service, poster: Poster, scale: Scale) -> None:
    """The exposition with all cards that were just sent."""
    used = service.cpu_seconds()
    found = [poster.get("/metrics") for _ in range(scale.repeats)]
    cpu = 1000 * (service.cpu_seconds() - used) / len(found)
    cards = found[-1][1].count(b"\nlogsvc_job_accelerator_utilization_ratio{")
    if cards != WORKERS * CARDS:
        raise WrongAnswer(f"{cards} cards in /metrics, sent were {WORKERS * CARDS}")
    note = f"{len(found[-1][1]) / 1e6:.1f} MB, median of {len(found)}; CPU {cpu:.0f} ms"
    report.at_most("/metrics with 1,024 cards", median([took for took, _ in found]), 300, "ms", note)


def _chart(report: Report, service: Service, poster: Poster, scale: Scale) -> None:
    """A whole day of one job, by card."""
    end_ms = _now_ms()
    read = readings(
        np.random.default_rng(7), cards=CARDS, times=DAY_TIMES, interval_seconds=EVERY_SECONDS, end_ms=end_ms
    )
    worker = Worker("bench-day", "worker-0", read)
    for body in worker.bodies(0, DAY_TIMES, BATCH_TIMES):
        poster.post(body)
    begin = datetime.fromtimestamp(end_ms / 1000 - 86_400, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    end = datetime.fromtimestamp(end_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    target = f"/api/v1/jobs/{worker.job}/utilization?from={begin}&to={end}&points=300"
    used = service.cpu_seconds()
    found = [poster.get(target) for _ in range(scale.repeats)]
    cpu = 1000 * (service.cpu_seconds() - used) / len(found)
    series = orjson.loads(found[-1][1])["series"]
    if len(series) != CARDS:
        raise WrongAnswer(f"{len(series)} series in the chart of {CARDS} cards")
    note = f"{DAY_TIMES * CARDS} samples, 300 points, median of {len(found)}; CPU {cpu:.0f} ms"
    report.at_most("chart of one job's 24 hours, 8 cards at 5 s", median([took for took, _ in found]), 50, "ms", note)


def _now_ms() -> int:
    return round(time.time() * 1000)
