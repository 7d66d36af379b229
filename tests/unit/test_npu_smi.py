"""Every captured form of npu-smi's answers is read by name; any other form is told in a sentence, never guessed."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.samplers import npu_smi, npu_table
from collectors.samplers.npu_table import Chip
from collectors.samplers.text import NotUnderstood

SAMPLES = Path(__file__).resolve().parents[1] / "samples" / "accelerators" / "npu-smi"
MIB = 1 << 20
TABLES = (
    "info-310P3-25.5.1-no-hbm-column",
    "info-910A-21.0.4",
    "info-910A-23.0.rc1.b070-warning",
    "info-910B4-24.1.rc3-busy-processes",
    "info-A3-dual-chip-phy-id-24.1.rc3.3",
)


def capture(name: str) -> str:
    return (SAMPLES / f"{name}.txt").read_bytes().decode()


def table(name: str) -> list[Chip]:
    return npu_table.chips(capture(name))


def test_a_narrow_table_with_two_memories_gives_the_hbm() -> None:
    assert table("info-910A-21.0.4") == [
        Chip(0, 0, None, 0, 1 * MIB, 32768 * MIB, 70.9, 42, None, ()),  # no table of processes: not known
        Chip(1, 0, None, 0, 1 * MIB, 32768 * MIB, 67.2, 36, None, ()),
    ]


def test_a_value_that_touches_its_slash_and_a_card_whose_processes_are_not_told() -> None:
    chips = table("info-910A-23.0.rc1.b070-warning")
    assert [chip.memory_used_bytes for chip in chips] == [3 * MIB, 3 * MIB, 30750 * MIB, 0]
    assert [chip.process_count for chip in chips] == [0, None, None, None]


def test_a_card_without_hbm_and_without_power() -> None:
    assert table("info-310P3-25.5.1-no-hbm-column") == [
        Chip(4, 0, 0, 0, 1848 * MIB, 21525 * MIB, None, 37, None, ()),
        Chip(5, 0, 1, 0, 1849 * MIB, 21525 * MIB, None, 40, None, ()),
    ]


def test_busy_cards_and_processes_without_a_name() -> None:
    chips = table("info-910B4-24.1.rc3-busy-processes")
    assert [chip.utilization_percent for chip in chips] == [0, 0, 0, 0, 0, 0, 82, 68]
    assert [chip.pids for chip in chips] == [(582939,), (695171,), (), (), (), (), (99910,), (99976,)]
    assert [chip.process_count for chip in chips] == [1, 1, 0, 0, 0, 0, 1, 1]
    assert chips[6] == Chip(6, 0, None, 82, 30759 * MIB, 32768 * MIB, 263.2, 46, 1, (99910,))


def test_two_chips_a_card_have_an_index_each_and_the_second_no_power() -> None:
    chips = table("info-A3-dual-chip-phy-id-24.1.rc3.3")
    assert [(chip.npu, chip.chip, chip.device) for chip in chips] == [(n // 2, n % 2, n) for n in range(16)]
    assert [chip.power_watts for chip in chips[:4]] == [182.0, None, 181.0, None]
    assert [chip.process_count for chip in chips] == [0] * 8 + [1] * 8
    assert chips[9] == Chip(4, 1, 9, 0, 52358 * MIB, 65536 * MIB, None, 37, 1, (957770,))


def test_two_chips_may_stand_without_a_rule_between_them() -> None:
    name = "info-A3-dual-chip-phy-id-24.1.rc3.3"
    text, count = re.subn(r"\n\+-+\+(?=\n\| \d +Ascend910 +\| OK +\| - )", "", capture(name))
    assert count == 8
    assert npu_table.chips(text) == table(name)
    with pytest.raises(NotUnderstood, match="a card has 3 rows"):
        npu_table.chips(re.sub(r"\n\| 1     1 .*", "", text))


def edited(name: str, *changes: tuple[str, str]) -> str:
    text = capture(name)
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


BUSY = "info-910B4-24.1.rc3-busy-processes"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "printed nothing"),
        ("\n \n", "printed nothing"),
        ("Segmentation fault\n", "no table, but 'Segmentation fault'"),
        ("命令执行失败：设备不存在\n", "no table, but '命令执行失败"),
        (edited(BUSY, ("Power(W) ", "Power(mW)")), "Power is given in 'mW'; known is W"),
        (edited(BUSY, ("HBM-Usage(MB)", "HBM-Usage(GB)")), "HBM-Usage is given in 'GB'; known is MB"),
        (edited(BUSY, ("AICore(%)", "AICore   ")), "AICore is given in no unit"),
        (edited(BUSY, ("AICore(%)", "算力(%)    ")), "no column AICore"),
        (edited(BUSY, ("| 263.2       46 ", "| 263.2      146 ")), "does not stand below its header"),
        (edited(BUSY, ("| 82 ", "| 8二 ")), "which is no number"),
        (edited(BUSY, ("| 82 ", "| 820")), "is 820, outside 0-100"),
        (edited(BUSY, ("| 82  ", "| 101 ")), "is 101, outside 0-100"),
        (edited(BUSY, ("30759/ 32768", "30759       ")), "HBM-Usage is '30759', not used / total"),
        (edited(BUSY, ("Power(W)    Temp(C)", "Temp(C)     Temp(C)")), "two columns Temp"),
        (edited(BUSY, ("Process id  ", "Prozess-Id  ")), "neither a card nor the header of the processes"),
        (edited(BUSY, ("30759/ 32768", "32769/ 32768")), "more than there is"),
        (edited(BUSY, ("30759/ 32768", "30759, 32768")), "is '30759, 32768', which is no number"),
        (edited(BUSY, ("| 7     910B4 ", "| 6     910B4 ")), "one chip stands twice"),
        (edited(BUSY, ("| 7       0 ", "| 9       0 ")), "holds a card that the table does not have"),
        (edited(BUSY, ("No running processes found in NPU 5", "NPU 5 没有进程")), "does not stand below its header"),
        (capture(BUSY)[:2010], "is no row of the table"),
        ("".join(capture(BUSY).splitlines(keepends=True)[:8]), "the table has no end"),
        ("".join(capture(BUSY).splitlines(keepends=True)[:6]), "the table has no card"),
    ],
)
def test_what_is_not_understood_is_told(text: str, words: str) -> None:
    with pytest.raises(NotUnderstood) as said:
        npu_table.chips(text)
    assert words in str(said.value)
    assert "\n" not in str(said.value)


def test_no_reading_is_no_zero() -> None:
    text = edited(BUSY, ("| 82 ", "| -  "), ("30759/ 32768", "NA   / NA   "), ("263.2 ", "NA    "), ("| 68 ", "| -1 "))
    six, seven = npu_table.chips(text)[6:]
    assert six[3:8] == (None, None, None, None, 46)
    assert seven.utilization_percent is None and seven.power_watts == 250.5


def test_what_a_driver_says_before_the_table_and_a_bar_in_a_name_do_no_harm() -> None:
    text = "DrvMngGetConsoleLogLevel failed. (g_conLogLevel=3)\n" + edited(
        "info-A3-dual-chip-phy-id-24.1.rc3.3", ("| pt_main_thread           |", "| a|b                      |")
    )
    assert npu_table.chips(text) == table("info-A3-dual-chip-phy-id-24.1.rc3.3")


def test_key_and_value_with_the_chip_after_its_values() -> None:
    (fact,) = npu_smi.facts(capture("info-t-usages-i0-910A-23.0.5"), "usages")
    assert fact.chip == 0 and fact.values["DDR Bandwidth Usage Rate"] == ("%", "0")
    assert npu_smi.figures(fact, "usages") == npu_smi.Figures(0, 0, 31129 * MIB)


def test_key_and_value_with_the_chip_before_its_values() -> None:
    (fact,) = npu_smi.facts(capture("info-t-common-i0-model-not-named"), "common")
    assert fact.chip == 0
    assert npu_smi.figures(fact, "common") == npu_smi.Figures(0, power_watts=71.7, temperature_celsius=41)


def test_values_hold_colons_and_a_text_may_not_name_its_chip() -> None:
    (board,) = npu_smi.facts(capture("info-t-board-i0-c0-910A-23.0.5"), "board")
    assert board.chip == 0 and board.values["PCIe Bus Info"] == ("", "0000:61:00.0")
    (health,) = npu_smi.facts(capture("info-t-health-i0-c0-910A-23.0.5"), "health")
    assert health == (None, {"Health Status": ("", "OK"), "Error Code": ("", "NA"), "Error Information": ("", "NA")})


@pytest.mark.parametrize("order", ["before", "after"])
def test_two_chips_of_one_card(order: str) -> None:
    blocks = []
    for chip, rate in ((0, 50), (1, 7)):
        values = f"\tHBM Capacity(MB) : 65536\n\tHBM Usage Rate(%) : {rate}\n\tAicore Usage Rate(%) : {90 + chip}\n"
        name = f"\tChip ID : {chip}\n"
        blocks.append(name + values if order == "before" else values + name)
    text = "\tNPU ID : 3\n\tChip Count : 2\n\n" + "\n".join(blocks)
    found = {fact.chip: npu_smi.figures(fact, "usages") for fact in npu_smi.facts(text, "usages")}
    assert found[0] == npu_smi.Figures(90, 32768 * MIB, 65536 * MIB)
    assert found[1].utilization_percent == 91
    with pytest.raises(NotUnderstood, match="1 chips, and there are 2"):
        npu_smi.facts("\tNPU ID : 3\n\tChip Count : 2\n\n" + blocks[0], "usages")


def test_the_map_of_cards_leaves_out_what_is_no_card() -> None:
    assert npu_smi.logical_ids(capture("info-m-310P3-with-mcu")) == {(4, 0): 0}
    assert npu_smi.logical_ids(capture("info-m-910A-23.0.5")) == {(npu, 0): npu for npu in range(8)}
    both = (
        "NPU ID    Chip ID   Chip Logic ID   Chip Phy-ID   Chip Name\n"
        "4         1         0               9             Ascend910\n"
    )
    assert npu_smi.logical_ids(both) == {(4, 1): 9}


def test_watch_in_both_forms() -> None:
    text = capture("info-watch-910B3-25.0.rc1.1")
    assert npu_smi.watched(text) == {(2, 0): npu_smi.Figures(0, power_watts=90.2, temperature_celsius=34)}
    assert npu_smi.watched(text + "2           0           9") == npu_smi.watched(text)  # cut inside a row
    newer = (
        "NpuID(Idx)  Pwr(W)  Temp(C) AI Core(%)  AI Cpu(%)  Memory(%)  Memory BW(%) NPU Util(%) AI Cube(%)\n"
        "0           90.1    34      12          0          5          0            13          7\n"
        "1           NA      35      -           0          5          0            -           -\n"
    )
    assert npu_smi.watched(newer) == {
        (0, None): npu_smi.Figures(12, power_watts=90.1, temperature_celsius=34),
        (1, None): npu_smi.Figures(None, power_watts=None, temperature_celsius=35),
    }


@pytest.mark.parametrize(
    ("read", "text", "words"),
    [
        (npu_smi.logical_ids, "", "printed nothing"),
        (npu_smi.logical_ids, capture("info-m-910A-23.0.5")[:-5], "ends in the middle"),
        (npu_smi.logical_ids, edited("info-m-910A-23.0.5", ("NPU ID ", "卡编号 ")), "no columns NPU ID"),
        (npu_smi.logical_ids, edited("info-m-910A-23.0.5", ("\t3  ", "\t3  3  ")), "has 5 values"),
        (
            npu_smi.logical_ids,
            edited(
                "info-m-310P3-with-mcu",
                ("0                              Ascend", "-                              Ascend"),
            ),
            "no card",
        ),
        (npu_smi.logical_ids, edited("info-m-910A-23.0.5", ("\t3  ", "\t2  ")), "NPU 2 chip 0 stands twice"),
        (npu_smi.logical_ids, edited("info-m-910A-23.0.5", (" 3      ", " 2      ")), "two chips have one index"),
        (npu_smi.watched, "", "printed nothing"),
        (npu_smi.watched, "command not supported\n", "no header with NpuID"),
        (npu_smi.watched, edited("info-watch-910B3-25.0.rc1.1", ("Pwr(W)", "Pwr(mW)")), "Pwr is given in 'mW'"),
        (npu_smi.watched, edited("info-watch-910B3-25.0.rc1.1", ("100.1       34", "100.1         ")), "has 8 values"),
        (lambda text: npu_smi.facts(text, "usages"), "NPU ID : 0\nno such device\n", "is no 'key : value'"),
        (
            lambda text: npu_smi.facts(text, "usages"),
            "Aicore Usage Rate(%) : 9\nAicore Usage Rate(%) : 90\n",
            "stands twice",
        ),
        (lambda text: npu_smi.facts(text, "usages"), "Aicore Usage Rate(%) : 9", "ends in the middle"),
        (lambda text: npu_smi.facts(text, "usages"), "NPU ID : 0\n", "values of 0 chips"),
    ],
)
def test_other_answers_that_are_not_understood(read: Callable[[str], object], text: str, words: str) -> None:
    with pytest.raises(NotUnderstood, match=re.escape(words)):
        read(text)


def test_a_rate_in_another_unit_is_told() -> None:
    (fact,) = npu_smi.facts("Aicore Usage Rate(permille) : 900\n", "usages")
    with pytest.raises(NotUnderstood, match="'permille'; known is %"):
        npu_smi.figures(fact, "usages")


LETTERS = st.sampled_from("0189 -./:|+=()%NAb二\n\t\x00é")


@st.composite
def mutated(draw: st.DrawFn, names: tuple[str, ...]) -> str:
    """A capture after a few accidents: characters, lines, its end."""
    text = capture(draw(st.sampled_from(names)))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(text) - 1)))
        lines = text.splitlines(keepends=True)
        row = draw(st.integers(0, max(0, len(lines) - 1)))
        how = draw(st.sampled_from(("put", "drop", "insert", "cut", "without", "twice", "swap")))
        if how in ("put", "drop", "insert"):
            text = text[:at] + (draw(LETTERS) if how != "drop" else "") + text[at + (how != "insert") :]
        elif how == "cut":
            text = text[:at]
        elif how == "without":
            text = "".join(lines[:row] + lines[row + 1 :])
        elif how == "twice":
            text = "".join(lines[: row + 1] + lines[row:])
        else:
            text = "".join(lines[:row] + lines[row + 1 : row + 2] + lines[row : row + 1] + lines[row + 2 :])
    return text


NUMBERS = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")


def numbers(line: str) -> set[float]:
    """Those that stand alone: `8x2` holds none."""
    return {float(word) for word in re.split(r"[\s/|]+", line) if NUMBERS.fullmatch(word)}


@settings(max_examples=120, deadline=None)
@given(mutated(TABLES))
def test_a_damaged_table_gives_nothing_that_it_does_not_hold(text: str) -> None:
    try:
        found = npu_table.chips(text)
    except NotUnderstood as exc:
        assert "\n" not in str(exc) and len(str(exc)) < 200
        return
    rows = [numbers(line) for line in text.split("\n")]
    for chip in found:
        upper = {float(chip.npu), chip.power_watts, chip.temperature_celsius} - {None}
        lower = {float(chip.chip), chip.utilization_percent} - {None}
        lower |= {size / MIB for size in (chip.memory_used_bytes, chip.memory_total_bytes) if size is not None}
        lower |= {float(chip.device)} if chip.device is not None else set()
        assert any(upper <= first and lower <= second for first, second in pairwise(rows))
        for pid in chip.pids:
            assert any({float(pid), float(chip.npu), float(chip.chip)} <= row for row in rows)


@settings(max_examples=80, deadline=None)
@given(mutated(("info-t-usages-i0-910A-23.0.5", "info-t-common-i0-model-not-named", "info-watch-910B3-25.0.rc1.1")))
def test_a_damaged_answer_gives_nothing_that_it_does_not_hold(text: str) -> None:
    held = numbers(text.replace(":", " "))
    for read in (
        lambda: [npu_smi.figures(fact, "t") for fact in npu_smi.facts(text, "t")],
        lambda: list(npu_smi.watched(text).values()),
    ):
        try:
            found = read()
        except NotUnderstood:
            continue
        for figures in found:
            values = {figures.utilization_percent, figures.power_watts, figures.temperature_celsius} - {None}
            values |= {figures.memory_total_bytes / MIB} if figures.memory_total_bytes is not None else set()
            assert values <= held
            assert figures.memory_used_bytes is None or figures.memory_used_bytes <= figures.memory_total_bytes


@settings(max_examples=100, deadline=None)
@given(st.one_of(st.text(max_size=300), st.text("|+-= 0NPU(%)\n:", max_size=200)))
def test_no_text_raises_anything_else(text: str) -> None:
    for read in (npu_table.chips, npu_smi.logical_ids, npu_smi.watched, lambda text: npu_smi.facts(text, "t")):
        try:
            read(text)
        except NotUnderstood:
            pass
