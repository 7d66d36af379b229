"""Readings over HTTP: held once, refused by name, pooled exactly, shown as a chart."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx2
import pytest

from builders import NOON, HandClock
from logsvc.core.clock import rfc3339
from serving import Served, a_store, in_process

JOB = "api-samples"


@pytest.fixture(params=["memory", "embedded"])
async def served(request: pytest.FixtureRequest, tmp_path: Path, clock: HandClock) -> AsyncIterator[Served]:
    folder = tmp_path / "data"
    async with in_process(folder, store=a_store(request.param, folder, clock), clock=clock) as served:
        yield served


def at(seconds: float) -> str:
    return rfc3339(NOON + seconds) or ""


def cards(seconds: float, *percents: float | None, **more: Any) -> list[dict[str, Any]]:
    """One sample of each card, from card 0."""
    return [
        {"at": at(seconds), "device": device, "kind": "npu", "utilization_percent": percent, **more}
        for device, percent in enumerate(percents)
    ]


async def post(served: Served, *, job: str = JOB, task: str = "worker-0", **lists: Any) -> httpx2.Response:
    return await served.http.post("/api/v1/samples", json={"job": job, "task": task, **lists})


async def send(served: Served, samples: Sequence[dict[str, Any]], **more: Any) -> None:
    response = await post(served, samples=samples, **more)
    assert (response.status_code, response.content) == (204, b"")


async def refused(served: Served, parameter: str | None, body: bytes | dict[str, Any]) -> str:
    """The message of a 422 that names this parameter."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = await served.http.post("/api/v1/samples", content=content)
    assert response.status_code == 422, response.text
    error = response.json()["error"]
    assert error["detail"].get("parameter") == parameter, error
    return str(error["message"])


async def test_readings_are_held_once_and_make_the_job(served: Served, clock: HandClock) -> None:
    for _ in range(2):
        await send(
            served,
            [*cards(0, 10, 30, memory_used_bytes=5), *cards(10, 20, None, memory_used_bytes=7)],
            process_io=[{"at": at(0), "pid": 9, "read_bytes": 1, "write_bytes": 2}],
            host=[{"at": at(0), "cpu_percent": 12.5}],
            mounts=[{"at": at(0), "path": "/cache", "used_bytes": 1, "total_bytes": 2, "read_only": True}],
            samplers=[{"name": "npu-smi", "state": "failed", "reason": "card 3: lost"}],
        )
    clock.move(20)
    job = await served.get(f"/jobs/{JOB}")
    assert (job["status"], job["utilization_state"], job["mean_utilization_percent"]) == ("running", "measured", 20.0)
    assert job["samplers"] == [
        {"task": "worker-0", "name": "npu-smi", "state": "failed", "reason": "card 3: lost", "at": at(0)}
    ]
    assert job["utilization_sparkline_percent"] == [20.0, 20.0, None]  # one part for each ten seconds of its life
    chart = await served.get(f"/jobs/{JOB}/utilization", points=2, readings="utilization_percent,memory_used_bytes")
    assert (chart["from"], chart["to"], chart["bucket_seconds"], chart["state"]) == (at(0), at(20), 10.0, "measured")
    assert chart["series"] == [
        {
            "task": "worker-0",
            "device": "0",
            "kind": "npu",
            "readings": {
                "utilization_percent": {"min": [10, 20], "mean": [10, 20], "max": [10, 20]},
                "memory_used_bytes": {"min": [5, 7], "mean": [5, 7], "max": [5, 7]},
            },
        },
        {
            "task": "worker-0",
            "device": "1",
            "kind": "npu",
            "readings": {
                "utilization_percent": {"min": [30, None], "mean": [30, None], "max": [30, None]},
                "memory_used_bytes": {"min": [5, 7], "mean": [5, 7], "max": [5, 7]},
            },
        },
    ]
    assert chart["log_lines"] is None
    assert "logsvc_samples_total 7.0" in (await served.http.get("/metrics")).text


