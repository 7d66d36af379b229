"""Lanes, backlog and sender of samples: what hangs is cut off, what fails tried again, what waits arrives in order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from collectors.agent import Agent
from collectors.client import Refused, Unavailable
from collectors.samplers import OPEN_SECONDS, Absent, DeviceReading, Failed, HostReading, Hung, Reading, Sampler
from collectors.samplers.backlog import Backlog
from collectors.samplers.cards import Home
from collectors.samplers.engine import BACKOFF_CEILING_SECONDS, ENDED_SECONDS, Engine
from collectors.samplers.families import engine_for
from collectors.samplers.lane import COST_CEILING_SECONDS, FAILED, HUNG, OK, RETRY_CEILING_SECONDS, Clock, Lane
from collectors.settings import Settings, sample_seconds_from
from logsvc.errors import BadInput

EVERY = 5.0
START = 1_795_500_000.0
HOME = Home("sampling-1", "worker-0")


class HandClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now, self.wall = 1000.0, START

    def move(self, seconds: float) -> None:
        self.now += seconds
        self.wall += seconds

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.now, lambda: self.wall)


class Fake:
    """A sampler that does what it is told, or gives one card."""

    def __init__(self, name: str = "fake", reading: Reading | None = None) -> None:
        self.name, self.remark = name, ""
        self.reading = reading or DeviceReading("0", "gpu", 50.0)
        self.does: Callable[[], list[Reading]] | None = None
        self.opened = self.closed = self.sampled = 0

    def open(self) -> None:
        self.opened += 1

    def sample(self) -> list[Reading]:
        self.sampled += 1
        return self.does() if self.does else [self.reading]

    def close(self) -> None:
        self.closed += 1


class Service:
    """Takes bodies, or does what it is told."""

    server = "http://127.0.0.1:9"

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.status = "running"
        self.does: Callable[[dict[str, Any]], None] | None = None

    def call_json(self, method: str, path: str, body: dict[str, Any]) -> object:
        assert (method, path) == ("POST", "/samples")
        if self.does:
            self.does(body)
        self.bodies.append(body)
        return {}

    def job(self, job: str) -> dict[str, Any]:
        assert job == HOME.job
        return {"status": self.status}

    def close(self) -> None:
        pass

    def uses(self) -> list[float]:
        return [card["utilization_percent"] for body in self.bodies for card in body.get("samples", ())]


class Rig:
    """An engine whose turns are called by hand."""

    def __init__(self, *, cards: Sequence[Sampler] = (), others: Sequence[Sampler] = (), **options: Any) -> None:
        self.time, self.service = HandClock(), Service()
        self.said: list[str] = []
        self.engine = Engine(
            self.service,  # type: ignore[arg-type]
            [(sampler, EVERY) for sampler in cards],
            [(sampler, EVERY) for sampler in others],
            lambda _: [HOME],
            self.said.append,
            clock=self.time.clock,
            **options,
        )
        self.lanes = {lane.name: lane for lane in [*self.engine._cards, *self.engine._others]}

    def tick(self, use: float | None = None) -> None:
        """One sample of the first card's sampler, and the engine's turn."""
        lane = self.engine._cards[0]
        if use is not None:
            lane._sampler.reading = DeviceReading("0", "gpu", use)  # type: ignore[attr-defined]
        lane.turn()
        self.engine.turn()
        self.time.move(EVERY)


def raising(error: Exception) -> Callable[..., list[Reading]]:
    def do(*_: object) -> list[Reading]:
        raise error

    return do


@pytest.fixture
def threads() -> Iterator[list[Lane]]:
    lanes: list[Lane] = []
    yield lanes
    for lane in lanes:
        lane.stop()


def wait_for(what: Callable[[], bool]) -> None:
    """A condition of another thread; the suite's own time limit ends what never comes."""
    tick = threading.Event()
    while not what():
        tick.wait(0.005)


