"""Masking: lines with their secrets replaced, as a view; what is stored stays as it is.

A line's masked text depends on its stream and its number alone, whatever window it is read in: where
keys over several lines lie is asked of the store, which finds their marks by its filters.
A mask is the same for every secret, so that it tells neither its text nor its length.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TypeVar, cast

from logsvc.core.secret_kinds import KEY_MARK, UNFINISHED, compiled
from logsvc.core.secret_values import MASK, MASK_BYTES
from logsvc.core.secrets import MAX_KEY_LINES, KeyMarks, key_marks, secrets_in
from logsvc.errors import StoreUnavailable
from logsvc.model.query import Line, Match, SearchQuery
from logsvc.ports import LogStore

MARKS_A_PAGE = 1000
_CONTINUATION_BYTES = bytes(range(0x80, 0xC0))
_AT_END = compiled(UNFINISHED)
_Row = TypeVar("_Row", Line, Match)
Spans = Sequence[Sequence[int]]


def mask_text(
    text: str, spans: Spans = (), *, in_key: bool = False, goes_on: bool = False
) -> tuple[str, list[list[int]]]:
    """
    A line's text with masks, and those of the spans that lie outside of them, moved to where they are now.

    Args:
        in_key: the line begins inside of a private key.
        goes_on: the line has no end yet, or was cut; what may be the beginning of a secret there is masked too.
    """
    kept = [list(span) for span in spans]
    if in_key:
        encoded = text.encode()
        ends_at = key_marks(encoded).ends_at
        text, kept = _replaced(text, encoded, [(0, ends_at if ends_at >= 0 else len(encoded))], kept)
    while True:
        # What a mask stands beside may have become another secret. Each turn masks at least one
        # character that is none of a mask: there is an end.
        encoded = text.encode()
        found = [(one.start, one.end) for one in secrets_in(encoded) if not _is_masked(encoded[one.start : one.end])]
        if goes_on and (start := _unfinished_at(encoded)) >= 0:
            start = min([start, *(begin for begin, end in found if end > start)])
            found = [*(span for span in found if span[1] <= start), (start, len(encoded))]
        if not found:
            return text, kept
        text, kept = _replaced(text, encoded, found, kept)


async def masked_lines(store: LogStore, stream_id: str, lines: Sequence[Line]) -> list[Line]:
    """
    Lines of one stream, as the store gave them, with masks.

    Raises: NotFound, StoreUnavailable.
    """
    return [row for row, _ in await _masked(store, stream_id, lines)]


async def masked_matches(store: LogStore, stream_id: str, matches: Sequence[Match]) -> list[Match]:
    """
    Matches in one stream with masks, without those that lie in masked text only.

    A match inside of a secret would answer guesses at it, a character at a time; for the same reason
    a count of matches must not leave the service beside masked lines.

    Raises: NotFound, StoreUnavailable.
    """
    return [row for row, before in await _masked(store, stream_id, matches) if row["spans"] or not before["spans"]]


async def _masked(store: LogStore, stream_id: str, rows: Sequence[_Row]) -> list[tuple[_Row, _Row]]:
    if not rows:
        return []
    numbers = sorted(row["n"] for row in rows)
    marks = await _marks(store, stream_id, max(numbers[0] - MAX_KEY_LINES - 1, 0), numbers[-1])
    in_key = _in_keys(numbers, marks)
    return await asyncio.to_thread(lambda: [(_masked_row(row, row["n"] in in_key), row) for row in rows])


def _masked_row(row: _Row, in_key: bool) -> _Row:
    goes_on = bool(row.get("partial") or row.get("cut"))
    text, kept = mask_text(row["text"], cast(Spans, row.get("spans", ())), in_key=in_key, goes_on=goes_on)
    return cast(_Row, {**row, "text": text, **({"spans": kept} if "spans" in row else {})})


async def _marks(store: LogStore, stream_id: str, after: int, last: int) -> list[tuple[int, KeyMarks]]:
    """Lines from `after` + 1 to `last` that open or close a key."""
    marks: list[tuple[int, KeyMarks]] = []
    while True:
        query = SearchQuery(KEY_MARK, regex=True, after=after, limit=MARKS_A_PAGE, count=False)
        page = await store.matches(stream_id, query)
        if not page.exact:
            raise StoreUnavailable("The log is too busy to be masked just now.", retry_after_seconds=5)
        for match in page.matches:
            # Of a line that was cut the end is unknown: better too much is masked.
            said = KeyMarks(opens=True) if match.get("cut") else key_marks(match["text"].encode())
            marks.append((match["n"], said))
        if page.next is None or page.next >= last:
            return [mark for mark in marks if mark[0] <= last]
        after = page.next


def _in_keys(numbers: Sequence[int], marks: Sequence[tuple[int, KeyMarks]]) -> set[int]:
    """Those of the lines (ascending) that begin inside of a key."""
    inside: set[int] = set()
    opened, at = -MAX_KEY_LINES - 1, 0
    for n in numbers:
        while at < len(marks) and marks[at][0] < n:
            number, said = marks[at]
            opened = number if said.opens else -MAX_KEY_LINES - 1 if said.closes else opened
            at += 1
        if n - opened <= MAX_KEY_LINES:
            inside.add(n)
    return inside


def _unfinished_at(encoded: bytes) -> int:
    """Where begins what may become a secret when the line goes on; -1: nothing does."""
    found = _AT_END.search(encoded)
    if not found:
        return -1
    start = max(found.start(group) for group in range(1, found.re.groups + 1))  # -1 where one took no part
    return -1 if _is_masked(encoded[start:]) else start


def _is_masked(secret: bytes) -> bool:
    """Nothing but masks."""
    return not secret.replace(MASK_BYTES, b"")


def _replaced(
    text: str, encoded: bytes, found: list[tuple[int, int]], spans: list[list[int]]
) -> tuple[str, list[list[int]]]:
    """Masks in place of the byte spans `found` (ascending, apart); spans of code points follow."""
    if text.isascii():
        hidden = found
    else:
        hidden = _in_points(encoded, found)
    pieces: list[str] = []
    moved: list[list[int]] = []
    shift, done, rest = 0, 0, iter([*hidden, (len(text) + 1, len(text) + 1)])
    for start, end in hidden:
        pieces += (text[done:start], MASK)
        done = end
    pieces.append(text[done:])
    begin, end = next(rest)
    for span in sorted(spans):
        while end <= span[0]:
            shift += len(MASK) - (end - begin)
            begin, end = next(rest)
        if span[1] <= begin:
            moved.append([span[0] + shift, span[1] + shift])
    return "".join(pieces), moved


def _in_points(encoded: bytes, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans of bytes (ascending, apart) as spans of code points."""
    result, done, points = [], 0, 0
    for start, end in spans:
        points += _begun(encoded[done:start])
        first = points
        points += _begun(encoded[start:end])
        done = end
        result.append((first, points))
    return result


def _begun(encoded: bytes) -> int:
    """How many code points begin in a piece of UTF-8."""
    return len(encoded.translate(None, _CONTINUATION_BYTES))
