"""The hub: history and live without a seam, one look at the store a frame, gaps for slow readers only."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from builders import MARKED, STREAM, HandClock, a_chunk, a_stream, write
from logsvc.core.follow import Follower, Hub, Pace
from logsvc.errors import NotFound, StoreUnavailable
from logsvc.model.query import Window, WindowQuery
from logsvc.stores.memory import MemoryStore

FAST = Pace(frames_per_second=100.0)


class CountingStore(MemoryStore):
    """Counts the looks at lines, and can be told to wait."""

    looks = 0
    slow_seconds = 0.0

    async def window(self, stream_id: str, query: WindowQuery) -> Window:
        self.looks += 1
        found = await super().window(stream_id, query)
        if self.slow_seconds:
            await asyncio.sleep(self.slow_seconds)
        return found


@pytest.fixture
async def store() -> CountingStore:
    return CountingStore(HandClock())


@pytest.fixture
async def hub(store: CountingStore) -> AsyncIterator[Hub]:
    hub = Hub(store, FAST)
    yield hub
    await hub.close()


class Reader:
    """A follower and what it was told."""

    def __init__(self, follower: Follower) -> None:
        self.follower = follower
        self.told: list[dict[str, Any]] = []
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for text in self.follower.texts():
            self.told.append(json.loads(text))

    async def until(self, wanted: Any, seconds: float = 3.0) -> None:
        """Wait until `wanted(self)`."""
        async with asyncio.timeout(seconds):
            while not wanted(self):
                if self.task.done():
                    self.task.result()
                await asyncio.sleep(0.005)

    @property
    def numbers(self) -> list[int]:
        return [line["n"] for message in self.told for line in message.get("lines", [])]

    @property
    def through(self) -> int:
        return max((message["through"] for message in self.told if "through" in message), default=0)

    def of(self, kind: str) -> list[Any]:
        return [message[kind] for message in self.told if kind in message]


async def reader(hub: Hub, stream_id: str, start: int = 1, lines: Any = "all") -> Reader:
    return Reader(await hub.follow(stream_id, lines, start))


async def test_history_then_live_without_a_seam(store: CountingStore, hub: Hub) -> None:
    stream_id = await write(store, b"one\ntwo\n")
    one = await reader(hub, stream_id)
    await one.until(lambda self: self.numbers == [1, 2])
    await write(store, b"three\nfour\n")
    await one.until(lambda self: self.numbers == [1, 2, 3, 4])
    assert one.told[-1]["through"] == 4


async def test_a_busy_stream_reaches_every_follower_whole(store: CountingStore, hub: Hub) -> None:
    """Followers join at random moments, while lines come all the time."""
    stream_id = await write(store, b"line 1\n")
    readers: list[Reader] = []

    async def join() -> None:
        for _ in range(30):
            readers.append(await reader(hub, stream_id))
            await asyncio.sleep(0.004)

    joining = asyncio.create_task(join())
    for n in range(2, 302):
        await write(store, f"line {n}\n".encode())
        await asyncio.sleep(0)
        if n % 3 == 0:
            await asyncio.sleep(0.001)
    await joining
    for one in readers:
        await one.until(lambda self: self.through == 301, 10)
        assert one.numbers == list(range(1, 302))


async def test_start_at_a_line_at_the_last_and_past_the_end(store: CountingStore, hub: Hub) -> None:
    stream_id = await write(store, *(f"line {n}\n".encode() for n in range(1, 11)))
    third = await reader(hub, stream_id, 3)
    last = await reader(hub, stream_id, -2)
    all_of_them = await reader(hub, stream_id, -99)
    future = await reader(hub, stream_id, 13)
    await third.until(lambda self: self.numbers == list(range(3, 11)))
    await last.until(lambda self: self.numbers == [9, 10])
    await all_of_them.until(lambda self: self.numbers == list(range(1, 11)))
    await write(store, b"line 11\nline 12\nline 13\n")
    await write(store, b"line 14\n")
    await future.until(lambda self: self.numbers == [13, 14])
    await last.until(lambda self: self.numbers == list(range(9, 15)))


async def test_resuming_at_through_plus_one_misses_nothing(store: CountingStore, hub: Hub) -> None:
    """A reader may know more than the channel does yet: it read a window, then followed."""
    stream_id = await write(store, b"1\n")
    slow = await reader(hub, stream_id)
    await slow.until(lambda self: self.numbers == [1])
    store.slow_seconds = 0.05
    await write(store, b"2\n3\n4\n")
    ahead = await reader(hub, stream_id, 4)
    store.slow_seconds = 0
    await write(store, b"5\n")
    await ahead.until(lambda self: self.through == 5)
    assert ahead.numbers == [4, 5]
    await slow.until(lambda self: self.through == 5)
    assert slow.numbers == [1, 2, 3, 4, 5]


async def test_hidden_lines_move_through_on(store: CountingStore, hub: Hub) -> None:
    stream_id = await write(store, b"one\n" + MARKED + MARKED)
    user = await reader(hub, stream_id, lines="user")
    await user.until(lambda self: self.through == 3)
    assert user.numbers == [1]
    await write(store, MARKED)
    await user.until(lambda self: self.through == 4)
    await write(store, b"five\n")
    await user.until(lambda self: self.numbers == [1, 5])
    assert [line["u"] for message in user.told for line in message.get("lines", [])] == [1, 2]


async def test_the_last_user_lines(store: CountingStore, hub: Hub) -> None:
    stream_id = await write(store, b"one\n" + MARKED + b"three\n" + MARKED)
    user = await reader(hub, stream_id, -1, "user")
    await user.until(lambda self: self.through == 4)
    assert user.numbers == [3]
    none = await write(store, MARKED, stream=a_stream("other"))
    nobody = await reader(hub, none, -5, "user")
    await nobody.until(lambda self: self.through == 1)
    assert nobody.numbers == []


async def test_an_unfinished_line_comes_as_partial_until_it_ends(store: CountingStore, hub: Hub) -> None:
    stream_id = await write(store, b"one\ntw")
    one = await reader(hub, stream_id)
    await one.until(lambda self: self.of("partial"))
    assert one.numbers == [1]
    assert one.told[-1]["partial"]["n"] == 2
    assert one.told[-1]["partial"]["text"] == "tw"
    late = await reader(hub, stream_id, -1)
    await late.until(lambda self: self.of("partial"))
    assert late.numbers == []
    await write(store, b"o and")
    await one.until(lambda self: self.of("partial")[-1]["text"] == "two and")
    await write(store, b" more\n")
    await one.until(lambda self: self.numbers == [1, 2])
    await late.until(lambda self: self.numbers == [2])


async def test_a_partial_line_that_the_platform_wrote_is_hidden(store: CountingStore, hub: Hub) -> None:
    stream_id = await write(store, b"[Model")
    user = await reader(hub, stream_id, lines="user")
    everything = await reader(hub, stream_id)
    await user.until(lambda self: self.of("partial"))
    await write(store, b"Arts Service Log] st")
    await user.until(lambda self: self.of("partial")[-1] == {"n": 1, "text": "", "system": True})
    await everything.until(lambda self: self.of("partial")[-1]["text"].endswith("st"))
    await write(store, b"arted\nuser\n")
    await user.until(lambda self: self.numbers == [2])
    assert user.through == 2
    await everything.until(lambda self: self.numbers == [1, 2])


async def test_an_unfinished_hidden_line_is_not_skipped(store: CountingStore, hub: Hub) -> None:
    """`through` never covers a line that has no end yet, in either view."""
    stream_id = await write(store, b"one\n[ModelArts Service Log] star")
    user = await reader(hub, stream_id, lines="user")
    await user.until(lambda self: self.numbers == [1])
    await asyncio.sleep(0.05)
    assert user.through == 1
    await write(store, b"ted\nthree\n")
    await user.until(lambda self: self.through == 3)
    assert user.numbers == [1, 3]


async def test_one_look_and_one_encoding_for_all_followers(store: CountingStore, hub: Hub) -> None:
    stream_id = await write(store, b"one\n")
    readers = [await reader(hub, stream_id) for _ in range(50)]
    for one in readers:
        await one.until(lambda self: self.numbers == [1])
    await asyncio.sleep(0.05)
    before = store.looks
    await write(store, b"two\n")
    for one in readers:
        await one.until(lambda self: self.numbers == [1, 2])
    assert store.looks - before == 1


async def test_at_most_so_many_frames_a_second(store: CountingStore) -> None:
    hub = Hub(store, Pace(frames_per_second=10))
    stream_id = await write(store, b"one\n")
    one = await reader(hub, stream_id)
    await one.until(lambda self: self.numbers == [1])
    await asyncio.sleep(0.15)
    began = asyncio.get_running_loop().time()
    for n in range(2, 402):
        await write(store, f"{n}\n".encode())
        await asyncio.sleep(0.001)
    await one.until(lambda self: self.through == 401)
    took = asyncio.get_running_loop().time() - began
    frames = len(one.of("lines")) - 1
    assert frames <= took * 10 + 2
    assert one.numbers == list(range(1, 402))
    await hub.close()


async def test_the_first_line_on_a_quiet_stream_comes_at_once(store: CountingStore) -> None:
    hub = Hub(store, Pace(frames_per_second=1))
    stream_id = await write(store, b"one\n")
    one = await reader(hub, stream_id)
    await one.until(lambda self: self.numbers == [1])
    await asyncio.sleep(1.05)
    began = asyncio.get_running_loop().time()
    await write(store, b"two\n")
    await one.until(lambda self: self.numbers == [1, 2])
    assert asyncio.get_running_loop().time() - began < 0.2
    await hub.close()


async def test_a_slow_follower_gets_a_gap_and_history_has_it(store: CountingStore) -> None:
    hub = Hub(store, Pace(frames_per_second=100, queue_frames=4))
    stream_id = await write(store, b"1\n")
    slow = await hub.follow(stream_id, "all", 1)
    texts = slow.texts()
    assert json.loads(await anext(texts))["through"] == 1
    waiting = asyncio.ensure_future(anext(texts))
    await asyncio.sleep(0.05)
    quick = await reader(hub, stream_id)
    for n in range(2, 22):
        await write(store, f"{n}\n".encode())
        await asyncio.sleep(0.015)
    await quick.until(lambda self: self.through == 21)
    assert quick.numbers == list(range(1, 22))

    told = [json.loads(await waiting)]
    while "through" not in told[-1] or told[-1]["through"] < 21:
        told.append(json.loads(await asyncio.wait_for(anext(texts), 1)))
    seen: list[int] = []
    for message in told:
        if "gap" in message:
            gap = message["gap"]
            seen += range(gap["first_line"], gap["first_line"] + gap["count"])
        seen += [line["n"] for line in message.get("lines", [])]
    assert any("gap" in message for message in told)
    assert seen == list(range(2, 22))
    slow.close()
    await hub.close()


async def test_a_stream_that_runs_away_is_skipped_to_its_end(store: CountingStore) -> None:
    hub = Hub(store, Pace(frames_per_second=20, frame_lines=10, lag_lines=50))
    stream_id = await write(store, b"first\n")
    one = await reader(hub, stream_id)
    await one.until(lambda self: self.numbers == [1])
    await write(store, b"".join(b"line %d\n" % n for n in range(2, 1002)))
    await one.until(lambda self: self.through == 1001)
    [gap] = one.of("gap")
    assert gap == {"first_line": 2, "count": 990}
    assert one.numbers == [1, *range(992, 1002)]
    await hub.close()


async def test_sealed_then_the_next_stream_when_it_appears(store: CountingStore, hub: Hub) -> None:
    stream_id = await write(store, b"one\n")
    one = await reader(hub, stream_id)
    await one.until(lambda self: self.numbers == [1])
    await write(store, b"two\n", final=True)
    await one.until(lambda self: self.of("sealed"))
    assert one.told[-1] == {"sealed": True, "next_stream": None}
    assert one.numbers == [1, 2]
    late = await reader(hub, stream_id)
    await late.until(lambda self: self.of("sealed"))
    assert not one.task.done()
    next_id = await write(store, b"new\n", stream=a_stream(generation=2))
    await one.until(lambda self: self.of("next_stream") == [None, next_id])
    await late.until(lambda self: self.of("next_stream") == [None, next_id])
    await asyncio.wait_for(one.task, 1)
    assert one.follower.finished
    after = await reader(hub, stream_id)
    await asyncio.wait_for(after.task, 1)
    assert after.told[-1] == {"sealed": True, "next_stream": next_id}
    assert after.numbers == [1, 2]


async def test_a_stream_opened_again_goes_on(store: CountingStore, hub: Hub) -> None:
    stream_id = await write(store, b"one\n", final=True)
    one = await reader(hub, stream_id)
    await one.until(lambda self: self.of("sealed"))
    await write(store, b"two\n")
    await one.until(lambda self: self.numbers == [1, 2])
    await write(store, b"three\n", final=True)
    await one.until(lambda self: len(self.of("sealed")) == 2)
    assert one.numbers == [1, 2, 3]


async def test_unknown_streams_are_not_followed(store: CountingStore, hub: Hub) -> None:
    with pytest.raises(NotFound):
        await hub.follow("nothing", "all", 1)
    assert hub.followers == 0
    assert not hub._channels


async def test_leaving_takes_the_channel_along(store: CountingStore, hub: Hub) -> None:
    stream_id = await write(store, b"one\n")
    one, two = await reader(hub, stream_id), await reader(hub, stream_id)
    await two.until(lambda self: self.numbers == [1])
    assert hub.followers == 2
    one.follower.close()
    one.follower.close()
    assert hub.followers == 1
    two.follower.close()
    assert not hub._channels
    again = await reader(hub, stream_id)
    await again.until(lambda self: self.numbers == [1])


async def test_closing_ends_followers_and_takes_no_more(store: CountingStore, hub: Hub) -> None:
    stream_id = await write(store, b"one\n")
    one = await reader(hub, stream_id)
    await one.until(lambda self: self.numbers == [1])
    await hub.close()
    await asyncio.wait_for(one.task, 1)
    assert not one.follower.finished
    with pytest.raises(StoreUnavailable):
        await hub.follow(stream_id, "all", 1)
    await hub.close()


async def test_a_store_that_fails_once_is_asked_again(
    store: CountingStore, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("logsvc.core.follow.RETRY_SECONDS", 0.02)
    stream_id = await write(store, b"one\n")
    one = await reader(hub, stream_id)
    await one.until(lambda self: self.numbers == [1])
    await asyncio.sleep(0.03)
    window, failed = store.window, []

    async def failing(stream_id: str, query: WindowQuery) -> Window:
        if not failed:
            failed.append(1)
            raise StoreUnavailable("once")
        return await window(stream_id, query)

    monkeypatch.setattr(store, "window", failing)
    await store.append([a_chunk(b"two\n", offset=4, stream=STREAM)])
    await one.until(lambda self: self.numbers == [1, 2])
    assert failed
