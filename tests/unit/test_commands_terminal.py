"""What a terminal gets of a log, what a pipe gets; times as people type them."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from datetime import datetime

import pytest

from logsvc.commands.printer import Look, Printer, Source, pattern
from logsvc.commands.terminal import Terminal, harmless, settled
from logsvc.commands.times import moment
from logsvc.errors import BadInput

NASTY = "a\x1b]0;title\x07b\x1b[2Jc\x00d\x7f\x9b1me\u202ef\tg"


class Screen(io.StringIO):
    """A terminal that remembers."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    """A terminal with colours."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    return Screen()


def line(n: int, text: str, **more: object) -> dict[str, object]:
    return {"n": n, "text": text, "level": None, "system": False, "received_at": "2026-11-20T12:00:00.000Z", **more}


def source(label: str = "worker-0") -> Source:
    return Source(label, {"task": label}, "36")


def test_a_pipe_gets_the_text_as_it_is() -> None:
    out = io.StringIO()
    terminal = Terminal(out, out)
    assert terminal.shown(NASTY, "31") == NASTY
    assert terminal.marked(NASTY, [[0, 1]]) == NASTY
    assert terminal.styled("x", "31") == "x"


def test_a_terminal_is_not_moved_by_a_log(screen: Screen) -> None:
    shown = "a^[]0;title^Gb^[[2Jc^@d^?<U+009B>1me<U+202E>f\tg"
    assert Terminal(screen).shown(NASTY) == shown
    assert Terminal(screen).marked(NASTY, []) == shown


