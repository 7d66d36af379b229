"""What tests of the collector share: a service for a file, a rig for a test; an oracle, commands, watches."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.collector_oracle import Oracle
from integration.command_rig import Commands
from integration.fault_rig import Rig
from integration.watch_rig import Watches
from processes import ServiceProcess


@pytest.fixture(scope="module")
def faulted_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """One service for all tests of a file; each has a job of its own."""
    service = ServiceProcess(tmp_path_factory.mktemp("service") / "data").start()
    yield service
    service.stop()
    assert "Traceback" not in service.logged()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`ca.pem`, and `server.pem` (with its key) signed by it, for 127.0.0.1, localhost and logs.test."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-days", "2")
    openssl("req", "-x509", *key, "-subj", "/CN=a test's own CA", "-keyout", "ca.key", "-out", "ca.pem")
    names = "subjectAltName=DNS:localhost,DNS:logs.test,IP:127.0.0.1"
    more = ("-CA", "ca.pem", "-CAkey", "ca.key", "-addext", names, "-addext", "basicConstraints=critical,CA:FALSE")
    openssl("req", "-x509", *key, "-subj", "/CN=logs.test", *more, "-keyout", "server.key", "-out", "server.crt")
    (folder / "server.pem").write_bytes((folder / "server.key").read_bytes() + (folder / "server.crt").read_bytes())
    return folder


@pytest.fixture
def rig(tmp_path: Path, request: pytest.FixtureRequest, faulted_service: ServiceProcess) -> Iterator[Rig]:
    """A journal, a collector and a proxy before the service."""
    job = "".join(char if char.isalnum() else "-" for char in request.node.name)[:80]
    rig = Rig(tmp_path, job, faulted_service)
    yield rig
    rig.close()


@pytest.fixture
def oracle() -> Iterator[Oracle]:
    """A service in dictionaries."""
    service = Oracle()
    yield service
    service.close()


@pytest.fixture
def run(oracle: Oracle, tmp_path: Path) -> Iterator[Commands]:
    """Starts a command under the collector."""
    commands = Commands(oracle.url, tmp_path / "state")
    yield commands
    commands.close()


@pytest.fixture
def start(oracle: Oracle, tmp_path: Path) -> Iterator[Watches]:
    """Starts a collector on `tmp_path / "logs"`."""
    watches = Watches(oracle.url, tmp_path)
    yield watches
    watches.close()
