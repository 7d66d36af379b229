"""LogStore, searching: exact counts and spans, first page, next and previous, over one stream or many."""

from __future__ import annotations

from itertools import pairwise

import pytest

from builders import MARKED, NOON, STREAM, HandClock, a_chunk, a_stream, find, found_lines, in_chunks, write
from logsvc.errors import BadPattern
from logsvc.model.query import Match, Matches, SearchPage, SearchQuery
from logsvc.ports import LogStore


async def spans(store: LogStore, line: bytes, text: str, **limits: object) -> list[list[int]] | None:
    """Spans in a line that stands between two others; None where it does not match."""
    stream_id = await write(store, b"-\n", line[: len(line) // 2], line[len(line) // 2 :] + b"\n-\n", stream=STREAM)
    held = await store.stream(stream_id)
    result = await find(store, stream_id, text, after=held.lines - 3, **limits)
    here = [match for match in result.matches if match["n"] == held.lines - 1]
    return here[0]["spans"] if here else None


# Spans


@pytest.mark.parametrize(
    ("line", "text", "limits", "expected"),
    [
        (b"a loss and a loss", "loss", {}, [[2, 6], [13, 17]]),
        (b"aaaaa", "aa", {}, [[0, 2], [2, 4]]),
        ("信息 loss 信息".encode(), "loss", {}, [[3, 7]]),
        ("信息 loss 信息".encode(), "信息", {}, [[0, 2], [8, 10]]),
        ("\U0001f600x\U0001f600x".encode(), "x", {}, [[1, 2], [3, 4]]),
        ("\U0001f600x\U0001f600x".encode(), "\U0001f600", {}, [[0, 1], [2, 3]]),
        (b"\xff\xfe ab \xe4\xbf ab", "ab", {}, [[3, 5], [8, 10]]),
        (b"\xe4\xbfx", "\ufffd", {}, [[0, 1]]),
        (b"\xff\xff", "\ufffd", {}, [[0, 1], [1, 2]]),
        (b"\xf0\x9f\x98", "\ufffd\ufffd", {}, None),
        ("\ufffd".encode() + b"\xff", "\ufffd\ufffd", {}, [[0, 2]]),
        (b"a\0b\0", "\0", {}, [[1, 2], [3, 4]]),
        (b"a\rb", "\r", {}, [[1, 2]]),
        (b"ab\r", "b\r", {}, None),
        (b"ab\r\r", "b\r", {}, [[1, 3]]),
        (b"x y", " ", {}, [[1, 2]]),
        (b"A.b*[", "a.B*[", {"ignore_case": True}, [[0, 5]]),
        (b"Axb", "a.b", {"ignore_case": True}, None),
        ("tTßÉé".encode(), "ÉÉ", {"ignore_case": True}, [[3, 5]]),
        ("Straße STRASSE".encode(), "ss", {"ignore_case": True}, [[11, 13]]),
        (b"loss", "LO\u017f\u017f", {"ignore_case": True}, [[0, 4]]),
        ("lo\u017fs".encode(), "LOSS", {"ignore_case": True}, [[0, 4]]),
        (b"k K", "\u212a", {"ignore_case": True}, [[0, 1], [2, 3]]),
        ("\u212aelvin".encode(), "kelvin", {"ignore_case": True}, [[0, 6]]),
        ("\u212aelvin".encode(), "kelvin", {}, None),
        ("σΣς".encode(), "Σ", {"ignore_case": True}, [[0, 1], [1, 2], [2, 3]]),
        (b"ab12", "[0-9]+", {"regex": True}, [[2, 4]]),
        (b"ab12", "[0-9]*", {"regex": True}, [[2, 4]]),
        (b"abc", "[0-9]*", {"regex": True}, []),
        (b"", "", {"regex": True}, "refused"),
        (b"", "^$", {"regex": True}, []),
        (b"\r", "^$", {"regex": True}, []),
        (b"ab\r", "b$", {"regex": True}, [[1, 2]]),
        (b"a\rb", "a$", {"regex": True}, None),
        (b"aab", "^a", {"regex": True}, [[0, 1]]),
        (b"aab", r"\Aa|b\z", {"regex": True}, [[0, 1], [2, 3]]),
        (b"ab", "(?-m)^ab$", {"regex": True}, [[0, 2]]),
        (b"ab", "(?m)^ab$", {"regex": True}, [[0, 2]]),
        (b"ab", "(?s)a.*", {"regex": True}, [[0, 2]]),
        (b"ab", "(?s)b.", {"regex": True}, None),
        (b"ab", "b[^x]", {"regex": True}, None),
        (b"ab", r"b\s", {"regex": True}, None),
        (b"ab", r"b\s*$", {"regex": True}, [[1, 2]]),
        (b"ab", r"(?i)AB", {"regex": True}, [[0, 2]]),
        (b"a1B", "[a-z]", {"regex": True, "ignore_case": True}, [[0, 1], [2, 3]]),
        ("é信".encode(), ".", {"regex": True}, [[0, 1], [1, 2]]),
        ("信息 x".encode(), r"\pL+", {"regex": True}, [[0, 2], [3, 4]]),
        (b"x\xffy", "x.y", {"regex": True}, [[0, 3]]),
        (b"xy xy", r"\by", {"regex": True}, None),
        (b"a.b", r"\Q.\E", {"regex": True}, [[1, 2]]),
        ("é".encode(), r"\C", {"regex": True}, [[0, 1]]),
        (b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", "(a+)+$", {"regex": True}, None),
    ],
)
async def test_spans(log_store: LogStore, line: bytes, text: str, limits: dict[str, bool], expected: object) -> None:
    """In code points of the text; all of them, left to right; the line is the whole subject."""
    if expected == "refused":
        with pytest.raises(BadPattern):
            await spans(log_store, line, text, **limits)
        return
    assert await spans(log_store, line, text, **limits) == expected


async def test_spans_over_the_whole_text_of_a_cut_line(log_store: LogStore) -> None:
    """What lies beyond 64 KiB is found, and told where."""
    stream_id = await write(log_store, b"x" * 100_000, "é needle".encode() + b"x" * 1_000_000, b"needle\nb")
    [match] = (await find(log_store, stream_id, "needle")).matches

    assert match["spans"] == [[100_002, 100_008], [1_100_008, 1_100_014]]
    assert match.get("cut") and match.get("size_bytes") == 1_100_015
    assert match["text"] == "x" * 65_536


async def test_spans_are_bounded(log_store: LogStore) -> None:
    """A letter that stands in a line a million times is marked ten thousand times; answers end early."""
    stream_id = await write(log_store, b"a" * 1_000_000 + b"\n", (b"a" * 10_000 + b"\n") * 59)
    for text, limits in (("a", {}), ("A", {"ignore_case": True})):
        found = await find(log_store, stream_id, text, **limits)
        assert found.total == 60 and 30 < len(found.matches) < 60
        assert found.next == len(found.matches)
        assert {len(match["spans"]) for match in found.matches} == {10_000}
        assert found.matches[0]["spans"][-1] == [9_999, 10_000]


async def test_empty_matches_are_no_spans_but_count(log_store: LogStore) -> None:
    """`x*` is in every line."""
    stream_id = await write(log_store, b"a\n\nxx\nb")
    result = await find(log_store, stream_id, "x*", regex=True)

    assert [(match["n"], match["spans"]) for match in result.matches] == [(1, []), (2, []), (3, [[0, 2]]), (4, [])]
    assert result.total == 4


@pytest.mark.parametrize("limits", [{}, {"ignore_case": True}, {"regex": True}, {"regex": True, "ignore_case": True}])
@pytest.mark.parametrize("text", ["a\nb", "\n", "b\n", "\nb", "a\r\nb"])
async def test_nothing_matches_across_a_line_feed(log_store: LogStore, text: str, limits: dict[str, bool]) -> None:
    """Not a literal, not a pattern that could, whatever it says."""
    stream_id = await write(log_store, b"a\nb\na\r\nb\n\n", b"\na\nb")
    assert await found_lines(log_store, stream_id, text, **limits) == []


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (r"a[^x]b", []),
        (r"a\nb", []),
        (r"a(?s:.)b", []),
        (r"a\sb", []),
        (r"a\Wb", []),
        (r"a\x0ab", []),
        (r"a[\s\S]*b", []),
        (r"(?s)a.*?b", []),
        (r"(?m)a$", [1, 4]),
        (r"a$", [1, 4]),
        (r"a\z", [1, 4]),
        (r"(?-m)^b", [2, 5, 7]),
        (r"^$", [3, 6]),
        (r"[^\n]", [1, 2, 4, 5, 7]),
        (r"\n", []),
        (r"\n|b", [2, 5, 7]),
        (r"\n*b", [2, 5, 7]),
        (r"(\n|^)b(\n|$)", [2, 5, 7]),
        (r"[^a]", [2, 5, 7]),
        (r"\D\D", []),
        (r"^[^a]*$", [2, 3, 5, 6, 7]),
        (r"\Ab\z", [2, 5, 7]),
        (r"\B", [3, 6]),
    ],
)
async def test_the_line_is_the_whole_subject(log_store: LogStore, pattern: str, expected: list[int]) -> None:
    """Classes, anchors and dots end where the line ends."""
    stream_id = await write(log_store, b"a\nb\n\na\r\n", b"b\n\r\nb")
    assert await found_lines(log_store, stream_id, pattern, regex=True) == expected


# Needles and chunk borders


@pytest.mark.parametrize("at", range(1, 17))
async def test_needle_over_a_chunk_border(log_store: LogStore, at: int) -> None:
    """Of any length, wherever the chunk was cut."""
    line = "a needle 信b".encode()
    data = b"-" * 50 + b"\n" + line + b"\n" + b"-" * 50 + b"\n"
    cut = 51 + min(at, len(line))
    stream_id = await write(log_store, data[: cut - 1], data[cut - 1 : cut], data[cut:])

    for needle in ("n", "ne", "nee", "need", "needle", "信", "e 信", "a needle 信b"):
        for regex in (False, True):
            assert await found_lines(log_store, stream_id, needle, regex=regex) == [2]
            assert await found_lines(log_store, stream_id, needle.upper(), regex=regex, ignore_case=True) == [2]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8])
