"""What is sent when: a service in dictionaries, a way to it of a given speed, a clock that only sending moves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional, cast

import pytest

from collectors.client import Client, Frame, Refused, Unavailable
from collectors.settings import Identity
from collectors.shipper import BODY_BYTES, FIRST_BODY_BYTES, FRESH_BYTES, LEAST_BODY_BYTES, Shipper
from collectors.tailer.discovery import Discovery
from collectors.tailer.rotation import Tailer
from unit.collector_rig import told

JOB = "J-1"
MB = 1_000_000
LINE = b"epoch: 1 step: 17, loss is 0.3141592\n"


class Service:
    """
    A client and its service in one.

    Attributes:
        speed: bytes a second; each request takes 10 ms besides.
        now: moved by requests, and by the test.
        sent: for each request with bytes: names and sizes of its frames.
        limit_bytes: larger bodies are refused with 413.
        refusals: by file name; given for a frame, or as `poison` for the whole body.
    """

    server = "http://fake"

    def __init__(self, speed: float = 100 * MB) -> None:
        self.speed = speed
        self.now = 0.0
        self.held: dict[tuple[str, int], bytearray] = defaultdict(bytearray)
        self.sealed: set[str] = set()
        self.sent: list[list[tuple[str, int]]] = []
        self.asked: list[int] = []
        self.limit_bytes = 1 << 40
        self.refusals: dict[str, Refused] = {}
        self.poison: Optional[str] = None

    def clock(self) -> float:
        return self.now

    def content(self, name: str, generation: int = 0) -> bytes:
        return bytes(self.held[name, generation])

    def offsets(self, streams: Sequence[tuple[str, str, str]]) -> list[list[dict[str, Any]]]:
        self.asked.append(len(streams))
        if self.poison and any(path.endswith("/" + self.poison) for _, _, path in streams):
            raise Refused(422, "bad_path", "no such name, please", {})
        return [self._generations(path.rpartition("/")[2]) for _, _, path in streams]

    def chunk(self, frame: Frame) -> int:
        result = self._take([frame])[0]
        if isinstance(result, Refused):
            raise result
        return cast(int, result)

    def batch(self, frames: Sequence[Frame]) -> list[object]:
        return self._take(frames)

    def _take(self, frames: Sequence[Frame]) -> list[object]:
        size = sum(len(frame.data) for frame in frames)
        self.now += 0.01 + size / self.speed
        self.sent.append([(_name(frame), len(frame.data)) for frame in frames])
        if size > self.limit_bytes:
            raise Refused(413, "too_large", "too large", {})
        if self.poison and any(_name(frame) == self.poison for frame in frames):
            raise Refused(422, "bad_path", "no such name, please", {})
        return [self._append(frame) for frame in frames]

    def _append(self, frame: Frame) -> object:
        name = _name(frame)
        if name in self.refusals:
            return self.refusals[name]
        held = self.held[name, frame.generation]
        if frame.offset > len(held):
            return Refused(409, "offset_gap", "past the end", {"expected": len(held)})
        overlap = min(len(held) - frame.offset, len(frame.data))
        if held[frame.offset : frame.offset + overlap] != frame.data[:overlap]:
            return Refused(409, "content_conflict", "other bytes are held", {})
        held += frame.data[overlap:]
        if frame.final:
            self.sealed.add(name)
        return len(held)

    def _generations(self, name: str) -> list[dict[str, Any]]:
        return [told(generation, bytes(data)) for (held, generation), data in sorted(self.held.items()) if held == name]


def _name(frame: Frame) -> str:
    return frame.path.rpartition("/")[2]


class Rig:
    """Files in a folder, and a shipper for them."""

    def __init__(self, folder: Path, service: Service) -> None:
        self.folder, self.service = folder, service
        self.tailer = Tailer(Discovery([folder], Identity(JOB)))
        self.troubles: list[str] = []
        self.shipper = Shipper(
            cast(Client, service), self.tailer, lambda kind, text: self.troubles.append(kind), clock=service.clock
        )

    def write(self, name: str, data: bytes) -> None:
        with (self.folder / name).open("ab") as file:
            file.write(data)

    def round(self) -> bool:
        """Look at everything, then send once."""
        self.tailer.scan(self.service.now)
        return self.shipper.round(self.service.now)

    def all_sent(self, rounds: int = 1000) -> None:
        for _ in range(rounds):
            if not self.round() and not self.tailer.pending():
                return
        raise AssertionError(f"{self.tailer.pending()} bytes wait after {rounds} rounds")


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path, Service())


def test_after_an_outage_new_lines_are_there_in_time_and_all_catch_up_fairly(tmp_path: Path) -> None:
    """25 streams are 1 MB behind, at 1 MB/s; lines of five others come all the time, and wait 5 s at most."""
    service = Service(speed=1 * MB)
    rig = Rig(tmp_path, service)
    behind = {f"behind-{n}.log": bytes([65 + n]) * MB for n in range(25)}
    for name, data in behind.items():
        rig.write(name, data)
    lines = {f"live-{n}.log": b"" for n in range(5)}
    written: dict[str, list[tuple[float, int]]] = {name: [] for name in lines}
    waited: list[float] = []
    spreads: list[int] = []
    while True:
        for name in lines:
            rig.write(name, LINE)
            lines[name] += LINE
            written[name].append((service.now, len(lines[name])))
        more = rig.round()
        for name, waiting in written.items():
            held = len(service.content(name))
            waited += [service.now - since for since, end in waiting if end <= held]
            written[name] = [(since, end) for since, end in waiting if end > held]
            waited += [service.now - since for since, _ in written[name]]
        if not more:
            break
        spreads.append(
            max(len(service.content(name)) for name in behind) - min(len(service.content(name)) for name in behind)
        )
    assert max(waited) <= 5
    assert service.now > 25  # the way was the limit, so lines did wait
    assert max(spreads) <= FIRST_BODY_BYTES  # none was sent whole while another had nothing
    assert {name: service.content(name) for name in behind} == behind
    rig.all_sent()
    assert {name: service.content(name) for name in lines} == lines


def test_a_line_does_not_wait_for_many_streams_that_are_a_little_behind(tmp_path: Path) -> None:
    """Each of 300 has as much as still counts as new; the one with the least goes first."""
    service = Service(speed=1 * MB)
    rig = Rig(tmp_path, service)
    for n in range(300):
        rig.write(f"a-{n}.log", b"x" * FRESH_BYTES)
    rig.round()
    rig.write("z.log", LINE)
    start = service.now
    rig.round()
    assert service.content("z.log") == LINE
    assert service.now - start <= 5
    assert service.sent[-2][0] == ("z.log", len(LINE))
    assert rig.tailer.pending() > 10 * MB
    rig.all_sent()


def test_those_without_room_among_the_new_get_their_turn(tmp_path: Path) -> None:
    """Streams with less to send come first, round after round; the larger ones move all the same."""
    rig = Rig(tmp_path, Service())
    for n in range(40):
        rig.write(f"large-{n}.log", b"x" * (FRESH_BYTES - 1))
    for _ in range(3):
        for n in range(100):
            rig.write(f"small-{n}.log", b"y" * (FRESH_BYTES // 2))
        rig.round()
    assert sum(len(rig.service.content(f"large-{n}.log")) for n in range(40)) >= 40 * (FRESH_BYTES - 1) // 2


def test_many_small_streams_travel_in_one_request(rig: Rig) -> None:
    for n in range(400):
        rig.write(f"{n}.log", LINE)
    assert not rig.round()
    assert rig.service.asked == [400]
    assert [len(frames) for frames in rig.service.sent] == [400]
    rig.write("7.log", LINE)
    rig.round()
    assert rig.service.asked == [400]  # only once
    assert rig.service.sent[1:] == [[("7.log", len(LINE))]]


def test_at_rest_nothing_is_sent(rig: Rig) -> None:
    rig.write("a.log", LINE)
    rig.all_sent()
    sent = len(rig.service.sent)
    for _ in range(5):
        rig.service.now += 10
        assert not rig.round()
    assert len(rig.service.sent) == sent


def test_bodies_grow_where_the_way_is_quick(rig: Rig) -> None:
    rig.write("large.log", b"x" * 20 * MB)
    rig.all_sent()
    sizes = [sum(size for _, size in frames) for frames in rig.service.sent]
    assert sizes[0] <= 1 << 20
    assert max(sizes) > BODY_BYTES // 2
    assert max(sizes) <= BODY_BYTES


def test_bodies_shrink_where_it_is_slow_and_grow_again(rig: Rig) -> None:
    rig.write("large.log", b"x" * 30 * MB)
    for _ in range(6):
        rig.round()
    quick = rig.service.sent[-1][0][1]
    rig.service.speed = 200_000
    for _ in range(5):
        rig.round()
    slow = rig.service.sent[-1][0][1]
    rig.service.speed = 100 * MB
    rig.all_sent()
    assert slow <= quick // 8
    assert max(size for frames in rig.service.sent[11:] for _, size in frames) >= 4 * slow


def test_a_request_that_fails_late_is_followed_by_smaller_ones(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that does not get through within the time limit must not be tried at the same size for ever."""
    rig.write("large.log", b"x" * 10 * MB)
    rig.round()
    first = rig.service.sent[0][0][1]
    sizes: list[int] = []

    def slow(frame: Frame) -> int:
        sizes.append(len(frame.data))
        rig.service.now += 90
        raise Unavailable("no answer in time")

    monkeypatch.setattr(rig.service, "chunk", slow)
    for _ in range(4):
        with pytest.raises(Unavailable):
            rig.round()
    assert sizes[-1] < sizes[0]
    assert sizes[-1] < first


