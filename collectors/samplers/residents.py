"""Whose readings these are: the tasks that are on this node, by flags, processes, log files or cards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Optional

from collectors.samplers import DeviceReading
from collectors.samplers.cards import Home, said_by
from collectors.samplers.processes import HANG_VARIABLE, Process, Processes
from collectors.tailer.places import FIRST_TASK

MAX_HANG_MINUTES = 10_080.0  # a week
RECENT_SECONDS = 900.0  # a log that was written to so lately is of a job that runs

Files = Callable[[], Iterable[tuple[str, str, float]]]  # job, task, seconds since it was written to


class Residents:
    """The tasks that are here."""

    def __init__(
        self,
        job: Optional[str],
        task: Optional[str],
        processes: Processes,
        environment: Mapping[str, str],
        files: Files = tuple,
    ) -> None:
        """
        Args:
            job, task: the only ones, where they are known.
            environment: the collector's own.
            files: log files that are shipped.
        """
        self._job, self._task = job, task or FIRST_TASK
        self._processes, self._environment, self._files = processes, environment, files
        self._last: Optional[tuple[str, str]] = None  # the only one that log files told of

    def __call__(self, cards: Sequence[DeviceReading]) -> list[Home]:
        """Args: cards: all that were ever read here."""
        known = dict(self._processes.known)
        if self._job is not None:
            return [self._home(self._job, self._task, known, self._environment)]
        groups: dict[tuple[str, str], dict[int, Process]] = {}
        for pid, process in known.items():
            groups.setdefault((process.job, process.task), {})[pid] = process
        for card in cards:
            if card.job:
                groups.setdefault((card.job, card.task or FIRST_TASK), {})
        for place in self._by_files():
            groups.setdefault(place, {})
        return [self._home(*place, members, {}) for place, members in sorted(groups.items())]

    def _home(self, job: str, task: str, members: Mapping[int, Process], environment: Mapping[str, str]) -> Home:
        # What the job was started with counts. A process further down may hide cards from itself alone: a rank all but
        # its own, a helper all of them.
        first = [process for process in members.values() if process.parent not in members]
        said = {tuple(sorted(process.visible.items())) for process in first}
        environments = tuple(dict(pairs) for pairs in sorted(said)) or (said_by(environment.items()),)
        hang = next((process.hang_minutes for process in members.values() if process.hang_minutes), None)
        minutes = _minutes(hang or environment.get(HANG_VARIABLE, ""))
        return Home(job, task, environments, frozenset(members), minutes)

    def _by_files(self) -> set[tuple[str, str]]:
        """A job that writes no more may hang: while no other one writes, it is still the one that is here."""
        recent = {(job, task) for job, task, age in self._files() if age < RECENT_SECONDS}
        if recent:
            self._last = next(iter(recent)) if len(recent) == 1 else None
            return recent
        return {self._last} if self._last else set()


def _minutes(text: str) -> Optional[float]:
    try:
        minutes = float(text)
    except ValueError:
        return None
    return minutes if 0 < minutes <= MAX_HANG_MINUTES else None
