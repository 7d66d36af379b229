"""Jobs, streams, lines, matches, search, raw and download over HTTP."""

from __future__ import annotations

import asyncio
import hashlib
import io
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from builders import JOB, MARKED, HandClock
from logsvc.model.query import Matches, Overview, SearchQuery
from logsvc.stores.memory import MemoryStore
from serving import LOG, Served, a_store, eventually, in_process, on_loopback


@pytest.fixture(params=["memory", "embedded"])
async def served(request: pytest.FixtureRequest, tmp_path: Path, clock: HandClock) -> AsyncIterator[Served]:
    folder = tmp_path / "data"
    async with in_process(folder, store=a_store(request.param, folder, clock), clock=clock) as served:
        yield served


def error(response: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """The detail of an error of this status and code."""
    assert response.status_code == status, response.text
    assert response.json()["error"]["code"] == code
    detail: dict[str, Any] = response.json()["error"]["detail"]
    return detail


async def put(served: Served, job: str, **said: Any) -> httpx2.Response:
    return await served.http.put(f"/api/v1/jobs/{job}", json=said)


async def test_putting_merges(served: Served) -> None:
    first = (await put(served, "j1", name="first", labels={"team": "vision"}, task_count=2)).json()
    assert (first["id"], first["name"], first["status"]) == ("j1", "first", "running")
    assert first["created_at"] == "2026-11-20T12:00:00.000Z"
    assert (first["flags"], first["findings"], first["mean_utilization_percent"]) == ([], [], None)
    second = (await put(served, "j1", algorithm="resnet", labels=None)).json()
    assert (second["name"], second["algorithm"], second["labels"]) == ("first", "resnet", {})
    assert await served.get("/jobs/j1") == second


async def test_an_end_without_its_time_is_now(served: Served, clock: HandClock) -> None:
    await served.write(b"one\n")
    clock.move(100)
    ended = (await put(served, JOB, status="failed")).json()
    assert ended["ended_at"] == "2026-11-20T12:01:40.000Z"
    assert ended["expires_at"] == "2026-12-20T12:01:40.000Z"
    clock.move(100)
    await served.write(b"two\n", offset=4)
    assert (await served.get(f"/jobs/{JOB}"))["expires_at"] == "2026-12-20T12:03:20.000Z"
    again = (await put(served, JOB, status="running")).json()
    assert (again["ended_at"], again["expires_at"]) == (None, None)
    told = (await put(served, JOB, status="succeeded", ended_at="2026-11-20T20:00:00+08:00")).json()
    assert told["ended_at"] == "2026-11-20T12:00:00.000Z"


async def test_ascend_needs_an_archive(tmp_path: Path, served: Served) -> None:
    error(await put(served, "j1", accelerator="ascend"), 422, "archive_required")
    error(await served.http.get("/api/v1/jobs/j1"), 404, "not_found")
    assert (await put(served, "j1", accelerator="ascend", archive_url="obs://logs/here")).status_code == 200
    error(await put(served, "j1", archive_url=None), 422, "archive_required")
    async with in_process(tmp_path / "other", require_archive_for_ascend=False) as lenient:
        assert (await put(lenient, "j1", accelerator="ascend")).status_code == 200


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ({"status": "done"}, "status"),
        ({"status": None}, "status"),
        ({"accelerator": "tpu"}, "accelerator"),
        ({"task_count": -1}, "task_count"),
        ({"task_count": "2"}, "task_count"),
        ({"created_at": "yesterday"}, "created_at"),
        ({"created_at": "2026-11-20T12:00:00"}, "created_at"),
        ({"ended_at": "2026-11-20T12:00:00Z"}, "ended_at"),
        ({"archive_url": "http://x/y"}, "archive_url"),
        ({"labels": {"a": 1}}, "labels.a"),
        ({"labels": {str(n): "x" for n in range(65)}}, "labels"),
        ({"colour": "red"}, "colour"),
        ({"name": "x" * 300}, "name"),
    ],
)
async def test_what_may_not_be_said_of_a_job(served: Served, said: dict[str, Any], name: str) -> None:
    assert error(await put(served, "j1", **said), 422, "bad_input")["parameter"] == name
    error(await served.http.get("/api/v1/jobs/j1"), 404, "not_found")


