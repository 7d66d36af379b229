"""Folded progress is what a terminal leaves on its screen: pyte, a terminal emulator, is asked."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import unicodedata
from collections.abc import Callable
from pathlib import Path
from random import Random

import pyte
import pytest

import logsvc

HERE = Path(__file__).parent
SAMPLES = HERE.parent / "samples"
COLUMNS = 700
SEEDS = range(30)
LINES_A_SEED = 50
NARROW = [*"abcXYZ019 .:%|#=>-[]", "é", "ß", "█", "▏", "…", "🯰"]
COMBINED = ["\u0301", "\u0308", "\u0327", "\u05b0"]  # pyte leaves out those of class 0
WIDE = [*"训练中文行あ한，", "🚀", "😀", "⏳", "✅"]

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")


def folded(lines: list[str]) -> list[str]:
    """Each line as a row of the viewer shows it."""
    done = subprocess.run(
        ["node", "--no-warnings", str(HERE / "fold-lines.mjs")],
        env={**os.environ, "LOGSVC_WEB": (Path(logsvc.__file__).parent / "web").as_uri()},
        input="\n".join(map(json.dumps, lines)),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def on_a_terminal(line: str) -> str:
    """What stands in the only line of a very wide screen, without the blanks behind it."""
    screen = pyte.Screen(COLUMNS, 1)
    pyte.Stream(screen).feed(line)
    return str(screen.display[0])


def assert_same(lines: list[str]) -> None:
    for line, shown in zip(lines, folded(lines), strict=True):
        # a row has no right edge: blanks at its end cannot be seen; pyte composes what it combines
        left = unicodedata.normalize("NFC", on_a_terminal(line).rstrip())
        assert unicodedata.normalize("NFC", shown.rstrip()) == left, repr(line)


def narrow_text(random: Random) -> str:
    text = ""
    for _ in range(random.randint(1, 12)):
        text += random.choice(NARROW)
        if random.random() < 0.1:
            text += random.choice(COMBINED)
    return text


def colour(random: Random) -> str:
    return f"\x1b[{random.choice(['0', '1;31', '38;5;208', '4;32', ''])}m"


def narrow_step(random: Random) -> str:
    """Anything that a cursor can do in a line."""
    count = random.choice(["", "0", "1", "2", "3", "7", "25"])
    return random.choice(
        [
            narrow_text(random),
            narrow_text(random),
            "\r",
            "\b" * random.randint(1, 6),
            "\t",
            colour(random),
            f"\x1b[{count}{random.choice('CDGXP@a')}",
            f"\x1b[{random.choice(['', '0', '1', '2'])}K",
            f"\x1b[{random.choice(['', '0', '2'])}J",
            f"\x1b[{random.choice(['', '1'])};{random.randint(1, 40)}{random.choice('Hf')}",
        ]
    )


def wide_step(random: Random) -> str:
    """Wide characters on even columns; pyte leaves a half of one that is overwritten, no terminal does."""
    return random.choice(
        [
            "".join(random.choices(WIDE, k=random.randint(1, 6))),
            "\r",
            "\b\b" * random.randint(1, 4),
            colour(random),
            f"\x1b[{2 * random.randint(1, 5)}{random.choice('CD')}",
            f"\x1b[{2 * random.randint(0, 9) + 1}G",
            "\x1b[K",
            "\x1b[2K",
        ]
    )


@pytest.mark.parametrize("step", [narrow_step, wide_step])
def test_any_movement_leaves_what_a_terminal_leaves(step: Callable[[Random], str]) -> None:
    lines = []
    for seed in SEEDS:
        random = Random(seed)
        lines += ["\r" + "".join(step(random) for _ in range(random.randint(1, 14))) for _ in range(LINES_A_SEED)]
    assert_same(lines)


def a_return_bar(random: Random) -> str:
    """As tqdm writes it, shorter states and a last message included."""
    total = random.randint(2, 40)
    states = []
    for done in range(total + 1):
        bar = "█" * (done // 4) + " " * ((total - done) // 4)
        rate = random.random() * 99
        states.append(f"{100 * done // total:3d}%|{bar}| {done}/{total} [{done:02d}:00, {rate:.2f}it/s]")
    return "\r".join(states) + random.choice(["", "\r", "\r\x1b[K", "\r\x1b[2Kdone", "\x1b[A"])


def a_backspace_bar(random: Random) -> str:
    """As Keras and pip's spinners write it: go back over the last state, write the next."""
    line = "Epoch 3: "
    width = 0
    for done in range(random.randint(1, 60)):
        bar = "=" * (done // 3) + ">" + "." * (20 - done // 3)
        state = f"{done}/60 [{bar}] - loss: {random.random():.4f}{'' if done % 7 else ' - slow'}"
        line += "\b" * width + state
        width = len(state)
    return line + random.choice(["", "\b \b", "\b" * 3 + "ok "])


@pytest.mark.parametrize("bar", [a_return_bar, a_backspace_bar])
def test_a_generated_bar_leaves_its_last_state(bar: Callable[[Random], str]) -> None:
    assert_same([bar(Random(seed)) for seed in range(100)])


def test_the_tqdm_bars_of_a_sample_leave_what_a_terminal_leaves() -> None:
    [sample] = SAMPLES.glob("*-worker-0.log")
    text = sample.read_bytes().decode(errors="replace")
    progress = [line for line in text.split("\n") if "\r" in line.removesuffix("\r")]
    assert len(progress) == 2
    assert all("it/s" in line for line in progress)
    assert_same([line.removesuffix("\r") for line in progress])


def test_half_of_a_wide_character_goes_with_the_other() -> None:
    assert folded(["中文\b\bX", "中文\r\x1b[CX", "中\u0301\rab"]) == ["中X ", " X文", "ab"]


def test_no_line_is_too_long_to_fold() -> None:
    line = "".join(f"\r{n:6d} of 400000" for n in range(4000)) + "\b" * 100_000 + "x\x1b[999999999Cy"
    shown = folded([line])[0]
    assert shown.startswith("x 3999 of 400000  ")
    assert shown.endswith(" y")
    assert len(shown) < 200_000
