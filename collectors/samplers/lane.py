"""One sampler in a thread of its own: asked every few seconds, cut off where it hangs, asked again less often."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Optional

from collectors.samplers import CUT_SECONDS, OPEN_SECONDS, Absent, Failed, Hung, Reading, Sampler

RETRY_CEILING_SECONDS = 60.0  # between two attempts at one that fails or is absent
COST_SHARE = 0.005  # of a core, at most, for one sampler's thread: a dearer one is asked less often, down to
COST_CEILING_SECONDS = 60.0  # from one sample to the next

OK, FAILED, HUNG, ABSENT = "ok", "failed", "hung", "absent"

Deliver = Callable[[float, Sequence[Reading]], None]  # when they were taken (seconds since 1970), and what


@dataclass(frozen=True)
class Condition:
    """
    How a sampler is.

    Attributes:
        state: ok, failed, hung, absent.
        reason: in words; of one that is ok, what it could not read.
        since: monotonic seconds.
        sampled_at: monotonic seconds; None: it has never read anything.
    """

    name: str
    state: str
    reason: str
    since: float
    sampled_at: Optional[float]


@dataclass(frozen=True)
class Clock:
    """Time, that tests move by hand."""

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time


class Lane:
    """
    Asks one sampler until stopped.

    A thread that hangs in its sampler cannot be ended: it is left where it is, nothing is started beside it, and it
    goes on when the sampler returns. What it brings then is too old and is dropped.
    """

    def __init__(self, sampler: Sampler, every_seconds: float, deliver: Deliver, clock: Clock) -> None:
        self.name = sampler.name
        self._sampler, self._every, self._deliver, self._clock = sampler, every_seconds, deliver, clock
        self._stop = threading.Event()
        self._thread: Optional[threading.Thread] = None
        self._state, self._reason, self._since = ABSENT, "not asked yet", clock.monotonic()
        self._busy: tuple[Optional[float], float] = (None, CUT_SECONDS)  # since when, and how long it may be
        self._sampled_at: Optional[float] = None
        self._is_open = False
        self._failures = 0

    def start(self) -> None:
        """Begin; a second call changes nothing, unless the first one got no thread."""
        if self._thread is None:
            thread = threading.Thread(target=self._run, name=f"sampler {self.name}", daemon=True)
            try:
                thread.start()
            except RuntimeError as exc:  # the container may have no more
                self._set(FAILED, str(exc))
                return
            self._thread = thread

    def stop(self) -> None:
        """Ask no more; a sample that is being taken is not waited for, nor kept. May be called twice."""
        self._stop.set()

    @property
    def condition(self) -> Condition:
        """How it is now; from any thread."""
        busy_since, limit = self._busy
        now = self._clock.monotonic()
        if busy_since is not None and now - busy_since > limit:
            return Condition(self.name, HUNG, f"no answer for {now - busy_since:.0f} s", busy_since, self._sampled_at)
        return Condition(self.name, self._state, self._reason, self._since, self._sampled_at)

    def turn(self) -> float:
        """Ask once; returns seconds until the next time."""
        began, cost = self._clock.monotonic(), time.thread_time()
        try:
            if not self._is_open:
                self._busy = (began, OPEN_SECONDS)
                self._sampler.open()
                self._is_open = True
            asked, wall = self._clock.monotonic(), self._clock.wall()
            self._busy = (asked, CUT_SECONDS)
            readings = self._sampler.sample()
            took = self._clock.monotonic() - asked
            if took > CUT_SECONDS:
                raise Hung(f"it took {took:.0f} s")
        except Absent as exc:
            self._set(ABSENT, str(exc))
        except Hung as exc:
            self._set(HUNG, str(exc))
        except Failed as exc:
            self._set(FAILED, str(exc))
        except Exception as exc:  # a sampler's own mistake ends that sampler's sample, and nothing else
            self._set(FAILED, f"{type(exc).__name__}: {exc}")
        else:
            self._sampled_at = asked
            self._set(OK, self._sampler.remark)
            if not self._stop.is_set():
                self._deliver(wall, readings)
        finally:
            self._busy = (None, CUT_SECONDS)
        rest = max(self._every, min((time.thread_time() - cost) / COST_SHARE, COST_CEILING_SECONDS))
        if self._state != OK:
            self._sampler.close()
            self._is_open = False
            self._failures += 1
            return max(rest, min(RETRY_CEILING_SECONDS, self._every * 2 ** min(self._failures - 1, 10)))
        self._failures = 0
        return max(0.0, began + rest - self._clock.monotonic())

    def _run(self) -> None:
        try:
            rest = self.turn()
            while not self._stop.wait(rest):
                rest = self.turn()
        finally:
            self._sampler.close()

    def _set(self, state: str, reason: str) -> None:
        if state != self._state:
            self._since = self._clock.monotonic()
        self._state, self._reason = state, reason
