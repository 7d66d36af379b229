"""Whether there may be other names in the folders than the last scan saw: a look at each folder, not at each file."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import NamedTuple, Optional

SETTLED_SECONDS = 3.0  # listed this long after it changed, a folder has no name that its time does not show


class Listed(NamedTuple):
    """A folder as it was listed, or a name that led nowhere (`modified_ns` None)."""

    modified_ns: Optional[int]
    since: float  # monotonic seconds: first listed with this time
    at: float


class Folders:
    """
    The folders of a scan and their times of modification.

    Those times may be coarse, and another machine's: they are compared with each other only, and a
    folder that was listed soon after its time changed is listed again.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._listed: dict[str, Listed] = {}
        self._before: dict[str, Listed] = {}

    def begin(self) -> None:
        """A scan begins."""
        self._before, self._listed = self._listed, {}

    def note(self, name: str, modified_ns: Optional[int]) -> None:
        """A folder is about to be listed; or, with None, a name leads nowhere now."""
        now, before = self._clock(), self._before.get(name)
        since = before.since if before and before.modified_ns == modified_ns else now
        self._listed[name] = Listed(modified_ns, since, now)

    def names(self) -> list[str]:
        """The folders that the last scan has listed."""
        return [name for name, listed in self._listed.items() if listed.modified_ns is not None]

    def changed(self) -> bool:
        """Whether another scan may find other names."""
        return any(
            listed.modified_ns != _modified_ns(name)
            or (listed.modified_ns is not None and listed.at - listed.since < SETTLED_SECONDS)
            for name, listed in self._listed.items()
        )


def _modified_ns(name: str) -> Optional[int]:
    try:
        return os.stat(name).st_mtime_ns
    except OSError:
        return None
