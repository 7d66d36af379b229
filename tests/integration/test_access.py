"""Who may do what: every call that the service has, asked by each kind of token; and what of others' jobs is seen."""

from __future__ import annotations

import json
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from builders import HandClock
from logsvc.api.rights import CALLS, calls
from logsvc.core.tokens import Wanted
from logsvc.model.stream import ordinary_path
from serving import Served, in_process, on_loopback

MINE, THEIRS = "access-mine", "access-theirs"
API = "/api/v1"
ASKING = {
    "admin": Wanted("admin"),
    "sender": Wanted("ingest"),
    "my sender": Wanted("ingest", owner="li"),
    "their sender": Wanted("ingest", jobs=[THEIRS]),
    "reader": Wanted("viewer", owner="li"),
    "their reader": Wanted("viewer", jobs=["*-theirs"]),
    "reader of all": Wanted("viewer", jobs=["*"]),
}
OPEN = dict.fromkeys([*ASKING, "nobody"], 200)
KNOWN = dict.fromkeys(ASKING, 200) | {"nobody": 401}
ADMINS = dict.fromkeys(ASKING, 403) | {"admin": 200, "nobody": 401}
# Of a job of mine: what a sender without a scope, one with this job, and one with another job is told.
LISTS = KNOWN | {"sender": 403, "my sender": 403, "their sender": 403}
READS = LISTS | {"their reader": 404}
LOOKS = KNOWN | {"their sender": 404, "their reader": 404}
ASKS = KNOWN | {"reader": 403, "their reader": 403, "reader of all": 403}
WRITES = ASKS | {"their sender": 403}
# Each call of the service: the answers by who asks, and how it is asked.
EXPECTED: dict[tuple[str, str], tuple[dict[str, int], dict[str, Any]]] = {
    ("GET", "/"): (OPEN, {}),
    ("GET", "/favicon.ico"): (OPEN, {}),
    ("GET", "/healthz"): (OPEN, {}),
    ("GET", "/readyz"): (OPEN, {}),
    ("GET", "/static"): (OPEN, {"below": "/docs-init.js"}),
    ("GET", "/metrics"): (KNOWN, {}),
    ("GET", "/docs"): (KNOWN, {}),
    ("GET", f"{API}/openapi.json"): (KNOWN, {}),
    ("GET", f"{API}/jobs"): (LISTS, {}),
    ("GET", f"{API}/search"): (LISTS, {"params": {"q": "x"}}),
    ("GET", f"{API}/jobs/{{job}}"): (LOOKS, {}),
    ("GET", f"{API}/jobs/{{job}}/streams"): (LOOKS, {}),
    ("GET", f"{API}/jobs/{{job}}/utilization"): (READS, {}),
    ("GET", f"{API}/jobs/{{job}}/download"): (READS, {}),
    ("GET", f"{API}/jobs/{{job}}/secrets"): (READS, {}),
    ("GET", f"{API}/streams/{{id}}/lines"): (READS, {}),
    ("GET", f"{API}/streams/{{id}}/matches"): (READS, {"params": {"q": "x"}}),
    ("GET", f"{API}/streams/{{id}}/overview"): (READS, {}),
    ("GET", f"{API}/streams/{{id}}/raw"): (READS, {}),
    ("GET", f"{API}/streams/{{id}}/sha256"): (READS, {}),
    ("GET", "/plain/{stream}"): (READS, {}),
    ("WS", f"{API}/streams/{{id}}/follow"): (READS, {}),
    ("PUT", f"{API}/jobs/{{job}}"): (WRITES, {"json": {}}),
    ("POST", f"{API}/chunks"): (WRITES, {"params": {"offset": 0}, "content": b"mine\n"}),
    ("POST", f"{API}/samples"): (WRITES, {"json": {"job": MINE, "task": "worker-0"}}),
    ("GET", f"{API}/chunks"): (ASKS, {}),
    ("POST", f"{API}/batch"): (ASKS, {"content": b""}),
    ("POST", f"{API}/offsets"): (ASKS, {"json": {"streams": []}}),
    ("POST", f"{API}/tokens"): (ADMINS, {"json": {"role": "viewer"}}),
    ("GET", f"{API}/tokens"): (ADMINS, {}),
    ("DELETE", f"{API}/tokens/{{id}}"): (ADMINS | {"admin": 404}, {"id": "none"}),
}


