"""The demo's cards tell their story within its minute: what README promises, by the real rules, without waiting."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from collectors.samplers import DeviceReading
from collectors.samplers.synthetic import Synthetic
from logsvc.core.findings.finding import Finding
from logsvc.core.findings.rules import findings_of
from logsvc.core.findings.view import CheckpointLine, JobView, Limits
from logsvc.demo import show, training
from logsvc.demo.cards import Cards
from logsvc.model.sample import READINGS, Pooled, SeriesName
from logsvc.ports import RawSeries
from logsvc.settings import read

PREPARED_SECONDS = 9.0  # platform lines, pip, both workers up
Moment = tuple[float, str]


def moments(rank: int) -> Iterator[Moment]:
    """When the training calls which method of its cards; `saved` is worker-0's line."""
    at, is_starved = PREPARED_SECONDS, False
    yield at, "load"
    for epoch in range(1, training.TORN_EPOCH):
        for step in range(1, training.STEPS + 1):
            yield at, "starve" if is_starved else "train"
            at += training.STEP_SECONDS
            if step % training.SAVE_STEPS == 0:
                if rank == 0:
                    yield at, "wait"
                at += training.SAVE_SECONDS
            is_starved = is_starved or (rank == 1 and epoch == training.SLOW_EPOCH and step >= training.SHOW_STEPS)
        at += training.BAR_STEPS * training.BAR_SECONDS


def sampled(folder: Path, rank: int, seconds: int) -> dict[str, list[tuple[int, DeviceReading]]]:
    """What the collector reads, once a second."""
    file = folder / f"cards-{rank}-{seconds}.jsonl"
    cards, now = Cards(file, rank), 0.0
    cards.begin()
    sampler = Synthetic(file, monotonic=lambda: now)
    calls = {
        "train": cards.train,
        "load": cards.load,
        "wait": cards.wait,
        "starve": lambda: cards.train(is_starved=True),
    }
    left = list(moments(rank))
    sampler.open()
    found: dict[str, list[tuple[int, DeviceReading]]] = {}
    for second in range(seconds + 1):
        now = float(second)
        while left and left[0][0] <= now:
            calls[left.pop(0)[1]]()
        for reading in sampler.sample():
            assert isinstance(reading, DeviceReading)
            found.setdefault(reading.device, []).append((second, reading))
    return found


def view(folder: Path, seconds: int) -> JobView:
    """What the rules see of the job so long after its begin."""
    cards, pooled = [], []
    for rank in (0, 1):
        for device, readings in sampled(folder, rank, seconds).items():
            series = SeriesName(f"worker-{rank}", "npu", device)
            at_ms = np.array([second * 1000 for second, _ in readings], dtype=np.int64)
            values = {
                name: np.array([getattr(reading, name) for _, reading in readings], dtype=np.float64)
                for name in READINGS["npu"]
            }
            cards.append(RawSeries(series, at_ms, values))
            total = round(values["utilization_percent"].sum() * 1_000_000)
            pooled.append(Pooled(series, total, len(readings), int(at_ms[0]), int(at_ms[-1])))
    saved = [at for at, call in moments(0) if call == "wait" and at <= seconds]
    lines = [CheckpointLine("s", n, round(at * 1000), "worker-0") for n, at in enumerate(saved, 1)]
    return JobView(seconds * 1000, 0, "ascend", pooled, cards, checkpoints=lines)


@pytest.fixture
def limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Limits:
    """Those of the demo's service."""
    for name, value in show.SERVICE_SETTINGS.items():
        monkeypatch.setenv(name, value)
    return Limits.of(read(data_dir=tmp_path).settings)


def found(folder: Path, seconds: int, limits: Limits) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings_of(view(folder, seconds), limits)}


def test_the_manuals_flag_comes_first_and_goes(tmp_path: Path, limits: Limits) -> None:
    assert "low_utilization" in found(tmp_path, 8, limits)
    assert "low_utilization" not in found(tmp_path, 30, limits)


def test_within_the_minute_the_starved_worker_and_the_price_of_checkpoints_are_found(
    tmp_path: Path, limits: Limits
) -> None:
    findings = found(tmp_path, 55, limits)
    assert set(findings) == {"uneven_workers", "checkpoint_dips"}
    assert findings["uneven_workers"].tasks == ("worker-1",)
    assert findings["checkpoint_dips"].numbers["dips"] >= 3
    assert len(findings["checkpoint_dips"].lines) >= 3
