"""Samples in the embedded store: packing and joining, damage that is found, and faults that change nothing."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import HandClock
from logsvc.errors import CannotStart, DiskFull, StoreUnavailable
from logsvc.model.sample import Sample, SampleQuery, SeriesName
from logsvc.stores.embedded.doctor import check
from logsvc.stores.embedded.samples import packing, writer
from logsvc.stores.embedded.samples.numbers import Damaged, pack_column, unpack_column
from logsvc.stores.embedded.store import EmbeddedStore
from samples_of import FOREVER, a_card, a_sample, all_of

JOB = "embedded-samples"
CARDS = [a_card(str(n), kind="gpu") for n in range(4)]


def readings_at(times: range) -> list[Sample]:
    """Four cards that are read together."""
    return [
        a_sample(at, float(at // 1000 % 101), 2.0**30, 2.0**36, 300 + at % 977 / 1000, series=card)
        for at in times
        for card in CARDS
    ]


async def a_store(folder: Path, clock: HandClock) -> EmbeddedStore:
    store = EmbeddedStore(folder, clock=clock)
    await store.open()
    return store


def rows(folder: Path, statement: str) -> list[Any]:
    with closing(sqlite3.connect(folder / "samples.db")) as database:
        found = database.execute(statement).fetchall()
        database.commit()
        return found


@given(st.lists(st.one_of(st.floats(allow_nan=True), st.integers(-(10**9), 10**9).map(lambda n: n / 1000))))
@settings(max_examples=60)
def test_a_column_comes_back_bit_by_bit(values: list[float]) -> None:
    column = np.array(values, dtype=np.float64)
    back = unpack_column(pack_column(column))
    read = ~np.isnan(column)
    assert np.array_equal(np.isnan(back), ~read)
    assert np.array_equal(back[read].view(np.uint64), column[read].view(np.uint64))


@given(st.data())
@settings(max_examples=60)
def test_no_flipped_bit_goes_unseen(data: st.DataObject) -> None:
    """The frame's checksum sees it."""
    packed = bytearray(pack_column(np.array([1.5, 2.5, 1e300, 4.0] * 20)))
    at = data.draw(st.integers(0, len(packed) * 8 - 1))
    packed[at // 8] ^= 1 << at % 8
    try:
        assert np.array_equal(unpack_column(bytes(packed)), [1.5, 2.5, 1e300, 4.0] * 20)  # of no consequence
    except Damaged:
        pass


async def test_full_tails_are_packed_and_blocks_joined(
    tmp_path: Path, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A day of samples lies in few blocks, and all of it is there; late ones are found in any of them."""
    monkeypatch.setattr(writer, "PACK_SAMPLES", 40)
    store = await a_store(tmp_path, clock)
    for start in range(0, 700_000, 5000):
        await store.add_samples(JOB, readings_at(range(start, start + 5000, 1000)))
    await store.add_samples("another", readings_at(range(0, 1000, 1000)))  # once this is done, packing is
    assert rows(tmp_path, "SELECT level, COUNT(*), SUM(samples) FROM blocks GROUP BY level") == [
        (0, 6, 6 * 40),
        (2, 1, 64 * 40),
    ]
    assert await store.add_samples(JOB, readings_at(range(0, 700_000, 50_000))) == 0
    assert await store.add_samples(JOB, readings_at(range(500, 10_000, 1000))) == 40
    held = await all_of(store, JOB)
    assert {len(times) for times in held.values()} == {710}
    (pooled, *_) = (await store.pooled([JOB]))[JOB]
    assert (pooled.count, pooled.first_ms, pooled.last_ms) == (710, 0, 699_000)
    await store.close()
    assert check(tmp_path) == []


async def test_workers_share_a_commit(tmp_path: Path, clock: HandClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is first waits a moment for the others; each is told what of its own was new."""
    monkeypatch.setattr(writer, "ALONE_SECONDS", 0)
    monkeypatch.setattr(writer, "GATHER_SECONDS", 0.5)
    store = await a_store(tmp_path, clock)
    commits = 0

    def count(statement: str) -> None:
        nonlocal commits
        commits += statement == "COMMIT"

    store._samples._writer._connection.set_trace_callback(count)
    calls = [store.add_samples(f"{JOB}-{n % 3}", readings_at(range(0, 1000 * n, 1000))) for n in range(1, 7)]
    assert await asyncio.gather(*calls) == [4, 8, 12, 12, 12, 12]
    held = rows(tmp_path, "SELECT job, COUNT(*) FROM tails JOIN tasks ON tasks.id = tails.task GROUP BY job")
    assert held == [(f"{JOB}-{n}", 2) for n in range(3)]
    assert commits == 1
    await store.close()


async def test_readers_see_each_sample_once_while_it_moves(
    tmp_path: Path, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From tail to block to a larger block: all that was acknowledged before a reader began, never one of it twice."""
    monkeypatch.setattr(writer, "PACK_SAMPLES", 8)
    monkeypatch.setattr(packing, "JOIN", 2)
    store = await a_store(tmp_path, clock)
    acknowledged = reads = 0
    ended = asyncio.Event()

    async def read(bucketed: bool) -> None:
        nonlocal reads
        while not ended.is_set():
            before = acknowledged
            if bucketed:
                query = SampleQuery(0, 1 << 40, kinds=("gpu",), readings=frozenset({"utilization_percent"}))
                counts = [
                    int(one.readings["utilization_percent"].count.sum())
                    for one in await store.bucketed_samples(JOB, query, buckets=3)
                ]
            else:
                held = [one.at_ms.tolist() for one in await store.raw_samples(JOB, FOREVER)]
                assert all(times == list(range(0, 1000 * len(times), 1000)) for times in held)
                counts = [len(times) for times in held]
            assert len(set(counts)) <= 1 and (min(counts, default=0) >= before), (counts, before)
            assert max(counts, default=0) <= acknowledged + 1
            reads += 1

    readers = [asyncio.create_task(read(bucketed)) for bucketed in (False, True, False)]
    for at in range(60):
        await store.add_samples(JOB, readings_at(range(at * 1000, (at + 1) * 1000, 1000)))
        acknowledged += 1
    ended.set()
    await asyncio.gather(*readers)
    assert reads > 10
    await store.close()


async def test_what_has_gone_quiet_is_packed(tmp_path: Path, clock: HandClock) -> None:
    """Not before; and what comes next finds it."""
    store = await a_store(tmp_path, clock)
    await store.add_samples("quiet", readings_at(range(0, 5000, 1000)))
    clock.move(writer.IDLE_SECONDS - 1)
    await store.add_samples(JOB, readings_at(range(0, 1000, 1000)))
    assert rows(tmp_path, "SELECT COUNT(*) FROM blocks") == [(0,)]
    clock.move(writer.LOOK_SECONDS)
    await store.add_samples(JOB, readings_at(range(1000, 2000, 1000)))
    await store.add_samples(JOB, readings_at(range(2000, 3000, 1000)))  # once this is done, so is what came before
    assert rows(tmp_path, "SELECT job, samples FROM blocks JOIN tasks ON tasks.id = blocks.task") == [("quiet", 20)]
    assert await store.add_samples("quiet", readings_at(range(0, 6000, 1000))) == 4
    await store.close()
    assert check(tmp_path) == []


async def test_all_tails_together_are_bounded(
    tmp_path: Path, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The largest are packed."""
    monkeypatch.setattr(writer, "MAX_TAIL_SAMPLES", 66)
    store = await a_store(tmp_path, clock)
    for n in range(1, 8):
        await store.add_samples(f"{JOB}-{n}", readings_at(range(0, n * 1000, 1000)))
    clock.move(writer.LOOK_SECONDS)
    for at in (900_000, 901_000):
        await store.add_samples(f"{JOB}-1", readings_at(range(at, at + 1000, 1000)))
    packed = rows(tmp_path, "SELECT job FROM blocks JOIN tasks ON tasks.id = blocks.task ORDER BY job")
    assert packed == [(f"{JOB}-{n}",) for n in (6, 7)]
    await store.close()


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("disk I/O error", StoreUnavailable),
        ("database or disk is full", DiskFull),
        ("a fault of ours", StoreUnavailable),
    ],
)
async def test_a_failed_commit_changes_nothing(
    tmp_path: Path, clock: HandClock, fault: str, error: type[StoreUnavailable]
) -> None:
    """Neither on disk nor in memory: sums, series and what is known to be held are as before, and it goes on."""
    store = await a_store(tmp_path, clock)
    await store.add_samples(JOB, readings_at(range(0, 3000, 1000)))
    before = await all_of(store, JOB), await store.pooled([JOB]), await store.sample_series(JOB)
    connection = store._samples._writer._connection
    broken = _Broken(connection, fault)
    store._samples._writer._connection = broken  # type: ignore[assignment]
    for _ in range(2):
        with pytest.raises(error):
            await store.add_samples(JOB, [*readings_at(range(2000, 9000, 1000)), a_sample(1, 1.0)])
        with pytest.raises(error):
            await store.add_samples("another", readings_at(range(0, 1000, 1000)))
    assert (await all_of(store, JOB), await store.pooled([JOB]), await store.sample_series(JOB)) == before
    assert await store.sample_series("another") == []
    store._samples._writer._connection = connection
    assert await store.add_samples(JOB, [*readings_at(range(2000, 9000, 1000)), a_sample(1, 1.0)]) == 25
    assert await store.add_samples("another", readings_at(range(0, 1000, 1000))) == 4
    after = await all_of(store, JOB), await store.pooled([JOB])
    await store.close()
    assert check(tmp_path) == []
    store = await a_store(tmp_path, clock)
    assert (await all_of(store, JOB), await store.pooled([JOB])) == after
    await store.close()


async def test_damage_is_found_and_stays_where_it_is(tmp_path: Path, clock: HandClock) -> None:
    """The doctor says which block; reading it is an error; the rest is read, and new samples are taken."""
    store = await a_store(tmp_path, clock)
    for job in (JOB, "sound"):
        for start in (0, 5000):
            await store.add_samples(job, readings_at(range(start, start + 5000, 1000)))
            await store.pack_samples(job)
    await store.add_samples(JOB, readings_at(range(10_000, 12_000, 1000)))
    await store.close()
    assert check(tmp_path) == []
    whole = (tmp_path / "samples.db").read_bytes()
    for name in ("", "gpu.power_watts"):
        (tmp_path / "samples.db").write_bytes(whole)
        part = f"(SELECT MIN(id) FROM parts WHERE name = '{name}')"
        rows(
            tmp_path,
            f"UPDATE parts SET data = CAST(substr(data, 1, 20) || x'5a' || substr(data, 22) AS BLOB) WHERE id = {part}",
        )
        (finding,) = [one for one in check(tmp_path) if "samples are lost" in one.message]
        assert JOB in finding.place and "block" in finding.place and finding.severity == "error"
        store = await a_store(tmp_path, clock)
        with pytest.raises(StoreUnavailable, match="damaged"):
            await store.raw_samples(JOB, FOREVER)
        assert len((await all_of(store, "sound"))[CARDS[0]]) == 10
        assert (await store.pooled([JOB]))[JOB][0].count == 12
        assert await store.add_samples(JOB, readings_at(range(12_000, 13_000, 1000))) == 4
        await store.pack_samples(JOB)
        await store.close()


async def test_the_doctor_adds_up(tmp_path: Path, clock: HandClock) -> None:
    store = await a_store(tmp_path, clock)
    await store.add_samples(JOB, readings_at(range(0, 5000, 1000)))
    await store.pack_samples(JOB)
    await store.add_samples(JOB, readings_at(range(5000, 6000, 1000)))
    await store.close()
    whole = (tmp_path / "samples.db").read_bytes()
    for statement, said in (
        ("UPDATE series SET sum_micropercent = sum_micropercent + 1 WHERE name = '2'", "its sums are"),
        ("UPDATE series SET last_ms = 77", "its sums are"),
        ("UPDATE blocks SET samples = 21", "holds 20 samples"),
        ("DELETE FROM parts WHERE name = 'gpu.temperature_celsius'", "no column gpu.temperature_celsius"),
        ("DELETE FROM blocks", "columns of no block"),
        ("DELETE FROM tasks", "blocks of no task"),
        ("UPDATE tails SET data = substr(data, 1, 30)", "wrong checksum"),
        ("UPDATE tasks SET packed_through = 99", "is said to be packed"),
        ("INSERT INTO tails SELECT id + 1, task, data FROM tails", "samples are held twice"),
    ):
        (tmp_path / "samples.db").write_bytes(whole)
        assert check(tmp_path) == []
        rows(tmp_path, statement)
        found = check(tmp_path)
        assert any(said in one.message for one in found), (statement, found)
    (tmp_path / "samples.db").write_bytes(whole[:6000])
    assert any("cannot be read" in one.message or "damaged" in one.message for one in check(tmp_path))


async def test_a_tail_after_a_start_is_read(tmp_path: Path, clock: HandClock) -> None:
    """Once all was packed, the next batch is none of those that were: rows are numbered on."""
    store = await a_store(tmp_path, clock)
    await store.add_samples(JOB, readings_at(range(0, 3000, 1000)))
    await store.pack_samples(JOB)
    await store.close()
    store = await a_store(tmp_path, clock)
    assert await store.add_samples(JOB, readings_at(range(3000, 4000, 1000))) == 4
    assert sorted((await all_of(store, JOB))[CARDS[0]]) == [0, 1000, 2000, 3000]
    await store.close()
    assert check(tmp_path) == []


async def test_a_store_that_closes_keeps_what_it_acknowledged(
    tmp_path: Path, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those who wait for room are told, and nobody waits for ever."""
    monkeypatch.setattr("logsvc.stores.embedded.samples.store.MAX_WAITING", 5)
    store = await a_store(tmp_path, clock)
    calls = [
        asyncio.create_task(store.add_samples(JOB, readings_at(range(at, at + 1000, 1000))))
        for at in range(0, 20_000, 1000)
    ]
    await calls[0]
    await store.close()
    told = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 20)
    assert {type(one) for one in told} <= {int, StoreUnavailable}
    with pytest.raises(StoreUnavailable):
        await store.add_samples(JOB, readings_at(range(0, 1000, 1000)))
    store = await a_store(tmp_path, clock)
    times = sorted((await all_of(store, JOB))[CARDS[0]])
    assert times == [index * 1000 for index, one in enumerate(told) if one == 4]
    await store.close()


async def test_a_torn_batch_costs_no_other(tmp_path: Path, clock: HandClock) -> None:
    store = await a_store(tmp_path, clock)
    for at in (0, 1000, 2000):
        await store.add_samples(JOB, readings_at(range(at, at + 1000, 1000)))
    await store.close()
    rows(tmp_path, "UPDATE tails SET data = substr(data, 1, 50) WHERE id = 2")
    store = await a_store(tmp_path, clock)
    assert sorted((await all_of(store, JOB))[CARDS[0]]) == [0, 2000]
    assert await store.add_samples(JOB, readings_at(range(0, 3000, 1000))) == 4
    await store.close()


async def test_a_folder_of_another_version_does_not_start(tmp_path: Path, clock: HandClock) -> None:
    """Nor does one whose samples are no database; without the file it starts, with no samples."""
    store = await a_store(tmp_path, clock)
    await store.add_samples(JOB, readings_at(range(0, 1000, 1000)))
    await store.close()
    rows(tmp_path, "PRAGMA user_version = 99")
    with pytest.raises(CannotStart, match="another version"):
        await a_store(tmp_path, clock)
    (tmp_path / "samples.db").write_bytes(b"no database at all" * 1000)
    with pytest.raises(CannotStart, match=r"samples\.db.*doctor"):
        await a_store(tmp_path, clock)
    (tmp_path / "samples.db").unlink()
    store = await a_store(tmp_path, clock)
    assert await store.sample_series(JOB) == []
    await store.close()


async def test_tasks_are_forgotten_and_found_again(
    tmp_path: Path, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is bounded; sums and what is held do not depend on it."""
    monkeypatch.setattr("logsvc.stores.embedded.samples.tasks.MAX_SERIES", 8)
    store = await a_store(tmp_path, clock)
    for n in range(6):
        await store.add_samples(f"{JOB}-{n}", readings_at(range(0, 2000, 1000)))
        await store.pack_samples(f"{JOB}-{n}")
    assert store._samples._writer._tasks.series <= 12
    pooled = await store.pooled([f"{JOB}-{n}" for n in range(6)])
    assert [[one.count for one in pooled[f"{JOB}-{n}"]] for n in range(6)] == [[2] * 4] * 6
    for n in range(6):
        assert await store.add_samples(f"{JOB}-{n}", readings_at(range(0, 3000, 1000))) == 4
    assert await store.add_samples(JOB, [a_sample(1, 1.0, series=SeriesName("worker-0", "host", ""))]) == 1
    await store.close()
    assert check(tmp_path) == []


class _Broken:
    """A connection whose commits fail; nothing else of it does."""

    def __init__(self, connection: sqlite3.Connection, fault: str) -> None:
        self._connection, self._fault = connection, fault

    def execute(self, statement: str, *values: Any) -> Any:
        if statement == "COMMIT":
            if "ours" in self._fault:
                raise ValueError(self._fault)
            error = sqlite3.OperationalError(self._fault)
            error.sqlite_errorname = "SQLITE_FULL" if "full" in self._fault else "SQLITE_IOERR_FSYNC"
            raise error
        return self._connection.execute(statement, *values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)
