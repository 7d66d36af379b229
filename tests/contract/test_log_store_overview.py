"""LogStore: a stream in buckets, and the place of a page among all matches, against a plain count."""

from __future__ import annotations

import random
import re
from itertools import pairwise
from typing import Any

import pytest

from builders import MARKED, NOON, HandClock, find, lines_of, write
from logsvc.errors import BadPattern, NotFound
from logsvc.model.query import Lines, Overview, SearchQuery
from logsvc.ports import LogStore

KINDS = [
    b"fine\n",
    b"fine\n",
    b"loss 1\n",
    MARKED,
    b"[ERROR] loss\n",
    b"[WARNING] x\n",
    b"Platform=ModelArts-Service ERROR loss\n",
    b"\n",
]


async def look(store: LogStore, stream_id: str, buckets: int, lines: Lines = "all", **query: Any) -> Overview:
    """An overview; `text` is what to search for."""
    asked = SearchQuery(query.pop("text"), lines=lines, **query) if query else None
    return await store.overview(stream_id, buckets=buckets, lines=lines, query=asked)


async def expect(store: LogStore, stream_id: str, buckets: int, lines: Lines, pattern: str) -> Overview:
    """The same from all lines of the stream, counted one by one."""
    rows = await lines_of(store, stream_id, lines=lines)
    size = min(buckets, len(rows))
    parts = [rows[index * len(rows) // size : (index + 1) * len(rows) // size] for index in range(size)]
    return Overview(
        len(rows),
        [sum(line["level"] == "error" for line in part) for part in parts],
        [sum(line["level"] == "warning" for line in part) for part in parts],
        [sum(re.search(pattern, line["text"]) is not None for line in part) for part in parts],
        True,
    )


@pytest.fixture
async def mixed(log_store: LogStore) -> str:
    """Lines of all sorts, cut anywhere; the last has no end yet and is an error."""
    chance = random.Random(7)
    data = b"".join(chance.choices(KINDS, k=230)) + b"[ERROR] los"
    cuts = [0, *sorted(chance.sample(range(1, len(data)), 9)), len(data)]
    return await write(log_store, *[data[start:end] for start, end in pairwise(cuts)])


@pytest.mark.parametrize("lines", ["all", "user"])
@pytest.mark.parametrize("buckets", [1, 2, 7, 100, 229, 230, 231, 2000])
async def test_overview(log_store: LogStore, mixed: str, buckets: int, lines: Lines) -> None:
    """Errors, warnings and matches of the whole log, each in its bucket."""
    for text, limits in (
        ("los", {}),
        ("LOSS", {"ignore_case": True}),
        ("(fine|x)$", {"regex": True}),
        ("^", {"regex": True}),
    ):
        pattern = text if limits.get("regex") else text.lower()
        seen = await look(log_store, mixed, buckets, lines, text=text, **limits)
        assert seen == await expect(log_store, mixed, buckets, lines, pattern)
    plain = await look(log_store, mixed, buckets, lines)
    assert (plain.errors, plain.warnings, plain.matches) == (seen.errors, seen.warnings, None)


async def test_overview_of_a_growing_stream(log_store: LogStore) -> None:
    """Also without a line, and with one that is not finished; a search's limits are only of its matches."""
    stream_id = await write(log_store, b"", final=True)
    assert await look(log_store, stream_id, 500) == Overview(0, [], [], None, True)
    assert await look(log_store, stream_id, 500, text="x") == Overview(0, [], [], [], True)
    await write(log_store, b"[ERR")
    assert await look(log_store, stream_id, 500) == Overview(1, [0], [0], None, True)
    await write(log_store, b"OR] x\nx\n[WARNING] x")
    assert await look(log_store, stream_id, 3, text="x") == Overview(3, [1, 0, 0], [0, 0, 1], [1, 1, 1], True)
    limited = await look(log_store, stream_id, 3, text="x", levels=frozenset({"warning"}))
    assert limited == Overview(3, [1, 0, 0], [0, 0, 1], [0, 0, 1], True)
    await write(log_store, b"[ModelArts Service Log]")
    assert await look(log_store, stream_id, 3, "user", text="x") == Overview(2, [1, 0], [0, 0], [1, 1], True)


async def test_overview_within_a_time(log_store: LogStore, clock: HandClock) -> None:
    """Received at or after, before."""
    stream_id = await write(log_store, b"x\nx\n")
    clock.move(10)
    await write(log_store, b"x\nx\nx")
    assert (await look(log_store, stream_id, 5, text="x", since=NOON + 10)).matches == [0, 0, 1, 1, 1]
    assert (await look(log_store, stream_id, 5, text="x", until=NOON + 10)).matches == [1, 1, 0, 0, 0]
    assert (await look(log_store, stream_id, 5, text="^", regex=True, since=NOON + 10)).matches == [0, 0, 1, 1, 1]


async def test_overview_of_big_chunks(log_store: LogStore) -> None:
    """Many chunks, a line over several of them."""
    block = b"0123456 step loss=0.25\n" * 24_000
    pieces = [block, b"[ERROR] " + b"a" * 700_000, b" needle", b"\n" + block, b"needle\n", block + b"[WARN"]
    stream_id = await write(log_store, *pieces)
    seen = await look(log_store, stream_id, 4, text="needle")
    assert seen == Overview(72_003, [0, 1, 0, 0], [0, 0, 0, 1], [0, 1, 1, 0], True)
    assert (await look(log_store, stream_id, 1, text="loss")).matches == [72_000]


async def test_overview_refuses(log_store: LogStore) -> None:
    """As a search does."""
    stream_id = await write(log_store, b"x\n")
    with pytest.raises(BadPattern):
        await look(log_store, stream_id, 3, text="(", regex=True)
    for unknown in ("nobody", "999", ""):
        with pytest.raises(NotFound):
            await look(log_store, unknown, 3)


@pytest.mark.parametrize("text", ["fine", "los", "^", "ERROR"])
async def test_place_of_a_page(log_store: LogStore, mixed: str, text: str) -> None:
    """How many matches stand before the lowest line given, whichever way the page was found."""
    numbers = [match["n"] for match in (await find(log_store, mixed, text, regex=True, limit=1000)).matches]
    for place in (0, 1, 5, 60, 117, 200, 231, 232):
        for direction in ("after", "before"):
            for limit in (1, 4, 1000):
                page = await find(log_store, mixed, text, regex=True, limit=limit, **{direction: max(place, 1)})
                given = [match["n"] for match in page.matches]
                assert page.preceding == (numbers.index(min(given)) if given else None)
                assert page.total == len(numbers)
    only = await find(log_store, mixed, text, regex=True, count=False)
    counted = await find(log_store, mixed, text, regex=True, limit=0)
    assert (only.preceding, counted.preceding) == (None, None)


async def test_all_lines_of_a_level(log_store: LogStore, mixed: str) -> None:
    """`^` with a level is every line of that level, in the unfinished line and in those that borders cut, too."""
    for level in ("error", "warning"):
        for lines in ("all", "user"):
            expected = [line for line in await lines_of(log_store, mixed, lines=lines) if line["level"] == level]
            for pattern in ("^", ".*", "^.", "x?$"):
                found = await find(
                    log_store, mixed, pattern, regex=True, levels=frozenset({level}), lines=lines, limit=1000
                )
                assert [(match["n"], match["text"]) for match in found.matches] == [
                    (line["n"], line["text"]) for line in expected
                ]
                assert found.total == len(expected)
