"""A healthy job gives no finding, however it is sampled; a fault planted at random is found, with its numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logsvc.core.findings.rules import NAMES, findings_of
from logsvc.core.findings.view import JobView, Limits
from unit.findings_rig import BEGAN_MS, GIB, Planted, Sampling, dipping, flat

some = settings(max_examples=10, deadline=None)
seeds = st.integers(0, 2**32 - 1)


@st.composite
def samplings(draw: st.DrawFn, seconds: float = 0.0) -> Sampling:
    """Regular or not, dense or sparse, with samples missing and holes of many minutes."""
    hole = draw(st.none() | st.tuples(st.floats(0, 0.9), st.floats(60, 1500))) if seconds else None
    return Sampling(
        step_seconds=draw(st.sampled_from([2.0, 5.0, 10.0, 15.0])),
        jitter=draw(st.floats(0, 0.9)),
        missing=draw(st.floats(0, 0.2)),
        nan=draw(st.floats(0, 0.1)),
        holes=[(hole[0] * seconds, hole[0] * seconds + hole[1])] if hole else (),
    )


def lasting(draw: st.DrawFn, start: float, end: float, every: float, length: tuple[float, float]) -> list:
    """Spans at random times, `every` seconds on average."""
    rng = np.random.default_rng(draw(seeds))
    count = int((end - start) / every)
    return [(at, at + rng.uniform(*length)) for at in rng.uniform(start, max(start, end), count)]


@st.composite
def healthy(draw: st.DrawFn) -> Planted:
    """Begins at zero for some minutes, then works, with noise, drift and short dips, some at checkpoints."""
    seconds = draw(st.sampled_from([0.0, 4.0, 30.0, 300.0, 1000.0, 2000.0, 5000.0, 9000.0]))
    base, offset = draw(st.floats(75, 100)), draw(st.floats(0, 8))
    warm_up = draw(st.floats(0, 180))
    dips = lasting(draw, 0, seconds, 600, (1, 25))
    drift, period = draw(st.floats(0, 6)), draw(st.floats(60, 4000))
    dip = dipping(1.0, dips, 0.05)

    def curve(task: str, card: int, at: np.ndarray) -> np.ndarray:
        level = base - offset * (card % 3) / 2 + drift * np.sin(2 * np.pi * at / period)
        return np.where(at < warm_up, 0.0, level * dip(task, card, at))

    return Planted(
        curve,
        seconds,
        workers=draw(st.integers(1, 3)),
        cards=draw(st.integers(1, 4)),
        noise=draw(st.floats(0, 8)),
        seed=draw(seeds),
        sampling=draw(samplings(seconds)),
        readings={
            "memory_used_bytes": flat(30 * GIB),
            "memory_total_bytes": flat(64 * GIB),
            "process_count": flat(draw(st.sampled_from([0, 1, np.nan]))),  # 0: hidden by the container
        },
        saves=[at + draw(st.floats(-30, 30)) for at, _ in dips],
        processes={"worker-0": 9, "worker-1": 9, "worker-2": 9} if draw(st.booleans()) else {},
    )


@given(healthy())
@settings(max_examples=70, deadline=None)
def test_a_healthy_job_gives_no_finding(job: Planted) -> None:
    """But for the manual's flag, which has no grace for a job that only begins."""
    view = job.view()
    found = {finding.name: finding.reason for finding in findings_of(view, Limits())}
    worker = [card for card in view.pooled if card.series.task == "worker-0"]
    total, count = sum(card.sum_micropercent for card in worker), sum(card.count for card in worker)
    assert (found.pop("low_utilization", None) is not None) == (count > 0 and total < 50_000_000 * count)
    assert found == {}


