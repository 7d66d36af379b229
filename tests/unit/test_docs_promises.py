"""The table of promises names a test for each, and these tests exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SECTION = (ROOT / "docs/collector.md").read_text().partition("\n## Promises\n")[2].partition("\n## ")[0]
ROWS = [line for line in SECTION.splitlines() if line.startswith("| ") and not line.startswith(("| ---", "| what "))]
TESTS = {
    name: file
    for file in sorted((ROOT / "tests").rglob("test_*.py"))
    for name in re.findall(r"^(?:async )?def (test_\w+)", file.read_text(), re.MULTILINE)
}
# Of the harness itself, not of the collector.
HARNESS = {"test_the_comparison_finds_what_is_wrong", "test_the_proxy_really_resets"}


def named(row: str) -> list[str]:
    """Tests in the last cell of a row."""
    return re.findall(r"`(test_\w+)`", row.split(" | ")[-1])


def test_there_are_promises() -> None:
    assert len(ROWS) >= 30


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[2:60])
def test_each_promise_has_its_test(row: str) -> None:
    assert len(row.split(" | ")) == 3
    assert named(row)
    assert [name for name in named(row) if name not in TESTS] == []


def test_each_fault_that_strikes_is_in_the_table() -> None:
    faults = {name for name, file in TESTS.items() if file.name.startswith("test_collector_faults")}
    assert faults - HARNESS - {name for row in ROWS for name in named(row)} == set()
