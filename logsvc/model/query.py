"""What is asked of a log store, and what it answers.

`Line` and `Match` are dictionaries with the public names of `docs/http-api.md`: a window of
5,000 lines goes from the store to the wire without being copied into other objects.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Optional, TypedDict

Lines = Literal["all", "user"]
LEVELS = ("error", "warning")

MAX_LINE_TEXT_BYTES = 64 * 1024  # of UTF-8, a line in JSON
MAX_ANSWER_TEXT_BYTES = 8 * 1024 * 1024  # of UTF-8, an answer


class _LineRequired(TypedDict):
    n: int  # line number, from 1
    u: Optional[int]  # number among the user lines, from 1; None for a system line
    offset: int  # byte offset of the line's start
    text: str
    system: bool
    level: Optional[str]  # "error", "warning" or None
    received_at: str  # RFC 3339, UTC, milliseconds: when the line's last byte was received


class Line(_LineRequired, total=False):
    """One line of a window."""

    partial: bool  # the last line has no \n yet; present only if True
    cut: bool  # the text was cut at MAX_LINE_TEXT_BYTES; present only if True
    size_bytes: int  # of the whole line without its \n, with `cut`


class _MatchRequired(TypedDict):
    n: int
    u: Optional[int]
    text: str
    spans: list[list[int]]  # [start, end) in code points of the whole text, not overlapping
    level: Optional[str]


class Match(_MatchRequired, total=False):
    """One matching line."""

    partial: bool
    cut: bool
    size_bytes: int


@dataclass(frozen=True)
class WindowQuery:
    """
    A run of lines.

    Attributes:
        start: line number from 1, or -L for the last L lines of those asked for.
        user_start: start at this user line instead (number from 1).
        received_from: start at the first line received at or after this time instead
            (Unix seconds).
        limit: lines given at most, 1-5,000.
        lines: all, or user lines only.
    """

    start: int = 1
    user_start: Optional[int] = None
    received_from: Optional[float] = None
    limit: int = 500
    lines: Lines = "all"


@dataclass(frozen=True)
class Window:
    """
    Lines in order.

    Attributes:
        total_lines: lines of the stream, the partial one included.
        total_user_lines: user lines of it, likewise.
        lines: those asked for; fewer at the end, or past 8 MiB of text.
        through: number of the last line looked at, hidden ones too (0: none). A reader goes on
            at `through` + 1.
    """

    total_lines: int
    total_user_lines: int
    lines: list[Line]
    through: int


@dataclass(frozen=True)
class SearchQuery:
    """
    A needle and its limits.

    Attributes:
        text: what to find; never trimmed, not empty.
        regex: `text` is RE2 syntax; else it is taken literally.
        ignore_case: RE2's simple Unicode folding.
        word: what is found stands alone: no character beside it is one of 0-9 A-Z a-z _.
        lines: all, or user lines only.
        levels: only lines of these levels ("error", "warning"); empty: any.
        since: only lines received at or after this time (Unix seconds).
        until: only lines received before this time (Unix seconds).
        after: only matches on lines with a greater number, in order.
        before: only matches on lines with a smaller number, nearest first.
        limit: matches given at most, 0-1,000.
        count: whether `total` is wanted.
        time_limit_seconds: past it the answer is what was found, `exact` False.
    """

    text: str
    regex: bool = False
    ignore_case: bool = False
    word: bool = False
    lines: Lines = "all"
    levels: frozenset[str] = field(default_factory=frozenset)
    since: Optional[float] = None
    until: Optional[float] = None
    after: Optional[int] = None
    before: Optional[int] = None
    limit: int = 100
    count: bool = True
    time_limit_seconds: float = 30.0


@dataclass(frozen=True)
class Matches:
    """
    Matches in one stream.

    Attributes:
        total: matching lines of the whole stream, wherever the page stands; None if not asked.
        exact: False where the time limit ended the search early.
        scanned_bytes: of log text looked at; what the filters skipped does not count.
        matches: the page.
        next: number of the last line given, for the next `after` or `before`; None: no more.
        preceding: matching lines before the lowest one of the page; None where the page is empty, or
            not all were counted.
    """

    total: Optional[int]
    exact: bool
    scanned_bytes: int
    matches: list[Match]
    next: Optional[int]
    preceding: Optional[int]


@dataclass(frozen=True)
class Overview:
    """
    A whole stream in a few numbers: its rows (lines, or user lines) in buckets of about equal size.

    Bucket i of n has the rows from floor(i * rows / n) to floor((i + 1) * rows / n) - 1, counted from 0.

    Attributes:
        rows: of the stream, the partial one included.
        errors, warnings: lines of this level in each bucket.
        matches: matching lines in each bucket; None where nothing was searched for.
        exact: False where the time limit ended the search early.
    """

    rows: int
    errors: list[int]
    warnings: list[int]
    matches: Optional[list[int]]
    exact: bool


@dataclass(frozen=True)
class StreamMatches:
    """Matches of one stream within a search over many."""

    stream_id: str
    total: Optional[int]
    matches: list[Match]


@dataclass(frozen=True)
class SearchPage:
    """
    A page of a search over many streams, in the order the streams were given.

    Attributes:
        streams: where counts were asked, all streams that match (with `matches` empty for those
            that are not on this page); else those with matches on this page.
        exact: False where the time limit ended the search early.
        scanned_bytes: of log text looked at.
        next: (stream id, line number) of the last match given; None: no more.
    """

    streams: list[StreamMatches]
    exact: bool
    scanned_bytes: int
    next: Optional[tuple[str, int]]


@dataclass(frozen=True)
class JobTotals:
    """
    What a store holds of one job.

    Attributes:
        log_bytes: sum of its streams' sizes.
        last_chunk_at: Unix seconds of the last committed chunk.
        tasks: names of its tasks, in natural order (worker-2 before worker-10).
    """

    log_bytes: int
    last_chunk_at: Optional[float]
    tasks: list[str]


@dataclass(frozen=True)
class Record:
    """One JSON document by kind and id; `version` grows by one with each change, from 1."""

    kind: str
    id: str
    value: dict[str, Any]
    version: int
