"""What the service knows of a job from what came since it started: last readings, rates, the last hour.

All of it is derived and may be lost: the stores hold the truth. No I/O, bounded by the job's cards.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from logsvc.core.hang import HangState, HangWatch, ProcessIo
from logsvc.core.jobs import ended_at
from logsvc.core.samples import Report, SamplerReport
from logsvc.core.spark import SLOT_MS, Hour
from logsvc.model.chunk import Chunk
from logsvc.model.line import MARKS, SystemRule
from logsvc.model.sample import DEVICE_KINDS, READINGS, Pooled, Sample, SeriesName, Values
from logsvc.model.stream import StreamName
from logsvc.ports import BucketSeries, RawSeries

FLAGGED_TASK = "worker-0"
MAX_SAMPLERS = 4096  # told of one job
MAX_SERIES = 65_536  # of one job: cards, hosts and mounts
MAX_PROCESSES = 65_536  # of one job between two cycles


@dataclass(slots=True)
class Usage:
    """Time of cards since the service started; what was not measured does not count."""

    card_seconds: float = 0.0
    idle_card_seconds: float = 0.0


@dataclass(slots=True)
class LogRate:
    """Lines and bytes of a task that no sample tells of yet."""

    lines: int = 0
    bytes: int = 0


@dataclass(eq=False, slots=True)
class LiveJob:
    """
    One job, as seen since the service started.

    Attributes:
        value: its record, as last seen; None: not read yet.
        latest: last sample of each card, host and mount: Unix milliseconds, values.
        pooled: of all cards, as the store last told; None: not asked yet. `pooled_through`: of `reports`.
        late: samples that came behind a later one; the last hour holds those up to `restored_through`.
        held: findings in their public form, by name; those of a job that ended stay.
        hang_detect_minutes: of the job's container; None: the setting.
        resumed_hang: a hang was found before a restart, and nothing has shown yet whether it lasts.
    """

    id: str
    value: dict[str, Any] | None = None
    latest: dict[SeriesName, tuple[int, Values]] = field(default_factory=dict)
    last_reading_ms: int | None = None
    pooled: list[Pooled] | None = None
    pooled_through: int = -1
    late: int = 0
    restored_through: int = -1
    reports: int = 0  # with new samples, since the service started
    sampled_since_look: bool = False
    final: bool = False  # looked at since it ended
    held: dict[str, dict[str, Any]] = field(default_factory=dict)
    samplers: dict[tuple[str, str], tuple[SamplerReport, float]] = field(default_factory=dict)
    hang_detect_minutes: float | None = None
    watch: HangWatch | None = None
    hang: HangState | None = None
    processes: dict[str, int] = field(default_factory=dict)  # by task, as the watch saw them last
    resumed_hang: bool = False
    cycled_at: float = 0.0  # Unix seconds of the watch's last cycle
    next_cycle: float = 0.0  # of the monotonic clock, as those that follow
    next_findings: float = 0.0
    next_restore: float = 0.0
    usage: Usage = field(default_factory=Usage)
    log_lines: int = 0
    log_bytes: int = 0
    unwritten: dict[str, LogRate] = field(default_factory=dict)
    _hour: Hour | None = None
    _ends: dict[StreamName, int] = field(default_factory=dict)
    _processes: dict[SeriesName, ProcessIo] = field(default_factory=dict)
    _counters: dict[SeriesName, ProcessIo] = field(default_factory=dict)
    _fresh_lines: dict[str, int] = field(default_factory=dict)
    _moved: bool = False

    # What it is

    @property
    def status(self) -> str:
        """Of its record."""
        return str((self.value or {}).get("status", "running"))

    @property
    def ended_at(self) -> float | None:
        """Unix seconds; None while it has not."""
        return ended_at(self.value) if self.value else None

    @property
    def is_cpu_job(self) -> bool:
        """True where the job was described as one without cards."""
        return bool(self.value) and (self.value or {}).get("accelerator") == "none"

    @property
    def has_cards(self) -> bool:
        """True once a card of it gave a reading."""
        return self.last_reading_ms is not None

    @property
    def is_pooled(self) -> bool:
        """Whether `pooled` is of all samples."""
        return self.pooled_through == self.reports

    @property
    def is_restored(self) -> bool:
        """Whether the last hour is of all samples."""
        return self.restored_through == self.late

    def state(self, now: float, stale_seconds: float) -> str:
        """`measured`, `stale`, `no_data`, or `none` for a CPU job."""
        if self.is_cpu_job:
            return "none"
        if self.last_reading_ms is None:
            return "no_data"
        gone = now - self.last_reading_ms / 1000 > stale_seconds
        return "stale" if gone and self.ended_at is None else "measured"

    # What comes

    def sampled(self, report: Report, new: int, now: float, stale_seconds: float) -> None:
        """A report is durable; `new` of its samples were not held before."""
        if report.samplers is not None:
            for told in report.samplers:
                if len(self.samplers) < MAX_SAMPLERS or (report.task, told.name) in self.samplers:
                    self.samplers[report.task, told.name] = (told, now)
        if report.hang_detect_minutes is not None:
            self.hang_detect_minutes = report.hang_detect_minutes
        if not new:
            return
        self.reports += 1
        self.sampled_since_look = True
        now_ms = round(now * 1000)
        for sample in report.samples:
            kind = sample.series.kind
            if kind == "process":
                self._process(sample)
            elif self._keep(sample, now_ms, stale_seconds) and kind in DEVICE_KINDS:
                self._spark(sample)

    def logged(self, chunk: Chunk) -> None:
        """A chunk is durable; what of it was held before does not count."""
        name = chunk.stream
        start, end = chunk.offset, chunk.offset + len(chunk.data)
        known = self._ends.get(name, start)
        if end <= known:
            return
        self._ends[name] = end
        data = chunk.data if known <= start else chunk.data[known - start :]
        lines = data.count(b"\n")
        spoken = user_lines(data)
        if spoken:
            self._fresh_lines[name.task] = self._fresh_lines.get(name.task, 0) + spoken
            self._moved = True
        self.log_bytes += len(data)
        self.log_lines += lines
        if "-proc-rank-" not in name.path:  # says what its worker's log says
            rate = self.unwritten.setdefault(name.task, LogRate())
            rate.lines += lines
            rate.bytes += len(data)

    def ended(self) -> None:
        """The job ended: nothing of it hangs any more, and its streams need not be remembered."""
        self.watch = self.hang = None
        self.resumed_hang = False
        self.next_findings = self.next_restore = 0.0
        self.latest.clear()
        self._ends.clear()
        self._processes.clear()
        self._counters.clear()
        self._fresh_lines.clear()

    def judged_anew(self) -> None:
        """It has become a CPU job, or is none any more."""
        self.watch = self.hang = None
        self.resumed_hang = self.final = False
        self.next_findings = 0.0
        self.pooled_through = -1

    def fresh_io(self) -> tuple[list[ProcessIo], dict[str, int], bool]:
        """Counters of processes and log lines since the call before, and whether any of them moved."""
        told = list(self._processes.values()), dict(self._fresh_lines), self._moved
        self._counters = dict(self._processes)  # a process that is gone is not compared with again
        self._processes.clear()
        self._fresh_lines.clear()
        self._moved = False
        return told

    # What the stores tell after a restart

    def restore(
        self, cards: Iterable[RawSeries], hour: Sequence[BucketSeries], first_slot: int, *, through: int
    ) -> None:
        """Last readings and the last hour, as the store had them when `late` was `through`."""
        for series in cards:
            names = READINGS[series.series.kind]
            values = tuple(
                None
                if name not in series.readings or np.isnan(series.readings[name][-1])
                else float(series.readings[name][-1])
                for name in names
            )
            at_ms = int(series.at_ms[-1])
            held = self.latest.get(series.series)
            if held is None or held[0] < at_ms:
                self.latest[series.series] = (at_ms, values)
        self._hour = Hour()
        for one in hour:
            if one.series.task == FLAGGED_TASK and "utilization_percent" in one.readings:
                buckets = one.readings["utilization_percent"]
                for index in np.flatnonzero(buckets.count).tolist():
                    count = int(buckets.count[index])
                    self._hour.add(first_slot + index, float(buckets.mean[index]) * count, count)
        self.restored_through = through

    def pool(self, pooled: list[Pooled], now: float, *, through: int) -> None:
        """The exact sums of all cards, as the store had them when `reports` was `through`."""
        if through < self.pooled_through:
            return
        self.pooled, self.pooled_through = pooled, through
        last = max((one.last_ms for one in pooled), default=None)
        if last is not None:
            self._read(last, round(now * 1000))

    # What is shown

    def sparkline(self, now: float) -> list[float | None] | None:
        """
        Mean of the cards of worker-0, in 30 equal parts at most.

        They cover the last hour up to now or the job's end, or the job's life where that is shorter.
        """
        if not self.has_cards or self.is_cpu_job:
            return None
        made = int(((self.value or {}).get("created_at") or 0) * 1000) // SLOT_MS
        return (self._hour or Hour()).means(made, int((self.ended_at or now) * 1000) // SLOT_MS)

    # Helpers

    def _keep(self, sample: Sample, now_ms: int, stale_seconds: float) -> bool:
        """Take a sample as the last of its series; False where it is older than the one held."""
        held = self.latest.get(sample.series)
        if held is not None and sample.at_ms <= held[0] <= now_ms:
            if sample.at_ms < held[0]:
                self.late += 1  # the hour is read again from the store
            return False
        if held is None and len(self.latest) >= MAX_SERIES:
            return False
        self.latest[sample.series] = (sample.at_ms, sample.values)
        if sample.series.kind in DEVICE_KINDS and sample.values[0] is not None:
            self._read(sample.at_ms, now_ms)
            if held is not None and 0 < sample.at_ms - held[0] <= stale_seconds * 1000:
                seconds = (sample.at_ms - held[0]) / 1000
                self.usage.card_seconds += seconds
                self.usage.idle_card_seconds += seconds * (1 - sample.values[0] / 100)
        return True

    def _read(self, at_ms: int, now_ms: int) -> None:
        """A card gave a reading; where a clock goes ahead, it was read now at the latest."""
        self.last_reading_ms = max(self.last_reading_ms or 0, min(at_ms, now_ms))

    def _spark(self, sample: Sample) -> None:
        value = sample.values[0]
        if value is None or sample.series.task != FLAGGED_TASK:
            return
        self._hour = self._hour or Hour()
        self._hour.add(sample.at_ms // SLOT_MS, value)

    def _process(self, sample: Sample) -> None:
        read, written = sample.values
        if read is None and written is None:
            return
        name = sample.series
        io = ProcessIo(name.task, int(name.name), sample.at_ms, int(read or 0), int(written or 0))
        held = self._processes.get(name) or self._counters.get(name)
        if held is not None and held.at_ms >= io.at_ms:
            return
        if held is not None and held[3:] != io[3:]:
            self._moved = True
        if len(self._processes) < MAX_PROCESSES or name in self._processes:
            self._processes[name] = io


def user_lines(data: bytes) -> int:
    """
    How many lines of a chunk the platform did not write, the beginning of one included.

    A record of the platform that began in an earlier chunk counts: that errs towards a job that works.
    """
    folded, rule, at, users = data.lower(), SystemRule(), 0, 0
    places = {mark: folded.find(mark) for mark in MARKS}  # of the next of each, -1: none
    while at < len(data):
        if rule.quiet:  # lines are only looked at from the next mark on
            places = {mark: folded.find(mark, at) if 0 <= place < at else place for mark, place in places.items()}
            mark_at = min((place for place in places.values() if place >= 0), default=None)
            if mark_at is None:
                return users + data.count(b"\n", at) + (not data.endswith(b"\n"))
            marked = data.rfind(b"\n", at, mark_at) + 1 or at
            users += data.count(b"\n", at, marked)
            at = marked
        end = data.find(b"\n", at)
        line = data[at:end] if end >= 0 else data[at:]
        users += not rule.feed(line)
        at += len(line) + 1
    return users
