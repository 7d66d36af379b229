"""Which processes are a job's and what they have read and written; CPU and memory of a container."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from collectors.samplers import HostReading, ProcessReading
from collectors.samplers.command import helpers
from collectors.samplers.host import Host
from collectors.samplers.processes import Processes
from collectors.samplers.residents import RECENT_SECONDS, Residents
from processes import wait_until

JOB = "processes-1"

# Writes what it is told, one step for each line; after each it says so.
WORKER = """
import sys
path = sys.argv[1]
for line in sys.stdin:
    if line == "write\\n":
        with open(path, "ab") as file:
            file.write(b"x" * 100_000)
    elif line == "read\\n":
        open(path, "rb").read()
    elif line == "spin\\n":
        sum(range(3_000_000))
    print("done", flush=True)
"""

Worker = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    started: list[subprocess.Popen[str]] = []

    def start(**environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(tmp_path / "data")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def tell(process: subprocess.Popen[str], what: str) -> None:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(what + "\n")
    process.stdin.flush()
    assert process.stdout.readline() == "done\n"


def read(processes: Processes) -> dict[int, ProcessReading]:
    return {reading.pid: reading for reading in processes.look()}


def test_counters_move_with_what_a_process_does(worker: Worker) -> None:
    """They stand still while it sleeps, spins or is stopped; a read out of memory moves them, too."""
    process = worker()
    processes = Processes(command=process.pid, job=JOB, task="worker-0")
    tell(process, "write")
    first = read(processes)[process.pid]
    assert first.write_bytes >= 100_000
    assert read(processes)[process.pid] == first
    process.send_signal(signal.SIGSTOP)
    assert read(processes)[process.pid] == first
    process.send_signal(signal.SIGCONT)
    tell(process, "spin")
    spun = read(processes)[process.pid]
    assert spun.write_bytes - first.write_bytes == len("done\n")  # its answer, and no more
    tell(process, "read")
    assert read(processes)[process.pid].read_bytes - spun.read_bytes >= 100_000


def test_counters_are_those_of_psutil(worker: Worker) -> None:
    process = worker()
    tell(process, "write")
    counters = psutil.Process(process.pid).io_counters()
    reading = read(Processes(command=process.pid, job=JOB, task="worker-0"))[process.pid]
    assert reading.read_bytes == counters.read_chars + counters.read_bytes
    assert reading.write_bytes == counters.write_chars + counters.write_bytes


def test_the_whole_tree_of_a_command_also_what_has_left_it(worker: Worker) -> None:
    process = worker()
    processes = Processes(command=process.pid, job=JOB, task="worker-0")
    tell(process, "spin")
    assert process.pid in read(processes)
    shell = subprocess.Popen(["sh", "-c", "sleep 3600 & echo $!; wait"], stdout=subprocess.PIPE, text=True)
    assert shell.stdout is not None
    below = int(shell.stdout.readline())
    try:
        assert not {shell.pid, below} & read(processes).keys()  # it might be a sampler's, not told yet
        assert {shell.pid, below} <= read(processes).keys()
        shell.kill()
        shell.wait()
        assert below in read(processes) and psutil.Process(below).ppid() != os.getpid()
    finally:
        os.kill(below, signal.SIGKILL)
        shell.stdout.close()
    assert os.getpid() not in processes.known


def test_what_samplers_start_is_no_job(worker: Worker) -> None:
    process = worker()
    tell(process, "spin")
    helpers[process.pid] = process
    try:
        assert process.pid not in read(Processes(command=process.pid, job=JOB, task="worker-0"))
    finally:
        del helpers[process.pid]


def test_processes_are_found_by_their_environment(worker: Worker) -> None:
    ours = worker(MA_VJ_NAME=f"ma-job-{JOB}", VC_TASK_INDEX="3", CUDA_VISIBLE_DEVICES="1", MA_HANG_DETECT_TIME="12")
    other = worker(MA_VJ_NAME=f"modelarts-job-{JOB}", VC_TASK_INDEX="4")
    for process in (ours, other):
        tell(process, "spin")
    named = Processes(command=None, job=JOB, task="worker-3")
    named.look()  # our own children, here, count from the second time on
    assert set(read(named)) == {ours.pid}
    (home,) = Residents(JOB, "worker-3", named, {})(())
    assert (home.task, home.pids, home.hang_minutes) == ("worker-3", {ours.pid}, 12.0)
    assert home.environments == ({"CUDA_VISIBLE_DEVICES": "1"},)

    everyone = Processes(command=None, job=None, task=None)
    everyone.look()
    found = read(everyone)
    assert (found[ours.pid].job, found[ours.pid].task) == (JOB, "worker-3")
    homes = {home.task: home for home in Residents(None, None, everyone, {})(()) if home.job == JOB}
    assert homes["worker-3"].pids == {ours.pid} and homes["worker-4"].pids == {other.pid}


class FakeProc:
    """A /proc of processes that a test makes."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def add(
        self,
        pid: int,
        *,
        parent: int = 1,
        started: int = 100,
        state: str = "S",
        read: int = 1,
        name: str = "python",
        words: str = "-u train.py",
        **env: str,
    ) -> None:
        folder = self.root / str(pid)
        folder.mkdir(exist_ok=True)
        (folder / "stat").write_text(f"{pid} (a) b) {state} {parent} " + "0 " * 17 + f"{started} 0 0\n")
        (folder / "io").write_text(f"rchar: {read}\nwchar: 2\nsyscr: 1\nread_bytes: 30\nwrite_bytes: 40\n")
        (folder / "cmdline").write_bytes("".join(f"{word}\0" for word in (f"/usr/bin/{name}", *words.split())).encode())
        (folder / "environ").write_bytes("".join(f"{key}={value}\0" for key, value in env.items()).encode())

    def look(self, processes: Processes) -> dict[int, tuple[int, int]]:
        return {reading.pid: (reading.read_bytes, reading.write_bytes) for reading in processes.look()}


