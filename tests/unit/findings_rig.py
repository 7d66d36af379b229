"""Jobs made for the rules: cards sampled at uneven times, with holes, from a curve that a test plants."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from logsvc.core.findings.finding import Finding
from logsvc.core.findings.rules import findings_of
from logsvc.core.findings.view import CheckpointLine, JobView, Limits
from logsvc.model.sample import Pooled, SeriesName
from logsvc.ports import RawSeries

BEGAN_MS = 1_700_000_000_000
GIB = 1 << 30
LIMITS = Limits()
Curve = Callable[[str, int, np.ndarray], np.ndarray]  # task, card, seconds since the begin -> percent


@dataclass(frozen=True)
class Sampling:
    """
    How a job is seen.

    Attributes:
        jitter: of the interval, share of it.
        missing: share of samples that did not come; `nan`: that came without a reading.
        holes: (from, to) in seconds, in which no sample came at all.
        window_seconds: how far back the view holds single samples.
    """

    step_seconds: float = 5.0
    jitter: float = 0.2
    missing: float = 0.05
    nan: float = 0.02
    holes: Sequence[tuple[float, float]] = ()
    window_seconds: float = 7200.0


@dataclass(frozen=True)
class Planted:
    """
    A job.

    Attributes:
        readings: further readings by name: (task, card, seconds) to values.
        saves: seconds at which lines about a checkpoint came, on worker-0.
    """

    curve: Curve
    seconds: float = 5400.0
    workers: int = 1
    cards: int = 4
    noise: float = 4.0
    seed: int = 0
    sampling: Sampling = Sampling()
    readings: Mapping[str, Curve] = field(default_factory=dict)
    saves: Sequence[float] = ()
    processes: Mapping[str, int] = field(default_factory=dict)

    def view(self) -> JobView:
        rng = np.random.default_rng(self.seed)
        now_ms = BEGAN_MS + int(1000 * self.seconds)
        start_ms = now_ms - int(1000 * self.sampling.window_seconds)
        cards, pooled = [], []
        for worker in range(self.workers):
            for card in range(self.cards):
                series, mean = self._card(f"worker-{worker}", card, rng)
                pooled += mean
                recent = series.at_ms >= start_ms
                if recent.any():
                    held = {name: values[recent] for name, values in series.readings.items()}
                    cards.append(RawSeries(series.series, series.at_ms[recent], held))
        lines = [CheckpointLine("log", n, BEGAN_MS + int(1000 * at), "worker-0") for n, at in enumerate(self.saves, 1)]
        return JobView(now_ms, start_ms, pooled=pooled, cards=cards, processes=self.processes, checkpoints=lines[::-1])

    def _card(self, task: str, card: int, rng: np.random.Generator) -> tuple[RawSeries, list[Pooled]]:
        step, jitter = self.sampling.step_seconds, self.sampling.jitter
        count = int(self.seconds / step) + 1
        at = np.arange(count) * step + rng.uniform(0, step) + rng.uniform(-jitter / 2, jitter / 2, count) * step
        at = np.unique(np.round(at[(at >= 0) & (at <= self.seconds)], 3))
        at = at[rng.random(len(at)) >= self.sampling.missing]
        for first, last in self.sampling.holes:
            at = at[(at < first) | (at > last)]
        use = self.curve(task, card, at)
        use = np.round(np.clip(np.where(use > 0, use + rng.normal(0, self.noise, len(at)), use), 0, 100))
        use[rng.random(len(at)) < self.sampling.nan] = np.nan
        at_ms = BEGAN_MS + np.round(1000 * at).astype(np.int64)
        readings = {"utilization_percent": use} | {
            name: np.asarray(values(task, card, at), float) for name, values in self.readings.items()
        }
        series = SeriesName(task, "npu", str(card))
        told = use[~np.isnan(use)]
        if not len(told):
            return RawSeries(series, at_ms, readings), []
        times = at_ms[~np.isnan(use)]
        exact = Pooled(series, int(told.sum()) * 1_000_000, len(told), int(times[0]), int(times[-1]))
        return RawSeries(series, at_ms, readings), [exact]

    def found(self, limits: Limits = LIMITS) -> dict[str, Finding]:
        return {finding.name: finding for finding in findings_of(self.view(), limits)}

    def but(self, **given: object) -> Planted:
        return replace(self, **given)  # type: ignore[arg-type]


def flat(percent: float) -> Curve:
    return lambda task, card, at: np.full(len(at), percent)


def dipping(base: float, spans: Sequence[tuple[float, float]], low: float = 0.0) -> Curve:
    """At `base`, and at `low` in these spans (seconds)."""

    def curve(task: str, card: int, at: np.ndarray) -> np.ndarray:
        inside = np.zeros(len(at), bool)
        for first, last in spans:
            inside |= (at >= first) & (at < last)
        return np.where(inside, low, base)

    return curve
