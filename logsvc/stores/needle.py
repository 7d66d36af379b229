"""Needles: what a search looks for in the text of a line, for every store alike.

A line is the whole subject: `^` and `$` are its ends, and nothing ever matches across a line feed.
RE2 answers in time linear in the text, whatever the pattern.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import re2

from logsvc.errors import BadPattern
from logsvc.model.query import Match, SearchQuery

MAX_LITERAL_CHARACTERS = 10_000  # beyond it nobody wrote the needle by hand
MAX_PATTERN_CHARACTERS = 2_000  # where RE2 decides: its time is at worst text times pattern
MAX_SPANS = 10_000  # a line; a reader marks what is shown of it, and `a` is in a line of 100 MB 10^8 times
SPAN_BYTES = 16  # of an answer, about
RE2_MEMORY_BYTES = 8 << 20  # program and automaton of one needle; a pattern that needs more is refused
_CONTINUATION_BYTES = bytes(range(0x80, 0xC0))
_NO_WORD = b"(?-i:[^0-9A-Za-z_])"


class Needle:
    """A compiled search text. Safe to use from several threads at once."""

    def __init__(self, query: SearchQuery, literal: bytes | None, regexp: Any, next_word: Any = None) -> None:
        self.query = query
        self.literal = literal  # what to find byte for byte; None where `regexp` decides
        self.regexp = regexp  # compiled RE2 over UTF-8 bytes; None where `literal` decides
        self._next_word = next_word  # of a whole word: the same for one that does not begin the line
        self._never = not query.regex and "\n" in query.text

    @classmethod
    def compile(cls, query: SearchQuery) -> Needle:
        """
        Make a search text ready to use.

        Raises:
            BadPattern: it is empty, too long, not Unicode, or RE2 refuses it; the message gives
                RE2's own reason.
        """
        text = query.text
        if not text:
            raise BadPattern("the search text is empty; nothing would be found")
        literal = not query.regex and not query.ignore_case and not query.word
        limit = MAX_LITERAL_CHARACTERS if literal else MAX_PATTERN_CHARACTERS
        if len(text) > limit:
            kind = "text" if literal else "pattern"
            raise BadPattern(f"the search {kind} has {len(text)} characters; at most {limit} are taken")
        try:
            encoded = text.encode()
        except UnicodeEncodeError as exc:
            raise BadPattern(f"the search text holds half of a surrogate pair at character {exc.start + 1}") from exc
        if literal:
            return cls(query, encoded, None)
        regexp = compile_re2(encoded, literal=not query.regex, ignore_case=query.ignore_case)
        if not query.word:
            return cls(query, None, regexp)
        words = (
            compile_re2(word_pattern(query, start), literal=False, ignore_case=query.ignore_case)
            for start in (b"^|", b"")
        )
        return cls(query, None, *words)

    def in_text(self, text: str) -> bool:
        """Whether a line of this text matches."""
        if self._never:
            return False
        if self.literal is not None:
            return self.query.text in text
        return self.regexp.search(text.encode()) is not None

    def spans(self, text: str) -> list[list[int]] | None:
        """
        Where a line of this text matches.

        Returns:
            [start, end) in code points, from left to right, not overlapping; None where the line
            does not match. Empty matches have no span: a line that matches only emptily gives [].
            At most MAX_SPANS.
        """
        if not self.in_text(text):
            return None
        encoded = text.encode()
        found = self._literal_spans(encoded) if self.literal is not None else self._regexp_spans(encoded)
        return found if text.isascii() else _in_code_points(encoded, found)

    def _literal_spans(self, encoded: bytes) -> list[list[int]]:
        needle = self.literal or b""
        spans: list[list[int]] = []
        start = encoded.find(needle)
        while start >= 0 and len(spans) < MAX_SPANS:
            spans.append([start, start + len(needle)])
            start = encoded.find(needle, start + len(needle))
        return spans

    def _regexp_spans(self, encoded: bytes) -> list[list[int]]:
        plain = self._next_word is None
        found = (match.span() for match in self.regexp.finditer(encoded)) if plain else self._words(encoded)
        return [[start, end] for start, end in islice((span for span in found if span[0] < span[1]), MAX_SPANS)]

    def _words(self, encoded: bytes) -> Iterator[tuple[int, int]]:
        """Spans of whole words; the last character of one may be what stands before the next."""
        match = self.regexp.search(encoded)
        while match is not None:
            start, end = match.span(1)
            yield start, end
            if start < end:
                end -= 1
                while _is_continuation(encoded[end]):
                    end -= 1
            match = self._next_word.search(encoded, end)


def match_bytes(match: Match) -> int:
    """How much of an answer's bound a match takes: its text in UTF-8, and its spans."""
    return len(match["text"].encode()) + SPAN_BYTES * len(match["spans"])


def word_pattern(query: SearchQuery, start: bytes = b"^|") -> bytes:
    """A query's text in RE2 syntax, as a whole word that is the pattern's first group; `start` may stand before it."""
    text = query.text if query.regex else re2.escape(query.text)
    if query.regex and _ends_quoted(text):
        text += r"\E"
    return b"(?:" + start + _NO_WORD + b")(" + text.encode() + b")(?:$|" + _NO_WORD + b")"


def compile_re2(encoded: bytes, *, literal: bool, ignore_case: bool) -> Any:
    """RE2 over UTF-8 bytes that never matches a line feed; raises BadPattern with RE2's reason."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = RE2_MEMORY_BYTES
    options.never_nl = True
    options.literal = literal
    options.case_sensitive = not ignore_case
    try:
        return re2.compile(encoded, options)
    except re2.error as exc:
        reason = exc.args[0].decode(errors="replace") if exc.args and isinstance(exc.args[0], bytes) else str(exc)
        shown = reason if len(reason) <= 200 else f"{reason[:200]}…"
        raise BadPattern(f"the pattern is not understood: {shown}", reason=shown) from exc
    finally:
        re2.purge()  # the module would keep 128 automata of RE2_MEMORY_BYTES each


def _ends_quoted(pattern: str) -> bool:
    r"""Whether a pattern ends inside of `\Q`, which needs no `\E` there."""
    at = pattern.find("\\")
    while 0 <= at < len(pattern) - 1:
        if pattern[at + 1] == "Q":
            end = pattern.find("\\E", at + 2)
            if end < 0:
                return True
            at = end
        at = pattern.find("\\", at + 2)
    return False


def _in_code_points(encoded: bytes, spans: list[list[int]]) -> list[list[int]]:
    """Spans in bytes as spans in code points; one inside a code point (RE2's `\\C`) covers it whole."""
    result: list[list[int]] = []
    offset = points = 0  # code points that begin before `offset`
    for start, end in spans:
        points += _begun(encoded[offset:start])
        first = points - 1 if _is_continuation(encoded[start]) else points
        points += _begun(encoded[start:end])
        offset = end
        if result:
            first = max(first, result[-1][1])
        if points > first:
            result.append([first, points])
    return result


def _begun(encoded: bytes) -> int:
    """How many code points begin in a piece of UTF-8."""
    return len(encoded.translate(None, _CONTINUATION_BYTES))


def _is_continuation(byte: int) -> bool:
    return byte & 0xC0 == 0x80
