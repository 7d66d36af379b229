"""Files that cannot be read: waited for at the end for a while, then named."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from collectors import cli
from collectors.agent import UNREAD_SECONDS, Agent
from collectors.client import Client
from collectors.settings import Identity, Settings
from collectors.spool import RUNS, Spool
from collectors.tailer.reader import TailedFile
from unit.collector_rig import JOB, OTHER, Clock, Service


class Node:
    """An agent on a folder in which some files may not be read."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.logs, self.clock, self.service = folder / "logs", clock, Service()
        self.logs.mkdir()
        self.secret: set[str] = set()
        self.state_dir = folder / "state"
        settings = Settings("http://service", state_dir=self.state_dir, identity=Identity(JOB))
        self.agent = Agent(settings, [self.logs, self.state_dir / RUNS], lambda text: None, state=None)
        self.agent.client = self.agent.shipper.client = cast(Client, self.service)
        self.agent.wake = cast(threading.Event, clock)

    def write(self, name: str, *, secret: bool = False) -> None:
        (self.logs / name).write_bytes(b"line\n")
        if secret:
            self.secret.add(str(self.logs / name))

    def watch_once(self) -> int:
        return cli._watch_once(self.agent, threading.Event(), 600.0)


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    clock = Clock()
    monkeypatch.setattr("collectors.agent.time", clock)
    node = Node(tmp_path, clock)
    opened = TailedFile._open
    monkeypatch.setattr(TailedFile, "_open", lambda file: None if file.name in node.secret else opened(file))
    yield node
    node.agent.close()


def test_watch_once_names_a_file_that_cannot_be_read(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    node.write("a.log")
    node.write("secret.log", secret=True)
    assert node.watch_once() == cli.REFUSED
    said = capsys.readouterr().err
    assert f"not all sent, 5 bytes wait: {node.logs}/secret.log: cannot be read (permission?)" in said
    assert {path for path, _ in node.service.held} == {f"{OTHER}/a.log"}
    assert UNREAD_SECONDS <= node.clock.now - 1000.0 < 2 * UNREAD_SECONDS


def test_watch_once_counts_the_others_that_cannot_be_read(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("b.log", "c.log", "a.log"):
        node.write(name, secret=True)
    assert node.watch_once() == cli.REFUSED
    assert "/a.log: cannot be read (permission?), and 2 more files\n" in capsys.readouterr().err


def test_a_file_that_can_be_read_again_in_time_is_sent(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    node.write("secret.log", secret=True)
    trouble = node.agent.shipper.trouble

    def heal(kind: str, text: str) -> None:
        trouble(kind, text)
        if node.agent.errors["unreadable"] == 2:
            node.secret.clear()

    node.agent.shipper.trouble = heal
    assert node.watch_once() == cli.DONE
    assert "all sent to " in capsys.readouterr().err
    assert node.agent.errors["unreadable"] == 2 and not node.agent.unread()


def test_a_spool_that_cannot_be_read_is_not_called_sent(
    node: Node, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(node.state_dir, JOB, "worker-0")
    spool.write(b"line\n")
    spool.close()
    spool.chain.release()
    refusing = True

    def load(chain: object) -> object:
        if refusing:
            raise PermissionError(13, "Permission denied")
        return loaded(chain)

    loaded = type(spool.chain)._load
    monkeypatch.setattr(type(spool.chain), "_load", load)
    assert node.watch_once() == cli.REFUSED
    assert f"{spool.chain.folder}: Permission denied" in capsys.readouterr().err
    refusing = False
    node.agent.tailer.scan_wanted = True
    assert node.watch_once() == cli.DONE
    assert [bytes(data) for data in node.service.held.values()] == [b"line\n"]
