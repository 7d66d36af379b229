"""A state machine compares samples of the embedded store with the plain one, whatever is done in whatever order.

`LOGSVC_TEST_EXAMPLES=2000` runs it longer.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from builders import HandClock
from logsvc.model.sample import READINGS, Sample, SampleQuery, SeriesName
from logsvc.stores.embedded.doctor import check
from logsvc.stores.embedded.samples import packing, writer
from logsvc.stores.embedded.store import EmbeddedStore
from logsvc.stores.memory import MemoryStore
from samples_of import all_of, plain

T = TypeVar("T")
EXAMPLES = int(os.environ.get("LOGSVC_TEST_EXAMPLES", "4"))
JOBS = ("machine-a", "machine-b")
SERIES = [
    SeriesName(task, kind, name)
    for task in ("worker-0", "worker-1")
    for kind, name in (("npu", "0"), ("npu", "1"), ("gpu", "0:1"), ("process", "17"), ("host", ""), ("log", ""))
]

numbers = st.one_of(st.none(), st.integers(0, 100).map(float), st.floats(0, 100), st.just(float("nan")))
times = st.one_of(st.integers(0, 40), st.integers(0, 40), st.integers(-(1 << 50), 1 << 50))


@st.composite
def sample(draw: st.DrawFn) -> Sample:
    """Of any series, mostly at a time that others have too."""
    series = draw(st.sampled_from(SERIES))
    return Sample(series, draw(times), tuple(draw(numbers) for _ in READINGS[series.kind]))


@st.composite
def query(draw: st.DrawFn) -> SampleQuery:
    """Part of it all."""
    start, end = sorted((draw(times), draw(times)))
    every = sorted({name for names in READINGS.values() for name in names})
    return SampleQuery(
        start,
        end + 1,
        kinds=tuple(draw(st.sets(st.sampled_from(sorted(READINGS)), min_size=1))),
        tasks=draw(st.none() | st.frozensets(st.sampled_from(["worker-0", "worker-1", "worker-2"]))),
        names=draw(st.none() | st.frozensets(st.sampled_from(["0", "1", "17", ""]))),
        readings=draw(st.none() | st.frozensets(st.sampled_from(every))),
    )


class SampleMachine(RuleBasedStateMachine):
    """Two stores, one of them plain."""

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._folder = Path(tempfile.mkdtemp(prefix="samples-machine-"))
        self._number = 0
        self._clock = HandClock()
        self._plain = MemoryStore(self._clock)
        self._store = self._opened()

    def teardown(self) -> None:
        self._run(self._store.close())
        assert check(self._place) == []
        self._runner.close()
        shutil.rmtree(self._folder)

    @rule(job=st.sampled_from(JOBS), samples=st.lists(sample(), max_size=12))
    def add(self, job: str, samples: list[Sample]) -> None:
        assert self._run(self._store.add_samples(job, samples)) == self._run(self._plain.add_samples(job, samples))

    @rule(calls=st.lists(st.tuples(st.sampled_from(JOBS), st.lists(sample(), max_size=4)), min_size=2, max_size=5))
    def add_at_once(self, calls: list[tuple[str, list[Sample]]]) -> None:
        """Calls that may share a commit are taken in their order."""

        async def all_at_once(store: Any) -> list[int]:
            return list(await asyncio.gather(*(store.add_samples(job, samples) for job, samples in calls)))

        assert self._run(all_at_once(self._store)) == self._run(all_at_once(self._plain))

    @rule(job=st.sampled_from(JOBS))
    def pack(self, job: str) -> None:
        self._run(self._store.pack_samples(job))

    @rule()
    def start_again(self) -> None:
        self._run(self._store.close())
        assert check(self._place) == []
        self._store = self._opened()

    @rule()
    def crash(self) -> None:
        """The files as they are just now are all that is left; the journal first, since it moves to the other."""
        self._run(self._store.add_samples("barrier", [Sample(SERIES[0], self._number, (1.0,) * 6)]))  # packing is done
        before = self._place
        self._number += 1
        self._place.mkdir()
        for name in ("samples.db-wal", "samples.db"):
            shutil.copy(before / name, self._place / name)
        self._run(self._store.close())
        self._store = self._opened()

    @rule(job=st.sampled_from(JOBS), query=query(), buckets=st.integers(1, 50))
    def read(self, job: str, query: SampleQuery, buckets: int) -> None:
        raw = [self._run(store.raw_samples(job, query)) for store in (self._store, self._plain)]
        assert plain(raw[0]) == plain(raw[1])
        filled = [
            self._run(store.bucketed_samples(job, query, buckets=buckets)) for store in (self._store, self._plain)
        ]
        assert plain(filled[0]) == plain(filled[1])

    @invariant()
    def nothing_differs(self) -> None:
        assert self._run(self._store.pooled(JOBS)) == self._run(self._plain.pooled(JOBS))
        for job in JOBS:
            assert self._run(self._store.sample_series(job)) == self._run(self._plain.sample_series(job))
            assert self._run(all_of(self._store, job)) == self._run(all_of(self._plain, job))

    @property
    def _place(self) -> Path:
        return self._folder / str(self._number)

    def _opened(self) -> EmbeddedStore:
        store = EmbeddedStore(self._place, clock=self._clock)
        self._run(store.open())
        return store

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)


def test_the_stores_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """With small tails and few blocks to a join, so that both happen all the time."""
    monkeypatch.setattr(writer, "PACK_SAMPLES", 6)
    monkeypatch.setattr(packing, "JOIN", 2)
    machine = SampleMachine.TestCase
    machine.settings = settings(
        max_examples=EXAMPLES, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
    )
    machine().runTest()
