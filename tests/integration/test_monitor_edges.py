"""What is seen of jobs while things go wrong beside them: damage, wrong clocks, ends and changes at a bad moment."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from builders import NOON, HandClock
from integration.monitor_rig import Rig
from logsvc.core import monitor
from logsvc.core.clock import rfc3339
from logsvc.core.findings.finding import Finding
from logsvc.model.job import JOB_KIND
from logsvc.model.query import Matches, SearchQuery
from logsvc.model.sample import Sample, SampleQuery
from logsvc.ports import RawSeries


@pytest.fixture
async def rig(tmp_path: Path, clock: HandClock) -> AsyncIterator[Rig]:
    rig = Rig("memory", tmp_path / "data", clock)
    await rig.open()
    yield rig
    await rig.close()


async def send_at(rig: Rig, job: str, at: float, percent: float, *, io: int | None = None) -> None:
    sample = {"at": rfc3339(at), "device": 0, "kind": "gpu", "utilization_percent": percent}
    body: dict[str, Any] = {"job": job, "task": "worker-0", "samples": [sample]}
    if io is not None:
        body["process_io"] = [{"at": rfc3339(at), "pid": 71, "read_bytes": io, "write_bytes": 0}]
    assert (await rig.served.http.post("/api/v1/samples", json=body)).status_code == 204


async def test_damage_to_the_samples_of_one_job_hides_no_other(tmp_path: Path, clock: HandClock) -> None:
    rig = Rig("embedded", tmp_path / "data", clock)
    await rig.open()
    for job in ("e-damaged", "e-sound"):
        await rig.report(job, 80)
    await rig.store.pack_samples("e-damaged")
    await rig.restart()
    with closing(sqlite3.connect(tmp_path / "data" / "samples.db")) as database:
        database.execute("UPDATE parts SET data = zeroblob(length(data)) WHERE name = 'gpu.utilization_percent'")
        database.commit()
    sparklines = {one["id"]: one["utilization_sparkline_percent"] for one in (await rig.served.get("/jobs"))["jobs"]}
    assert sparklines == {"e-sound": [80.0], "e-damaged": [None]}
    assert (await rig.job("e-damaged"))["mean_utilization_percent"] == 80.0
    metrics = await rig.served.http.get("/metrics")
    assert metrics.status_code == 200 and 'mean_utilization_ratio{job_id="e-damaged"} 0.8' in metrics.text
    await rig.monitor.look()
    damaged = await rig.served.http.get("/api/v1/jobs/e-damaged/utilization")
    assert damaged.status_code == 503 and "doctor" in damaged.text
    await rig.close()


@pytest.mark.parametrize("status", ["running", "succeeded"])
async def test_a_job_that_turns_out_to_be_a_cpu_job_is_flagged_no_more(rig: Rig, status: str) -> None:
    await rig.put("e-cpu", status=status)
    await rig.report("e-cpu", 0)
    await rig.monitor.look()
    assert (await rig.job("e-cpu"))["flags"] == ["low_utilization"]
    answer = await rig.served.http.put("/api/v1/jobs/e-cpu", json={"accelerator": "none"})
    assert (answer.json()["flags"], answer.json()["findings"]) == ([], [])
    assert (await rig.served.get("/jobs", flag="low_utilization"))["jobs"] == []
    assert await rig.changes("e-cpu") == [("low_utilization", "raised"), ("low_utilization", "cleared")]


async def test_a_clock_that_is_ahead_keeps_no_job_measured(rig: Rig) -> None:
    await send_at(rig, "e-ahead", rig.clock.at + 20 * 3600, 50)
    rig.clock.move(10)
    await rig.report("e-ahead", 60)
    assert (await rig.job("e-ahead"))["utilization_sparkline_percent"][-1] == 60.0
    rig.clock.move(61)
    assert (await rig.job("e-ahead"))["utilization_state"] == "stale"


async def test_a_clock_that_was_never_set_does_not_stretch_the_chart(rig: Rig) -> None:
    await rig.report("e-unset", 50)
    await send_at(rig, "e-unset", NOON - 3600, 50)
    assert (await rig.served.get("/jobs/e-unset/utilization"))["from"] == rfc3339(NOON - 3600)
    await send_at(rig, "e-unset", 946_700_000.0, 50)
    assert (await rig.served.get("/jobs/e-unset/utilization"))["from"] == rfc3339(NOON - 86_400)


async def hung(rig: Rig, job: str) -> None:
    await rig.put(job)
    await rig.pass_time(300, job, 100, io=lambda step: 1)
    assert (await rig.job(job))["flags"] == ["hung"]


@pytest.mark.parametrize("read", [1, 2], ids=["judging the hang", "looking for the rest"])
async def test_a_job_that_ends_while_it_is_looked_at_hangs_no_more(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, read: int
) -> None:
    await hung(rig, "e-ends")
    raw, reads = rig.store.raw_samples, 0

    async def slow(job: str, query: SampleQuery) -> list[RawSeries]:
        nonlocal reads
        found: list[RawSeries] = await raw(job, query)
        reads += 1
        if reads == read:
            await rig.put(job, status="stopped")
        return found

    rig.clock.move(60)
    await rig.report("e-ends", 100, io=1)
    monkeypatch.setattr(rig.store, "raw_samples", slow)
    await rig.monitor.look()
    await rig.monitor.look()
    job = await rig.job("e-ends")
    assert (job["hang"], [(one["name"], one["to"]) for one in job["findings"]]) == (None, [("hung", job["ended_at"])])
    assert await rig.changes("e-ends") == [("hung", "raised"), ("hung", "cleared")]


async def test_a_line_clears_a_hang_of_before_the_restart_though_no_sample_comes(rig: Rig) -> None:
    await hung(rig, "e-lines")
    await rig.restart()
    rig.clock.move(60)
    await rig.monitor.look()
    assert (await rig.job("e-lines"))["flags"] == ["hung"]
    await rig.write("e-lines", b"step 1000\n")
    rig.clock.move(60)
    await rig.monitor.look()
    assert (await rig.job("e-lines"))["flags"] == []


async def test_log_rates_of_many_jobs_are_stored_together(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store gathers what comes at once into one commit; one after the other, each would wait for its own."""
    for number in range(20):
        await rig.write(f"e-rate-{number}", b"a line\n")
    add, under_way, most = rig.store.add_samples, 0, 0

    async def counted(job: str, samples: Sequence[Sample]) -> int:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        added: int = await add(job, samples)
        return added

    monkeypatch.setattr(rig.store, "add_samples", counted)
    rig.clock.move(60)
    await rig.monitor.look()
    assert most == 20
    chart = await rig.served.get("/jobs/e-rate-7/utilization", points=1, to=rfc3339(rig.clock.at + 1))
    assert chart["log_lines"] == [1]


