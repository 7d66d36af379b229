"""LogStore, a line of 100 MB that never ends: taken, counted, shown in part, searched; memory stays bounded."""

from __future__ import annotations

from pathlib import Path

import pytest

from builders import PACK_BYTES, HandClock, find, found_lines, lines_of, write
from conftest import a_store
from logsvc.model.query import MAX_LINE_TEXT_BYTES
from logsvc.ports import LogStore

SIZE = 100_000_000
PIECE = 4_000_000


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["memory", "embedded"])
async def test_line_of_a_hundred_megabytes(kind: str, tmp_path: Path, clock: HandClock) -> None:
    """As any other line, in every way."""
    store: LogStore = a_store(kind, tmp_path / "data", clock)
    await store.open()
    base = bytes(33 + n * 7919 % 90 for n in range(PIECE // 2 - 11)) + b"needle wide"
    await write(store, b"first\n")
    stream_id = await write(store, *[base * 2] * (SIZE // PIECE))

    held = await store.stream(stream_id)
    assert (held.lines, held.user_lines, held.size_bytes) == (2, 2, SIZE + 6)
    [line] = await lines_of(store, stream_id, 2)
    assert (line["offset"], line.get("size_bytes"), line.get("partial"), line.get("cut")) == (6, SIZE, True, True)
    assert line["text"] == base[:MAX_LINE_TEXT_BYTES].decode()
    found = await find(store, stream_id, "needle wide")
    assert [match["n"] for match in found.matches] == [2]
    assert found.matches[0]["spans"] == [[at - 11, at] for at in range(PIECE // 2, SIZE + 1, PIECE // 2)]
    border = base[PACK_BYTES - 6 : PACK_BYTES + 6].decode()
    assert await found_lines(store, stream_id, border) == [2]
    assert await found_lines(store, stream_id, "NEEDLE WIDE$", regex=True, ignore_case=True) == [2]
    assert await found_lines(store, stream_id, "absent needle") == []

    await write(store, b"[ModelArts Service Log]\nlast\n")
    assert [(line["n"], line["system"]) for line in await lines_of(store, stream_id)] == [
        (1, False),
        (2, True),
        (3, False),
    ]
    assert await found_lines(store, stream_id, "wide[", lines="user") == []
    assert await found_lines(store, stream_id, "wide[") == [2]
    await store.close()
