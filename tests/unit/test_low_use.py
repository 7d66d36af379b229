"""The manual's flag, against calculations by hand: worker-0, all cards and times pooled, strictly below 50."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logsvc.core.findings.finding import Finding
from logsvc.core.findings.rules import findings_of
from logsvc.core.findings.view import JobView, Limits
from logsvc.core.low_use import flagged_mean, mean_of
from logsvc.model.sample import Pooled, SeriesName
from logsvc.ports import RawSeries

MINUTE_MS = 60_000


def pooled(use: list[float | None], device: str = "0", *, task: str = "worker-0", kind: str = "npu") -> Pooled:
    """As a store keeps it: readings that are missing do not count."""
    told = [value for value in use if value is not None]
    return Pooled(SeriesName(task, kind, device), sum(round(value * 1_000_000) for value in told), len(told), 0, 1)


def flag(*cards: Pooled, accelerator: str | None = None) -> Finding | None:
    view = JobView(MINUTE_MS, 0, accelerator=accelerator, pooled=cards)
    return next((one for one in findings_of(view, Limits()) if one.name == "low_utilization"), None)


def test_the_mean_is_pooled_and_no_mean_of_means() -> None:
    """By hand: (90 + 90 + 90 + 90 + 90 + 90 + 10 + 10 + 10) / 9 = 570 / 9 = 63.3; the mean of means is 50.0."""
    cards = [pooled([90.0] * 6, "0"), pooled([10.0] * 3, "1")]
    mean = flagged_mean(cards)
    assert mean is not None
    assert Fraction(mean.sum_micropercent, 1_000_000 * mean.readings) == Fraction(570, 9)
    assert flag(*cards) is None
    # The other way round: (90·3 + 10·6) / 9 = 330 / 9 = 36.67, flagged.
    finding = flag(pooled([90.0] * 3, "0"), pooled([10.0] * 6, "1"))
    assert finding is not None
    assert finding.numbers == {"mean_percent": pytest.approx(330 / 9), "readings": 9, "limit_percent": 50}
    assert finding.reason == "The cards of worker-0 averaged 36.66 % over 9 readings, below 50 %."
    for advice in ("batch", "load data", "checkpoints"):
        assert advice in finding.advice


@pytest.mark.parametrize(
    ("use", "flagged"),
    [([49.99], True), ([50.0], False), ([50.01], False), ([49.999999], True), ([0.0], True), ([100.0, 0.0], False)],
)
def test_strictly_below_fifty(use: list[float], flagged: bool) -> None:
    assert (flag(pooled(use)) is not None) == flagged


def test_a_hair_below_is_flagged_among_millions_of_readings() -> None:
    """49.9999999999 as a float's mean would be 50.0 when rounded."""
    count = 2_000_000_000
    card = Pooled(SeriesName("worker-0", "gpu", "0"), 50_000_000 * count - 1, count, 0, 1)
    finding = flag(card)
    assert finding is not None and "averaged 49.99 %" in finding.reason
    assert flag(Pooled(card.series, 50_000_000 * count, count, 0, 1)) is None


def test_missing_readings_do_not_count() -> None:
    """By hand: (80 + 30) / 2 = 55; were the three gaps zeros, it were 22."""
    assert flag(pooled([80.0, None, None, 30.0, None])) is None
    assert flag(pooled([])) is None


def test_other_workers_and_cpu_jobs_are_never_flagged() -> None:
    busy, idle = pooled([90.0]), pooled([0.0], task="worker-1")
    assert flag(busy, idle) is None
    assert flag(idle) is None  # no reading of worker-0: no data
    assert flag(pooled([0.0]), accelerator="none") is None
    assert flag(pooled([0.0]), accelerator="ascend") is not None
    assert flag(pooled([0.0], kind="host")) is None


def test_worker_1_that_idles_is_found_by_the_other_findings_only() -> None:
    at_ms = np.arange(0, 30 * MINUTE_MS, 5000)
    series, sums = [], []
    for task, use in (("worker-0", 90.0), ("worker-1", 3.0)):
        name = SeriesName(task, "npu", "0")
        series.append(RawSeries(name, at_ms, {"utilization_percent": np.full(len(at_ms), use)}))
        sums.append(Pooled(name, int(use * 1_000_000) * len(at_ms), len(at_ms), 0, int(at_ms[-1])))
    found = findings_of(JobView(int(at_ms[-1]), 0, pooled=sums, cards=series), Limits())
    assert [(finding.name, finding.tasks) for finding in found] == [("uneven_workers", ("worker-1",))]
    assert found[0].numbers == {"mean_percent": pytest.approx(3), "others_percent": pytest.approx(90)}


@given(st.lists(st.lists(st.integers(0, 10_000) | st.none(), max_size=30), min_size=1, max_size=8))
@settings(max_examples=50, deadline=None)
def test_the_flag_is_exact(cards: list[list[int | None]]) -> None:
    """Against fractions, over readings of a hundredth of a percent, −1 and null left out by whoever counts."""
    uses = [[None if value is None else value / 100 for value in card] for card in cards]
    told = [Fraction(value, 100) for card in cards for value in card if value is not None]
    mean = mean_of(pooled(use, str(n)) for n, use in enumerate(uses))
    assert (mean is None) == (not told)
    expected = bool(told) and sum(told) / len(told) < 50
    assert (flag(*(pooled(use, str(n)) for n, use in enumerate(uses))) is not None) == expected
