"""From samplers to the service: each in a lane of its own, one sender with a connection of its own.

Nothing here waits for the sending of logs, nor that for anything here. What cannot be sent waits packed in memory,
within a bound; what then has no room is dropped, the oldest first, and said.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Optional

from collectors.client import Client, Refused, Say, Unavailable
from collectors.samplers import CUT_SECONDS, DeviceReading, Reading, Sampler
from collectors.samplers.backlog import Backlog, Body, entries_of
from collectors.samplers.cards import Home
from collectors.samplers.command import end_helpers
from collectors.samplers.lane import ABSENT, OK, Clock, Condition, Lane
from collectors.samplers.render import Taken, bodies, portions
from collectors.shipper import LATER

ENDED = ("succeeded", "failed", "stopped")
GATHER_SECONDS = 1.0  # what the samplers read at about the same time goes together
STATES_SECONDS = 60.0  # how samplers are is told so often, even where nothing is read
SEND_SECONDS = 5.0  # then what was read meanwhile is taken up, however much still waits
ENDED_SECONDS = 30.0  # so often the service is asked whether a job has ended
JOIN_SECONDS = 0.05
BACKOFF_SECONDS, BACKOFF_CEILING_SECONDS = 1.0, 60.0

Homes = Callable[[Sequence[DeviceReading]], Sequence[Home]]  # of all cards that were ever read


class Engine:
    """
    Samples until closed.

    Attributes:
        sent: readings that the service has taken.
        refused: readings that it will never take.
        problem: why nothing can be sent now.
    """

    def __init__(
        self,
        client: Client,
        cards: Sequence[tuple[Sampler, float]],
        others: Sequence[tuple[Sampler, float]],
        homes: Homes,
        say: Say,
        *,
        always: bool = False,
        may_end: bool = False,
        may_send: Callable[[], bool] = lambda: True,
        clock: Optional[Clock] = None,
        backlog: Optional[Backlog] = None,
    ) -> None:
        """
        Args:
            client: used by this engine alone.
            cards: samplers of cards, and seconds between two samples.
            others: of all else; asked once a card is found.
            homes: whose readings they are.
            always: ask the others even where there is no card.
            may_end: jobs may end without our knowing: the service is asked, and what their cards do then is not sent.
            may_send: false while the service must hear something else first: a sample makes its job.
        """
        self.sent = self.refused = 0
        self.problem: Optional[str] = None
        self.backlog = backlog or Backlog()
        self._client, self._homes, self._say, self._always = client, homes, say, always
        self._clock, self._may_send = clock or Clock(), may_send
        self._cards = [Lane(sampler, every, self._deliver, self._clock) for sampler, every in cards]
        self._others = [Lane(sampler, every, self._deliver, self._clock) for sampler, every in others]
        self._lock = threading.Lock()
        self._inbox: list[Taken] = []
        self._seen: dict[tuple[str, str], DeviceReading] = {}  # every card that was ever read, lost ones too
        self._fresh, self._stop = threading.Event(), threading.Event()
        self._deadline = float("inf")
        self._told: dict[str, str] = {}  # sampler -> state, as a person was told
        self._told_at = self._clock.monotonic()
        self._retry_at, self._failures = 0.0, 0
        self._expired: set[str] = set()
        self._may_end, self._ended, self._asked_at = may_end, frozenset[str](), float("-inf")
        self._thread = threading.Thread(target=self._run, name="samples", daemon=True)

    def start(self) -> None:
        """Begin."""
        for lane in [*self._cards, *(self._others if self._always else ())]:
            lane.start()
        self._thread.start()

    def stop_sampling(self) -> None:
        """The job is over: what its cards do now is not its doing. What waits is still sent."""
        for lane in self._lanes:
            lane.stop()

    def close(self, seconds: float = 0.0, *, is_over: Callable[[], bool] = lambda: False) -> None:
        """
        Sample no more, and try so long to send what waits; may be called twice.

        Args:
            is_over: asked meanwhile; true: nobody wants to wait any more.
        """
        if self._stop.is_set():
            return
        self.stop_sampling()
        self._deadline = self._clock.monotonic() + seconds
        self._stop.set()
        self._fresh.set()
        until = time.monotonic() + seconds
        try:
            while self._thread.is_alive() and (left := until - time.monotonic()) > 0 and not is_over():
                self._thread.join(min(left, JOIN_SECONDS))
        finally:
            end_helpers()
        if not self._thread.is_alive():
            self._client.close()
        if self.backlog.waiting:
            self._say(f"{self.backlog.waiting} readings of samplers are not sent: {self.problem or 'not in time'}")

    def conditions(self) -> list[Condition]:
        """How the samplers are; without those of families that never were here."""
        found = [lane.condition for lane in self._lanes]
        return [
            condition
            for lane, condition in zip(self._lanes, found)
            if condition.state != ABSENT or condition.sampled_at is not None
        ]

    def report(self) -> dict[str, Any]:
        """For `status` and /metrics; from any thread."""
        now = self._clock.monotonic()
        return {
            "samplers": [
                {
                    "name": condition.name,
                    "state": condition.state,
                    "reason": condition.reason,
                    "state_seconds": now - condition.since,
                    "sampled_seconds_ago": None if condition.sampled_at is None else now - condition.sampled_at,
                }
                for condition in self.conditions()
            ],
            "readings_sent": self.sent,
            "readings_waiting": self.backlog.waiting,
            "readings_dropped": self.backlog.dropped + self.refused,
            "problem": self.problem,
        }

    @property
    def _lanes(self) -> list[Lane]:
        return [*self._cards, *self._others]

    def _deliver(self, at: float, readings: Sequence[Reading]) -> None:
        """From a lane's thread."""
        with self._lock:
            self._inbox.append(Taken(at, readings))
        if any(isinstance(reading, DeviceReading) for reading in readings):
            for lane in self._others:
                lane.start()
        self._fresh.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            if self._fresh.wait(self._rest()) and not self._stop.is_set():
                self._stop.wait(GATHER_SECONDS)
            self._fresh.clear()
            try:
                self.turn()
            except Exception as exc:  # a mistake of ours costs a turn, not all that is read from now on
                self._fail(f"{type(exc).__name__}: {exc}", None, said=True)
        self.turn()
        while self.backlog.waiting and self._clock.monotonic() < self._deadline:
            threading.Event().wait(max(0.0, min(self._retry_at, self._deadline) - self._clock.monotonic()))
            self._send()

    def _rest(self) -> float:
        """Seconds until something is due even if nothing is read; a sampler that begins to hang does not say so."""
        due = self._told_at + STATES_SECONDS
        if self.backlog.waiting:
            due = min(due, self._retry_at)
        longest = CUT_SECONDS if self._told else STATES_SECONDS
        return min(longest, max(0.05, due - self._clock.monotonic()))

    def turn(self) -> None:
        """Take what was read, and send what can be sent."""
        with self._lock:
            taken, self._inbox = self._inbox, []
        for reading in (reading for entry in taken for reading in entry.readings):
            if isinstance(reading, DeviceReading):
                self._seen[reading.kind, reading.device] = reading
        for body in self._bodies(taken):
            dropped = self.backlog.add(body)
            if dropped:
                self._say(f"no room for more samples: {self.backlog.dropped} readings are lost, the oldest first")
        self._tell()
        if self._clock.monotonic() >= self._retry_at or self._stop.is_set():
            self._send()

    def _bodies(self, taken: Sequence[Taken]) -> list[Body]:
        conditions = self.conditions()
        changed = {condition.name: condition.state for condition in conditions} != self._told
        due = self._clock.monotonic() >= self._told_at + STATES_SECONDS
        if not (taken or changed or due):
            return []
        self._told_at = self._clock.monotonic()
        if not conditions:
            return []
        cards = list(self._seen.values())
        here = self._homes(cards)
        self._look_for_ends({home.job for home in here})
        homes = [home for home in here if home.job not in self._expired and home.job not in self._ended]
        made = [body for portion in portions(taken) for body in bodies(portion, cards, homes, conditions)]
        return [body for body in made if entries_of(body) or body["samplers"]]

    def _look_for_ends(self, jobs: set[str]) -> None:
        now = self._clock.monotonic()
        if not self._may_end or now < max(self._asked_at + ENDED_SECONDS, self._retry_at):
            return
        self._asked_at = now
        try:
            known = {job: self._client.job(job) for job in sorted(jobs - self._expired)}
        except (Unavailable, Refused):
            return  # whether they have ended is asked again; what is read meanwhile is kept
        self._ended = frozenset(job for job, fields in known.items() if fields and fields.get("status") in ENDED)

    def _tell(self) -> None:
        """A line for a person where a sampler's state has changed; not for the first good one."""
        told = {}
        for condition in self.conditions():
            before = self._told.get(condition.name)
            told[condition.name] = condition.state
            if condition.state == before or (before is None and condition.state == OK):
                continue
            words = "samples again" if condition.state == OK else f"{condition.state}: {condition.reason}"
            self._say(f"sampler {condition.name} {words}")
        self._told = told

    def _send(self) -> None:
        """What waits, in order, until the service cannot take more, or for some seconds."""
        if not self._may_send():
            self._retry_at = self._clock.monotonic() + BACKOFF_SECONDS
            return
        alone = self._failures > 0  # a service that is away is asked with little
        until = self._clock.monotonic() + SEND_SECONDS
        while self._clock.monotonic() < until and (body := self.backlog.first(alone=alone)) is not None:
            try:
                self._client.call_json("POST", "/samples", body)
            except Unavailable as exc:
                self._fail(str(exc), exc.retry_after_seconds, said=exc.refused)
                return
            except Refused as exc:
                if exc.code in LATER:
                    self._fail(f"{self._client.server}: {exc}", exc.detail.get("retry_after_seconds"))
                    return
                if exc.code == "expired":
                    self._expired.add(body["job"])
                    self.backlog.forget(body["job"])
                elif not alone:
                    alone = True  # one of them is the cause
                    continue
                else:
                    self.refused += self.backlog.taken()
                self._say(f"{self._client.server} does not take samples of {body['job']}: {exc}")
            else:
                self.sent += self.backlog.taken()
                if self._failures:
                    self._failures, self.problem = 0, None
            alone = False

    def _fail(self, problem: str, retry_after_seconds: object, *, said: bool = False) -> None:
        self._failures += 1
        ceiling = min(BACKOFF_CEILING_SECONDS, BACKOFF_SECONDS * 2 ** min(self._failures - 1, 10))
        wait = random.uniform(ceiling / 2, ceiling)
        if isinstance(retry_after_seconds, (int, float)):
            wait += retry_after_seconds
        self._retry_at = self._clock.monotonic() + wait
        self.problem = problem
        if said and self._failures == 1:
            self._say(f"samples: {problem}; trying again")
