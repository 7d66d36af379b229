"""The viewer in a real Chromium, on a log of ten million lines: what a reader waits for, and what it costs."""

from __future__ import annotations

import random
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.plan import Scale
from bench.report import Report, median, percentile
from bench.service import Service, WrongAnswer

MB = 1_000_000
LINE_BYTES = 120
CHUNK_LINES = 70_000
OPENINGS, JUMPS = 5, 20
WHEEL_SECONDS, WHEEL_PX_PER_SECOND = 10, 3000
TICKS_PER_SECOND = 10
FOLLOWED_PER_SECOND, CUT_PER_SECOND, CUT_EVERY_SECONDS = 1000, 500, 5.0
LONG_LINES, LONG_BYTES, LONG_PER_TICK = 1500, 64 * 1024, 3
WAIT_SECONDS = 60.0
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--window-size=1400,900",
    "--lang=en-US",
)
PAGE = Path(__file__).parent / "page.js"


def viewer(report: Report, service: Service, scale: Scale) -> None:
    """All of it, on a service of its own."""
    browser, driver = next(filter(None, map(shutil.which, BROWSERS)), None), shutil.which("chromedriver")
    if not browser or not driver or not find_spec("selenium"):
        report.add("viewer", "not measured: needs Chromium, its driver and selenium (`make dev`)")
        return
    big = Log(service, "bench-viewer")
    for first in range(1, scale.viewer_lines + 1, CHUNK_LINES):
        big.append(lines(first, min(CHUNK_LINES, scale.viewer_lines + 1 - first)))
    size = f"{scale.viewer_lines:,} lines, {big.offset / MB:,.0f} MB"
    with chromium(browser, driver) as chrome:
        page = Page(chrome, service)
        opening(report, page, big, size)
        jumps(report, page, scale, size)
        wheel(report, page, scale)
        painted(report, page, scale)
        memory(report, page, big, scale)
        long_lines(report, page, scale)
        cuts(report, page, scale)


class Log:
    """A task's own log that grows."""

    def __init__(self, service: Service, job: str) -> None:
        self.job, self.offset, self.last = job, 0, 0
        self._name = {"job": job, "task": "worker-0", "path": f"modelarts-job-{job}-worker-0.log"}
        self._service = service

    def append(self, data: bytes) -> None:
        """Bytes at its end, durable."""
        with self._service.client() as client:  # one that was kept would be closed when nothing came for a while
            client.post("/chunks", data, offset=self.offset, **self._name)
        self.offset += len(data)
        self.last += data.count(b"\n")


class Page:
    """The viewer in the browser."""

    def __init__(self, chrome: Any, service: Service) -> None:
        self.chrome, self.service, self._cpu_ms = chrome, service, 0.0
        chrome.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})

    def open(self, job: str) -> None:
        """As a link that is opened for the first time: nothing is cached."""
        self.chrome.get("about:blank")
        self.chrome.execute_cdp_cmd("Network.clearBrowserCache", {})
        self.chrome.execute_cdp_cmd("Network.clearBrowserCookies", {})
        self.chrome.get(f"http://127.0.0.1:{self.service.port}/?token={self.service.token}#job={job}")
        self.until(lambda: self.run("return bench.firstRowMs"), f"{job} shows no line")

    def open_list(self) -> float:
        """The list of jobs, until the frame that shows its first page: milliseconds of the page's own thread."""
        self.chrome.get("about:blank")
        self.cpu_ms()
        self.chrome.get(f"http://127.0.0.1:{self.service.port}/?token={self.service.token}")
        self.until(lambda: self.run("return bench.jobsMs"), "no list of jobs is shown")
        return self.cpu_ms()

    def cpu_ms(self) -> float:
        """What the page's own thread has used since this was last asked."""
        told = self.chrome.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
        now = 1000 * float(next(one["value"] for one in told if one["name"] == "TaskDuration"))
        before, self._cpu_ms = self._cpu_ms, now
        return now - before if now >= before else now  # a page that was opened since begins anew

    def run(self, script: str, *given: Any) -> Any:
        return self.chrome.execute_script(script, *given)

    def wait_for(self, expression: str) -> Any:
        """What a promise in the page comes to."""
        script = f"const done = arguments[0]; ({expression}).then(done, (error) => done({{ error: String(error) }}))"
        told = self.chrome.execute_async_script(script)
        if isinstance(told, dict) and "error" in told:
            raise WrongAnswer(f"{expression}: {told['error']}")
        return told

    def until(self, condition: Callable[[], Any], what: str) -> None:
        end = time.monotonic() + WAIT_SECONDS
        while not condition():
            if time.monotonic() > end:
                raise WrongAnswer(what)
            time.sleep(0.05)

    def last_line(self) -> str:
        return str(self.run("return [...document.querySelectorAll('.row-text')].at(-1)?.textContent ?? ''"))

    def heap_bytes(self) -> float:
        """What is in use once nothing unreachable is left."""
        for _ in range(2):
            self.chrome.execute_cdp_cmd("HeapProfiler.collectGarbage", {})
        return float(self.chrome.execute_cdp_cmd("Runtime.getHeapUsage", {})["usedSize"])


