"""Samples on a disk that does not sync or is full: refused, never half stored, read meanwhile, and it goes on."""

from __future__ import annotations

import asyncio
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from builders import HandClock
from logsvc.stores.embedded.store import EmbeddedStore
from processes import Answer, Client, ServiceProcess, wait_until
from small_disk import small_disk, small_disks_are_allowed

CARDS = 8
JOB = "sample-faults"
STRACE = "strace -f -DD --seccomp-bpf -o /dev/null -e trace=fdatasync -e inject=fdatasync:error=EIO:when={}"

pytestmark = pytest.mark.slow


class Sender:
    """Sends one sample of each card in a call; sends again what was refused."""

    def __init__(self, client: Client) -> None:
        self.client, self.sent = client, 0
        self.refused: list[Answer] = []

    def send(self, times: int = 1) -> bool:
        """One call; True once it was acknowledged."""
        samples = [
            {"at": _moment(at), "device": card, "kind": "gpu", "utilization_percent": _used(at), "power_watts": at / 8}
            for at in range(self.sent, self.sent + times)
            for card in range(CARDS)
        ]
        body = json.dumps({"job": JOB, "task": "worker-0", "samples": samples}).encode()
        answer = self.client.ask("POST", "/samples", body, {"Content-Type": "application/json"})
        if answer.status == 204:
            self.sent += times
            return True
        self.refused.append(answer)
        return False

    def check(self) -> None:
        """Every card has what was acknowledged, each sample once."""
        means = self.client.get(f"/jobs/{JOB}/utilization")["means"]["devices"]
        assert [one["readings"] for one in means] == [self.sent] * CARDS
        expected = sum(map(_used, range(self.sent))) / self.sent
        assert [one["mean_percent"] for one in means] == pytest.approx([expected] * CARDS, rel=1e-9)


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is missing: apt-get install strace")
def test_samples_whose_sync_fails_are_not_acknowledged(tmp_path: Path) -> None:
    """503 with the time to come again; what was refused counts once when it is sent again, also after a start."""
    asyncio.run(_made(tmp_path / "data"))
    # Counted for each thread: opening a folder that is there takes fewer, and samples have a thread of their own.
    service = ServiceProcess(tmp_path / "data", prefix=tuple(STRACE.format("9+3").split())).start()
    sender = Sender(service.client())
    for turn in range(18):
        assert any(sender.send(1 + turn % 3 * 70) for _ in range(10)), "it does not go on"
        if len(sender.refused) == 1:
            sender.check()
    assert len(sender.refused) >= 2
    assert {(answer.status, answer.code) for answer in sender.refused} == {(503, "store_unavailable")}
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in sender.refused)
    sender.check()
    service.kill()
    _starts_and_goes_on(tmp_path, sender)


@pytest.mark.skipif(not small_disks_are_allowed(), reason="mounting a disk of one's own is not allowed")
def test_samples_on_a_full_disk(tmp_path: Path) -> None:
    """507, reads go on, and samples are taken again as soon as there is room."""
    disk = tmp_path / "disk"
    disk.mkdir()
    service = ServiceProcess(disk / "data", prefix=small_disk(disk, 24 << 20))
    service.log = tmp_path / "service.log"
    service.start()
    try:
        sender = Sender(service.client())
        assert sender.send(100)
        inside = Path(f"/proc/{service.process.pid}/root{disk}")
        filler = inside / "filler"
        filler.write_bytes(bytes(max(0, shutil.disk_usage(inside).free - 400_000)))
        while sender.send(100):
            assert sender.sent < 50_000, "the disk does not get full"
        assert (sender.refused[0].status, sender.refused[0].code) == (507, "disk_full")
        assert int(sender.refused[0].headers["Retry-After"]) >= 1
        sender.check()
        filler.unlink()
        wait_until(lambda: sender.send(100), 15)
        for _ in range(5):
            assert sender.send(100)
        sender.check()
        assert "Traceback" not in service.logged()
    finally:
        service.kill()


async def _made(folder: Path) -> None:
    store = EmbeddedStore(folder, clock=HandClock())
    await store.open()
    await store.close()


def _starts_and_goes_on(folder: Path, sender: Sender) -> None:
    service = ServiceProcess(folder / "data").start()
    sender.client = service.client()
    sender.check()
    assert sender.send(200)
    sender.check()
    service.stop()
    assert "Traceback" not in service.logged()


def _moment(at: int) -> str:
    return datetime.fromtimestamp(1_795_000_000 + 5 * at, UTC).isoformat()


def _used(at: int) -> int:
    return at * 37 % 101
