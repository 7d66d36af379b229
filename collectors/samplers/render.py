"""Readings as bodies of POST /samples: one for each task that is here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple

from collectors.samplers import DeviceReading, MountReading, ProcessReading, Reading
from collectors.samplers.backlog import BODY_ENTRIES, Body
from collectors.samplers.cards import Home, owners
from collectors.samplers.lane import Condition

# What lies outside is no reading but a way to say that there is none (-1, 2**64 - 1, 101 %), or that there is no end:
# file systems over an object store are as large as numbers go.
BYTES = (0.0, 2.0**63)
BOUNDS = {
    "utilization_percent": (0.0, 100.0),
    "memory_used_bytes": BYTES,
    "memory_total_bytes": BYTES,
    "power_watts": (0.0, 1e6),
    "temperature_celsius": (-273.15, 1e4),
    "process_count": (0.0, 1e6),
    "read_bytes": BYTES,
    "write_bytes": BYTES,
    "cpu_percent": (0.0, 100.0),
    "used_bytes": BYTES,
    "total_bytes": BYTES,
}
REASON_CHARACTERS = 500


class Taken(NamedTuple):
    """What one sampler read, and when: seconds since 1970."""

    at: float
    readings: Sequence[Reading]


def portions(taken: Sequence[Taken]) -> Iterator[list[Taken]]:
    """As much as goes into one request, in order; the last may be empty. Much may have come while nothing was sent."""
    portion: list[Taken] = []
    entries = 0
    for entry in taken:
        if portion and entries + len(entry.readings) > BODY_ENTRIES:
            yield portion
            portion, entries = [], 0
        portion.append(entry)
        entries += len(entry.readings)
    yield portion


def bodies(
    taken: Sequence[Taken],
    seen: Sequence[DeviceReading],
    homes: Sequence[Home],
    conditions: Sequence[Condition],
) -> list[Body]:
    """
    Args:
        seen: every card that was ever read here.
        homes: the tasks that are here; without one nothing can be sent.
        conditions: of the samplers.
    """
    made = {(home.job, home.task): _body(home, conditions) for home in homes}
    for entry in taken:
        at = datetime.fromtimestamp(entry.at, timezone.utc).isoformat(timespec="milliseconds")
        for reading in entry.readings:
            for home in _homes_of(reading, seen, homes):
                name, rendered = _rendered(reading, at)
                made[home.job, home.task].setdefault(name, []).append(rendered)
    return list(made.values())


def _body(home: Home, conditions: Sequence[Condition]) -> Body:
    states = [
        {"name": entry.name, "state": entry.state, "reason": entry.reason[:REASON_CHARACTERS]} for entry in conditions
    ]
    body: Body = {"job": home.job, "task": home.task, "samplers": states}
    if home.hang_minutes is not None:
        body["hang_detect_minutes"] = home.hang_minutes
    return body


def _homes_of(reading: Reading, seen: Sequence[DeviceReading], homes: Sequence[Home]) -> Sequence[Home]:
    if isinstance(reading, DeviceReading):
        return owners(reading, seen, homes)
    if isinstance(reading, ProcessReading):
        return [home for home in homes if reading.pid in home.pids]
    return homes


def _rendered(reading: Reading, at: str) -> tuple[str, dict[str, Any]]:
    """The list that it belongs to, and its JSON."""
    values = {
        name: value
        for name, value in reading._asdict().items()
        if name in BOUNDS and value is not None and BOUNDS[name][0] <= value <= BOUNDS[name][1]
    }
    if isinstance(reading, DeviceReading):
        return "samples", {"at": at, "device": reading.device, "kind": reading.kind, **values}
    if isinstance(reading, ProcessReading):
        return "process_io", {"at": at, "pid": reading.pid, **values}
    if isinstance(reading, MountReading):
        return "mounts", {"at": at, "path": reading.path, "read_only": reading.read_only, **values}
    return "host", {"at": at, **values}
