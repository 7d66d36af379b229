"""Prometheus names of the service, in a registry of their own: two services in one process do not meet."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics, generate_latest

from logsvc.model.chunk import Chunk

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
WEBHOOK_RESULTS = ("delivered", "failed", "expired", "dropped")
STORE_BYTES_AGE_SECONDS = 10.0  # walking a thousand segment files takes milliseconds; a scraper may be impatient


class Metrics:
    """What the service counts."""

    def __init__(self, *, followers: Callable[[], int] = lambda: 0, store_folder: Path | None = None) -> None:
        self._store_folder = store_folder
        self._measured_at = float("-inf")
        disable_created_metrics()
        self.registry = CollectorRegistry()
        self.ingest_bytes = Counter(
            "logsvc_ingest_bytes", "Bytes of log acknowledged, unfolded.", registry=self.registry
        )
        self.ingest_lines = Counter("logsvc_ingest_lines", "Lines of log acknowledged.", registry=self.registry)
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

    def acknowledged(self, chunks: Sequence[Chunk]) -> None:
        """Count the chunks of one commit."""
        self.ingest_bytes.inc(sum(len(chunk.data) for chunk in chunks))
        self.ingest_lines.inc(sum(chunk.data.count(b"\n") for chunk in chunks))

    async def exposition(self) -> bytes:
        """The text that Prometheus reads."""
        if self._store_folder is not None and time.monotonic() - self._measured_at > STORE_BYTES_AGE_SECONDS:
            self._measured_at = time.monotonic()
            self._store_bytes.set(await asyncio.to_thread(_size_of, self._store_folder))
        return generate_latest(self.registry)


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
