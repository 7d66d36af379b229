"""Exactly once with a state folder that cannot be trusted, and with files so small that they are easily missed."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from integration.chaos_proxy import ChaosProxy, Exchange, cut_answer, cut_request
from integration.collector_journal import differences
from integration.fault_rig import Rig

pytestmark = pytest.mark.slow


def lies(checkpoint: Path) -> None:
    """Of the right form, and wrong in every number."""
    content = json.loads(checkpoint.read_bytes())
    files = content["files"]
    for entry, other in zip(files, files[1:] + files[:1], strict=True):
        entry["generation"] += 1
        entry["sent"] = 10**12
        entry["inode"] = other["inode"]
    checkpoint.write_text(json.dumps(content))


def torn(checkpoint: Path) -> None:
    checkpoint.write_bytes(checkpoint.read_bytes()[:-30])


def directory(checkpoint: Path) -> None:
    checkpoint.unlink()
    (checkpoint / "in the way").mkdir(parents=True)


def full_disk(checkpoint: Path) -> None:
    """Every write of a new checkpoint fails with ENOSPC, whoever writes it; the old one stays."""
    checkpoint.with_name(checkpoint.name + ".new").symlink_to("/dev/full")


def endless(checkpoint: Path) -> None:
    checkpoint.unlink()
    checkpoint.symlink_to(checkpoint)


SPOILT: dict[str, Callable[[Path], object]] = {
    "torn": torn,
    "empty": lambda checkpoint: checkpoint.write_bytes(b""),
    "garbage": lambda checkpoint: checkpoint.write_bytes(random.Random(1).randbytes(5000)),
    "deep": lambda checkpoint: checkpoint.write_bytes(b"[" * 100_000),
    "other JSON": lambda checkpoint: checkpoint.write_bytes(b'{"files": [1, null, {"device": true}, {"job": []}]}'),
    "no files": lambda checkpoint: checkpoint.write_bytes(b'{"files": {"a": 1}}'),
    "lies": lies,
    "removed": lambda checkpoint: checkpoint.unlink(),
    "a directory": directory,
    "a link to itself": endless,
    "on a full disk": full_disk,
}
UNWRITABLE = ("a directory", "on a full disk")


@pytest.mark.parametrize("name", SPOILT)
def test_a_checkpoint_that_is_spoilt(rig: Rig, name: str) -> None:
    """It is a hint: the service's offsets decide, whatever it says, also about a file that was rotated meanwhile."""
    journal = rig.journal(61, "a.log", "b.log", "c.log")
    journal.write()
    rig.start()
    rig.settle(journal)
    rig.stop()
    journal.write()
    journal.rotate("a.log")
    journal.write()
    SPOILT[name](rig.checkpoint)
    spoilt = _look(rig.checkpoint)
    rig.proxy.add(cut_request(0.7, rig.kill))
    rig.start()
    rig.proxy.wait()
    rig.start()
    journal.write()
    rig.settle(journal)
    rig.stop()
    written = not rig.checkpoint.is_dir() and _look(rig.checkpoint) != spoilt
    assert written is (name not in UNWRITABLE)


def _look(checkpoint: Path) -> object:
    """What lies there, without following it."""
    if checkpoint.is_symlink():
        return checkpoint.readlink()
    return checkpoint.read_bytes() if checkpoint.is_file() else checkpoint.exists()


def test_a_file_of_one_byte_and_one_without_an_end(rig: Rig) -> None:
    """Also over a kill between commit and answer, and where the rest of the line comes later."""
    journal = rig.journal(62, "one.log", "open.log")
    journal.write_bytes("one.log", b"x")
    journal.write_bytes("open.log", b"first\nsecond without an end")
    rig.proxy.add(cut_answer(0, rig.kill))
    rig.start()
    rig.proxy.wait()
    rig.start()
    rig.settle(journal)
    assert [stream["lines"] for stream in sorted(rig.streams(), key=lambda stream: str(stream["path"]))] == [1, 2]
    journal.write_bytes("open.log", b", which came\n")
    journal.write_bytes("one.log", b"\n")
    rig.settle(journal)