def test_a_sampler_that_hangs_is_cut_off_and_the_others_go_on(threads: list[Lane]) -> None:
    """Its thread stays the only one, what it brings late is dropped, and then it goes on."""
    hand = HandClock()
    stuck, released = Fake("stuck"), threading.Event()
    inside = threading.Event()
    got: list[str] = []

    def hang() -> list[Reading]:
        inside.set()
        released.wait()
        return [stuck.reading]

    stuck.does = hang
    slow = Lane(stuck, EVERY, lambda at, readings: got.append("stuck"), hand.clock)
    other = Lane(Fake("other"), EVERY, lambda at, readings: got.append("other"), hand.clock)
    threads += [slow, other]
    slow.start()
    slow.start()
    inside.wait()
    assert slow.condition.state != HUNG
    hand.move(5.1)
    assert (slow.condition.state, slow.condition.reason) == (HUNG, "no answer for 5 s")
    other.turn()
    assert got == ["other"]
    assert [thread.name for thread in threading.enumerate()].count("sampler stuck") == 1

    stuck.does = None
    released.set()
    wait_for(lambda: slow.condition.reason == "it took 5 s")
    assert got == ["other"] and stuck.closed == 1
    assert slow.turn() > 0
    assert got == ["other", "stuck"] and slow.condition.state == OK


def test_a_driver_that_wakes_slowly_is_waited_for_once() -> None:
    """Else it would be killed while it wakes, again and again."""
    hand, fake, got, states = HandClock(), Fake(), [], []
    lane = Lane(fake, EVERY, lambda at, readings: got.append(at), hand.clock)

    def wake() -> None:
        hand.move(12.0)
        states.append(lane.condition.state)

    fake.open = wake  # type: ignore[method-assign]
    lane.turn()
    assert got == [START + 12.0] and lane.condition.state == OK and states != [HUNG]

    def never() -> None:
        hand.move(OPEN_SECONDS + 1)
        states.append(lane.condition.state)

    fake.does, fake.open = raising(Failed("gone")), never  # type: ignore[method-assign]
    lane.turn()
    lane.turn()
    assert states[-1] == HUNG


def test_what_fails_is_opened_again_and_asked_less_often() -> None:
    hand, fake, got = HandClock(), Fake(), []
    lane = Lane(fake, EVERY, lambda at, readings: got.append(readings), hand.clock)
    for error, state in ((Failed("broken"), FAILED), (Hung("late"), HUNG), (ZeroDivisionError("oops"), FAILED)):
        fake.does = raising(error)
        rests = [lane.turn() for _ in range(8)]
        assert rests[0] == EVERY and rests == sorted(rests) and rests[-1] == RETRY_CEILING_SECONDS
        assert lane.condition.state == state and str(error) in lane.condition.reason
        assert fake.opened == fake.closed == 8 and not got
        fake.does, fake.opened, fake.closed = None, 0, 0
        assert lane.turn() == EVERY and lane.condition.state == OK  # and the next failure begins at the start again
        got.clear()
        fake.opened, lane._is_open = 0, False


def test_a_dear_sampler_is_asked_less_often() -> None:
    fake = Fake()

    def burn() -> list[Reading]:
        sum(range(2_000_000))
        return []

    fake.does = burn
    assert EVERY / 2 < Lane(fake, 0.5, lambda at, readings: None, Clock()).turn() <= COST_CEILING_SECONDS


def test_nothing_else_is_asked_until_a_card_is_found() -> None:
    card, host = Fake("card"), Fake("host", HostReading(1.0))
    card.does = raising(Absent("no driver"))
    rig = Rig(cards=[card], others=[host])
    try:
        rig.tick()
        assert not host.sampled and not rig.service.bodies and not rig.said
        assert rig.engine.report()["samplers"] == []

        card.does = None
        rig.tick()
        wait_for(lambda: host.sampled > 0)
        assert rig.engine.report()["samplers"][0]["name"] == "card"
    finally:
        rig.engine.close()


