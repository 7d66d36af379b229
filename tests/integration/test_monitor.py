"""What is seen of jobs over time and over restarts: states, findings, events, log rates. The clock is moved by hand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from builders import MARKED, NOON, HandClock
from integration.monitor_rig import Rig
from logsvc.core.clock import rfc3339
from logsvc.core.notify import Event
from logsvc.errors import DiskFull, StoreUnavailable
from logsvc.model.stream import ordinary_path, proc_path
from processes import ServiceProcess


@pytest.fixture(params=["memory", "embedded"])
async def rig(request: pytest.FixtureRequest, tmp_path: Path, clock: HandClock) -> AsyncIterator[Rig]:
    rig = Rig(request.param, tmp_path / "data", clock)
    await rig.open()
    yield rig
    await rig.close()


async def test_a_reading_that_is_old_is_stale_and_never_zero(rig: Rig) -> None:
    await rig.report("m-stale", 80)
    rig.clock.move(60)
    assert (await rig.job("m-stale"))["utilization_state"] == "measured"
    assert 'utilization_ratio{device="0",job_id="m-stale"' in (await rig.served.http.get("/metrics")).text
    rig.clock.move(1)
    for _ in range(2):  # before and after a restart
        job = await rig.job("m-stale")
        assert (job["utilization_state"], job["mean_utilization_percent"]) == ("stale", 80.0)
        assert [one for one in job["utilization_sparkline_percent"] if one is not None] == [80.0]
        exposed = (await rig.served.http.get("/metrics")).text
        assert "utilization_ratio{device" not in exposed
        assert 'logsvc_job_mean_utilization_ratio{job_id="m-stale"} 0.8' in exposed
        await rig.restart()
    rig.clock.move(7200)
    assert set((await rig.job("m-stale"))["utilization_sparkline_percent"]) == {None}
    await rig.put("m-stale", status="succeeded")
    assert (await rig.job("m-stale"))["utilization_state"] == "measured"


async def test_the_last_readings_are_there_after_a_restart(rig: Rig) -> None:
    for _ in range(4):
        await rig.report("m-again", 20, 40)
        await rig.report("m-again", 100, task="worker-1")
        rig.clock.move(120)
    rig.clock.move(-110)
    before = await rig.job("m-again")
    assert [one for one in before["utilization_sparkline_percent"] if one is not None] == [30.0] * 4
    exposed = [line for line in (await rig.served.http.get("/metrics")).text.splitlines() if "ator_utilization" in line]
    await rig.restart()
    assert await rig.job("m-again") == before
    [listed] = (await rig.served.get("/jobs"))["jobs"]
    assert listed["utilization_sparkline_percent"] == before["utilization_sparkline_percent"]
    assert (await rig.served.get("/jobs", flag="low_utilization"))["jobs"][0]["id"] == "m-again"
    again = [line for line in (await rig.served.http.get("/metrics")).text.splitlines() if "ator_utilization" in line]
    assert again == exposed and len(again) == 5


async def test_readings_that_come_late_or_twice_change_no_later_one(rig: Rig) -> None:
    await rig.report("m-late", 90)
    assert len([one for one in (await rig.job("m-late"))["utilization_sparkline_percent"] if one is not None]) == 1
    sent = {"at": rfc3339(NOON - 600), "device": 0, "kind": "gpu", "utilization_percent": 10}
    for _ in range(3):
        response = await rig.served.http.post(
            "/api/v1/samples", json={"job": "m-late", "task": "worker-0", "samples": [sent]}
        )
        assert response.status_code == 204
    job = await rig.job("m-late")
    assert job["mean_utilization_percent"] == 50.0
    assert [one for one in job["utilization_sparkline_percent"] if one is not None] == [10.0, 90.0]
    assert 'kind="gpu",task="worker-0"} 0.9\n' in (await rig.served.http.get("/metrics")).text


async def test_a_hang_is_raised_and_cleared_once_each(rig: Rig) -> None:
    """IO stands still at a steady 100 %, then moves."""
    job = "m-hang"
    await rig.pass_time(60, job, 100, 100, io=lambda step: step)
    assert (await rig.job(job))["hang"]["stage"] == 0
    await rig.pass_time(300, job, 100, 100, io=lambda step: 11)
    hung = await rig.job(job)
    assert (hung["flags"], hung["hang"]["stage"]) == (["hung"], 2)
    assert hung["hang"]["io_still_seconds"] >= 120 and hung["hang"]["cycles"] >= 8
    assert hung["findings"][0]["numbers"]["median_percent"] == 100.0
    [listed] = (await rig.served.get("/jobs", flag="hung"))["jobs"]
    assert listed["id"] == job and "hang" not in listed
    assert 'logsvc_job_hung{job_id="m-hang"} 1.0' in (await rig.served.http.get("/metrics")).text
    await rig.pass_time(30, job, 100, 100, io=lambda step: 12 + step)
    moves = await rig.job(job)
    assert (moves["flags"], moves["findings"], moves["hang"]["stage"]) == ([], [], 0)
    assert await rig.changes(job) == [("hung", "raised"), ("hung", "cleared")]
    assert "IO" in moves["events"][1]["reason"]


async def test_a_restart_is_no_stillness_and_a_hang_outlives_it(rig: Rig) -> None:
    job = "m-over"
    await rig.pass_time(60, job, 100, io=lambda step: step)
    # The service is away for far longer than the detect time; counters are where they were.
    await rig.restart(away_seconds=3600)
    await rig.pass_time(60, job, 100, io=lambda step: 11)
    assert ((await rig.job(job))["flags"], (await rig.job(job))["hang"]["stage"]) == ([], 0)
    await rig.pass_time(240, job, 100, io=lambda step: 11)
    assert (await rig.job(job))["flags"] == ["hung"]
    # It still hangs behind the next restart, though the new watch has not seen that yet.
    await rig.restart(away_seconds=600)
    assert 'logsvc_job_hung{job_id="m-over"} 1.0' in (await rig.served.http.get("/metrics")).text
    await rig.write(job, MARKED)  # the platform lives
    await rig.monitor.look()
    assert (await rig.job(job))["flags"] == ["hung"]
    await rig.pass_time(300, job, 100, io=lambda step: 11)
    assert (await rig.job(job))["flags"] == ["hung"]
    assert await rig.changes(job) == [("hung", "raised")]
    # Behind a third one it works again.
    await rig.restart(away_seconds=600)
    await rig.pass_time(30, job, 100, io=lambda step: 11 + step)
    assert (await rig.job(job))["flags"] == []
    assert await rig.changes(job) == [("hung", "raised"), ("hung", "cleared")]


async def test_log_lines_count_as_io_and_those_of_the_platform_do_not(rig: Rig) -> None:
    for step in range(30):
        rig.clock.move(10)
        await rig.report("m-talks", 100, io=1)
        await rig.write("m-talks", b"step %d\n" % step)
        await rig.report("m-silent", 100, io=1)
        await rig.write("m-silent", MARKED)
        await rig.monitor.look()
    assert (await rig.job("m-talks"))["flags"] == []
    assert (await rig.job("m-silent"))["flags"] == ["hung"]


async def test_the_job_s_own_detect_time_goes_before_the_setting(rig: Rig) -> None:
    await rig.report("m-patient", 100, io=1, hang_detect_minutes=60)
    await rig.report("m-usual", 100, io=1)
    await rig.restart()
    for _ in range(36):
        rig.clock.move(10)
        for job in ("m-patient", "m-usual"):
            await rig.report(job, 100, io=1, **({"hang_detect_minutes": 60} if job == "m-patient" else {}))
        await rig.monitor.look()
    assert ((await rig.job("m-patient"))["flags"], (await rig.job("m-usual"))["flags"]) == ([], ["hung"])


async def test_findings_survive_the_end_and_a_restart(rig: Rig) -> None:
    """Worker-1 idles: the manual's mean is fine, the extra findings tell. The job then hangs and is stopped."""
    job = "m-end"
    await rig.put(job, accelerator="nvidia")
    for step in range(80):
        rig.clock.move(15)
        await rig.report(job, 90 + step % 3, 90, io=min(step, 50))
        await rig.report(job, 0, 0, task="worker-1", io=min(step, 50))
        await rig.monitor.look()
    running = await rig.job(job)
    assert running["mean_utilization_percent"] > 90
    names = {one["name"] for one in running["findings"]}
    assert "uneven_workers" in names and "low_utilization" not in names
    uneven = next(one for one in running["findings"] if one["name"] == "uneven_workers")
    assert uneven["tasks"] == ["worker-1"] and uneven["numbers"]["mean_percent"] == 0
    await rig.put(job, status="stopped")
    await rig.monitor.look()
    ended = await rig.job(job)
    assert {one["name"] for one in ended["findings"]} == names
    assert (ended["flags"], ended["hang"], ended["utilization_state"]) == ([], None, "measured")
    rig.clock.move(10_000)
    await rig.restart()
    await rig.monitor.look()
    again = await rig.job(job)
    assert {**again, "samplers": []} == {**ended, "samplers": []}
    assert [one for one in again["utilization_sparkline_percent"] if one is not None]
    assert job not in (await rig.served.http.get("/metrics")).text


