"""`logsvc token`, with a service and without; and a real collector that has an ingest token."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest

from logsvc import cli
from processes import Client, ServiceProcess

LINE = "told by a token of the role ingest"


class Done(NamedTuple):
    """How a command ended, and what it printed."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tokens") / "data"


@pytest.fixture(scope="module")
def made_before(folder: Path) -> str:
    """A token of a folder that no service has ever had open."""
    done = token("create", "--role", "viewer", "--owner", "li", "--data-dir", str(folder))
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


@pytest.fixture(scope="module")
def service(folder: Path, made_before: str) -> Iterator[ServiceProcess]:
    service = ServiceProcess(folder).start()
    yield service
    service.stop()
    assert made_before not in service.logged()


def token(*words: str, service: ServiceProcess | None = None, secret: str = "") -> Done:
    """`logsvc token`, in this process; with an administrator's token unless another is given."""
    out, err = io.StringIO(), io.StringIO()
    status = 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        if service:
            patch.setenv("LOGSVC_SERVER", f"http://127.0.0.1:{service.port}")
            patch.setenv("LOGSVC_TOKEN", secret or service.token)
        patch.setattr(sys, "argv", ["logsvc", "token", *words])
        try:
            cli.main()
        except SystemExit as end:
            status = int(end.code or 0)
    return Done(status, out.getvalue(), err.getvalue())


def test_made_listed_and_revoked(service: ServiceProcess, made_before: str) -> None:
    reader = Client(service.port, made_before)
    assert reader.get("/jobs") == {"jobs": [], "next": None}
    words = ("--role", "ingest", "--owner", "wang", "--jobs", "resnet-*", "--jobs", "bert-?", "--days", "30")
    made = token("create", *words, service=service).stdout.strip()
    assert len(made) == 43

    listed = token("list", "--json", service=service)
    held = {one["role"]: one for one in map(json.loads, listed.stdout.splitlines())}
    assert {name: (one["owner"], one["jobs"], one["first"]) for name, one in held.items() if name != "admin"} == {
        "viewer": ("li", None, False),
        "ingest": ("wang", ["resnet-*", "bert-?"], False),
    }
    assert held["admin"]["first"]
    assert held["viewer"]["last_used_at"] and not held["ingest"]["last_used_at"]
    table = token("list", service=service).stdout
    assert "resnet-*,bert-?" in table and "the owner's" in table and "admin (first)" in table
    for secret in (made, made_before, service.token):
        assert secret not in listed.stdout + table

    refused = token("list", service=service, secret=made_before)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "viewer" in refused.stderr
    assert token("revoke", held["admin"]["id"], service=service).returncode == 2
    assert token("revoke", "none", service=service).returncode == 1
    assert token("revoke", held["viewer"]["id"], service=service).returncode == 0
    assert reader.ask("GET", "/jobs").status == 401


def test_a_folder_in_use_is_left_alone(service: ServiceProcess, folder: Path) -> None:
    refused = token("create", "--role", "admin", "--data-dir", str(folder))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "another logsvc uses" in refused.stderr
    nowhere = token("list", "--data-dir", str(folder.parent / "none"))
    assert (nowhere.returncode, (folder.parent / "none").exists()) == (1, False)
    wrong = token("create", "--role", "root", service=service)
    assert (wrong.returncode, wrong.stdout) == (2, "")


def test_a_collector_works_with_an_ingest_token(service: ServiceProcess, tmp_path: Path) -> None:
    """It describes its job, ships its log, ends it well; and may read none of it."""
    secret = token("create", "--role", "ingest", "--owner", "wang", service=service).stdout.strip()
    file = tmp_path / "token"
    file.write_text(secret)
    job = "token-run"
    words = ["run", "--job", job, "--task", "worker-0", "--server", f"http://127.0.0.1:{service.port}"]
    words += ["--token-file", str(file), "--state-dir", str(tmp_path / "state")]
    command = [sys.executable, "-m", "collectors", *words, "--", sys.executable, "-c", f"print({LINE!r})"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    held = service.client().get(f"/jobs/{job}")
    assert (held["status"], held["owner"]) == ("succeeded", "wang")
    [stream] = service.client().get(f"/jobs/{job}/streams")["streams"]
    assert LINE in {line["text"] for line in service.client().get(f"/streams/{stream['id']}/lines")["lines"]}
    sender = Client(service.port, secret)
    assert sender.ask("GET", f"/streams/{stream['id']}/lines").status == 403
    assert sender.ask("GET", "/jobs").status == 403
