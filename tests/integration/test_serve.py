"""`logsvc serve` and the commands that ask it, as processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from builders import JOB
from serving import LOG


class Running:
    """A service in its own process."""

    def __init__(self, folder: Path, *more: str) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "logsvc",
                "serve",
                "--port",
                "0",
                "--data-dir",
                str(folder),
                *more,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line.startswith("viewer: http://127.0.0.1:"), (line, self.process.stderr and self.process.stderr.read())
        self.address, _, self.token = line.removeprefix("viewer: ").strip().partition("/?token=")

    def http(self) -> httpx2.Client:
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx2.Client(base_url=self.address, headers=headers, trust_env=False)

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Exit status and what it logged."""
        self.process.send_signal(number)
        _, log = self.process.communicate(timeout=10)
        assert self.token not in log
        return self.process.returncode, log


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command of logsvc to its end."""
    given = {name: value for name, value in os.environ.items() if not name.startswith("LOGSVC_")}
    return subprocess.run(
        [sys.executable, "-m", "logsvc", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**given, **environment},
    )


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path / "data")
    yield running
    if running.process.poll() is None:
        running.stop()


def refused(folder: Path, *more: str, **environment: str) -> str:
    """The sentence of a service that does not start."""
    found = command("serve", "--data-dir", str(folder), *more, **environment)
    assert found.returncode == 2, found
    assert found.stdout == ""
    assert "Traceback" not in found.stderr
    assert len(found.stderr.strip().splitlines()) == 1, found.stderr
    return found.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_starts_answers_and_stops(running: Running, number: int) -> None:
    with running.http() as http:
        assert http.get("/healthz").json() == {"status": "ok"}
        assert http.get(f"/?token={running.token}").status_code == 200
        assert http.get("/api/v1/jobs").json() == {"jobs": [], "next": None}
    status, log = running.stop(number)
    assert status == 0
    assert "Traceback" not in log


def test_the_token_stays_after_a_restart(running: Running) -> None:
    running.stop()
    again = Running(running.folder)
    assert again.token == running.token
    assert (running.folder / "admin.token").stat().st_mode & 0o777 == 0o600
    assert again.stop()[0] == 0


def test_a_taken_port(running: Running, tmp_path: Path) -> None:
    port = running.address.rpartition(":")[2]
    assert f"Port {port}" in refused(tmp_path / "other", "--port", port)


def test_a_second_service_on_the_same_folder(running: Running) -> None:
    assert str(running.folder) in refused(running.folder, "--port", "0")


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert "is a file" in refused(file, "--port", "0")
    assert "cannot be made" in refused(file / "below", "--port", "0")
    if os.geteuid() == 0:
        foreign = tmp_path / "foreign"
        foreign.mkdir()
        os.chown(foreign, 12345, 12345)
        assert "belongs to user" in refused(foreign, "--port", "0")
    else:
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o500)
        assert "cannot be written" in refused(closed, "--port", "0")


def test_settings_that_cannot_be(tmp_path: Path) -> None:
    assert "loopback" in refused(tmp_path / "data", "--host", "0.0.0.0", LOGSVC_AUTH="false")
    assert "--port is wrong" in refused(tmp_path / "data", "--port", "99999")
    assert "LOGSVC_RETENTION_DAYS" in refused(tmp_path / "data", LOGSVC_RETENTION_DAYS="never")
    assert "address" in refused(tmp_path / "data", "--host", "203.0.113.1", "--port", "0")


def test_search_download_and_follow(running: Running, tmp_path: Path) -> None:
    data = b"one\n[ModelArts Service Log] two\nthree\n"
    with running.http() as http:
        assert http.post("/api/v1/chunks", params={**LOG, "offset": 0}, content=data).status_code == 200
        asked = {"LOGSVC_SERVER": running.address, "LOGSVC_TOKEN": running.token}

        found = command("search", "t.o", "--regex", **asked)
        assert (found.returncode, found.stdout) == (0, f"{JOB}/worker-0:2:[ModelArts Service Log] two\n")
        assert command("search", "two", "--user-lines", **asked).returncode == 1
        assert command("search", "two", "--job", JOB, "--json", **asked).stdout.startswith('{"stream":')
        broken = command("search", "(", "--regex", **asked)
        assert broken.returncode == 2
        assert "Traceback" not in broken.stderr

        target = tmp_path / "one.log"
        assert command("download", JOB, "-o", str(target), **asked).returncode == 0
        assert target.read_bytes() == data
        http.post("/api/v1/chunks", params={**LOG, "offset": 0, "generation": 1}, content=b"next\n")
        zipped = tmp_path / "all.zip"
        assert command("download", JOB, "-o", str(zipped), **asked).returncode == 0
        with zipfile.ZipFile(zipped) as archive:
            assert {name: archive.read(name) for name in archive.namelist()[:-1]} == {
                LOG["path"]: data,
                f"{LOG['path']}.gen-1": b"next\n",
            }
        assert command("download", "none", **asked).returncode == 1

        following = subprocess.Popen(
            [sys.executable, "-m", "logsvc", "follow", JOB],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **asked},
        )
        assert following.stdout
        assert following.stdout.readline() == "next\n"
        http.post("/api/v1/chunks", params={**LOG, "offset": 5, "generation": 1}, content=b"live\n")
        assert following.stdout.readline() == "live\n"
        following.send_signal(signal.SIGINT)
        following.communicate(timeout=10)


def test_tokens_of_the_clients(running: Running, tmp_path: Path) -> None:
    address = {"LOGSVC_SERVER": running.address}
    assert command("search", "x", **address, LOGSVC_TOKEN="wrong").returncode == 2
    assert command("download", "x", **address, LOGSVC_TOKEN="wrong").returncode == 1
    by_file = command("search", "x", **address, LOGSVC_TOKEN_FILE=str(running.folder / "admin.token"))
    assert by_file.returncode == 1  # not found
    assert command("search", "x", **address, LOGSVC_DATA_DIR=str(running.folder)).returncode == 1
    assert command("search", "x", **address, LOGSVC_TOKEN_FILE=str(tmp_path / "none")).returncode == 2


def test_no_service() -> None:
    found = command("search", "x", LOGSVC_SERVER="http://127.0.0.1:9", LOGSVC_TOKEN="x")
    assert found.returncode == 2
    assert "No service answers" in found.stderr
    assert "Traceback" not in found.stderr


def test_stopping_with_a_download_and_a_viewer_open(running: Running) -> None:
    with running.http() as http:
        http.post("/api/v1/chunks", params={**LOG, "offset": 0}, content=b"one\n")
    following = subprocess.Popen(
        [sys.executable, "-m", "logsvc", "follow", JOB],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "LOGSVC_SERVER": running.address, "LOGSVC_TOKEN": running.token},
    )
    assert following.stdout
    assert following.stdout.readline() == "one\n"
    began = time.monotonic()
    status, log = running.stop()
    assert status == 0
    assert time.monotonic() - began < 3
    assert "Traceback" not in log
    assert "error" not in log
    assert following.stderr
    assert "Trying again" in following.stderr.readline()
    following.send_signal(signal.SIGINT)
    _, told = following.communicate(timeout=10)
    assert following.returncode == 130
    assert "Traceback" not in told