@given(samplings(), st.floats(0, 45), st.floats(930, 4000), seeds)
@some
def test_a_dead_second_half_is_found_behind_a_good_mean(
    sampling: Sampling, percent: float, seconds: float, seed: int
) -> None:
    job = Planted(dipping(95, [(20_000 - seconds, 20_001)], percent), 20_000, sampling=sampling, seed=seed)
    found = job.found()
    assert "low_utilization" not in found
    finding = found["recently_low"]
    assert finding.numbers["mean_percent"] == pytest.approx(percent, abs=2)
    assert (finding.numbers["window_seconds"], finding.numbers["limit_percent"]) == (900, 50)
    assert "over the last 15 minutes" in finding.reason.lower()
    if percent == 0:
        assert found.keys() == {"recently_low", "long_idle_gap"}


@given(samplings(), st.floats(700, 3000), st.floats(0, 3000), st.floats(0, 2), seeds)
@some
def test_a_long_idle_gap_is_found_with_its_begin_and_end(
    sampling: Sampling, gap: float, after: float, percent: float, seed: int
) -> None:
    start = 6900 - after - gap
    job = Planted(dipping(90, [(start, start + gap)], percent), 6900, sampling=sampling, noise=0.5, seed=seed)
    finding = job.found()["long_idle_gap"]
    slack = 8 * sampling.step_seconds
    assert finding.numbers["gap_seconds"] == pytest.approx(gap, abs=slack)
    assert finding.numbers["below_percent"] == 5
    assert finding.from_ms == finding.since_ms == pytest.approx(BEGAN_MS + 1000 * start, abs=1000 * slack)
    if after > slack:
        assert finding.to_ms == pytest.approx(BEGAN_MS + 1000 * (start + gap), abs=1000 * slack)
        assert finding.reason.startswith("All cards idled below 5 % for ")


def test_a_gap_that_lasts_has_no_end_and_one_longer_than_the_window_is_at_least_so_long() -> None:
    job = Planted(dipping(90, [(4000, 99_999)]), 5400)
    finding = job.found()["long_idle_gap"]
    assert finding.to_ms is None and finding.reason.endswith("for 23 minutes and still do.")
    finding = job.but(seconds=20_000.0).found()["long_idle_gap"]
    assert finding.since_ms is None and "for at least 2 h 0 min and still do" in finding.reason


def test_a_hole_in_the_samples_and_a_card_that_works_are_no_gap() -> None:
    hole = Sampling(holes=[(2000, 4000)])
    assert Planted(dipping(90, [(1990, 4010)]), sampling=hole).found() == {}
    one_works = Planted(lambda task, card, at: np.where((at > 2000) & (at < 3500) & (card > 0), 0.0, 90.0))
    assert "long_idle_gap" not in one_works.found()


@given(samplings(), st.integers(2, 8), st.integers(1, 8), st.floats(760, 5000), seeds)
@some
def test_cards_never_used_are_found(sampling: Sampling, cards: int, idle: int, seconds: float, seed: int) -> None:
    idle = min(idle, cards)
    job = Planted(
        lambda task, card, at: np.full(len(at), 0.0 if card >= cards - idle else 90.0),
        seconds,
        cards=cards,
        sampling=sampling,
        seed=seed,
    )
    finding = job.found()["never_used"]
    assert finding.numbers["cards"] == idle
    assert finding.numbers["watched_seconds"] == pytest.approx(seconds, abs=10 * sampling.step_seconds)
    alone = tuple(("worker-0", str(card)) for card in range(cards - idle, cards))
    assert finding.devices == (() if idle == cards else alone)
    assert ("uneven_cards" in job.found()) is False  # told once
    used_once = job.but(curve=lambda task, card, at: np.where(at > seconds - 300, 1.0, 0.0), noise=0.0)
    assert "never_used" not in used_once.found()


@given(samplings(), st.integers(2, 8), st.floats(1, 55), seeds, st.data())
@some
def test_a_card_far_below_the_rest_is_found(
    sampling: Sampling, cards: int, percent: float, seed: int, data: st.DataObject
) -> None:
    slow = data.draw(st.integers(0, cards - 1))
    job = Planted(
        lambda task, card, at: np.full(len(at), percent if (task, card) == ("worker-1", slow) else 92.0),
        workers=2,
        cards=cards,
        noise=1,
        sampling=sampling,
        seed=seed,
    )
    finding = job.found()["uneven_cards"]
    assert finding.devices == (("worker-1", str(slow)),)
    assert finding.numbers["mean_percent"] == pytest.approx(percent, abs=2.5)
    assert finding.numbers["others_percent"] == pytest.approx(92, abs=2)


