"""The viewer's chart over the log, and the lines in its list of jobs, in a real Chromium."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from importlib.util import find_spec

import numpy as np
import orjson

from bench.report import Report, median
from bench.service import Service
from bench.viewer import BROWSERS, Page, chromium

CARDS, HOURS, INTERVAL_SECONDS = 8, 24, 15.0
JOBS, JOB_INTERVAL_SECONDS = 200, 60.0
DRAWINGS, OPENINGS = 10, 5
SENT = 9000  # samples at once
CHARTED = "bench-charted"
COLUMNS = "status,name,id,owner,created,activity,size,flags"
# The list twice, with and without the column: the reader's choice of columns lies in the browser's storage.
CHOOSE = "localStorage.setItem('logsvc.settings', JSON.stringify({ jobColumns: arguments[0] }))"


def chart(report: Report, service: Service) -> None:
    """All of it, on a service of its own."""
    browser, driver = next(filter(None, map(shutil.which, BROWSERS)), None), shutil.which("chromedriver")
    if not browser or not driver or not find_spec("selenium"):
        report.add("chart", "not measured: needs Chromium, its driver and selenium (`make dev`)")
        return
    now = time.time()
    train(service, CHARTED, now - HOURS * 3600, now, cards=CARDS, interval_seconds=INTERVAL_SECONDS)
    for n in range(JOBS):
        train(service, f"bench-listed-{n:03d}", now - 3600, now, cards=1, interval_seconds=JOB_INTERVAL_SECONDS)
    with chromium(browser, driver) as chrome:
        page = Page(chrome, service)
        drawn(report, page)
        listed(report, page)


def train(service: Service, job: str, start: float, end: float, *, cards: int, interval_seconds: float) -> None:
    """A job with a line of log whose cards were read from then till then."""
    chance = np.random.default_rng(len(job))
    path = f"modelarts-job-{job}-worker-0.log"
    with service.client() as client:
        client.post("/chunks", b"a line\n", job=job, task="worker-0", path=path, offset=0)
        client.put(f"/jobs/{job}", orjson.dumps({"created_at": rfc3339(start)}))
        samples = list(readings(chance, start, end, cards, interval_seconds))
        for first in range(0, len(samples), SENT):
            body = {"job": job, "task": "worker-0", "samples": samples[first : first + SENT]}
            client.send("/samples", orjson.dumps(body))


def readings(
    chance: np.random.Generator, start: float, end: float, cards: int, interval_seconds: float
) -> Iterator[dict[str, object]]:
    for at in np.arange(start, end, interval_seconds):
        saving = at % 1800 < 90
        for card in range(cards):
            percent = float(chance.uniform(0, 9) if saving else chance.normal(90, 3))
            yield {
                "at": rfc3339(float(at)),
                "device": card,
                "kind": "gpu",
                "utilization_percent": round(min(100.0, max(0.0, percent)), 1),
                "memory_used_bytes": int(chance.integers(30, 32)) << 30,
                "power_watts": round(70 + 3 * percent, 1),
            }


def drawn(report: Report, page: Page) -> None:
    """From the data to the pixels, each time built anew because other cards are chosen."""
    page.open(f"{CHARTED}&readings=utilization,memory,power")
    page.until(lambda: page.run("return document.querySelectorAll('.u-over').length === 4"), "there are no four plots")
    times = []
    for _ in range(DRAWINGS):
        page.cpu_ms()
        page.wait_for("bench.drawChart()")
        times.append(page.cpu_ms())
    note = f"of the page's thread, max {max(times):.0f}; {CARDS} cards, {HOURS} h, 3 readings and the log's rate"
    report.at_most("chart: draw", median(times), 100, "ms", note)


def listed(report: Report, page: Page) -> None:
    """Two hundred jobs, with and without their lines."""
    with_lines, without = [], []
    for _ in range(OPENINGS):
        for columns, times in ((f"{COLUMNS},utilization", with_lines), (COLUMNS, without)):
            page.run(CHOOSE, columns)
            times.append(page.open_list())
    more = median(with_lines) - median(without)
    note = f"of the page's thread, {median(without):.0f} without, {median(with_lines):.0f} with; {JOBS} jobs"
    report.at_most("chart: lines in the list of jobs", more, 50, "ms", note)


def rfc3339(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
