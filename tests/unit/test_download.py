"""Download: zips that any tool reads, also of files past 4 GiB."""

from __future__ import annotations

import io
import zipfile

import pytest

from builders import NOON, STREAM, HandClock, a_stream, write
from logsvc.core import download
from logsvc.stores.memory import MemoryStore


@pytest.fixture
def store(clock: HandClock) -> MemoryStore:
    return MemoryStore(clock)


async def test_a_stream_that_grows_meanwhile_is_cut_where_it_began(store: MemoryStore) -> None:
    await write(store, b"one\n" * 1000)
    streams = await store.streams(STREAM.job)
    await write(store, b"two\n")
    data = b"".join([piece async for piece in download.zipped(store, STREAM.job, streams, NOON)])
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.read(STREAM.path) == b"one\n" * 1000


async def test_sizes_of_64_bits(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    await write(store, b"x" * 5000)
    await write(store, b"small", stream=a_stream(task="worker-1"))
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)
    streams = await store.streams(STREAM.job)
    data = b"".join([piece async for piece in download.zipped(store, STREAM.job, streams, NOON)])
    monkeypatch.undo()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert [len(archive.read(name)) for name in archive.namelist()[:-1]] == [5000, 5]


async def test_nothing_is_a_manifest_alone(store: MemoryStore) -> None:
    data = b"".join([piece async for piece in download.zipped(store, STREAM.job, [], NOON)])
    assert zipfile.ZipFile(io.BytesIO(data)).namelist() == ["manifest.sha256"]
