"""Readings as bodies of POST /samples: one for each task that is here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple, Optional

from collectors.samplers import DeviceReading, HostReading, MountReading, ProcessReading, Reading
from collectors.samplers.backlog import Body
from collectors.samplers.cards import Home, owners
from collectors.samplers.lane import Condition

_CARD = ("memory_used_bytes", "memory_total_bytes", "power_watts", "temperature_celsius", "process_count")


class Taken(NamedTuple):
    """What one sampler read, and when: seconds since 1970."""

    at: float
    readings: Sequence[Reading]


def bodies(
    taken: Sequence[Taken],
    seen: Sequence[DeviceReading],
    homes: Sequence[Home],
    conditions: Sequence[Condition],
    hang_minutes: Optional[float],
) -> list[Body]:
    """
    Args:
        seen: every card that was ever read here.
        homes: the tasks that are here; without one nothing can be sent.
        conditions: of the samplers.
    """
    made = {(home.job, home.task): _body(home, conditions, hang_minutes) for home in homes}
    for entry in taken:
        at = datetime.fromtimestamp(entry.at, timezone.utc).isoformat(timespec="milliseconds")
        for reading in entry.readings:
            for home in _homes_of(reading, seen, homes):
                name, rendered = _rendered(reading, at)
                made[home.job, home.task].setdefault(name, []).append(rendered)
    return list(made.values())


def _body(home: Home, conditions: Sequence[Condition], hang_minutes: Optional[float]) -> Body:
    states = [{"name": entry.name, "state": entry.state, "reason": entry.reason} for entry in conditions]
    body: Body = {"job": home.job, "task": home.task, "samplers": states}
    if hang_minutes is not None:
        body["hang_detect_minutes"] = hang_minutes
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
        use = reading.utilization_percent
        if use is not None and 0 <= use <= 100:  # a driver that says -1, or 101, says nothing
            card["utilization_percent"] = use
        for name in _CARD:
            value = getattr(reading, name)
            if value is not None and math.isfinite(value) and (value >= 0 or name == "temperature_celsius"):
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
