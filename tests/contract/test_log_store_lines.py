"""LogStore, reading by line: where lines end, what they show, which are the platform's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from builders import (
    ANNOUNCING,
    MARKED,
    NOON,
    HandClock,
    a_chunk,
    a_stream,
    find,
    lines_of,
    read_all,
    texts_of,
    window,
    write,
)
from logsvc.model.query import MAX_ANSWER_TEXT_BYTES, MAX_LINE_TEXT_BYTES
from logsvc.ports import LogStore

Reopen = Callable[[LogStore], Awaitable[LogStore]]
SAMPLE = (
    b"first\r\n\r\n\n\xe4\xbf\xa1 \xf0\x9f\x98\x80 \xff\xe4\xbf|\0\r|\n"
    + MARKED
    + b"user \xc3\xa9\r\n"
    + MARKED
    + b"last\r"
)
TEXTS = [
    "first",
    "",
    "",
    "信 \U0001f600 \ufffd\ufffd|\0\r|",
    MARKED.decode().rstrip("\n"),
    "user é",
    MARKED.decode().rstrip("\n"),
    "last",
]
USER_NUMBERS = [1, 2, 3, 4, None, 5, None, 6]


def offsets_of(data: bytes) -> list[int]:
    """Where lines start."""
    return [0] + [at + 1 for at, byte in enumerate(data) if byte == 10 and at + 1 < len(data)]


async def check_sample(store: LogStore, stream_id: str) -> None:
    """SAMPLE, whatever chunks it came in."""
    assert await read_all(store, stream_id) == SAMPLE
    shown = await window(store, stream_id)
    assert (shown.total_lines, shown.total_user_lines, shown.through) == (8, 6, 8)
    assert [line["text"] for line in shown.lines] == TEXTS
    assert [line["u"] for line in shown.lines] == USER_NUMBERS
    assert [line["n"] for line in shown.lines] == list(range(1, 9))
    assert [line["offset"] for line in shown.lines] == offsets_of(SAMPLE)
    assert [line["system"] for line in shown.lines] == [number is None for number in USER_NUMBERS]
    assert [line.get("partial") for line in shown.lines] == [None] * 7 + [True]
    assert [line["text"] for line in (await window(store, stream_id, lines="user")).lines] == [
        *TEXTS[:4],
        "user é",
        "last",
    ]
    assert [match["n"] for match in (await find(store, stream_id, "user é")).matches] == [6]
    assert [match["n"] for match in (await find(store, stream_id, "last$", regex=True)).matches] == [8]
    held = await store.stream(stream_id)
    assert (held.lines, held.user_lines, held.size_bytes) == (8, 6, len(SAMPLE))


async def test_chunk_border_anywhere(log_store: LogStore) -> None:
    """A line, a character, a mark, a \\r\\n cut by a chunk border is joined again."""
    for at in range(1, len(SAMPLE)):
        stream = a_stream(task=f"worker-{at}")
        await check_sample(log_store, await write(log_store, SAMPLE[:at], SAMPLE[at:], stream=stream))


async def test_a_byte_at_a_time(log_store: LogStore, reopen: Reopen) -> None:
    """And so is one cut at every byte, before and after a restart."""
    pieces = [SAMPLE[at : at + 1] for at in range(len(SAMPLE))]
    stream_id = await write(log_store, *pieces)
    await check_sample(log_store, stream_id)
    await check_sample(await reopen(log_store), stream_id)


async def test_restart_in_the_middle_of_a_line(log_store: LogStore, reopen: Reopen) -> None:
    """What is carried from chunk to chunk is carried over a restart."""
    stream_id = await write(log_store, SAMPLE[:34])
    log_store = await reopen(log_store)
    await write(log_store, SAMPLE[34:90])
    log_store = await reopen(log_store)
    await write(log_store, SAMPLE[90:])
    await check_sample(log_store, stream_id)


async def test_partial_line_is_counted_shown_and_searched(log_store: LogStore) -> None:
    """It may still change: text, \\r, even whether the platform wrote it."""
    stream_id = await write(log_store, b"one\ntwo\r")
    assert [(line["text"], line.get("partial")) for line in await lines_of(log_store, stream_id)] == [
        ("one", None),
        ("two", True),
    ]
    [match] = (await find(log_store, stream_id, "two")).matches
    assert (match["n"], match["text"], match.get("partial")) == (2, "two", True)

    await write(log_store, b"x [ModelArts Service Log]")
    [line] = await lines_of(log_store, stream_id, 2)
    assert (line["text"], line["system"], line["u"], line.get("partial")) == (
        "two\rx [ModelArts Service Log]",
        True,
        None,
        True,
    )
    assert (await window(log_store, stream_id)).total_user_lines == 1
    assert (await find(log_store, stream_id, "two", lines="user")).total == 0

    await write(log_store, b"\nthree\n")
    assert await texts_of(log_store, stream_id) == ["one", "two\rx [ModelArts Service Log]", "three"]
    assert all("partial" not in line for line in await lines_of(log_store, stream_id))
    assert (await lines_of(log_store, stream_id, -1))[0]["u"] == 2


async def test_only_one_return_is_dropped(log_store: LogStore) -> None:
    """The one before the line feed; others are text."""
    stream_id = await write(log_store, b"a\r\r\n\r\r\n\r\n\r")
    assert await texts_of(log_store, stream_id) == ["a\r", "\r", "", ""]


@pytest.mark.parametrize(
    "mark",
    [
        b"[ModelArts Service Log]",
        b"[Modelarts Service Log]",
        b"[MODELARTS SERVICE LOG]",
        b"Platform=ModelArts-Service",
        b"platform=modelarts-SERVICE",
    ],
)
async def test_marks_of_system_lines(log_store: LogStore, mark: bytes) -> None:
    """In any ASCII case, anywhere in the line, across chunk borders, far into a long line."""
    long = b"x" * 100_000
    text = b"a\n" + mark + b"\nb " + mark + b" c\n" + long + mark + b"\n" + mark[:-1] + b"\nlast " + mark
    half = len(text) // 2
    stream_id = await write(log_store, text[:7], text[7:half], text[half : half + 100_000], text[half + 100_000 :])

    assert [line["system"] for line in await lines_of(log_store, stream_id)] == [False, True, True, True, False, True]


def body_of(*lines: bytes) -> list[bytes]:
    """A record with its body, with user lines around it."""
    return [b"before\n", ANNOUNCING, *lines, b"after\n"]


BODIES: dict[str, tuple[list[bytes], list[bool]]] = {
    "object": (body_of(b"{\n", b'"a": 1\n', b"}\n"), [False, True, True, True, True, False]),
    "array": (body_of(b"  [ \r\n", b"1\n", b"]\r\n"), [False, True, True, True, True, False]),
    "one line": (body_of(b'{"a": {"b": []}}\n'), [False, True, True, False]),
    "not a body": (body_of(b"{x\n", b"}\n"), [False, True, False, False, False]),
    "blank first": (body_of(b"\n", b"{\n", b"}\n"), [False, True, False, False, False, False]),
    "brackets in strings": (body_of(b"{\n", b'"}": "]}\\"}"\n', b"}\n"), [False, True, True, True, True, False]),
    "open string": (body_of(b"{\n", b'"a\n', b'}"\n', b"}\n"), [False, True, True, True, True, True, False]),
    "escape at a line's end": (
        body_of(b"{\n", b'"a\\\n', b'"\n', b"}\n"),
        [False, True, True, True, True, True, False],
    ),
    "mixed brackets": (body_of(b"{\n", b"[[\n", b"}}}\n"), [False, True, True, True, True, False]),
    "marked line ends it": (body_of(b"{\n", MARKED, b"}\n"), [False, True, True, True, False, False]),
    "announced again": (body_of(b"{\n", ANNOUNCING, b"[\n", b"]\n"), [False, True, True, True, True, True, False]),
    "spaces and return": (
        [b"[ModelArts Service Log] x - INFO -  \r \r\n", b"{\n", b"}\n", b"after\n"],
        [True, True, True, False],
    ),
    "tab is no space": ([b"[ModelArts Service Log] x - INFO -\t\n", b"{\n", b"}\n"], [True, False, False]),
    "unmarked announces nothing": ([b"x - INFO -\n", b"{\n", b"}\n"], [False, False, False]),
    "512 lines": (body_of(b"{\n", *[b"x\n"] * 520), [False, True] + [True] * 512 + [False] * 10),
    "unfinished": ([ANNOUNCING, b"{\n", b"x"], [True, True, True]),
    "unfinished start": ([ANNOUNCING, b" {"], [True, True]),
    "unfinished not a start": ([ANNOUNCING, b"{ x"], [True, False]),
}


@pytest.mark.parametrize("name", BODIES)
async def test_json_body_of_a_system_record(log_store: LogStore, name: str, reopen: Reopen) -> None:
    """Belongs to the platform, by the contract's rule, however it is cut."""
    lines, system = BODIES[name]
    stream_id = await write(log_store, *lines)
    assert [line["system"] for line in await lines_of(log_store, stream_id)] == system

    data = b"".join(lines)
    other = await write(
        log_store, *[data[at : at + 7] for at in range(0, len(data), 7)], stream=a_stream(task="worker-1")
    )
    assert [line["system"] for line in await lines_of(log_store, other)] == system
    log_store = await reopen(log_store)
    assert [line["system"] for line in await lines_of(log_store, other)] == system
    assert (await log_store.stream(other)).user_lines == system.count(False)


