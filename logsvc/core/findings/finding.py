"""What a rule says of a job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """
    Something wrong with a job.

    Attributes:
        reason: what was seen, an English sentence with its numbers.
        advice: what to try.
        numbers: by name, units in the names.
        since_ms: when it began, where the readings tell; None: when it was first found.
        tasks, devices: those concerned, where it is not all of them; devices are (task, device).
        from_ms, to_ms: of a finding about a span of time; to_ms None: it lasts.
        lines: (stream, line number) that show it.
    """

    name: str
    reason: str
    advice: str
    numbers: Mapping[str, float | int]
    since_ms: int | None = None
    tasks: tuple[str, ...] = ()
    devices: tuple[tuple[str, str], ...] = ()
    from_ms: int | None = None
    to_ms: int | None = None
    lines: tuple[tuple[str, int], ...] = ()
