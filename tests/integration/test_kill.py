"""The promise under `kill -9`: what was answered 2xx is there, once, byte for byte."""

from __future__ import annotations

import hashlib
import http.client
import random
import subprocess
import sys
import threading
import time
from functools import lru_cache
from pathlib import Path

import pytest

from builders import a_stream
from logsvc.model.stream import StreamName
from processes import Client, ServiceProcess

KILLS = 50  # that land while data is in flight
SEED = 3
BLOCK_BYTES = 1 << 16
SIZES = ((1, 400), (2_000, 20_000), (100_000, 400_000), (500_000, 1_500_000))  # of chunks: tails, packs, bulk

pytestmark = [pytest.mark.kill, pytest.mark.slow, pytest.mark.timeout(600)]


@lru_cache(maxsize=256)
def block(stream: int, index: int) -> bytes:
    """A piece of a stream's endless content: lines of all lengths, the same each time."""
    made = random.Random(f"{stream}:{index}")
    words, size = [], 0
    while size < BLOCK_BYTES:
        words.append(
            b"step %d loss=%.4f %s\n"
            % (size, made.random(), made.randbytes(made.choice((4, 4, 40, 900))).hex().encode())
        )
        size += len(words[-1])
    return b"".join(words)[:BLOCK_BYTES]


def content(stream: int, start: int, end: int) -> bytes:
    """Bytes [start, end) of a stream's content."""
    first = start // BLOCK_BYTES
    joined = b"".join(block(stream, index) for index in range(first, -(-end // BLOCK_BYTES)))
    return joined[start - first * BLOCK_BYTES : end - first * BLOCK_BYTES]


class Sender(threading.Thread):
    """Sends one stream's content, chunk by chunk, over all restarts; remembers what was acknowledged."""

    def __init__(self, number: int, service: ServiceProcess, alive: threading.Event, ending: threading.Event) -> None:
        super().__init__(daemon=True)
        self.number = number
        self.name_of: StreamName = a_stream(job="kill", task=f"worker-{number}")
        self.acknowledged = 0
        self.in_flight = False
        self.problems: list[str] = []
        self._service, self._alive, self._ending = service, alive, ending
        self._random = random.Random(f"{SEED}:{number}")

    @property
    def query(self) -> dict[str, str]:
        return {"job": self.name_of.job, "task": self.name_of.task, "path": self.name_of.path}

    def run(self) -> None:
        while not self._ending.is_set():
            if not self._alive.wait(0.1):
                continue
            client = Client(self._service.port, self._service.token)
            try:
                self._send(client)
            except (OSError, http.client.HTTPException):
                time.sleep(0.01)  # killed: the same again, once it is back
            finally:
                client.close()

    def _send(self, client: Client) -> None:
        held = client.get("/chunks", **self.query)["next_offset"]
        if held < self.acknowledged:
            self.problems.append(f"acknowledged {self.acknowledged}, held {held}")
        # Some senders trust the service's offset, others send again what they have no answer for.
        offset = held if self._random.random() < 0.5 else self.acknowledged
        while not self._ending.is_set():
            low, high = SIZES[self.number % len(SIZES)]
            data = content(self.number, offset, offset + self._random.randint(low, high))
            self.in_flight = True
            answer = client.chunk(data, offset=offset, **self.query)
            self.in_flight = False
            if answer.status != 200:
                self.problems.append(f"{answer.status} {answer.body[:300]!r}")
                return
            offset = answer.json["next_offset"]
            self.acknowledged = max(self.acknowledged, offset)


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    """At least fifty kills at random moments of ingest, some of them twice in a row."""
    chance = random.Random(SEED)
    service = ServiceProcess(tmp_path / "data").start()
    alive, ending = threading.Event(), threading.Event()
    senders = [Sender(number, service, alive, ending) for number in range(8)]
    for sender in senders:
        sender.start()
    landed = in_recovery = 0
    growth: list[int] = []
    while landed < KILLS and len(growth) < 3 * KILLS:
        before = sum(sender.acknowledged for sender in senders)
        alive.set()
        time.sleep(chance.uniform(0.05, 0.6))
        in_flight = any(sender.in_flight for sender in senders)
        alive.clear()
        service.kill()
        landed += in_flight
        growth.append(sum(sender.acknowledged for sender in senders) - before)
        if chance.random() < 0.3:
            service.launch()  # and again while it recovers
            time.sleep(chance.uniform(0.3, 1.2))
            in_recovery += service.process.poll() is None
            service.kill()
        service.start()
    alive.set()
    time.sleep(1)
    ending.set()
    for sender in senders:
        sender.join(60)

    assert [problem for sender in senders for problem in sender.problems] == []
    assert landed >= KILLS and in_recovery >= 5
    assert sum(more > 0 for more in growth) > KILLS / 3  # between many kills, chunks were acknowledged
    check_all(service.client(), senders)
    service.stop()
    assert "Traceback" not in service.logged()
    doctor = subprocess.run(
        [sys.executable, "-m", "logsvc", "doctor", "--data-dir", str(tmp_path / "data")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr


def check_all(client: Client, senders: list[Sender]) -> None:
    """Every acknowledged byte is there, none twice, and the lines are those of the bytes."""
    streams = {stream["task"]: stream for stream in client.get("/jobs/kill/streams")["streams"]}
    assert len(streams) == len(senders)
    for sender in senders:
        stream = streams[sender.name_of.task]
        data = client.raw(stream["id"])
        assert len(data) == stream["size_bytes"] >= sender.acknowledged > 0
        expected = content(sender.number, 0, len(data))
        assert hashlib.sha256(data).hexdigest() == hashlib.sha256(expected).hexdigest()
        assert stream["lines"] == data.count(b"\n") + (not data.endswith(b"\n"))
        for needle in ("loss=0.77", "step 0 "):
            count = sum(needle.encode() in line for line in data.split(b"\n"))
            assert client.get(f"/streams/{stream['id']}/matches", q=needle, limit=0)["total"] == count
        last = client.get(f"/streams/{stream['id']}/lines", **{"from": -1})["lines"][0]
        assert last["text"] == data.split(b"\n")[-1 if not data.endswith(b"\n") else -2].decode()
