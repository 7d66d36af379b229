"""Needles: spans in code points, whatever the text; compared with Python's own searching."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logsvc.errors import BadPattern
from logsvc.model.query import SearchQuery
from logsvc.stores.needle import MAX_SPANS, Needle, match_bytes

texts = st.text(alphabet="ab信\U0001f600é\ufffd\r\0 \u017fsSkK\u212a", max_size=30)


def needle(text: str, **how: bool) -> Needle:
    return Needle.compile(SearchQuery(text, **how))  # type: ignore[arg-type]


@given(text=texts, wanted=texts.filter(bool))
def test_literal_as_python_finds_it(text: str, wanted: str) -> None:
    """Non-overlapping, left to right, in code points."""
    expected = [list(found.span()) for found in re.finditer(re.escape(wanted), text)]
    assert needle(wanted).spans(text) == (expected or None)
    assert needle(wanted).in_text(text) == bool(expected)
    assert needle(re.escape(wanted), regex=True).spans(text) == (expected or None)


@given(text=texts, wanted=texts.filter(bool))
def test_ignoring_case_finds_at_least_the_same(text: str, wanted: str) -> None:
    """Spans cover as many characters as the needle has, for simple folding is one to one."""
    spans = needle(wanted, ignore_case=True).spans(text)
    assert (spans is None) or all(end - start == len(wanted) for start, end in spans)
    if wanted in text:
        assert spans


@pytest.mark.parametrize(
    ("pattern", "text", "spans"),
    [
        ("a|", "ba", [[1, 2]]),
        ("x*", "", []),
        (r"\C", "信a", [[0, 1], [1, 2]]),
        (r"\C\C", "信a", [[0, 1], [1, 2]]),
        (r"信\C", "信信", [[0, 2]]),
        ("(a)(b)?", "aab", [[0, 1], [1, 3]]),
        ("(?i)k", "\u212aK", [[0, 1], [1, 2]]),
        (".", "\U0001f600\ufffd", [[0, 1], [1, 2]]),
    ],
)
def test_spans_of_patterns(pattern: str, text: str, spans: list[list[int]]) -> None:
    """Empty matches give none; a part of a character counts as the whole."""
    assert needle(pattern, regex=True).spans(text) == spans


@pytest.mark.parametrize("how", [{}, {"regex": True}, {"ignore_case": True}])
def test_line_feeds_never_match(how: dict[str, bool]) -> None:
    """Not even where the text had one."""
    assert not needle("a\nb", **how).in_text("a\nb")
    assert needle("\n", **how).spans("\n") is None


def test_reason_of_re2() -> None:
    """The sentence tells what RE2 said, in bounds."""
    with pytest.raises(BadPattern, match="missing \\)"):
        needle("(", regex=True)
    with pytest.raises(BadPattern) as refused:
        needle("(" * 2000, regex=True)
    assert len(refused.value.message) < 300


def test_hard_pattern_is_linear() -> None:
    """What takes other engines for ever takes RE2 no time."""
    began = time.perf_counter()
    for pattern in ("(a+)+$", "(a|aa)+$", "(a*)*b", "([ab]*[ab]*)*c", "(.*)(.*)(.*)(.*)[^a]"):
        assert not needle(pattern, regex=True).in_text("a" * 50_000 + "!" if pattern.endswith("$") else "a" * 50_000)
    assert time.perf_counter() - began < 2


def test_many_spans_are_bounded() -> None:
    """A line of one letter marks only so many; long ones stay quick."""
    for how in ({}, {"regex": True}, {"ignore_case": True}):
        spans = needle("a", **how).spans("信" + "a" * 200_000)
        assert spans is not None and len(spans) == MAX_SPANS and spans[-1] == [MAX_SPANS, MAX_SPANS + 1]
    assert match_bytes({"n": 1, "u": 1, "text": "信", "spans": [[0, 1]]}) == 19