def test_who_asks_for_it_has_the_rest_without_a_card() -> None:
    card, host = Fake("card"), Fake("host", HostReading(1.0))
    card.does = raising(Absent("no driver"))
    rig = Rig(cards=[card], others=[host], always=True)
    rig.engine.start()
    wait_for(lambda: any("host" in body for body in rig.service.bodies))
    rig.engine.close()
    assert [entry["name"] for entry in rig.service.bodies[0]["samplers"]] == ["host"]


@pytest.mark.parametrize(
    ("flag", "variable", "seconds"),
    [(None, "", None), (0.0, "7", 0.0), (None, "2.5", 2.5), (1.0, "", 1.0), (3600.0, "x", 3600.0)],
)
def test_how_often_is_said_by_the_flag_or_the_variable(
    flag: float | None, variable: str, seconds: float | None
) -> None:
    assert sample_seconds_from(flag, {"LOGSVC_COLLECTOR_SAMPLE_SECONDS": variable}) == seconds


@pytest.mark.parametrize("text", ["0.5", "-1", "3601", "often", "nan"])
def test_seconds_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(BadInput):
        sample_seconds_from(None, {"LOGSVC_COLLECTOR_SAMPLE_SECONDS": text})


def test_nothing_is_sampled_with_0_seconds() -> None:
    def engine(seconds: float | None) -> Engine | None:
        settings = Settings("http://127.0.0.1:9", sample_seconds=seconds)
        return engine_for(settings, {}, print, command=None, files=tuple, may_send=lambda: True)

    assert engine(0.0) is None and engine(None) is not None


def test_states_reach_the_service_and_a_person_once() -> None:
    """Also where nothing is read any more: that is why."""
    card = Fake("card")
    rig = Rig(cards=[card])
    rig.tick()
    card.does = raising(Failed("the driver is gone"))
    for _ in range(3):
        rig.tick()
    card.does = None
    rig.tick()
    states = [body["samplers"] for body in rig.service.bodies]
    failed = {"name": "card", "state": "failed", "reason": "the driver is gone"}
    assert [entry[0]["state"] for entry in states] == ["ok", "failed", "ok"] and states[1] == [failed]
    assert rig.said == ["sampler card failed: the driver is gone", "sampler card samples again"]
    rig.time.move(60)
    rig.engine.turn()
    assert rig.service.bodies[-1].keys() == {"job", "task", "samplers"}


def test_an_outage_of_hours_loses_nothing_and_keeps_the_order() -> None:
    rig = Rig(cards=[Fake()])
    rig.service.does = raising(Unavailable("away"))
    hours = 8
    for tick in range(hours * 720):
        rig.tick(tick % 101)
    report = rig.engine.report()
    assert report["readings_waiting"] == hours * 720 and report["problem"] == "away" and not report["readings_dropped"]
    rig.service.does = None
    rig.time.move(BACKOFF_CEILING_SECONDS)
    rig.engine.turn()
    assert rig.service.uses() == [tick % 101 for tick in range(hours * 720)]
    assert [body["samples"][0]["at"] for body in rig.service.bodies] == sorted(
        body["samples"][0]["at"] for body in rig.service.bodies
    )
    assert len(rig.service.bodies) == 3  # one alone, to see whether it answers; then 5,000 readings in a request
    assert rig.engine.report()["problem"] is None and rig.engine.sent == hours * 720


def test_what_came_while_nothing_was_sent_goes_in_requests_that_the_service_takes() -> None:
    """It takes 10,000 readings; a thousand processes make as many in a minute, and a request may wait longer."""
    rig = Rig(cards=[Fake()])
    rig.tick()
    looks = [[HostReading(float(look))] * 1000 for look in range(12)]
    for look, readings in enumerate(looks):
        rig.engine._deliver(START + look, readings)
    rig.engine.turn()
    sizes = [len(body.get("host", ())) for body in rig.service.bodies]
    assert sum(sizes) == 12_000 and max(sizes) <= 5_000
    uses = [entry["cpu_percent"] for body in rig.service.bodies for entry in body.get("host", ())]
    assert uses == sorted(uses)