async def test_a_hang_that_the_end_ended_is_told_of_and_wrong_no_more(rig: Rig) -> None:
    job = "m-killed"
    await rig.pass_time(300, job, 100, io=lambda step: 1)
    assert (await rig.job(job))["flags"] == ["hung"]
    await rig.put(job, status="failed")
    await rig.monitor.look()
    for _ in range(2):
        killed = await rig.job(job)
        [finding] = killed["findings"]
        assert (finding["name"], finding["to"], killed["flags"]) == ("hung", killed["ended_at"], [])
        assert await rig.changes(job) == [("hung", "raised"), ("hung", "cleared")]
        await rig.restart()
        await rig.monitor.look()
    # Started again, nothing is wrong with it.
    await rig.put(job, status="running")
    await rig.pass_time(60, job, 100, io=lambda step: step)
    assert (await rig.job(job))["findings"] == []
    assert await rig.changes(job) == [("hung", "raised"), ("hung", "cleared")]


async def test_a_cpu_job_is_never_flagged(rig: Rig) -> None:
    await rig.put("m-cpu", accelerator="none")
    await rig.pass_time(300, "m-cpu", 0, io=lambda step: 1)
    job = await rig.job("m-cpu")
    assert (job["flags"], job["findings"], job["events"], job["hang"]) == ([], [], [], None)
    assert job["utilization_state"] == "none"
    assert "logsvc_job_low_utilization{" not in (await rig.served.http.get("/metrics")).text


