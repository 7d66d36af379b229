"""The loop: look at the folders, send what is new, rest; back off while the service is away."""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Set
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Optional, Union

from collectors.client import Client, Refused, Say, Unavailable
from collectors.jobstatus import JobStatus
from collectors.metrics import MetricsServer
from collectors.progress import Progress
from collectors.samplers.engine import Engine
from collectors.samplers.families import engine_for
from collectors.settings import Settings
from collectors.shipper import Shipper
from collectors.spool import SPOOL_SUFFIX, Spool
from collectors.state import State
from collectors.status import Report, StatusSocket, report_of, written_ago
from collectors.tailer.discovery import Discovery
from collectors.tailer.family import Member
from collectors.tailer.notices import Notices
from collectors.tailer.rotation import Tailer
from logsvc.errors import LogsvcError

BACKOFF_SECONDS = 0.5  # first ceiling; doubles with each failure in a row
BACKOFF_CEILING_SECONDS = 30.0
CHECKPOINT_SECONDS = 5.0
UNREAD_SECONDS = 30.0  # so long is waited at an end for files that cannot be read
REPEAT_SECONDS = 60.0  # until the same words are said again
CHECKPOINT_SHARE = 0.005  # of a core, at most, for checkpoints
LOOK_SHARE = 0.015  # of a core, at most, for looks at files at rest: dearer ones are made less often, down to
LOOK_CEILING_SECONDS = 5.0  # between two of them
SCAN_SHARE = 0.1  # of a core, at most, for scans that something seen asks for
BUSY_SHARE = 0.0125  # of a core, about, while lines come: dearer rounds are made less often, down to
BUSY_CEILING_SECONDS = 0.5  # from one to the next
MANY_ACTIVE = 100  # files; word of single ones is not heard beside so many
GATHER_SECONDS = 0.02  # lines that come together go together

ERROR_KINDS = ("unavailable", "unauthorized", "refused", "expired", "unreadable")

Errand = Callable[[Client], None]


