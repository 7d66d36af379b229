"""How many lines of a chunk are of the job's own program."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logsvc.core.live import user_lines
from logsvc.model.line import SystemRule

MARK = b"[ModelArts Service Log]"
PIECES = st.sampled_from(
    [MARK, b"platform=ModelArts-Service", b" - INFO -", b"{", b"}", b"step 7", b"\n", b"\n", b"\r\n"]
)


@given(st.lists(PIECES, min_size=1, max_size=30).map(b"".join))
@settings(max_examples=200)
def test_lines_are_those_that_the_rule_gives_one_by_one(data: bytes) -> None:
    rule = SystemRule()
    assert user_lines(data) == sum(not rule.feed(line) for line in data.removesuffix(b"\n").split(b"\n"))


def test_lines_without_a_mark_are_not_looked_at_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mark in each chunk would cost twenty times as much, on the event loop."""
    fed: list[bytes] = []
    feed = SystemRule.feed

    def told(rule: SystemRule, line: bytes) -> bool:
        fed.append(line)
        return feed(rule, line)

    monkeypatch.setattr(SystemRule, "feed", told)
    marked = MARK + b" started"
    assert user_lines(b"a line\n" * 5000 + marked + b"\n" + b"a line\n" * 5000) == 10_000
    assert fed == [marked]
