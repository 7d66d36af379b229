"""The collector's own lines: one line each, whatever they say."""

from __future__ import annotations

import re

from collectors.lines import lost_line, service_line
from logsvc.model.line import MARKS


def test_a_service_line_is_one_system_line() -> None:
    line = service_line("command: printf 'a\nb\r\nc'")
    pattern = r"\[ModelArts Service Log\]\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} - INFO - command: printf 'a b c'\n"
    assert re.fullmatch(pattern, line)
    assert MARKS[0] in line.encode().lower()


def test_a_lost_line_says_how_much_and_is_a_user_line() -> None:
    line = lost_line(12345, "the file was truncated\nbefore it was read")
    assert line == b"[logsvc-collector] WARNING: 12,345 bytes lost here: the file was truncated before it was read\n"
    assert not any(mark in line.lower() for mark in MARKS)


def test_a_lost_line_takes_any_name() -> None:
    assert lost_line(1, "caf\udce9.log is gone").endswith(b"bytes lost here: caf\\udce9.log is gone\n")


def test_a_service_line_never_opens_a_record_body() -> None:
    assert not service_line("command: echo '[x] - INFO -' end").rstrip().endswith(" - INFO -")