class Agent:
    """Ships files from `roots` until stopped. One thread calls `step`; `wake` may come from others."""

    def __init__(
        self,
        settings: Settings,
        roots: list[Path],
        say: Say,
        *,
        state: Optional[State],
        glog_dir: Optional[Path] = None,
    ) -> None:
        """Raises BadInput where the settings cannot be used."""
        self.settings = settings
        self.client = Client(settings)
        self.state = state
        skip = frozenset(str(path) for path in (state.folder if state else None, settings.state_dir) if path)
        roots_skip = frozenset(path for path in skip if path not in {str(root) for root in roots})
        self.discovery = Discovery(roots, settings.identity, glog_dir, roots_skip, settings.rank_table)
        self.tailer = Tailer(self.discovery, state.load() if state else ())
        self.shipper = Shipper(self.client, self.tailer, self.trouble)
        self.errands: deque[Errand] = deque()  # done in order, before anything is sent
        self.problem: Optional[str] = None  # why nothing can be sent now
        self.errors = Counter(dict.fromkeys(ERROR_KINDS, 0))
        self.last_error: Optional[tuple[float, str]] = None  # monotonic seconds, and what it was
        self.progress: Optional[Progress] = None
        self.spool: Optional[Spool] = None  # of the command that runs, for `status`
        self.sampling: Optional[Engine] = None
        self.started_at = self.stepped_at = time.monotonic()
        self.wake = threading.Event()
        self._say = say
        self._said: dict[str, float] = {}
        self._saying = threading.Lock()  # samplers and spools have words, too
        self._remarked: Set[str] = frozenset()  # what the last look said of files and processes
        self._failures = 0
        self._stuck_since: Optional[float] = None
        self._retry_at = 0.0
        self._next_look = 0.0
        self._next_scan = 0.0
        self._next_checkpoint = 0.0
        self._notices: Optional[Notices] = None
        self._fresh = False  # a new name was noticed, and not looked for yet
        self._next_fresh = 0.0
        self._runs_met: set[str] = set()
        self._left_runs: list[tuple[JobStatus, list[Member]]] = []  # with their spools
        self._doors: list[Union[StatusSocket, MetricsServer]] = []

    def now(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()

    def show(self, command: str) -> None:
        """Answer `status` from now on, and /metrics where a port was given; starts threads."""

        def report() -> Report:
            return report_of(self, command)

        try:
            self._doors.append(StatusSocket(self.settings.state_dir, command, report))
        except OSError as exc:
            self.say(f"`status` will not find this one: {self.settings.state_dir}: {exc.strerror}")
        port = self.settings.metrics_port
        if port:
            try:
                self._doors.append(MetricsServer(port, report))
            except OSError as exc:
                self.say(f"no metrics on port {port}: {exc.strerror}")

    def sample(self, command: Optional[int] = None) -> None:
        """
        Sample cards and what is around them from now on, where the settings say so; starts threads.

        Args:
            command: pid of the one that is run: the job's processes are those that descend from here.
        """
        try:
            self.sampling = engine_for(
                self.settings,
                os.environ,
                self.say,
                command=command,
                files=self._tasks_by_files,
                may_send=lambda: not self.errands,  # a job's start comes first, or it would be somebody else's job
            )
            if self.sampling:
                self.sampling.start()
        except (LogsvcError, OSError, RuntimeError) as exc:  # no token file, no thread: the command and its log go on
            self.say(f"nothing is sampled: {exc}")

    def say(self, text: str) -> None:
        """A line for a person; the same line at most once a minute. From any thread."""
        now = time.monotonic()
        with self._saying:
            if now - self._said.get(text, -REPEAT_SECONDS) < REPEAT_SECONDS:
                return
            self._said = {said: at for said, at in self._said.items() if now - at < REPEAT_SECONDS}
            self._said[text] = now
        self._tell(text)

    def trouble(self, kind: str, text: str) -> None:
        """Something went wrong: counted, kept for `status`, and said."""
        self._count(kind, text)
        self.say(text)

    def step(self) -> float:
        """Do what is due; returns seconds until something is due again."""
        now = self.stepped_at = time.monotonic()
        began = time.thread_time()
        self._take_notice(now)
        wanted = self.tailer.scan_wanted and now >= self._next_scan
        if now >= self._next_look or wanted or (self._fresh and now >= self._next_fresh):
            self.tailer.look(now)
            self._fresh = self._watch_folders()
            self._meet_left_runs()
            self._remark()
            cost, began = time.thread_time() - began, time.thread_time()
            self._next_look = now + max(self.settings.rest_seconds, min(cost / LOOK_SHARE, LOOK_CEILING_SECONDS))
            self._next_scan = now + min(cost / SCAN_SHARE, LOOK_CEILING_SECONDS)
            self._next_fresh = now + cost / LOOK_SHARE
        else:
            self.tailer.poll(now)
        if self.state and (now >= self._next_checkpoint or self.tailer.checkpoint_wanted):
            self._save(self.state, now)
        more = False
        if now >= self._retry_at:
            more = self._send(now)
        self._stuck_since = (self._stuck_since or now) if self._has_only_unread() else None
        if more:
            return 0.0
        if self.tailer.active:
            cost = min((time.thread_time() - began) / BUSY_SHARE, BUSY_CEILING_SECONDS)
            due = now + max(self.settings.busy_seconds, cost)
        else:
            due = min(self._next_look, self._next_fresh) if self._fresh else self._next_look
        return max(0.0, due - time.monotonic())

    def loop(self, stop: threading.Event, *, idle: Optional[Callable[[], bool]] = None) -> None:
        """Step until `stop` is set (and `wake`), or until `idle` says so after a step."""
        if self._notices is None:
            with suppress(OSError):  # it is looked at in time without
                self._notices = Notices(self.wake)
        try:
            while not stop.is_set():
                delay = self.step()
                if idle and idle():
                    return
                if self.progress:
                    self.progress.look(self.tailer, self.shipper.sent_bytes, self.problem)
                if self._notices and not self.tailer.active:
                    self._notices.expect()
                if delay > 0 and self.wake.wait(delay):
                    self.wake.clear()
                    if not stop.is_set():
                        stop.wait(GATHER_SECONDS)
        finally:
            if self.progress:
                self.progress.clear()

    def is_done(self, *, left: bool = True) -> bool:
        """
        Whether all there is now is acknowledged, and sealed where that was asked.

        Args:
            left: also what commands have left behind.
        """
        return not (self.errands or self.tailer.scan_wanted or self._failures or self._unfinished(left))

    def is_stuck(self, seconds: float = 0.0) -> bool:
        """Whether for so long nothing was left to be done but to send what cannot be read."""
        return self._stuck_since is not None and time.monotonic() - self._stuck_since >= seconds

    def is_over(self, *, left: bool = True) -> bool:
        """Whether nothing comes of waiting longer."""
        return self.is_done(left=left) or self.is_stuck(UNREAD_SECONDS)

    def pending(self) -> int:
        """Bytes not yet acknowledged, but for what commands have left behind."""
        return sum(member.pending for member in self._unfinished(left=False))

    def unread(self) -> str:
        """In words, what is not sent because it cannot be read; empty where there is nothing."""
        names = {member.file.name: member.unread for member in self._unfinished() if member.unread}
        names.update(
            {spool: self.discovery.unplaced.get(spool, "") for spool, left in self.tailer.left.items() if not left}
        )
        first = "".join(f"{name}: {why}" for name, why in sorted(names.items())[:1])
        return f"{first}, and {len(names) - 1} more files" if len(names) > 1 else first

    def close(self) -> None:
        """Keep the checkpoint and let go of everything; may be called twice."""
        for door in self._doors:
            door.close()
        self._doors.clear()
        if self.sampling:
            self.sampling.close()
        if self._notices:
            self._notices.close()
            self._notices = None
        if self.state:
            self.state.save(self.tailer.remembered())
            self.state.close()
        self.tailer.close()
        self.client.close()

    def _send(self, now: float) -> bool:
        try:
            while self.errands:
                try:
                    self.errands[0](self.client)
                except Refused as exc:
                    self.trouble("refused", f"{self.client.server}: {exc}")
                self.errands.popleft()
            more = self.shipper.round(now)
            more = self._end_left_runs() or more
        except Unavailable as exc:
            self._failures += 1
            ceiling = min(BACKOFF_CEILING_SECONDS, BACKOFF_SECONDS * 2 ** min(self._failures - 1, 10))
            wait = random.uniform(0, ceiling) + (exc.retry_after_seconds or 0.0)
            self._retry_at = time.monotonic() + wait
            self.problem = str(exc)
            self._count("unauthorized" if exc.refused else "unavailable", str(exc))
            if exc.refused or self._failures > 1:  # a single hiccup is not worth a line
                self.say(f"{exc}; trying again")
            return False
        if self._failures > 1:
            with self._saying:
                self._said.clear()
            self._tell(f"{self.client.server} answers again")
        self._failures, self.problem = 0, None
        return more

    def _unfinished(self, left: bool = True) -> list[Member]:
        """Files of which something is not acknowledged, or not sealed where that was asked."""
        others = set() if left else {id(spool) for spool in self.tailer.left.values()}
        return [
            member
            for family, member in self.tailer.active.values()
            if not family.dropped
            and (not family.asked or member.is_open_ended or family.has_untold_rank(member))
            and id(member) not in others
        ]

    def _has_only_unread(self) -> bool:
        if not self.errors["unreadable"] or self.errands or self._failures:
            return False
        unfinished = self._unfinished()
        return bool(unfinished) and all(member.unread for member in unfinished)

    def _tasks_by_files(self) -> list[tuple[str, str, float]]:
        """Job and task of each file, and seconds since it was written to; called by the engine's thread."""
        now = self.now()
        return [
            (family.place.job, family.place.task, written_ago(member, now))
            for family in list(self.tailer.families.values())
            for member in list(family.members)
            if not family.dropped
        ]

    def _watch_folders(self) -> bool:
        """Notice what happens in the folders from now on; whether another look must see what happened before."""
        if self._notices is None:
            return False
        folders = self.discovery.folders.names()
        return self._notices.watch(folder for folder in folders if not folder.endswith(SPOOL_SUFFIX))

    def _take_notice(self, now: float) -> None:
        """What the kernel says to have changed."""
        if self._notices is None:
            return
        if len(self.tailer.active) > MANY_ACTIVE:
            self._notices.skip()
            return
        written, fresh = self._notices.take()
        self._fresh = self._fresh or fresh
        for name in written:
            self.tailer.notice(name, now)

    def _save(self, state: State, now: float) -> None:
        began = time.thread_time()
        state.save(self.tailer.remembered())
        cost = (time.thread_time() - began) / CHECKPOINT_SHARE
        self._next_checkpoint = now + max(CHECKPOINT_SECONDS, cost)

    def _tell(self, text: str) -> None:
        if self.progress:
            self.progress.clear()
        self._say(text)

    def _count(self, kind: str, text: str) -> None:
        self.errors[kind] += 1
        self.last_error = (time.monotonic(), text)

    def _meet_left_runs(self) -> None:
        """Commands that have ended, and whose status was not told when they did."""
        here = set(self.discovery.runs)
        self._runs_met &= here
        for run in [run for run in self._left_runs if os.fspath(run[0].folder) not in here]:
            run[0].release()  # somebody has deleted it
            self._left_runs.remove(run)
        in_use = {os.path.dirname(spool) for spool, _ in self.discovery.spools if not self.tailer.left.get(spool)}
        for folder in self.discovery.runs:
            if folder in self._runs_met or folder in in_use:
                continue
            status = JobStatus.left_in(Path(folder))
            if status is not None:
                self._runs_met.add(folder)
                left = self.tailer.left.items()
                spools = [member for spool, member in left if member and os.path.dirname(spool) == folder]
                self._left_runs.append((status, spools))
                self.errands.append(status.start)

    def _end_left_runs(self) -> bool:
        """Tell how they ended once their logs are complete; True where there is one to tell."""
        complete = [run for run in self._left_runs if all(spool.sealed for spool in run[1])]
        for run in complete:
            self._left_runs.remove(run)
            generation = max((spool.number for spool in run[1] if spool.number is not None), default=-1)
            self.errands.append(partial(run[0].end, generation=generation))
        return bool(complete)

    def _remark(self) -> None:
        remarks = {
            **{
                name: reason if name in reason else f"{name}: {reason}"
                for name, reason in self.discovery.unplaced.items()
            },
            **{remark: remark for remark in [*self.discovery.conflicts, *self.discovery.remarks]},
        }
        for name, text in remarks.items():
            if name not in self._remarked:
                self._tell(text)
        self._remarked = remarks.keys()
