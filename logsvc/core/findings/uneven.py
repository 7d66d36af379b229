"""Cards of a worker, or workers of a job, of which some do far less than the others."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from logsvc.core.findings.finding import Finding
from logsvc.core.findings.recent import never_used_cards
from logsvc.core.findings.series import Card, Seen, by_task, mean_of_cards
from logsvc.core.findings.words import cards as named
from logsvc.core.findings.words import percent, some, span


def uneven_cards(seen: Seen) -> Finding | None:
    """Within a worker; cards that were never used have a finding of their own."""
    unused = {(card.series.task, card.series.name) for card in never_used_cards(seen)}
    used = [card for card in seen.recent if (card.task, card.device) not in unused]
    low: list[Card] = []
    rest: list[Card] = []
    for cards in by_task(used).values():
        below = _far_below({card.device: card.mean for card in cards}, seen.limits.uneven_points)
        if below:
            low += [card for card in cards if card.device in below]
            rest += [card for card in cards if card.device not in below]
    if not low:
        return None
    devices = tuple((card.task, card.device) for card in low)
    return Finding(
        "uneven_cards",
        f"Over the last {span(60 * seen.limits.recent_window_minutes)}, {named(devices)} averaged "
        f"{percent(mean_of_cards(low))}, the other cards of the same worker {percent(mean_of_cards(rest))}.",
        "Check that the model and the batch are split evenly over the cards (pipeline stages, `DataParallel` that "
        "gathers on one card, a sampler that gives one rank less), and that each process has a card of its own. "
        "If one card only is slower, look at its temperature and power and at other processes on it.",
        {"mean_percent": mean_of_cards(low), "others_percent": mean_of_cards(rest)},
        devices=devices,
    )


def uneven_workers(seen: Seen) -> Finding | None:
    """Between the workers of a job."""
    tasks = by_task(seen.recent)
    below = _far_below({task: mean_of_cards(cards) for task, cards in tasks.items()}, seen.limits.uneven_points)
    if not below:
        return None
    low = [card for task in below for card in tasks[task]]
    rest = [card for task, cards in tasks.items() if task not in below for card in cards]
    return Finding(
        "uneven_workers",
        f"Over the last {span(60 * seen.limits.recent_window_minutes)} the cards of {some(below)} averaged "
        f"{percent(mean_of_cards(low))}, those of the other workers {percent(mean_of_cards(rest))}.",
        "Look at the log of that worker: it may have failed to join the others, or wait for its own data. Check the "
        "rank table and the number of nodes that the program was started for, and that each worker reads an equal "
        "share of the data. Workers that are not needed should not be asked for.",
        {"mean_percent": mean_of_cards(low), "others_percent": mean_of_cards(rest)},
        tasks=tuple(below),
    )


def _far_below(means: Mapping[str, float], points: float) -> list[str]:
    """
    Those that lie at least so many points below the best.

    The best is the highest of up to ten, and of more the 90th percentile, so that one that runs high does
    not put hundreds below it.
    """
    if len(means) < 2:
        return []
    best = float(np.percentile(list(means.values()), 90, method="higher"))
    return [key for key, mean in means.items() if best - mean >= points]
