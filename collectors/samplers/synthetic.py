"""Cards out of a file of readings: for tests, and for showing what the service makes of them.

One JSON object a line; empty lines and lines that begin with `#` are passed over:

    {"loop_seconds": 60}
    {"at": 0, "device": 0, "kind": "npu", "utilization_percent": 93.5, "power_watts": 300}
    {"at": 20, "device": 0, "kind": "npu", "utilization_percent": null}
    {"at": 30, "device": 0, "kind": "npu"}

A line holds for its card from `at` on (seconds since the sampler was opened) until the next line of
that card. null and −1 are no reading; a line without any reading is a gap: the card is not sampled.
A line without `at` counts from when it is read: the file may be written while it is sampled. With
`loop_seconds`, which stands first, time begins again after so long.
"""

from __future__ import annotations

import json
import math
import time
from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Optional

from collectors.samplers import DeviceReading, Failed, Reading
from collectors.samplers.text import NotUnderstood, shown

KINDS = ("npu", "gpu")
LIMITS = {  # of each reading, both ends included
    "utilization_percent": (0.0, 100.0),
    "memory_used_bytes": (0.0, math.inf),
    "memory_total_bytes": (0.0, math.inf),
    "power_watts": (0.0, math.inf),
    "temperature_celsius": (-273.15, math.inf),
    "process_count": (0.0, 1e6),
}
LINE_BYTES = 64 << 10
FILE_BYTES = 64 << 20


class Line(NamedTuple):
    """What holds for a card from then on. `reading`: None: a gap."""

    at: Optional[float]  # seconds; None: from when it is read
    device: str
    kind: str
    reading: Optional[DeviceReading]


class _Played(NamedTuple):
    """Of one card, in order of time."""

    times: list[float]
    readings: list[Optional[DeviceReading]]


class Synthetic:
    """Plays a file. See `Sampler`."""

    name = "synthetic"

    def __init__(self, file: Path, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`monotonic`: seconds."""
        self.remark = ""
        self._file, self._monotonic = file, monotonic
        self._began: Optional[float] = None
        self._offset, self._count = 0, 0
        self._loop: Optional[float] = None
        self._played: dict[tuple[str, str], _Played] = {}

    def open(self) -> None:
        """Time begins; the file is read again from its begin."""
        self._began, self._offset, self._count, self._loop = self._monotonic(), 0, 0, None
        self._played = {}
        self._read(0.0)

    def sample(self) -> list[Reading]:
        """What holds now."""
        if self._began is None:
            self.open()
        now = self._monotonic() - (self._began or 0.0)
        self._read(now)
        if self._loop is not None:
            now %= self._loop
        found: list[Reading] = []
        for played in self._played.values():
            at = bisect_right(played.times, now) - 1
            reading = played.readings[at] if at >= 0 else None
            if reading is not None:
                found.append(reading)
        return found

    def close(self) -> None:
        """Nothing is kept open."""

    def _read(self, now: float) -> None:
        """Whole lines that have come since."""
        try:
            with self._file.open("rb") as file:
                file.seek(self._offset)
                data = file.read(FILE_BYTES + 1)
        except OSError as exc:
            raise Failed(f"{self._file}: {exc.strerror}") from exc
        if self._offset + len(data) > FILE_BYTES:
            raise Failed(f"{self._file}: more than {FILE_BYTES:,} bytes")
        whole = data[: data.rfind(b"\n") + 1]
        for raw in whole.splitlines():
            self._count += 1
            what = f"{self._file} line {self._count}"
            line = parse(raw, what, is_first=not self._played and self._loop is None)
            if isinstance(line, float):
                self._loop = line
            elif line is not None:
                played = self._played.setdefault((line.kind, line.device), _Played([], []))
                at = now if line.at is None else line.at
                if played.times and at < played.times[-1]:
                    raise NotUnderstood(f"{what}: 'at' goes back, from {played.times[-1]:g} to {at:g}")
                played.times.append(at)
                played.readings.append(line.reading)
        self._offset += len(whole)


def parse(raw: bytes, what: str, *, is_first: bool) -> Line | float | None:
    """
    One line: what holds from then on, the seconds of a loop, or None: nothing.

    Args:
        what: which line, for sentences.
        is_first: `loop_seconds` may stand here.

    Raises: NotUnderstood.
    """
    text = raw[: LINE_BYTES + 1].decode("utf-8", "replace").strip()
    if not text or text.startswith("#"):
        return None
    try:
        value = json.loads(text) if len(raw) <= LINE_BYTES else None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise NotUnderstood(f"{what}: {shown(text)} is no JSON object")
    if "loop_seconds" in value:
        loop = value["loop_seconds"]
        if not is_first or len(value) > 1 or not _is_number(loop) or not 0 < loop < 1e9:
            raise NotUnderstood(f"{what}: loop_seconds is a number above 0, alone in the first line")
        return float(loop)
    return _line(value, what)


def _line(value: dict[str, Any], what: str) -> Line:
    unknown = value.keys() - LIMITS.keys() - {"at", "device", "kind"}
    if unknown:
        raise NotUnderstood(f"{what}: {shown(sorted(unknown)[0])} is no reading; known are {', '.join(LIMITS)}")
    at = value.get("at")
    if at is not None and not (_is_number(at) and 0 <= at < 1e9):
        raise NotUnderstood(f"{what}: 'at' is no number of seconds from 0")
    device, kind = value.get("device"), value.get("kind", "npu")
    if isinstance(device, bool) or not isinstance(device, (int, str)) or not _is_device(str(device)):
        raise NotUnderstood(f"{what}: 'device' is the index of a card, as in 0 or \"0:2\"")
    if kind not in KINDS:
        raise NotUnderstood(f"{what}: 'kind' is npu or gpu")
    readings = {name: _reading(value[name], name, what) for name in LIMITS if name in value}
    reading = DeviceReading(str(device), kind, **readings) if readings else None
    return Line(None if at is None else float(at), str(device), kind, reading)


def _reading(value: Any, name: str, what: str) -> Any:
    if value is None or (_is_number(value) and value == -1) or value != value:  # the last: NaN
        return None
    low, high = LIMITS[name]
    if not _is_number(value) or not low <= value <= high:
        raise NotUnderstood(f"{what}: {name} is {shown(str(value))}, not a number from {low:g} to {high:g}")
    return int(value) if name == "process_count" else float(value)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300


def _is_device(text: str) -> bool:
    card, colon, instance = text.partition(":")
    return all(part.isascii() and part.isdigit() and len(part) < 10 for part in ([card, instance] if colon else [card]))