async def test_needles_of_all_lengths_in_big_chunks(log_store: LogStore, size: int) -> None:
    """Whatever the filters skip, the count is exact; a needle may end a line or begin it."""
    times = in_chunks(log_store, 24_000)
    filler = b"0123456 step loss=0.25\n" * times  # packed: more than 512 KiB
    needle = b"Zq#7xW~K"[:size]
    data = filler + needle + b" start\n" + filler + b"end " + needle + b"\n" + needle + b"\n" + filler
    stream_id = await write(log_store, *[data[at : at + 300_000] for at in range(0, len(data), 300_000)])
    expected = [times + 1, 2 * times + 2, 2 * times + 3]

    assert await found_lines(log_store, stream_id, needle.decode()) == expected
    assert await found_lines(log_store, stream_id, needle.decode().swapcase(), ignore_case=True) == expected
    assert await found_lines(log_store, stream_id, needle.decode() + "$", regex=True) == expected[1:]
    assert (await find(log_store, stream_id, "loss", limit=0)).total == 3 * times


async def test_needle_in_the_last_line_joined_from_many_chunks(log_store: LogStore) -> None:
    """A line of several chunks is searched as one, also for what spans three of them."""
    data = b"start " + b"a" * 700_000 + b" middle " + b"b" * 700_000 + b" end"
    pieces = [data[at : at + 250_000] for at in range(0, len(data), 250_000)]
    stream_id = await write(log_store, b"x\n", *pieces)

    for text in ("start aa", " middle ", "a middle b", "b end"):
        assert await found_lines(log_store, stream_id, text) == [2]
    assert await found_lines(log_store, stream_id, "^start a+ middle b+ end$", regex=True) == [2]
    assert await found_lines(log_store, stream_id, "a" * 9000 + " middle") == [2]
    assert await found_lines(log_store, stream_id, "A" * 200 + " MIDDLE", ignore_case=True) == [2]


