"""Lines: text, level, and which of them the platform wrote, in pieces of any size."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import ANNOUNCING, MARKED, SAMPLES
from logsvc.model.line import SystemRule, level_of, line_text, line_texts


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"", ""),
        (b"\r", ""),
        (b"a\r", "a"),
        (b"a\r\r", "a\r"),
        (b"a\rb", "a\rb"),
        ("信 \U0001f600".encode(), "信 \U0001f600"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"\xe4\xbf|", "\ufffd|"),
        (b"\xf0\x9f\x98", "\ufffd"),
        (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd"),
        (b"\xe4\xbf\r", "\ufffd"),
        (b"\0\x1b[0m", "\0\x1b[0m"),
    ],
)
def test_text(raw: bytes, text: str) -> None:
    """UTF-8 with U+FFFD for each maximal invalid part; one carriage return at the end is dropped."""
    assert line_text(raw) == text


SCRAPS = [b"\n", b"\r", b"\xe4", b"\xbf", b"\xa1", b"a", b"\xf0\x9f", b"\xff", b"\x98\x80"]


@given(st.lists(st.sampled_from(SCRAPS), max_size=20))
def test_texts_of_several_lines(parts: list[bytes]) -> None:
    """At once, or one by one: the same."""
    raw = b"".join(parts)
    assert line_texts(raw) == [line_text(line) for line in raw.split(b"\n")]


@pytest.mark.parametrize(
    ("line", "level"),
    [
        (b"[ERROR] HCCL(1,python):2026-11-20", "error"),
        (b"[WARNING] HCCP(1,hccp): connect after error: 5", "warning"),
        (b"2026-11-20 12:00:00 ERROR trainer: x", "error"),
        (b"2026-11-20 12:00:00 WARN trainer: x", "warning"),
        (b"Traceback (most recent call last):", "error"),
        (b"RuntimeError: shape mismatch", "error"),
        (b"torch.cuda.OutOfMemoryError: CUDA out of memory", "error"),
        (b"a.py:3: UserWarning: x", "warning"),
        (b'time="x" level=warning msg="y"', "warning"),
        (b'{"level": "error"}', "error"),
        (b"epoch: 1 step: 2, loss is 0.5", None),
        (b"terrors and prewarnings", None),
        (b"", None),
        (b"no ERRORS here_ERROR", None),
        (b"x" * 2000 + b" ERROR ", None),
        (b"\xff ERROR \xff", "error"),
        (b"FATAL\r", "error"),
        (b"\x1b[2m2026-11-24T01:00:00Z\x1b[0m \x1b[1;31mERROR\x1b[0m \x1b[1mnode\x1b[0m", "error"),
        (b"\x1b[33mWARN\x1b[0m x", "warning"),
        (b"\x1b[31mTraceback (most recent call last):", "error"),
        (b"x\x1bERROR", "error"),
        (b"\x1b[31mTERROR\x1b[0m", None),
    ],
)
def test_level(line: bytes, level: str | None) -> None:
    """By the marks that frameworks write, the leftmost deciding."""
    assert level_of(line) == level


def test_level_of_any_line_is_found_quickly() -> None:
    """Lines made to make a pattern slow do not."""
    began = time.perf_counter()
    for line in (
        b"a" * 100_000,
        b"a." * 50_000,
        b"Warning" * 10_000,
        b" " * 100_000,
        b"level" * 20_000,
        b"E1" * 50_000,
    ):
        level_of(line)
    assert time.perf_counter() - began < 0.5


def test_marks_in_any_ascii_case() -> None:
    """And in no other."""
    for line in (b"x [MODELARTS service LOG] y", b"PLATFORM=modelarts-service"):
        assert SystemRule().feed(line)
    for line in (b"[ModelArts Service  Log]", "[ModelArt\u017f Service Log]".encode()):
        assert not SystemRule().feed(line)


pieces = st.lists(
    st.sampled_from(
        [
            MARKED,
            ANNOUNCING,
            b"{",
            b"}",
            b"[",
            b"]",
            b'"',
            b"\\",
            b"\n",
            b"\r\n",
            b" ",
            b"a",
            b'{"',
            b" - INFO -",
            b"[ModelArts Ser",
        ]
    )
    | st.binary(max_size=3),
    max_size=40,
).map(b"".join)


@given(data=pieces, seed=st.integers(0, 1 << 30))
def test_pieces_make_no_difference(data: bytes, seed: int) -> None:
    """Pushed in pieces, copied, peeked at, written down and read again: the same lines are the platform's."""
    whole, lines = SystemRule(), data.split(b"\n")
    expected = [whole.feed(line) for line in lines]
    chance, rule = random.Random(seed), SystemRule()
    for line, system in zip(lines, expected, strict=True):
        assert rule.peek(line) == system
        at = 0
        while at < len(line):
            size = chance.randint(1, len(line) - at)
            rule.push(line[at : at + size])
            at += size
            if chance.random() < 0.3:
                rule = SystemRule.from_state(rule.state()) if chance.random() < 0.5 else rule.copy()
                assert rule.peek(line[at:]) == system
        assert rule.end() == system
    assert rule.state() == whole.state()


def test_a_long_line_takes_no_memory_and_little_time() -> None:
    """100 MB in pieces."""
    rule, piece = SystemRule(), b"x" * 1_000_000
    began = time.perf_counter()
    for _ in range(100):
        rule.push(piece)
    assert rule.open_bytes == 100_000_000
    assert rule.end() is False
    assert len(str(rule.state())) < 500
    assert time.perf_counter() - began < 10


@pytest.mark.parametrize(("name", "lines", "system"), [("nerf.log", 196, 123), ("maml.log", 1276, 263)])
def test_real_logs(name: str, lines: int, system: int) -> None:
    """Two real jobs, counted by hand once."""
    data, rule = (SAMPLES / "real" / name).read_bytes(), SystemRule()
    found = data.removesuffix(b"\n").split(b"\n")
    assert (len(found), sum(rule.feed(line) for line in found)) == (lines, system)
