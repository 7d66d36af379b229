"""The command line: how what goes wrong is told."""

from __future__ import annotations

import sys

import pytest

from logsvc import cli


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
