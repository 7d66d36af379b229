"""Tells a webhook when a flag of a job is raised and when it is cleared, for those without Grafana.

`tell` makes the event a record and comes back; the sending is this module's own, in tasks of its
own. So a slow or dead receiver slows nobody, and a restart forgets nothing. Events of one job go out
one after the other, each until the receiver takes it or its time is over: at least once, with an id
by which the receiver knows a repeat.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import random
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from logsvc.core.clock import rfc3339
from logsvc.core.jobs import started_at
from logsvc.core.periodic import repeat
from logsvc.model.delivery import WEBHOOK_KIND, Delivery
from logsvc.model.job import ENDED, JOB_KIND
from logsvc.ports import Clock, RecordStore, Webhook

SENDERS = 4  # requests at once, each of another job
LOOK_SECONDS = 1.0
FIRST_RETRY_SECONDS = 2.0
LAST_RETRY_SECONDS = 300.0  # a receiver that comes back hears of everything within this
MAX_WAITING = 10_000  # deliveries, a kilobyte each; beyond them the longest line loses its oldest
LIST_RECORDS = 1000

log = logging.getLogger(__name__)
Result = Literal["delivered", "failed", "expired", "dropped"]


@dataclass(frozen=True)
class Event:
    """
    A flag of a job was raised or cleared.

    Attributes:
        at: Unix seconds.
        name: of the flag: `low_utilization`, `hung`.
        reason, advice: sentences for people; `numbers` what they are about, JSON.
    """

    job: str
    at: float
    name: str
    change: Literal["raised", "cleared"]
    reason: str = ""
    advice: str = ""
    numbers: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The same whenever this event is told again."""
        named = f"{self.job}\0{self.name}\0{self.change}\0{round(self.at * 1000)}"
        return hashlib.sha256(named.encode()).hexdigest()[:32]


@dataclass
class Line:
    """Deliveries of one job, in order."""

    waiting: deque[Delivery] = field(default_factory=deque)
    due: float = 0.0  # monotonic seconds
    sending: bool = False

    @property
    def droppable(self) -> int:
        return len(self.waiting) - self.sending


