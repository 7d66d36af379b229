"""docs/monitoring.md tells every rule, its constants and its numbers as the code has them."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from logsvc.core.findings.finding import Finding
from logsvc.core.findings.rules import NAMES, findings_of
from logsvc.core.findings.view import JobView, Limits
from logsvc.core.hang import HangRules
from logsvc.settings import Settings
from unit.findings_rig import BEGAN_MS, GIB, Planted, dipping, flat
from unit.hang_rig import Job

TEXT = (Path(__file__).resolve().parents[2] / "docs/monitoring.md").read_text()
SECTIONS = {
    re.match(r"[`\w]+", part).group().strip("`"): part  # type: ignore[union-attr]
    for part in re.split(r"^###? ", TEXT, flags=re.MULTILINE)[1:]
}
DEFAULTS = {one.name: one.default for one in (*fields(Limits), *fields(HangRules))}
WRONG = [
    Planted(flat(0.0)),
    Planted(dipping(90, [(3000, 9999)])),
    Planted(lambda task, card, at: np.full(len(at), 20.0 if task == "worker-1" else 90.0), workers=2),
    Planted(lambda task, card, at: np.full(len(at), 20.0 if card else 90.0)),
    Planted(lambda task, card, at: np.where(at % 60 < 30, 95.0, 5.0)),
    Planted(dipping(95, [(at, at + 90) for at in range(100, 5000, 500)]), saves=list(range(100, 5000, 500))),
    Planted(
        flat(0.0),
        readings={
            "memory_used_bytes": flat(30 * GIB),
            "memory_total_bytes": flat(64 * GIB),
            "process_count": flat(0),
        },
    ),
]


@pytest.fixture(scope="module")
def findings() -> dict[str, Finding]:
    """One of each name."""
    found = {name: finding for job in WRONG for name, finding in job.found().items()}
    view = JobView(BEGAN_MS, 0, hang=Job().hang())
    return found | {finding.name: finding for finding in findings_of(view, Limits())}


def test_each_rule_has_a_section_with_its_numbers_and_its_advice(findings: dict[str, Finding]) -> None:
    assert set(findings) == set(NAMES)
    for name, finding in findings.items():
        numbers = re.search(r"^Numbers: .*?(?=\n\n|\. )", SECTIONS[name], re.MULTILINE | re.DOTALL)
        assert numbers, name
        told = set(re.findall(r"`(\w+)`", numbers.group())) - {"from", "to"}
        assert told == set(finding.numbers), name
        assert "**What to do.**" in SECTIONS[name]
        assert finding.advice.endswith(".") and finding.reason.endswith(".")
        assert all(np.isfinite(value) for value in finding.numbers.values())


def test_names_and_defaults_are_those_of_the_code() -> None:
    told = {name: float(value) for name, value in re.findall(r"^\| `(\w+)` \| ([\d.]+) \|$", TEXT, re.MULTILINE)}
    assert told == {name: float(value) for name, value in DEFAULTS.items()} | {"hang_cycle_seconds": 60.0}
    for name, value in told.items():
        assert Settings.model_fields[name].default == value, name


def test_the_limits_are_those_of_the_settings() -> None:
    settings = Settings(idle_percent=7.0, hang_cycles=5)
    assert Limits.of(settings) == Limits(idle_percent=7.0)
    assert HangRules.of(settings) == HangRules(hang_cycles=5)
