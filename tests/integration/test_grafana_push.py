"""`logsvc grafana push` against a Grafana that keeps the documented API's rules: once, twice, over edits, refused."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from integration.grafana_fake import FakeGrafana, serving
from logsvc.cli import main

PROMETHEUS = "http://prometheus.example:9090"
BOARDS = {"logsvcfleet", "logsvcjob", "logsvcservice"}
RULES = {
    "LogsvcLowUtilization",
    "LogsvcJobHung",
    "LogsvcCollectorBehind",
    "LogsvcIngestFailing",
    "LogsvcStoreNearlyFull",
}
Push = Callable[..., tuple[int, str, str]]


@pytest.fixture
def grafana() -> Iterator[FakeGrafana]:
    with serving(FakeGrafana()) as fake:
        yield fake


@pytest.fixture
def push(
    grafana: FakeGrafana, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Runs the command; exit status, standard output, standard error."""
    monkeypatch.setenv("LOGSVC_GRAFANA_TOKEN", "glsa_admin")
    monkeypatch.delenv("LOGSVC_TRACE", raising=False)

    def run(*arguments: str, url: str | None = None, datasource: str | None = PROMETHEUS) -> tuple[int, str, str]:
        given = ("--datasource-url", datasource) if datasource else ()
        monkeypatch.setattr(sys, "argv", ["logsvc", "grafana", "push", "--url", url or grafana.url, *given, *arguments])
        status = 0
        try:
            main()
        except SystemExit as stopped:
            status = int(stopped.code or 0)
        return status, *capsys.readouterr()

    return run


def says(output: str) -> list[str]:
    return [line.split()[0] for line in output.splitlines() if ":" in line]


@pytest.mark.parametrize("version", ["10.4.2", "12.1.0", None])
def test_a_push_makes_everything_and_a_second_changes_nothing(
    grafana: FakeGrafana, push: Push, version: str | None
) -> None:
    grafana.version = version
    status, output, error = push("--viewer", "https://logs.example.com")

    assert (status, error) == (0, "")
    assert says(output) == ["created"] * 11  # folder, datasource, 3 boards, 5 rules, their group
    assert grafana.datasources["logsvcprometheus"]["url"] == PROMETHEUS
    assert set(grafana.boards) == BOARDS
    assert {held["meta"]["folderUid"] for held in grafana.boards.values()} == {"logsvc"}
    variables = {one["name"]: one for one in grafana.boards["logsvcjob"]["dashboard"]["templating"]["list"]}
    assert variables["viewer"]["query"] == "https://logs.example.com"
    assert variables["datasource"]["current"]["value"] == "logsvcprometheus"
    assert {rule["title"] for rule in grafana.rules.values()} == RULES
    for rule in grafana.rules.values():
        assert (rule["noDataState"], rule["execErrState"], rule["provenance"]) == ("OK", "Error", "")
        panels = grafana.boards[rule["annotations"]["__dashboardUid__"]]["dashboard"]["panels"]
        assert int(rule["annotations"]["__panelId__"]) in {panel["id"] for panel in panels}
        assert "{{ $" in rule["annotations"]["summary"] and "$$" not in str(rule)
    assert grafana.writes[-1].startswith("PUT /api/v1/provisioning/folder/logsvc/rule-groups/")

    grafana.writes.clear()
    status, output, error = push("--viewer", "https://logs.example.com")
    assert (status, error, grafana.writes) == (0, "", [])
    assert output.splitlines()[-1] == "nothing was changed"
    assert set(says(output)) == {"unchanged"}


