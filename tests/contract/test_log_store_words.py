"""LogStore, searching whole words: against Python's own lookarounds."""

from __future__ import annotations

import random
import re
from itertools import pairwise

import pytest

from builders import a_stream, find, found_lines, in_chunks, write
from logsvc.ports import LogStore

LETTERS = "aB_1 -.k\u212asſ信]"
PATTERNS = ["a+", "[ak]*", "a|ab|k", "^a", "k$", r"\Aa", r"\w+", r"\W", "a.k", r"\Qk.", r"\Q-\E.", "(a)(k)?", "(?i)B+"]


def spans_of(pattern: str, line: str, *, ignore_case: bool) -> list[list[int]] | None:
    """Where Python finds a whole word; None where the line has none."""
    pattern = {r"\Qk.": r"k\.", r"\Q-\E.": "-."}.get(pattern, pattern)
    flags = re.ASCII if pattern.startswith("\\") else 0  # as RE2's classes
    pattern, folded = (pattern[4:], True) if pattern.startswith("(?i)") else (pattern, ignore_case)
    whole = rf"(?<![0-9A-Za-z_])(?{'i' if folded else ''}:{pattern})(?![0-9A-Za-z_])"
    found = [match.span() for match in re.finditer(whole, line, flags)]
    return [[start, end] for start, end in found if start < end] if found else None


async def check(store: LogStore, stream_id: str, lines: list[str], text: str, **limits: bool) -> None:
    """All matching lines, each with its spans."""
    pattern = text if limits.get("regex") else re.escape(text)
    expected = {
        n: spans_of(pattern, line, ignore_case=limits.get("ignore_case", False)) for n, line in enumerate(lines, 1)
    }
    result = await find(store, stream_id, text, word=True, limit=1000, **limits)
    given = {match["n"]: match["spans"] for match in result.matches}
    assert given == {n: spans for n, spans in expected.items() if spans is not None}, (text, limits)
    assert result.total == len(given)


async def test_whole_words(log_store: LogStore) -> None:
    """Literal, in any case, RE2; over chunk borders, which cut lines anywhere, and in the unfinished line."""
    chance = random.Random(5)
    lines = ["".join(chance.choices(LETTERS, k=chance.randrange(12))) for _ in range(300)] + ["]]", "a a", "--a--", "k"]
    data = "\n".join(lines).encode()
    cuts = [0, *sorted(chance.sample(range(1, len(data)), 5)), len(data)]
    stream_id = await write(log_store, *[data[start:end] for start, end in pairwise(cuts)])
    for text in ["a", "k", "s", "]", "-", "--", "信", "a_1", "\u212a", " ", "aB"]:
        await check(log_store, stream_id, lines, text)
        await check(log_store, stream_id, lines, text, ignore_case=True)
    for pattern in PATTERNS:
        await check(log_store, stream_id, lines, pattern, regex=True)


@pytest.mark.parametrize("text", ["ls", "loss", "e-5", "信息"])
async def test_whole_words_in_big_chunks(log_store: LogStore, text: str) -> None:
    """In chunks where nearly every line holds the text, and in those where one line does, with and without `\\r`."""
    times = in_chunks(log_store, 20_000)
    pieces = [
        f"step loss {text}\r\n{text}\nx{text} {text}x\n".encode() * times,
        f"0123456 step l0ss=0.25 {text}_\n".encode() * times,
        b"0123456 step l0ss=0.25\n" * times + f"({text})\n".encode(),
        b"0123456 step l0ss=0.25\n" * times,
    ]
    stream_id = await write(log_store, *pieces, stream=a_stream())
    for limits in ({}, {"ignore_case": True}, {"regex": True}):
        found = await find(log_store, stream_id, text, word=True, limit=0, **limits)
        assert (found.total, found.exact) == (2 * times + 1, True)
        last = await find(log_store, stream_id, text, word=True, after=3 * times, **limits)
        assert [match["spans"] for match in last.matches] == [[[1, 1 + len(text)]]]


async def test_nothing_across_lines_is_beside_a_word(log_store: LogStore) -> None:
    """The line is the whole subject, also where several are looked at together."""
    stream_id = await write(log_store, b"a\nx\nax\nx\n", b"xa\n", b"a")
    for limits in ({}, {"ignore_case": True}, {"regex": True}):
        assert await found_lines(log_store, stream_id, "a", word=True, **limits) == [1, 6]
    assert await found_lines(log_store, stream_id, "a\nx", word=True) == []
