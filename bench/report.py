"""What was measured: one table, on the terminal and as Markdown."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

HEADS = ("row", "measured", "goal", "met")


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    measured: str
    goal: str = ""
    verdict: str = ""


@dataclass
class Report:
    """Rows in the order in which they were measured; each is told as it comes."""

    title: str
    rows: list[Row] = field(default_factory=list)
    failures: int = 0

    def add(self, name: str, measured: str, goal: str = "", verdict: str = "") -> None:
        """A row as it is."""
        self.rows.append(Row(name, measured, goal, verdict))
        told = "  ".join(part for part in (name, measured, goal and f"goal {goal}", verdict) if part)
        print(f"  {told}", file=sys.stderr, flush=True)

    def at_most(self, name: str, value: float, goal: float, unit: str, note: str = "") -> None:
        """A row that is met where the value is small enough."""
        verdict = "met" if value <= goal else f"no, {_share(value / goal - 1)}"
        self.add(name, _said(value, unit, note), f"<= {number(goal)} {unit}".strip(), verdict)

    def at_least(self, name: str, value: float, goal: float, unit: str, note: str = "") -> None:
        """A row that is met where the value is large enough."""
        verdict = "met" if value >= goal else f"no, {1 - value / goal:.0%} under"
        self.add(name, _said(value, unit, note), f">= {number(goal)} {unit}".strip(), verdict)

    def fail(self, name: str, why: str) -> None:
        """A row that could not be measured, or whose answers were wrong."""
        self.failures += 1
        self.add(name, why, "", "FAILED")

    def text(self) -> str:
        """The table for a terminal."""
        table = [HEADS, *((row.name, row.measured, row.goal, row.verdict) for row in self.rows)]
        widths = [max(_width(line[column]) for line in table) for column in range(4)]
        lines = ["  ".join(_padded(*cell) for cell in zip(line, widths, strict=True)).rstrip() for line in table]
        lines.insert(1, "  ".join("-" * width for width in widths))
        return "\n".join([self.title, "", *lines])

    def write_markdown(self, path: Path) -> None:
        """The table as Markdown."""
        table = [HEADS, ("---",) * 4, *((row.name, row.measured, row.goal, row.verdict) for row in self.rows)]
        lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in table]
        path.write_text("\n".join([self.title, "", *lines, ""]), encoding="utf-8")


def title(scale: str, size: int, streams: int) -> str:
    """What ran where."""
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    cores = len(os.sched_getaffinity(0))
    load = os.getloadavg()[0]
    return (
        f"logsvc bench, scale {scale}: {size / 2**20:.0f} MiB in {streams} streams; {cores} cores, "
        f"load {load:.1f} before the start, Python {platform.python_version()}, {now}"
    )


def number(value: float) -> str:
    """Three digits that matter."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value else "0"


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that `percent` of all do not pass."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


median = statistics.median


def _said(value: float, unit: str, note: str) -> str:
    return f"{number(value)} {unit}".strip() + (f"; {note}" if note else "")


def _share(over: float) -> str:
    return f"{over:.0%} over" if over < 1 else f"{over + 1:.1f} times the goal"


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _width(text))