def test_a_logs_own_colours_go_first(screen: Screen) -> None:
    terminal = Terminal(screen)
    assert terminal.shown("x", "31") == "\x1b[31mx\x1b[0m"
    assert terminal.shown("a\x1b[1;32mb", "31") == "a\x1b[1;32mb\x1b[0m"
    assert terminal.marked("a\x1b[1;32mbcd", [[9, 10], [10, 11]]) == "ab\x1b[1;31mc\x1b[0m\x1b[1;31md\x1b[0m"
    assert terminal.shown("  0%\r 50%\r100%\r") == "100%"


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", ""), ("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colours_may_be_declined(screen: Screen, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    terminal = Terminal(screen)
    assert terminal.shown("a\x1b[1;32mb\x07", "31") == "ab^G"
    assert terminal.marked("a\x1b[1;32mb", [[0, 1]]) == "ab"


def test_a_colour_that_is_not_whole_yet_waits() -> None:
    assert [settled(text) for text in ("a\x1b", "a\x1b[", "a\x1b[1;3", "a\x1b[1m", "a\x1b]")] == [
        *["a"] * 3,
        "a\x1b[1m",
        "a\x1b]",
    ]
    assert harmless("1%\r2%\b3", rewind=True) == "1%\r2%\b3"


def test_a_line_grows_on_a_terminal(screen: Screen) -> None:
    printer, log = Printer(Terminal(screen, screen), Look()), source()
    for text in ("tw", "two \x1b[3", "two \x1b[31m", "two \x1b[31m50%\r"):
        printer.partial(log, line(2, text))
    printer.lines(log, [line(2, "two \x1b[31m50%\rdone"), line(3, "three")])
    assert screen.getvalue() == "two \x1b[31m50%\rdone\nthree\n"


def test_a_line_that_is_another_suddenly(screen: Screen) -> None:
    """Half a character becomes a whole one."""
    printer, log = Printer(Terminal(screen, screen), Look()), source()
    printer.partial(log, line(1, "a\ufffd"))
    printer.say("lost")
    printer.lines(log, [line(1, "a信")])
    assert screen.getvalue() == "a\ufffd\nlogsvc: lost\na信\n"


def test_lines_of_several_logs_are_labelled(screen: Screen) -> None:
    printer = Printer(Terminal(screen, screen), Look(timestamps=True))
    printer.label_width = 9
    printer.partial(source(), line(1, "half"))
    printer.lines(source("worker-1"), [line(7, "[ERROR] x", level="error"), line(8, "[Model…", system=True)])
    assert screen.getvalue().split("\n") == [
        "\x1b[36mworker-1  | \x1b[0m\x1b[2m2026-11-20T12:00:00.000Z \x1b[0m\x1b[31m[ERROR] x\x1b[0m",
        "\x1b[36mworker-1  | \x1b[0m\x1b[2m2026-11-20T12:00:00.000Z \x1b[0m\x1b[2m[Model…\x1b[0m",
        "",
    ]


def test_a_pipe_gets_lines_that_are_whole() -> None:
    out = io.StringIO()
    printer, log = Printer(Terminal(out, out), Look()), source()
    printer.partial(log, line(1, "on"))
    printer.lines(log, [line(1, "one"), line(2, "a\rb\x1b[1m")])
    printer.partial(log, line(3, "half"))
    assert out.getvalue() == "one\na\rb\x1b[1m\n"
    printer.finish()
    assert out.getvalue() == "one\na\rb\x1b[1m\nhalf\n"


def test_only_lines_with_a_text(screen: Screen) -> None:
    look = Look(only=pattern("Loss", regex=False, ignore_case=True, word=True))
    printer = Printer(Terminal(screen, screen), look)
    printer.lines(source(), [line(1, "glossy"), line(2, "a loss"), line(3, "")])
    assert screen.getvalue() == "a \x1b[1;31mloss\x1b[0m\n"
    with pytest.raises(BadInput):
        pattern("(", regex=True, ignore_case=False, word=False)


def test_json_is_a_line_each() -> None:
    out = io.StringIO()
    Printer(Terminal(out, out), Look(json=True)).lines(source(), [line(1, "a\x1b\u2028é")])
    assert out.getvalue() == (
        '{"task":"worker-0","n":1,"text":"a\\u001b\u2028é","level":null,"system":false,'
        '"received_at":"2026-11-20T12:00:00.000Z"}\n'
    )


def test_what_an_encoding_lacks() -> None:
    out = io.TextIOWrapper(io.BytesIO(), "ascii", newline="")
    Terminal(out, out).write("信 x\n")
    out.flush()
    assert out.buffer.getvalue() == b"? x\n"  # type: ignore[attr-defined]


@pytest.fixture
def in_shanghai(monkeypatch: pytest.MonkeyPatch) -> Iterator[datetime]:
    """20 November 2026, noon in UTC, where it is evening."""
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "CST-8")
        time.tzset()
        yield datetime.fromisoformat("2026-11-20T20:00:00+08:00")
    time.tzset()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2h", "2026-11-20T10:00:00.000Z"),
        ("1d12h", "2026-11-19T00:00:00.000Z"),
        ("90s", "2026-11-20T11:58:30.000Z"),
        ("1.5m", "2026-11-20T11:58:30.000Z"),
        ("1w", "2026-11-13T12:00:00.000Z"),
        ("2026-11-20", "2026-11-19T16:00:00.000Z"),
        ("2026-11-20 12:00", "2026-11-20T04:00:00.000Z"),
        (" 2026-11-20T12:00:00.5Z ", "2026-11-20T12:00:00.500Z"),
        ("2026-11-20T12:00:00-03:00", "2026-11-20T15:00:00.000Z"),
        ("09:30", "2026-11-20T01:30:00.000Z"),
    ],
)
def test_times(in_shanghai: datetime, text: str, expected: str) -> None:
    assert moment(text, now=in_shanghai) == expected


@pytest.mark.parametrize("text", ["", "yesterday", "2", "2y", "25:00", "2026-13-01", "9999999999w", "h"])
def test_no_times(in_shanghai: datetime, text: str) -> None:
    with pytest.raises(BadInput):
        moment(text, now=in_shanghai)
