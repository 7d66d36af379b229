"""Prometheus names of the service, in a registry of their own: two services in one process do not meet."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.registry import Collector

from logsvc.model.chunk import Chunk

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
WEBHOOK_RESULTS = ("delivered", "failed", "expired", "dropped")
STORE_BYTES_AGE_SECONDS = 10.0  # walking a thousand segment files takes milliseconds; a scraper may be impatient
CALLS = ("ingest", "samples", "lines", "search", "jobs", "utilization", "other")
REQUEST_SECONDS = (0.005, 0.02, 0.1, 0.5, 2.0, 10.0)


class Prepared(Collector):
    """A collector that is told on the event loop, in good time, that it will be asked."""

    async def prepare(self) -> None:
        """Get ready for `collect`, which runs in a thread."""
        raise NotImplementedError


class Metrics:
    """What the service counts."""

    def __init__(
        self,
        *,
        followers: Callable[[], int] = lambda: 0,
        store_folder: Path | None = None,
        version: str = "0",
    ) -> None:
        self._store_folder = store_folder
        self._measured_at = float("-inf")
        self._prepared: list[Prepared] = []
        disable_created_metrics()
        self.registry = CollectorRegistry()
        self.ingest_bytes = Counter(
            "logsvc_ingest_bytes", "Bytes of log acknowledged, unfolded.", registry=self.registry
        )
        self.ingest_lines = Counter("logsvc_ingest_lines", "Lines of log acknowledged.", registry=self.registry)
        self.samples = Counter("logsvc_samples", "Samples stored, each once.", registry=self.registry)
        self.ingest_errors = Counter(
            "logsvc_ingest_errors",
            "Chunks and reports of samples that were refused, by the code of their error.",
            ["code"],
            registry=self.registry,
        )
        for code in ("store_unavailable", "disk_full", "internal"):  # what alerts are made of starts at 0
            self.ingest_errors.labels(code)
        self._requests = Histogram(
            "logsvc_request_duration_seconds",
            "Time from a request to the end of its answer.",
            ["call"],
            buckets=REQUEST_SECONDS,
            registry=self.registry,
        )
        self._requests_of = {call: self._requests.labels(call) for call in CALLS}
        Gauge("logsvc_build_info", "Version of the service; always 1.", ["version"], registry=self.registry).labels(
            version
        ).set(1)
        self.webhook_deliveries = Counter(
            "logsvc_webhook_deliveries",
            "Attempts to reach the webhook, and events that were given up.",
            ["result"],
            registry=self.registry,
        )
        for result in WEBHOOK_RESULTS:
            self.webhook_deliveries.labels(result)
        self._followers = Gauge("logsvc_followers", "Connections that follow a stream.", registry=self.registry)
        self._followers.set_function(followers)
        self._store_bytes = Gauge("logsvc_store_bytes", "Bytes on disk of the data folder.", registry=self.registry)
        self._free = Gauge(
            "logsvc_store_free_bytes", "Bytes that the data folder may still take on its disk.", registry=self.registry
        )
        self._capacity = Gauge(
            "logsvc_store_capacity_bytes", "Bytes of the disk that holds the data folder.", registry=self.registry
        )

    def add(self, collector: Prepared) -> None:
        """Expose these series too."""
        self._prepared.append(collector)
        self.registry.register(collector)

    def answered(self, call: str, seconds: float) -> None:
        """A request was answered; `call` is one of `CALLS`."""
        self._requests_of[call].observe(seconds)

    def acknowledged(self, chunks: Sequence[Chunk]) -> None:
        """Count the chunks of one commit."""
        self.ingest_bytes.inc(sum(len(chunk.data) for chunk in chunks))
        self.ingest_lines.inc(sum(chunk.data.count(b"\n") for chunk in chunks))

    async def exposition(self) -> bytes:
        """The text that Prometheus reads."""
        if self._store_folder is not None and time.monotonic() - self._measured_at > STORE_BYTES_AGE_SECONDS:
            self._measured_at = time.monotonic()
            self._store_bytes.set(await asyncio.to_thread(_size_of, self._store_folder))
            self._measure_disk(self._store_folder)
        for collector in self._prepared:
            await collector.prepare()
        return await asyncio.to_thread(generate_latest, self.registry)

    def _measure_disk(self, folder: Path) -> None:
        try:
            disk = shutil.disk_usage(folder)
        except OSError:
            return  # the store tells of it
        self._free.set(disk.free)
        self._capacity.set(disk.total)


def _size_of(folder: Path) -> int:
    """Disk bytes below a folder; files that vanish meanwhile count nothing."""
    total = 0
    for base, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(base, name)).st_blocks * 512
            except OSError:
                continue
    return total
