"""A sync that fails: that request is not acknowledged, the service goes on, the bytes stay right."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from builders import a_stream
from processes import Answer, Client, ServiceProcess

STRACE = "strace -f -DD --seccomp-bpf -o /dev/null -e trace=fsync,fdatasync -e inject=fsync,fdatasync:error=EIO:when={}"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is missing: apt-get install strace"),
]


class Sender:
    """Sends one log in chunks; sends again what was refused."""

    def __init__(self, client: Client, number: int = 0, offset: int = 0) -> None:
        name = a_stream(job="sync", task=f"worker-{number}")
        self.query = {"job": name.job, "task": name.task, "path": name.path}
        self.log = b"".join(b"%d step %d loss=0.25\n" % (number, n) for n in range(400_000))
        self.client, self.offset = client, offset
        self.refused: list[Answer] = []

    def send(self, size: int) -> bool:
        """One chunk; True once it was acknowledged, False where it was refused."""
        data = self.log[self.offset : self.offset + size]
        answer = self.client.chunk(data, offset=self.offset, **self.query)
        if answer.status == 200:
            self.offset = answer.json["next_offset"]
            return True
        self.refused.append(answer)
        return False

    def check(self) -> None:
        """What was acknowledged is there, and nothing but bytes of the log."""
        place = self.client.get("/chunks", **self.query)
        assert place["next_offset"] >= self.offset
        held = self.client.raw(place["stream"])  # after a start it may grow: what was not acknowledged is found
        assert len(held) >= place["next_offset"] and held == self.log[: len(held)]


# The count is kept for each thread: the writer's commits and the packers' segments both come to it.
@pytest.mark.parametrize("when", ["5", "7", "8+5"])
def test_batch_whose_sync_fails_is_not_acknowledged(tmp_path: Path, when: str) -> None:
    """503 with the time to come again; sent again it is stored once; the service never stops."""
    service = ServiceProcess(tmp_path / "data").start()
    service.stop()  # the folder is made: what follows are syncs of appends
    service = ServiceProcess(tmp_path / "data", prefix=tuple(STRACE.format(when).split())).start()
    senders = [Sender(service.client(), number) for number in range(3)]
    for turn in range(60):
        sender = senders[turn % 3]
        for _ in range(20):
            if sender.send((200, 30_000, 600_000)[turn // 3 % 3]):
                break
        else:
            pytest.fail("the service does not go on")
        if sender.refused:
            sender.check()
    refused = [answer for sender in senders for answer in sender.refused]
    assert refused
    for answer in refused:
        assert (answer.status, answer.code) == (503, "store_unavailable")
        assert int(answer.headers["Retry-After"]) >= 1
    for sender in senders:
        sender.check()
    service.kill()

    service = ServiceProcess(tmp_path / "data").start()
    for sender in senders:
        sender.client = service.client()
        sender.check()
        assert sender.send(1000)
        sender.check()
    service.stop()
    assert "Traceback" not in service.logged()


def test_disk_that_syncs_no_more(tmp_path: Path) -> None:
    """Nothing is acknowledged, what was is read all the same, and is there once the disk works again."""
    service = ServiceProcess(tmp_path / "data").start()
    sender = Sender(service.client())
    for size in (1000, 700_000, 1000):
        assert sender.send(size)
    service.stop()
    later = STRACE.format("12+")  # of each thread: a start syncs two databases
    service = ServiceProcess(tmp_path / "data", prefix=tuple(later.split())).start()
    sender.client = service.client()
    while sender.send(1000):
        assert sender.offset < 1_000_000, "the syncs do not fail"
    for size in (1000, 700_000, 10):
        assert not sender.send(size)
    assert {answer.code for answer in sender.refused} == {"store_unavailable"}
    sender.check()
    assert service.client().get("/jobs/sync/streams")["streams"][0]["size_bytes"] == sender.offset
    service.kill()

    service = ServiceProcess(tmp_path / "data").start()
    sender.client = service.client()
    sender.check()
    assert sender.send(700_000)
    sender.check()
    service.stop()
    assert "Traceback" not in service.logged()


def test_start_on_a_disk_that_does_not_sync(tmp_path: Path) -> None:
    """A sentence and exit status 2, no trace."""
    service = ServiceProcess(tmp_path / "data").start()
    service.kill()
    service = ServiceProcess(tmp_path / "data", prefix=tuple(STRACE.format("1+").split()))
    service.launch()
    assert service.process.wait(60) == 2
    last = service.logged().strip().splitlines()[-1]
    assert last.startswith("logsvc: ") and "Traceback" not in service.logged()