def line(n: int) -> str:
    """Line `n`; it begins with its number."""
    text = f"{n:09d} INFO trainer.py:214 epoch: {n // 5000} step: {n % 5000}, loss is {n * 7919 % 999_983 / 99_998:.6f}"
    return text.ljust(LINE_BYTES - 1, ".")


def lines(first: int, count: int) -> bytes:
    """That many lines from one on."""
    return ("\n".join(map(line, range(first, first + count))) + "\n").encode()


def opening(report: Report, page: Page, log: Log, size: str) -> None:
    """An address is opened in a browser that was never there, until the first lines are painted."""
    times = []
    for _ in range(OPENINGS):
        page.open(log.job)
        times.append(float(page.run("return bench.firstRowMs")))
        page.until(lambda: page.last_line() == line(log.last), "the end of the log does not show")
    report.at_most("viewer: first lines on screen", median(times), 1000, "ms", f"max {max(times):.0f}; {size}")


def jumps(report: Report, page: Page, scale: Scale, size: str) -> None:
    """To random lines, until the frame that shows them."""
    rng, times = random.Random(5), []
    for _ in range(JUMPS):
        n = rng.randint(1, scale.viewer_lines)
        took, text = page.wait_for(f"bench.jump({n})")
        if text != line(n):
            raise WrongAnswer(f"line {n} shows {text!r}")
        times.append(took)
    report.at_most("viewer: jump to any line", max(times), 300, "ms", f"median {median(times):.0f}; {size}")


def wheel(report: Report, page: Page, scale: Scale) -> None:
    """Ten seconds of the wheel, from the middle on."""
    page.wait_for(f"bench.jump({scale.viewer_lines // 2})")
    top = "return Number(document.querySelector('.row-number').textContent.replace(/\\D/g, ''))"
    first = page.run(top)
    page.run("bench.watchFrames()")
    gesture = {
        "x": 700,
        "y": 450,
        "yDistance": -WHEEL_SECONDS * WHEEL_PX_PER_SECOND,
        "speed": WHEEL_PX_PER_SECOND,
        "gestureSourceType": "mouse",
    }
    page.chrome.execute_cdp_cmd("Input.synthesizeScrollGesture", gesture)
    seen = page.run("return bench.framesSeen()")
    moved = page.run(top) - first
    if moved < WHEEL_SECONDS * WHEEL_PX_PER_SECOND / 40:
        raise WrongAnswer(f"the wheel moved {moved} lines")
    note = (
        f"{seen['frames']} frames over {moved:,} lines, {seen['over100']} over 100 ms; "
        f"{seen['longTasks']} tasks over 50 ms, longest {seen['longestTaskMs']:.0f}"
    )
    report.at_most("viewer: longest frame, wheel for 10 s", seen["longestMs"], 100, "ms", note)
    report.at_most("viewer: elements of the pane", seen["elements"], 1000, "")


def painted(report: Report, page: Page, scale: Scale) -> None:
    """A line at a time: from just before its request to the frame that shows it."""
    log, rng = Log(page.service, "bench-painted"), random.Random(7)
    log.append(b"the first line\n")
    page.open(log.job)
    page.run("bench.watchMarks()")
    sent = {}
    for n in range(scale.viewer_painted):
        time.sleep(rng.uniform(0.12, 0.28))
        sent[f"mark {n}"] = 1000 * time.time()
        log.append(f"mark {n}\n".encode())
    page.until(lambda: page.last_line() == f"mark {scale.viewer_painted - 1}", "the last line does not show")
    shown = dict(page.run("return [...bench.shownAt]"))
    if shown.keys() != sent.keys():
        raise WrongAnswer(f"{len(shown)} of {len(sent)} lines were painted")
    times = [shown[name] - at for name, at in sent.items()]
    note = f"p99 {percentile(times, 99):.0f}; {len(times)} lines, 5 a second"
    report.at_most("viewer: line -> painted, p50", median(times), 150, "ms", note)


