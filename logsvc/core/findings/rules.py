"""All rules over one view of a job."""

from __future__ import annotations

from logsvc.core.findings.finding import Finding
from logsvc.core.findings.view import JobView, Limits
from logsvc.core.hang import hung
from logsvc.core.low_use import low_utilization


def findings_of(view: JobView, limits: Limits) -> list[Finding]:
    """What is wrong with a job now, the gravest first; each name once."""
    if view.accelerator == "none":
        return []
    found = [
        hung(view.hang),
        low_utilization(view, limits),
    ]
    return [finding for finding in found if finding is not None]
