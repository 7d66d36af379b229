"""What a job is held to be wrong with, from one look to the next: what is raised, what lasts, what is cleared."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from logsvc.core.findings.finding import Finding
from logsvc.core.findings.rules import NAMES
from logsvc.core.journal import moment, shown_finding
from logsvc.core.live import LiveJob
from logsvc.core.notify import Event

Held = dict[str, dict[str, Any]]  # findings in their public form, by name, the gravest first


def settled(
    live: LiveJob, found: Mapping[str, Finding], now: float, *, of: Collection[str], final: bool
) -> tuple[Held, list[Event]]:
    """
    What is held after a look, and the events that lead there. Changes nothing.

    Args:
        found: by name.
        now: Unix seconds; with `final` the job's end.
        of: the names that were looked for; the others stay.
    """
    now_ms = round(now * 1000)
    held = {name: one for name, one in live.held.items() if name not in of}
    events: list[Event] = []
    for name, finding in found.items():
        before = live.held.get(name)
        if before is not None and is_over(before):
            before = None
        held[name] = _held(finding, before, now_ms)
        if before is None:
            events.append(Event(live.id, now, name, "raised", finding.reason, finding.advice, dict(finding.numbers)))
    for name, before in live.held.items():
        if name in held:
            continue
        if name == "hung" and (final or live.resumed_hang):
            held[name] = {**before, "to": before["to"] or moment(now_ms)} if final else before
        if not is_over(before) and (name not in held or final):
            events.append(Event(live.id, now, name, "cleared", _why(live, name, final=final)))
    return {name: held[name] for name in (*NAMES, *held) if name in held}, events


def is_over(finding: Mapping[str, Any]) -> bool:
    """A hang that its job's end ended: it is still told of, and wrong no more."""
    return bool(finding["name"] == "hung" and finding["to"] is not None)


def _held(finding: Finding, before: Mapping[str, Any] | None, now_ms: int) -> dict[str, Any]:
    shown = shown_finding(finding, since_ms=now_ms if finding.since_ms is None else finding.since_ms)
    # A hang that outlived a restart is seen by a watch that began later.
    if before is not None and (finding.since_ms is None or finding.name == "hung"):
        shown["since"] = before["since"]
    return shown


def _why(live: LiveJob, name: str, *, final: bool) -> str:
    if name != "hung":
        return "The readings no longer show it."
    if final:
        return "The job ended."
    if live.hang is not None and live.hang.stage < 2 and live.hang.cycles == 0:
        return live.hang.reason
    return "Its cards work again."