async def test_bodies_and_ids_that_are_none(served: Served) -> None:
    for body, status, code in (
        (b"", 400, "bad_body"),
        (b"{", 400, "bad_body"),
        (b"\xff", 400, "bad_body"),
        (b"[]", 422, "bad_input"),
        (b"null", 422, "bad_input"),
        (b'{"name": "%s"}' % (b"x" * 300_000), 413, "too_large"),
    ):
        response = await served.http.put("/api/v1/jobs/j1", content=body)
        error(response, status, code)
    for job in ("..", "a b", "x" * 129, "%00", "ü"):
        response = await served.http.put(f"/api/v1/jobs/{job}", json={})
        assert response.status_code in (404, 422), job
        assert (await served.http.get(f"/api/v1/jobs/{job}")).status_code == 404


async def test_listing_filters_sorts_and_pages(served: Served, clock: HandClock) -> None:
    for n in range(25):
        clock.move(60)
        await put(
            served,
            f"job-{n:02}",
            name=f"Train {n % 5}",
            owner="ann" if n % 2 else "bob",
            status="failed" if n % 10 == 0 else "running",
            algorithm="ResNet" if n < 5 else "bert",
        )

    async def ids(**query: Any) -> list[str]:
        found: list[str] = []
        cursor = None
        while True:
            asked = {**query, **({"cursor": cursor} if cursor else {})}
            page = await served.get("/jobs", limit=7, **asked)
            assert len(page["jobs"]) <= 7
            found += [job["id"] for job in page["jobs"]]
            cursor = page["next"]
            if cursor is None:
                return found

    everything = [f"job-{n:02}" for n in range(25)]
    assert await ids() == everything[::-1]
    assert await ids(sort="created_at") == everything
    assert await ids(sort="-id") == everything[::-1]
    assert await ids(sort="name") == sorted(everything, key=lambda id: (int(id[4:]) % 5, id))
    assert await ids(owner="ann", sort="id") == everything[1::2]
    assert await ids(owner="me") == []
    assert await ids(status="failed", sort="id") == ["job-00", "job-10", "job-20"]
    assert len(await ids(status="failed,running")) == 25
    assert await ids(algorithm="resn", sort="id") == everything[:5]
    assert await ids(q="TRAIN 3", sort="id") == everything[3::5]
    assert await ids(q="b-1", sort="id") == everything[10:20]
    assert await ids(flag="hung") == []
    assert await ids(created_after="2026-11-20T12:24:00Z", sort="id") == everything[23:]
    assert await ids(created_before="2026-11-20T12:02:00Z") == everything[:1]
    for query in ({"limit": 0}, {"sort": "colour"}, {"cursor": "x"}, {"status": "done"}, {"created_after": "now"}):
        error(await served.http.get("/api/v1/jobs", params=query), 422, "bad_input")
    other = (await served.get("/jobs", limit=1))["next"]
    error(await served.http.get("/api/v1/jobs", params={"sort": "name", "cursor": other}), 422, "bad_input")


async def test_streams_of_a_job(served: Served) -> None:
    error(await served.http.get("/api/v1/jobs/none/streams"), 404, "not_found")
    await put(served, "empty")
    assert await served.get("/jobs/empty/streams") == {"streams": []}