async def test_fold_to_letters_outside_ascii(log_store: LogStore) -> None:
    """ſ and K (Kelvin) fold to s and k: in the needle, in the line, at a border, in a packed chunk."""
    filler = b"0123456 step 0.25\n" * 30_000
    pieces = [
        filler,
        "mi\u017fsing to".encode()[:3],
        "mi\u017fsing to".encode()[3:] + "\u212aen\n".encode(),
        filler + b"MISSING TOKEN\n",
    ]
    stream_id = await write(log_store, *pieces, filler)
    for text in ("missing token", "MI\u017f\u017fING TO\u212aEN", "ssing"):
        assert await found_lines(log_store, stream_id, text, ignore_case=True) == [30_001, 60_002]
        assert await found_lines(log_store, stream_id, text, ignore_case=True, regex=True) == [30_001, 60_002]
    assert await found_lines(log_store, stream_id, "mi[s]+ing", ignore_case=True, regex=True) == [30_001, 60_002]
    assert await found_lines(log_store, stream_id, "(?i)missing", regex=True) == [30_001, 60_002]
    assert await found_lines(log_store, stream_id, "missing") == []


async def test_needle_in_invalid_bytes(log_store: LogStore) -> None:
    """U+FFFD stands for each invalid part, in packed chunks too; real U+FFFD is found alike."""
    filler = b"0123456 step 0.25\n" * 30_000
    stream_id = await write(log_store, filler, b"x\xff\xfey\n", "x\ufffdz\n".encode() + filler, b"w\xe4\xbf", b"\n")
    assert await found_lines(log_store, stream_id, "\ufffd") == [30_001, 30_002, 60_003]
    assert await found_lines(log_store, stream_id, "x\ufffd\ufffdy") == [30_001]
    assert await found_lines(log_store, stream_id, "X\ufffd\ufffdY", ignore_case=True) == [30_001]
    assert await found_lines(log_store, stream_id, "x\ufffdz") == [30_002]
    assert await found_lines(log_store, stream_id, "w\ufffd$", regex=True) == [60_003]
    assert await found_lines(log_store, stream_id, "[^ -~]", regex=True) == [30_001, 30_002, 60_003]


