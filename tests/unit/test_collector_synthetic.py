"""The synthetic sampler plays a file of readings: held, with gaps, in a loop, and while it is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.samplers import DeviceReading, Failed
from collectors.samplers.synthetic import Synthetic, parse
from collectors.samplers.text import NotUnderstood


class Hand:
    """A clock moved by hand."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Player:
    def __init__(self, file: Path) -> None:
        self.file, self.clock = file, Hand()
        self.sampler = Synthetic(file, monotonic=self.clock)

    def write(self, *lines: dict[str, Any] | str) -> None:
        with self.file.open("a") as out:
            out.writelines((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)

    def at(self, seconds: float) -> dict[str, float | None]:
        self.clock.now = 1000.0 + seconds
        return {reading.device: reading.utilization_percent for reading in self.sampler.sample()}


@pytest.fixture
def player(tmp_path: Path) -> Player:
    return Player(tmp_path / "readings.jsonl")


def test_a_line_holds_until_the_next_of_its_card(player: Player) -> None:
    player.write(
        "# two cards",
        "",
        {"at": 0, "device": 0, "utilization_percent": 90},
        {"at": 10, "device": "0:2", "kind": "gpu", "utilization_percent": 5.5},
        {"at": 20, "device": 0, "utilization_percent": None},
        {"at": 30, "device": 0, "utilization_percent": -1},
        {"at": 40, "device": 0},
        {"at": 50, "device": 0, "utilization_percent": 0},
    )
    player.sampler.open()
    seen = [player.at(seconds) for seconds in (0, 9.9, 10, 20, 39, 40, 49, 50, 1e6)]
    zero = [entry.get("0", "gap") for entry in seen]
    assert zero == [90, 90, 90, None, None, "gap", "gap", 0, 0]
    assert [entry.get("0:2") for entry in seen] == [None, None, *[5.5] * 7]


def test_every_reading_comes_through(player: Player) -> None:
    readings = {"memory_used_bytes": 3e10, "memory_total_bytes": 6.4e10, "power_watts": 301.5}
    readings |= {"temperature_celsius": -3, "process_count": 2, "utilization_percent": 99}
    player.write({"at": 0, "device": 7, "kind": "gpu", **readings})
    player.sampler.open()
    assert player.sampler.sample() == [DeviceReading("7", "gpu", 99, 3e10, 6.4e10, 301.5, -3, 2)]


def test_time_begins_again_in_a_loop(player: Player) -> None:
    player.write({"loop_seconds": 60}, {"at": 5, "device": 0, "utilization_percent": 1})
    player.write({"at": 30, "device": 0, "utilization_percent": 2})
    player.sampler.open()
    assert [player.at(seconds).get("0") for seconds in (4, 5, 59, 60, 65, 90 + 60 * 1000)] == [None, 1, 2, None, 1, 2]


def test_what_is_written_meanwhile_counts_from_when_it_is_read(player: Player) -> None:
    player.write({"device": 0, "utilization_percent": 10})
    player.sampler.open()
    assert player.at(3) == {"0": 10}
    player.write({"device": 0, "utilization_percent": 20})
    with player.file.open("a") as out:
        out.write('{"device": 0, "utilization_percent": 3')  # not a whole line yet
    assert player.at(5) == {"0": 20}
    player.write("0}")
    assert player.at(6) == {"0": 30}


def test_a_file_that_is_not_there_is_told_and_begins_when_it_is(player: Player) -> None:
    with pytest.raises(Failed, match=r"readings\.jsonl: No such file"):
        player.sampler.open()
    player.write({"at": 1, "device": 0, "utilization_percent": 10})
    player.sampler.open()
    assert [player.at(0), player.at(1)] == [{}, {"0": 10}]
    player.file.unlink()
    with pytest.raises(Failed, match="No such file"):
        player.at(2)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("utilization 5", "is no JSON object"),
        ("[1]", "is no JSON object"),
        ("[" * 5000, "is no JSON object"),
        ('{"at": 0}', "'device' is the index of a card"),
        ('{"device": true}', "'device' is the index of a card"),
        ('{"device": "0:x"}', "'device' is the index of a card"),
        ('{"device": 0, "kind": "tpu"}', "'kind' is npu or gpu"),
        ('{"device": 0, "at": -1}', "'at' is no number of seconds from 0"),
        ('{"device": 0, "utilisation_percent": 1}', "'utilisation_percent' is no reading"),
        ('{"device": 0, "utilization_percent": 100.1}', "is '100.1', not a number from 0 to 100"),
        ('{"device": 0, "utilization_percent": "5"}', "is '5', not a number"),
        ('{"device": 0, "power_watts": -2}', "is '-2', not a number"),
        ('{"device": 0, "memory_used_bytes": -2}', "is '-2', not a number"),
        ('{"device": 0, "memory_total_bytes": -0.5}', "is '-0.5', not a number"),
        ('{"device": 0, "temperature_celsius": -274}', "is '-274', not a number"),
        ('{"device": 0, "process_count": 1000001}', "is '1000001', not a number"),
        ('{"device": 1234567890}', "'device' is the index of a card"),
        ('{"device": 0, "power_watts": true}', "is 'True', not a number"),
        ('{"loop_seconds": 0}', "loop_seconds is a number above 0, alone in the first line"),
        ('{"device": 0, "at": 1}\n{"loop_seconds": 9}', "line 2: loop_seconds"),
        ('{"device": 0, "at": 2}\n{"device": 0, "at": 1}', "'at' goes back, from 2 to 1"),
    ],
)
def test_a_line_that_is_not_understood_is_told(player: Player, line: str, words: str) -> None:
    player.write(line)
    with pytest.raises(NotUnderstood) as said:
        player.sampler.open()
    assert words in str(said.value) and "line" in str(said.value)


def test_the_example_of_the_documentation_plays(player: Player) -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "collector.md").read_text("utf-8")
    example = text.partition("### Cards out of a file")[2].split("```")[1].strip()
    player.write(*example.splitlines())
    player.sampler.open()
    assert [player.at(seconds) for seconds in (0, 19, 20, 29, 30, 60)] == [
        *({"0": 93.5}, {"0": 93.5}, {"0": None}, {"0": None}, {}, {"0": 93.5})
    ]


ANY = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
KEYS = st.sampled_from(["at", "device", "kind", "utilization_percent", "process_count", "loop_seconds"])


@settings(max_examples=100, deadline=None)
@given(st.one_of(st.binary(max_size=60), st.dictionaries(KEYS, ANY).map(lambda line: json.dumps(line).encode())))
def test_no_line_raises_anything_else(raw: bytes) -> None:
    try:
        line = parse(raw, "line", is_first=True)
    except Failed:
        return
    if line is not None and not isinstance(line, float) and line.reading is not None:
        use = line.reading.utilization_percent
        assert use is None or 0 <= use <= 100