async def test_the_log_rate_is_a_series(rig: Rig) -> None:
    job = "m-rate"
    await rig.write(job, b"a\nb\nc\n")
    await rig.write(job, b"a\nb\nc\n", path=proc_path(job, 0, 0))  # says the same
    await rig.monitor.look()
    rig.clock.move(60)
    await rig.write(job, b"d\ne")
    await rig.monitor.look()
    rig.clock.move(30)
    await rig.write(job, b"\nf\n")
    await rig.restart()  # the rest is written at the end
    rig.clock.move(30)
    chart = await rig.served.get(f"/jobs/{job}/utilization", points=2)
    assert (chart["log_lines"], chart["state"], chart["series"]) == ([0, 6], "no_data", [])
    # What came since the last count, before the job's end, lies within its life.
    rig.clock.move(5)
    await rig.write(job, b"x\n")
    await rig.put(job, status="succeeded")
    rig.clock.move(30)
    await rig.monitor.look()
    assert sum((await rig.served.get(f"/jobs/{job}/utilization", points=2))["log_lines"]) == 7
    await rig.put(job, status="running")
    # Chunks that are sent again are no lines that came.
    offset = rig.written[ordinary_path(job, "worker-0")]
    for data in (b"g\nh\n", b"g\nh\n", b"g\nh\ni\n"):
        await rig.served.write(data, job=job, path=ordinary_path(job, "worker-0"), offset=offset)
    assert 'logsvc_job_log_lines_total{job_id="m-rate"} 4.0' in (await rig.served.http.get("/metrics")).text


