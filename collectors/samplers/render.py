"""Readings as bodies of POST /samples: one for each task that is here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple

from collectors.samplers import DeviceReading, HostReading, MountReading, ProcessReading, Reading
from collectors.samplers.backlog import Body
from collectors.samplers.cards import Home, owners
from collectors.samplers.lane import Condition

# What lies outside is no reading but a driver's way to say that it has none: -1, 2**64 - 1, 101 %.
BOUNDS = {
    "utilization_percent": (0.0, 100.0),
    "memory_used_bytes": (0.0, 2.0**63),
    "memory_total_bytes": (0.0, 2.0**63),
    "power_watts": (0.0, 1e6),
    "temperature_celsius": (-273.15, 1e4),
    "process_count": (0.0, 1e6),
}
REASON_CHARACTERS = 500


class Taken(NamedTuple):
    """What one sampler read, and when: seconds since 1970."""

    at: float
    readings: Sequence[Reading]


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
    if isinstance(reading, DeviceReading):
        card: dict[str, Any] = {"at": at, "device": reading.device, "kind": reading.kind}
        for name, (low, high) in BOUNDS.items():
            value = getattr(reading, name)
            if value is not None and low <= value <= high:
                card[name] = value
        return "samples", card
    if isinstance(reading, ProcessReading):
        return "process_io", {
            "at": at,
            "pid": reading.pid,
            "read_bytes": reading.read_bytes,
            "write_bytes": reading.write_bytes,
        }
    if isinstance(reading, HostReading):
        values = {name: value for name, value in reading._asdict().items() if value is not None}
        return "host", {"at": at, **values}
    assert isinstance(reading, MountReading)
    return "mounts", {"at": at, **reading._asdict()}