PRINTS = """
import sys
with open(sys.argv[1], "wb", buffering=0) as log:
    for number in range(1000):
        log.write(b"epoch %d loss 0.25\\n" % number)
"""


def test_a_job_that_is_gone_at_once(rig: Rig) -> None:
    """A thousand lines, then the end of the job and of its collector; all is sent before that ends."""
    journal = rig.journal(63, "before.log")
    lines = b"".join(b"epoch %d loss 0.25\n" % number for number in range(1000))
    for attempt in range(5):
        journal.write()
        rig.start()
        rig.settle(journal)
        job = f"deep/{attempt}/job.log"
        (rig.logs / job).parent.mkdir(parents=True)
        subprocess.run([sys.executable, "-S", "-E", "-c", PRINTS, str(rig.logs / job)], check=True)
        rig.stop()
        journal.written[rig.stream(job), 0] = bytearray(lines)
        assert differences(journal.written, rig.stored()) == []


def test_a_state_folder_on_a_full_disk(rig: Rig) -> None:
    """Nothing can be kept there; the logs are sent all the same, over kills too."""
    journal = rig.journal(64, "a.log", "b.log")
    disk = rig.logs.parent / "disk"
    disk.mkdir()
    fill = 'mount -t tmpfs -o size=16k tmpfs "$0" && mkdir "$0/state" && : >"$0/state/lock"'
    fill += ' && ! dd if=/dev/zero of="$0/full" bs=1k 2>/dev/null && exec "$@"'
    within = ("unshare", "--map-root-user", "--mount", "sh", "-c", fill, str(disk))
    if subprocess.run([*within, "true"], capture_output=True, check=False).returncode:
        pytest.skip("mounting in a namespace of one's own is not allowed here")
    command = [*within, sys.executable, "-m", "collectors", "watch", "--server", rig.proxy.url, "--job", rig.job]
    command += ["--state-dir", str(disk / "state"), str(rig.logs)]
    environment = {**os.environ, "LOGSVC_TOKEN": rig.service.token}
    for fault in (cut_request, cut_answer):
        journal.write()
        collector = subprocess.Popen(command, env=environment)
        rig.proxy.add(fault(0.5, lambda _: collector.kill()))  # noqa: B023
        rig.proxy.wait()
        assert collector.wait(30) == -signal.SIGKILL
    journal.write()
    collector = subprocess.Popen(command, env=environment)
    rig.settle(journal)
    kept = Path(f"/proc/{collector.pid}/root{disk}/state/checkpoint.json")
    assert kept.parent.is_dir() and not kept.exists()
    collector.terminate()
    assert collector.wait(30) == 0
    assert sum(rig.proxy.struck.values()) == 2


def test_the_comparison_finds_what_is_wrong() -> None:
    lines = [b"a.log %d\n" % number for number in range(6)]
    written = {("a.log", 0): b"".join(lines)}
    assert differences(written, {("a.log", 0): b"".join(lines)}) == []
    spoilt = {
        "line 3 lost": lines[:2] + lines[3:],
        "line 3 twice": lines[:3] + lines[2:],
        "line 3 after line 4": [*lines[:2], lines[3], lines[2], *lines[4:]],
        "a line that nobody wrote": [*lines[:2], b"a.log 2 and more\n", *lines[3:]],
        "72 bytes of 48": lines + lines[:3],
    }
    for words, stored in spoilt.items():
        assert any(words in found for found in differences(written, {("a.log", 0): b"".join(stored)})), words
    assert differences(written, {}) and differences({}, written)
    assert differences(written, {("a.log", 0): b"".join(lines), ("a.log", 1): b"x"})


@pytest.mark.parametrize("size", [0, 7, 100])
def test_the_proxy_really_resets(size: int) -> None:
    """RST after so many bytes of the request, in the middle of what is still being sent."""
    proxy = ChaosProxy(1)
    proxy.add(cut_request(size, Exchange.reset), on="POST")
    with socket.create_connection(("127.0.0.1", proxy.port), 10) as client:
        client.sendall(b"POST /api/v1/batch HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n" + bytes(100))
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    proxy.wait()
    assert proxy.struck == {f"request cut at {size}": 1}
    proxy.close()
