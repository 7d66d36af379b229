"""The first and the last bytes of a stream, by which collectors know a file again, through packing and restarts."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from builders import STREAM, HandClock, a_chunk
from logsvc.stores.embedded.store import EmbeddedStore


async def test_a_head_grows_on_after_a_pack_and_a_restart(
    tmp_path: Path, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes that came while others were being packed are in the head once."""
    store = EmbeddedStore(tmp_path / "data", clock=clock)
    await store.open()
    [first] = await store.append([a_chunk(b"packed\n")])
    appended, packs = threading.Event(), store._packer._pack

    def pack(task: Any) -> Any:
        assert appended.wait(10)
        return packs(task)

    monkeypatch.setattr(store._packer, "_pack", pack)
    packing = asyncio.create_task(store.pack(getattr(first, "stream_id", "")))
    await asyncio.sleep(0)
    await store.append([a_chunk(b"tail", offset=7)])
    appended.set()
    await packing
    await store.close()

    store = EmbeddedStore(tmp_path / "data", clock=clock)
    await store.open()
    await store.append([a_chunk(b" and more", offset=11)])
    (generation,) = await store.generations(STREAM.job, STREAM.task, STREAM.path)
    assert generation.head == generation.tail == b"packed\ntail and more"
    await store.close()


@pytest.mark.parametrize("sizes", [(700, 700, 700), (5, 3, 2000), (1_500_000, 1, 600_000), (300, 1024, 0)])
async def test_a_tail_is_of_the_last_bytes_however_they_lie(
    tmp_path: Path, clock: HandClock, sizes: tuple[int, int, int]
) -> None:
    """Packed, not packed, or some of each; before and after a restart."""
    data = b"".join(b"%06d\n" % number for number in range(400_000))[: sum(sizes)]
    store = EmbeddedStore(tmp_path / "data", clock=clock)
    await store.open()

    async def tail_held() -> bytes:
        (held,) = await store.generations(STREAM.job, STREAM.task, STREAM.path)
        return held.tail

    offset = 0
    for size in sizes:
        [appended] = await store.append([a_chunk(data[offset : offset + size], offset=offset)])
        offset += size
        assert await tail_held() == data[max(offset - 1024, 0) : offset]
        await store.close()
        store = EmbeddedStore(tmp_path / "data", clock=clock)
        await store.open()
        assert await tail_held() == data[max(offset - 1024, 0) : offset]
        if size != sizes[-1]:
            await store.pack(getattr(appended, "stream_id", ""))
            assert await tail_held() == data[max(offset - 1024, 0) : offset]
    await store.close()
