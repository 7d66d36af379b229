"""The hang rule before real processes: the collector reads their counters.

Utilization is made, time is moved by hand.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from collectors.samplers.processes import Processes
from logsvc.core.hang import HangRules, HangState
from unit.hang_rig import Job, Use, io_of, noisy, stages, steady

# Each writes a line once it has begun what it is there for.
WRITES = "import os\nout = os.open(os.devnull, os.O_WRONLY)\nos.write(1, b'.')\nwhile True: os.write(out, b'.')"
SLEEPS = "import signal, os\nos.write(1, b'.')\nwhile True: signal.pause()"
SPINS = "import os\nos.write(1, b'.')\nwhile True: pass"
Start = Callable[[str], subprocess.Popen[bytes]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a child and waits until it has begun."""
    children: list[subprocess.Popen[bytes]] = []

    def started(program: str) -> subprocess.Popen[bytes]:
        child = subprocess.Popen([sys.executable, "-Sc", program], stdout=subprocess.PIPE)
        children.append(child)
        assert child.stdout and child.stdout.read(1) == b"."
        return child

    yield started
    for child in children:
        child.kill()
        child.wait()
        assert child.stdout
        child.stdout.close()


class RealJob(Job):
    """
    A job of real processes.

    Attributes:
        workers: (task, pid as the job knows it) to the process whose counters it has.
        between: called before each look, so that the processes do what they are there for.
    """

    def __init__(self, workers: dict[tuple[str, int], int], *, between: Callable[[], object] = lambda: None) -> None:
        super().__init__(HangRules(hang_detect_minutes=5, hang_window_minutes=2))
        self.workers, self.between = workers, between
        self._samplers: dict[int, Processes] = {}  # each worker has a collector of its own, which runs its process

    def look(self) -> HangState:
        self.between()
        self.counters = {}
        for key, pid in self.workers.items():
            sampler = self._samplers.setdefault(pid, Processes(command=pid, job=None, task=None))
            for one in sampler.look():
                if one.pid == pid:
                    self.counters[key] = (one.read_bytes, one.write_bytes)
        return super().look()


def job_of(*children: subprocess.Popen[bytes], between: Callable[[], object] = lambda: None) -> RealJob:
    """Each child is a worker of its own."""
    return RealJob({(f"worker-{n}", child.pid): child.pid for n, child in enumerate(children)}, between=between)


def cpu_ticks(pid: int) -> int:
    return int(stat_of(pid)[11])


def stat_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()


def until(condition: Callable[[], bool]) -> None:
    while not condition():
        os.sched_yield()


def has_written(child: subprocess.Popen[bytes]) -> None:
    before = io_of(child.pid)
    until(lambda: io_of(child.pid) != before)


def stop(child: subprocess.Popen[bytes]) -> None:
    child.send_signal(signal.SIGSTOP)
    until(lambda: stat_of(child.pid)[0] == "T")


def test_a_child_that_does_io_never_hangs(start: Start) -> None:
    writes, sleeps = start(WRITES), start(SLEEPS)
    states = job_of(sleeps, writes, between=lambda: has_written(writes)).minutes(20)
    assert stages(states) == [0] * 20
    assert all(f"process {writes.pid} of worker-1 read or wrote" in state.reason for state in states[1:])


@pytest.mark.parametrize("use", [steady(100), steady(0)], ids=["at 100 %", "at 0 %"])
def test_children_that_sleep_hang(start: Start, use: Use) -> None:
    job = job_of(start(SLEEPS), start(SLEEPS))
    job.use = {("worker-0", "0"): use, ("worker-1", "0"): use}
    assert stages(job.minutes(10)) == [0] * 5 + [1] * 2 + [2] * 3


@pytest.mark.parametrize(("use", "last"), [(steady(100), 2), (noisy(85, 10), 1)], ids=["cards still", "cards work"])
def test_a_child_that_spins_without_io_hangs_only_if_its_cards_do_not_move(start: Start, use: Use, last: int) -> None:
    spins = start(SPINS)

    def spin() -> None:
        before = cpu_ticks(spins.pid)
        until(lambda: cpu_ticks(spins.pid) > before)

    job = job_of(spins, between=spin)
    job.use = {("worker-0", "0"): use}
    assert stages(job.minutes(9)) == [0] * 5 + [1] * 2 + [last] * 2


def test_a_stopped_child_hangs_and_one_that_goes_on_does_not(start: Start) -> None:
    child = start(WRITES)

    job = job_of(child, between=lambda: stat_of(child.pid)[0] == "T" or has_written(child))
    assert stages(job.minutes(10)) == [0] * 10
    stop(child)
    assert stages(job.minutes(8)) in (
        [0] * 5 + [1] * 2 + [2],
        [0] * 4 + [1] * 2 + [2] * 2,
    )  # it may have written before
    child.send_signal(signal.SIGCONT)
    until(lambda: stat_of(child.pid)[0] != "T")
    assert stages(job.minutes(3)) == [0] * 3


def test_a_process_that_ends_and_another_under_its_id_are_no_stall(start: Start) -> None:
    """Its counters are smaller than those of the one before, or larger: both are movement."""
    busy, young, old = start(WRITES), start(SLEEPS), start(SLEEPS)
    stop(busy)
    key = ("worker-0", 4711)
    assert io_of(young.pid)[1] < io_of(busy.pid)[1]

    job = RealJob({key: busy.pid, ("worker-1", old.pid): old.pid})
    assert job.minutes(8)[-1].stage == 2
    job.workers[key] = young.pid
    state = job.look()
    assert state.stage == 0 and "process 4711 of worker-0 counts anew" in state.reason
    assert job.minutes(7)[-1].stage == 2
    job.workers[key] = busy.pid
    state = job.look()
    assert state.stage == 0 and "process 4711 of worker-0" in state.reason

    old.kill()
    old.wait()
    states = job.minutes(7)  # its whole task is gone: once it has been silent for long, the others are judged
    assert stages(states) == [0] * 4 + [1] * 2 + [2]
    assert "worker-1 sent no IO counters" in states[0].reason


def test_the_counters_of_a_process_begin_anew_in_a_container_that_does(start: Start) -> None:
    """A restarted container has the same pids and the counters of new processes."""
    before, after = start(WRITES), start(SLEEPS)
    stop(before)
    job = RealJob({("worker-0", 1): before.pid})
    job.minutes(4)
    job.workers = {("worker-0", 1): after.pid}
    assert stages(job.minutes(8)) == [0] * 5 + [1] * 2 + [2]