def test_what_is_read_is_taken_up_while_much_is_sent() -> None:
    """Else it would pile up outside of the bound."""
    rig = Rig(cards=[Fake()], backlog=Backlog())
    rig.service.does = raising(Unavailable("away"))
    for _ in range(4):
        rig.engine._deliver(START, [HostReading(1.0)] * 5000)
        rig.tick()

    def slow(body: dict[str, Any]) -> None:
        rig.time.move(3.0)

    rig.service.does = slow
    rig.time.move(BACKOFF_CEILING_SECONDS)
    rig.engine.turn()
    assert len(rig.service.bodies) == 2 and rig.engine.backlog.waiting
    while rig.engine.backlog.waiting:
        rig.engine.turn()
    assert rig.engine.sent == 4 * 5001


def test_a_mistake_of_ours_costs_a_turn_and_no_more() -> None:
    rig = Rig(cards=[Fake()])
    rig.service.does = raising(ValueError("oops"))
    rig.engine.start()
    wait_for(lambda: rig.engine.problem == "ValueError: oops")
    rig.service.does = None
    rig.time.move(BACKOFF_CEILING_SECONDS)
    wait_for(lambda: rig.service.uses() == [50.0])
    rig.engine.close(60.0)
    assert "samples: ValueError: oops; trying again" in rig.said


def test_who_waits_for_the_end_may_stop_waiting() -> None:
    rig = Rig(cards=[Fake()])
    rig.service.does = raising(Unavailable("away"))
    rig.engine.start()
    wait_for(lambda: rig.engine.problem is not None)
    asked: list[bool] = []

    def is_over() -> bool:
        asked.append(True)
        return len(asked) > 2

    rig.engine.close(3600.0, is_over=is_over)
    assert len(asked) == 3 and rig.said[-1].endswith("are not sent: away")
    rig.service.does = None
    rig.time.move(7200.0)  # its thread ends


def test_a_container_without_room_for_a_thread_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    got: list[float] = []
    lane = Lane(Fake(), EVERY, lambda at, readings: got.append(at), HandClock().clock)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        lane.start()
    assert (lane.condition.state, lane.condition.reason) == (FAILED, "can't start new thread")
    lane.start()
    wait_for(lambda: lane.condition.state == OK and bool(got))
    lane.stop()


def test_a_command_runs_on_where_nothing_can_be_sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise BadInput("token file gone: No such file or directory")

    monkeypatch.setattr("collectors.agent.engine_for", refuse)
    said: list[str] = []
    agent = Agent(Settings("http://127.0.0.1:9", state_dir=tmp_path), [], said.append, state=None)
    agent.sample(4711)
    agent.close()
    assert said == ["nothing is sampled: token file gone: No such file or directory"] and agent.sampling is None


def test_what_has_no_room_is_dropped_oldest_first_and_said() -> None:
    rig = Rig(cards=[Fake()], backlog=Backlog(2_000))
    rig.service.does = raising(Unavailable("away"))
    for tick in range(100):
        rig.tick(tick)
    waiting, dropped = rig.engine.backlog.waiting, rig.engine.backlog.dropped
    assert waiting + dropped == 100 and waiting < 30
    assert rig.said[0] == "no room for more samples: 1 readings are lost, the oldest first"
    rig.service.does = None
    rig.time.move(BACKOFF_CEILING_SECONDS)
    rig.engine.turn()
    assert rig.service.uses() == list(range(dropped, 100))


def test_what_is_dropped_while_it_is_sent_is_not_dropped_twice() -> None:
    """The place of what was given last moves with what is dropped before it."""
    backlog = Backlog(400)
    for number in range(3):
        backlog.add({"job": "a", "task": "worker-0", "samples": [{"at": str(number)}]})
    assert backlog.first() is not None
    while not backlog.add({"job": "a", "task": "worker-0", "samples": [{"at": "new"}]}):
        pass
    before = backlog.waiting
    assert backlog.taken() == 2 and backlog.waiting == before - 2


