"""Logs of any task and kind, sent as a collector would."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable

from .conftest import Service


def ship(service: Service, job: str, task: str, data: str, *, path: str = "", generation: int = 0) -> None:
    """Bytes at the end of a task's own log, or of another of its files."""
    path = path or f"modelarts-job-{job}-{task}.log"
    key = (job, path, generation)
    offset = service.sent.get(key, 0)
    raw = data.encode()
    query = {"job": job, "task": task, "path": path, "generation": generation, "offset": offset}
    service.call("POST", "/chunks", raw, **query)
    service.sent[key] = offset + len(raw)


def ship_many(service: Service, job: str, files: Iterable[tuple[str, str, str]]) -> None:
    """(task, path, text) each: whole new files, in one batch."""
    frames = bytearray()
    for task, path, text in files:
        raw = text.encode()
        head = {
            "job": job,
            "task": task,
            "path": path,
            "generation": 0,
            "offset": 0,
            "length": len(raw),
            "final": False,
        }
        packed = json.dumps(head).encode()
        frames += struct.pack("<I", len(packed)) + packed + raw
    service.call("POST", "/batch", bytes(frames))
