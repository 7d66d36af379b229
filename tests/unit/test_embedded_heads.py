"""The first bytes of a stream, by which collectors know a file again, through packing and restarts."""

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
    assert generation.head == b"packed\ntail and more"
    await store.close()