def memory(report: Report, page: Page, log: Log, scale: Scale) -> None:
    """Following the big log while it grows."""
    page.open(log.job)
    before = page.heap_bytes() / MB
    page.run("bench.watchFrames()")
    step = FOLLOWED_PER_SECOND // TICKS_PER_SECOND
    grow(log, scale.viewer_follow_seconds, lambda: lines(log.last + 1, step))
    page.until(lambda: page.last_line() == line(log.last), "the last line does not show")
    elements = page.run("return bench.framesSeen()")["elements"]
    note = f"{before:.0f} before; {elements} elements; {scale.viewer_follow_seconds} s x {FOLLOWED_PER_SECOND:,} lines"
    report.at_most("viewer: heap after following", page.heap_bytes() / MB, 100, "MB", note)


def long_lines(report: Report, page: Page, scale: Scale) -> None:
    """The same with lines as long as an answer gives them."""
    log = Log(page.service, "bench-long")
    log.append(b"the first line\n")
    page.open(log.job)
    row = "x" * (LONG_BYTES - 11)
    ticks = scale.viewer_follow_seconds * TICKS_PER_SECOND
    seconds = min(ticks, LONG_LINES // LONG_PER_TICK) / TICKS_PER_SECOND
    grow(log, seconds, lambda: "".join(f"{log.last + i:09d} {row}\n" for i in range(1, LONG_PER_TICK + 1)).encode())
    page.until(lambda: page.last_line().startswith(f"{log.last:09d}"), "the last line does not show")
    note = f"{log.last:,} lines of 64 KiB, {log.offset / MB:,.0f} MB"
    report.at_most("viewer: heap after following long lines", page.heap_bytes() / MB, 100, "MB", note)


def cuts(report: Report, page: Page, scale: Scale) -> None:
    """The socket is cut again and again while lines come: every line is shown, once, in its place."""
    log = Log(page.service, "bench-cuts")
    log.append(lines(1, 100))
    page.open(log.job)
    page.run("bench.record()")
    stop = threading.Event()
    growing = threading.Thread(
        target=grow, args=(log, 3600, lambda: lines(log.last + 1, CUT_PER_SECOND // TICKS_PER_SECOND), stop)
    )
    growing.start()
    try:
        count = int(scale.viewer_cut_seconds / CUT_EVERY_SECONDS)
        for _ in range(count):
            time.sleep(CUT_EVERY_SECONDS)
            page.run("bench.cut()")
    finally:
        stop.set()
        growing.join()
    page.until(lambda: page.last_line() == line(log.last), "the last line does not show")
    live = page.run("return bench.painted.size")
    stuck = page.wait_for("bench.walk()")
    wrong, shown = page.run("return bench.wrong"), page.run("return bench.recorded()")
    if stuck is not None or wrong or shown != [line(n) for n in range(1, log.last + 1)]:
        raise WrongAnswer(f"after {count} cuts: {len(shown)} of {log.last} lines, {wrong[:3]}, not loaded: {stuck}")
    sockets = page.run("return bench.sockets.length")
    words = f"exact: {log.last:,} lines, {live:,} painted while they came, {count} cuts, {sockets} connections"
    report.add("viewer: socket cut every 5 s, 500 lines/s", words, "exact", "met")


def grow(log: Log, seconds: float, rows: Callable[[], bytes], stop: threading.Event | None = None) -> None:
    """Ten appends a second."""
    start = time.perf_counter()
    for tick in range(int(seconds * TICKS_PER_SECOND)):
        time.sleep(max(0.0, start + tick / TICKS_PER_SECOND - time.perf_counter()))
        if stop and stop.is_set():
            return
        log.append(rows())


@contextmanager
def chromium(browser: str, driver: str) -> Iterator[Any]:
    """A browser that was never started before."""
    from selenium import webdriver
    from selenium.common.exceptions import WebDriverException
    from selenium.webdriver.chrome.service import Service as Driver

    options = webdriver.ChromeOptions()
    options.binary_location = browser
    with tempfile.TemporaryDirectory(prefix="logsvc-bench-browser-", ignore_cleanup_errors=True) as profile:
        for option in (*OPTIONS, f"--user-data-dir={profile}"):
            options.add_argument(option)
        chrome = webdriver.Chrome(options=options, service=Driver(driver))
        try:
            chrome.set_script_timeout(600)
            chrome.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": PAGE.read_text()})
            yield chrome
        except WebDriverException as exc:
            raise RuntimeError(exc.msg) from exc
        finally:
            chrome.quit()