@given(samplings(), st.integers(2, 5), st.floats(0, 55), seeds)
@some
def test_a_worker_far_below_the_rest_is_found_and_not_flagged_by_the_manual(
    sampling: Sampling, workers: int, percent: float, seed: int
) -> None:
    slow = f"worker-{workers - 1}"
    job = Planted(
        lambda task, card, at: np.full(len(at), percent if task == slow else 92.0),
        workers=workers,
        noise=1,
        sampling=sampling,
        seed=seed,
    )
    found = job.found()
    assert found.keys() - {"never_used"} == {"uneven_workers"}
    finding = found["uneven_workers"]
    assert finding.tasks == (slow,)
    assert finding.numbers["mean_percent"] == pytest.approx(percent, abs=2.5)
    assert finding.numbers["others_percent"] == pytest.approx(92, abs=2)


def orphaned(left_at: float, *, total: float = 64 * GIB, used: float = 20 * GIB) -> dict:
    """Card 1 loses its process and keeps its memory."""
    return {
        "memory_used_bytes": flat(used),
        "memory_total_bytes": flat(total),
        "process_count": lambda task, card, at: np.where((at > left_at) & (card == 1), 0.0, 1.0),
    }


@given(samplings(), st.floats(700, 5000), seeds)
@some
def test_memory_without_a_process_is_found(sampling: Sampling, held: float, seed: int) -> None:
    left_at = 5400 - held
    job = Planted(
        lambda task, card, at: np.where((at > left_at) & (card == 1), 0.0, 90.0),
        cards=2,
        sampling=sampling,
        seed=seed,
        readings=orphaned(left_at),
    )
    finding = job.found()["memory_without_process"]
    assert finding.numbers["memory_bytes"] == 20 * GIB
    assert finding.numbers["held_seconds"] == pytest.approx(held, abs=10 * sampling.step_seconds)
    assert finding.devices == (("worker-0", "1"),)


@pytest.mark.parametrize("case", ["busy", "hidden", "little", "short", "unknown total", "stale"])
def test_memory_is_not_told_to_be_orphaned_where_that_is_not_certain(case: str) -> None:
    use = 30.0 if case == "busy" else 0.0
    left_at = {"short": 5000.0, "hidden": -1.0}.get(case, 3000.0)
    readings = orphaned(
        left_at,
        total=np.nan if case == "unknown total" else 64 * GIB,
        used=3 * GIB if case == "little" else 20 * GIB,
    )
    if case == "hidden":  # no card shows processes, and the collector sees some
        readings["process_count"] = flat(0)
    sampling = Sampling(holes=[(5100, 5400)]) if case == "stale" else Sampling()
    job = Planted(
        lambda task, card, at: np.where((at > left_at) & (card == 1), use, 90.0 * (case != "hidden")),
        cards=2,
        readings=readings,
        sampling=sampling,
        processes={"worker-0": 3},
    )
    assert "memory_without_process" not in job.found()
    if case == "hidden":
        assert "memory_without_process" in job.but(processes={}).found()


@given(
    samplings(),
    st.floats(0, 1),
    st.floats(0.3, 0.7),
    st.floats(0, 40),
    st.floats(0, 6),
    seeds,
    st.sampled_from([1500.0, 5400.0]),
)
@settings(max_examples=25, deadline=None)
def test_a_sawtooth_is_found_with_its_period(
    sampling: Sampling, place: float, duty: float, low: float, noise: float, seed: int, seconds: float
) -> None:
    """From eight readings a period up to the longest that fits six times."""
    shortest, longest = 8 * sampling.step_seconds, min(300.0, 0.9 * min(seconds, 1800.0) / 6)
    period = shortest + place * (longest - shortest)
    job = Planted(
        lambda task, card, at: np.where(at % period < duty * period, 95.0, low),
        seconds,
        cards=2,
        noise=noise,
        seed=seed,
        sampling=sampling,
    )
    finding = job.found()["sawtooth"]
    assert finding.numbers["period_seconds"] == pytest.approx(period, rel=0.03)
    assert finding.numbers["high_percent"] == pytest.approx(97, abs=8)
    assert finding.numbers["low_percent"] == pytest.approx(low, abs=11)
    assert finding.devices == ()