def test_what_people_changed_goes_and_what_they_added_stays(grafana: FakeGrafana, push: Push) -> None:
    push()
    rules = {rule["title"]: rule for rule in grafana.rules.values()}
    rules["LogsvcStoreNearlyFull"]["for"] = "2h"
    rules["LogsvcJobHung"]["isPaused"] = True
    rules["LogsvcLowUtilization"]["annotations"]["note"] = "ours"
    theirs = {**rules["LogsvcJobHung"], "uid": "theirs", "title": "Theirs", "isPaused": False}
    grafana.rules = {"theirs": theirs, **grafana.rules}
    grafana.boards["logsvcfleet"]["dashboard"]["panels"][0]["title"] = "Mine"
    grafana.datasources["logsvcprometheus"] |= {"url": "http://elsewhere:9090", "jsonData": {"timeout": 7}}
    grafana.folders["logsvc"]["title"] = "Training"
    before = {uid: held["dashboard"]["version"] for uid, held in grafana.boards.items()}

    status, output, _ = push()
    changed = [line.split(maxsplit=1)[1] for line in output.splitlines() if line.startswith("updated")]
    assert status == 0
    assert changed == [
        "datasource: logsvc",
        "dashboard: logsvc: fleet",
        "alert rule: LogsvcLowUtilization",
        "alert rule: LogsvcStoreNearlyFull",
        "rule group: logsvc",
    ]
    assert {uid: held["dashboard"]["version"] for uid, held in grafana.boards.items()} == {**before, "logsvcfleet": 2}
    assert grafana.datasources["logsvcprometheus"]["url"] == PROMETHEUS
    assert grafana.datasources["logsvcprometheus"]["jsonData"] == {"timeout": 7}
    rules = {rule["title"]: rule for rule in grafana.rules.values()}
    assert rules["LogsvcStoreNearlyFull"]["for"] == "5m0s"
    assert rules["LogsvcJobHung"]["isPaused"]
    assert "note" not in rules["LogsvcLowUtilization"]["annotations"]
    assert "Theirs" in rules

    grafana.writes.clear()
    assert push()[1].endswith("nothing was changed\n")
    assert grafana.writes == []


def test_a_dry_run_says_the_same_and_changes_nothing(grafana: FakeGrafana, push: Push) -> None:
    status, output, _ = push("--dry-run")
    assert (status, grafana.writes, says(output)) == (0, [], ["created"] * 11 + ["nothing"])
    push()
    grafana.writes.clear()
    assert push("--dry-run")[1].splitlines()[-1] == "nothing would be changed"
    assert grafana.writes == []


def test_a_datasource_that_grafana_has_is_taken(grafana: FakeGrafana, push: Push) -> None:
    status, _, error = push(datasource=None)
    assert (status, grafana.boards) == (2, {})
    assert "has none: give --datasource-url" in error

    for name, default in (("one", False), ("two", False), ("loki", True)):
        kind = "loki" if name == "loki" else "prometheus"
        grafana.datasources[name] = {"uid": name, "name": name, "type": kind, "isDefault": default, "readOnly": True}
    assert "several (one, two)" in push(datasource=None)[2]

    grafana.datasources["two"]["isDefault"] = True
    status, output, _ = push("--folder", "gpu-team", datasource=None)
    assert (status, says(output)[1]) == (0, "unchanged")
    assert {query["datasourceUid"] for rule in grafana.rules.values() for query in rule["data"]} == {"two", "__expr__"}
    assert {rule["folderUID"] for rule in grafana.rules.values()} == {"gpu-team"}
    variables = grafana.boards["logsvcfleet"]["dashboard"]["templating"]["list"]
    assert variables[0]["current"] == {"text": "two", "value": "two"}


def test_rules_that_the_api_owns_stay_so(grafana: FakeGrafana, push: Push) -> None:
    """Another tool made them without the header: Grafana refuses to take them from it, and need not."""
    push()
    for rule in grafana.rules.values():
        rule |= {"provenance": "api", "for": "9m"}
    assert push()[0] == 0
    assert {(rule["provenance"], rule["for"] == "9m") for rule in grafana.rules.values()} == {("api", False)}


