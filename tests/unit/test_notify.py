"""Events on their way to a webhook: order, retries, grace, bounds, restarts; the clock is moved by hand."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from builders import NOON, HandClock
from logsvc.core import notify
from logsvc.core.notify import Event, Notifier
from logsvc.errors import StoreUnavailable
from logsvc.model.delivery import WEBHOOK_KIND
from logsvc.model.query import Record
from logsvc.stores.memory import MemoryStore

HOUR = 3600.0


class Receiver:
    """Takes what it is told to; keeps what it took, and when it was asked."""

    def __init__(self, clock: HandClock) -> None:
        self._clock = clock
        self.refused: set[str] = set()  # jobs
        self.took: list[dict[str, Any]] = []
        self.asked: list[tuple[str, float]] = []

    async def post(self, body: bytes, headers: Mapping[str, str]) -> str | None:
        message = json.loads(body)
        assert headers["X-Logsvc-Delivery"] == message["delivery"]
        self.asked.append((message["job"]["id"], self._clock.at))
        if message["job"]["id"] in self.refused:
            return "the answer was 500"
        self.took.append(message)
        return None

    async def close(self) -> None: ...

    @property
    def heard(self) -> list[str]:
        return [f"{message['job']['id']} {message['event']}" for message in self.took]


class Rig:
    """A notifier over a store that stays when it is started anew."""

    def __init__(self, clock: HandClock) -> None:
        self.clock = clock
        self.store = Records(clock)
        self.receiver = Receiver(clock)
        self.counted: Counter[str] = Counter()
        self.notifier = self._made()

    async def restart(self) -> None:
        self.notifier = self._made()
        await self.notifier.open()

    async def job(self, job: str, *, status: str = "running", age: float = HOUR) -> None:
        value = {"id": job, "name": f"name of {job}", "owner": "wang", "status": status}
        await self.store.put("job", job, {**value, "created_at": self.clock.at - age})

    async def tell(self, job: str, name: str = "hung", change: Any = "raised", at: float | None = None) -> None:
        await self.notifier.tell(
            Event(job, self.clock.at if at is None else at, name, change, "still", "look", {"n": 1})
        )

    async def pass_time(self, seconds: float, step: float = 1.0) -> None:
        for _ in range(int(seconds / step)):
            self.clock.move(step)
            await self.notifier.look()

    async def waiting(self) -> int:
        return len(await self.store.list(WEBHOOK_KIND))

    def _made(self) -> Notifier:
        return Notifier(
            self.store,
            self.clock,
            self.receiver,
            secret="a secret of the test",
            flags=("hung", "low_utilization"),
            grace_seconds={"low_utilization": HOUR / 2},
            keep_seconds=2 * HOUR,
            viewer="http://logs.test",
            count=lambda result: self.counted.update([result]),
        )


class Records(MemoryStore):
    """Records that cannot be changed while `broken`."""

    broken = False

    async def put(self, kind: str, id: str, value: dict[str, Any], *, expected: int | None = None) -> Record:
        self._check()
        return await super().put(kind, id, value, expected=expected)

    async def delete(self, kind: str, id: str, *, expected: int | None = None) -> bool:
        self._check()
        return await super().delete(kind, id, expected=expected)

    def _check(self) -> None:
        if self.broken:
            raise StoreUnavailable("the disk is gone")


@pytest.fixture
def rig(clock: HandClock) -> Rig:
    return Rig(clock)


async def test_what_is_sent(rig: Rig) -> None:
    await rig.job("a")
    await rig.tell("a")
    await rig.notifier.look()
    [message] = rig.receiver.took
    assert len(message.pop("delivery")) == 32
    assert message == {
        "event": "hung.raised",
        "at": "2026-11-20T12:00:00.000Z",
        "job": {
            "id": "a",
            "name": "name of a",
            "owner": "wang",
            "status": "running",
            "url": "http://logs.test/#job=a",
        },
        "finding": {"name": "hung", "reason": "still", "advice": "look", "numbers": {"n": 1}},
    }
    assert await rig.waiting() == 0
    assert rig.counted == {"delivered": 1}


async def test_events_of_a_job_stay_in_order_and_hold_up_no_other_job(rig: Rig) -> None:
    rig.receiver.refused = {"a"}
    for change in ("raised", "cleared", "raised"):
        await rig.tell("a", change=change, at=rig.clock.at)
        await rig.tell("b", change=change, at=rig.clock.at)
        rig.clock.move(1)
    await rig.notifier.look()
    assert rig.receiver.heard == ["b hung.raised", "b hung.cleared", "b hung.raised"]
    rig.receiver.refused = set()
    await rig.pass_time(10)
    assert rig.receiver.heard[3:] == ["a hung.raised", "a hung.cleared", "a hung.raised"]
    assert await rig.waiting() == 0


async def test_retries_wait_longer_each_time_and_not_all_at_once(rig: Rig) -> None:
    rig.receiver.refused = {"a", "b"}
    await rig.tell("a")
    await rig.tell("b")
    await rig.notifier.look()
    await rig.pass_time(1800)
    times = [at - NOON for job, at in rig.receiver.asked if job == "a"]
    waits = [later - earlier for earlier, later in itertools.pairwise(times)]
    for attempt, wait in enumerate(waits):
        bound = min(300.0, 2.0 * 2**attempt)
        assert bound / 2 <= wait <= bound + 1
    assert len(waits) > 10
    assert times != [at - NOON for job, at in rig.receiver.asked if job == "b"]
    assert rig.counted == {"failed": len(rig.receiver.asked)}
    [first, _] = await rig.store.list(WEBHOOK_KIND)
    assert first.value["attempts"] == len(times) and first.value["problem"] == "the answer was 500"


async def test_low_utilization_waits_until_its_job_has_run_half_an_hour(rig: Rig) -> None:
    await rig.job("young", age=300)
    await rig.job("old")
    await rig.tell("young", "low_utilization")
    await rig.tell("old", "low_utilization")
    await rig.tell("young")
    await rig.notifier.look()
    assert rig.receiver.heard == ["old low_utilization.raised", "young hung.raised"]
    await rig.restart()
    await rig.pass_time(1499, step=1499)
    assert len(rig.receiver.took) == 2
    await rig.pass_time(2)
    assert rig.receiver.heard[2:] == ["young low_utilization.raised"]
    assert rig.receiver.took[2]["at"] == "2026-11-20T12:00:00.000Z"
    await rig.tell("young", "low_utilization", "cleared")
    await rig.notifier.look()
    assert rig.receiver.heard[3:] == ["young low_utilization.cleared"]


@pytest.mark.parametrize("then", ["cleared", "ended"])
async def test_low_utilization_that_was_over_by_then_is_not_told(rig: Rig, then: str) -> None:
    await rig.job("a", age=300)
    await rig.tell("a", "low_utilization")
    await rig.pass_time(60, step=60)
    if then == "cleared":
        await rig.restart()
        await rig.tell("a", "low_utilization", "cleared")
        assert await rig.waiting() == 0
    else:
        await rig.job("a", status="succeeded", age=360)
    await rig.pass_time(2 * HOUR, step=60)
    assert rig.receiver.asked == []
    assert await rig.waiting() == 0
    await rig.job("a", status="failed")
    await rig.tell("a", "low_utilization")
    assert await rig.waiting() == 0


async def test_an_event_told_again_is_sent_once_and_known_by_its_id(rig: Rig) -> None:
    await rig.tell("a", at=NOON)
    await rig.tell("a", at=NOON)
    await rig.restart()
    await rig.tell("a", at=NOON)
    await rig.notifier.look()
    assert len(rig.receiver.took) == 1
    await rig.tell("a", at=NOON)  # the caller died before it knew
    await rig.tell("a", at=NOON + 60)
    await rig.notifier.look()
    first, again, another = (message["delivery"] for message in rig.receiver.took)
    assert first == again != another


async def test_a_restart_forgets_nothing_and_keeps_the_order(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "LIST_RECORDS", 2)
    rig.receiver.refused = {"a"}
    for n in range(12):
        await rig.tell("a", change=("raised", "cleared")[n % 2], at=NOON + n)
        if n == 5:
            await rig.notifier.look()
            await rig.restart()
    rig.receiver.refused = set()
    await rig.restart()
    await rig.notifier.look()
    assert [message["at"][17:19] for message in rig.receiver.took] == [f"{n:02d}" for n in range(12)]


async def test_what_nobody_takes_is_given_up_and_the_next_is_tried(rig: Rig) -> None:
    rig.receiver.refused = {"a"}
    await rig.tell("a")
    await rig.notifier.look()
    await rig.pass_time(HOUR, step=60)
    await rig.tell("a", change="cleared")
    await rig.pass_time(HOUR + 360, step=60)
    assert rig.counted["expired"] == 1 and await rig.waiting() == 1
    rig.receiver.refused = set()
    await rig.pass_time(360, step=60)
    assert rig.receiver.heard == ["a hung.cleared"]


async def test_a_full_queue_drops_the_oldest_of_the_longest_line(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "MAX_WAITING", 5)
    for n, job in enumerate("abbbbb"):
        await rig.tell(job, at=NOON + n)
    assert rig.counted == {"dropped": 1} and await rig.waiting() == 5
    await rig.notifier.look()
    assert [(message["job"]["id"], message["at"][17:19]) for message in rig.receiver.took] == [
        ("a", "00"),
        ("b", "02"),
        ("b", "03"),
        ("b", "04"),
        ("b", "05"),
    ]


async def test_an_event_is_taken_only_when_it_is_durable(rig: Rig) -> None:
    rig.store.broken = True
    with pytest.raises(StoreUnavailable):
        await rig.tell("a", at=NOON)
    await rig.notifier.look()
    assert rig.receiver.asked == []
    rig.store.broken = False
    await rig.tell("a", at=NOON)
    rig.store.broken = True
    with pytest.raises(StoreUnavailable):
        await rig.notifier.look()  # sent, and that cannot be written down
    await rig.pass_time(60)
    assert len(rig.receiver.took) == 1
    rig.store.broken = False
    await rig.restart()
    await rig.notifier.look()
    once, again = rig.receiver.took
    assert once == again
