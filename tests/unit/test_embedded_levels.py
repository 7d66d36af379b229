"""What the marks of chunks settle is answered without unpacking a chunk."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from builders import HandClock, write
from logsvc.model.query import SearchQuery
from logsvc.stores.embedded.blocks import ChunkRow
from logsvc.stores.embedded.store import EmbeddedStore

ERRORS = frozenset({"error"})
PIECES = 4  # a chunk each; there is an error in one of them


class Counted:
    """A store with a few packed chunks, and which of them were unpacked."""

    def __init__(self, store: EmbeddedStore, stream: str) -> None:
        self.store, self.stream = store, stream
        self.unpacked: list[int] = []
        unpack = store._blocks.unpacked

        def counted(row: ChunkRow) -> bytes:
            self.unpacked.append(row.offset)
            return unpack(row)

        store._blocks.unpacked = counted  # type: ignore[method-assign]

    async def find(self, text: str, **limits: Any) -> tuple[int | None, int]:
        """Matching lines, and how many chunks were unpacked to find them."""
        del self.unpacked[:]
        found = await self.store.matches(self.stream, SearchQuery(text, **limits))
        return found.total, len(self.unpacked)


@pytest.fixture
async def counted(tmp_path: Path, clock: HandClock) -> AsyncIterator[Counted]:
    store = EmbeddedStore(tmp_path / "data", clock=clock)
    await store.open()
    stream = ""
    for piece in range(PIECES):
        lines = b"0123456 step loss=0.25\n" * 1000
        stream = await write(store, lines + b"[ERROR] x\n" * (piece == 2) + b"[WARNING] y\n" + lines)
        await store.pack(stream)
    yield Counted(store, stream)
    await store.close()


async def test_all_lines_of_a_level(counted: Counted) -> None:
    """Only the page's lines are looked at."""
    assert await counted.find("^", regex=True, levels=ERRORS, limit=0) == (1, 0)
    assert await counted.find("^", regex=True, levels=frozenset({"error", "warning"}), limit=0) == (PIECES + 1, 0)
    assert await counted.find("^", regex=True, limit=0) == (PIECES * 2001 + 1, 0)
    assert await counted.find("^", regex=True, levels=ERRORS) == (1, 1)


@pytest.mark.parametrize("how", [{}, {"regex": True}, {"ignore_case": True}, {"word": True}])
async def test_chunks_without_the_level_stay_packed(counted: Counted, how: dict[str, bool]) -> None:
    """Whatever is searched for in lines of a level."""
    assert await counted.find("x", levels=ERRORS, limit=0, **how) == (1, 1)
    assert await counted.find("loss", levels=ERRORS, limit=0, **how) == (0, 1)


async def test_an_overview_unpacks_nothing(counted: Counted) -> None:
    """Without a search."""
    for lines in ("all", "user"):
        seen = await counted.store.overview(counted.stream, buckets=PIECES, lines=lines)
        assert (seen.errors, seen.warnings) == ([0, 0, 1, 0], [1] * PIECES)
    assert counted.unpacked == []