async def test_windows(served: Served) -> None:
    stream = await served.write(b"one\n" + MARKED + b"three\nfour\nfi")
    window = await served.get(f"/streams/{stream}/lines")
    assert (window["total_lines"], window["total_user_lines"], window["through"]) == (5, 4, 5)
    assert [line["text"] for line in window["lines"]][2:] == ["three", "four", "fi"]
    assert window["lines"][4]["partial"] is True

    async def numbers(**query: Any) -> list[int]:
        return [line["n"] for line in (await served.get(f"/streams/{stream}/lines", **query))["lines"]]

    assert await numbers(**{"from": 2, "limit": 2}) == [2, 3]
    assert await numbers(**{"from": -2}) == [4, 5]
    assert await numbers(**{"from": -2, "lines": "user"}) == [4, 5]
    assert await numbers(user_from=2, lines="user") == [3, 4, 5]
    assert await numbers(**{"from": 6}) == []
    assert await numbers(received_from="2026-11-20T12:00:00Z") == [1, 2, 3, 4, 5]
    assert await numbers(received_from="2026-11-20T12:00:01+00:00") == []


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("from=0", "from"),
        ("from=x", "from"),
        ("from=99999999999999999999", "from"),
        ("limit=0", "limit"),
        ("limit=5001", "limit"),
        ("limit=1.5", "limit"),
        ("user_from=0", "user_from"),
        ("user_from=1&from=2", "user_from"),
        ("lines=some", "lines"),
        ("received_from=12", "received_from"),
        ("from=%ff", None),
        ("&".join("x=1" for _ in range(300)), None),
    ],
)
async def test_wrong_windows(served: Served, query: str, name: str | None) -> None:
    stream = await served.write(b"one\n")
    response = await served.http.get(f"/api/v1/streams/{stream}/lines?{query}")
    assert error(response, 422, "bad_input")["parameter"] == name


@pytest.mark.parametrize("id", ["0", "zz", "..%2f", "%00", "%ff", "x" * 5000, "-1", "1e9"])
async def test_stream_ids_that_are_none(served: Served, id: str) -> None:
    for call in ("lines", "matches?q=x", "overview", "overview?q=x", "raw"):
        assert error(await served.http.get(f"/api/v1/streams/{id}/{call}"), 404, "not_found") is not None


async def test_matches(served: Served) -> None:
    stream = await served.write(b"".join(b"step %d loss\n" % n for n in range(1, 251)))
    found = await served.get(f"/streams/{stream}/matches", q="loss")
    assert (found["total"], found["exact"], len(found["matches"]), found["next"]) == (250, True, 100, 100)
    assert found["matches"][0]["spans"] == [[7, 11]]
    after = await served.get(f"/streams/{stream}/matches", q="loss", after=240, limit=50)
    assert [match["n"] for match in after["matches"]] == list(range(241, 251))
    assert after["next"] is None
    before = await served.get(f"/streams/{stream}/matches", q="LOSS", ignore_case=1, before=10, limit=2, count="none")
    assert ([match["n"] for match in before["matches"]], before["total"], before["next"]) == ([9, 8], None, 8)
    counted = await served.get(f"/streams/{stream}/matches", q="^step 1.$", regex=1, limit=0)
    assert (counted["total"], counted["matches"]) == (0, [])
    assert (await served.get(f"/streams/{stream}/matches", q=" ", limit=0))["total"] == 250


async def test_the_place_of_a_match_among_all(served: Served) -> None:
    stream = await served.write(b"step loss\nother\n" * 50)
    page = await served.get(f"/streams/{stream}/matches", q="loss", after=40, limit=3)
    assert ([match["n"] for match in page["matches"]], page["preceding"], page["total"]) == ([41, 43, 45], 20, 50)
    page = await served.get(f"/streams/{stream}/matches", q="loss", before=41, limit=3)
    assert ([match["n"] for match in page["matches"]], page["preceding"]) == ([39, 37, 35], 17)
    page = await served.get(f"/streams/{stream}/matches", q="loss", after=40, count="none")
    assert (page["preceding"], page["total"]) == (None, None)


async def test_whole_words(served: Served) -> None:
    stream = await served.write(b"loss\nglossy\nval_loss\n(Loss)\n")
    assert (await served.get(f"/streams/{stream}/matches", q="loss", word=1))["total"] == 1
    found = await served.get("/search", q="lo..", word=1, regex=1, ignore_case=1)
    assert [(match["n"], match["spans"]) for match in found["matches"]] == [(1, [[0, 4]]), (4, [[1, 5]])]