def test_one_bad_body_does_not_hold_up_the_rest() -> None:
    rig = Rig(cards=[Fake()])
    rig.service.does = raising(Unavailable("away"))
    for use in (1.0, 2.0, 3.0):
        rig.tick(use)

    def refuse(body: dict[str, Any]) -> None:
        if any(card["utilization_percent"] == 2.0 for card in body["samples"]):
            raise Refused(422, "bad_input", "samples[0].at: no", {})

    rig.service.does = refuse
    rig.time.move(BACKOFF_CEILING_SECONDS)
    rig.engine.turn()
    assert rig.service.uses() == [1.0, 3.0] and rig.engine.refused == 1
    assert rig.said == ["http://127.0.0.1:9 does not take samples of sampling-1: samples[0].at: no (bad_input)"]


def test_an_expired_job_is_left_alone() -> None:
    rig = Rig(cards=[Fake()])
    rig.service.does = raising(Refused(410, "expired", "gone", {}))
    rig.tick()
    rig.service.does = None
    rig.tick()
    assert not rig.service.bodies and not rig.engine.backlog.waiting


def test_a_full_store_is_tried_again() -> None:
    rig = Rig(cards=[Fake()])
    rig.service.does = raising(Refused(507, "disk_full", "full", {"retry_after_seconds": 30}))
    rig.tick(7.0)
    assert rig.engine.backlog.waiting == 1
    rig.service.does = None
    rig.tick(8.0)
    assert not rig.service.bodies  # it asked for 30 s
    rig.time.move(60)
    rig.tick(9.0)
    assert rig.service.uses() == [7.0, 8.0, 9.0]


def test_clocks_that_jump_lose_nothing() -> None:
    """Samples carry the wall clock's time; when the next is due is another clock's matter."""
    rig = Rig(cards=[Fake()])
    rig.tick(1.0)
    rig.time.wall -= 3600
    rig.tick(2.0)
    rig.time.wall += 7200
    rig.tick(3.0)
    times = [card["at"][11:19] for body in rig.service.bodies for card in body["samples"]]
    assert rig.service.uses() == [1.0, 2.0, 3.0] and times == ["06:00:00", "05:00:05", "07:00:10"]
    rig.time.now += 86_400  # the node slept for a day
    assert rig.engine._cards[0].turn() == EVERY


def test_a_sample_waits_for_what_makes_its_job() -> None:
    started: list[bool] = []
    rig = Rig(cards=[Fake()], may_send=lambda: bool(started))
    rig.tick(1.0)
    assert not rig.service.bodies
    started.append(True)
    rig.tick(2.0)
    assert rig.service.uses() == [1.0, 2.0]


def test_a_job_that_has_ended_has_no_samples_until_it_runs_again() -> None:
    """Whoever watches only its files is told by the service."""
    rig = Rig(cards=[Fake()], may_end=True)
    for status, use in (("running", 1.0), ("succeeded", 2.0), ("succeeded", 3.0), ("running", 4.0)):
        rig.service.status = status
        rig.time.move(ENDED_SECONDS)
        rig.tick(use)
    assert rig.service.uses() == [1.0, 4.0]


def test_a_service_that_never_answers_holds_up_neither_samples_nor_the_end() -> None:
    rig, asked, answer = Rig(cards=[Fake()]), threading.Event(), threading.Event()

    def hang(body: dict[str, Any]) -> None:
        asked.set()
        answer.wait()

    rig.service.does = hang
    rig.engine.start()
    asked.wait()
    assert rig.engine._cards[0].turn() > 0 and rig.engine._cards[0].condition.state == OK
    rig.engine.close(0.01)
    assert rig.said == ["1 readings of samplers are not sent: not in time"]
    answer.set()


def test_the_end_sends_what_waits() -> None:
    rig = Rig(cards=[Fake()])
    rig.engine.start()
    wait_for(lambda: rig.engine._cards[0].condition.state == OK)
    rig.engine.stop_sampling()
    rig.engine.close(60.0)
    assert rig.service.uses() == [50.0] and not rig.said
    rig.engine.close()
