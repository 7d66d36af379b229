"""Low-use flag: is this job wasting its cards, and what to try; exact, in integers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from logsvc.core.findings.finding import Finding
from logsvc.core.findings.view import JobView, Limits
from logsvc.model.sample import DEVICE_KINDS, Pooled

FLAGGED_TASK = "worker-0"
MICRO = 1_000_000


@dataclass(frozen=True)
class Mean:
    """Mean utilization over readings, 0–100 percent."""

    sum_micropercent: int
    readings: int

    @property
    def percent(self) -> float:
        """The nearest float."""
        return self.sum_micropercent / (MICRO * self.readings)

    def __str__(self) -> str:
        """Two digits, cut and not rounded: what lies below a limit is shown below it."""
        return f"{100 * self.sum_micropercent // (MICRO * self.readings) / 100:g} %"

    def below(self, limit_percent: float) -> bool:
        """Strictly, without rounding the mean."""
        return self.sum_micropercent < round(limit_percent * MICRO) * self.readings


def mean_of(pooled: Iterable[Pooled]) -> Mean | None:
    """Of all readings of these cards together; None where there is no reading."""
    total = count = 0
    for card in pooled:
        if card.series.kind in DEVICE_KINDS:
            total, count = total + card.sum_micropercent, count + card.count
    return Mean(total, count) if count else None


def flagged_mean(pooled: Iterable[Pooled]) -> Mean | None:
    """
    Mean utilization that the manual's rule judges: all cards of worker-0 at all times, pooled.

    Source: training manual, resource usage of worker-0.
    """
    return mean_of(card for card in pooled if card.series.task == FLAGGED_TASK)


def low_utilization(view: JobView, limits: Limits) -> Finding | None:
    """The manual's flag: strictly below the limit, from the first reading on."""
    mean = flagged_mean(view.pooled)
    if mean is None or not mean.below(limits.low_utilization_percent):
        return None
    return Finding(
        "low_utilization",
        f"The cards of {FLAGGED_TASK} averaged {mean} over {mean.readings:,} readings, "
        f"below {limits.low_utilization_percent:g} %.",
        "Try a larger batch, more processes that load data, data read from the local disk instead of a mount, "
        "and fewer or asynchronous checkpoints; if the job does not need its cards, use fewer.",
        {
            "mean_percent": mean.percent,
            "readings": mean.readings,
            "limit_percent": limits.low_utilization_percent,
        },
    )