def log_of(job: str) -> dict[str, str]:
    """The usual log of a job, as a chunk names it."""
    return {"job": job, "task": "worker-0", "path": ordinary_path(job, "worker-0")}


def bearer(token: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


async def with_two_jobs(served: Served) -> dict[str, str]:
    """Jobs of two owners, one line each; ids of their streams."""
    streams = {}
    for job, owner, line in ((MINE, "li", b"mine\n"), (THEIRS, "wang", b"theirs\n")):
        await served.http.put(f"{API}/jobs/{job}", json={"owner": owner})
        streams[job] = await served.write(line, **log_of(job))
    return streams


async def tokens_of(served: Served) -> dict[str, str | None]:
    """A token for each of `ASKING`."""
    book = served.service.services.tokens.book
    return {name: (await book.make(wanted))["token"] for name, wanted in ASKING.items()} | {"nobody": None}


@pytest.fixture
async def served(tmp_path: Path, clock: HandClock) -> AsyncIterator[Served]:
    async with in_process(tmp_path / "data", clock=clock) as served:
        yield served


async def test_each_call_for_each_kind_of_token(tmp_path: Path) -> None:
    """A call that nobody has thought of fails here, and one that answers the wrong people."""
    async with on_loopback(tmp_path / "data") as served:
        asked = {call for route in served.app.routes for call in calls(route)}
        assert asked == set(EXPECTED), "say in EXPECTED who may make a new call"
        assert set(CALLS) == asked, "rights are told of calls that are not there"
        streams = await with_two_jobs(served)
        for who, token in (await tokens_of(served)).items():
            async with httpx2.AsyncClient(
                base_url=f"http://{served.address}", headers=bearer(token), trust_env=False, verify=False
            ) as http:
                for (method, path), (answers, how) in EXPECTED.items():
                    status = await _status(http, method, path, streams[MINE], dict(how))
                    assert (who, method, path, status) == (who, method, path, answers[who])


async def _status(http: httpx2.AsyncClient, method: str, path: str, stream: str, how: dict[str, Any]) -> int:
    """What a call answers: 200 for all that is well."""
    named = {"job": MINE, "id": how.pop("id", stream), "stream": stream}
    address = path.format(**named) + how.pop("below", "")
    if method == "WS":
        sent = {"Authorization": http.headers["Authorization"]} if "Authorization" in http.headers else {}
        try:
            server = str(http.base_url).replace("http", "ws", 1).rstrip("/")
            async with connect(server + address, additional_headers=sent, proxy=None):
                return 200
        except InvalidStatus as refused:
            return refused.response.status_code
    if path == f"{API}/chunks":
        how["params"] = {**log_of(MINE), **how.get("params", {})}
    status = (await http.request(method, address, **how)).status_code
    if path.endswith("/raw"):
        assert (await http.head(address)).status_code == status
    return 200 if 200 <= status < 300 else status


async def test_a_hidden_job_is_as_one_that_is_not_there(served: Served) -> None:
    streams = await with_two_jobs(served)
    headers = bearer((await tokens_of(served))["reader"])
    for path in ("/jobs/{}", "/jobs/{}/streams", "/jobs/{}/download"):
        hidden = await served.http.get(API + path.format(THEIRS), headers=headers)
        missing = await served.http.get(API + path.format("no-job"), headers=headers)
        assert hidden.status_code == 404
        assert hidden.text.replace(THEIRS, "no-job") == missing.text
    hidden = await served.http.get(f"{API}/streams/{streams[THEIRS]}/lines", headers=headers)
    missing = await served.http.get(f"{API}/streams/99/lines", headers=headers)
    assert hidden.status_code == 404
    assert hidden.text.replace(f"'{streams[THEIRS]}'", "'99'") == missing.text


@pytest.mark.parametrize(
    ("who", "jobs"),
    [("reader", [MINE]), ("their reader", [THEIRS]), ("reader of all", [MINE, THEIRS]), ("admin", [MINE, THEIRS])],
)
async def test_lists_searches_and_totals_hold_only_what_is_seen(served: Served, who: str, jobs: list[str]) -> None:
    await with_two_jobs(served)
    headers = bearer((await tokens_of(served))[who])

    async def get(path: str, **query: Any) -> Any:
        response = await served.http.get(API + path, params=query, headers=headers)
        assert response.status_code == 200
        return response.json()

    assert sorted(job["id"] for job in (await get("/jobs"))["jobs"]) == jobs
    for query in ({}, {"job": [MINE, THEIRS]}):
        found = await get("/search", q="i?e|their", regex=1, **query)
        assert sorted(match["job"] for match in found["matches"]) == jobs
        assert sorted(total["job"] for total in found["totals"]) == jobs
        assert found["searched_streams"] == len(jobs)
        assert len((await get("/search", q="e", limit=1, **query))["matches"]) == 1
    mine = [job["id"] for job in (await get("/jobs", owner="li"))["jobs"]]
    assert mine == [job for job in jobs if job == MINE]
    assert {match["job"] for match in (await get("/search", q="e", owner="wang"))["matches"]} == set(jobs) - {MINE}


async def test_a_sender_is_told_nothing_of_jobs_that_are_not_its_own(served: Served) -> None:
    await with_two_jobs(served)
    headers = bearer((await tokens_of(served))["my sender"])
    place = {"params": log_of(THEIRS), "headers": headers}
    assert (await served.http.get(f"{API}/chunks", **place)).json() == {"stream": None, "next_offset": 0}
    asked = {"streams": [log_of(MINE), log_of(THEIRS)]}
    held = (await served.http.post(f"{API}/offsets", json=asked, headers=headers)).json()["streams"]
    assert [len(one["generations"]) for one in held] == [1, 0]

    frames = b""
    for job in (MINE, THEIRS, "access-new"):
        head = json.dumps({**log_of(job), "offset": 0, "length": 5}).encode()
        frames += struct.pack("<I", len(head)) + head + b"mine\n"
    results = (await served.http.post(f"{API}/batch", content=frames, headers=headers)).json()["results"]
    assert [one.get("next_offset") or one["error"]["code"] for one in results] == [5, "forbidden", 5]
    assert (await served.get("/jobs/access-new"))["owner"] == "li"
    assert (await served.get(f"/jobs/{THEIRS}"))["log_bytes"] == len(b"theirs\n")


async def test_a_job_goes_where_its_owner_says(served: Served) -> None:
    """At once, though owners are remembered; and nobody takes or gives away a job by its description."""
    streams = await with_two_jobs(served)
    tokens = await tokens_of(served)
    lines = f"{API}/streams/{streams[MINE]}/lines"
    sender, reader = bearer(tokens["my sender"]), bearer(tokens["reader"])
    assert (await served.http.get(lines, headers=reader)).status_code == 200
    for given in ({"owner": "wang"}, {"owner": None}):
        assert (await served.http.put(f"{API}/jobs/{MINE}", json=given, headers=sender)).status_code == 403
    assert (await served.http.put(f"{API}/jobs/{THEIRS}", json={"owner": "li"}, headers=sender)).status_code == 403
    assert (await served.http.put(f"{API}/jobs/{MINE}", json={"owner": "wang"})).status_code == 200
    assert (await served.http.get(lines, headers=reader)).status_code == 404
    chunk = {"params": {**log_of(MINE), "offset": 0}, "content": b"mine\n"}
    assert (await served.http.post(f"{API}/chunks", headers=sender, **chunk)).status_code == 403