class Notifier:
    """
    The events on their way to one receiver.

    Args:
        secret: signs each request.
        flags: the names of those that are told.
        grace_seconds: by flag, how long its job must have run before it is told.
        keep_seconds: from the event to giving up.
        viewer: address of the viewer, for links; None where it is not known.
        count: called with the outcome of each attempt, and with each event that is given up.
    """

    def __init__(
        self,
        records: RecordStore,
        clock: Clock,
        webhook: Webhook,
        *,
        secret: str,
        flags: Collection[str],
        grace_seconds: Mapping[str, float],
        keep_seconds: float,
        viewer: str | None,
        count: Callable[[Result], None] = lambda result: None,
    ) -> None:
        self._records, self._clock, self._webhook = records, clock, webhook
        self._secret, self._flags, self._grace = secret.encode(), frozenset(flags), dict(grace_seconds)
        self._keep_seconds, self._viewer, self._count = keep_seconds, viewer, count
        self._lines: dict[str, Line] = {}
        self._held: dict[tuple[str, str], Delivery] = {}  # by job and flag
        self._telling = asyncio.Lock()  # numbers are given in order
        self._next_number = 1
        self._failing = False

    async def open(self) -> None:
        """Take up what was on its way when the service ended."""
        after = ""
        while records := await self._records.list(WEBHOOK_KIND, after=after, limit=LIST_RECORDS):
            for record in records:
                delivery = Delivery(number=int(record.id), **record.value)
                self._next_number = delivery.number + 1
                if delivery.held_until:
                    self._held[delivery.job, delivery.flag] = delivery
                else:
                    self._line(delivery.job).waiting.append(delivery)
            after = records[-1].id

    async def tell(self, event: Event) -> None:
        """
        Send this event, now or as soon as the receiver can be reached; durable on return.

        Never waits for the receiver. An event told again while it is on its way is told once.

        Raises: StoreUnavailable, DiskFull: it was not taken, tell it again.
        """
        if event.name not in self._flags:
            return
        async with self._telling:
            held = self._held.get((event.job, event.name))
            if held and event.change == "cleared":
                await self._records.delete(WEBHOOK_KIND, held.record_id)
                del self._held[event.job, event.name]
            elif not held and not any(event.id == one.id for one in self._line(event.job).waiting):
                await self._take(event)

    async def run(self) -> None:
        """Send for ever."""
        await asyncio.gather(*(repeat(self.look, seconds=LOOK_SECONDS, name="webhook") for _ in range(SENDERS)))

    async def close(self) -> None:
        """Let go of the receiver; `run` has ended before. What is on its way stays a record."""
        await self._webhook.close()

    async def look(self) -> None:
        """Send what is due now, one request after the other."""
        await self._let_go()
        while (line := self._due()) is not None:
            line.sending, line.due = True, self._clock.monotonic() + FIRST_RETRY_SECONDS
            try:
                await self._attempt(line, line.waiting[0])
            finally:
                line.sending = False
        self._lines = {job: line for job, line in self._lines.items() if line.waiting or line.sending}

    async def _take(self, event: Event) -> None:
        record = await self._records.get(JOB_KIND, event.job)
        job: dict[str, Any] = record.value if record else {}
        now, held_until = self._clock.now(), 0.0
        if event.change == "raised" and event.name in self._grace:
            if not job or job["status"] in ENDED:
                return
            due = started_at(job) + self._grace[event.name]
            held_until = due if due > now else 0.0
        if len(self._held) + sum(len(line.waiting) for line in self._lines.values()) >= MAX_WAITING:
            await self._make_room()
        delivery = Delivery(
            number=self._next_number,
            id=event.id,
            job=event.job,
            flag=event.name,
            body=self._body(event, job),
            told_at=now,
            held_until=held_until,
        )
        await self._save(delivery)
        self._next_number += 1
        if held_until:
            self._held[event.job, event.name] = delivery
        else:
            self._line(event.job).waiting.append(delivery)

    def _body(self, event: Event, job: Mapping[str, Any]) -> str:
        link = f"{self._viewer}/#job={event.job}" if self._viewer else None
        body = {
            "delivery": event.id,
            "event": f"{event.name}.{event.change}",
            "at": rfc3339(event.at),
            "job": {
                "id": event.job,
                "name": job.get("name"),
                "owner": job.get("owner"),
                "status": job.get("status"),
                "url": link,
            },
            "finding": {
                "name": event.name,
                "reason": event.reason,
                "advice": event.advice,
                "numbers": dict(event.numbers),
            },
        }
        return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY).decode()

    async def _make_room(self) -> None:
        line = max(self._lines.values(), key=lambda line: line.droppable, default=None)
        if line is not None and line.droppable:
            oldest = line.waiting[int(line.sending)]
            await self._forget(line, oldest, "dropped")

    async def _let_go(self) -> None:
        """What was held and is still true joins its line."""
        now = self._clock.now()
        async with self._telling:
            for key, delivery in list(self._held.items()):
                if delivery.held_until > now:
                    continue
                record = await self._records.get(JOB_KIND, delivery.job)
                if record and record.value.get("status") not in ENDED:
                    delivery.held_until, delivery.told_at = 0.0, now
                    await self._save(delivery)
                    self._line(delivery.job).waiting.append(delivery)
                else:
                    await self._records.delete(WEBHOOK_KIND, delivery.record_id)
                del self._held[key]

    def _due(self) -> Line | None:
        now = self._clock.monotonic()
        ready = [line for line in self._lines.values() if line.waiting and not line.sending and line.due <= now]
        return min(ready, key=lambda line: (line.due, line.waiting[0].number), default=None)

    async def _attempt(self, line: Line, delivery: Delivery) -> None:
        problem = await self._webhook.post(delivery.body.encode(), self._headers(delivery))
        if problem is None:
            if self._failing:
                self._failing = False
                log.info("webhook_reached_again")
            await self._forget(line, delivery, "delivered")
            line.due = 0.0
            return
        self._count("failed")
        if not self._failing:
            self._failing = True
            log.warning("webhook_failed", extra={"reason": problem, "job": delivery.job})
        if self._clock.now() - delivery.told_at >= self._keep_seconds:
            await self._forget(line, delivery, "expired")
            return
        delivery.attempts, delivery.problem = delivery.attempts + 1, problem
        line.due = self._clock.monotonic() + retry_seconds(delivery.attempts)
        await self._save(delivery)

    def _headers(self, delivery: Delivery) -> dict[str, str]:
        timestamp = str(int(self._clock.now()))
        return {
            "Content-Type": "application/json",
            "X-Logsvc-Delivery": delivery.id,
            "X-Logsvc-Timestamp": timestamp,
            "X-Logsvc-Signature": f"sha256={signature(self._secret, timestamp, delivery.body.encode())}",
        }

    async def _forget(self, line: Line, delivery: Delivery, result: Result) -> None:
        line.waiting.remove(delivery)
        self._count(result)
        if result != "delivered":
            log.warning("webhook_given_up", extra={"job": delivery.job, "flag": delivery.flag, "result": result})
        await self._records.delete(WEBHOOK_KIND, delivery.record_id)

    async def _save(self, delivery: Delivery) -> None:
        await self._records.put(WEBHOOK_KIND, delivery.record_id, delivery.value())

    def _line(self, job: str) -> Line:
        return self._lines.setdefault(job, Line())


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """HMAC-SHA256 over `<timestamp>.<body>`, in hex."""
    return hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def retry_seconds(attempts: int) -> float:
    """Wait before the next attempt: twice as long each time, up to a bound, and never all at once."""
    bound = min(LAST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2 ** min(attempts - 1, 20))
    return random.uniform(bound / 2, bound)
