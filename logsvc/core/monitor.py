"""Watches every job: is it measured, does it use its cards, does it hang; raises and clears what it finds.

Samples and log lines are noted as they are committed (`core/live.py`). The rules look at intervals: the
heavy part is reading a window of raw samples, and runs beside the event loop. The truth is in the
stores: after a restart the last readings are read from there, findings and events from their records
(`core/journal.py`), and a hang watch starts anew: time in which nobody looked is not stillness.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

from logsvc.core.checkpoints import Checkpoints
from logsvc.core.clock import rfc3339
from logsvc.core.findings.finding import Finding
from logsvc.core.findings.rules import NAMES, findings_of
from logsvc.core.findings.view import JobView, Limits
from logsvc.core.hang import HangRules, HangWatch, hung
from logsvc.core.hang_use import movement
from logsvc.core.held import is_over, settled
from logsvc.core.journal import Journal, moment
from logsvc.core.live import LiveJob
from logsvc.core.low_use import flagged_mean, low_utilization
from logsvc.core.periodic import repeat
from logsvc.core.samples import Report, SamplerReport
from logsvc.core.spark import SLOT_MS, SLOTS
from logsvc.errors import LogsvcError
from logsvc.model.chunk import Chunk
from logsvc.model.job import JOB_KIND
from logsvc.model.sample import DEVICE_KINDS, Sample, SampleQuery, SeriesName
from logsvc.ports import Clock, LogStore, RecordStore, SampleStore
from logsvc.settings import Settings

LOOK_SECONDS = 2.0
MINUTE_MS = 60_000
RESTORE_SECONDS = 60.0  # between two attempts to read the last hour of a job
RATE_MS = 15_000  # between two samples of a log's rate
FLAGS = ("low_utilization", "hung")
FINDING_READINGS = frozenset(("utilization_percent", "memory_used_bytes", "memory_total_bytes", "process_count"))
UTILIZATION = frozenset(("utilization_percent",))
HUNG = frozenset(("hung",))
LOW = frozenset(("low_utilization",))
OTHERS = frozenset(NAMES) - LOW
FINDINGS_SHARE = 0.02  # of the time goes to the rules on one job at most: a thousand cards take them seconds

log = logging.getLogger(__name__)


class Monitor:
    """
    Live state of all jobs, and what is wrong with them.

    Args:
        journal: where findings and events become durable.
    """

    def __init__(
        self,
        records: RecordStore,
        logs: LogStore,
        samples: SampleStore,
        clock: Clock,
        journal: Journal,
        settings: Settings,
    ) -> None:
        self._records, self._samples, self._clock, self._journal = records, samples, clock, journal
        self._settings = settings
        self._stale_seconds = settings.sample_stale_seconds
        self._limits, self._hang_rules = Limits.of(settings), HangRules.of(settings)
        self._checkpoints = Checkpoints(logs)
        self._jobs: dict[str, LiveJob] = {}
        self._watched: set[str] = set()  # those that the next look goes through
        self._written_ms = 0  # when rates were written last
        self._rates = 0  # the span of `RATE_MS` whose lines are being counted
        self._settling = asyncio.Lock()

    # Life

    async def open(self, values: Iterable[dict[str, Any]]) -> None:
        """Take up where the service ended; `values` are the records of all jobs."""
        self._written_ms = self._now_ms()
        self._rates = self._written_ms // RATE_MS
        held = await self._journal.all()
        for value in values:
            self.described(value)
            record = held.get(value["id"])
            if record is not None:
                self._take_up(self._jobs[value["id"]], record)

    async def close(self) -> None:
        """Write what was counted since the last time; `run` has ended before."""
        await self._write_rates(self._now_ms())

    async def run(self) -> None:
        """Look for ever."""
        await repeat(self.look, seconds=LOOK_SECONDS, name="look")

    # What comes

    def described(self, value: dict[str, Any]) -> None:
        """The record of a job is this now."""
        live = self._live(value["id"])
        before, was_cpu_job = live.ended_at, live.is_cpu_job
        live.value = value
        if live.ended_at is None:
            live.final = False
        elif before is None:
            live.ended()
        if live.is_cpu_job != was_cpu_job:
            live.judged_anew()
        self._watched.add(live.id)

    def sampled(self, report: Report, new: int) -> None:
        """A report is durable; `new` of its samples were not held before."""
        live = self._live(report.job)
        live.sampled(report, new, self._clock.now(), self._stale_seconds)
        self._watched.add(live.id)

    def logged(self, chunks: Sequence[Chunk]) -> None:
        """These chunks are durable."""
        for chunk in chunks:
            live = self._live(chunk.stream.job)
            live.logged(chunk)
            self._watched.add(live.id)

    # What is asked

    async def refresh(self, jobs: Iterable[str]) -> None:
        """Let what is shown of these jobs be of this moment."""
        asked = [self._jobs[job] for job in jobs if job in self._jobs]
        await self._pool([live for live in asked if not live.is_pooled])
        for live in asked:
            await self._restore(live)

    async def judge(self) -> None:
        """Let the manual's flag of all jobs be of this moment."""
        await self._pool([self._jobs[job] for job in list(self._watched) if not self._jobs[job].is_pooled])

    def flags(self, job: str) -> list[str]:
        """Names of what is wrong with a job now."""
        live = self._jobs.get(job)
        if live is None:
            return []
        return [name for name in FLAGS if name in live.held and not (name == "hung" and live.ended_at is not None)]

    def shown(self, job: str) -> dict[str, Any]:
        """Fields of a job in a list; `refresh` was called for it before."""
        live = self._jobs.get(job) or LiveJob(job)
        now = self._clock.now()
        mean = None if live.is_cpu_job else flagged_mean(live.pooled or ())
        return {
            "flags": self.flags(job),
            "findings": list(live.held.values()),
            "mean_utilization_percent": mean.percent if mean else None,
            "utilization_state": live.state(now, self._stale_seconds),
            "utilization_sparkline_percent": live.sparkline(now),
        }

    async def detail(self, job: str) -> dict[str, Any]:
        """What `shown` gives, and what only the page of a job shows."""
        await self.refresh([job])
        live = self._jobs.get(job) or LiveJob(job)
        return {
            **self.shown(job),
            "hang": _shown_hang(live),
            "events": await self._journal.events(job),
            "samplers": [
                {"task": task, "name": name, "state": told.state, "reason": told.reason, "at": rfc3339(at)}
                for (task, name), (told, at) in sorted(live.samplers.items())
            ],
        }

    async def events(self, job: str) -> list[dict[str, Any]]:
        """The last events of a job, oldest first."""
        return await self._journal.events(job)

    def state(self, job: str) -> str:
        """`measured`, `stale`, `no_data` or `none`."""
        live = self._jobs.get(job) or LiveJob(job)
        return live.state(self._clock.now(), self._stale_seconds)

    async def jobs(self) -> list[LiveJob]:
        """All jobs, for whoever counts them."""
        for live in [live for live in self._jobs.values() if live.value is None]:
            await self._load(live)
        return list(self._jobs.values())

    # Looking

    async def look(self) -> None:
        """Do what is due now."""
        now_ms = self._now_ms()
        if now_ms // RATE_MS != self._rates:
            self._rates = now_ms // RATE_MS
            await self._write_rates(now_ms)
        await self._journal.tell()
        await self.judge()
        watched = [self._jobs[job] for job in self._watched]
        for live in sorted(watched, key=lambda live: live.ended_at is not None):  # those that run do not wait
            try:
                await self._look_at(live)
            except LogsvcError as error:
                log.warning("look_put_off", extra={"job": live.id, "code": error.code, "reason": error.message})
            except Exception:  # of one job; the others are looked at all the same
                log.exception("look_failed", extra={"job": live.id})

    async def _look_at(self, live: LiveJob) -> None:
        now, passed = self._clock.now(), self._clock.monotonic()
        ended = live.ended_at
        if ended is None:
            await self._restore(live)
            if (live.reports or live.resumed_hang) and not live.is_cpu_job and passed >= live.next_cycle:
                live.next_cycle = passed + self._settings.hang_cycle_seconds
                await self._cycle(live, now)
            if passed >= live.next_findings and live.ended_at is None:
                await self._find_timed(live, now)
        elif not live.final or live.sampled_since_look:
            if passed >= live.next_findings:
                live.final = await self._find_timed(live, ended, final=True)
                self._checkpoints.forget(live.id)
        elif not live.unwritten:
            self._watched.discard(live.id)

    async def _find_timed(self, live: LiveJob, at: float, *, final: bool = False) -> bool:
        """As `_find`; the next time is not before a while, however often samples come or it fails."""
        interval = self._settings.findings_interval_seconds
        live.sampled_since_look = False
        started = self._clock.monotonic()
        live.next_findings = started + interval
        done = await self._find(live, at, final=final)
        took = self._clock.monotonic() - started
        live.next_findings += max(0.0, took / FINDINGS_SHARE - interval)
        return done

    async def _cycle(self, live: LiveJob, now: float) -> None:
        rules = self._hang_rules
        if live.hang_detect_minutes is not None:
            rules = replace(rules, hang_detect_minutes=live.hang_detect_minutes)
        if live.watch is not None and now <= live.cycled_at:  # the clock was set back: the watch begins anew
            live.watch, live.resumed_hang = None, "hung" in live.held
        live.cycled_at = now
        watch = live.watch = live.watch or HangWatch(rules)
        watch.rules = rules
        query = SampleQuery(round((now - watch.reach_seconds) * 1000), round(now * 1000) + 1, readings=UTILIZATION)
        cards = await self._samples.raw_samples(live.id, query)
        processes, lines, moved = live.fresh_io()
        hang = await asyncio.to_thread(
            watch.cycle, round(now * 1000), processes=processes, cards=cards, log_lines=lines
        )
        if live.watch is not watch:
            return  # the job ended meanwhile: nothing of it hangs
        live.hang = hang
        live.processes = dict(watch.processes)
        if live.resumed_hang:
            use = movement(cards, window_ms=rules.hang_window_minutes * MINUTE_MS)
            works = use is not None and (
                use.variance > rules.hang_variance or use.median_points > rules.hang_median_points
            )
            live.resumed_hang = not (moved or works or live.hang.stage == 2)
        finding = hung(live.hang)
        if finding is not None or "hung" in live.held:
            await self._settle(live, [finding] if finding else [], now, of=HUNG)

    async def _find(self, live: LiveJob, now: float, *, final: bool = False) -> bool:
        found: list[Finding] = []
        if live.has_cards or live.hang is not None:
            now_ms = round(now * 1000)
            start_ms = now_ms - round(self._limits.findings_window_minutes * MINUTE_MS)
            cards = await self._samples.raw_samples(
                live.id, SampleQuery(start_ms, now_ms + 1, readings=FINDING_READINGS)
            )
            view = JobView(
                now_ms=now_ms,
                window_start_ms=start_ms,
                accelerator=(live.value or {}).get("accelerator"),
                pooled=live.pooled or (),
                cards=cards,
                processes=live.processes,
                checkpoints=await self._checkpoints.of(live.id, start_ms) if cards else (),
                hang=live.hang,
            )
            found = await asyncio.to_thread(findings_of, view, self._limits)
        if not final and live.ended_at is not None:
            return False  # it ended meanwhile, and is looked at as of its end
        # The sums may have been read again since: the manual's flag is of those of this moment.
        flagged = await self._flag(live)
        found = [one for one in found if one.name not in LOW]
        return await self._settle(live, found, now, of=OTHERS, final=final) and flagged

    async def _flag(self, live: LiveJob) -> bool:
        """Judge the manual's flag by the sums that are known; as `_settle`."""
        view = JobView(now_ms=0, window_start_ms=0, pooled=live.pooled or ())
        low = None if live.is_cpu_job else low_utilization(view, self._limits)
        if low is None and "low_utilization" not in live.held:
            return True
        return await self._settle(live, [low] if low else [], live.ended_at or self._clock.now(), of=LOW)

    async def _settle(
        self, live: LiveJob, found: Sequence[Finding], now: float, *, of: Collection[str], final: bool = False
    ) -> bool:
        """Of these names, what was found is what is held now. False: the next look has to try again."""
        async with self._settling:
            held, events = settled(live, {one.name: one for one in found}, now, of=of, final=final)
            if events or (final and not live.final and (held or live.has_cards or live.samplers)):
                try:
                    await self._journal.write(live.id, self._recorded(live, held, final=final), events)
                except LogsvcError as error:  # jobs can be read while the disk is full
                    log.warning("finding_put_off", extra={"job": live.id, "code": error.code, "reason": error.message})
                    return False
            live.held = held
            return True

    # The stores

    async def _pool(self, lives: Sequence[LiveJob]) -> None:
        """Ask for exact sums, and judge the manual's flag by them."""
        through = [live.reports for live in lives]  # samples that come while the store is asked are for the next time
        pooled = await self._samples.pooled([live.id for live in lives]) if lives else {}
        for live, reports in zip(lives, through, strict=True):
            live.pool(list(pooled.get(live.id, ())), self._clock.now(), through=reports)
            if live.value is None:
                await self._load(live)
            await self._flag(live)

    async def _load(self, live: LiveJob) -> None:
        """Read the record of a job that a chunk or a sample made."""
        record = await self._records.get(JOB_KIND, live.id)
        if live.value is None and record is not None:  # what was described meanwhile is younger
            live.value = record.value

    async def _restore(self, live: LiveJob) -> None:
        """Last readings and the last hour, from the store, where they are not of all samples."""
        if live.is_restored or not live.has_cards or self._clock.monotonic() < live.next_restore:
            return
        now_ms = round((live.ended_at or self._clock.now()) * 1000)
        last_slot = now_ms // SLOT_MS
        first_slot = last_slot - SLOTS + 1
        kinds = (*DEVICE_KINDS, "host", "mount")
        recent = SampleQuery(now_ms - round(self._stale_seconds * 1000), now_ms + 1, kinds=kinds)
        hour = SampleQuery(
            first_slot * SLOT_MS, (last_slot + 1) * SLOT_MS, tasks=frozenset(("worker-0",)), readings=UTILIZATION
        )
        through = live.late
        try:
            cards = await self._samples.raw_samples(live.id, recent) if live.ended_at is None else ()
            slots = await self._samples.bucketed_samples(live.id, hour, buckets=SLOTS)
        except LogsvcError as error:  # damage to the samples of one job hides no other job
            live.next_restore = self._clock.monotonic() + RESTORE_SECONDS
            log.warning("restore_put_off", extra={"job": live.id, "code": error.code, "reason": error.message})
            return
        live.restore(cards, slots, first_slot, through=through)

    async def _write_rates(self, at_ms: int) -> None:
        """Lines and bytes of each task since the last time, as samples."""
        spoken = [live for job in self._watched if (live := self._jobs[job]).unwritten]
        # All at once: the store makes them durable together, where one after the other waits for each.
        await asyncio.gather(*(self._write_rate(live, at_ms) for live in spoken))
        self._written_ms = at_ms

    async def _write_rate(self, live: LiveJob, at_ms: int) -> None:
        rates, live.unwritten = live.unwritten, {}
        last_ms = round((live.ended_at or 0) * 1000) - 1  # of the job's life, which a chart shows
        counted_ms = last_ms if self._written_ms < last_ms < at_ms else at_ms
        samples = [
            Sample(SeriesName(task, "log", ""), counted_ms, (float(rate.lines), float(rate.bytes)))
            for task, rate in rates.items()
        ]
        try:
            await self._samples.add_samples(live.id, samples)
        except LogsvcError as error:  # a rate is worth no more than a warning
            log.warning("log_rate_lost", extra={"job": live.id, "code": error.code, "reason": error.message})

    # Helpers

    def _live(self, job: str) -> LiveJob:
        live = self._jobs.get(job)
        if live is None:
            live = self._jobs[job] = LiveJob(job)
        return live

    def _now_ms(self) -> int:
        return round(self._clock.now() * 1000)

    def _recorded(self, live: LiveJob, held: dict[str, Any], *, final: bool) -> dict[str, Any]:
        return {
            "findings": held,
            "final": final or live.final,
            "hang_detect_minutes": live.hang_detect_minutes,
            "samplers": [
                [task, told.name, told.state, told.reason, at] for (task, _), (told, at) in live.samplers.items()
            ],
        }

    def _take_up(self, live: LiveJob, record: dict[str, Any]) -> None:
        live.held = record["findings"]
        live.final = live.ended_at is not None and record["final"]
        live.hang_detect_minutes = record["hang_detect_minutes"]
        for task, name, state, reason, at in record["samplers"]:
            live.samplers[task, name] = (SamplerReport(name, state, reason), at)
        hang = live.held.get("hung")
        live.resumed_hang = hang is not None and not is_over(hang) and live.ended_at is None


def _shown_hang(live: LiveJob) -> dict[str, Any] | None:
    hang = live.hang
    if hang is None:
        return None
    return {
        "stage": hang.stage,
        "io_still_seconds": hang.io_still_seconds,
        "cycles": hang.cycles,
        "variance": hang.variance,
        "median_percent": hang.median_percent,
        "since": moment(hang.since_ms),
        "reason": hang.reason,
    }
