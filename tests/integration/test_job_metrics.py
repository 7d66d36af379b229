"""What Prometheus reads: names, types, bounds, staleness, hostile labels."""

from __future__ import annotations

import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from builders import NOON, HandClock
from logsvc.core.clock import rfc3339
from logsvc.model.stream import ordinary_path
from serving import Served, in_process

DOCS = (Path(__file__).parents[2] / "docs" / "http-api.md").read_text("utf-8").partition("## Metrics")[2]
PROMTOOL = Path(__file__).parents[2] / "build" / "prometheus" / "bin" / "promtool"  # `make prometheus`
HOSTILE = 'a"b\\c\nd {x="1"} 5\n# TYPE é ☃'
Labels = tuple[tuple[str, str], ...]


@pytest.fixture
async def served(tmp_path: Path, clock: HandClock) -> AsyncIterator[Served]:
    async with in_process(tmp_path / "data", clock=clock, metrics_max_jobs=3, metrics_max_cards=4) as served:
        yield served


async def report(served: Served, clock: HandClock, job: str, *percents: float, **more: Any) -> None:
    at = rfc3339(clock.at)
    samples = [
        {
            "at": at,
            "device": device,
            "kind": "npu",
            "utilization_percent": percent,
            "memory_used_bytes": 1 << 30,
            "memory_total_bytes": 1 << 35,
            "power_watts": 310.5,
            "temperature_celsius": 54,
            "process_count": 2,
        }
        for device, percent in enumerate(percents)
    ]
    lists = {name: [{"at": at, **one} for one in given] for name, given in more.items()}
    response = await served.http.post(
        "/api/v1/samples", json={"job": job, "task": "worker-0", "samples": samples, **lists}
    )
    assert response.status_code == 204, response.text


async def scraped(served: Served) -> dict[str, dict[Labels, float]]:
    """Samples by name and labels; each name was told of once, with its help, and no series comes twice."""
    response = await served.http.get("/metrics")
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found: dict[str, dict[Labels, float]] = {}
    for family in text_string_to_metric_families(response.text):
        assert family.documentation.endswith("."), family.name
        for sample in family.samples:
            labels = tuple(sorted(sample.labels.items()))
            held = found.setdefault(sample.name, {})
            assert labels not in held
            held[labels] = sample.value
    return found


def only(series: dict[Labels, float], **labels: str) -> float:
    """The value of the one series that has these labels."""
    [value] = [value for have, value in series.items() if set(labels.items()) <= set(have)]
    return value


def documented() -> Iterator[str]:
    yield from re.findall(r"`(logsvc_[a-z_]+)(?:\{[a-z_,]+\})?`", DOCS)


async def test_every_series_of_a_job_and_none_that_is_not_documented(served: Served, clock: HandClock) -> None:
    job = "metrics-all"
    put = await served.http.put(
        f"/api/v1/jobs/{job}",
        json={"name": HOSTILE, "owner": "ada", "type": "train", "accelerator": "nvidia", "resource_pool": "p1"},
    )
    assert put.status_code == 200
    await served.write(b"one\ntwo\nthree", job=job, path=ordinary_path(job, "worker-0"))
    for percents in ((10, 90), (40, 0)):
        await report(
            served,
            clock,
            job,
            *percents,
            host=[{"cpu_percent": 50, "memory_used_bytes": 3}],
            mounts=[{"path": f"/mnt/{HOSTILE}", "used_bytes": 1, "total_bytes": 4, "read_only": False}],
            process_io=[{"pid": 5, "read_bytes": 1, "write_bytes": 1}],
        )
        await served.service.services.monitor.look()
        clock.move(10)
    found = await scraped(served)
    info = only(found["logsvc_job_info"], job_id=job, name=HOSTILE, owner="ada", status="running", type="train")
    assert info == only(found["logsvc_job_info"], accelerator="nvidia", resource_pool="p1") == 1
    card = {"job_id": job, "task": "worker-0", "device": "1", "kind": "npu"}
    expected = {
        "logsvc_job_accelerator_utilization_ratio": (card, 0.0),
        "logsvc_job_accelerator_memory_used_bytes": (card, 1 << 30),
        "logsvc_job_accelerator_memory_total_bytes": (card, 1 << 35),
        "logsvc_job_accelerator_power_watts": (card, 310.5),
        "logsvc_job_accelerator_temperature_celsius": (card, 54.0),
        "logsvc_job_accelerator_processes": (card, 2.0),
        "logsvc_job_mean_utilization_ratio": ({"job_id": job}, 0.35),
        "logsvc_job_low_utilization": ({"job_id": job}, 1.0),
        "logsvc_job_hung": ({"job_id": job}, 0.0),
        "logsvc_job_hang_stage": ({"job_id": job}, 0.0),
        "logsvc_job_finding": ({"job_id": job, "finding": "low_utilization"}, 1.0),
        "logsvc_job_start_timestamp_seconds": ({"job_id": job}, NOON),
        "logsvc_job_last_sample_timestamp_seconds": ({"job_id": job}, NOON + 10),
        "logsvc_job_log_lines_total": ({"job_id": job}, 2.0),
        "logsvc_job_log_bytes_total": ({"job_id": job}, 13.0),
        "logsvc_job_card_seconds_total": ({"job_id": job}, 20.0),
        "logsvc_job_idle_card_seconds_total": ({"job_id": job}, 6.0 + 10.0),
        "logsvc_job_cpu_ratio": ({"job_id": job, "task": "worker-0"}, 0.5),
        "logsvc_job_memory_used_bytes": ({"job_id": job, "task": "worker-0"}, 3.0),
        "logsvc_job_mount_used_bytes": ({"job_id": job, "mount": f"/mnt/{HOSTILE}"}, 1.0),
        "logsvc_job_mount_total_bytes": ({"job_id": job, "mount": f"/mnt/{HOSTILE}"}, 4.0),
        "logsvc_jobs": ({"status": "running"}, 1.0),
        "logsvc_samples_total": ({}, 10.0),
        "logsvc_ingest_errors_total": ({"code": "disk_full"}, 0.0),
        "logsvc_metrics_jobs_left_out": ({}, 0.0),
        "logsvc_build_info": ({}, 1.0),
    }
    for name, (labels, value) in expected.items():
        assert only(found[name], **labels) == pytest.approx(value), name
    assert 0 < found["logsvc_store_free_bytes"][()] <= found["logsvc_store_capacity_bytes"][()]
    assert only(found["logsvc_request_duration_seconds_count"], call="samples") == 2
    assert only(found["logsvc_request_duration_seconds_count"], call="ingest") == 1
    names = {re.sub("_(bucket|sum|count)$", "", name) if "duration" in name else name for name in found}
    assert names == set(documented())
    text = (await served.http.get("/metrics")).content
    checked = subprocess.run([PROMTOOL, "check", "metrics"], input=text, capture_output=True, timeout=60)  # noqa: ASYNC221
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


