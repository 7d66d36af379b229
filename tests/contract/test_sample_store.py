"""Samples: stored once, read back whole, in buckets, and summed exactly. Each case on every store."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from logsvc.errors import BadInput
from logsvc.model.sample import Pooled, Sample, SampleQuery, SeriesName
from logsvc.ports import LogStore, SampleStore
from samples_of import FOREVER, a_card, a_sample, all_of

JOB = "contract-samples"
Reopen = Callable[[Any], Awaitable[Any]]


async def test_nothing_is_held_of_an_unknown_job(sample_store: SampleStore) -> None:
    assert await sample_store.sample_series(JOB) == []
    assert await sample_store.raw_samples(JOB, FOREVER) == []
    assert await sample_store.bucketed_samples(JOB, FOREVER, buckets=3) == []
    assert await sample_store.pooled([JOB]) == {}
    assert await sample_store.add_samples(JOB, []) == 0


async def test_every_value_comes_back_to_the_last_bit(sample_store: SampleStore) -> None:
    """Percents, watts in thousandths, bytes, what no decimal says, and what is no reading."""
    odd = (0.1 + 0.2, 1e-300, -0.0, 2.0**60, 5e-324, 1e300, -1.5, 123456.789, 1 / 3)
    samples = [
        a_sample(5000 * n, 50.0 + n, value, 80 * 2**30, 412.375 + n / 1000, None, 3) for n, value in enumerate(odd)
    ]
    samples.append(a_sample(99_000, math.nan, None))
    assert await sample_store.add_samples(JOB, samples) == len(samples)
    held = (await all_of(sample_store, JOB))[a_card()]
    for sample in samples:
        sent = [None if value is None or value != value else float(value).hex() for value in sample.values]
        assert list(held[sample.at_ms]) == sent


async def test_a_sample_sent_twice_is_held_once(sample_store: SampleStore) -> None:
    """Also when it comes late, between others, or twice in one call; the first stays."""
    first = [a_sample(at, at / 10_000) for at in (10_000, 20_000, 40_000)]
    assert await sample_store.add_samples(JOB, first) == 3
    assert await sample_store.add_samples(JOB, first) == 0
    late = [a_sample(at, 99.0) for at in (5_000, 10_000, 30_000, 40_000, 30_000, 50_000, 50_000)]
    assert await sample_store.add_samples(JOB, late) == 3
    assert await sample_store.add_samples(JOB, [*late, a_sample(10_000, 7.0, series=a_card("1"))]) == 1
    found = await sample_store.raw_samples(JOB, FOREVER)
    assert [one.series.name for one in found] == ["0", "1"]
    assert found[0].at_ms.tolist() == [5_000, 10_000, 20_000, 30_000, 40_000, 50_000]
    assert found[0].readings["utilization_percent"].tolist() == [99.0, 1.0, 2.0, 99.0, 4.0, 99.0]
    assert (await sample_store.pooled([JOB]))[JOB][0] == Pooled(a_card(), 304_000_000, 6, 5_000, 50_000)


async def test_what_cannot_be_kept_is_refused_whole(sample_store: SampleStore) -> None:
    bad = [
        a_sample(2, math.inf),
        a_sample(2, 100.5),
        a_sample(2, -1.0),
        a_sample(1 << 60, 1.0),
        Sample(SeriesName("worker-0", "tpu", "0"), 2, (1.0,)),
        Sample(a_card(), 2, (1.0,)),
    ]
    for one in bad:
        with pytest.raises(BadInput, match="sample 1: "):
            await sample_store.add_samples(JOB, [a_sample(1, 1.0), one])
    assert await sample_store.sample_series(JOB) == []


async def test_series_come_in_the_order_of_their_numbers(sample_store: SampleStore) -> None:
    names = [
        SeriesName(task, kind, name)
        for task in ("worker-10", "worker-2", "worker-0")
        for kind, name in (("npu", "10"), ("npu", "2"), ("npu", "2:1"), ("mount", "/cache"), ("host", ""))
    ]
    await sample_store.add_samples(JOB, [a_sample(1000, 1.0, 2.0, series=name) for name in names])
    told = await sample_store.sample_series(JOB)
    assert [one.task for one in told] == ["worker-0"] * 5 + ["worker-2"] * 5 + ["worker-10"] * 5
    assert [(one.kind, one.name) for one in told[:5]] == [
        ("host", ""), ("mount", "/cache"), ("npu", "2"), ("npu", "2:1"), ("npu", "10")
    ]  # fmt: skip
    assert await sample_store.sample_series(JOB, ("host", "mount")) == [one for one in told if one.kind != "npu"]
    assert [one.series for one in await sample_store.raw_samples(JOB, FOREVER)] == told
    assert [one.series for one in await sample_store.bucketed_samples(JOB, FOREVER, buckets=2)] == told
    assert [one.series for one in (await sample_store.pooled([JOB]))[JOB]] == [one for one in told if one.kind == "npu"]


async def test_only_what_was_asked_for_is_read(sample_store: SampleStore) -> None:
    cards = [a_card(name, task=task) for task in ("worker-0", "worker-1") for name in ("0", "1")]
    process = SeriesName("worker-0", "process", "17")
    for at in range(0, 10_000, 1000):
        await sample_store.add_samples(JOB, [a_sample(at, 50.0, 8.0, series=one) for one in [*cards, process]])

    async def asked(**query: Any) -> list[Any]:
        return await sample_store.raw_samples(JOB, SampleQuery(**{"start_ms": 2000, "end_ms": 5000, **query}))

    found = await asked()
    assert [one.series for one in found] == cards
    assert all(one.at_ms.tolist() == [2000, 3000, 4000] and len(one.readings) == 6 for one in found)
    assert [one.series for one in await asked(tasks=frozenset({"worker-1"}))] == cards[2:]
    assert [one.series for one in await asked(names=frozenset({"1"}))] == [cards[1], cards[3]]
    (one,) = await asked(kinds=("process", "host"))
    assert one.series == process and one.readings["write_bytes"].tolist() == [8.0] * 3
    (one,) = await asked(kinds=("npu", "process"), readings=frozenset({"read_bytes"}))
    assert list(one.readings) == ["read_bytes"]
    assert await asked(end_ms=2000) == []
    assert await asked(start_ms=9001, end_ms=99_000) == []
    assert await sample_store.raw_samples("another", FOREVER) == []


async def test_buckets_are_those_of_the_contract(sample_store: SampleStore) -> None:
    """Each sample in floor((at - start) * buckets / span), counted by hand; gaps do not count."""
    chance = random.Random(4)
    times = sorted(chance.sample(range(1_000_003, 1_090_000), 300))
    cards = [a_card(name) for name in "012"]
    sent = {
        card: {at: None if chance.random() < 0.2 else float(chance.randint(0, 100)) for at in times[index:]}
        for index, card in enumerate(cards)
    }
    order = [(card, at) for card in cards for at in sent[card]]
    chance.shuffle(order)
    for part in _parts(order, 100):
        await sample_store.add_samples(JOB, [a_sample(at, sent[card][at], series=card) for card, at in part])
    start, end, buckets = 1_010_001, 1_080_000, 37
    found = await sample_store.bucketed_samples(
        JOB, SampleQuery(start, end, readings=frozenset({"utilization_percent"})), buckets=buckets
    )
    assert [one.series for one in found] == cards
    for one in found:
        into: list[list[float]] = [[] for _ in range(buckets)]
        for at, value in sent[one.series].items():
            if value is not None and start <= at < end:
                into[(at - start) * buckets // (end - start)].append(value)
        got = one.readings["utilization_percent"]
        assert got.count.tolist() == [len(part) for part in into]
        for index, part in enumerate(into):
            told = (got.minimum[index], got.mean[index], got.maximum[index])
            if part:
                assert told == pytest.approx((min(part), sum(part) / len(part), max(part)), rel=1e-12)
            else:
                assert np.isnan(told).all()


async def test_sums_are_exact(sample_store: SampleStore, reopen: Reopen) -> None:
    """Uneven cards, numbers of every length, as integers of a millionth; the same after a start."""
    chance = random.Random(5)
    want: dict[SeriesName, list[Fraction]] = {}
    for turn in range(40):
        samples = []
        for card in [a_card(str(n), kind="gpu") for n in range(1 + turn % 4)]:
            value = round(chance.uniform(0, 100), chance.randint(0, 6))
            samples.append(a_sample(turn * 1000, None if chance.random() < 0.1 else value, series=card))
        for sample in samples:
            if sample.values[0] is not None:
                want.setdefault(sample.series, []).append(Fraction(str(sample.values[0])) * 10**6)
        await sample_store.add_samples(JOB, samples)
        await sample_store.add_samples(JOB, samples)
    for store in (sample_store, None):
        pooled = await (store or await reopen(sample_store)).pooled([JOB, "another"])
        assert list(pooled) == [JOB]
        assert {one.series: (one.sum_micropercent, one.count) for one in pooled[JOB]} == {
            series: (sum(values), len(values)) for series, values in want.items()
        }


async def test_everything_is_there_after_a_start(sample_store: SampleStore, reopen: Reopen) -> None:
    """And it is known what came before it."""
    samples = [a_sample(at, at / 100, series=a_card(name)) for at in range(0, 5000, 100) for name in "01"]
    for part in _parts(samples, 30):
        await sample_store.add_samples(JOB, part)
    before = await all_of(sample_store, JOB), await sample_store.pooled([JOB])
    again = await reopen(sample_store)
    assert (await all_of(again, JOB), await again.pooled([JOB])) == before
    assert await again.add_samples(JOB, samples) == 0
    assert await again.add_samples(JOB, [a_sample(2550, 1.0), a_sample(9000, 1.0)]) == 2
    assert len((await all_of(again, JOB))[a_card("0")]) == 52


async def test_jobs_do_not_meet(sample_store: SampleStore) -> None:
    """Many at a time, each with the series of the others."""
    jobs = [f"contract-{n}" for n in range(20)]
    await asyncio.gather(*(sample_store.add_samples(job, [a_sample(1000, float(n))]) for n, job in enumerate(jobs)))
    pooled = await sample_store.pooled(jobs)
    assert [pooled[job][0].sum_micropercent for job in jobs] == [n * 10**6 for n in range(20)]
    assert await sample_store.pooled(["contract-3"]) == {"contract-3": pooled["contract-3"]}


async def test_samples_and_logs_share_a_store(log_store: LogStore, sample_store: SampleStore) -> None:
    """Samples alone make neither a stream nor a job's record."""
    await sample_store.add_samples(JOB, [a_sample(1000, 1.0)])
    assert await log_store.streams(JOB) == []
    assert await log_store.job_totals([JOB]) == {}


def _parts(items: list[Any], size: int) -> list[list[Any]]:
    return [items[at : at + size] for at in range(0, len(items), size)]