async def test_the_mean_is_pooled_and_the_flag_is_exact(served: Served, clock: HandClock) -> None:
    """The manual's rule by hand: uneven cards, so that the pooled mean is not the mean of means."""
    await send(served, [*cards(0, 100, 10), *cards(10, 100, -1), *cards(20, 100, None)], job="pooled")
    job = await served.get("/jobs/pooled")
    assert job["mean_utilization_percent"] == (100 * 3 + 10) / 4  # not (100 + 10) / 2
    means = (await served.get("/jobs/pooled/utilization"))["means"]
    assert [(one["device"], one["mean_percent"], one["readings"]) for one in means["devices"]] == [
        ("0", 100.0, 3),
        ("1", 10.0, 1),
    ]

    await send(served, cards(0, 49.99, 49.99), job="below")
    await send(served, cards(0, 50.0, 50.0), job="at-the-limit")
    await send(served, cards(0, 49.0, 51.0), job="even")
    await send(served, cards(0, 90, 90), job="cpu")
    await send(served, cards(10, 1, 1), job="cpu")
    await send(served, cards(0, None, -1), job="nothing")
    await send(served, cards(0, 90), job="second-idles")
    await send(served, cards(0, 0), job="second-idles", task="worker-1")
    await served.http.put("/api/v1/jobs/cpu", json={"accelerator": "none"})
    flagged = (await served.get("/jobs", flag="low_utilization"))["jobs"]
    assert [job["id"] for job in flagged] == ["below"]
    assert flagged[0]["flags"] == ["low_utilization"]
    [finding] = flagged[0]["findings"]
    assert finding["numbers"] == {"mean_percent": 49.99, "readings": 2, "limit_percent": 50.0}
    assert "batch" in finding["advice"]
    states = {job["id"]: job["utilization_state"] for job in (await served.get("/jobs"))["jobs"]}
    assert (states["cpu"], states["nothing"], states["below"]) == ("none", "no_data", "measured")
    cpu = await served.get("/jobs/cpu")
    assert (cpu["mean_utilization_percent"], cpu["flags"], cpu["utilization_sparkline_percent"]) == (None, [], None)
    assert (await served.get("/jobs/nothing"))["mean_utilization_percent"] is None
    idle = (await served.get("/jobs/second-idles/utilization"))["means"]
    assert (idle["mean_utilization_percent"], idle["job_percent"]) == (90.0, 45.0)

    # One more reading brings it to the limit; the flag goes, once, and both stay told.
    await send(served, cards(10, 50.02, None), job="below")
    clock.move(12)
    below = await served.get("/jobs/below")
    assert (below["mean_utilization_percent"], below["flags"], below["findings"]) == (50.0, [], [])
    assert [(one["at"], one["name"], one["change"]) for one in below["events"]] == [
        (at(0), "low_utilization", "raised"),
        (at(12), "low_utilization", "cleared"),
    ]


async def test_the_chart_by_card_task_and_job(served: Served, clock: HandClock) -> None:
    for task, percents in (("worker-0", (10, 20)), ("worker-1", (60,))):
        await send(served, [*cards(0, *percents), *cards(30, *percents)], task=task)
    await send(served, cards(45, None, 40))
    clock.move(60)

    async def means(**query: Any) -> dict[tuple[str | None, str | None], list[float | None]]:
        chart = await served.get(f"/jobs/{JOB}/utilization", points=4, **query)
        return {(one["task"], one["device"]): one["readings"]["utilization_percent"]["mean"] for one in chart["series"]}

    assert set(await means()) == {("worker-0", "0"), ("worker-0", "1"), ("worker-1", "0")}
    assert await means(by="task") == {
        ("worker-0", None): [15, None, 15, 40],
        ("worker-1", "0"): [60, None, 60, None],
    }
    assert await means(by="job") == {(None, None): [30, None, 30, 40]}
    assert await means(by="job", task="worker-1") == {("worker-1", "0"): [60, None, 60, None]}
    assert set(await means(device="1")) == {("worker-0", "1")}
    chart = await served.get(f"/jobs/{JOB}/utilization", points=1, **{"from": at(20), "to": at(40)})
    [first, *_] = chart["series"]
    assert first["readings"]["utilization_percent"] == {"min": [10.0], "mean": [10.0], "max": [10.0]}
    assert chart["means"]["job_percent"] == pytest.approx(220 / 7)  # of the whole job all the same
    least = await served.get(f"/jobs/{JOB}/utilization", by="job", points=1, **{"from": at(0), "to": at(1)})
    assert least["series"][0]["readings"]["utilization_percent"] == {"min": [10.0], "mean": [30.0], "max": [60.0]}
    for query in ({"from": at(40), "to": at(20)}, {"points": 0}, {"by": "rack"}, {"readings": "speed"}, {"to": "noon"}):
        assert (await served.http.get(f"/api/v1/jobs/{JOB}/utilization", params=query)).status_code == 422
    assert (await served.http.get("/api/v1/jobs/none-such/utilization")).status_code == 404


