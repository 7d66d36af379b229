"""inotify as a hint: a line in a quiet file and a new file are read at once; nothing is lost where there is none."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest

from collectors.agent import Agent
from collectors.client import Client
from collectors.settings import Identity, Settings
from collectors.tailer import notices as module
from collectors.tailer.notices import Notices, events
from processes import wait_until
from unit.collector_rig import JOB, OTHER, Service

NEVER = 3600.0  # seconds until the next look: only a notice can bring anything before


@pytest.fixture
def notices(tmp_path: Path) -> Iterator[Notices]:
    notices = Notices(threading.Event())
    notices.watch([str(tmp_path)])
    yield notices
    notices.close()
    notices.close()


def append(file: Path, data: bytes) -> None:
    with file.open("ab") as opened:
        opened.write(data)


def test_what_happens_in_a_folder(notices: Notices, tmp_path: Path) -> None:
    assert notices.take() == (set(), False)
    append(tmp_path / "a.log", b"one\n")
    assert notices.take() == ({str(tmp_path / "a.log")}, True)
    append(tmp_path / "a.log", b"two\n")
    assert notices.take() == ({str(tmp_path / "a.log")}, False)
    (tmp_path / "a.log").rename(tmp_path / "a.log.1")
    assert notices.take() == (set(), True)
    (tmp_path / "folder").mkdir()
    assert notices.take() == (set(), True)
    append(tmp_path / ".hidden", b"")
    (tmp_path / "a.log.1").unlink()
    assert notices.take() == (set(), False)


@pytest.mark.parametrize("hear", [Notices.take, Notices.skip])
def test_folders_come_and_go(notices: Notices, tmp_path: Path, hear: Callable[[Notices], object]) -> None:
    inner = tmp_path / "inner"
    for _ in range(2):
        inner.mkdir()
        wanted = [str(tmp_path), str(inner), str(tmp_path / "nowhere")]
        notices.take()
        assert notices.watch(wanted) and not notices.watch(wanted)
        append(inner / "a.log", b"one\n")
        assert notices.take() == ({str(inner / "a.log")}, True)
        (inner / "a.log").unlink()
        inner.rmdir()
        hear(notices)
    notices.watch([])
    append(tmp_path / "a.log", b"one\n")
    assert notices.take() == (set(), False)


def test_word_of_an_overflow_is_word_of_anything() -> None:
    raw = struct.pack("iIII16s", 3, 0x2, 0, 16, b"a.log") + struct.pack("iIII", -1, 0x4000, 0, 0)
    assert list(events(raw)) == [(3, 0x2, b"a.log"), (-1, 0x4000, b"")]
    assert list(events(raw[:-1])) == [(3, 0x2, b"a.log")]


def test_the_event_is_set_only_when_somebody_waits(tmp_path: Path) -> None:
    wake = threading.Event()
    notices = Notices(wake)
    notices.watch([str(tmp_path)])
    append(tmp_path / "a.log", b"one\n")
    notices.expect()
    assert wake.wait(20)
    notices.take()
    wake.clear()
    notices.expect()
    append(tmp_path / "a.log", b"two\n")
    assert wake.wait(20)
    notices.close()


@contextmanager
def running(tmp_path: Path, service: Service, rest_seconds: float) -> Iterator[Agent]:
    """An agent in its loop on `logs`."""
    settings = Settings(
        "http://service", state_dir=tmp_path / "state", identity=Identity(JOB), rest_seconds=rest_seconds
    )
    agent = Agent(settings, [tmp_path / "logs"], lambda text: None, state=None)
    agent.client = agent.shipper.client = cast(Client, service)
    stop = threading.Event()
    thread = threading.Thread(target=agent.loop, args=(stop,))
    thread.start()
    try:
        yield agent
    finally:
        stop.set()
        agent.wake.set()
        thread.join()
        agent.close()


def holds(service: Service, name: str, data: bytes) -> Callable[[], bool]:
    return lambda: bytes(service.held.get((f"{OTHER}/{name}", 0), b"")) == data


def test_a_quiet_file_and_a_new_one_are_read_at_once(tmp_path: Path) -> None:
    """The next look is an hour away."""
    quiet = tmp_path / "logs/deep/quiet.log"
    quiet.parent.mkdir(parents=True)
    quiet.write_bytes(b"one\n")
    service = Service()
    with running(tmp_path, service, NEVER) as agent:
        wait_until(holds(service, "deep/quiet.log", b"one\n"))
        wait_until(lambda: not agent.tailer.active)
        append(quiet, b"two\n")
        wait_until(holds(service, "deep/quiet.log", b"one\ntwo\n"))
        append(quiet.with_name("new.log"), b"three\n")
        wait_until(holds(service, "deep/new.log", b"three\n"))
        (quiet.parent / "inner").mkdir()
        append(quiet.parent / "inner/new.log", b"four\n")
        wait_until(holds(service, "deep/inner/new.log", b"four\n"))


def nothing_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda *given, **more: object())


def no_instance_left(monkeypatch: pytest.MonkeyPatch) -> None:
    class Libc:
        inotify_add_watch = inotify_rm_watch = None

        @staticmethod
        def inotify_init1(flags: int) -> int:
            ctypes.set_errno(errno.EMFILE)
            return -1

    monkeypatch.setattr(ctypes, "CDLL", lambda *given, **more: Libc)


def no_watch_left(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(Notices):
        def __init__(self, wake: threading.Event) -> None:
            super().__init__(wake)
            self._add = lambda *given: -1

    monkeypatch.setattr("collectors.agent.Notices", Full)


def words_get_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "events", lambda data: iter(()))


@pytest.mark.parametrize("what", [nothing_there, no_instance_left, no_watch_left, words_get_lost])
def test_without_word_all_is_read_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: Callable[[pytest.MonkeyPatch], None]
) -> None:
    what(monkeypatch)
    log = tmp_path / "logs/a.log"
    log.parent.mkdir()
    log.write_bytes(b"one\n")
    service = Service()
    with running(tmp_path, service, 0.05) as agent:
        wait_until(holds(service, "a.log", b"one\n"))
        append(log, b"two\n")
        append(log.with_name("b.log"), b"three\n")
        wait_until(holds(service, "a.log", b"one\ntwo\n"))
        wait_until(holds(service, "b.log", b"three\n"))
        assert not agent.errors["unreadable"]


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    notices = Notices(threading.Event())
    notices.watch([str(tmp_path)])
    notices.close()
    assert os.listdir("/proc/self/fd") == before
