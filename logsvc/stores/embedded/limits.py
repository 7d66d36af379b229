"""When a search stops before its end."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass


class Cancelled(Exception):
    """Nobody waits for the answer any more."""


@dataclass
class Limits:
    """When to stop."""

    deadline: float  # of `time.monotonic`
    cancelled: threading.Event

    @property
    def passed(self) -> bool:
        """Past the deadline; raises Cancelled."""
        if self.cancelled.is_set():
            raise Cancelled
        return time.monotonic() > self.deadline