def test_bodies_that_are_too_large_are_made_smaller(rig: Rig) -> None:
    rig.service.limit_bytes = 150_000
    for n in range(10):
        rig.write(f"{n}.log", b"x" * 60_000)
    rig.write("large.log", b"y" * 2 * MB)
    rig.all_sent()
    refused = [frames for frames in rig.service.sent if sum(size for _, size in frames) > 150_000]
    assert 1 <= len(refused) <= 8  # learned, not tried again and again
    assert rig.service.content("large.log") == b"y" * 2 * MB
    assert all(rig.service.content(f"{n}.log") == b"x" * 60_000 for n in range(10))


def test_a_service_that_takes_nothing_of_any_size_is_broken(rig: Rig) -> None:
    rig.service.limit_bytes = 100
    rig.write("large.log", b"y" * 2 * MB)
    with pytest.raises(Unavailable, match=f"at {LEAST_BODY_BYTES} bytes"):
        rig.all_sent()
    assert rig.service.content("large.log") == b""


def test_a_content_conflict_is_answered_by_a_new_generation(rig: Rig) -> None:
    """The same first kilobyte and another ending: only the bytes themselves tell."""
    head = b"H" * 1024
    rig.service.held["a.log", 0] += head + b"another ending"
    data = head + b"this file's own ending\n"
    rig.write("a.log", data)
    rig.write("b.log", LINE)
    rig.all_sent()
    assert rig.service.content("a.log") == head + b"another ending"
    assert rig.service.content("a.log", 1) == data
    assert rig.service.content("b.log") == LINE


