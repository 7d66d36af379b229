"""Secrets in a job's logs, over HTTP."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from builders import HandClock
from logsvc.model.stream import ordinary_path
from serving import Served, a_store, in_process

JOB = "api-secrets"
TOKEN = "hf_" + "aB3" * 12
PASSWORD = "hunter2hunter2"


@pytest.fixture(params=["memory", "embedded"])
async def served(request: pytest.FixtureRequest, tmp_path: Path, clock: HandClock) -> AsyncIterator[Served]:
    folder = tmp_path / "data"
    async with in_process(folder, store=a_store(request.param, folder, clock), clock=clock) as served:
        yield served


async def written(served: Served, task: str, text: str) -> str:
    return await served.write(text.encode(), job=JOB, task=task, path=ordinary_path(JOB, task))


async def test_what_is_found_and_where(served: Served) -> None:
    first = await written(served, "worker-0", f"step 1\npassword={PASSWORD} {TOKEN}\n")
    second = await written(served, "worker-1", f"{TOKEN}\n")
    found = await served.get(f"/jobs/{JOB}/secrets")
    assert found == {
        "total": 3,
        "by_kind": [{"kind": "hugging_face_token", "count": 2}, {"kind": "password", "count": 1}],
        "places": [
            {"stream": first, "n": 2, "kind": "password"},
            {"stream": first, "n": 2, "kind": "hugging_face_token"},
            {"stream": second, "n": 1, "kind": "hugging_face_token"},
        ],
        "exact": True,
        "scanned_bytes": len(f"step 1\npassword={PASSWORD} {TOKEN}\n{TOKEN}\n"),
    }


async def test_a_scope_is_what_stream_and_task_name(served: Served) -> None:
    first = await written(served, "worker-0", f"{TOKEN}\n")
    second = await written(served, "worker-1", f"password={PASSWORD}\n")
    assert [one["stream"] for one in (await served.get(f"/jobs/{JOB}/secrets", stream=first))["places"]] == [first]
    assert [one["stream"] for one in (await served.get(f"/jobs/{JOB}/secrets", task="worker-1"))["places"]] == [second]
    for query in ({"stream": "999"}, {"task": "worker-9"}):
        assert (await served.http.get(f"/api/v1/jobs/{JOB}/secrets", params=query)).status_code == 404
    assert (await served.http.get("/api/v1/jobs/api-secrets-none/secrets")).status_code == 404


async def test_a_job_without_logs_has_none(served: Served) -> None:
    await served.http.put("/api/v1/jobs/api-secrets-empty", json={})
    nothing = {"total": 0, "by_kind": [], "places": [], "exact": True, "scanned_bytes": 0}
    assert await served.get("/jobs/api-secrets-empty/secrets") == nothing


async def test_no_secret_leaves_by_an_answer_or_our_log(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await written(served, "worker-0", f"password={PASSWORD} {TOKEN}\n")
    answer = await served.http.get(f"/api/v1/jobs/{JOB}/secrets")
    assert answer.json()["total"] == 2
    assert not [part for part in (PASSWORD, TOKEN) if part in answer.text + caplog.text]


async def test_scans_wait_for_their_turn_as_searches_do(served: Served) -> None:
    await written(served, "worker-0", f"{TOKEN}\n")
    turns = served.service.services.searches
    while not turns.locked():
        await turns.acquire()
    asked = asyncio.ensure_future(served.get(f"/jobs/{JOB}/secrets"))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not asked.done()
    turns.release()
    assert (await asked)["total"] == 1
