"""Time as it passes, for the port `Clock`; and RFC 3339 for people and programs."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class SystemClock:
    """The machine's time."""

    def now(self) -> float:
        """Unix seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds from some start, never going back."""
        return time.monotonic()


def rfc3339(seconds: float | None) -> str | None:
    """Unix seconds as `2026-11-20T12:00:00.000Z`; None stays None."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
