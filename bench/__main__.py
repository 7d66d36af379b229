"""`make bench`: measures the service on this machine, with the machine's own limits beside.

    python -m bench [--scale tiny|small|full] [--only NAME …] [--out FILE] [--seed N]

full: 1 GiB in 64 streams and one stream of 512 MiB; needs about 4 GB in the temporary folder.
Ends with 1 where an answer was wrong or a step could not run; a goal that is missed is no failure.
"""

from __future__ import annotations

import argparse
import http.client
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench import chart, collector, ingest, limits, live, plan, restart, samples, searches, viewer
from bench.report import Report, title
from bench.service import Service, WrongAnswer

COLLECTED = ("collector-cost", "collector-speed", "collector-outage", "collector-streams", "collector-run")
STEPS = (
    "limits",
    "store",
    "http",
    "windows",
    "searches",
    "live",
    "followers",
    "fleet",
    "restart",
    "jobs",
    "samples",
    "samples-size",
    *COLLECTED,
    "viewer",
    "chart",
)
ON_SERVICE = {"http", "windows", "searches", "live", "followers", "fleet", "restart"}
NEED_LOGS = {"http", "windows", "searches", "restart"}
BROKEN = (WrongAnswer, RuntimeError, OSError, TimeoutError, http.client.HTTPException, subprocess.SubprocessError)


def main() -> int:
    """Run what was asked for; the exit status."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description="Measures the service on this machine.")
    parser.add_argument("--scale", choices=plan.SCALES, default="full", help="how much is stored and how often asked")
    parser.add_argument("--only", nargs="+", choices=STEPS, default=list(STEPS), metavar="NAME", help=", ".join(STEPS))
    parser.add_argument("--out", type=Path, help="write the table here as Markdown, too")
    parser.add_argument("--seed", type=int, default=1, help="of the corpus")
    asked = parser.parse_args()
    _allow_many_files()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended, too
    corpus = plan.load(asked.scale, asked.seed)
    report = Report(title(asked.scale, corpus.size, len(corpus.files)))
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="logsvc-bench-") as folder:
        _measure(report, corpus, plan.SCALES[asked.scale], set(asked.only), Path(folder))
    print(f"{report.text()}\n\n{time.monotonic() - start:.0f} seconds")
    if asked.out:
        report.write_markdown(asked.out)
    return 1 if report.failures else 0


def _measure(report: Report, corpus: plan.Corpus, scale: plan.Scale, only: set[str], folder: Path) -> None:
    zstd = 0.0

    def step(name: str, run: Callable[[], object], *, needed: bool = False) -> None:
        if name not in only and not needed:
            return
        start = time.monotonic()
        try:
            run()
        except BROKEN as exc:
            report.fail(name, f"{type(exc).__name__}: {exc}"[:300])
        print(f"{name}: {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)

    def measure_limits() -> None:
        nonlocal zstd
        zstd = limits.measure(report, corpus.sample(), folder)

    step("limits", measure_limits)
    step("store", lambda: ingest.straight(report, corpus, folder / "straight", zstd))
    if only & ON_SERVICE:
        service = Service(folder / "data").start()
        try:
            told = report if "http" in only else Report("")
            step("http", lambda: ingest.over_http(told, service, corpus), needed=bool(only & NEED_LOGS))
            step("windows", lambda: searches.windows(report, service, corpus, scale))
            step("searches", lambda: searches.searches(report, service, corpus, scale))
            step("live", lambda: live.latency(report, service, scale))
            step("followers", lambda: live.followers(report, service, scale))
            step("fleet", lambda: live.fleet(report, service, scale))
            step("restart", lambda: restart.restart(report, service, corpus, scale.restarts))
        finally:
            service.stop()
    step("jobs", lambda: ingest.many_jobs(report, folder, corpus, scale.jobs_bytes))
    step("collector-run", lambda: collector.printing(report, scale, folder))
    alone: dict[str, Callable[[Service], None]] = {
        "samples": lambda service: samples.samples(report, service, scale),
        "samples-size": lambda service: samples.size(report, service, scale),
        "collector-cost": lambda service: collector.costs(report, service, scale, folder),
        "collector-speed": lambda service: collector.full_speed(report, service, corpus, folder),
        "collector-outage": lambda service: collector.outage(report, service, scale, folder),
        "collector-streams": lambda service: collector.many_streams(report, service, scale, folder),
        "viewer": lambda service: viewer.viewer(report, service, scale),
        "chart": lambda service: chart.chart(report, service),
    }
    for name, measure in alone.items():
        step(name, partial(_on_its_own, Service(folder / name), measure))


def _on_its_own(service: Service, measure: Callable[[Service], None]) -> None:
    try:
        measure(service.start())
    finally:
        service.stop()


def _allow_many_files() -> None:
    """A thousand followers are a thousand sockets, here and in the service."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 16_384 if hard == resource.RLIM_INFINITY else min(hard, 16_384)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


if __name__ == "__main__":
    sys.exit(main())