async def test_overview(served: Served) -> None:
    stream = await served.write(b"fine\n[ERROR] x\n" + MARKED + b"[WARNING] x\nx")
    seen = await served.get(f"/streams/{stream}/overview")
    assert seen == {
        "lines": "all",
        "rows": 5,
        "errors": [0, 1, 0, 0, 0],
        "warnings": [0, 0, 0, 1, 0],
        "matches": None,
        "exact": True,
    }
    seen = await served.get(f"/streams/{stream}/overview", lines="user", buckets=2, q="X", ignore_case=1)
    assert (seen["rows"], seen["errors"], seen["warnings"], seen["matches"]) == (4, [1, 0], [0, 1], [1, 2])
    seen = await served.get(f"/streams/{stream}/overview", buckets=1, q="^", regex=1, level="error,warning")
    assert seen["matches"] == [2]
    for query in ("buckets=0", "buckets=2001", "lines=some", "q=", "q=x&level=debug"):
        error(await served.http.get(f"/api/v1/streams/{stream}/overview?{query}"), 422, "bad_input")
    error(await served.http.get(f"/api/v1/streams/{stream}/overview?q=(&regex=1"), 422, "bad_pattern")
    error(await served.http.get("/api/v1/streams/0/overview"), 404, "not_found")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "bad_input"),
        ("q=", "bad_input"),
        ("q=x&limit=1001", "bad_input"),
        ("q=x&regex=2", "bad_input"),
        ("q=x&word=yes", "bad_input"),
        ("q=x&level=debug", "bad_input"),
        ("q=x&count=maybe", "bad_input"),
        ("q=x&after=1&before=2", "bad_input"),
        ("q=x&since=noon", "bad_input"),
        ("q=(&regex=1", "bad_pattern"),
        ("q=(?=x)&regex=1", "bad_pattern"),
        ("q=" + "a" * 10_000 + "&regex=1", "bad_pattern"),
    ],
)
async def test_wrong_searches(served: Served, query: str, code: str) -> None:
    stream = await served.write(b"one\n")
    error(await served.http.get(f"/api/v1/streams/{stream}/matches?{query}"), 422, code)
    if "before" not in query:
        error(await served.http.get(f"/api/v1/search?{query}"), 422, code)


async def test_a_pattern_that_blows_up_other_engines(served: Served) -> None:
    stream = await served.write(b"a" * 29 + b"!\n")
    async with asyncio.timeout(2):
        assert (await served.get(f"/streams/{stream}/matches", q="(a+)+$", regex=1))["total"] == 0


async def test_search_over_many_streams(served: Served) -> None:
    async def write(job: str, name: str, data: bytes, task: str = "worker-0") -> str:
        path = f"modelarts-job-{job}-{name}"
        return await served.write(data, job=job, task=task, path=path)

    old = await write("a", "worker-0.log", b"x1\nx2\n")
    proc = await write("a", "proc-rank-0-device-0.txt", b"x1\nx2\n")
    lone = await write("a", "proc-rank-8-device-0.txt", b"x8\n", "worker-1")
    new = await write("b", "worker-0.log", b"x3\nno\nx4\n")

    found = await served.get("/search", q="x")
    assert [(match["stream"], match["n"]) for match in found["matches"]] == [
        (new, 1),
        (new, 3),
        (lone, 1),
        (old, 1),
        (old, 2),
    ]
    assert found["left_out"] == [proc]
    assert {one["stream"]: one["total"] for one in found["totals"]} == {new: 2, lone: 1, old: 2}
    assert found["matches"][0]["job"] == "b"
    assert found["matches"][0]["task"] == "worker-0"
    assert found["matches"][0]["kind"] == "ordinary"

    pages, cursor = [], None
    while True:
        page = await served.get("/search", q="x", limit=2, **({"cursor": cursor} if cursor else {}))
        pages.append([(match["stream"], match["n"]) for match in page["matches"]])
        cursor = page["cursor"]
        if cursor is None:
            break
    assert [match for page in pages for match in page] == [(m["stream"], m["n"]) for m in found["matches"]]
    assert (await served.get("/search", q="x", kind="proc"))["left_out"] == []
    assert len((await served.get("/search", q="x", kind="proc"))["matches"]) == 3
    assert [m["stream"] for m in (await served.get("/search", q="x", job="b"))["matches"]] == [new, new]
    assert [m["stream"] for m in (await served.get("/search", q="x", task="worker-1"))["matches"]] == [lone]
    assert (await served.get("/search", q="x", job="none"))["matches"] == []
    for query in ({"cursor": "!!"}, {"cursor": "WzFd"}, {"kind": "poetry"}):
        error(await served.http.get("/api/v1/search", params={"q": "x", **query}), 422, "bad_input")
    error(await served.http.get("/api/v1/search?q=x&job=.."), 422, "bad_path")


