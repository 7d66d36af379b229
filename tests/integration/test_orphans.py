"""What lies in segment files and is not in the catalog is stored again at the next start."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

from builders import STREAM, HandClock, a_chunk, read_all
from logsvc.model.chunk import Chunk
from logsvc.model.query import SearchQuery, WindowQuery
from logsvc.model.stream import StreamName
from logsvc.stores.embedded import catalog as files
from logsvc.stores.embedded.doctor import check
from logsvc.stores.embedded.segments import CHUNK, frames
from logsvc.stores.embedded.store import EmbeddedStore

OTHER = StreamName("job-b", "worker-1", "modelarts-job-job-b-worker-1.log")


def some_log(seed: int, lines: int) -> bytes:
    rng = random.Random(seed)
    return b"".join(b"step %d, loss is %.7f, %x\n" % (n, rng.random(), rng.getrandbits(64)) for n in range(lines))


async def opened(folder: Path, clock: HandClock) -> EmbeddedStore:
    store = EmbeddedStore(folder, clock=clock)
    await store.open()
    await store.recovered()
    return store


async def whole(store: EmbeddedStore, name: StreamName) -> bytes:
    held = await store.find(name)
    return await read_all(store, held.id) if held else b""


async def test_an_older_catalog_takes_up_what_was_packed_since(tmp_path: Path, clock: HandClock) -> None:
    """The daily copy is put back: packed lines of known and of new streams are there, once, and found."""
    folder = tmp_path / "data"
    data, other = some_log(1, 60_000), some_log(2, 30_000)
    store = await opened(folder, clock)
    first = len(data) // 3
    await store.append([Chunk(STREAM, 0, data[:first])])
    await store.append([Chunk(STREAM, first, data[first : first + 999])])  # a tail, half a line at its end
    store._catalog.copy_to(tmp_path / "older.db")
    await store.append([Chunk(STREAM, first + 999, data[first + 999 :])])
    await store.append([Chunk(OTHER, 0, other, final=True)])
    for name in (STREAM, OTHER):
        held = await store.find(name)
        assert held is not None
        await store.pack(held.id)
    await store.close()

    for left in folder.glob("catalog.db*"):
        left.unlink()
    shutil.copy(tmp_path / "older.db", folder / files.CATALOG)
    store = await opened(folder, clock)
    assert await whole(store, STREAM) == data
    assert await whole(store, OTHER) == other
    held = await store.find(OTHER)
    assert held is not None and held.lines == 30_000
    (line,) = (await store.window(held.id, WindowQuery(start=-1))).lines
    assert line["text"].encode() == other.splitlines()[-1]
    assert (await store.matches(held.id, SearchQuery("step 29999,"))).total == 1
    await store.close()
    assert check(folder) == []

    store = await opened(folder, clock)  # nothing comes twice
    assert await whole(store, STREAM) == data
    await store.close()


async def test_a_torn_frame_is_cut_and_whole_ones_before_it_are_stored(tmp_path: Path, clock: HandClock) -> None:
    """A crash between sync and commit, and in the middle of the next write."""
    folder = tmp_path / "data"
    data = some_log(3, 40_000)
    store = await opened(folder, clock)
    await store.append([Chunk(STREAM, 0, data[:999])])
    store._catalog.copy_to(tmp_path / "before.db")
    await store.append([Chunk(STREAM, 999, data[999:])])
    await store.close()
    (segment,) = folder.glob("segments/*/*.seg")
    chunks = [frame for frame in frames(segment) if frame.kind == CHUNK]
    assert len(chunks) >= 2
    os.truncate(segment, chunks[-1].position + 100)
    for left in folder.glob("catalog.db*"):
        left.unlink()
    shutil.copy(tmp_path / "before.db", folder / files.CATALOG)

    store = await opened(folder, clock)
    assert await whole(store, STREAM) == data[: chunks[-1].offset]
    await store.append([Chunk(STREAM, chunks[-1].offset, data[chunks[-1].offset :])])
    assert await whole(store, STREAM) == data
    await store.close()
    assert check(folder) == []


async def test_what_does_not_fit_stays_and_is_told(tmp_path: Path, clock: HandClock) -> None:
    """Other bytes came meanwhile under the same offsets: neither is lost."""
    folder = tmp_path / "data"
    data = some_log(4, 20_000)
    store = await opened(folder, clock)
    store._catalog.copy_to(tmp_path / "empty.db")
    await store.append([Chunk(STREAM, 0, data)])
    await store.close()
    (segment,) = folder.glob("segments/*/*.seg")
    before = segment.read_bytes()
    for left in folder.glob("catalog.db*"):
        left.unlink()
    shutil.copy(tmp_path / "empty.db", folder / files.CATALOG)

    store = EmbeddedStore(folder, clock=clock)
    await store.open()
    await store.append([a_chunk(b"something else\n")])  # ahead of what is stored again
    await store.recovered()
    assert await whole(store, STREAM) == b"something else\n"
    await store.close()
    assert segment.read_bytes() == before
    (finding,) = check(folder)
    assert finding.severity == "warning" and str(segment) in finding.place
