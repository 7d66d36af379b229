"""The command line: how what goes wrong is told."""

from __future__ import annotations

import subprocess
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


def test_help_is_plain_whole_and_loads_no_more_than_it_needs() -> None:
    script = (
        "import sys; from logsvc import cli\n"
        "try: cli.main()\n"
        "finally: print(sorted({'rich', 'fastapi'} & {*sys.modules}))"
    )
    told = subprocess.run([sys.executable, "-c", script, "--help"], capture_output=True, text=True, check=True).stdout
    assert {line.split()[0] for line in told.splitlines() if line} >= {
        "serve",
        "follow",
        "search",
        "download",
        "doctor",
        "demo",
    }
    assert "..." not in told.partition("Commands:")[2], "a command's line is cut"
    assert told.splitlines()[-1] == "[]"
