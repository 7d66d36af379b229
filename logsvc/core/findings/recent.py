"""What a mean over the whole life hides: cards that were never used, that idle now, or that idled for long."""

from __future__ import annotations

import numpy as np

from logsvc.core.findings.finding import Finding
from logsvc.core.findings.series import COVERED, GAP_MS, Card, Seen, is_fresh, mean_of_cards
from logsvc.core.findings.view import JobView, Limits
from logsvc.core.findings.words import cards as named
from logsvc.core.findings.words import percent, span
from logsvc.core.low_use import FLAGGED_TASK
from logsvc.model.sample import DEVICE_KINDS, Pooled

LEAST_READINGS = 3  # of a card, before it can be said never to have been used


def recently_low(seen: Seen) -> Finding | None:
    """The manual's rule over the recent window alone, once it is full."""
    limits = seen.limits
    cards = [card for card in seen.recent if card.task == FLAGGED_TASK]
    if not cards:
        return None
    mean, window_seconds = mean_of_cards(cards), 60 * limits.recent_window_minutes
    if mean >= limits.low_utilization_percent:
        return None
    return Finding(
        "recently_low",
        f"Over the last {span(window_seconds)} the cards of {FLAGGED_TASK} averaged {percent(mean)}, "
        f"below {limits.low_utilization_percent:g} %.",
        "Look in the log for what the job has been doing since: evaluation, saving, downloading or preparing data. "
        "Give that work to the CPU side by side with the training, make it rarer, or end the job if it is done.",
        {"mean_percent": mean, "window_seconds": window_seconds, "limit_percent": limits.low_utilization_percent},
    )


def never_used_cards(seen: Seen) -> list[Pooled]:
    """Cards watched for long enough whose every reading was zero."""
    return [
        card
        for card in seen.view.pooled
        if card.series.kind in DEVICE_KINDS
        and card.sum_micropercent == 0
        and card.count >= LEAST_READINGS
        and card.last_ms - card.first_ms >= 60_000 * seen.limits.never_used_minutes
    ]


def never_used(seen: Seen) -> Finding | None:
    """Cards that never were above zero since the job began."""
    view = seen.view
    idle = never_used_cards(seen)
    if not idle:
        return None
    total = sum(card.series.kind in DEVICE_KINDS for card in view.pooled)
    devices = tuple((card.series.task, card.series.name) for card in idle)
    watched_seconds = min(card.last_ms - card.first_ms for card in idle) / 1000
    if len(idle) == total:
        who = f"None of the job's {total} cards" if total > 1 else "The job's card"
        found = f"{who} {'has' if total > 1 else 'has never'} been above 0 % since the job began"
    else:
        found = f"{named(devices)} ({len(idle)} of {total}) never rose above 0 % since the job began"
    return Finding(
        "never_used",
        f"{found[0].upper()}{found[1:]}, watched for {span(watched_seconds)}.",
        "Check that the program runs on the cards at all: its device setting (`device_target`, `.to(device)`), the "
        "visible devices (`CUDA_VISIBLE_DEVICES`, `ASCEND_RT_VISIBLE_DEVICES`), and that one process was started for "
        "each card. Cards that the job does not need should not be asked for.",
        {"cards": len(idle), "watched_seconds": watched_seconds},
        devices=() if len(idle) == total else devices,
    )


def long_idle_gap(seen: Seen) -> Finding | None:
    """A long time in which all cards idled at once, after they had worked; the one that lasts, else the longest."""
    view, cards, limits = seen.view, seen.cards, seen.limits
    gaps = _gaps(view, cards, limits)
    if not gaps:
        return None
    newest_ms = max(int(card.at_ms[-1]) for card in cards)
    start_ms, end_ms = max(gaps, key=lambda gap: (gap[1] == newest_ms, gap[1] - gap[0]))
    lasts = end_ms == newest_ms and is_fresh(view, np.array([newest_ms]))
    began = any((card.use[card.at_ms < start_ms] >= limits.idle_percent).any() for card in cards)
    seconds = (end_ms - start_ms) / 1000
    return Finding(
        "long_idle_gap",
        f"All cards {'have idled' if lasts else 'idled'} below {limits.idle_percent:g} % for "
        f"{'' if began else 'at least '}{span(seconds)}{' and still do' if lasts else ''}.",
        "Look at the log of these minutes. If the job prepares or downloads data, do that before the cards are asked "
        "for; if it evaluates or saves, do so beside the training; if it waits, find out for what.",
        {"gap_seconds": seconds, "below_percent": limits.idle_percent},
        since_ms=start_ms if began else None,
        from_ms=start_ms,
        to_ms=None if lasts else end_ms,
    )


def _gaps(view: JobView, cards: list[Card], limits: Limits) -> list[tuple[int, int]]:
    """Spans (from, to) of idling, long enough and seen throughout, in at least half of the cards."""
    if not cards:
        return []
    at_ms = np.concatenate([card.at_ms for card in cards])
    busy = np.concatenate([card.use for card in cards]) >= limits.idle_percent
    order = np.argsort(at_ms, kind="stable")
    times, first = np.unique(at_ms[order], return_index=True)
    busy_then = np.logical_or.reduceat(busy[order], first)
    # A stretch ends at a busy moment and at a hole in the readings.
    ends = (np.diff(busy_then.astype(np.int8)) != 0) | (np.diff(times) > GAP_MS)
    first = np.append(0, np.flatnonzero(ends) + 1)
    last = np.append(np.flatnonzero(ends), len(times) - 1)
    long = ~busy_then[first] & (times[last] - times[first] >= 60_000 * limits.long_idle_minutes)
    if not _worked_before(view):
        long &= np.cumsum(busy_then)[first] > 0  # before the first work, the job only begins
    spans = [(int(times[start]), int(times[end])) for start, end in zip(first[long], last[long], strict=True)]
    return [gap for gap in spans if sum(_covers(card, *gap) for card in cards) >= len(cards) / 2]


def _worked_before(view: JobView) -> bool:
    """Whether the job is older than the window and its cards were used at some time."""
    return any(card.first_ms < view.window_start_ms and card.sum_micropercent > 0 for card in view.pooled)


def _covers(card: Card, start_ms: int, end_ms: int) -> bool:
    inside = (card.at_ms >= start_ms) & (card.at_ms <= end_ms)
    return bool(card.weight_ms[inside].sum() >= COVERED * (end_ms - start_ms))
