"""All rules over one view of a job."""

from __future__ import annotations

from dataclasses import replace

from logsvc.core.findings.checkpoints import checkpoint_dips
from logsvc.core.findings.finding import Finding
from logsvc.core.findings.memory import memory_without_process
from logsvc.core.findings.recent import long_idle_gap, never_used, recently_low
from logsvc.core.findings.sawtooth import sawtooth
from logsvc.core.findings.series import Seen
from logsvc.core.findings.uneven import uneven_cards, uneven_workers
from logsvc.core.findings.view import JobView, Limits
from logsvc.core.hang import hung
from logsvc.core.low_use import low_utilization

MAX_NAMED = 100  # workers and cards that a finding names one by one
NAMES = (
    "hung",
    "low_utilization",
    "never_used",
    "recently_low",
    "long_idle_gap",
    "uneven_workers",
    "uneven_cards",
    "memory_without_process",
    "checkpoint_dips",
    "sawtooth",
)


def findings_of(view: JobView, limits: Limits) -> list[Finding]:
    """What is wrong with a job now, the gravest first; each name once. Nothing of a CPU job."""
    if view.accelerator == "none":
        return []
    seen = Seen(view, limits)
    dips, explained = checkpoint_dips(seen)
    unused = never_used(seen)
    found = {
        "hung": hung(view.hang),
        "low_utilization": low_utilization(view, limits),
        "never_used": unused,
        # Cards of which none was ever used were not used recently either: that is one thing to say.
        "recently_low": recently_low(seen) if unused is None or unused.devices else None,
        "long_idle_gap": long_idle_gap(seen),
        "uneven_workers": uneven_workers(seen),
        "uneven_cards": uneven_cards(seen),
        "memory_without_process": memory_without_process(seen),
        "checkpoint_dips": dips,
        "sawtooth": sawtooth(seen, without=explained),
    }
    return [_bounded(finding) for name in NAMES if (finding := found[name]) is not None]


def _bounded(finding: Finding) -> Finding:
    """The sentence says how many there are."""
    return replace(finding, tasks=finding.tasks[:MAX_NAMED], devices=finding.devices[:MAX_NAMED])