async def test_checkpoint_lines_are_found_as_they_come(rig: Rig) -> None:
    job = "m-ckpt"
    looks = rig.monitor._checkpoints
    stream = await rig.write(job, b"epoch 1\nSaving checkpoint to /cache/1.ckpt\nepoch 2\n")
    rig.clock.move(10)
    start_ms = round((NOON - 60) * 1000)
    assert [(one.stream, one.n, one.task) for one in await looks.of(job, start_ms)] == [(stream, 2, "worker-0")]
    await rig.write(
        job, b"loaded checkpoint /cache/0.ckpt\n" + b"".join(b"saved model %d.pt\n" % n for n in range(150))
    )
    assert len(await looks.of(job, start_ms)) == 101  # bounded a look
    found = await looks.of(job, start_ms)
    assert [one.n for one in found] == [2, *range(5, 155)]
    assert {one.at_ms for one in found[1:]} == {round((NOON + 10) * 1000)}
    assert await looks.of(job, round((NOON + 5) * 1000)) == found[1:]


async def test_an_event_that_nobody_took_is_told_again(rig: Rig) -> None:
    told: list[Event] = []
    away = True

    async def tell(event: Event) -> None:
        if away:
            raise StoreUnavailable("away")
        told.append(event)

    rig.monitor._journal._tell = tell
    await rig.report("m-told", 10)
    await rig.job("m-told")
    assert await rig.changes("m-told") == [("low_utilization", "raised")] and not told
    for now_away in (True, False, False):
        away = now_away
        await rig.restart()
        rig.monitor._journal._tell = tell
        await rig.monitor.look()
    assert [(one.job, one.name, one.change, one.numbers["readings"]) for one in told] == [
        ("m-told", "low_utilization", "raised", 1)
    ]
    away = True
    rig.clock.move(1)
    await rig.report("m-told", 95)
    await rig.monitor.look()
    assert await rig.changes("m-told") == [("low_utilization", "raised"), ("low_utilization", "cleared")]
    away = False
    await rig.monitor.look()
    assert [one.change for one in told] == ["raised", "cleared"]


async def test_jobs_are_read_while_findings_cannot_be_written(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    await rig.report("m-full", 10)

    async def full(*_: Any, **__: Any) -> None:
        raise DiskFull("full")

    with monkeypatch.context() as patched:
        patched.setattr(rig.store, "put", full)
        job = await rig.job("m-full")
        assert (job["mean_utilization_percent"], job["flags"], job["events"]) == (10.0, [], [])
        await rig.monitor.look()
    rig.clock.move(60)
    await rig.monitor.look()
    assert await rig.changes("m-full") == [("low_utilization", "raised")]


def test_what_was_found_outlives_a_kill(tmp_path: Path) -> None:
    """Acknowledged readings and told events are there after `kill -9`, once each."""
    service = ServiceProcess(tmp_path / "data").start()
    try:
        client = service.client()
        for percent in (20, 95):
            at = rfc3339(NOON - 3600 + percent)
            samples = [{"at": at, "device": 0, "kind": "npu", "utilization_percent": percent}]
            body = json.dumps({"job": "m-kill", "task": "worker-0", "samples": samples}).encode()
            assert client.ask("POST", "/samples", body).status == 204
            before = client.get("/jobs/m-kill")
        service.kill()
        after = service.start().client().get("/jobs/m-kill")
        for job in (before, after):
            del job["utilization_sparkline_percent"]  # up to now, which went on
        assert after == before
        assert [one["change"] for one in after["events"]] == ["raised", "cleared"]
        assert after["mean_utilization_percent"] == 57.5
    finally:
        service.kill()
    assert "Traceback" not in service.logged()


async def test_an_answer_is_of_the_last_reading_while_a_look_is_under_way(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.report("m-under-way", 10)
    asked, go_on = asyncio.Event(), asyncio.Event()
    pooled = rig.store.pooled

    async def slow(jobs: Sequence[str]) -> Any:
        found = await pooled(jobs)
        if not asked.is_set():
            asked.set()
            await go_on.wait()
        return found

    monkeypatch.setattr(rig.store, "pooled", slow)
    look = asyncio.create_task(rig.monitor.look())
    await asked.wait()
    rig.clock.move(1)
    await rig.report("m-under-way", 100)
    assert (await rig.job("m-under-way"))["mean_utilization_percent"] == 55.0
    go_on.set()
    await look
    job = await rig.job("m-under-way")
    assert (job["mean_utilization_percent"], job["flags"]) == (55.0, [])
