"""Numbers and names in the sentences of findings."""

from __future__ import annotations

import math
from collections.abc import Sequence

NAMED = 3  # things that a sentence names before it counts the rest


def span(seconds: float) -> str:
    """A time in the largest units that say enough: `45 seconds`, `12 minutes`, `3 h 20 min`."""
    whole = round(seconds)
    if whole < 120:
        return "a second" if whole == 1 else f"{whole} seconds"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} minutes"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours / 24:.1f} days"


def percent(value: float) -> str:
    """At most two digits behind the point, never rounded up to a limit that the value lies below."""
    return f"{math.floor(value * 100) / 100:g} %"


def some(names: Sequence[str]) -> str:
    """`worker-0, worker-1, worker-2 and 5 more`."""
    if len(names) > NAMED + 1:
        return f"{', '.join(names[:NAMED])} and {len(names) - NAMED} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def cards(devices: Sequence[tuple[str, str]]) -> str:
    """`card 3 of worker-1, card 4 of worker-1`."""
    return some([f"card {device} of {task}" for task, device in devices])
