"""What tests of the collector share: a service for a file, a rig for a test; an oracle, commands, watches."""

from __future__ import annotations

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
