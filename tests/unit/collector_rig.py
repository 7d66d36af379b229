"""A tailer and a shipper, or a whole agent, before a service in a dictionary, under a clock that is moved by hand."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, cast

from collectors.agent import CHECKPOINT_SECONDS
from collectors.client import Client, Frame, Refused, Unavailable
from collectors.settings import Identity
from collectors.shipper import Shipper
from collectors.tailer.discovery import Discovery, Found
from collectors.tailer.rotation import Tailer

JOB = "J-1"
OTHER = f"modelarts-job-{JOB}/other/worker-0"


class Killed(Exception):
    """The collector is no more."""


class Clock:
    """In the place of the module `time` for an agent, and of the event that it rests on."""

    thread_time = staticmethod(time.thread_time)

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def wait(self, seconds: float) -> bool:
        self.now += seconds
        return False

    def set(self) -> None:
        """It is only moved by waiting."""


class Service:
    """
    Bytes by path and generation.

    `away` refuses everything, `lose_answers` takes and says nothing; `kill_in` half calls on the collector is killed.
    """

    def __init__(self) -> None:
        self.held: dict[tuple[str, int], bytearray] = {}
        self.sealed: set[tuple[str, int]] = set()
        self.away = False
        self.lose_answers = 0
        self.kill_in: int | None = None
        self.meanwhile: Callable[[], None] = lambda: None  # happens during each call
        self.resent_bytes = 0
        self.server = "http://service"

    def offsets(self, streams: Sequence[tuple[str, str, str]]) -> list[list[dict[str, Any]]]:
        self._be_there()
        answer = [[self._told(name) for name in sorted(self.held) if name[0] == path] for _, _, path in streams]
        self._kill()
        return answer

    def batch(self, frames: Sequence[Frame]) -> list[object]:
        self._be_there()
        answers: list[object] = []
        for frame in frames:
            try:
                answers.append(self._append(frame))
            except Refused as exc:
                answers.append(exc)
        self._be_silent()
        return answers

    def chunk(self, frame: Frame) -> int:
        self._be_there()
        end = self._append(frame)
        self._be_silent()
        return end

    def calm(self) -> None:
        """No more faults."""
        self.away, self.lose_answers, self.kill_in = False, 0, None
        self.meanwhile = lambda: None

    def holds(self, path: str, data: bytes) -> bool:
        """Whether one generation of a path is this."""
        return any(name[0] == path and held == data for name, held in self.held.items())

    def close(self) -> None:
        """Nothing is held open."""

    def _append(self, frame: Frame) -> int:
        name = (frame.path, frame.generation)
        held = self.held.get(name, bytearray())
        if frame.offset > len(held):
            raise Refused(409, "offset_gap", "past the end", {"expected": len(held)})
        overlap = min(len(held) - frame.offset, len(frame.data))
        if held[frame.offset : frame.offset + overlap] != frame.data[:overlap]:
            raise Refused(409, "content_conflict", "other bytes are held", {})
        self.resent_bytes += overlap
        held += frame.data[overlap:]
        if frame.data or frame.final:
            self.held[name] = held
        if frame.final:
            self.sealed.add(name)
        return len(held)

    def _told(self, name: tuple[str, int]) -> dict[str, Any]:
        return told(name[1], bytes(self.held[name]), sealed=name in self.sealed)

    def _be_there(self) -> None:
        if self.away:
            raise Unavailable("away")
        self.meanwhile()
        self._kill()

    def _be_silent(self) -> None:
        self._kill()
        if self.lose_answers:
            self.lose_answers -= 1
            raise Unavailable("no answer")

    def _kill(self) -> None:
        if self.kill_in is not None:
            self.kill_in -= 1
            if self.kill_in < 0:
                raise Killed


def told(generation: int, data: bytes, *, sealed: bool = False) -> dict[str, Any]:
    """What the service says of a generation."""
    return {
        "generation": generation,
        "next_offset": len(data),
        "head_bytes": min(1024, len(data)),
        "head_sha256": hashlib.sha256(data[:1024]).hexdigest(),
        "tail_bytes": min(1024, len(data)),
        "tail_sha256": hashlib.sha256(data[-1024:]).hexdigest(),
        "sealed": sealed,
    }


class SlowDiscovery(Discovery):
    """Things happen between the listing of the files and the look at them."""

    meanwhile: Callable[[], None] = staticmethod(lambda: None)

    def scan(self) -> list[Found]:
        found = super().scan()
        self.meanwhile()
        return found


class Rig:
    """
    One collector on a folder; `step` looks and sends once, `settle` until all that time brings is done.

    Attributes:
        checkpoint: what the next collector would find, were this one killed now.
    """

    def __init__(self, folder: Path, service: Service, remembered: Iterable[dict[str, Any]] = ()) -> None:
        self.service = service
        self.checkpoint = list(remembered)
        self.discovery = SlowDiscovery([folder], Identity(JOB))
        self.tailer = Tailer(self.discovery, self.checkpoint)
        self.shipper = Shipper(cast(Client, service), self.tailer, lambda kind, text: None)
        self.now = 1000.0
        self._next_checkpoint = self.now

    def step(self, seconds: float = 1.0, *, scan: bool = True) -> None:
        self.now += seconds
        if scan or self.tailer.scan_wanted:
            self.tailer.scan(self.now)
        else:
            self.tailer.poll(self.now)
        if self.now >= self._next_checkpoint or self.tailer.checkpoint_wanted:
            self.checkpoint, self._next_checkpoint = self.tailer.remembered(), self.now + CHECKPOINT_SECONDS
        try:
            for _ in range(100):
                if not self.shipper.round(self.now):
                    return
            raise AssertionError("the shipper never comes to rest")
        except Unavailable:
            pass

    def settle(self) -> None:
        for _ in range(30):
            self.step()

    def stream(self, name: str) -> list[bytes]:
        """Generations held of a file of the folder, oldest first."""
        path = f"{OTHER}/{name}"
        return [bytes(data) for (held, _), data in sorted(self.service.held.items()) if held == path]

    def paths(self) -> set[str]:
        return {path for path, _ in self.service.held}