async def test_character_cut_by_the_end_is_whole_later(log_store: LogStore) -> None:
    """What was U+FFFD in the unfinished line is the character once its bytes are there."""
    stream_id = await write(log_store, b"a " + "信".encode()[:2])
    assert await found_lines(log_store, stream_id, "信") == []
    assert await found_lines(log_store, stream_id, "\ufffd") == [1]
    await write(log_store, "信".encode()[2:])
    assert await found_lines(log_store, stream_id, "信") == [1]
    assert await found_lines(log_store, stream_id, "\ufffd") == []


# Limits


@pytest.fixture
async def mixed(log_store: LogStore, clock: HandClock) -> str:
    """Twelve lines of all sorts, three of them at a time."""
    kinds = [b"x fine\n", MARKED.replace(b"started", b"x"), b"[ERROR] x\n", b"[WARNING] x\n"]
    pieces = [kinds[n % 4] for n in range(12)]
    stream_id = ""
    for at in range(0, 12, 3):
        stream_id = await write(log_store, b"".join(pieces[at : at + 3]))
        clock.move(10)
    return stream_id


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
        ({"lines": "user"}, [1, 3, 4, 5, 7, 8, 9, 11, 12]),
        ({"levels": frozenset({"error"})}, [3, 7, 11]),
        ({"levels": frozenset({"warning"})}, [4, 8, 12]),
        ({"levels": frozenset({"error", "warning"})}, [3, 4, 7, 8, 11, 12]),
        ({"since": NOON + 10}, [4, 5, 6, 7, 8, 9, 10, 11, 12]),
        ({"since": NOON + 10.5}, [7, 8, 9, 10, 11, 12]),
        ({"until": NOON + 10}, [1, 2, 3]),
        ({"until": NOON + 10.5}, [1, 2, 3, 4, 5, 6]),
        ({"until": NOON}, []),
        ({"since": NOON + 31}, []),
        ({"since": NOON + 10, "until": NOON + 30}, [4, 5, 6, 7, 8, 9]),
        ({"since": NOON + 10, "until": NOON + 30, "levels": frozenset({"error"}), "lines": "user"}, [7]),
    ],
)
async def test_limits_apply_to_totals(
    log_store: LogStore, mixed: str, limits: dict[str, object], expected: list[int]
) -> None:
    """Lines, levels and times; page by page the total stays."""
    for text, regex in (("x", False), ("X", False), ("x|y", True)):
        ignore_case = text == "X"
        assert await found_lines(log_store, mixed, text, regex=regex, ignore_case=ignore_case, **limits) == expected
        counted = await find(log_store, mixed, text, regex=regex, ignore_case=ignore_case, limit=0, **limits)
        assert (counted.total, counted.matches) == (len(expected), [])
        later = await find(log_store, mixed, text, regex=regex, ignore_case=ignore_case, after=6, **limits)
        assert (later.total, [match["n"] for match in later.matches]) == (len(expected), [n for n in expected if n > 6])


