"""Download: zips that any tool reads, of any size, with little memory; nothing runs on when the reader goes."""

from __future__ import annotations

import asyncio
import io
import random
import shutil
import subprocess
import tracemalloc
import zipfile
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from builders import NOON, STREAM, HandClock, a_stream, write
from logsvc.core import download
from logsvc.errors import StoreUnavailable
from logsvc.model.stream import Stream, StreamName
from logsvc.stores.memory import MemoryStore

MIB = 1 << 20
SEVEN_ZIP = shutil.which("7zz") or shutil.which("7z") or "7zz"


@pytest.fixture
def store(clock: HandClock) -> MemoryStore:
    return MemoryStore(clock)


class MadeStore(MemoryStore):
    """Streams whose bytes are made while they are read, and who reads them."""

    def __init__(self, held: dict[StreamName, int]) -> None:
        super().__init__(HandClock())
        self._held = held
        self.reading = self.pieces = 0
        self.began, self.gate = asyncio.Event(), asyncio.Event()
        self.gate.set()

    async def streams(self, job: str) -> list[Stream]:
        return [
            Stream(str(id), name, "ordinary", None, None, size, 0, 0, False, NOON, NOON)
            for id, (name, size) in enumerate(self._held.items())
        ]

    async def read(self, stream_id: str, start: int, end: int) -> AsyncGenerator[bytes, None]:
        self.reading += 1
        self.began.set()
        try:
            while start < end:
                await self.gate.wait()
                piece = random.Random(self.pieces).randbytes(min(MIB, end - start))
                self.pieces += 1
                yield piece
                start += len(piece)
        finally:
            self.reading -= 1


def zipped(store: Any, streams: list[Stream]) -> AsyncGenerator[bytes, None]:
    return download.zipped(store, STREAM.job, streams, NOON)


async def whole(store: Any, streams: list[Stream]) -> bytes:
    return b"".join([piece async for piece in zipped(store, streams)])


async def test_a_stream_that_grows_meanwhile_is_cut_where_it_began(store: MemoryStore) -> None:
    await write(store, b"one\n" * 1000)
    streams = await store.streams(STREAM.job)
    await write(store, b"two\n")
    with zipfile.ZipFile(io.BytesIO(await whole(store, streams))) as archive:
        assert archive.read(STREAM.path) == b"one\n" * 1000


async def test_sizes_of_64_bits(store: MemoryStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    await write(store, b"x" * 5000)
    await write(store, b"small", stream=a_stream(task="worker-1"))
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)
    streams = await store.streams(STREAM.job)
    data = await whole(store, streams)
    monkeypatch.undo()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert [len(archive.read(name)) for name in archive.namelist()[:-1]] == [5000, 5]
    (tmp_path / "z.zip").write_bytes(data)
    told(tmp_path, "unzip", "-t", "z.zip")
    told(tmp_path, SEVEN_ZIP, "t", "z.zip")


async def test_more_files_than_a_small_zip_can_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    store = MadeStore({a_stream(generation=n): 1 for n in range(70)})
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 10)
    (tmp_path / "z.zip").write_bytes(await whole(store, await store.streams(STREAM.job)))
    monkeypatch.undo()
    assert len(zipfile.ZipFile(tmp_path / "z.zip").namelist()) == 71
    told(tmp_path, "unzip", "-t", "z.zip")
    told(tmp_path, SEVEN_ZIP, "t", "z.zip")


async def test_nothing_is_a_manifest_alone(store: MemoryStore) -> None:
    assert zipfile.ZipFile(io.BytesIO(await whole(store, []))).namelist() == ["manifest.sha256"]