def test_everything_in_a_container_but_collectors_and_the_kernel(tmp_path: Path) -> None:
    proc = FakeProc(tmp_path)
    proc.add(2, parent=0)
    proc.add(3, parent=2)
    proc.add(10, read=5)
    proc.add(11, state="Z")
    proc.add(12, name="logsvc-collector")
    proc.add(13, MA_VJ_NAME="ma-job-another")
    proc.add(16, words="-m collectors run")
    proc.add(17, words="-u -m collectors")
    proc.add(18, words="sort.py collectors", read=8)  # a word of the user's
    proc.add(14)
    (tmp_path / "14" / "io").unlink()  # may not be read
    (tmp_path / "self").mkdir()
    processes = Processes(command=None, job=JOB, task=None, proc=str(tmp_path))
    assert proc.look(processes) == {10: (35, 42), 18: (38, 42)}
    assert set(processes.known) == {10, 14, 18}
    proc.add(15, MA_VJ_NAME=f"ma-job-{JOB}")  # one that names the job: then only such are its
    assert proc.look(processes) == {15: (31, 42)}


def test_a_helper_that_hides_the_cards_from_itself_hides_them_from_nobody_else(tmp_path: Path) -> None:
    """A board started with CUDA_VISIBLE_DEVICES= beside the training, a rank that sees one card: not what was given."""
    proc = FakeProc(tmp_path)
    proc.add(10, CUDA_VISIBLE_DEVICES="0,1")
    proc.add(11, parent=10, CUDA_VISIBLE_DEVICES="")
    proc.add(12, parent=10, CUDA_VISIBLE_DEVICES="1")
    processes = Processes(command=None, job=JOB, task=None, proc=str(tmp_path))
    processes.look()
    (home,) = Residents(JOB, None, processes, {})(())
    assert home.environments == ({"CUDA_VISIBLE_DEVICES": "0,1"},)


def test_a_pid_that_is_used_again_is_another_process(tmp_path: Path) -> None:
    proc = FakeProc(tmp_path)
    processes = Processes(command=None, job=None, task=None, proc=str(tmp_path))
    proc.add(10, started=100, MA_VJ_NAME="ma-job-a")
    assert [(reading.pid, reading.job) for reading in processes.look()] == [(10, "a")]
    proc.add(10, started=900, MA_VJ_NAME="ma-job-b", VC_TASK_INDEX="1")
    assert [(reading.job, reading.task) for reading in processes.look()] == [("b", "worker-1")]
    assert Residents(None, None, processes, {})(())[0].job == "b"


def test_a_process_whose_environment_could_not_be_read_yet_is_looked_at_again(tmp_path: Path) -> None:
    """While a program is started the kernel gives it its name before its environment."""
    proc = FakeProc(tmp_path)
    proc.add(10)
    processes = Processes(command=None, job=None, task=None, proc=str(tmp_path))
    assert proc.look(processes) == {}
    proc.add(10, MA_VJ_NAME=JOB)
    assert proc.look(processes) == {10: (31, 42)}


def test_a_shell_that_becomes_the_training_is_looked_at_again() -> None:
    """Its pid and its beginning stay, its environment does not."""
    shell = subprocess.Popen(
        ["sh", "-c", f"read go; export MA_VJ_NAME={JOB}-exec; exec sleep 3600"], stdin=subprocess.PIPE
    )
    assert shell.stdin is not None
    try:
        processes = Processes(command=None, job=None, task=None)
        for _ in range(2):
            assert shell.pid not in read(processes)
        shell.stdin.write(b"go\n")
        shell.stdin.flush()
        wait_until(lambda: psutil.Process(shell.pid).name() == "sleep")
        assert read(processes)[shell.pid].job == f"{JOB}-exec"
    finally:
        shell.kill()
        shell.communicate()


def test_more_processes_than_are_read_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collectors.samplers.processes.MAX_PROCESSES", 2)
    proc = FakeProc(tmp_path)
    for pid in (10, 11, 12):
        proc.add(pid, started=pid)
    processes = Processes(command=None, job=JOB, task=None, proc=str(tmp_path))
    host = Host(processes)
    host.open()
    assert [reading.pid for reading in host.sample() if isinstance(reading, ProcessReading)] == [10, 11]
    assert host.remark == "1 processes more than are read"


def test_log_files_tell_which_job_is_here_also_while_it_hangs(tmp_path: Path) -> None:
    files = [("old", "worker-0", 10 * RECENT_SECONDS), ("now", "worker-0", 5.0)]
    residents = Residents(
        None, None, Processes(command=None, job=None, task=None, proc=str(tmp_path)), {}, lambda: files
    )
    assert [home.job for home in residents(())] == ["now"]
    files[1] = ("now", "worker-0", 10 * RECENT_SECONDS)
    assert [home.job for home in residents(())] == ["now"]
    files[0] = ("old", "worker-0", 1.0)
    assert [home.job for home in residents(())] == ["old"]


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


NODE = {
    "proc__meminfo": "MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 600 kB\n",
    "proc__stat": "cpu 100 0 100 800 0 0 0 0 0 0\ncpu0 1\ncpu1 1\ncpu2 1\ncpu3 1\nintr 5\n",
}
V2 = {
    "proc__self__cgroup": "0::/\n",
    "sys__fs__cgroup__cgroup_dot_controllers": "cpu memory\n",
    "sys__fs__cgroup__memory_dot_max": "512000\n",
    "sys__fs__cgroup__memory_dot_current": "400000\n",
    "sys__fs__cgroup__memory_dot_stat": "anon 1\ninactive_file 150000\n",
    "sys__fs__cgroup__cpu_dot_max": "50000 100000\n",
    "sys__fs__cgroup__cpu_dot_stat": "usage_usec 2000000\nuser_usec 1\n",
}
V1 = {
    # The names are the node's; a container sees its own group at the root.
    "proc__self__cgroup": "3:cpu,cpuacct:/kubepods/pod1\n4:memory:/kubepods/pod1\n",
    "sys__fs__cgroup__memory__memory_dot_limit_in_bytes": "512000\n",
    "sys__fs__cgroup__memory__memory_dot_usage_in_bytes": "400000\n",
    "sys__fs__cgroup__memory__memory_dot_stat": "cache 1\ntotal_inactive_file 150000\n",
    "sys__fs__cgroup__cpu__cpu_dot_cfs_quota_us": "50000\n",
    "sys__fs__cgroup__cpu__cpu_dot_cfs_period_us": "100000\n",
    "sys__fs__cgroup__cpuacct__cpuacct_dot_usage": "2000000000\n",
}


@pytest.mark.parametrize(
    ("groups", "busier"),
    [
        (V2, {"sys__fs__cgroup__cpu_dot_stat": "usage_usec 3000000\n"}),
        (V1, {"sys__fs__cgroup__cpuacct__cpuacct_dot_usage": "3000000000\n"}),
    ],
    ids=["v2", "v1"],
)
def test_the_limits_of_a_container(tmp_path: Path, groups: dict[str, str], busier: dict[str, str]) -> None:
    """Half a core may be used; a second of it in four seconds is 50 %. Memory without what is given up first."""
    write(tmp_path, **NODE, **groups)
    assert host_readings(tmp_path, busier) == [HostReading(None, 250_000, 512_000), HostReading(50.0, 250_000, 512_000)]


@pytest.mark.parametrize(
    "groups",
    [
        {},
        {**V2, "sys__fs__cgroup__memory_dot_max": "max\n", "sys__fs__cgroup__cpu_dot_max": "max 100000\n"},
        {
            **V1,
            "sys__fs__cgroup__memory__memory_dot_limit_in_bytes": "9223372036854771712\n",
            "sys__fs__cgroup__cpu__cpu_dot_cfs_quota_us": "-1\n",
        },
    ],
    ids=["none", "v2", "v1"],
)
def test_without_limits_the_node_is_read(tmp_path: Path, groups: dict[str, str]) -> None:
    write(tmp_path, **NODE, **groups)
    ticks = os.sysconf("SC_CLK_TCK")
    busier = {"proc__stat": f"cpu {100 + 8 * ticks} 0 100 900 0 0 0 0 0 0\ncpu0 1\ncpu1 1\ncpu2 1\ncpu3 1\n"}
    used, total = 400 * 1024, 1000 * 1024
    assert host_readings(tmp_path, busier) == [HostReading(None, used, total), HostReading(50.0, used, total)]


def test_the_least_limit_above_us_holds(tmp_path: Path) -> None:
    inner = {name.replace("cgroup__", "cgroup__job__inner__", 1): text for name, text in V2.items() if "__fs__" in name}
    outer = {name.replace("cgroup__", "cgroup__job__", 1): text for name, text in V2.items() if "__fs__" in name}
    outer["sys__fs__cgroup__job__memory_dot_max"] = "500000\n"
    outer["sys__fs__cgroup__job__cpu_dot_max"] = "25000 100000\n"
    controllers = {"sys__fs__cgroup__cgroup_dot_controllers": "cpu memory\n"}
    write(tmp_path, **NODE, **controllers, **inner, **outer, proc__self__cgroup="0::/job/inner\n")
    outer_is_busier = {"sys__fs__cgroup__job__cpu_dot_stat": "usage_usec 2500000\n"}
    assert host_readings(tmp_path, outer_is_busier)[1] == HostReading(50.0, 250_000, 500_000)


def test_the_node_as_psutil_sees_it() -> None:
    host = Host(Processes(command=None, job=JOB, task=None))
    used, total = host._node_memory()
    memory = psutil.virtual_memory()
    assert total == memory.total and used is not None and abs(used - (memory.total - memory.available)) < 1 << 30
    seconds, cores = host._node_cpu()
    times = psutil.cpu_times()
    assert cores == psutil.cpu_count()
    assert abs(seconds - sum(times) + times.idle + times.iowait + times.guest + times.guest_nice) < 60


def host_readings(root: Path, busier: dict[str, str]) -> list[HostReading]:
    """Two samples, four seconds apart."""
    now = [100.0]
    (root / "empty").mkdir()
    host = Host(
        Processes(command=None, job=None, task=None, proc=str(root / "empty")), root=str(root), clock=lambda: now[0]
    )
    host.open()
    first = host.sample()
    now[0] += 4.0
    write(root, **busier)
    return [*first, *host.sample()]  # type: ignore[list-item]