async def test_matches_tell_of_their_line(log_store: LogStore, mixed: str) -> None:
    """Number, user number, text, level."""
    first: list[Match] = (await find(log_store, mixed, "x", limit=3)).matches
    assert first == [
        {"n": 1, "u": 1, "text": "x fine", "spans": [[0, 1]], "level": None},
        {"n": 2, "u": None, "text": first[1]["text"], "spans": first[1]["spans"], "level": None},
        {"n": 3, "u": 2, "text": "[ERROR] x", "spans": [[8, 9]], "level": "error"},
    ]


@pytest.mark.parametrize("count", [True, False])
@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6, 7])
async def test_next_and_previous(log_store: LogStore, mixed: str, limit: int, count: bool) -> None:
    """`next` leads through all matches in order, or backwards, each once; null at the end."""
    expected = [3, 4, 7, 8, 11, 12]
    for direction in ("after", "before"):
        seen: list[int] = []
        place: int | None = 0 if direction == "after" else 10**9
        while place is not None:
            page: Matches = await find(
                log_store, mixed, r"\] x$", regex=True, limit=limit, count=count, **{direction: place}
            )
            assert page.total == (6 if count else None)
            given = [match["n"] for match in page.matches]
            seen += given
            assert page.next == (given[-1] if len(seen) < 6 else None)
            place = page.next
        assert seen == (expected if direction == "after" else expected[::-1])


@pytest.mark.parametrize("place", [0, 1, 2, 3, 4, 7, 8, 11, 12, 13, 99])
async def test_from_any_line(log_store: LogStore, mixed: str, place: int) -> None:
    """Next and previous match from where a reader stands, not counting that line itself."""
    expected = [3, 7, 11]
    after = await find(log_store, mixed, "[ERROR]", after=place, limit=1)
    before = await find(log_store, mixed, "[ERROR]", before=place, limit=1)
    assert [match["n"] for match in after.matches] == [n for n in expected if n > place][:1]
    assert [match["n"] for match in before.matches] == [n for n in reversed(expected) if n < place][:1]


