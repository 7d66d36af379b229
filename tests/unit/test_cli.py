"""The command line: what follows prints, and how what goes wrong is told."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from logsvc import cli


class FakeService:
    """What `follow` asks of a client, told beforehand."""

    def __init__(self, told: dict[str, list[dict[str, Any]]], lines: int = 0) -> None:
        self._told, self._lines = told, lines

    async def follow(self, stream_id: str, *, start: int, lines: str) -> AsyncIterator[dict[str, Any]]:
        for message in self._told[stream_id]:
            yield message

    def get(self, path: str, **query: Any) -> Any:
        first = query["from"]
        given = range(first, min(first + 3, self._lines + 1))
        return {"lines": [{"n": n, "text": f"line {n}"} for n in given], "through": given[-1]}


def shown(*lines: tuple[int, str]) -> dict[str, Any]:
    return {"lines": [{"n": n, "text": text} for n, text in lines], "through": lines[-1][0]}


async def test_a_growing_line_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    told = [
        shown((1, "one")),
        {"partial": {"n": 2, "text": "tw"}},
        {"partial": {"n": 2, "text": "two "}},
        shown((2, "two and a half"), (3, "three")),
    ]
    await cli._follow(FakeService({"a": told}), "a", 1, "all")
    assert capsys.readouterr().out == "one\ntwo and a half\nthree\n"


async def test_a_gap_is_filled_from_history(capsys: pytest.CaptureFixture[str]) -> None:
    told = [shown((1, "line 1")), {"gap": {"first_line": 2, "count": 7}}, shown((9, "line 9"))]
    await cli._follow(FakeService({"a": told}, lines=20), "a", 1, "all")
    assert capsys.readouterr().out == "".join(f"line {n}\n" for n in range(1, 10))


async def test_the_next_generation_is_followed(capsys: pytest.CaptureFixture[str]) -> None:
    told = {"a": [shown((1, "old")), {"sealed": True, "next_stream": "b"}], "b": [shown((1, "new"))]}
    await cli._follow(FakeService(told), "a", 1, "all")
    assert capsys.readouterr().out == "old\nnew\n"


def test_what_should_not_happen_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["logsvc", "search", "x"])
    monkeypatch.setattr(cli, "_client", lambda: 1 // 0)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2
    told = capsys.readouterr().err
    assert "Traceback" not in told
    assert len(told.splitlines()) == 1
    monkeypatch.setenv("LOGSVC_TRACE", "1")
    with pytest.raises(ZeroDivisionError):
        cli.main()