@pytest.mark.parametrize("cut", range(1, 140, 3))
async def test_body_goes_on_after_a_restart(log_store: LogStore, reopen: Reopen, cut: int) -> None:
    """The state of the rule is carried in offset order, whatever happens between."""
    data = ANNOUNCING + b'{"a": "\\\\}\n{[\\"", "b": [\n1]}\nuser\n' + MARKED + b"end"
    stream_id = await write(log_store, data[:cut])
    log_store = await reopen(log_store)
    await write(log_store, data[cut:])

    expected = [True, True, True, True, False, True, False]
    assert [line["system"] for line in await lines_of(log_store, stream_id)] == expected


async def test_levels_of_lines(log_store: LogStore) -> None:
    """Found when the line is shown, wherever it was cut."""
    data = b"[ERROR] HCCL: x\nfine\n2026 WARNING y\nRuntimeError: z\n[WARN"
    stream_id = await write(log_store, data[:4], data[4:23], data[23:])
    levels = [line["level"] for line in await lines_of(log_store, stream_id)]
    assert levels[:4] == ["error", None, "warning", "error"]
    await write(log_store, b"ING] w")
    assert (await lines_of(log_store, stream_id, -1))[0]["level"] == "warning"


async def test_received_when_the_last_byte_came(log_store: LogStore, clock: HandClock, reopen: Reopen) -> None:
    """A line that came in pieces is as old as its line feed; RFC 3339, UTC, milliseconds."""
    stream_id = await write(log_store, b"one\ntw")
    clock.move(1.25)
    await write(log_store, b"o\nthree")
    assert [line["received_at"] for line in await lines_of(log_store, stream_id)] == [
        "2026-11-20T12:00:00.000Z",
        "2026-11-20T12:00:01.250Z",
        "2026-11-20T12:00:01.250Z",
    ]
    clock.move(1)
    log_store = await reopen(log_store)
    await log_store.append([])
    await write(log_store, b"\n")
    clock.move(3600)
    await write(log_store, b"four\n", b"five\nsix\n")
    assert [line["received_at"][11:] for line in await lines_of(log_store, stream_id)] == [
        "12:00:00.000Z",
        "12:00:01.250Z",
        "12:00:02.250Z",
        "13:00:02.250Z",
        "13:00:02.250Z",
        "13:00:02.250Z",
    ]
    assert (await log_store.stream(stream_id)).last_chunk_at == NOON + 3602.25