async def test_next_match_far_away_in_a_big_stream(log_store: LogStore) -> None:
    """Over packed chunks, forwards and backwards."""
    filler = b"0123456 step loss=0.25\n" * 10_000
    data = b"".join(filler + b"needle %d\n" % n for n in range(8))
    stream_id = await write(log_store, *[data[at : at + 400_000] for at in range(0, len(data), 400_000)])
    places = [10_001 * n for n in range(1, 9)]

    assert await found_lines(log_store, stream_id, "needle") == places
    for here, there in pairwise(places):
        assert [match["n"] for match in (await find(log_store, stream_id, "needle", after=here, limit=1)).matches] == [
            there
        ]
        assert [
            match["n"] for match in (await find(log_store, stream_id, "needle", before=there, limit=1)).matches
        ] == [here]
    last = await find(log_store, stream_id, "loss", before=40_000, limit=1000, count=False)
    assert [match["n"] for match in last.matches][:2] == [39_999, 39_998]
    assert (len(last.matches), last.next, last.total) == (1000, last.matches[-1]["n"], None)


async def test_partial_last_line_is_searched(log_store: LogStore) -> None:
    """Counted and found as any other."""
    stream_id = await write(log_store, b"x\n", b"y nee", b"dle")
    [match] = (await find(log_store, stream_id, "needle")).matches
    assert match == {"n": 2, "u": 2, "text": "y needle", "spans": [[2, 8]], "level": None, "partial": True}


# What is refused


@pytest.mark.parametrize(
    "text", ["(", "a{2000}", "[z-a]", "(?=a)", "a**", "\\", "(?P<n", "(" * 5000, r"\pL{1000}", r"\8", "x{1000}{1000}"]
)
async def test_pattern_that_re2_refuses(log_store: LogStore, text: str) -> None:
    """BadPattern with RE2's reason in a sentence, for one stream and for many."""
    stream_id = await write(log_store, b"x\n")
    with pytest.raises(BadPattern) as refused:
        await find(log_store, stream_id, text, regex=True)
    assert 10 < len(refused.value.message) < 400
    assert "\n" not in refused.value.message
    with pytest.raises(BadPattern):
        await log_store.search([], SearchQuery(text, regex=True))
    assert await found_lines(log_store, stream_id, text) == []


@pytest.mark.parametrize(("limits", "size"), [({}, 10_000), ({"regex": True}, 2_000), ({"ignore_case": True}, 2_000)])
async def test_needles_may_be_long(log_store: LogStore, limits: dict[str, bool], size: int) -> None:
    """Up to a limit; what is longer, or is no Unicode, is refused in a sentence."""
    stream_id = await write(log_store, b"a" * 10_000 + b"\n" + b"a" * (size - 1))
    assert await found_lines(log_store, stream_id, "a" * size, **limits) == [1]
    for text in ("a" * (size + 1), "\ud800", ""):
        with pytest.raises(BadPattern) as refused:
            await find(log_store, stream_id, text, **limits)
        assert len(refused.value.message) < 200


async def test_pattern_that_backtracks_elsewhere(log_store: LogStore) -> None:
    """RE2 is linear: `(a+)+$` on a long line answers at once."""
    stream_id = await write(log_store, b"a" * 300_000 + b"!\n", b"aaa\n")
    assert await found_lines(log_store, stream_id, "(a+)+$", regex=True) == [2]


# Many streams


def page_of(page: SearchPage) -> list[tuple[str, int]]:
    """(stream, line) of each match, in order."""
    return [(one.stream_id, match["n"]) for one in page.streams for match in one.matches]


@pytest.fixture
async def many(log_store: LogStore) -> list[str]:
    """Five streams: three that match, one of them packed, one only in its unfinished line."""
    filler = b"0123456 step loss=0.25\n" * 24_000
    contents = [
        b"x needle\ny\nneedle\n",
        b"nothing\n",
        filler + b"needle\n" + filler + b"needle\n",
        b"a\nneed",
        b"b\nneedle",
    ]
    return [await write(log_store, data, stream=a_stream(task=f"worker-{n}")) for n, data in enumerate(contents)]