def test_what_the_service_holds_by_its_head_is_not_sent_again(rig: Rig) -> None:
    data = bytes(range(256)) * 400
    rig.service.held["a.log", 0] += data[:50_000]
    rig.write("a.log", data)
    rig.all_sent()
    assert rig.service.content("a.log") == data
    assert sum(size for frames in rig.service.sent for _, size in frames) == 52_400 + 4096


def test_a_gap_is_sent_again_from_where_the_service_is(rig: Rig) -> None:
    rig.write("a.log", b"one\ntwo\n")
    rig.all_sent()
    del rig.service.held["a.log", 0][4:]
    rig.write("a.log", b"three\n")
    rig.all_sent()
    assert rig.service.content("a.log") == b"one\ntwo\nthree\n"


@pytest.mark.parametrize("detail", [{}, {"expected": "4"}, {"expected": -1}, {"expected": 10**9}])
def test_a_gap_without_a_place_to_resend_from_is_no_answer(rig: Rig, detail: dict[str, Any]) -> None:
    rig.service.refusals["a.log"] = Refused(409, "offset_gap", "past the end", detail)
    rig.write("a.log", LINE)
    with pytest.raises(Unavailable):
        rig.round()
    rig.service.refusals.clear()
    rig.all_sent()
    assert rig.service.content("a.log") == LINE


def test_one_refused_frame_does_not_hold_the_others(rig: Rig) -> None:
    rig.service.refusals["3.log"] = Refused(422, "bad_path", "no such name, please", {})
    for n in range(6):
        rig.write(f"{n}.log", LINE)
    rig.all_sent()
    assert [bool(rig.service.content(f"{n}.log")) for n in range(6)] == [n != 3 for n in range(6)]
    assert rig.troubles == ["refused"]


def test_a_body_refused_as_a_whole_is_halved_until_the_cause_is_alone(rig: Rig) -> None:
    for n in range(16):
        rig.write(f"{n}.log", LINE)
    rig.all_sent()
    rig.service.poison = "11.log"
    for n in range(16):
        rig.write(f"{n}.log", LINE)
    rig.all_sent()
    assert [rig.service.content(f"{n}.log") == 2 * LINE for n in range(16)] == [n != 11 for n in range(16)]
    assert rig.troubles == ["refused"]


def test_a_name_that_may_not_be_asked_about_does_not_hold_the_others(rig: Rig) -> None:
    rig.service.poison = "5.log"
    for n in range(8):
        rig.write(f"{n}.log", LINE)
    rig.all_sent()
    assert [bool(rig.service.content(f"{n}.log")) for n in range(8)] == [n != 5 for n in range(8)]
    assert rig.service.asked[0] == 8


def test_a_frame_for_later_leaves_the_others_acknowledged(rig: Rig) -> None:
    full = Refused(507, "disk_full", "no room", {"retry_after_seconds": 7})
    rig.service.refusals["1.log"] = full
    for n in range(3):
        rig.write(f"{n}.log", LINE)
    with pytest.raises(Unavailable) as caught:
        rig.round()
    assert caught.value.retry_after_seconds == 7
    assert [rig.service.content(f"{n}.log") for n in range(3)] == [LINE, b"", LINE]
    rig.service.refusals.clear()
    sent = len(rig.service.sent)
    rig.all_sent()
    assert [frames for frames in rig.service.sent[sent:] if frames] == [[("1.log", len(LINE))]]


def test_an_expired_job_is_said_once_and_left_alone(tmp_path: Path) -> None:
    rig = Rig(tmp_path, Service())
    gone = "modelarts-job-gone-worker-0.log"
    rig.service.refusals[gone] = Refused(410, "expired", "the job's logs are gone", {})
    rig.write(gone, LINE)
    rig.write("a.log", LINE)
    rig.all_sent()
    for _ in range(3):
        rig.write(gone, LINE)
        rig.write("a.log", LINE)
        rig.all_sent()
    assert rig.service.content("a.log") == 4 * LINE
    assert sum(name == gone for frames in rig.service.sent for name, _ in frames) == 1
    assert rig.troubles == ["expired"]
