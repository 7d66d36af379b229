"""Downloads over HTTP: readers who go, tags that tell logs apart, sums of parts."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from builders import JOB, HandClock
from logsvc.model.stream import Stream
from logsvc.stores.memory import MemoryStore
from serving import Served, eventually, in_process, on_loopback

MIB = 1 << 20
PIECE = hashlib.shake_256(b"piece").digest(MIB)
SIZE = 2000 * MIB


class LongStore(MemoryStore):
    """A log of 2,000 MiB that is made while it is read."""

    reading = 0
    pieces = 0

    async def stream(self, stream_id: str) -> Stream:
        return replace(await super().stream(stream_id), size_bytes=SIZE)

    async def streams(self, job: str) -> list[Stream]:
        return [replace(one, size_bytes=SIZE) for one in await super().streams(job)]

    async def read(self, stream_id: str, start: int, end: int) -> AsyncGenerator[bytes, None]:
        self.reading += 1
        try:
            for _ in range((end - start) // MIB):
                await asyncio.sleep(0)  # as a store that reads in a thread
                self.pieces += 1
                yield PIECE
        finally:
            self.reading -= 1


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with in_process(tmp_path / "data") as served:
        yield served


@pytest.mark.parametrize("call", ["jobs/{job}/download", "streams/{stream}/raw", "streams/{stream}/sha256"])
async def test_a_reader_who_goes_ends_it(tmp_path: Path, call: str) -> None:
    store = LongStore(HandClock())
    async with on_loopback(tmp_path / "data", store=store) as served:
        stream = await served.write(b"one\n")
        address = f"/api/v1/{call.format(job=JOB, stream=stream)}"
        if call.endswith("sha256"):
            with pytest.raises(httpx2.ReadTimeout):
                await served.http.get(address, timeout=0.3)
        else:
            async with served.http.stream("GET", address) as response:
                assert response.status_code == 200
                got = 0
                async for piece in response.aiter_raw():
                    got += len(piece)
                    if got > 2 * MIB:
                        break
        await eventually(lambda: store.pieces and not store.reading)
        assert store.pieces < SIZE // MIB


async def test_a_tag_of_another_log_with_the_same_id(tmp_path: Path) -> None:
    """A new data folder counts from the start again: a copy of the old log must not go on with the new one's bytes."""
    tags = []
    for n, at in enumerate((1_000_000_000.0, 2_000_000_000.0)):
        async with in_process(tmp_path / str(n), clock=HandClock(at)) as served:
            stream = await served.write(b"%d\n" % n * 100)
            address = f"/api/v1/streams/{stream}/raw"
            tags.append((await served.http.head(address)).headers["etag"])
            again = [
                (await served.http.get(address, headers={"Range": "bytes=50-", "If-Range": tag})).status_code
                for tag in tags
            ]
    assert tags[0] != tags[1] and again == [200, 206]


@pytest.mark.parametrize("tag", ['W/"{}"', '"{}', '"{}-1"', '""', "x", '"{}9"', "Fri, 20 Nov 2026 12:00:00 GMT"])
async def test_tags_that_are_none(served: Served, tag: str) -> None:
    """A weak or malformed one, one of more bytes than there are, a date: the whole."""
    stream = await served.write(b"one\n")
    address = f"/api/v1/streams/{stream}/raw"
    mine = (await served.http.head(address)).headers["etag"].strip('"')
    headers = {"Range": "bytes=1-", "If-Range": tag.format(mine)}
    answer = await served.http.get(address, headers=headers)
    assert (answer.status_code, answer.content) == (200, b"one\n")


async def test_sums(served: Served) -> None:
    data = bytes(range(256)) * 5000
    stream = await served.write(data)
    for query, start, end in (
        ("", 0, len(data)),
        ("?start=3&end=700000", 3, 700_000),
        (f"?start=5&end={2 * len(data)}", 5, len(data)),
        (f"?start={len(data)}", len(data), len(data)),
    ):
        answer = (await served.http.get(f"/api/v1/streams/{stream}/sha256{query}")).json()
        sum_ = hashlib.sha256(data[start:end]).hexdigest()
        assert answer == {"stream": stream, "start": start, "end": end, "sha256": sum_}
    for query, parameter in ((f"start={len(data) + 1}", "start"), ("start=2&end=1", "start"), ("end=-1", "end")):
        refused = await served.http.get(f"/api/v1/streams/{stream}/sha256?{query}")
        assert refused.status_code == 422 and refused.json()["error"]["detail"]["parameter"] == parameter
    assert (await served.http.get("/api/v1/streams/none/sha256")).status_code == 404
