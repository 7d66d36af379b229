"""LogStore, read while it is written: every answer is of one state, committed bytes only."""

from __future__ import annotations

import asyncio
import random

import pytest

from builders import MARKED, STREAM, a_chunk, a_stream, read_all, write
from logsvc.errors import ContentConflict
from logsvc.model.chunk import Appended
from logsvc.model.query import SearchQuery, WindowQuery
from logsvc.ports import LogStore


def content(lines: int) -> bytes:
    """A log whose nth line says so."""
    return b"".join(MARKED if n % 7 == 0 else b"line %06d %s\n" % (n, b"x" * (n % 50)) for n in range(1, lines + 1))


@pytest.mark.parametrize("sizes", [(1, 300), (5_000, 60_000), (100_000, 900_000)])
async def test_readers_see_one_state(log_store: LogStore, sizes: tuple[int, int]) -> None:
    """Windows, raw bytes and counts while the same stream grows and is packed."""
    data, chance = content(15_000), random.Random(1)
    state = {"committed": 0, "sent": 0, "done": 0}

    async def append() -> None:
        offset = 0
        for _ in range(60):
            size = chance.randint(*sizes)
            state["sent"] = min(len(data), offset + size)
            [result] = await log_store.append([a_chunk(data[offset : offset + size], offset=offset)])
            assert isinstance(result, Appended)
            offset = state["committed"] = result.next_offset
            await asyncio.sleep(0)
            if offset == len(data):
                break
        state["done"] = 1

    async def look(work: int) -> int:
        seen, chance = 0, random.Random(work)
        while not state["done"]:
            await asyncio.sleep(0)
            low = state["committed"]
            if not low:
                continue
            stream = await log_store.find(STREAM)
            assert stream is not None
            if work == 0:
                got = await read_all(log_store, stream.id)
                assert got == data[: len(got)] and low <= len(got) <= state["sent"]
            elif work == 1:
                shown = await log_store.window(stream.id, WindowQuery(start=-300))
                numbers = [line["n"] for line in shown.lines]
                assert numbers == list(range(shown.total_lines - len(numbers) + 1, shown.total_lines + 1))
                check_lines(shown.lines, data, state["sent"])
                assert data.count(b"\n", 0, low) <= shown.total_lines <= data.count(b"\n", 0, state["sent"]) + 1
            elif work == 2:
                start = chance.randint(1, max(1, stream.lines))
                shown = await log_store.window(stream.id, WindowQuery(start=start, limit=200))
                assert [line["n"] for line in shown.lines] == list(range(start, start + len(shown.lines)))
                assert len(shown.lines) == min(200, shown.total_lines - start + 1)
                check_lines(shown.lines, data, state["sent"])
            elif work == 3:
                [held] = await log_store.generations(STREAM.job, STREAM.task, STREAM.path)
                end = held.next_offset
                assert held.head == data[: min(end, 1024)] and held.tail == data[max(end - 1024, 0) : end]
                assert low <= end <= state["sent"]
            else:
                found = await log_store.matches(stream.id, SearchQuery("line 0", limit=1000))
                high = state["sent"]
                assert found.total is not None
                assert data.count(b"line 0", 0, low) <= found.total <= data.count(b"line 0", 0, high)
                numbers = [match["n"] for match in found.matches]
                expected = [n for n in range(1, 1170) if n % 7][: len(numbers)]
                assert numbers == expected and len(numbers) == min(1000, found.total)
            seen += 1
        return seen

    seen = await asyncio.gather(append(), *(look(work) for work in range(5)))
    assert all(count for count in seen[1:])
    held = await log_store.find(STREAM)
    assert held is not None and await read_all(log_store, held.id) == data[: state["committed"]]


def check_lines(lines: list, data: bytes, sent: int) -> None:  # type: ignore[type-arg]
    """Each line is the one that stands at its offset, whole or so far."""
    for line in lines:
        end = data.index(b"\n", line["offset"])
        text = data[line["offset"] : end].decode()
        if line.get("partial"):
            assert text.startswith(line["text"])
        else:
            assert text == line["text"] and end < sent


async def test_many_writers(log_store: LogStore) -> None:
    """Chunks of many streams in many calls at once; each stream is whole."""
    names = [a_stream(job=f"job-{n % 5}", task=f"worker-{n}") for n in range(40)]

    async def send(number: int) -> bytes:
        chance, offset, data = random.Random(number), 0, content(3000)
        while offset < len(data):
            size = chance.choice((1, 50, 2000, 90_000))
            chunk = a_chunk(data[offset : offset + size], offset=offset, stream=names[number])
            [result] = await log_store.append([chunk])
            assert isinstance(result, Appended)
            offset = result.next_offset
            if chance.random() < 0.3:
                await asyncio.sleep(0)
        return data

    sent = await asyncio.gather(*(send(number) for number in range(40)))
    for name, data in zip(names, sent, strict=True):
        held = await log_store.find(name)
        assert held is not None
        assert await read_all(log_store, held.id) == data
        assert held.lines == 3000 and held.user_lines == 3000 - 3000 // 7


async def test_the_same_chunk_at_the_same_time(log_store: LogStore) -> None:
    """Two collectors that send one file: each byte is stored once, both are told so."""
    data = content(20_000)
    chunks = [a_chunk(data[at : at + 70_000], offset=at) for at in range(0, len(data), 70_000)]

    async def send() -> None:
        for chunk in chunks:
            [result] = await log_store.append([chunk])
            assert isinstance(result, Appended), result

    await asyncio.gather(send(), send(), send())
    held = await log_store.find(STREAM)
    assert held is not None and await read_all(log_store, held.id) == data


async def test_two_files_that_differ_at_the_same_time(log_store: LogStore) -> None:
    """One of them wins; the other hears of the conflict; nothing is mixed."""
    logs = [content(5000), content(5000).replace(b"line", b"LINE")]

    async def send(data: bytes) -> bool:
        for at in range(0, len(data), 30_000):
            [result] = await log_store.append([a_chunk(data[at : at + 30_000], offset=at)])
            if not isinstance(result, Appended):
                assert isinstance(result, ContentConflict)
                return False
        return True

    won = await asyncio.gather(*(send(data) for data in logs))
    assert won.count(True) == 1
    held = await log_store.find(STREAM)
    assert held is not None and await read_all(log_store, held.id) == logs[won.index(True)]


async def test_caller_who_goes_away(log_store: LogStore) -> None:
    """An append that nobody waits for any more harms nobody; a search stops."""
    data = content(30_000)
    stream_id = await write(log_store, data)
    pattern = SearchQuery("[a-z]x+$", regex=True)
    tasks: list[asyncio.Task[object]] = []
    for _ in range(4):
        tasks.append(asyncio.create_task(log_store.append([a_chunk(b"more\n", offset=len(data))])))
        tasks.append(asyncio.create_task(log_store.matches(stream_id, pattern)))
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await log_store.append([a_chunk(b"more\n", offset=len(data))])

    held = await log_store.stream(stream_id)
    assert held.size_bytes == len(data) + 5
    found = await log_store.matches(stream_id, SearchQuery("line 000001", limit=1))
    assert found.total == 1
