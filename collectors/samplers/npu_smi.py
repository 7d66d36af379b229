"""The other answers of npu-smi: `info -t … -i N`, `info -m`, `info watch`.

Keys and columns are found by name. A text of another form, or one that was cut off, is refused.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Optional

from collectors.samplers.text import (
    MEBI,
    NotUnderstood,
    amount,
    check_unit,
    index,
    name_and_unit,
    number,
    percent,
    shown,
)

MAP = "npu-smi info -m"
WATCH = "npu-smi info watch"
_WORDS = re.compile(r"\S+(?: \S+)*")  # two blanks end a cell
_WATCHED = re.compile(r"([^()]+)\(([^()]*)\)")

Place = tuple[int, int]  # NPU, chip


class Figures(NamedTuple):
    """What npu-smi says of one chip, one way or another. None: no reading."""

    utilization_percent: Optional[float] = None
    memory_used_bytes: Optional[float] = None
    memory_total_bytes: Optional[float] = None
    power_watts: Optional[float] = None
    temperature_celsius: Optional[float] = None


class Facts(NamedTuple):
    """The lines of one chip: name to unit and value, both as they are written."""

    chip: Optional[int]  # None: the text does not say (it was asked for one)
    values: dict[str, tuple[str, str]]


def facts(text: str, tool: str) -> list[Facts]:
    """
    The chips of a `key : value` text. `Chip ID` stands before a chip's values, or after them.

    Args:
        tool: the command, for sentences.

    Raises: NotUnderstood.
    """
    lines = _key_values(text, tool)
    count = None
    while lines and lines[0][0] in ("NPU ID", "Chip Count"):
        key, value = lines.pop(0)
        if key == "Chip Count":
            count = index(value, f"{tool}: Chip Count")
    is_before = bool(lines) and lines[0][0] == "Chip ID"
    found: list[Facts] = []
    values: dict[str, tuple[str, str]] = {}
    chip: Optional[int] = None
    for key, value in lines:
        if key == "Chip ID":
            if is_before and chip is not None:
                found.append(Facts(chip, values))
                values = {}
            chip = index(value, f"{tool}: Chip ID")
            if not is_before:
                found.append(Facts(chip, values))
                values, chip = {}, None
            continue
        name, unit = name_and_unit(key)
        if name in values:
            raise NotUnderstood(f"{tool}: {name} stands twice for one chip")
        values[name] = (unit, value)
    if values or (is_before and chip is not None):
        found.append(Facts(chip, values))
    numbered = [fact.chip for fact in found]
    if len(set(numbered)) < len(numbered) or (None in numbered and len(numbered) > 1):
        raise NotUnderstood(f"{tool}: the values do not say which chip they are of")
    if not found or (count is not None and count != len(found)):
        raise NotUnderstood(f"{tool}: values of {len(found)} chips, and there are {'some' if count is None else count}")
    return found


def figures(fact: Facts, tool: str) -> Figures:
    """
    Readings out of `-t usages` and `-t common`.

    Memory in use is the capacity times the usage rate, which npu-smi rounds to one percent.
    """

    def value(name: str, unit: str) -> str:
        got, text = fact.values.get(name, (unit, ""))
        check_unit(f"{tool}: {name}", got, unit)
        return text

    used = total = None
    for memory in ("HBM", "DDR"):
        total = amount(value(f"{memory} Capacity", "MB"), f"{tool}: {memory} Capacity")
        if total:
            rate = percent(value(f"{memory} Usage Rate", "%"), f"{tool}: {memory} Usage Rate")
            used = None if rate is None else total * MEBI * rate / 100
            break
    return Figures(
        percent(value("Aicore Usage Rate", "%"), f"{tool}: Aicore Usage Rate"),
        used,
        total * MEBI if total else None,
        amount(value("NPU Real-time Power", "W"), f"{tool}: NPU Real-time Power"),
        number(value("Temperature", "C"), f"{tool}: Temperature"),
    )


def logical_ids(text: str) -> dict[Place, int]:
    """Index in the node of each chip, out of `info -m`; a row without one (`Mcu`) is no card. Raises NotUnderstood."""
    rows = _rows(text, MAP)
    names = _WORDS.findall(rows[0])
    logical = next((name for name in ("Chip Phy-ID", "Chip Logic ID") if name in names), None)
    if logical is None or not {"NPU ID", "Chip ID"} <= set(names):
        raise NotUnderstood(f"{MAP}: no columns NPU ID, Chip ID and Chip Logic ID, but {shown(rows[0])}")
    found: dict[Place, int] = {}
    for row in rows[1:]:
        cells = _WORDS.findall(row)
        if len(cells) != len(names):
            raise NotUnderstood(f"{MAP}: {shown(row)} has {len(cells)} values, the header {len(names)} names")
        cell = dict(zip(names, cells))
        if cell[logical] == "-":
            continue
        place = (index(cell["NPU ID"], f"{MAP}: NPU ID"), index(cell["Chip ID"], f"{MAP}: Chip ID"))
        if place in found:
            raise NotUnderstood(f"{MAP}: NPU {place[0]} chip {place[1]} stands twice")
        found[place] = index(cell[logical], f"{MAP}: {logical}")
    if not found or len(set(found.values())) < len(found):
        raise NotUnderstood(f"{MAP}: {'two chips have one index' if found else 'no card'}")
    return found


def watched(text: str) -> dict[tuple[int, Optional[int]], Figures]:
    """
    The last row of each NPU and chip (None: no such column) of `info watch`; raises NotUnderstood.

    It prints until it is ended, so what follows the last line end is dropped.
    """
    rows = _rows(text[: text.rfind("\n") + 1], WATCH)
    header = rows[0].strip()
    names = [(found[1].strip(), found[2].strip()) for found in _WATCHED.finditer(header)]
    units = dict(names)
    if _WATCHED.sub("", header).strip() or len(units) < len(names) or not {"NpuID", "AI Core"} <= units.keys():
        raise NotUnderstood(f"{WATCH}: no header with NpuID and AI Core, but {shown(header)}")
    for name, unit in (("AI Core", "%"), ("Pwr", "W"), ("Temp", "C")):
        check_unit(f"{WATCH}: {name}", units.get(name, unit), unit)
    found = {}
    for row in rows[1:]:
        cells = row.split()
        if row.strip() == header:
            continue
        if len(cells) != len(names):
            raise NotUnderstood(f"{WATCH}: {shown(row)} has {len(cells)} values, the header {len(names)} names")
        cell = dict(zip(units, cells))
        chip = index(cell["ChipId"], f"{WATCH}: ChipId") if "ChipId" in cell else None
        found[index(cell["NpuID"], f"{WATCH}: NpuID"), chip] = Figures(
            percent(cell["AI Core"], f"{WATCH}: AI Core"),
            power_watts=amount(cell.get("Pwr", ""), f"{WATCH}: Pwr"),
            temperature_celsius=number(cell.get("Temp", ""), f"{WATCH}: Temp"),
        )
    if not found:
        raise NotUnderstood(f"{WATCH}: no row under the header")
    return found


def _key_values(text: str, tool: str) -> list[tuple[str, str]]:
    found = []
    for row in _rows(text, tool):
        key, colon, value = row.partition(":")
        if not colon or not key.strip():
            raise NotUnderstood(f"{tool}: {shown(row)} is no 'key : value'")
        found.append((key.strip(), value.strip()))
    return found


def _rows(text: str, tool: str) -> list[str]:
    """At least one; NotUnderstood where the text is empty, or ends inside a line."""
    rows = [line.rstrip() for line in text.split("\n")]
    if rows[-1]:
        raise NotUnderstood(f"{tool}: the text ends in the middle, at {shown(rows[-1])}")
    rows = [row for row in rows if row.strip()]
    if not rows:
        raise NotUnderstood(f"{tool} printed nothing")
    return rows