async def test_a_record_that_was_read_before_a_change_is_not_taken_for_it(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.report("e-loaded", 10)
    get = rig.store.get

    async def slow(kind: str, id: str) -> Any:
        found = await get(kind, id)
        if kind == JOB_KIND:
            monkeypatch.undo()
            await rig.put(id, status="succeeded")
        return found

    monkeypatch.setattr(rig.store, "get", slow)
    await rig.monitor.look()
    rig.clock.move(3600)
    assert (await rig.job("e-loaded"))["utilization_state"] == "measured"  # it ended; a job that runs were stale


async def test_samples_that_come_after_the_end_are_looked_at_once_a_minute(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.report("e-after", 10)
    await rig.put("e-after", status="succeeded")
    looks = 0

    def counted(*_: Any) -> list[Finding]:
        nonlocal looks
        looks += 1
        return []

    monkeypatch.setattr(monitor, "findings_of", counted)
    for _ in range(30):
        await rig.monitor.look()
        rig.clock.move(2)
        await rig.report("e-after", 10)
    assert looks == 1
    rig.clock.move(2)
    await rig.monitor.look()
    assert looks == 2


async def test_a_log_that_takes_too_long_to_search_is_not_searched_again(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[int | None] = []

    async def unfinished(stream_id: str, query: SearchQuery) -> Matches:
        searched.append(query.after)
        return Matches(None, exact=False, scanned_bytes=0, matches=[], next=None, preceding=None)

    monkeypatch.setattr(rig.store, "matches", unfinished)
    for data in (b"a\nb\nc\n", b"", b"d\n"):
        if data:
            await rig.write("e-long", data)
        await rig.report("e-long", 80)
        await rig.monitor.look()
        rig.clock.move(60)
    assert searched == [0, 3]


class SteppedClock(HandClock):
    """A clock that can be set; time goes on all the same."""

    set_by = 0.0

    def now(self) -> float:
        return self.at + self.set_by


async def test_a_clock_that_is_set_back_stops_no_looking(tmp_path: Path) -> None:
    clock = SteppedClock()
    rig = Rig("memory", tmp_path / "data", clock)
    await rig.open()

    async def pass_time(seconds: int) -> None:
        for _ in range(seconds // 10):
            clock.move(10)
            await send_at(rig, job, clock.now(), 100, io=1)
            await rig.monitor.look()

    for job in ("e-before", "e-behind"):
        await rig.put(job)
        await pass_time(300 if job == "e-before" else 60)
    job = "e-before"
    assert (await rig.job(job))["flags"] == ["hung"]
    clock.set_by = -7200.0
    await pass_time(60)
    assert (await rig.job(job))["flags"] == ["hung"]
    job = "e-behind"
    await pass_time(300)
    assert (await rig.job(job))["flags"] == ["hung"]
    assert await rig.changes("e-before") == await rig.changes(job) == [("hung", "raised")]
    await rig.close()
