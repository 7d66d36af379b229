"""Settings: where each comes from, what is refused, and that all are documented."""

from __future__ import annotations

from pathlib import Path

import pytest

from logsvc.errors import CannotStart
from logsvc.settings import Settings, is_loopback
from logsvc.settings_docs import markdown


def test_argument_before_variable_before_file_before_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "logsvc.toml"
    config.write_text('port = 1\nhost = "::1"\nretention_days = 7\n')
    monkeypatch.setenv("LOGSVC_PORT", "2")
    monkeypatch.setenv("LOGSVC_HOST", "localhost")
    monkeypatch.setenv("LOGSVC_SERVER", "http://elsewhere")  # of the clients
    settings = Settings.load(config, port=3, host=None)
    assert (settings.port, settings.host, settings.retention_days, settings.auth) == (3, "localhost", 7, True)


def test_data_lies_where_the_desktop_rules_say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert Settings.load().data_dir == tmp_path / "logsvc"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Settings.load().data_dir == tmp_path / ".local" / "share" / "logsvc"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("prot = 1", "prot"),
        ("port = ", "TOML"),
        ("port = 70000", "port in "),
        ('public_url = "logs.example.com"', "https://"),
        ('auth = false\nhost = "0.0.0.0"', "loopback"),
    ],
)
def test_wrong_settings_are_told_in_a_sentence(tmp_path: Path, content: str, told: str) -> None:
    config = tmp_path / "logsvc.toml"
    config.write_text(content)
    with pytest.raises(CannotStart, match=told) as caught:
        Settings.load(config)
    assert "\n" not in caught.value.message
    with pytest.raises(CannotStart, match="cannot be read"):
        Settings.load(tmp_path / "none")


def test_loopback() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost", "LOCALHOST")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "example.com", "localhost.evil.example", "")))


def test_settings_are_documented() -> None:
    """`python -m logsvc.settings > docs/settings.md` keeps it so."""
    assert (Path(__file__).parents[2] / "docs" / "settings.md").read_text() == markdown()