async def test_a_chart_of_many_cards_has_fewer_points(
    served: Served, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("logsvc.core.utilization.MAX_NUMBERS", 30)
    await send(served, cards(0, 50, 60, 70))
    clock.move(3600)
    chart = await served.get(f"/jobs/{JOB}/utilization", points=2000)
    assert [len(one["readings"]["utilization_percent"]["mean"]) for one in chart["series"]] == [10] * 3
    assert chart["bucket_seconds"] == 360
    # Cards without a reading are in no sum, and in the answer all the same.
    await send(served, cards(3600, None, None, None), job="api-unread")
    clock.move(3600)
    chart = await served.get("/jobs/api-unread/utilization", points=2000)
    assert [len(one["readings"]["utilization_percent"]["mean"]) for one in chart["series"]] == [10] * 3


async def test_what_is_wrong_is_named_and_nothing_of_it_is_stored(served: Served) -> None:
    good = cards(0, 50)[0]
    base = {"job": JOB, "task": "worker-0"}
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("utilization_percent", {"utilization_percent": 100.01}),
        ("utilization_percent", {"utilization_percent": -2}),
        ("utilization_percent", {"utilization_percent": "50"}),
        ("utilization_percent", {"utilization_percent": True}),
        ("memory_used_bytes", {"memory_used_bytes": -5}),
        ("memory_used_bytes", {"memory_used_bytes": 2**70}),
        ("temperature_celsius", {"temperature_celsius": [40]}),
        ("kind", {"kind": "tpu"}),
        ("kind", {"kind": ["npu"]}),
        ("kind", {"kind": list(range(100_000))}),
        ("device", {"device": -1}),
        ("device", {"device": 1.5}),
        ("device", {"device": "a b"}),
        ("device", {"device": None}),
        ("device", {"device": "x" * 65}),
        ("at", {"at": "2026-11-20T12:00:00"}),
        ("at", {"at": 1795176000}),
        ("at", {"at": "1999-12-31T23:59:59Z"}),
        ("at", {"at": at(86_401)}),
        ("at", {"at": "9999-99-99T00:00:00Z"}),
    ]
    for name, change in wrong:
        told = await refused(served, f"samples[1].{name}", {**base, "samples": [good, {**good, **change}]})
        assert told.startswith(f"samples[1].{name}: ")
    others: list[tuple[str, dict[str, Any]]] = [
        ("samples[0]", {"samples": [5]}),
        ("samples", {"samples": {}}),
        ("samples", {"samples": [good] * 9_999 + [good, good]}),
        ("process_io[0].pid", {"process_io": [{"at": at(0), "pid": 0}]}),
        ("process_io[0].pid", {"process_io": [{"at": at(0), "pid": "7"}]}),
        ("process_io[0].read_bytes", {"process_io": [{"at": at(0), "pid": 7, "read_bytes": -3}]}),
        ("host[0].cpu_percent", {"host": [{"at": at(0), "cpu_percent": 101}]}),
        ("mounts[0].path", {"mounts": [{"at": at(0), "path": "cache"}]}),
        ("mounts[0].path", {"mounts": [{"at": at(0), "path": "/" + "x" * 512}]}),
        ("mounts[0].read_only", {"mounts": [{"at": at(0), "path": "/cache", "read_only": 1}]}),
        ("samplers", {"samplers": [{"name": "nvidia", "state": "ok"}] * 33}),
        ("samplers[0].name", {"samplers": [{"name": "No!", "state": "ok"}]}),
        ("samplers[0].state", {"samplers": [{"name": "nvidia", "state": "fine"}]}),
        ("samplers[0].reason", {"samplers": [{"name": "nvidia", "state": "ok", "reason": 5}]}),
        ("hang_detect_minutes", {"hang_detect_minutes": 0}),
        ("hang_detect_minutes", {"hang_detect_minutes": "30"}),
        ("job", {"job": 5}),
        ("task", {"task": None}),
    ]
    for name, change in others:
        await refused(served, name, {**base, **change})
    for change in ({"job": ".."}, {"task": "worker"}):
        response = await served.http.post("/api/v1/samples", json={**base, **change, "samples": [good]})
        assert (response.status_code, response.json()["error"]["code"]) == (422, "bad_path")
    await refused(served, None, b"[1]")
    for body in (b"", b"{", b"\xff", b'{"job": Infinity}', b'{"job":NaN,"task":"\\ud800"}', b"[" * 100_000 + b"NaN"):
        response = await served.http.post("/api/v1/samples", content=body)
        assert (response.status_code, response.json()["error"]["code"]) == (400, "bad_body"), body[:20]
    too_much = b'{"job":"j","task":"worker-0","x":"' + b"x" * (16 << 20) + b'"}'
    response = await served.http.post("/api/v1/samples", content=too_much)
    assert (response.status_code, response.json()["error"]["code"]) == (413, "too_large")
    assert (await served.get("/jobs"))["jobs"] == []
    exposed = (await served.http.get("/metrics")).text
    assert 'logsvc_ingest_errors_total{code="bad_path"} 2.0' in exposed
    assert 'logsvc_ingest_errors_total{code="too_large"} 1.0' in exposed


async def test_what_is_no_reading_and_a_report_that_says_nothing(served: Served) -> None:
    await send(served, [])
    assert (await served.get("/jobs"))["jobs"] == []
    body = gzip.compress(
        json.dumps(
            {
                "job": JOB,
                "task": "worker-0",
                "samples": [
                    *cards(0, float("nan"), None, -1, -1.0, 0),
                    {**cards(1, 0)[0], "device": "0:2", "power_watts": float("nan"), "unknown": {"to": "us"}},
                ],
            }
        ).encode()
    )
    response = await served.http.post("/api/v1/samples", content=body, headers={"Content-Encoding": "gzip"})
    assert response.status_code == 204
    means = (await served.get(f"/jobs/{JOB}/utilization"))["means"]
    assert [(one["device"], one["mean_percent"], one["readings"]) for one in means["devices"]] == [
        ("0:2", 0.0, 1),
        ("4", 0.0, 1),
    ]
    await send(served, [], job="only-samplers", samplers=[{"name": "nvidia", "state": "absent", "reason": "no driver"}])
    job = await served.get("/jobs/only-samplers")
    assert (job["utilization_state"], job["samplers"][0]["state"]) == ("no_data", "absent")