async def test_search_by_rank_owner_and_kind(served: Served) -> None:
    async def write(name: str, data: bytes, job: str = "a", **more: Any) -> str:
        return await served.write(data, job=job, path=f"modelarts-job-{job}{name}", **more)

    async def found(**query: Any) -> list[str]:
        return [match["stream"] for match in (await served.get("/search", q="x", **query))["matches"]]

    own = await write("-worker-0.log", b"x\n")
    proc = await write("-proc-rank-0-device-0.txt", b"x\n")
    plog = await write("/ascend/process_log/worker-0/plog/plog-1_2.log", b"x\n")
    rank = await write("/ascend/process_log/rank_11/plog/plog-1_2.log", b"x\n")
    await put(served, "b", owner="ann")
    anns = await write("-worker-0.log", b"x\n", job="b")

    everything = await served.get("/search", q="x")
    assert [match["stream"] for match in everything["matches"]] == [anns, rank, plog, own]
    assert (everything["searched_streams"], everything["left_out_streams"], everything["left_out"]) == (4, 1, [proc])
    assert [match["rank"] for match in everything["matches"]] == [None, 11, None, None]
    whole = await served.get("/search", q="x", proc=1)
    assert [match["stream"] for match in whole["matches"]] == [anns, rank, plog, proc, own]
    assert (whole["searched_streams"], whole["left_out_streams"], whole["left_out"]) == (5, 0, [])
    assert await found(rank=0) == [proc]
    assert await found(rank=[0, 11], job="a") == [rank, proc]
    assert await found(rank=7) == []
    await write("/ascend/process_log/worker-0/plog/plog-1_2.log", b"", offset=2, rank=7)
    assert await found(rank=7) == [plog] == await found(rank=7, job="a")
    assert await found(owner="ann") == [anns]
    assert await found(owner="me") == [rank, plog, own]
    assert await found(owner="me", job="b") == [] == await found(owner="nobody")
    for query in ("rank=-1", "rank=x", "proc=2", "owner="):
        error(await served.http.get(f"/api/v1/search?q=x&{query}"), 422, "bad_input")


async def test_matches_in_their_context(served: Served) -> None:
    stream = await served.write(b"one\n" + MARKED + b"[ERROR] x\nfour\nfive\nsix\nx se")
    path = f"/streams/{stream}/matches"
    first, last = (await served.get(path, q="x s|R. x", regex=1, context=2))["matches"]
    assert [line["n"] for line in first["before"]] == [1, 2]
    assert first["after"] == [
        {"n": 4, "u": 3, "text": "four", "system": False, "level": None},
        {"n": 5, "u": 4, "text": "five", "system": False, "level": None},
    ]
    assert ([line["n"] for line in last["before"]], last["after"], last["partial"]) == ([5, 6], [], True)
    [four] = (await served.get(path, q="four", context=3, lines="user"))["matches"]
    assert [[line["n"] for line in four[side]] for side in ("before", "after")] == [[1, 3], [5, 6, 7]]
    [four] = (await served.get(path, q="four", before=7, context=1))["matches"]
    assert [[line["n"] for line in four[side]] for side in ("before", "after")] == [[3], [5]]
    [four] = (await served.get("/search", q="four", context=1))["matches"]
    assert [[line["text"] for line in four[side]] for side in ("before", "after")] == [["[ERROR] x"], ["five"]]
    assert "before" not in (await served.get(path, q="four"))["matches"][0]
    for context in (-1, 21, "some"):
        error(await served.http.get(f"/api/v1{path}?q=x&context={context}"), 422, "bad_input")


