"""Prometheus series of jobs: what runs, and what ended a quarter of an hour ago at most.

A reading that is too old has no series: an old number is never shown as one of now. The number of
series is bounded by settings, and what was left out is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from logsvc.core.jobs import started_at
from logsvc.core.live import LiveJob
from logsvc.core.low_use import flagged_mean
from logsvc.core.monitor import Monitor
from logsvc.metrics import Prepared
from logsvc.model.job import STATUSES
from logsvc.model.sample import DEVICE_KINDS, READINGS
from logsvc.ports import Clock
from logsvc.settings import Settings

SHOWN_AFTER_END_SECONDS = 15 * 60
INFO = ("name", "owner", "status", "type", "accelerator", "resource_pool")
CARD = ("job_id", "task", "device", "kind")
# Reading -> metric, help, what one unit of the reading is in base units.
CARDS = {
    "utilization_percent": ("utilization_ratio", "Utilization of a card, 0 to 1, at its last sample.", 0.01),
    "memory_used_bytes": ("memory_used_bytes", "Memory of a card in use.", 1),
    "memory_total_bytes": ("memory_total_bytes", "Memory of a card.", 1),
    "power_watts": ("power_watts", "Power that a card takes.", 1),
    "temperature_celsius": ("temperature_celsius", "Temperature of a card.", 1),
    "process_count": ("processes", "Processes that hold a card.", 1),
}
_Row = tuple[list[str], float]


class JobMetrics(Prepared):
    """
    Series of the jobs that a monitor watches.

    `prepare` runs on the event loop, before each `collect`, which may run in a thread.
    """

    def __init__(self, monitor: Monitor, clock: Clock, settings: Settings) -> None:
        self._monitor, self._clock, self._settings = monitor, clock, settings
        self._shown: list[LiveJob] = []
        self._with_cards: set[str] = set()
        self._left_out = 0
        self._statuses: dict[str, int] = {}

    def describe(self) -> Iterable[Metric]:
        """Nothing: names are not known before the first job."""
        return []

    async def prepare(self) -> None:
        """Choose the jobs, the newest of those that run first, and let their means be of this moment."""
        now = self._clock.now()
        jobs = await self._monitor.jobs()
        self._statuses = dict.fromkeys(STATUSES, 0)
        for live in jobs:
            self._statuses[live.status] = self._statuses.get(live.status, 0) + 1
        alive = [live for live in jobs if live.ended_at is None or now - live.ended_at < SHOWN_AFTER_END_SECONDS]
        alive.sort(key=lambda live: (live.ended_at is None, (live.value or {}).get("created_at") or now), reverse=True)
        self._shown = alive[: self._settings.metrics_max_jobs]
        await self._monitor.refresh([live.id for live in self._shown])
        room = self._settings.metrics_max_cards
        self._with_cards = set()
        for live in self._shown:
            cards = sum(name.kind in DEVICE_KINDS for name in live.latest)
            if cards <= room:
                room -= cards
                self._with_cards.add(live.id)
        self._left_out = len(alive) - len(self._with_cards)

    def collect(self) -> Iterator[Metric]:
        """All series, each of a job as it is now."""
        now = self._clock.now()
        yield _gauge("logsvc_jobs", "Jobs known, by status.", ["status"], (([s], n) for s, n in self._statuses.items()))
        yield GaugeMetricFamily(
            "logsvc_metrics_jobs_left_out",
            "Jobs without series, or without those of their cards, for the settings metrics_max_jobs and "
            "metrics_max_cards.",
            value=self._left_out,
        )
        yield from self._of_jobs(now)
        yield from self._of_cards(now)
        yield from self._of_tasks(now)

    def _of_jobs(self, now: float) -> Iterator[Metric]:
        shown = self._shown
        yield _gauge(
            "logsvc_job_info",
            "What a job is; always 1.",
            ["job_id", *INFO],
            (([live.id, *(str((live.value or {}).get(name) or "") for name in INFO)], 1) for live in shown),
        )
        yield _of(
            shown,
            "logsvc_job_start_timestamp_seconds",
            "When a job began to run.",
            lambda live: started_at(live.value) if live.value else None,
        )
        measured = [live for live in shown if not live.is_cpu_job and live.has_cards]
        yield _of(
            measured,
            "logsvc_job_last_sample_timestamp_seconds",
            "When the last utilization of a card of the job was read.",
            lambda live: (live.last_reading_ms or 0) / 1000,
        )
        means = {live.id: flagged_mean(live.pooled or ()) for live in measured}
        yield _gauge(
            "logsvc_job_mean_utilization_ratio",
            "Mean utilization of worker-0 since the job began, 0 to 1, all cards and all times pooled.",
            ["job_id"],
            (([job], mean.percent / 100) for job, mean in means.items() if mean),
        )
        flags = {live.id: self._monitor.flags(live.id) for live in shown}
        yield _of(
            [live for live in measured if means[live.id]],
            "logsvc_job_low_utilization",
            "1 where the mean utilization of worker-0 lies below the limit, 0 where it does not.",
            lambda live: float("low_utilization" in flags[live.id]),
        )
        watched = [live for live in shown if live.hang is not None or "hung" in flags[live.id]]
        yield _of(
            watched,
            "logsvc_job_hung",
            "1 where the job hangs, 0 where not.",
            lambda live: float("hung" in flags[live.id]),
        )
        yield _of(
            watched,
            "logsvc_job_hang_stage",
            "Stage of the hang rule: 0 none, 1 no IO, 2 and no movement of utilization.",
            lambda live: live.hang.stage if live.hang else None,
        )
        yield _gauge(
            "logsvc_job_finding",
            "A finding on the job; always 1.",
            ["job_id", "finding"],
            (([live.id, name], 1) for live in shown for name in list(live.held)),
        )
        yield _counter(
            "logsvc_job_log_lines",
            "Lines of log that came for a job since the service started.",
            ((live, live.log_lines) for live in shown),
        )
        yield _counter(
            "logsvc_job_log_bytes",
            "Bytes of log that came for a job since the service started.",
            ((live, live.log_bytes) for live in shown),
        )
        yield _counter(
            "logsvc_job_card_seconds",
            "Time that cards of a job were measured since the service started, summed over them.",
            ((live, live.usage.card_seconds) for live in measured),
        )
        yield _counter(
            "logsvc_job_idle_card_seconds",
            "The part of card_seconds in which cards did not work: (1 - utilization) times the time.",
            ((live, live.usage.idle_card_seconds) for live in measured),
        )

    def _of_cards(self, now: float) -> Iterator[Metric]:
        rows: dict[str, list[_Row]] = {name: [] for name in CARDS}
        after_ms = self._after_ms(now)
        for live in self._shown:
            if live.id not in self._with_cards or live.ended_at is not None:
                continue
            for (task, kind, device), (at_ms, values) in list(live.latest.items()):
                if kind not in DEVICE_KINDS or at_ms < after_ms:
                    continue
                labels = [live.id, task, device, kind]
                for name, value in zip(READINGS[kind], values, strict=True):
                    if value is not None:
                        rows[name].append((labels, value * CARDS[name][2]))
        for name, (metric, told, _) in CARDS.items():
            yield _gauge(f"logsvc_job_accelerator_{metric}", told, CARD, rows[name])

    def _of_tasks(self, now: float) -> Iterator[Metric]:
        cpu: list[_Row] = []
        memory: list[_Row] = []
        used: list[_Row] = []
        total: list[_Row] = []
        after_ms = self._after_ms(now)
        for live in self._shown:
            if live.ended_at is not None:
                continue
            for (task, kind, name), (at_ms, values) in list(live.latest.items()):
                if at_ms < after_ms or kind not in ("host", "mount"):
                    continue
                if kind == "host":
                    _put(cpu, [live.id, task], values[0], 0.01)
                    _put(memory, [live.id, task], values[1])
                else:
                    _put(used, [live.id, task, name], values[0])
                    _put(total, [live.id, task, name], values[1])
        task_labels = ("job_id", "task")
        mount_labels = ("job_id", "task", "mount")
        yield _gauge("logsvc_job_cpu_ratio", "CPU in use of what a task may use, 0 to 1.", task_labels, cpu)
        yield _gauge("logsvc_job_memory_used_bytes", "Memory in use by a task's container.", task_labels, memory)
        yield _gauge("logsvc_job_mount_used_bytes", "Bytes in use of a mounted file system.", mount_labels, used)
        yield _gauge("logsvc_job_mount_total_bytes", "Size of a mounted file system.", mount_labels, total)

    def _after_ms(self, now: float) -> float:
        return (now - self._settings.sample_stale_seconds) * 1000


def _gauge(name: str, told: str, labels: Iterable[str], rows: Iterable[_Row]) -> Metric:
    family = GaugeMetricFamily(name, told, labels=list(labels))
    for values, value in rows:
        family.add_metric(values, value)
    return family


def _of(jobs: Iterable[LiveJob], name: str, told: str, value: Callable[[LiveJob], float | None]) -> Metric:
    rows = ((live, value(live)) for live in jobs)
    return _gauge(name, told, ["job_id"], (([live.id], one) for live, one in rows if one is not None))


def _counter(name: str, told: str, rows: Iterable[tuple[LiveJob, float]]) -> Metric:
    family = CounterMetricFamily(name, told, labels=["job_id"])
    for live, value in rows:
        family.add_metric([live.id], value)
    return family


def _put(rows: list[_Row], labels: list[str], value: float | None, unit: float = 1) -> None:
    if value is not None:
        rows.append((labels, value * unit))
