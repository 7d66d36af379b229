"""Where settings come from, what is told of mistakes, and that no secret is shown."""

from __future__ import annotations

import json
import os
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from logsvc import cli
from logsvc.errors import CannotStart
from logsvc.settings import Settings, read
from logsvc.settings_sources import FILE, OTHER_BEGINNINGS, OTHER_VARIABLES, secrets_of

NAMES = (*Settings.model_fields, *(name + FILE for name in secrets_of(Settings)))
VALUES = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("ab", min_size=1), inner, max_size=2),
    max_leaves=4,
)

ROOT = Path(__file__).parents[2]
SECRET = "sixteen characters and a few"
URL = "https://hooks.example.com/the-receivers-own-secret"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Only what a test sets."""
    for name in [name for name in os.environ if name.startswith("LOGSVC_")]:
        monkeypatch.delenv(name)
    yield


def a_file(folder: Path, content: str, name: str = "logsvc.toml") -> Path:
    path = folder / name
    path.write_text(content)
    return path


def run(*arguments: str | Path) -> int:
    """Exit status of a command."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as caught:
        patch.setattr(sys, "argv", ["logsvc", *map(str, arguments)])
        cli.main()
    return int(caught.value.code or 0)


@pytest.mark.parametrize("name", secrets_of(Settings))
def test_each_secret_may_lie_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """By variable, by settings file and by argument; white space around it is none of it."""
    file = a_file(tmp_path, f"\n {URL}\n", "secret")
    others = {"webhook_secret": SECRET} if name != "webhook_secret" else {}
    config = a_file(tmp_path, f'{name}{FILE} = "{file}"\n')
    for held in (read(config, **others), read(**{name + FILE: file}, **others)):
        assert getattr(held.settings, name).get_secret_value() == URL
    monkeypatch.setenv(f"LOGSVC_{name.upper()}_FILE", str(file))
    found = read(a_file(tmp_path, f'{name} = "another, that goes behind"'), **others)
    assert getattr(found.settings, name).get_secret_value() == URL
    assert found.places[name].name == f"LOGSVC_{name.upper()}_FILE"
    monkeypatch.setenv(f"LOGSVC_{name.upper()}", URL)
    assert f"Both LOGSVC_{name.upper()} and LOGSVC_{name.upper()}_FILE are given" in " ".join(read().mistakes)
    monkeypatch.setenv(f"LOGSVC_{name.upper()}", "")
    assert read(**others).mistakes == []
    file.unlink()
    [told] = read(**others).mistakes
    assert told == f"The file {file} of LOGSVC_{name.upper()}_FILE cannot be read: No such file or directory."
    file.write_bytes(b"\xff\xfe")
    assert "it is not text" in read(**others).mistakes[0]


def test_secrets_are_known_as_such() -> None:
    """What is called a secret, a password or a webhook's address is one."""
    called = {name for name in Settings.model_fields if re.search(r"secret|password|webhook_url|_keys?$", name)}
    assert called - {"tls_key"} <= set(secrets_of(Settings))  # tls_key names a file


def test_an_unknown_name_is_told_with_the_nearest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the file a mistake; a variable is warned of, unless others are known to set it."""
    config = a_file(tmp_path, "prot = 1\nwebhok_secret_file = 'x'\nentirely_else = 2\n")
    assert read(config).mistakes == [
        f"`entirely_else` in {config} is no setting.",
        f"`prot` in {config} is no setting; the nearest is port.",
        f"`webhok_secret_file` in {config} is no setting; the nearest is webhook_secret_file.",
    ]
    for name in ("SERVER", "TOKEN_FILE", "COLLECTOR_METRICS_PORT", "SERVICE_HOST", "PORT_8600_TCP", "RETENTION_DAY"):
        monkeypatch.setenv(f"LOGSVC_{name}", "7")
    [unknown] = read().unknown
    assert str(unknown) == (
        "The variable LOGSVC_RETENTION_DAY is no setting and changes nothing; the nearest is LOGSVC_RETENTION_DAYS."
    )
    assert read().mistakes == []


def test_every_variable_of_the_source_is_known() -> None:
    """Else a service would warn of what another program of ours reads."""
    known = {*Settings.model_fields, *(name + FILE for name in secrets_of(Settings)), *OTHER_VARIABLES}
    sources = [file.read_text() for folder in ("logsvc", "collectors") for file in (ROOT / folder).rglob("*.py")]
    named = {name.lower() for text in sources for name in re.findall(r"\bLOGSVC_([A-Z0-9_]*[A-Z0-9])\b", text)}
    assert len(named) > 8
    assert {name for name in named - known if not name.startswith(OTHER_BEGINNINGS)} == set()


def test_check_tells_every_mistake_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also what goes wrong only together with another setting, while a third is wrong by itself."""
    config = a_file(tmp_path, f'prot = 1\nretention_days = 0\nwebhook_secret = "short"\nwebhook_url = "{URL}"\n')
    monkeypatch.setenv("LOGSVC_PORT", "tcp://10.0.0.1:8600")
    monkeypatch.setenv("LOGSVC_AUTH", "false")
    monkeypatch.setenv("LOGSVC_HOST", "0.0.0.0")
    monkeypatch.setenv("LOGSVC_TLS_KEY", "/none")
    monkeypatch.setenv("LOGSVC_MAX_SEARCH", "1")
    assert run("config", "check", "--config", config) == 2
    told = capsys.readouterr().out
    lines = told.splitlines()
    expected = [
        ("warning: ", "LOGSVC_MAX_SEARCH is no setting and changes nothing; the nearest is LOGSVC_MAX_SEARCHES"),
        ("error: ", f"`prot` in {config} is no setting; the nearest is port"),
        ("error: LOGSVC_PORT is wrong", "enableServiceLinks: false"),
        (f"error: retention_days in {config} is wrong", "It is '0'"),
        (f"error: webhook_secret in {config} is wrong", "it has fewer than 16 characters"),
        ("error: Authentication is off", "not on 0.0.0.0"),
        ("error: A tls_key goes with a tls_certificate", "give both"),
    ]
    for line, (start, part) in zip(lines, expected, strict=True):
        assert line.startswith(start) and part in line and line.endswith("."), line
    assert "short" not in told and "receivers-own" not in told
    with pytest.raises(CannotStart) as caught:
        Settings.load(config)
    assert all(line.partition(": ")[2] in caught.value.message for line in lines[1:])


