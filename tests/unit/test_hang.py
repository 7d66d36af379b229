"""A job that hangs is told from one that is busy, and what is not seen is never taken for still."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logsvc.core.hang import HangRules, HangState, ProcessIo, hung
from logsvc.core.hang_use import movement
from unit.hang_rig import Job, Use, noisy, of, series, stages, steady

ACTS = ("quiet", "io", "log", "new", "gone", "reset", "blind", "busy")
QUICK = HangRules(hang_detect_minutes=5, hang_window_minutes=2)


def test_both_stages_one_after_the_other() -> None:
    """IO is still from the first look on: 30 minutes, then one more window of 5."""
    states = Job().minutes(40)

    assert stages(states) == [0] * 30 + [1] * 5 + [2] * 5
    assert [state.cycles for state in states[:4]] == [0, 1, 2, 3]
    assert states[29].io_still_seconds == 29 * 60
    assert states[0].reason == "IO moves: process 10 of worker-0 is new."
    assert states[29].reason == (
        "No process of the job has changed its IO counters, and no log line has come, for 29 minutes (29 looks). "
        "From 30 minutes on its cards are looked at."
    )
    assert states[30].variance == 0 and states[30].median_percent == 100
    assert "does not move either so far (variance 0, median 100 %)" in states[30].reason
    last = states[-1]
    assert last.reason.endswith(
        "for 39 minutes (39 looks). Over the last 10 minutes the utilization of none of its cards has moved "
        "(variance 0, median 100 %)."
    )
    assert last.since_ms == states[0].since_ms + 35 * 60_000

    finding = hung(last)
    assert finding is not None and finding.since_ms == last.since_ms and "py-spy" in finding.advice
    assert finding.numbers == {
        "io_still_seconds": 39 * 60,
        "cycles": 39,
        "window_seconds": 300,
        "variance": 0,
        "median_percent": 100,
    }
    assert hung(states[34]) is None and hung(None) is None


@pytest.mark.parametrize("percent", [0.0, 37.0, 100.0])
def test_any_constant_utilization_is_still(percent: float) -> None:
    job = Job()
    job.use = {("worker-0", "0"): steady(percent)}
    assert job.hang().median_percent == percent


def test_detect_time_of_the_container_is_taken_up_at_once() -> None:
    job = Job()
    job.minutes(12)
    job.watch.rules = HangRules(hang_detect_minutes=10)
    assert stages(job.minutes(6)) == [1] * 5 + [2]


def test_a_job_that_computes_without_io_is_not_hung() -> None:
    job = Job()
    job.use = {("worker-0", "0"): steady(100), ("worker-0", "1"): noisy(90, 6)}
    states = job.minutes(60)
    assert of(states) == {0: 30, 1: 30}
    assert states[-1].variance is not None and 15 < states[-1].variance < 21
    assert "It works: over the last 10 minutes utilization moved" in states[-1].reason


def test_a_step_from_one_constant_to_another_is_movement() -> None:
    """Two points are no variance to speak of; the median tells them."""
    job = Job(QUICK)
    step_ms = job.now_ms + 8 * 60_000
    job.use = {("worker-0", "0"): lambda at_ms: np.where(at_ms < step_ms, 100.0, 98.0)}
    assert stages(job.minutes(14)) == [0] * 5 + [1] * 2 + [2] * 2 + [1] * 2 + [2] * 3


@pytest.mark.parametrize(
    "use",
    [None, lambda at_ms: np.where(at_ms // 5000 % 20 == 0, 100.0, np.nan), steady(np.nan)],
    ids=["no card", "too few readings", "no readings"],
)
def test_without_utilization_the_second_stage_is_never_passed(use: Use | None) -> None:
    job = Job(QUICK)
    job.use = {} if use is None else {("worker-0", "0"): use}
    states = job.minutes(20)
    assert of(states) == {0: 5, 1: 15}
    assert "Whether it hangs cannot be told" in states[-1].reason
    assert (states[-1].variance, states[-1].median_percent) == (None, None)


def test_a_card_that_gives_no_more_readings_is_waited_for_then_left_out() -> None:
    """It may have moved meanwhile; once it was away for the detect time, the others tell."""
    job = Job(QUICK)
    job.use[("worker-0", "1")] = steady(100)
    job.minutes(5)
    del job.use[("worker-0", "1")]
    states = job.minutes(10)
    assert stages(states) == [1] * 4 + [2] * 6
    assert "no utilization comes from card 1 of worker-0" in states[3].reason


def test_old_readings_of_a_card_are_no_sign_that_it_is_still() -> None:
    """They stay in the window for a while after its sampler has failed."""
    job = Job(QUICK)
    last_ms = job.now_ms + 6 * 60_000
    job.use[("worker-0", "1")] = lambda at_ms: np.where(at_ms < last_ms, 100.0, np.nan)
    states = job.minutes(12)
    assert stages(states) == [0] * 5 + [1] * 5 + [2] * 2
    assert "no utilization comes from card 1 of worker-0" in states[6].reason


@pytest.mark.parametrize(
    ("seconds", "judged"),
    [
        (range(0, 600, 5), True),
        (range(0, 600, 90), True),  # 3 and 4 readings
        (range(0, 600, 160), False),  # 2 and 2
        ([*range(0, 340, 5), *range(500, 600, 5)], False),  # a hole of more than half a window
        (range(300, 600, 5), False),  # of the window before, there is none
        ([*range(0, 300, 5), 590, 595], False),
    ],
)
def test_a_card_is_judged_by_readings_that_cover_both_windows(seconds: Iterable[int], judged: bool) -> None:
    at_ms = 1000 * np.array([*seconds])
    found = movement([series("worker-0", "0", at_ms, np.full(len(at_ms), 70.0))], window_ms=300_000)
    assert found == ((0.0, 70.0, 0.0) if judged else None)


def test_the_liveliest_card_tells() -> None:
    """By hand: 40, 60 in turn have variance 100 and median 50; 90 before and 96 after differ by 6."""
    at_ms = np.arange(0, 600_000, 5000)
    swings = series("worker-0", "0", at_ms, np.where(at_ms // 5000 % 2, 40.0, 60.0))
    steps = series("worker-0", "1", at_ms, np.where(at_ms < 300_000, 90.0, 96.0))
    found = movement([swings, steps], window_ms=300_000)
    assert found == (pytest.approx(100), pytest.approx((50 + 96) / 2), pytest.approx(6))


def test_several_looks_are_needed_however_short_the_detect_time() -> None:
    job = Job(HangRules(hang_detect_minutes=1, hang_cycles=5, hang_window_minutes=2))
    assert stages(job.minutes(8)) == [0] * 5 + [1] * 2 + [2]


def test_a_job_of_which_nothing_comes_any_more_is_not_judged() -> None:
    job = Job()
    job.minutes(32)
    job.counters, job.use = {}, {}
    states = job.minutes(60)
    assert stages(states) == [0] * 60
    assert states[-1].reason == "Cannot be judged: no IO counters have come for 60 minutes."


@pytest.mark.parametrize(
    "sign", ["read", "write", "log", "new process", "process ended", "counters reset", "pid reuse"]
)
@pytest.mark.parametrize("hangs", [False, True])
def test_movement_begins_again(sign: str, hangs: bool) -> None:
    """Before and after the job was told to hang; 35 minutes later it hangs again."""
    job = Job()
    job.counters[("worker-1", 20)] = (50, 70)
    if hangs:
        job.hang()
    else:
        job.minutes(25)
    match sign:
        case "read":
            job.counters[("worker-1", 20)] = (51, 70)
        case "write":
            job.counters[("worker-1", 20)] = (50, 71)
        case "log":
            job.lines["worker-1"] = 1
        case "new process":
            job.counters[("worker-1", 21)] = (0, 0)
        case "process ended":
            job.counters[("worker-1", 22)] = job.counters.pop(("worker-1", 20))
            job.minutes(1)
            del job.counters[("worker-1", 22)]
            job.counters[("worker-1", 23)] = (1, 1)
        case "counters reset":
            job.counters[("worker-1", 20)] = (0, 0)
        case "pid reuse":
            job.counters[("worker-1", 20)] = (49, 700)
    state = job.look()
    assert (state.stage, state.io_still_seconds, state.cycles) == (0, 0, 0)
    assert state.reason.startswith("IO moves: ") and "worker-1" in state.reason
    assert of(job.minutes(35)) == {0: 29, 1: 5, 2: 1}


def test_movement_of_utilization_clears_a_hang_to_the_first_stage() -> None:
    job = Job()
    job.hang()
    job.use = {("worker-0", "0"): lambda at_ms: np.where(at_ms == job.now_ms - 5000, 0.0, 100.0)}
    state = job.look()
    assert state.stage == 1 and state.cycles == 36
    assert state.variance is not None and state.variance > 100


def test_missing_samples_are_never_a_still_io() -> None:
    """Nothing comes for ten minutes, as when a sampler or the service starts anew: the time begins again."""
    job = Job()
    job.minutes(25)
    held, job.counters = job.counters, {}
    silent = job.minutes(10)
    assert {state.cycles for state in silent} == {24} and stages(silent) == [0] * 10
    assert silent[0].reason == "Cannot be judged: worker-0 sent no IO counters of processes at this look."
    job.counters = held
    assert "the samples of worker-0 were missing for 660 seconds" in job.look().reason
    assert of(job.minutes(35)) == {0: 29, 1: 5, 2: 1}


def test_a_look_without_samples_is_made_up_for_by_counters_equal_on_both_sides() -> None:
    job = Job()
    job.minutes(10)
    held, job.counters = job.counters, {}
    job.minutes(2)
    job.counters = held
    assert job.look().io_still_seconds == 12 * 60


def test_a_hang_stays_while_nothing_is_seen_and_when_it_is_seen_unchanged() -> None:
    job = Job()
    job.hang()
    held, job.counters = job.counters, {}
    used, job.use = job.use, {}
    away = job.minutes(10)
    assert stages(away) == [2] * 10
    assert away[0].reason == "The job hung when it was last seen; no IO counters come from worker-0 any more."
    job.counters, job.use = held, used
    assert stages(job.minutes(5)) == [2] * 5


def test_a_worker_that_lives_and_shows_no_processes_keeps_the_job_from_being_judged() -> None:
    """It may be the one that does the IO."""
    job = Job()
    job.use[("worker-1", "0")] = steady(100)
    states = job.minutes(60)
    assert of(states) == {0: 60}
    assert states[-1].reason == "Cannot be judged: worker-1 sent no IO counters of processes at this look."


def test_a_dead_node_does_not_hide_that_the_others_hang() -> None:
    """The commonest stall: one node is gone, the others wait for it at 100 %."""
    job = Job()
    job.counters[("worker-1", 20)] = (1, 1)
    job.use[("worker-1", "0")] = steady(100)
    job.minutes(5)
    job.counters[("worker-0", 10)] = (6, 7)
    del job.counters[("worker-1", 20)], job.use[("worker-1", "0")]
    assert of(job.minutes(36)) == {0: 30, 1: 5, 2: 1}


def test_samples_sent_again_are_neither_still_nor_movement() -> None:
    job = Job()
    job.minutes(3)
    old = [ProcessIo("worker-0", 10, job.now_ms - ago, 5, 7) for ago in (120_000, 60_000, 0)]
    state = job.watch.cycle(job.now_ms + 60_000, processes=old, cards=[], log_lines={})
    assert (state.cycles, state.io_still_seconds) == (2, 120)
    job.now_ms += 60_000
    assert job.look().cycles == 3


def test_a_clock_set_back_is_movement_and_does_not_blind_the_watch() -> None:
    job = Job()
    job.minutes(3)
    now_ms, earlier = job.now_ms, job.now_ms - 3_600_000

    def look(minute: int) -> HangState:
        process = ProcessIo("worker-0", 10, earlier + 60_000 * minute, 5, 7)
        return job.watch.cycle(now_ms + 60_000 * minute, processes=[process], cards=[], log_lines={})

    assert "clock of its node was set back" in look(1).reason
    assert [look(minute).cycles for minute in (2, 3)] == [1, 2]


def test_nothing_known_is_no_hang() -> None:
    job = Job()
    job.counters = {}
    states = job.minutes(60)
    assert of(states) == {0: 60} and states[-1].io_still_seconds == 0
    assert states[0].reason == "Cannot be judged: no IO counters of the job's processes have come."


@given(st.lists(st.sampled_from(ACTS), max_size=60))
@settings(max_examples=50, deadline=None)
def test_a_hang_always_has_its_proof_and_is_always_found(acts: list[str]) -> None:
    """Whatever happens: the time that the rule asks for has passed without movement; and once it has, the job hangs."""
    job = Job(QUICK)
    still = blind = 0  # minutes since IO moved, looks in a row without samples
    stage, calm, pid = 0, 4, 100
    busy: list[int] = []  # when minutes began in which the card moved

    def use(at_ms: np.ndarray) -> np.ndarray:
        moves = np.isin((at_ms - job.began_ms) // 60_000 * 60_000 + job.began_ms, busy)
        return np.where(moves, noisy(80, 20)(at_ms), 100.0)

    job.use = {("worker-0", "0"): use}
    for act in [*acts, *["quiet"] * 8]:
        held = dict(job.counters)
        match act:
            case "io":
                job.counters = {key: (read + 1, write) for key, (read, write) in held.items()}
            case "log":
                job.lines["worker-0"] = 2
            case "new":
                pid += 1
                job.counters[("worker-0", pid)] = (1, 0)
            case "gone" if len(held) > 1:
                job.counters.popitem()
            case "reset":
                job.counters = {key: (0, write) for key, (_, write) in held.items()}
            case "busy":
                busy.append(job.now_ms)
            case "blind":
                job.counters = {}
        seen = act != "blind"
        missed = seen and blind >= 3 and stage < 2
        moved = act == "log" or missed or (seen and job.counters != held)
        still, blind, calm = (0 if moved else still + 1), (0 if seen else blind + 1), (0 if act == "busy" else calm + 1)
        before, stage = stage, job.look().stage
        if not seen:
            job.counters = held
        assert not (moved and stage)
        assert stage < 2 or before == 2 or (seen and still >= 7 and calm >= 4)
    assert stage == 2


@pytest.mark.parametrize("minutes", [1, 3, 10])
def test_looks_that_are_far_apart_are_no_missing_samples(minutes: int) -> None:
    job = Job(HangRules(hang_cycle_seconds=60.0 * minutes))
    states = []
    for _ in range(60 // minutes):
        job.now_ms += (minutes - 1) * 60_000
        states.append(job.look())
    assert states[-1].stage == 2


def test_a_node_whose_clock_is_behind_is_judged() -> None:
    """Its newest readings are as old as the clock is behind, and so are those of the window before."""
    job = Job()
    behind_ms = 4 * 60_000
    job.use = {("worker-0", "0"): lambda at_ms: np.where(at_ms < job.now_ms - behind_ms, 100.0, np.nan)}
    assert job.minutes(40)[-1].stage == 2
