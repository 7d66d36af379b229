"""Readings of a job's devices and of what surrounds them: nouns of samples.

A series is what one thing gives over time: a card, a process, a mount, the host of a task. Its kind
says which readings a sample of it has, in which order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Optional

DEVICE_KINDS = ("npu", "gpu")
_DEVICE = (
    "utilization_percent",
    "memory_used_bytes",
    "memory_total_bytes",
    "power_watts",
    "temperature_celsius",
    "process_count",  # processes that hold the card
)
READINGS = {
    "npu": _DEVICE,
    "gpu": _DEVICE,
    "process": ("read_bytes", "write_bytes"),  # since the process began; a pid used again begins again
    "host": ("cpu_percent", "memory_used_bytes", "memory_total_bytes"),  # of 100 for all cores; of the container
    "mount": ("used_bytes", "total_bytes", "read_only"),  # read_only: 1 or 0
    "log": ("lines", "bytes"),  # what came from the task since the sample before
}

Values = tuple[Optional[float], ...]


class SeriesName(NamedTuple):
    """
    Which series of a job.

    Attributes:
        task: as in `worker-0`.
        kind: one of `READINGS`.
        name: device (`0`; `0:2` is instance 2 of a partitioned card), pid, mount path; empty for
            `host` and `log`.
    """

    task: str
    kind: str
    name: str


@dataclass(frozen=True)
class Sample:
    """
    One sample of a series.

    Attributes:
        at_ms: when it was taken, Unix milliseconds.
        values: as `READINGS[series.kind]`; None: no reading.
    """

    series: SeriesName
    at_ms: int
    values: Values


@dataclass(frozen=True)
class SampleQuery:
    """
    Which samples of a job, [start_ms, end_ms).

    Attributes:
        kinds: any of these.
        tasks, names: any of these; None: all.
        readings: any of these, where the kind has them; None: all.
    """

    start_ms: int
    end_ms: int
    kinds: tuple[str, ...] = DEVICE_KINDS
    tasks: Optional[frozenset[str]] = None
    names: Optional[frozenset[str]] = None
    readings: Optional[frozenset[str]] = None


@dataclass(frozen=True)
class Pooled:
    """
    All utilization readings of one card since the job began, exactly.

    Attributes:
        sum_micropercent: each reading rounded to a millionth of a percent.
        count: readings; samples without one do not count.
        first_ms, last_ms: of the readings counted.
    """

    series: SeriesName
    sum_micropercent: int
    count: int
    first_ms: int
    last_ms: int
