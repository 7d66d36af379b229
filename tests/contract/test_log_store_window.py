"""LogStore, windows: by line number, by user line, by time, from the end."""

from __future__ import annotations

import pytest

from builders import MARKED, NOON, PACK_BYTES, HandClock, lines_of, texts_of, window, write
from logsvc.model.query import Window, WindowQuery
from logsvc.ports import LogStore

# u = user line, s = system line
PATTERN = "suusssuuussu"
LINES = [(b"line %d\n" % n if kind == "u" else MARKED) for n, kind in enumerate(PATTERN, 1)]
USERS = [n for n, kind in enumerate(PATTERN, 1) if kind == "u"]
ALL = list(range(1, len(PATTERN) + 1))


def numbers(shown: Window) -> list[int]:
    """Line numbers of a window."""
    return [line["n"] for line in shown.lines]


@pytest.fixture
async def stream_id(log_store: LogStore) -> str:
    """Twelve lines, six of them the user's, with chunk borders inside lines and between them."""
    data = b"".join(LINES)
    return await write(log_store, data[:3], data[3:80], data[80:200], data[200:])


async def test_any_place_in_all_lines(log_store: LogStore, stream_id: str) -> None:
    """A line number from 1, or the last L lines; past the end nothing."""
    for start in (1, 2, 6, 11, 12, 13, 14, 10**9, 2**62, -1, -2, -5, -11, -12, -13, -(10**9)):
        for limit in (1, 2, 5, 11, 12, 13, 5000):
            shown = await window(log_store, stream_id, start, limit)
            expected = (ALL[start - 1 :] if start > 0 else ALL[start:])[:limit]
            assert numbers(shown) == expected, (start, limit)
            assert (shown.total_lines, shown.total_user_lines) == (12, 6)
            assert shown.through == (expected[-1] if expected else 0), (start, limit)


async def test_any_place_in_user_lines(log_store: LogStore, stream_id: str) -> None:
    """`start` is a line number all the same; -L is the last L user lines; the limit counts lines given."""
    for start in (*range(1, 14), 10**9, -1, -2, -3, -5, -6, -7, -(10**9)):
        for limit in (1, 2, 5, 6, 7, 5000):
            shown = await window(log_store, stream_id, start, limit, lines="user")
            expected = ([n for n in USERS if n >= start] if start > 0 else USERS[start:])[:limit]
            assert numbers(shown) == expected, (start, limit)
            assert [line["u"] for line in shown.lines] == [USERS.index(n) + 1 for n in expected]
            assert (shown.total_lines, shown.total_user_lines) == (12, 6)
            if start > 12:
                assert shown.through == 0, (start, limit)
                continue
            following = next((n for n in USERS if n > (expected[-1] if expected else start - 1)), 13)
            assert (expected[-1] if expected else start) <= shown.through < following, (start, limit)


@pytest.mark.parametrize("lines", ["all", "user"])
@pytest.mark.parametrize("user_start", [1, 2, 3, 5, 6, 7, 10**9])
async def test_from_a_user_line(log_store: LogStore, stream_id: str, user_start: int, lines: str) -> None:
    """Starts at the Kth user line, with or without the platform's lines between."""
    shown = await window(log_store, stream_id, limit=4, user_start=user_start, lines=lines)

    first = USERS[user_start - 1] if user_start <= 6 else 10**9
    assert numbers(shown) == [n for n in (ALL if lines == "all" else USERS) if n >= first][:4]


@pytest.mark.parametrize("lines", ["all", "user"])
async def test_page_by_page_misses_nothing(log_store: LogStore, stream_id: str, lines: str) -> None:
    """A reader that goes on at through + 1 sees each line once."""
    for limit in (1, 2, 3, 7):
        seen, start = [], 1
        while start <= 12:
            shown = await window(log_store, stream_id, start, limit, lines=lines)
            assert shown.through >= start
            seen += numbers(shown)
            start = shown.through + 1
        assert seen == (ALL if lines == "all" else USERS)