async def test_an_answer_with_much_context_ends_early(served: Served) -> None:
    stream = await served.write((b"x" * 60_000 + b"\n") * 100)
    for direction, place in (("after", 0), ("before", 101)):
        seen: list[int] = []
        while place is not None:
            query = {"q": "x$", "regex": 1, "context": 20, direction: place}
            page = await served.get(f"/streams/{stream}/matches", **query)
            given = [match["n"] for match in page["matches"]]
            assert 0 < len(given) < 7
            assert page["preceding"] == min(given) - 1
            seen += given
            place = page["next"]
        assert sorted(seen) == list(range(1, 101))
    cursor, seen = None, []
    while not seen or cursor:
        query = {"q": "x$", "regex": 1, "context": 20, **({"cursor": cursor} if cursor else {})}
        page = await served.get("/search", **query)
        seen += [match["n"] for match in page["matches"]]
        cursor = page["cursor"]
    assert seen == list(range(1, 101))


class PatientStore(MemoryStore):
    """Searches until it is told to stop."""

    cancelled = 0
    searching = 0

    async def matches(self, stream_id: str, query: SearchQuery) -> Matches:
        return await self._search()

    async def overview(self, *_: Any, **__: Any) -> Overview:
        return await self._search()

    async def _search(self) -> Any:
        self.searching += 1
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        raise AssertionError


@pytest.mark.parametrize("call", ["matches?q=x", "overview?q=x", "overview"])
async def test_a_search_ends_with_its_reader(tmp_path: Path, clock: HandClock, call: str) -> None:
    store = PatientStore(clock)
    async with on_loopback(tmp_path / "data", store=store, clock=clock) as served:
        stream = await served.write(b"one\n")
        with pytest.raises(httpx2.ReadTimeout):
            await served.http.get(f"/api/v1/streams/{stream}/{call}", timeout=0.3)
        await eventually(lambda: store.cancelled)
        assert store.searching == 1


async def test_raw_and_ranges(served: Served) -> None:
    data = bytes(range(256)) * 10
    stream = await served.write(data)
    url = f"/api/v1/streams/{stream}/raw"

    async def ranged(header: str | None, **more: str) -> httpx2.Response:
        return await served.http.get(url, headers={**({"Range": header} if header else {}), **more})

    whole = await ranged(None)
    assert (whole.status_code, whole.content) == (200, data)
    assert whole.headers["accept-ranges"] == "bytes"
    assert whole.headers["content-length"] == "2560"
    for header, part in {
        "bytes=0-0": data[:1],
        "bytes=10-19": data[10:20],
        "bytes=2550-": data[2550:],
        "bytes=-5": data[-5:],
        "bytes=-9999": data,
        "bytes=2559-99999999999": data[-1:],
    }.items():
        response = await ranged(header)
        assert (response.status_code, response.content) == (206, part), header
        start = len(data) - len(part) if header.startswith("bytes=-") else int(header[6:].split("-")[0])
        assert response.headers["content-range"] == f"bytes {start}-{start + len(part) - 1}/2560"
    for header in ("bytes=0-1,5-6", "bytes=5-1", "lines=0-1", "bytes=x-", "bytes=-"):
        assert (await ranged(header)).status_code == 200, header
    for header in ("bytes=2560-", "bytes=99999-100000", "bytes=-0"):
        response = await ranged(header)
        error(response, 416, "range_not_satisfiable")
        assert response.headers["content-range"] == "bytes */2560"

    tag = whole.headers["etag"]
    await served.write(b"more", offset=2560)
    assert (await ranged("bytes=0-1", **{"If-Range": tag})).status_code == 206  # a log only grows
    assert (await ranged("bytes=0-1", **{"If-Range": '"other"'})).status_code == 200
    head = await served.http.head(url)
    assert (head.status_code, head.headers["content-length"], head.content) == (200, "2564", b"")
    attached = await served.http.get(f"{url}?download=1")
    assert attached.headers["content-disposition"].startswith("attachment;")