async def test_resent_bytes_keep_their_time(log_store: LogStore, clock: HandClock) -> None:
    """A line was received once."""
    stream_id = await write(log_store, b"one\n")
    clock.move(9)
    await log_store.append([a_chunk(b"one\ntwo\n")])

    assert [line["received_at"][17:19] for line in await lines_of(log_store, stream_id)] == ["00", "09"]


@pytest.mark.parametrize(
    ("line", "shown_bytes"),
    [
        (b"x" * MAX_LINE_TEXT_BYTES, None),
        (b"x" * MAX_LINE_TEXT_BYTES + b"\r", None),
        (b"x" * (MAX_LINE_TEXT_BYTES + 1), MAX_LINE_TEXT_BYTES),
        ("信".encode() * 30_000, MAX_LINE_TEXT_BYTES - 1),
        (b"x" + "\U0001f600".encode() * 20_000 + b"\r", MAX_LINE_TEXT_BYTES - 3),
        (b"\xff" * 30_000, MAX_LINE_TEXT_BYTES - 1),  # each is U+FFFD, three bytes of UTF-8
    ],
)
async def test_long_line_is_cut_at_a_code_point(log_store: LogStore, line: bytes, shown_bytes: int | None) -> None:
    """64 KiB of UTF-8 are shown; the size is that of the whole line."""
    stream_id = await write(log_store, b"a\n" + line[:50_000], line[50_000:] + b"\nb\n" + line)
    shown = await lines_of(log_store, stream_id)

    text = line.removesuffix(b"\r").decode(errors="replace")
    for one in (shown[1], shown[3]):
        assert text.startswith(one["text"])
        assert len(one["text"].encode()) == (shown_bytes or len(text.encode()))
        assert one.get("cut") is (True if shown_bytes else None)
        assert one.get("size_bytes") == (len(line) if shown_bytes else None)
    assert (shown[0]["text"], shown[2]["text"], len(shown)) == ("a", "b", 4)


async def test_answer_ends_early_at_eight_mebibytes(log_store: LogStore) -> None:
    """The reader goes on at through + 1 and misses nothing; totals do not change."""
    line = b"y" * 60_000 + b"\n"
    stream_id = await write(log_store, *[line * 10] * 30)
    seen, start = 0, 1
    while True:
        shown = await window(log_store, stream_id, start)
        size = sum(len(one["text"].encode()) for one in shown.lines)
        assert (shown.total_lines, shown.total_user_lines) == (300, 300)
        if not shown.lines:
            break
        assert size <= MAX_ANSWER_TEXT_BYTES
        assert size > MAX_ANSWER_TEXT_BYTES - 2 * len(line) or shown.through == 300
        assert [one["n"] for one in shown.lines] == list(range(start, shown.through + 1))
        seen, start = seen + len(shown.lines), shown.through + 1
    assert seen == 300
    assert (await lines_of(log_store, stream_id, -250))[0]["n"] == 51

    found = await find(log_store, stream_id, "^y", limit=1000, regex=True)
    assert found.total == 300 and 100 < len(found.matches) < 300
    assert found.next == found.matches[-1]["n"]
