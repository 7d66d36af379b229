"""Where a rule must be silent or exact: holes, late starts, few readings, what is hardly seen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logsvc.core.findings.rules import findings_of
from logsvc.core.findings.sawtooth import autocorrelation, wave_of
from logsvc.core.findings.series import Card, gridded, mean_of_cards, weights_of
from logsvc.core.findings.view import JobView, Limits
from logsvc.core.low_use import low_utilization
from logsvc.model.sample import Pooled, SeriesName
from unit.findings_rig import BEGAN_MS, GIB, LIMITS, Planted, Sampling, dipping, flat

REGULAR = Sampling(jitter=0, missing=0, nan=0)


def card(at_seconds: list[float], use: list[float], device: str = "0") -> Card:
    return Card("worker-0", device, np.array([1000 * at for at in at_seconds], np.int64), np.array(use))


def test_readings_weigh_by_their_time_and_never_over_a_hole() -> None:
    """By hand: the usual interval is 5 s; the reading before a hole of 300 s stands for 15 s, the last for 5 s."""
    at = [0.0, 5, 10, 15, 315, 320]
    assert weights_of(np.array(at) * 1000).tolist() == [5000, 5000, 5000, 15000, 5000, 5000]
    assert weights_of(np.array([0, 120_000, 240_000, 900_000])).tolist() == [120_000, 120_000, 180_000, 120_000]
    assert weights_of(np.array([7])).tolist() == [1.0]
    # 90 for 60 s at one reading in 10 s, then 30 for 60 s at one in a second: the mean over time is 60.
    uneven = card([*range(0, 60, 10), *range(60, 120)], [90.0] * 6 + [30.0] * 60)
    assert weights_of(uneven.at_ms)[0] == 3000  # three usual intervals
    assert card([*range(0, 60, 2), *range(60, 120)], [90.0] * 30 + [30.0] * 60).mean == pytest.approx(60)
    # Of two cards, one seen for twice as long counts twice: (60·90 + 120·30) / 180 = 50.
    first, second = card([*range(0, 60, 5)], [90.0] * 12), card([*range(0, 120, 5)], [30.0] * 24, "1")
    assert mean_of_cards([first, second]) == pytest.approx(50)


def test_a_grid_leaves_out_what_was_not_read() -> None:
    grid = gridded([card([0, 5, 10, 40, 45], [1.0, 2, 3, 4, 5]), card([0, 5], [9.0, 8], "1")])
    assert grid is not None and grid.step_ms == 5000
    first, second = grid.use.tolist()
    nan = pytest.approx(np.nan, nan_ok=True)
    assert first == [1, 2, 3, 3, nan, nan, nan, 4, 4, 5]  # within one step, the nearest
    assert second == [9, 8, 8, *[nan] * 7]
    assert gridded([card([0], [1.0])]) is None and gridded([]) is None


def test_autocorrelation_by_hand() -> None:
    """x = ±1 in turn: itself after two steps, its opposite after one; with two unknown as well."""
    wave = np.tile([10.0, 20.0], 40)
    assert autocorrelation(wave)[:4] == pytest.approx([1, -1, 1, -1])
    wave[[5, 20]] = np.nan
    assert autocorrelation(wave)[:4] == pytest.approx([1, -1, 1, -1], abs=1e-9)
    assert (autocorrelation(np.full(50, 7.0)) == 0).all()


@given(st.integers(0, 2**32 - 1), st.integers(1, 900), st.sampled_from([0.0, 0.3, 0.9, 1.0]))
@settings(max_examples=40, deadline=None)
def test_any_series_is_looked_at_in_bounded_time(seed: int, steps: int, missing: float) -> None:
    """Walks, bursts, constants and noise of any strength, with limits under which everything is a wave."""
    rng = np.random.default_rng(seed)
    shapes = [rng.uniform(0, 100, steps), np.cumsum(rng.normal(0, 9, steps)) % 100, rng.choice([0.0, 100.0], steps)]
    shapes += [np.round(shapes[0] / 50) * 50, np.repeat(shapes[0], 5)[:steps], np.full(steps, 50.0)]
    loose = Limits(sawtooth_points=1, sawtooth_correlation=0.01, sawtooth_max_seconds=3600)
    for use in shapes:
        wave = wave_of(np.where(rng.random(steps) < missing, np.nan, use), 5.0, loose)
        assert wave is None or (10 < wave.period_seconds < 3600 and wave.low_percent < wave.high_percent)


def test_a_job_or_a_worker_that_only_begins_is_not_judged_by_a_window_that_it_was_not_there_for() -> None:
    began = Planted(flat(20), 860, sampling=REGULAR)
    assert began.found().keys() == {"low_utilization"}
    assert "recently_low" in began.but(seconds=960.0).found()
    late = Planted(
        lambda task, card, at: np.where((task == "worker-1") & (at < 4600), np.nan, 20.0 if task[-1] == "1" else 90.0),
        workers=2,
    )
    assert late.found() == {}
    assert late.but(seconds=5700.0).found().keys() == {"uneven_workers"}


@pytest.mark.parametrize("hole", [(4560.0, 5340.0), (5200.0, 5400.0)], ids=["hardly covered", "stale"])
def test_a_window_of_which_little_is_seen_is_not_judged(hole: tuple[float, float]) -> None:
    job = Planted(dipping(90, [(4500, 5401)], 20), sampling=REGULAR)
    assert job.found().keys() == {"recently_low"}
    assert job.but(sampling=Sampling(jitter=0, missing=0, nan=0, holes=[hole])).found() == {}


def test_idling_on_both_sides_of_a_hole_is_no_gap_and_nor_is_that_of_the_few_cards_seen() -> None:
    idle = Planted(dipping(90, [(2000, 3400)]), sampling=REGULAR)
    assert idle.found().keys() == {"long_idle_gap"}
    assert idle.but(sampling=Sampling(jitter=0, missing=0, nan=0, holes=[(2480, 2920)])).found() == {}

    def seen_by_one(task: str, card: int, at: np.ndarray) -> np.ndarray:
        return np.where((at >= 2000) & (at < 3400), np.nan if card else 0.0, 90.0)

    assert idle.but(curve=seen_by_one).found() == {}


def test_a_card_read_twice_is_not_said_never_to_have_been_used() -> None:
    def pooled(count: int) -> JobView:
        card = Pooled(SeriesName("worker-1", "gpu", "0"), 0, count, BEGAN_MS, BEGAN_MS + 3_600_000)
        return JobView(BEGAN_MS + 3_600_000, BEGAN_MS, pooled=[card])

    assert findings_of(pooled(2), LIMITS) == []
    assert [(one.name, one.numbers["cards"]) for one in findings_of(pooled(3), LIMITS)] == [("never_used", 1)]


def test_memory_held_on_both_sides_of_a_hole_is_held_since_the_hole() -> None:
    job = Planted(
        flat(0),
        readings={
            "memory_used_bytes": flat(30 * GIB),
            "memory_total_bytes": flat(64 * GIB),
            "process_count": flat(0),
        },
        cards=1,
        sampling=REGULAR,
    )
    assert job.found()["memory_without_process"].numbers["held_seconds"] == pytest.approx(5400, abs=10)
    after = job.but(sampling=Sampling(jitter=0, missing=0, nan=0, holes=[(4000, 4900)]))
    assert "memory_without_process" not in after.found()


def test_short_dips_with_a_period_are_no_sawtooth_and_nor_is_a_low_swing() -> None:
    def swing(low_seconds: float, low: float) -> Planted:
        return Planted(
            lambda task, card, at: np.where(at % 100 < low_seconds, low, 90.0),
            sampling=Sampling(step_seconds=2, jitter=0.3),
        )

    assert "sawtooth" in swing(30, 10).found()
    assert swing(12, 10).found() == {}
    assert swing(50, 75).found() == {}


def test_a_swing_of_one_card_names_it() -> None:
    job = Planted(lambda task, card, at: np.where((at % 80 < 30) & (card == 2), 5.0, 90.0))
    finding = job.found()["sawtooth"]
    assert finding.devices == (("worker-0", "2"),)
    assert finding.reason.endswith("every 80 seconds, on 1 of 4 cards.")


def test_the_cost_of_checkpoints_is_over_all_workers() -> None:
    """By hand: one of two workers is at 0 for a fifth of the time: a tenth of the work."""
    dips = [(float(at), float(at + 100)) for at in range(200, 5200, 500)]
    alone = dipping(90, dips)
    job = Planted(
        lambda task, card, at: alone(task, card, at) if task == "worker-0" else np.full(len(at), 90.0),
        workers=2,
        saves=[at for at, _ in dips],
        sampling=REGULAR,
    )
    assert job.found()["checkpoint_dips"].numbers["lost_percent"] == pytest.approx(100 * 500 / 5400, rel=0.1)


def test_the_flag_alone_needs_no_samples() -> None:
    view = Planted(flat(30)).view()
    assert low_utilization(JobView(view.now_ms, 0, pooled=view.pooled), LIMITS) is not None


def test_a_finding_names_a_hundred_cards_at_most_and_counts_all() -> None:
    job = Planted(
        lambda task, card, at: np.full(len(at), 0.0 if card else 90.0),
        1200,
        workers=20,
        cards=8,
        sampling=Sampling(step_seconds=60),
    )
    finding = job.found()["never_used"]
    assert (len(finding.devices), finding.numbers["cards"]) == (100, 140)
    assert "and 137 more (140 of 160)" in finding.reason