async def test_every_tool_reads_it_and_the_sums_hold(store: MemoryStore, tmp_path: Path) -> None:
    """unzip, 7z and Python unpack the same; sha256sum reads the manifest, with names that need escapes."""
    other = f"modelarts-job-{STREAM.job}/other/worker-0"
    names = [
        STREAM,
        a_stream(generation=1),
        *(a_stream(path=f"{other}/{end}") for end in ("日志 ä.log", "a\nb", "c\rd")),
    ]
    for number, name in enumerate(names):
        await write(store, bytes(range(256)) * (number * 99 + 1), stream=name)
    (tmp_path / "z.zip").write_bytes(await whole(store, await store.streams(STREAM.job)))
    told(tmp_path, "unzip", "-q", "z.zip", "-d", "unzip")
    told(tmp_path, SEVEN_ZIP, "x", "z.zip", "-o7z")
    zipfile.ZipFile(tmp_path / "z.zip").extractall(tmp_path / "python")
    held = {str(name): bytes(range(256)) * (number * 99 + 1) for number, name in enumerate(names)}
    assert content(tmp_path / "python") == held
    # As anybody's terminal would show it: these two do not write a line's end into a name.
    plain = {name: data for name, data in held.items() if "\n" not in name and "\r" not in name}
    for tool in ("unzip", "7z"):
        assert plain.items() <= content(tmp_path / tool).items() and len(content(tmp_path / tool)) == len(held)
    checked = told(tmp_path / "python", "sha256sum", "--check", "--strict", "manifest.sha256")
    assert checked.count(": OK\n") == len(names)
    manifest = (tmp_path / "python" / "manifest.sha256").read_text()
    assert f": {len(names)} files, {sum(map(len, held.values()))} bytes." in manifest.splitlines()[0]
    assert f"# {len(held[names[1].path + '.gen-1'])} bytes\n" in manifest
    (tmp_path / "python" / STREAM.path).write_bytes(b"x")
    with pytest.raises(AssertionError, match="did NOT match"):
        told(tmp_path / "python", "sha256sum", "--check", "manifest.sha256")


async def test_hostile_names_stay_in_the_folder(tmp_path: Path) -> None:
    """A store should not hold them; where it does, nothing is written outside, and nothing is lost."""
    paths = ("../../out", "/out", "a/../../../out", "..\\out", "C:\\out", "a", "a/b", "a/./b", "..", "out/")
    store = MadeStore({StreamName(STREAM.job, "worker-0", path): 10 for path in paths})
    (tmp_path / "z.zip").write_bytes(await whole(store, await store.streams(STREAM.job)))
    for number, words in enumerate((["unzip", "-q", "../z.zip"], [SEVEN_ZIP, "x", "../z.zip"])):
        inside = tmp_path / str(number)
        inside.mkdir()
        told(inside, *words)
        assert len(content(inside)) == len(paths)
        told(inside, "sha256sum", "--check", "--strict", "manifest.sha256")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1", "z.zip"]


async def test_the_first_byte_comes_before_the_store_has_read_anything() -> None:
    store = MadeStore({STREAM: MIB})
    store.gate.clear()
    pieces = zipped(store, await store.streams(STREAM.job))
    async with asyncio.timeout(10):
        assert (await anext(pieces)).startswith(b"PK\x03\x04")
    assert store.pieces == 0
    await pieces.aclose()


async def test_memory_does_not_grow_with_the_size() -> None:
    """10 GB take no more; the whole of it was measured by hand, see the commit."""
    store = MadeStore({STREAM: 12 * MIB, a_stream(generation=1): 2 * MIB})
    streams = await store.streams(STREAM.job)
    tracemalloc.start()
    size = 0
    async for piece in zipped(store, streams):
        size += len(piece)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert store.pieces == 14 and size > 14 * MIB
    assert peak < 6 * MIB


async def test_a_reader_who_goes_leaves_nothing_running() -> None:
    store = MadeStore({STREAM: 100 * MIB})
    before = asyncio.all_tasks()
    pieces = zipped(store, await store.streams(STREAM.job))
    await anext(pieces)
    await anext(pieces)
    assert store.reading == 1
    await pieces.aclose()
    assert store.reading == 0 and asyncio.all_tasks() == before

    store.gate.clear()  # in the midst of a read
    waiting = asyncio.ensure_future(drain(zipped(store, await store.streams(STREAM.job))))
    store.began.clear()
    await store.began.wait()
    assert store.reading == 1
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert store.reading == 0 and asyncio.all_tasks() == before


async def test_a_stream_that_ends_early_breaks_the_zip(store: MemoryStore) -> None:
    await write(store, b"one\n")
    [held] = await store.streams(STREAM.job)
    longer = Stream(**{**held.__dict__, "size_bytes": 5})
    got = io.BytesIO()
    with pytest.raises(StoreUnavailable, match="1 bytes early"):
        async for piece in zipped(store, [longer]):
            got.write(piece)
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(got)


async def drain(pieces: AsyncIterator[bytes]) -> None:
    async for _ in pieces:
        pass


def content(folder: Path) -> dict[str, bytes]:
    """All files below a folder but the manifest."""
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    del files["manifest.sha256"]
    return files


def told(folder: Path, *words: str) -> str:
    """What a program says that must succeed."""
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout
