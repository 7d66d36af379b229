"""The collector as a process of its own: what it costs beside a training, and how soon a line is there."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.asyncio.client import connect

from bench.plan import MIB, Corpus, Scale
from bench.report import Report, median, percentile
from bench.service import TICKS, Client, Service

BUSY_FILES, BUSY_BYTES_PER_SECOND, BUSY_WRITES_PER_SECOND = 25, 1_000_000, 20
FLEET_FILES, FLEET_LINES_PER_SECOND, FLEET_WRITES_PER_SECOND = 3200, 10, 2
BEHIND_FILES, LIVE_FILES = 25, 8
FOLLOWED = 48  # of the fleet's streams; each of their lines is timed
EIGHT_CARDS = (
    Path(__file__).resolve().parents[1] / "tests/samples/accelerators/npu-smi/info-910B4-24.1.rc3-busy-processes.txt"
)
START_SECONDS = 8.0  # interpreter, first scan, first answers and what was written last are not the running cost
DESCRIPTORS = 1024  # what a collector gets on most machines
LATE_SECONDS = 60.0
PRINTED_LINES, PRINTED_TIMES = 2_000_000, 3  # in full; fewer lines where less is measured
PRINTS = """if True:
    import sys, time
    line, start = "x" * 99, time.perf_counter()
    for _ in range(int(sys.argv[1])):
        print(line)
    sys.stdout.flush()
    took = time.perf_counter() - start
    with open(sys.argv[2], "w") as file:
        file.write(str(took))
"""


def costs(report: Report, service: Service, scale: Scale, folder: Path) -> None:
    """What it takes of a core and of memory, with files that grow and files at rest."""
    for what, sampled in (("", False), (", 8 cards every 5 s", True)):
        with _collector(service, folder / f"busy-{sampled}", start=False) as collector:
            collector.start(
                *(("--sample-seconds", "5") if sampled else ()), tools=_eight_cards(folder) if sampled else ""
            )
            share, tools, note = _busy(service, collector, scale)
            resident = collector.resident_bytes()
        report.at_most(f"collector: 25 files, 1 MB/s together{what}", share, 2, "% of a core", note)
        report.at_most("… resident, at its peak", resident / 1e6, 40, "MB")
        if sampled:
            report.add("… npu-smi itself, here a shell that prints a capture", f"{tools:.2f} % of a core")
    for count, goal in ((200, 0.3), (10_000, 3.0)):
        with _collector(service, folder / f"idle-{count}") as collector:
            for n in range(count):
                (collector.logs / f"{n % 10}").mkdir(exist_ok=True)
                (collector.logs / f"{n % 10}/{n}.log").write_bytes(b"a line, and then nothing\n")
            _held(service, collector, 25 * count)
            share = collector.share_of_core(scale.collector_seconds)
            note = f"{collector.resident_bytes() / 1e6:.0f} MB resident"
        report.at_most(f"collector: {count:,} files at rest", share, goal, "% of a core", note)


def _busy(service: Service, collector: _Collector, scale: Scale) -> tuple[float, float, str]:
    """Shares of a core of the collector and of the tools that it runs, with files that grow."""
    with _Writers(collector.logs, BUSY_FILES) as writers:
        line_bytes = BUSY_BYTES_PER_SECOND // BUSY_FILES // BUSY_WRITES_PER_SECOND
        writers.start(lambda stamp, n: _line(stamp, n, line_bytes), BUSY_WRITES_PER_SECOND)
        tools = collector.tools_cpu_seconds()
        share = collector.share_of_core(scale.collector_seconds)
        tools = 100 * (collector.tools_cpu_seconds() - tools) / (START_SECONDS + scale.collector_seconds)
        written = writers.stop()
        behind = written - _held(service, collector, written)
    return share, tools, f"{scale.collector_seconds} s, {written / 1e6:.0f} MB, {behind} bytes not there in the end"


def _eight_cards(folder: Path) -> str:
    """A folder with an npu-smi that prints what a real one printed."""
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    (tools / "npu-smi").write_text(f"#!/bin/sh\nexec cat '{EIGHT_CARDS}'\n")
    (tools / "npu-smi").chmod(0o755)
    return str(tools)


def full_speed(report: Report, service: Service, corpus: Corpus, folder: Path) -> None:
    """One large file that is there already: seconds until the service has acknowledged it."""
    used = service.cpu_seconds()
    with _collector(service, folder / "large", start=False) as collector:
        (collector.logs / "large.log").symlink_to(corpus.big.path)
        start = time.perf_counter()
        collector.start("--once")
        collector.wait_end()
        rate = corpus.big.size / 1e6 / (time.perf_counter() - start)
        cpu = collector.last_cpu_seconds
    spent = f"CPU: collector {cpu:.1f} s, service {service.cpu_seconds() - used:.1f} s"
    report.at_least(f"collector: one file of {corpus.big.size / MIB:.0f} MiB", rate, 40, "MB/s", spent)


def outage(report: Report, service: Service, scale: Scale, folder: Path) -> None:
    """The service was away: 25 files are far behind, and lines of other files come all the time."""
    each = scale.behind_bytes // BEHIND_FILES
    with _collector(service, folder / "behind", start=False) as collector:
        block = b"".join(_line(0, n, 100) for n in range(10_000))
        for n in range(BEHIND_FILES):
            with (collector.logs / f"behind-{n}.log").open("wb") as file:
                for _ in range(each // len(block)):
                    file.write(block)
        behind = BEHIND_FILES * (each // len(block)) * len(block)
        with _Writers(collector.logs, LIVE_FILES) as writers:
            writers.start(lambda stamp, n: _line(stamp, n, 100), 10)
            start = time.perf_counter()
            collector.start()
            held: list[float] = []

            def watch() -> None:
                _held(service, collector, behind, pattern="behind-")
                held.append(time.perf_counter() - start)

            draining = threading.Thread(target=watch)
            draining.start()
            times = _follow(service, collector, writers.paths, lambda: not draining.is_alive())
            draining.join()
    rate = behind / 1e6 / held[0]
    note = f"p50 {median(times):.2f}, {len(times)} lines while {behind / 1e6:.0f} MB were sent, {rate:.0f} MB/s"
    report.at_most("collector: a new line during back-fill, max", max(times), 5, "s", note)


def many_streams(report: Report, service: Service, scale: Scale, folder: Path) -> None:
    """One collector, 3,200 files of ten lines a second; from written until a follower has it."""
    lines = FLEET_LINES_PER_SECOND // FLEET_WRITES_PER_SECOND
    with _collector(service, folder / "streams") as collector, _Writers(collector.logs, FLEET_FILES) as writers:
        writers.start(lambda stamp, n: _line(stamp, n, 100) * lines, FLEET_WRITES_PER_SECOND)
        _held(service, collector, 100 * lines * FLEET_FILES)
        _held(service, collector, writers.written)  # the streams are made, and it has caught up
        used, start = collector.cpu_seconds(), time.perf_counter()
        service_used = service.cpu_seconds()
        end = start + scale.collector_fleet_seconds
        step = FLEET_FILES // FOLLOWED
        times = _follow(service, collector, writers.paths[::step], lambda: time.perf_counter() > end)
        seconds = time.perf_counter() - start
        cores = (collector.cpu_seconds() - used) / seconds
        service_cores = (service.cpu_seconds() - service_used) / seconds
        written = writers.stop()
        behind = written - _held(service, collector, written)
    note = (
        f"p50 {median(times):.2f}, max {max(times):.1f}, {len(times):,} lines of {FOLLOWED} streams, {seconds:.0f} s; "
        f"cores: collector {cores:.2f}, service {service_cores:.2f}; {behind} bytes not there in the end"
    )
    report.at_most("collector: 3,200 streams x 10 lines/s, readable, p99", percentile(times, 99), 2, "s", note)


def printing(report: Report, scale: Scale, folder: Path) -> None:
    """What `run` costs a command that does nothing but print, beside a pipe to `cat`; there is no service."""
    lines = PRINTED_LINES * scale.collector_seconds // 60
    took, state = folder / "took", folder / "run-state"
    program = [sys.executable, "-c", PRINTS, str(lines), str(took)]
    under = [sys.executable, "-m", "collectors", "run", "--job", "bench-run", "--server", "http://127.0.0.1:9"]
    ways = {
        "cat": ["sh", "-c", '"$@" | cat', "sh", *program],
        "run": [*under, "--state-dir", str(state), "--drain", "0", "--", *program],
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(PRINTED_TIMES):
        for way, command in ways.items():
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=300)
            seconds[way].append(float(took.read_text()))
            shutil.rmtree(state, ignore_errors=True)
    run, cat = median(seconds["run"]), median(seconds["cat"])
    note = f"{lines:,} lines of 100 bytes, no service: {run:.2f} s, `| cat` {cat:.2f} s"
    report.at_most("collector: print() under `run`, beside `| cat`", run / cat, 1.1, "x", note)


class _Collector:
    """`logsvc-collector watch` on a folder of its own."""

    def __init__(self, service: Service, folder: Path) -> None:
        self.job = f"bench-collector-{folder.name}"
        self.logs = folder / "logs"
        self.logs.mkdir(parents=True)
        self.last_cpu_seconds = 0.0
        self._folder = folder
        self._service = service
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *more: str, tools: str = "") -> None:
        """Start the process; `tools`: a folder that comes first in PATH."""
        command = [sys.executable, "-m", "collectors", "watch", str(self.logs), "--job", self.job]
        command += ["--state-dir", str(self._folder / "state"), *more]
        server = f"http://127.0.0.1:{self._service.port}"
        settings = {**os.environ, "LOGSVC_SERVER": server, "LOGSVC_TOKEN": self._service.token}
        settings["PATH"] = os.pathsep.join(filter(None, (tools, settings["PATH"])))
        with (self._folder / "collector.log").open("ab") as said:
            self._process = subprocess.Popen(command, env=settings, stderr=said)
        _, hard = resource.prlimit(self._process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(self._process.pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, hard))

    def share_of_core(self, seconds: float) -> float:
        """Percent of a core that it uses, once it runs."""
        time.sleep(START_SECONDS)
        used, start = self.cpu_seconds(), time.perf_counter()
        time.sleep(seconds)
        return 100 * (self.cpu_seconds() - used) / (time.perf_counter() - start)

    def cpu_seconds(self) -> float:
        """User and system time so far, with that of the processes that stay: those that ask for it."""
        assert self._process
        tasks = Path(f"/proc/{self._process.pid}/task").glob("*/children")  # of the thread that has started it
        below = [pid for children in tasks for pid in children.read_text().split()]
        return sum(_cpu_fields(pid)[0] for pid in (str(self._process.pid), *below))

    def tools_cpu_seconds(self) -> float:
        """That of the programs that it ran, and that have ended."""
        assert self._process
        return _cpu_fields(str(self._process.pid))[1]

    def resident_bytes(self) -> int:
        """The most memory that it has held, with the pages of its files."""
        assert self._process
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024

    def wait_end(self) -> None:
        """Until it ends by itself, all sent."""
        assert self._process
        _, status, used = os.wait4(self._process.pid, 0)
        self._process = None
        self.last_cpu_seconds = used.ru_utime + used.ru_stime
        if status:
            raise RuntimeError(f"the collector: {(self._folder / 'collector.log').read_text()[-300:]}")

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(30)
            self._process = None


def _cpu_fields(pid: str) -> tuple[float, float]:
    """CPU seconds of a process, and of its children that have ended; 0 of one that has just gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0, 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS, (int(fields[13]) + int(fields[14])) / TICKS


@contextmanager
def _collector(service: Service, folder: Path, *, start: bool = True) -> Iterator[_Collector]:
    collector = _Collector(service, folder)
    try:
        if start:
            collector.start()
        yield collector
    finally:
        collector.stop()


class _Writers:
    """Files that grow evenly, all written by one thread; each line has the time when it was written."""

    def __init__(self, folder: Path, count: int) -> None:
        self.paths = [folder / f"{n}.log" for n in range(count)]
        self._files = [os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600) for path in self.paths]
        self._stop = threading.Event()
        self.written = 0
        self._thread: threading.Thread | None = None

    def start(self, make: Callable[[int, int], bytes], per_second: int) -> None:
        """Write what `make` gives for a time and a number, to each file so often a second."""

        def run() -> None:
            start, n, pace = time.perf_counter(), 0, per_second * len(self._files)
            while not self._stop.is_set():
                due = int((time.perf_counter() - start) * pace)
                for n in range(n, due):  # noqa: B020 (goes on where it was)
                    self.written += os.write(self._files[n % len(self._files)], make(time.time_ns(), n))
                n = max(n, due)
                self._stop.wait(0.005)

        self._thread = threading.Thread(target=run)
        self._thread.start()

    def stop(self) -> int:
        """Bytes written to all of them."""
        self._stop.set()
        if self._thread:
            self._thread.join()
        return self.written

    def __enter__(self) -> _Writers:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        for number in self._files:
            os.close(number)


def _line(stamp: int, n: int, size: int) -> bytes:
    """A line that is as long as asked."""
    text = f"at={stamp} epoch: 1 step: {n}, loss is 0.{n % 9_999_999:07d} "
    return text.encode().ljust(size - 1, b"x") + b"\n"


def _held(service: Service, collector: _Collector, wanted: int, *, pattern: str = "") -> int:
    """Bytes of a collector's job at the service, once they are all there or nothing comes any more."""
    held, since = -1, time.monotonic()
    with service.client() as client:
        while True:
            now = sum(stream["size_bytes"] for stream in _streams(client, collector) if pattern in stream["path"])
            if now != held:
                held, since = now, time.monotonic()
            if held >= wanted or time.monotonic() - since > LATE_SECONDS:
                return held
            time.sleep(0.1)


def _streams(client: Client, collector: _Collector) -> list[dict[str, Any]]:
    if collector.job not in [job["id"] for job in client.get("/jobs", id=collector.job)["jobs"]]:
        return []
    found: list[dict[str, Any]] = client.get(f"/jobs/{collector.job}/streams")["streams"]
    return found


def _follow(service: Service, collector: _Collector, paths: list[Path], done: Callable[[], bool]) -> list[float]:
    """Seconds from written until read, for each new line of these files, until `done`."""
    return asyncio.run(_followed(service, collector, {path.name for path in paths}, done))


async def _followed(service: Service, collector: _Collector, names: set[str], done: Callable[[], bool]) -> list[float]:
    times: list[float] = []
    first = time.time_ns()

    async def follow(stream: str) -> None:
        address = f"ws://127.0.0.1:{service.port}/api/v1/streams/{stream}/follow?from=-1"
        headers = {"Authorization": f"Bearer {service.token}"}
        async with connect(address, additional_headers=headers, compression=None, proxy=None) as socket:
            async for message in socket:
                now = time.time_ns()
                for line in json.loads(message).get("lines", []):
                    stamp = int(line["text"][3:].partition(" ")[0])
                    if stamp >= first:
                        times.append((now - stamp) / 1e9)

    found: dict[str, asyncio.Task[None]] = {}
    with service.client() as client:
        while not done():
            if len(found) < len(names):
                for stream in await asyncio.to_thread(_streams, client, collector):
                    if stream["path"].rpartition("/")[2] in names and stream["id"] not in found:
                        found[stream["id"]] = asyncio.create_task(follow(stream["id"]))
            await asyncio.sleep(0.1)
    await asyncio.sleep(1)  # what was written last
    for task in found.values():
        task.cancel()
    for ended in await asyncio.gather(*found.values(), return_exceptions=True):
        if not isinstance(ended, asyncio.CancelledError):
            raise RuntimeError(f"a follower ended: {ended!r}")
    if len(found) < len(names):
        raise RuntimeError(f"{len(found)} of {len(names)} streams came into being")
    return times