@pytest.mark.parametrize("count", [True, False])
@pytest.mark.parametrize("limit", [1, 2, 5, 1000])
async def test_search_over_many_streams_page_by_page(
    log_store: LogStore, many: list[str], limit: int, count: bool
) -> None:
    """In the order given, each by line; the cursor leads on; totals are whole on every page."""
    order = many[::-1]
    expected = [(many[4], 2), (many[2], 24_001), (many[2], 48_002), (many[0], 1), (many[0], 3)]
    totals = {many[4]: 1, many[2]: 2, many[0]: 2}
    seen: list[tuple[str, int]] = []
    after = None
    while True:
        page = await log_store.search(order, SearchQuery("needle", limit=limit, count=count), after)
        given = page_of(page)
        assert page.exact and len(given) <= limit
        if count:
            assert {one.stream_id: one.total for one in page.streams} == totals
        else:
            assert [(one.total, bool(one.matches)) for one in page.streams] == [(None, True)] * len(page.streams)
        order_given = [one.stream_id for one in page.streams]
        assert order_given == sorted(order_given, key=order.index)
        seen += given
        if page.next is None:
            break
        assert page.next == given[-1]
        after = page.next
    assert seen == expected


async def test_search_counts_only(log_store: LogStore, many: list[str]) -> None:
    """A limit of 0 counts, in every stream."""
    page = await log_store.search(many, SearchQuery("needle", limit=0))
    assert {one.stream_id: (one.total, one.matches) for one in page.streams} == {
        many[0]: (2, []),
        many[2]: (2, []),
        many[4]: (1, []),
    }


async def test_search_passes_over_what_is_not_there(log_store: LogStore, many: list[str]) -> None:
    """Streams that do not exist are no error; nothing found is no stream."""
    page = await log_store.search(["nobody", many[0], "", "-1"], SearchQuery("y"))
    assert page_of(page) == [(many[0], 2)]
    empty = await log_store.search([], SearchQuery("y"))
    assert (empty.streams, empty.next, empty.exact) == ([], None, True)
    absent = await log_store.search(many, SearchQuery("zq_never_written_51"))
    assert (absent.streams, absent.next, absent.exact) == ([], None, True)


async def test_search_over_many_with_limits(log_store: LogStore, clock: HandClock) -> None:
    """Lines, levels and times apply to each stream."""
    first = await write(log_store, b"[ERROR] x\nx\n" + MARKED)
    clock.move(60)
    second = await write(log_store, b"x\n[ERROR] x\n" + MARKED, stream=a_stream(task="worker-1"))

    async def found(text: str, **limits: object) -> list[tuple[str, int]]:
        return page_of(await log_store.search([first, second], SearchQuery(text, **limits)))  # type: ignore[arg-type]

    assert await found("x", levels=frozenset({"error"})) == [(first, 1), (second, 2)]
    assert await found("x", since=NOON + 60) == [(second, 1), (second, 2)]
    assert await found("x", until=NOON + 60) == [(first, 1), (first, 2)]
    assert await found("started") == [(first, 3), (second, 3)]
    assert await found("started", lines="user") == []
    assert await found("STARTED", ignore_case=True) == [(first, 3), (second, 3)]
    assert await found("^x$", regex=True) == [(first, 2), (second, 1)]


async def test_search_over_hundreds_of_streams(log_store: LogStore) -> None:
    """More chunks than a filter group holds: the needle is found in each stream that has it."""
    names = [a_stream(task=f"worker-{n}") for n in range(200)]
    await log_store.append(
        [a_chunk(b"line %d needle%d#\n" % (n, n % 7), stream=name, final=True) for n, name in enumerate(names)]
    )
    ids = await log_store.stream_ids(None)
    assert len(ids) == 200

    for n in range(7):
        page = await log_store.search(ids, SearchQuery(f"needle{n}#", limit=1000))
        assert sum(one.total or 0 for one in page.streams) == len(range(n, 200, 7))
    assert page_of(await log_store.search(ids, SearchQuery("needle7#"))) == []
    assert len(page_of(await log_store.search(ids, SearchQuery("NEEDLE3", ignore_case=True, limit=1000)))) == len(
        range(3, 200, 7)
    )