async def test_raw_of_an_empty_log(served: Served) -> None:
    stream = await served.write(b"", final=1)
    assert (await served.http.get(f"/api/v1/streams/{stream}/raw")).content == b""
    response = await served.http.get(f"/api/v1/streams/{stream}/raw", headers={"Range": "bytes=0-"})
    error(response, 416, "range_not_satisfiable")


async def test_download(served: Served) -> None:
    first = b"\x00\xff\r\n" * 1000
    await served.write(first)
    second = await served.write(b"second\n", generation=1)
    plog = f"modelarts-job-{JOB}/ascend/process_log/rank_0/plog/plog-1_2.log"
    await served.write(b"plog\n", path=plog)
    response = await served.http.get(f"/api/v1/jobs/{JOB}/download")
    assert response.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        assert archive.testzip() is None
        held = {name: archive.read(name) for name in archive.namelist()}
    manifest = held.pop("manifest.sha256").decode()
    assert f"{hashlib.sha256(first).hexdigest()}  {LOG['path']}\n" in manifest and "# 4000 bytes\n" in manifest
    assert held == {LOG["path"]: first, f"{LOG['path']}.gen-1": b"second\n", plog: b"plog\n"}
    one = await served.http.get(f"/api/v1/jobs/{JOB}/download?stream={second}")
    assert zipfile.ZipFile(io.BytesIO(one.content)).namelist() == [f"{LOG['path']}.gen-1", "manifest.sha256"]
    error(await served.http.get(f"/api/v1/jobs/{JOB}/download?stream=none"), 404, "not_found")
    error(await served.http.get(f"/api/v1/jobs/{JOB}/download?task=worker-9"), 404, "not_found")
    error(await served.http.get("/api/v1/jobs/none/download"), 404, "not_found")


async def test_download_of_tasks_and_streams_together(served: Served) -> None:
    def path(task: str) -> str:
        return f"modelarts-job-{JOB}-{task}.log"

    ids = {
        task: await served.write(b"x\n", task=task, path=path(task)) for task in ("worker-0", "worker-1", "worker-2")
    }
    ids |= {str(n): await served.write(b"x\n", path=path("worker-0"), generation=n) for n in range(1, 301)}

    async def names(query: str) -> set[str]:
        answer = await served.http.get(f"/api/v1/jobs/{JOB}/download?{query}")
        assert answer.status_code == 200, answer.text
        return set(zipfile.ZipFile(io.BytesIO(answer.content)).namelist()) - {"manifest.sha256"}

    assert await names("task=worker-1") == {path("worker-1")}
    assert await names(f"task=worker-1&stream={ids['worker-2']}") == {path("worker-1"), path("worker-2")}
    assert len(await names("&".join(f"stream={ids[str(n)]}" for n in range(1, 301)))) == 300


async def test_ended_jobs_are_sealed_after_a_minute(served: Served, clock: HandClock) -> None:
    sealer = served.service.sealer

    async def sealed() -> bool:
        await sealer.look()
        return bool((await served.get(f"/jobs/{JOB}/streams"))["streams"][0]["sealed"])

    await served.write(b"one\n")
    await put(served, JOB, status="succeeded")
    clock.move(59)
    assert not await sealed()
    clock.move(2)
    assert await sealed()
    await served.write(b"late\n", offset=4)
    assert not await sealed()
    clock.move(61)
    assert await sealed()
    await served.write(b"later\n", offset=9)
    await put(served, JOB, status="running")
    clock.move(1000)
    assert not await sealed()


async def test_a_restart_seals_what_ended_before(tmp_path: Path, clock: HandClock) -> None:
    store = MemoryStore(clock)
    async with in_process(tmp_path / "data", store=store, clock=clock) as served:
        await served.write(b"one\n")
        await put(served, JOB, status="stopped")
    clock.move(61)
    async with in_process(tmp_path / "data", store=store, clock=clock) as served:
        await served.service.sealer.look()
        assert (await served.get(f"/jobs/{JOB}/streams"))["streams"][0]["sealed"]