async def test_old_readings_and_ended_jobs_leave(served: Served, clock: HandClock) -> None:
    await report(served, clock, "metrics-old", 80, host=[{"cpu_percent": 5}])
    clock.move(61)
    found = await scraped(served)
    assert not any("accelerator" in name or name == "logsvc_job_cpu_ratio" for name in found)
    assert only(found["logsvc_job_mean_utilization_ratio"], job_id="metrics-old") == 0.8
    assert only(found["logsvc_job_last_sample_timestamp_seconds"], job_id="metrics-old") == NOON
    await served.http.put("/api/v1/jobs/metrics-old", json={"status": "succeeded"})
    clock.move(899)
    found = await scraped(served)
    assert only(found["logsvc_job_info"], job_id="metrics-old", status="succeeded") == 1
    clock.move(1)
    found = await scraped(served)
    assert not any(name.startswith("logsvc_job_") for name in found)
    assert only(found["logsvc_jobs"], status="succeeded") == 1


async def test_a_gap_is_no_time_that_was_measured(served: Served, clock: HandClock) -> None:
    for seconds, percent in ((0, 100), (30, 100), (600, 0), (30, 0)):
        clock.move(seconds)
        await report(served, clock, "metrics-gap", percent)
    found = await scraped(served)
    assert only(found["logsvc_job_card_seconds_total"]) == 60
    assert only(found["logsvc_job_idle_card_seconds_total"]) == 30


async def test_jobs_and_cards_are_bounded_and_what_is_left_out_is_told(served: Served, clock: HandClock) -> None:
    """Three jobs and four cards at most: those that run first, the newest of them."""
    for job in ("metrics-ended", "metrics-1", "metrics-2", "metrics-3"):
        await report(served, clock, job, 50, 60, 70)
        clock.move(1)
    await served.http.put("/api/v1/jobs/metrics-ended", json={"status": "failed"})
    found = await scraped(served)
    assert {dict(labels)["job_id"] for labels in found["logsvc_job_info"]} == {"metrics-1", "metrics-2", "metrics-3"}
    cards = [dict(labels)["job_id"] for labels in found["logsvc_job_accelerator_utilization_ratio"]]
    assert cards == ["metrics-3"] * 3
    assert found["logsvc_metrics_jobs_left_out"] == {(): 3.0}
    for job in ("metrics-1", "metrics-2"):
        await served.http.put(f"/api/v1/jobs/{job}", json={"status": "failed"})
    assert (await scraped(served))["logsvc_metrics_jobs_left_out"] == {
        (): 1.0
    }  # an ended one has no cards to leave out


async def test_a_job_that_waited_has_not_run_since(served: Served, clock: HandClock) -> None:
    """Half an hour of running is what the alert waits for, not half an hour in a queue."""

    async def began(**given: Any) -> float:
        response = await served.http.put("/api/v1/jobs/metrics-queued", json=given)
        assert response.status_code == 200, response.text
        return (await scraped(served))["logsvc_job_start_timestamp_seconds"][(("job_id", "metrics-queued"),)]

    assert await began(status="pending") == NOON
    clock.move(3600)
    assert await began(status="running") == NOON + 3600
    clock.move(60)
    assert await began(name="still runs", status="running") == NOON + 3600
    assert await began(status="failed") == NOON + 3600
    clock.move(60)
    assert await began(status="running") == NOON + 3720  # started again
