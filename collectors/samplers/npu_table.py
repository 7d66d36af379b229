"""`npu-smi info`: the table of cards, and of the processes that hold them.

Columns are found by the names in the header, since versions differ in them: with and without
`Phy-ID` or `Device`, with and without HBM. A value belongs to the column below whose name it
stands. A table that was cut off, or that says something in another way, is refused as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple, Optional

from collectors.samplers.text import (
    MEBI,
    NO_READING,
    NotUnderstood,
    amount,
    check_unit,
    index,
    name_and_unit,
    number,
    percent,
    shown,
)

TOOL = "npu-smi info"
LOGICAL_IDS = ("Phy-ID", "Device")  # the index of a chip in its node
_RULE = re.compile(r"[+|]?[-=+|]*[-=]{3}[-=+|]*")
_NAME = re.compile(r"\S+(?: \S+)*")
_PAIR = re.compile(r"([^/]*)/([^/]*)")
_IDLE = re.compile(r"No running processes found in NPU ([0-9]{1,9})")


class Chip(NamedTuple):
    """
    One chip of a card, as the table has it. None: no reading.

    Attributes:
        device: its index in the node, where the table says it.
        process_count: None: the table says nothing of its processes.
    """

    npu: int
    chip: int
    device: Optional[int]
    utilization_percent: Optional[float]
    memory_used_bytes: Optional[float]
    memory_total_bytes: Optional[float]
    power_watts: Optional[float]
    temperature_celsius: Optional[float]
    process_count: Optional[int]
    pids: tuple[int, ...]


def chips(text: str) -> list[Chip]:
    """The chips of the table, in its order; raises NotUnderstood."""
    groups = list(_groups(text))
    if len(groups) < 2 or len(groups[0]) != 1 or not groups[0][0].strip("| ").startswith("npu-smi "):
        raise NotUnderstood(f"{TOOL}: no title that begins with 'npu-smi'")
    if len(groups[1]) != 2:
        raise NotUnderstood(f"{TOOL}: the header has {len(groups[1])} rows, not two")
    upper, lower = _Header(groups[1][0]), _Header(groups[1][1])
    rest = groups[2:]
    cut = next((at for at, group in enumerate(rest) if len(group) == 1), len(rest))
    rows = [row for group in rest[:cut] for row in _pairs(group)]
    found = [_chip(upper, first, lower, second) for first, second in rows]
    if not found:
        raise NotUnderstood(f"{TOOL}: the table has no card")
    _check_unique(found)
    return _with_processes(found, rest[cut:])


def _groups(text: str) -> Iterator[list[str]]:
    """Rows between two rules; what a driver says before the table is passed over."""
    lines = [line.rstrip() for line in text.split("\n")]
    begin = next((at for at, line in enumerate(lines) if _is_rule(line)), None)
    if begin is None:
        raise NotUnderstood(f"{TOOL}: no table, but {shown(text[:400])}" if text.strip() else f"{TOOL} printed nothing")
    group: list[str] = []
    for line in lines[begin:]:
        if _is_rule(line) and len(line) == len(lines[begin]):
            if group:
                yield group
            group = []
        elif line.startswith("|") and line.endswith("|") and len(line) > 1:
            group.append(line)
        elif line:
            raise NotUnderstood(f"{TOOL}: {shown(line)} is no row of the table")
    if group:
        raise NotUnderstood(f"{TOOL}: the table has no end")


def _is_rule(line: str) -> bool:
    return line.startswith("+") and _RULE.fullmatch(line) is not None


def _pairs(group: list[str]) -> Iterator[tuple[str, str]]:
    if len(group) % 2:
        raise NotUnderstood(f"{TOOL}: a card has {len(group)} rows, not two for each chip")
    yield from zip(group[::2], group[1::2])


class _Column(NamedTuple):
    name: str  # without the unit
    unit: str
    start: int  # characters of the line
    end: int


class _Header:
    """Where the columns of a row stand."""

    def __init__(self, line: str) -> None:
        self._bars = [at for at, char in enumerate(line) if char == "|"]
        self._columns: dict[str, _Column] = {}
        for left, right in zip(self._bars, self._bars[1:]):
            names = list(_NAME.finditer(line, left + 1, right))
            for at, found in enumerate(names):
                name, unit = name_and_unit(found[0])
                start = found.start() if at else left + 1
                end = names[at + 1].start() if at + 1 < len(names) else right
                if name in self._columns:
                    raise NotUnderstood(f"{TOOL}: two columns {name}")
                self._columns[name] = _Column(name, unit, start, end)

    def __contains__(self, name: str) -> bool:
        return name in self._columns

    def value(self, line: str, name: str, unit: str = "") -> str:
        """What stands below the name; NotUnderstood where there is no such column, or another unit."""
        column = self._columns.get(name)
        if column is None:
            raise NotUnderstood(f"{TOOL}: no column {name}")
        check_unit(f"{TOOL}: {name}", column.unit, unit)
        # The cells after the last one asked for may hold anything, a process's name with a `|` in it.
        bars = [at for at in self._bars if at <= column.end]
        at_bars = [at for at, char in enumerate(line[: column.end + 1]) if char == "|"]
        ends = (column.start, column.end)
        if at_bars != bars or any(_is_inside_word(line, at) for at in ends):
            raise NotUnderstood(f"{TOOL}: {shown(line)} does not stand below its header")
        return line[column.start : column.end].strip()


def _is_inside_word(line: str, at: int) -> bool:
    return bool(line[at - 1 : at].strip(" |") and line[at : at + 1].strip(" |"))


def _chip(upper: _Header, first: str, lower: _Header, second: str) -> Chip:
    npu = index(upper.value(first, "NPU"), f"{TOOL}: NPU")
    chip = index(lower.value(second, "Chip"), f"{TOOL}: Chip")
    what = f"{TOOL}: NPU {npu} chip {chip}"
    used, total = _memory(lower, second, what)
    logical = next((name for name in LOGICAL_IDS if name in lower), None)
    return Chip(
        npu,
        chip,
        _logical(lower.value(second, logical), f"{what}: {logical}") if logical else None,
        percent(lower.value(second, "AICore", "%"), f"{what}: AICore"),
        used,
        total,
        amount(upper.value(first, "Power", "W"), f"{what}: Power") if "Power" in upper else None,
        number(upper.value(first, "Temp", "C"), f"{what}: Temp") if "Temp" in upper else None,
        None,
        (),
    )


def _logical(text: str, what: str) -> Optional[int]:
    return None if text in NO_READING else index(text, what)


def _memory(lower: _Header, line: str, what: str) -> tuple[Optional[float], Optional[float]]:
    """Used and total of the memory that training fills: HBM, or DDR on cards without."""
    for name in ("HBM-Usage", "Memory-Usage"):
        if name not in lower:
            continue
        text = lower.value(line, name, "MB")
        found = _PAIR.fullmatch(text)
        if found is None:
            if number(text, f"{what}: {name}") is not None:
                raise NotUnderstood(f"{what}: {name} is {shown(text)}, not used / total")
            return None, None
        used, total = amount(found[1], f"{what}: {name}"), amount(found[2], f"{what}: {name}")
        if not total:  # 0 / 0: there is none of this memory
            continue
        if used is not None and used > total:
            raise NotUnderstood(f"{what}: {name} is {shown(text)}, more than there is")
        return None if used is None else used * MEBI, total * MEBI
    return None, None


def _with_processes(found: list[Chip], groups: list[list[str]]) -> list[Chip]:
    """Processes of each chip. A card that the table of processes does not name has no reading."""
    if not groups:
        return found
    header = _Header(groups[0][0])
    if "Process id" not in header:
        raise NotUnderstood(f"{TOOL}: {shown(groups[0][0])} is neither a card nor the header of the processes")
    holders: dict[tuple[int, int], set[int]] = {}
    for line in (line for group in groups[1:] for line in group):
        idle = _IDLE.fullmatch(line.strip("| "))
        if idle:
            for chip in found:
                if chip.npu == int(idle[1]):
                    holders.setdefault((chip.npu, chip.chip), set())
            continue
        place = tuple(index(header.value(line, name), f"{TOOL}: {name} of a process") for name in ("NPU", "Chip"))
        pid = index(header.value(line, "Process id"), f"{TOOL}: Process id")
        holders.setdefault((place[0], place[1]), set()).add(pid)
    if not holders.keys() <= {(chip.npu, chip.chip) for chip in found}:
        raise NotUnderstood(f"{TOOL}: a process holds a card that the table does not have")
    return [
        chip._replace(process_count=len(holders[place]), pids=tuple(sorted(holders[place])))
        if (place := (chip.npu, chip.chip)) in holders
        else chip
        for chip in found
    ]


def _check_unique(found: list[Chip]) -> None:
    places = {(chip.npu, chip.chip) for chip in found}
    devices = [chip.device for chip in found if chip.device is not None]
    if len(places) < len(found) or len(set(devices)) < len(devices):
        raise NotUnderstood(f"{TOOL}: one chip stands twice in the table")