async def test_from_a_time(log_store: LogStore, clock: HandClock) -> None:
    """The first line received at or after it; a line is as old as its last byte."""
    stream_id = await write(log_store, b"one\n" + MARKED + b"thr")
    clock.move(10)
    await write(log_store, b"ee\nfour\n")
    clock.move(10)
    await write(log_store, MARKED + b"six\nsev")

    expected = {NOON - 5: 1, NOON: 1, NOON + 1: 3, NOON + 10: 3, NOON + 11: 5, NOON + 20: 5, NOON + 21: None}
    for at, first in expected.items():
        shown = await window(log_store, stream_id, received_from=at)
        assert numbers(shown) == (list(range(first, 8)) if first else []), at
    shown = await window(log_store, stream_id, received_from=NOON + 15, lines="user", limit=1)
    assert numbers(shown) == [6]


async def test_only_system_lines(log_store: LogStore) -> None:
    """A log of which the user wrote nothing."""
    stream_id = await write(log_store, MARKED * 3)
    for start in (1, 2, -1, -10):
        shown = await window(log_store, stream_id, start, lines="user")
        assert (numbers(shown), shown.total_lines, shown.total_user_lines) == ([], 3, 0)
    assert numbers(await window(log_store, stream_id, user_start=1)) == []
    assert numbers(await window(log_store, stream_id, user_start=1, lines="user")) == []


async def test_windows_at_each_border_of_a_big_stream(log_store: LogStore) -> None:
    """Packed at 512 KiB: before, at and after each border, both kinds of window."""
    lines = [(MARKED if n % 5 == 0 else b"step %06d loss=0.5\n" % n) for n in range(1, 120_001)]
    data = b"".join(lines)
    sizes = [PACK_BYTES - 1, PACK_BYTES, PACK_BYTES + 1, 3, 200_000, 2_000_000]
    pieces, at = [], 0
    while at < len(data):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(data[at : at + size])
        at += size
    stream_id = await write(log_store, *pieces)
    users = [n for n in range(1, 120_001) if n % 5]

    held = await log_store.stream(stream_id)
    assert (held.lines, held.user_lines, held.size_bytes) == (120_000, 96_000, len(data))
    for border in range(0, len(data), PACK_BYTES):
        n = data.count(b"\n", 0, border) + 1
        for start in (n - 1, n, n + 1):
            if 0 < start <= 120_000:
                got = await lines_of(log_store, stream_id, start, 3)
                expected = [lines[i - 1].decode().rstrip("\n") for i in range(start, min(start + 3, 120_001))]
                assert [line["text"] for line in got] == expected
                assert [line["offset"] for line in got][:1] == [sum(map(len, lines[: start - 1]))]
                u = start - start // 5
                got = await lines_of(log_store, stream_id, 1, 3, user_start=u, lines="user")
                assert [line["n"] for line in got] == users[u - 1 : u + 2]
                assert [line["u"] for line in got] == [u, u + 1, u + 2][: len(got)]
    assert [line["n"] for line in await lines_of(log_store, stream_id, -3, lines="user")] == users[-3:]
    assert await texts_of(log_store, stream_id, -1) == [MARKED.decode().rstrip("\n")]
    shown = await log_store.window(stream_id, WindowQuery(start=50_000, limit=5000))
    assert (len(shown.lines), shown.through) == (5000, 54_999)


async def test_long_lines_over_many_chunks(log_store: LogStore) -> None:
    """Lines of more than a mebibyte, cut where no line feed comes; short ones between them."""
    long = [bytes([97 + n]) * (1_300_000 + n) for n in range(3)]
    data = b"a\n" + long[0] + b"\nb\n" + long[1] + b"\r\n" + long[2]
    pieces = [data[at : at + 300_007] for at in range(0, len(data), 300_007)]
    stream_id = await write(log_store, *pieces)

    shown = await lines_of(log_store, stream_id)
    assert [line["n"] for line in shown] == [1, 2, 3, 4, 5]
    assert [line.get("size_bytes") for line in shown] == [None, 1_300_000, None, 1_300_002, 1_300_002]
    assert [line["offset"] for line in shown] == [0, 2, 1_300_003, 1_300_005, 2_600_008]
    assert [line["text"][:1] for line in shown] == ["a", "a", "b", "b", "c"]
    assert [line.get("partial") for line in shown] == [None] * 4 + [True]
    for start in (-1, -2, 5, 3, 2):
        got = await lines_of(log_store, stream_id, start, 1)
        assert got == [shown[start if start < 0 else start - 1]]
    assert (await log_store.stream(stream_id)).lines == 5