@given(samplings(), st.floats(5, 30), seeds)
@settings(max_examples=25, deadline=None)
def test_loud_noise_and_slow_drift_are_no_sawtooth(sampling: Sampling, noise: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    walk = 60 + np.cumsum(rng.normal(0, 1.2, 6000))

    def curve(task: str, card: int, at: np.ndarray) -> np.ndarray:
        return np.clip(walk[at.astype(int)] if card else np.full(len(at), 60.0), 1, 100)

    job = Planted(curve, cards=2, noise=noise, seed=seed, sampling=sampling)
    assert "sawtooth" not in job.found()


@given(st.sampled_from([2.0, 5.0, 10.0]), st.floats(30, 200), st.floats(0, 40), st.booleans(), seeds)
@some
def test_dips_at_checkpoints_are_found_with_their_lines_and_cost(
    step: float, length: float, low: float, after: bool, seed: int
) -> None:
    """Lines come when saving begins, or when it is done; other dips of the job have none."""
    rng = np.random.default_rng(seed)
    every = length * rng.uniform(4, 9)
    starts = np.arange(rng.uniform(100, 300), 5300 - length, every) + rng.uniform(-5, 5)
    dips = [(float(start), float(start + length)) for start in starts]
    saves = [(end if after else start) + rng.uniform(-4, 4) for start, end in dips]
    job = Planted(
        dipping(93, dips, low), cards=3, seed=seed, saves=saves, sampling=Sampling(step_seconds=step, jitter=0.5)
    )
    finding = job.found()["checkpoint_dips"]
    assert len(dips) - 1 <= finding.numbers["dips"] <= len(dips)  # of one, the samples may be missing
    assert finding.numbers["mean_dip_seconds"] == pytest.approx(length, abs=2.5 * step)
    cost = 100 * len(dips) * length * (93 - low) / 93 / 5400
    assert finding.numbers["lost_percent"] == pytest.approx(cost, rel=0.15)
    assert set(finding.lines) <= {("log", n) for n in range(1, len(dips) + 1)}
    assert len(finding.lines) == finding.numbers["dips"]
    assert "sawtooth" not in job.found()
    unexplained = job.but(saves=[end + length for _, end in dips])
    assert "checkpoint_dips" not in unexplained.found()


def test_cheap_checkpoints_and_lines_everywhere_are_no_finding() -> None:
    dips = [(float(at), float(at + 20)) for at in range(100, 5300, 600)]
    assert "checkpoint_dips" not in Planted(dipping(93, dips), saves=[at for at, _ in dips]).found()
    rng = np.random.default_rng(3)
    dips = [(at, at + 60) for at in rng.uniform(100, 5300, 12)]
    for every in (20.0, 80.0):  # beside most dips by chance; beside more than half of them
        job = Planted(dipping(93, dips), saves=list(np.arange(0, 5400, every)))
        assert "checkpoint_dips" not in job.found()


def test_a_cpu_job_and_a_job_without_data_have_no_findings() -> None:
    assert findings_of(JobView(BEGAN_MS, 0), Limits()) == []
    idle = Planted(flat(0)).view()
    assert {finding.name for finding in findings_of(idle, Limits())} == {"low_utilization", "never_used"}
    described = JobView(idle.now_ms, idle.window_start_ms, accelerator="none", pooled=idle.pooled, cards=idle.cards)
    assert findings_of(described, Limits()) == []


def test_findings_come_by_their_gravity() -> None:
    found = list(Planted(flat(0), workers=2).but(curve=lambda t, c, at: np.full(len(at), 30.0 * (c > 0))).found())
    assert found == sorted(found, key=NAMES.index) and len(found) >= 3