def test_what_files_of_the_server_own_is_told(grafana: FakeGrafana, push: Push) -> None:
    push()
    grafana.boards["logsvcjob"]["meta"]["provisioned"] = True
    grafana.datasources["logsvcprometheus"]["readOnly"] = True
    assert push()[0] == 0  # nothing differs, so nothing is in the way

    grafana.boards["logsvcjob"]["dashboard"]["title"] = "other"
    status, _, error = push()
    assert (status, "logsvc: job comes from a file" in error) == (2, True)
    status, _, error = push(datasource="http://elsewhere:9090")
    assert (status, "datasource logsvc comes from a file" in error) == (2, True)

    del grafana.boards["logsvcjob"]
    grafana.rules["logsvcjobhung"] |= {"provenance": "file", "for": "9m"}
    status, _, error = push()
    assert (status, "alert rule LogsvcJobHung comes from a file" in error) == (2, True)


@pytest.mark.parametrize(
    ("token", "status", "sentence"),
    [
        ("", 2, "A token is needed: make a service account"),
        ("glsa_wrong", 1, "Grafana does not take the token. It says: Invalid API key"),
        ("glsa_viewer", 1, "The token may not write to /api/folders. It says: You'll need additional permissions"),
        ("glsa_editor", 1, "a datasource the role Admin"),
    ],
)
def test_a_token_that_may_not(
    push: Push, monkeypatch: pytest.MonkeyPatch, token: str, status: int, sentence: str
) -> None:
    monkeypatch.setenv("LOGSVC_GRAFANA_TOKEN", token)
    got, _, error = push()
    assert got == status
    assert sentence in error
    assert error.count("\n") == 1


def test_the_token_may_lie_in_a_file(
    grafana: FakeGrafana, push: Push, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An editor's is enough where there is a datasource."""
    monkeypatch.delenv("LOGSVC_GRAFANA_TOKEN")
    grafana.datasources["p"] = {"uid": "p", "name": "p", "type": "prometheus", "readOnly": False}
    (tmp_path / "token").write_text("glsa_editor\n")
    assert push("--token-file", str(tmp_path / "token"), datasource=None)[0] == 0
    assert "cannot be read" in push("--token-file", str(tmp_path / "none"))[2]


def test_what_is_no_grafana(grafana: FakeGrafana, push: Push) -> None:
    for answer in ((404, {}, b"<html>"), (200, {}, b"<html>"), (200, {}, b'{"status":"ok"}'), (200, {}, b"[]")):
        grafana.answer = answer
        status, _, error = push()
        assert (status, "is no Grafana" in error) == (2, True)
    grafana.answer = (302, {"Location": "https://sso.example.com/"}, b"")
    assert "sends on to https://sso.example.com/" in push()[2]
    grafana.answer = (503, {}, b'{"database":"failing"}')
    assert "has no database" in push()[2]
    grafana.answer = None
    grafana.version = "9.5.2"
    assert "is 9.5.2; a push needs 10.0 or newer" in push()[2]
    assert grafana.writes == []


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://127.0.0.1:1", "No Grafana can be reached at http://127.0.0.1:1"),
        ("http://admin:secret@127.0.0.1:1", "holds a user name or a password"),
        ("ftp://127.0.0.1", "it begins with http:// or https://"),
        ("127.0.0.1:3000", "it begins with http:// or https://"),
        ("https://{plain}", "it does not speak TLS there"),
    ],
)
def test_an_address_that_will_not_do(grafana: FakeGrafana, push: Push, url: str, sentence: str) -> None:
    status, output, error = push(url=url.replace("{plain}", grafana.url.removeprefix("http://")))
    assert (status, output) == (2, "")
    assert sentence in error
    assert "secret" not in error
    assert error.count("\n") == 1


def test_a_folder_is_named_as_grafana_names_them(push: Push) -> None:
    status, _, error = push("--folder", "no/slash")
    assert (status, "letters, digits" in error) == (2, True)
