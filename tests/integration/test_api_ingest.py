"""Chunks, batches and offsets over HTTP, and everything that may be wrong with them."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import struct
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import zstandard

from builders import JOB, TASK, HandClock
from serving import LOG, Served, a_store, in_process

MIB = 1 << 20


@pytest.fixture(params=["memory", "embedded"])
async def served(request: pytest.FixtureRequest, tmp_path: Path, clock: HandClock) -> AsyncIterator[Served]:
    folder = tmp_path / "data"
    async with in_process(folder, store=a_store(request.param, folder, clock), clock=clock) as served:
        yield served


async def send(served: Served, data: bytes, *, encoding: str | None = None, **query: Any) -> httpx2.Response:
    headers = {"Content-Encoding": encoding} if encoding else {}
    asked = {name: value for name, value in {**LOG, "offset": 0, **query}.items() if value is not None}
    return await served.http.post("/api/v1/chunks", params=asked, content=data, headers=headers)


def error(response: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """The detail of an error of this status and code."""
    assert response.status_code == status, response.text
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message", "detail"}
    assert body["error"]["code"] == code
    assert body["error"]["message"].strip()
    assert "Traceback" not in response.text
    detail: dict[str, Any] = body["error"]["detail"]
    return detail


async def nothing_is_held(served: Served) -> None:
    assert (await served.get("/jobs"))["jobs"] == []
    assert await served.get("/chunks", **LOG) == {"stream": None, "next_offset": 0}


async def test_a_chunk_makes_job_and_stream(served: Served) -> None:
    response = await send(served, b"one\n")
    assert response.status_code == 200
    stream = response.json()["stream"]
    assert response.json() == {"stream": stream, "next_offset": 4}
    assert await served.get("/chunks", **LOG) == {"stream": stream, "next_offset": 4}
    job = await served.get(f"/jobs/{JOB}")
    assert job["owner"]
    assert (job["log_bytes"], job["tasks"]) == (4, [TASK])
    [shown] = (await served.get(f"/jobs/{JOB}/streams"))["streams"]
    assert shown["id"] == stream
    assert (shown["kind"], shown["generation"], shown["size_bytes"], shown["sealed"]) == ("ordinary", 0, 4, False)


async def test_resent_gap_and_conflict(served: Served) -> None:
    await send(served, b"one\ntwo\n")
    assert (await send(served, b"two\nthree\n", offset=4)).json()["next_offset"] == 14
    assert error(await send(served, b"x", offset=20), 409, "offset_gap")["expected"] == 14
    error(await send(served, b"TWO\n", offset=4), 409, "content_conflict")
    error(await send(served, b"x", offset=2**63 - 2), 409, "offset_gap")


async def test_empty_bodies(served: Served) -> None:
    assert (await send(served, b"")).json() == {"stream": None, "next_offset": 0}
    await nothing_is_held(served)
    stream = (await send(served, b"one\n")).json()["stream"]
    assert (await send(served, b"", offset=4, final=1)).json() == {"stream": stream, "next_offset": 4}
    [shown] = (await served.get(f"/jobs/{JOB}/streams"))["streams"]
    assert shown["sealed"]


@pytest.mark.parametrize("encoding", ["zstd", "gzip", "identity", "GZIP"])
async def test_encodings(served: Served, encoding: str) -> None:
    data = b"".join(b"line %d\n" % n for n in range(50_000))
    pack = {"zstd": zstandard.compress, "gzip": gzip.compress}.get(encoding.lower(), bytes)
    assert (await send(served, pack(data), encoding=encoding)).json()["next_offset"] == len(data)
    stream = (await served.get("/chunks", **LOG))["stream"]
    assert (await served.http.get(f"/api/v1/streams/{stream}/raw")).content == data


async def test_several_frames_and_members(served: Served) -> None:
    parts = [b"one\n", b"", os.urandom(3000) + b"\n", b"four\n"]
    await send(served, b"".join(zstandard.compress(part) for part in parts), encoding="zstd")
    await send(
        served,
        b"".join(gzip.compress(part) for part in parts),
        encoding="gzip",
        task="worker-1",
        path=LOG["path"].replace(TASK, "worker-1"),
    )
    streams = (await served.get(f"/jobs/{JOB}/streams"))["streams"]
    assert [one["size_bytes"] for one in streams] == [sum(map(len, parts))] * 2


async def test_streamed_zstd_without_a_size(served: Served) -> None:
    packer = zstandard.ZstdCompressor().compressobj()
    data = b"x" * 300_000 + b"\n"
    packed = packer.compress(data) + packer.flush()
    assert (await send(served, packed, encoding="zstd")).json()["next_offset"] == len(data)


@pytest.mark.parametrize("encoding", ["zstd", "gzip"])
@pytest.mark.parametrize("damage", ["cut", "noise", "empty", "behind", "plain"])
async def test_bodies_that_are_not_what_they_say(served: Served, encoding: str, damage: str) -> None:
    good = {"zstd": zstandard.compress, "gzip": gzip.compress}[encoding](os.urandom(5000))
    bad = {
        "cut": good[:-3],
        "noise": good[:4] + b"\xff" * 50 + good[54:],
        "empty": b"",
        "behind": good + b"junk",
        "plain": b"plain text\n",
    }[damage]
    error(await send(served, bad, encoding=encoding), 400, "bad_body")
    await nothing_is_held(served)


async def test_unknown_encodings(served: Served) -> None:
    error(await send(served, b"x", encoding="br"), 415, "unknown_encoding")
    error(await send(served, b"x", encoding="gzip, zstd"), 415, "unknown_encoding")
    await nothing_is_held(served)


async def test_a_bomb_is_refused_without_unfolding_it(served: Served) -> None:
    bomb = zstandard.ZstdCompressor(19).compress(bytes(1 << 30))
    assert len(bomb) < 40_000
    tracemalloc.start()
    try:
        assert error(await send(served, bomb, encoding="zstd"), 413, "too_large")["limit_bytes"] == 64 * MIB
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 140 * MIB
    gzip_bomb = gzip.compress(bytes(80 * MIB), 9)
    error(await send(served, gzip_bomb, encoding="gzip"), 413, "too_large")
    many = zstandard.compress(bytes(MIB)) * 65
    error(await send(served, many, encoding="zstd"), 413, "too_large")
    await nothing_is_held(served)


async def test_a_body_of_the_limit_and_of_one_more(tmp_path: Path) -> None:
    async with in_process(tmp_path / "data", max_body_bytes=4096) as served:
        assert (await send(served, b"x" * 4096)).json()["next_offset"] == 4096
        error(await send(served, b"x" * 4097, offset=4096), 413, "too_large")
        error(await send(served, zstandard.compress(b"x" * 4097), offset=4096, encoding="zstd"), 413, "too_large")
        assert (await send(served, zstandard.compress(b"x" * 4096), offset=4096, encoding="zstd")).status_code == 200

        async def endless() -> AsyncIterator[bytes]:
            while True:
                yield b"x" * 1000

        response = await served.http.post("/api/v1/chunks", params={**LOG, "offset": 8192}, content=endless())
        error(response, 413, "too_large")


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ({"offset": None}, "offset"),
        ({"offset": -1}, "offset"),
        ({"offset": 2**63}, "offset"),
        ({"offset": 10**40}, "offset"),
        ({"offset": "1e3"}, "offset"),
        ({"offset": "٣"}, "offset"),
        ({"offset": ""}, "offset"),
        ({"generation": -1}, "generation"),
        ({"generation": 2**31}, "generation"),
        ({"final": "yes"}, "final"),
        ({"rank": -1}, "rank"),
        ({"rank": 10**9}, "rank"),
        ({"job": None}, "job"),
        ({"task": ""}, "task"),
        ({"path": None}, "path"),
        ({"offset": ["0", "0"]}, "offset"),
    ],
)
async def test_wrong_parameters_are_named(served: Served, query: dict[str, Any], name: str) -> None:
    assert error(await send(served, b"x", **query), 422, "bad_input")["parameter"] == name
    await nothing_is_held(served)


async def test_the_end_of_a_chunk_stays_within_the_numbers(served: Served) -> None:
    error(await send(served, b"xx", offset=2**63 - 2), 422, "bad_input")


@pytest.mark.parametrize(
    "query",
    [
        {"path": f"../{LOG['path']}"},
        {"path": f"/{LOG['path']}"},
        {"path": f"{LOG['path']}\0"},
        {"path": f"modelarts-job-{JOB}/other/{TASK}/" + "x" * 10_000},
        {"path": f"modelarts-job-{JOB}/other/{TASK}/a/../b"},
        {"path": f"modelarts-job-{JOB}/other/{TASK}//b"},
        {"path": "modelarts-job-other-worker-0.log"},
        {"path": f"modelarts-job-{JOB}-worker-1.log"},
        {"path": "var/log/syslog"},
        {"task": "Worker-0"},
        {"job": ".."},
        {"job": "a/b"},
        {"job": "a" * 128 + " "},
    ],
)
async def test_paths_of_no_kind(served: Served, query: dict[str, Any]) -> None:
    response = await send(served, b"x", **query)
    if len(query.get("job", "")) > 128:
        error(response, 422, "bad_input")
    else:
        error(response, 422, "bad_path")
    assert len(response.text) < 2000
    await nothing_is_held(served)


def frame(data: bytes, **more: Any) -> bytes:
    head = {**LOG, "generation": 0, "offset": 0, "length": len(data), "final": False, **more}
    encoded = json.dumps(head).encode()
    return struct.pack("<I", len(encoded)) + encoded + data


async def batch(served: Served, body: bytes, **headers: str) -> httpx2.Response:
    return await served.http.post("/api/v1/batch", content=body, headers=headers)


async def test_a_batch_in_order_with_errors_in_their_places(served: Served) -> None:
    body = (
        frame(b"one\n")
        + frame(b"two\n", offset=4)
        + frame(b"far", offset=99)
        + frame(b"x", path="nonsense")
        + frame(b"x", offset="8")
        + frame(b"x", offset=True)
        + frame(b"x", final="maybe")
        + frame(b"three\n", offset=8, final=True)
        + frame(b"", offset=14)
    )
    results = (await batch(served, body)).json()["results"]
    told = [one.get("next_offset") or one["error"]["code"] for one in results]
    assert told == [4, 8, "offset_gap", "bad_path", "bad_input", "bad_input", "bad_input", 14, 14]
    assert results[2]["error"]["detail"]["expected"] == 8
    packed = zstandard.compress(frame(b"four\n", offset=14))
    assert (await batch(served, packed, **{"Content-Encoding": "zstd"})).json()["results"][0]["next_offset"] == 19


async def test_a_rank_learned_later(served: Served) -> None:
    """The field is filled, by a chunk or a frame; the path stays."""
    paths = [f"modelarts-job-{JOB}/ascend/process_log/{TASK}/plog/plog-{pid}_1.log" for pid in (1, 2)]
    assert (await send(served, b"x\n", path=paths[0])).status_code == 200
    assert (await send(served, b"", path=paths[0], offset=2, rank=4)).json()["next_offset"] == 2
    body = frame(b"x\n", path=paths[1], rank=None) + frame(b"", path=paths[1], offset=2, rank=5)
    body += b"".join(frame(b"", path=paths[1], offset=2, rank=rank) for rank in (True, "6", -1, 10**9, 1.0))
    results = (await batch(served, body)).json()["results"]
    assert [one.get("next_offset") or one["error"]["detail"]["parameter"] for one in results] == [2, 2] + ["rank"] * 5
    streams = (await served.get(f"/jobs/{JOB}/streams"))["streams"]
    assert [(stream["path"], stream["rank"]) for stream in streams] == [(paths[0], 4), (paths[1], 5)]


async def test_an_empty_batch(served: Served) -> None:
    assert (await batch(served, b"")).json() == {"results": []}


@pytest.mark.parametrize(
    "tail",
    [
        b"\x01",
        struct.pack("<I", 5) + b"{",
        struct.pack("<I", 2) + b"[]",
        struct.pack("<I", 4) + b"null",
        struct.pack("<I", 3) + b"{x}",
        frame(b"abc")[:-1],
        frame(b"x", length=-1),
        frame(b"x", length=1.5),
        frame(b"x", length=None),
        frame(b"x", length=2**63),
        struct.pack("<I", 2**32 - 1) + b"{}",
    ],
)
async def test_a_batch_that_is_misframed_stores_nothing(served: Served, tail: bytes) -> None:
    detail = error(await batch(served, frame(b"one\n") + tail), 400, "bad_body")
    assert detail["frame"] == 1
    await nothing_is_held(served)


async def test_offsets(served: Served) -> None:
    data = os.urandom(3000)
    await send(served, data)
    await send(served, b"next\n", generation=2, final=1)
    other = {"job": JOB, "task": "worker-9", "path": f"modelarts-job-{JOB}-worker-9.log"}
    response = await served.http.post("/api/v1/offsets", json={"streams": [LOG, other]})
    first, second = response.json()["streams"]
    assert second == {"generations": []}
    assert first["generations"] == [
        {
            "generation": 0,
            "next_offset": 3000,
            "head_bytes": 1024,
            "head_sha256": hashlib.sha256(data[:1024]).hexdigest(),
            "tail_bytes": 1024,
            "tail_sha256": hashlib.sha256(data[-1024:]).hexdigest(),
            "sealed": True,
        },
        {
            "generation": 2,
            "next_offset": 5,
            "head_bytes": 5,
            "head_sha256": hashlib.sha256(b"next\n").hexdigest(),
            "tail_bytes": 5,
            "tail_sha256": hashlib.sha256(b"next\n").hexdigest(),
            "sealed": True,
        },
    ]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"no json", 400, "bad_body"),
        (b"[]", 422, "bad_input"),
        (b'{"streams": {}}', 422, "bad_input"),
        (b'{"streams": [1]}', 422, "bad_input"),
        (b'{"streams": [{"job": "a", "task": "worker-0"}]}', 422, "bad_input"),
        (b'{"streams": [{"job": "a", "task": "worker-0", "path": "x"}]}', 422, "bad_path"),
        (json.dumps({"streams": [LOG] * 10_001}).encode(), 422, "bad_input"),
    ],
)
async def test_wrong_offsets(served: Served, body: bytes, status: int, code: str) -> None:
    error(await served.http.post("/api/v1/offsets", content=body), status, code)


async def test_what_was_acknowledged_is_counted(served: Served) -> None:
    await send(served, b"one\ntwo\nth")
    await send(served, b"far", offset=99)
    text = (await served.http.get("/metrics")).text
    assert "logsvc_ingest_bytes_total 10.0" in text
    assert "logsvc_ingest_lines_total 2.0" in text
    assert "logsvc_store_bytes" in text
