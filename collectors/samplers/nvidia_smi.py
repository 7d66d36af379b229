"""NVIDIA cards by what `nvidia-smi --query-gpu=… --format=csv` prints: columns by name, units as the header has them.

A form that is not known is told, never guessed. A partitioned card has no utilization there, and its instances have
no row.
"""

from __future__ import annotations

import csv
import re
import time
from collections import Counter
from typing import Optional

from collectors.samplers import DeviceReading, Failed
from collectors.samplers.command import Tool

PROGRAM = "nvidia-smi"
TEXT_SECONDS = 4.0  # for one sample; less than the process that asks has to answer, which kills it itself
COLUMNS = ("index", "uuid", "utilization.gpu", "memory.used", "memory.total", "power.draw", "temperature.gpu")
UNITS = {"": 1.0, "%": 1.0, "W": 1.0, "MiB": float(1 << 20)}
_HEAD = re.compile(r"([a-z_.]+)(?: \[([^]]*)\])?")
_CELL = re.compile(r"(-?[0-9]+(?:\.[0-9]+)?)(?: ([A-Za-z%]+))?")


def cards_by_text(tool: Tool, *, count_processes: bool, seconds: float = TEXT_SECONDS) -> list[DeviceReading]:
    """
    Every card that it lists.

    Args:
        count_processes: whether the pids that it lists can be those of all processes on a card.
        seconds: for all that is asked.

    Raises: Absent, Failed, Hung.
    """
    until = time.monotonic() + seconds
    question = f"--query-gpu={','.join(COLUMNS)}"
    cards = parse_cards(tool.output([PROGRAM, question, "--format=csv"], seconds=seconds))
    if not count_processes:
        return cards
    left = max(0.1, until - time.monotonic())
    pids = parse_processes(tool.output([PROGRAM, "--query-compute-apps=gpu_uuid,pid", "--format=csv"], seconds=left))
    counts = Counter(card.uuid for card in cards)
    return [
        card._replace(process_count=len(pids.get(card.uuid, ())), pids=pids.get(card.uuid, ()))
        if counts[card.uuid] == 1
        else card
        for card in cards
    ]


def parse_cards(text: str) -> list[DeviceReading]:
    """
    Cards of `--query-gpu`, whatever other columns there are.

    Raises: Failed: it is of no known form.
    """
    cards = []
    for row in _rows(text, COLUMNS):
        index = row["index"][0]
        if not index.isdigit():
            raise Failed(f"{PROGRAM} says {index!r} where a card's index is expected")
        use = _number(row["utilization.gpu"])
        cards.append(
            DeviceReading(
                index,
                "gpu",
                utilization_percent=use,
                memory_used_bytes=_number(row["memory.used"]),
                memory_total_bytes=_number(row["memory.total"]),
                power_watts=_number(row["power.draw"]),
                temperature_celsius=_number(row["temperature.gpu"]),
                uuid=row["uuid"][0],
            )
        )
    return cards


def parse_processes(text: str) -> dict[str, tuple[int, ...]]:
    """
    Pids of `--query-compute-apps`, by the card's uuid.

    Raises: Failed: it is of no known form.
    """
    found: dict[str, set[int]] = {}
    for row in _rows(text, ("gpu_uuid", "pid")):
        if row["pid"][0].isdigit():
            found.setdefault(row["gpu_uuid"][0], set()).add(int(row["pid"][0]))
    return {uuid: tuple(sorted(pids)) for uuid, pids in found.items()}


def _rows(text: str, wanted: tuple[str, ...]) -> list[dict[str, tuple[str, str]]]:
    """Each row's cells of the wanted columns, with the unit that the header gives."""
    lines = list(csv.reader(text.splitlines(), skipinitialspace=True))
    heads = [_HEAD.fullmatch(cell.strip()) for cell in lines[0]] if lines else []
    columns = {head[1]: (place, head[2] or "") for place, head in enumerate(heads) if head}
    missing = [name for name in wanted if name not in columns]
    if missing:
        first = text.strip().partition("\n")[0][:100]
        raise Failed(f"{PROGRAM} answers without a column {missing[0]}: {first!r}")
    for name in wanted:
        if columns[name][1] not in UNITS:
            raise Failed(f"{PROGRAM} gives {name} in an unknown unit, {columns[name][1]!r}")
    rows = []
    for cells in lines[1:]:
        if len(cells) != len(heads):
            if cells:
                raise Failed(f"{PROGRAM}: a row of {len(cells)} cells below a header of {len(heads)}")
            continue
        rows.append({name: (cells[columns[name][0]].strip(), columns[name][1]) for name in wanted})
    return rows


def _number(cell: tuple[str, str]) -> Optional[float]:
    """A cell's value in bytes, watts, percent or degrees; None for `[N/A]`, `ERR!` and other words."""
    text, unit = cell
    found = _CELL.fullmatch(text)
    if not found or (found[2] or unit) != unit:
        return None
    return float(found[1]) * UNITS[unit]
