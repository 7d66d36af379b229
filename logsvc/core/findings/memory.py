"""Memory of a card that is held although no process is on the card."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from logsvc.core.findings.finding import Finding
from logsvc.core.findings.series import GAP_MS, Seen, is_fresh, reading
from logsvc.core.findings.view import JobView, Limits
from logsvc.core.findings.words import cards as named
from logsvc.core.findings.words import span
from logsvc.model.sample import DEVICE_KINDS
from logsvc.ports import RawSeries

GIB = 1 << 30


def memory_without_process(seen: Seen) -> Finding | None:
    """
    A process that died, or was detached, and left its memory behind.

    Within a container the driver may hide the processes: then a count of zero says nothing. It is
    believed where no card of the task was busy at a count of zero, and where either a card of the task
    shows processes or the task is known to have none.
    """
    view, limits = seen.view, seen.limits
    trusted = _trusted(view)
    held: dict[tuple[str, str], tuple[float, float]] = {}
    for card in view.cards:
        if trusted.get(card.series.task):
            found = _held(view, card, limits)
            if found and found[1] >= 60 * limits.orphan_memory_minutes:
                held[card.series.task, card.series.name] = found
    if not held:
        return None
    memory_bytes = sum(found[0] for found in held.values())
    held_seconds = min(found[1] for found in held.values())
    devices = tuple(held)
    return Finding(
        "memory_without_process",
        f"{memory_bytes / GIB:.1f} GiB of memory are held on {named(devices)}, and no process has been there "
        f"for {span(held_seconds)}.",
        "A process ended without giving its memory back, or runs outside of the job. Look for processes that are left "
        "over on the node (`fuser -v /dev/davinci*`, `fuser -v /dev/nvidia*`) and end them; if there are none, the "
        "card must be reset, or the job started anew on another node.",
        {"memory_bytes": int(memory_bytes), "held_seconds": held_seconds},
        devices=devices,
    )


def _trusted(view: JobView) -> Mapping[str, bool]:
    """Task to whether its counts of processes are to be believed."""
    shown: dict[str, bool] = {}
    hidden: set[str] = set()
    for card in view.cards:
        if card.series.kind not in DEVICE_KINDS:
            continue
        count, use = reading(card, "process_count"), reading(card, "utilization_percent")
        task = card.series.task
        shown[task] = shown.get(task, False) or bool((count > 0).any())
        if ((count == 0) & (use > 0)).any():
            hidden.add(task)
    return {task: task not in hidden and (some or not view.processes.get(task)) for task, some in shown.items()}


def _held(view: JobView, card: RawSeries, limits: Limits) -> tuple[float, float] | None:
    """Bytes held now and for how many seconds already; None: none."""
    seen = card.at_ms <= view.now_ms
    count, used = reading(card, "process_count")[seen], reading(card, "memory_used_bytes")[seen]
    total, at_ms = reading(card, "memory_total_bytes")[seen], card.at_ms[seen]
    told = ~np.isnan(count) & ~np.isnan(used) & ~np.isnan(total)
    count, used, total, at_ms = count[told], used[told], total[told], at_ms[told]
    if not len(at_ms) or not is_fresh(view, at_ms):
        return None
    orphan = (count == 0) & (total > 0) & (used >= total * (limits.orphan_memory_percent / 100))
    if not orphan[-1]:
        return None
    # The last stretch of readings that all say so, without a hole.
    breaks = ~orphan[:-1] | (np.diff(at_ms) > GAP_MS)
    first = int(np.flatnonzero(breaks)[-1]) + 1 if breaks.any() else 0
    return float(used[-1]), float(at_ms[-1] - at_ms[first]) / 1000
