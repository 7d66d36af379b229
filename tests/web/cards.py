"""Jobs whose cards were read: what a collector would have sent."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from .conftest import Service

MINUTE = 60.0
Use = Callable[[int, int, float], float | None]  # worker, card, minutes since the start -> percent


def rfc3339(seconds: float) -> str:
    whole, part = divmod(round(seconds * 1000), 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{part:03d}Z"


def send(service: Service, job: str, task: str, **lists: object) -> None:
    body = json.dumps({"job": job, "task": task, **lists}).encode()
    service.call("POST", "/samples", body)


def readings(device: int, at: float, percent: float | None) -> dict[str, object]:
    """One sample of a card: its memory, power and heat are told by its use."""
    one: dict[str, object] = {"at": rfc3339(at), "device": device, "kind": "gpu", "utilization_percent": percent}
    if percent is not None:
        one["memory_used_bytes"], one["memory_total_bytes"] = (20 + device) * 2**30, 32 * 2**30
        one["power_watts"], one["temperature_celsius"] = 60 + 2 * percent, 30 + percent / 2
    return one


def train(
    service: Service,
    job: str,
    use: Use,
    *,
    start: float,
    minutes: float,
    workers: int = 1,
    cards: int = 1,
    every: float = 1.0,
    **described: object,
) -> None:
    """A job that ran from `start` on, its cards read each so many minutes."""
    service.describe(job, created_at=rfc3339(start), **described)
    moments = [every * n for n in range(round(minutes / every) + 1)]
    for worker in range(workers):
        samples = [
            readings(card, start + MINUTE * minute, use(worker, card, minute))
            for minute in moments
            for card in range(cards)
        ]
        send(service, job, f"worker-{worker}", samples=samples)