def test_check_without_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("config", "check", "--config", a_file(tmp_path, "port = 8601\n")) == 0
    assert capsys.readouterr().out == "No mistake was found.\n"


def test_show_tells_each_setting_and_where_it_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = a_file(tmp_path, f'port = 8601\nretention_days = 7\nwebhook_url = "{URL}"\nwebhook_events = ["hung"]\n')
    monkeypatch.setenv("LOGSVC_PORT", "8602")
    monkeypatch.setenv("LOGSVC_WEBHOOK_SECRET_FILE", str(a_file(tmp_path, SECRET, "secret")))
    monkeypatch.setenv("LOGSVC_PORTT", "1")
    assert run("config", "show", "--config", config, "--json") == 0
    told = capsys.readouterr().out
    shown = json.loads(told)
    rows = {row["name"]: (row["value"], row["source"], row["place"]) for row in shown["settings"]}
    assert list(rows) == list(Settings.model_fields)
    assert rows["port"] == (8602, "environment", "LOGSVC_PORT")
    assert rows["retention_days"] == (7, "file", f"retention_days in {config}")
    assert rows["webhook_events"] == (["hung"], "file", f"webhook_events in {config}")
    assert rows["webhook_url"] == ("(not shown)", "file", f"webhook_url in {config}")
    assert rows["webhook_secret"] == ("(not shown)", "environment", "LOGSVC_WEBHOOK_SECRET_FILE")
    assert rows["public_url"] == (None, "default", "default")
    assert rows["max_searches"] == (8, "default", "default")
    assert {row["name"] for row in shown["settings"] if row["secret"]} == set(secrets_of(Settings))
    assert "LOGSVC_PORTT" in shown["warnings"][0]
    assert run("config", "show", "--config", config) == 0
    text = capsys.readouterr().out
    for secret in (SECRET, URL, "receivers-own"):
        assert secret not in told + text
    held = tomllib.loads(text)
    assert held == {name: value for name, (value, *_) in rows.items() if value not in (None, "(not shown)")}
    # What it prints is a settings file: read again, it gives the same.
    monkeypatch.delenv("LOGSVC_PORT")
    monkeypatch.delenv("LOGSVC_WEBHOOK_SECRET_FILE")
    again = read(a_file(tmp_path, text, "again.toml")).settings
    assert {name: value for name, value in again.model_dump(mode="json").items() if value is not None} == held


def test_show_refuses_what_the_service_would_refuse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("config", "show", "--config", a_file(tmp_path, "port = 0.5\n")) == 2
    assert capsys.readouterr().err.startswith("logsvc: port in ")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(held=st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4))
def test_whatever_a_file_holds_is_taken_or_told_of(tmp_path: Path, held: dict[str, object]) -> None:
    """Never a trace: values of every type, lists, tables, names of files that are none."""
    lines = [f"{name} = {in_toml(value)}" for name, value in held.items()]
    found = read(a_file(tmp_path, "\n".join(lines)))
    assert (found.held is None) == bool(found.mistakes)
    assert all(sentence.endswith(".") and len(sentence) < 600 for sentence in found.mistakes)


def in_toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {in_toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(in_toml, value)) + "]"
    return repr(value) if isinstance(value, float) else json.dumps(value).replace("\x7f", "\\u007f")


@pytest.mark.parametrize("path", ["~nobody-of-that-name/x", "\0", "/", "x" * 5000])
def test_paths_that_lead_nowhere_are_told_of(path: str) -> None:
    for name in ("webhook_secret_file", "tls_certificate"):
        [mistake] = read(**{name: path}).mistakes
        assert name in mistake.replace("-", "_")
