"""A service of its own, a real Chromium, and what a reader sees and does in it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import ElementClickInterceptedException, StaleElementReferenceException
from selenium.webdriver.chrome.service import Service as DriverService
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

WAIT_SECONDS = 15
START_SECONDS = 30
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER_OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--window-size=1300,800",
    "--lang=en-US",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # as where there is no internet
)
# Before the page's own scripts: keeps its sockets, so that a test can cut them, and counts what the policy forbade.
WATCH = """
window.sockets = []
window.violations = []
const Native = window.WebSocket
window.WebSocket = class extends Native {
  constructor(...given) { super(...given); window.sockets.push(this) }
}
document.addEventListener('securitypolicyviolation', (event) => window.violations.push(event.blockedURI))
"""
ROWS = """
const view = document.querySelector('.pane-view')?.getBoundingClientRect()
return [...document.querySelectorAll('.pane-rows > .row')]
  .filter((row) => {
    const box = row.getBoundingClientRect()
    return box.bottom > view.top + 1 && box.top < view.bottom - 1
  })
  .map((row) => ({
    n: Number(row.querySelector('.row-number').textContent),
    text: row.querySelector('.row-text').textContent,
    classes: row.className.split(' ').slice(1),
    marks: [...row.querySelectorAll('mark')].map((mark) => mark.textContent),
  }))
"""


@dataclass
class Service:
    """A running service and the bytes sent to it so far."""

    url: str
    token: str
    sent: dict[tuple[str, str, int], int] = field(default_factory=dict)

    def call(self, method: str, path: str, body: bytes | None = None, /, **query: object) -> Any:
        request = urllib.request.Request(
            f"{self.url}/api/v1{path}?{urllib.parse.urlencode(query)}",
            data=body,
            method=method,
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or b"null")

    def describe(self, job: str, **fields: object) -> None:
        self.call("PUT", f"/jobs/{job}", json.dumps(fields).encode())

    def append(
        self,
        job: str,
        data: bytes | str,
        *,
        task: str = "worker-0",
        path: str = "",
        generation: int = 0,
        final: bool = False,
    ) -> None:
        """Bytes at the end of a task's own log, or of another of its files."""
        path = path or f"modelarts-job-{job}-{task}.log"
        raw = data.encode() if isinstance(data, str) else data
        key = (job, path, generation)
        more: dict[str, object] = {"final": 1} if final else {}
        offset = self.sent.get(key, 0)
        self.call("POST", "/chunks", raw, job=job, task=task, path=path, generation=generation, offset=offset, **more)
        self.sent[key] = offset + len(raw)


class Page:
    """What a reader sees, and does."""

    def __init__(self, browser: webdriver.Chrome, service: Service) -> None:
        self.browser, self.service = browser, service

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Wait for what the condition returns to be true."""
        return WebDriverWait(self.browser, WAIT_SECONDS, poll_frequency=0.05).until(lambda _: condition(), what)

    def open(self, job: str = "", **more: object) -> None:
        """A job, or the list of jobs, logged in, as if its link had been pasted into a new window."""
        hash_ = urllib.parse.urlencode({"job": job, **more} if job else more)
        self.browser.get("about:blank")
        # A full history drops places that no hand chose, and scripts choose them here.
        self.browser.execute_cdp_cmd("Page.resetNavigationHistory", {})
        self.browser.get(f"{self.service.url}/?token={self.service.token}#{hash_}")
        self.until(lambda: self.all(".pane-rows > .row, .jobs-table, .notice"), "the page never showed anything")

    def run(self, script: str, *arguments: object) -> Any:
        return self.browser.execute_script(script, *arguments)

    def all(self, selector: str) -> list[WebElement]:
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> WebElement:
        return self.until(lambda: next(iter(self.all(selector)), None), f"there is no {selector}")

    def click(self, selector: str) -> None:
        """The first such element; a row that was drawn anew meanwhile is looked up again."""

        def clicked() -> bool:
            found = self.all(selector)
            try:
                for element in found[:1]:
                    element.click()
            except (StaleElementReferenceException, ElementClickInterceptedException):
                return False
            return bool(found)

        self.until(clicked, f"there was no {selector} to click")

    def text(self, selector: str) -> str:
        """Text of the first such element, empty where there is none."""
        return str(self.run("return document.querySelector(arguments[0])?.textContent ?? ''", selector))

    def see(self, text: str, selector: str = "#app") -> None:
        self.until(
            lambda: text in self.text(selector), f"{text!r} never showed in {selector}: {self.text(selector)[:300]!r}"
        )

    def rows(self) -> list[dict[str, Any]]:
        """Rows on screen, from above."""
        return list(self.run(ROWS))

    def numbers(self) -> list[int]:
        return [row["n"] for row in self.rows()]

    def last_row(self) -> str:
        rows = self.rows()
        return rows[-1]["text"] if rows else ""

    def until_last(self, text: str) -> None:
        self.until(lambda: self.last_row() == text, f"the last row never was {text!r}")

    def until_row(self, n: int, class_: str) -> dict[str, Any]:
        def found() -> dict[str, Any] | None:
            return next(
                (
                    row
                    for row in self.rows()
                    if row["n"] == n and {class_, "is-loading"} & set(row["classes"]) == {class_}
                ),
                None,
            )

        return dict(self.until(found, f"line {n} never was {class_}"))

    def press(self, *keys: str) -> None:
        for key in keys:
            self.one("body").send_keys(key)

    def search(self, text: str) -> WebElement:
        box = self.one(".search-input")
        box.send_keys(Keys.CONTROL, "a")
        box.send_keys(text)
        return box

    def see_count(self, text: str) -> None:
        self.until(
            lambda: self.text("#search-state") == text, f"never counted {text!r} but {self.text('#search-state')!r}"
        )

    def place(self) -> dict[str, str]:
        """What the address names."""
        return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.browser.current_url).fragment))

    def cut_sockets(self) -> None:
        self.run("for (const socket of window.sockets) socket.close()")


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    yield from a_service(tmp_path_factory.mktemp("service"))


@pytest.fixture
def fresh_service(tmp_path: Path) -> Iterator[Service]:
    """One that holds nothing yet."""
    yield from a_service(tmp_path / "data")


@pytest.fixture(scope="session")
def browser() -> Iterator[webdriver.Chrome]:
    with a_browser() as chrome:
        yield chrome


@pytest.fixture
def page(browser: webdriver.Chrome, service: Service) -> Iterator[Page]:
    """A reader who has never been here; afterwards, no script may have failed."""
    browser.execute_cdp_cmd("Network.clearBrowserCookies", {})
    browser.execute_cdp_cmd("Storage.clearDataForOrigin", {"origin": service.url, "storageTypes": "local_storage"})
    speak(browser, "en-US,en")
    browser.get_log("browser")
    yield Page(browser, service)
    assert [entry for entry in browser.get_log("browser") if "Uncaught" in entry["message"]] == []


@contextlib.contextmanager
def a_browser(**logged: str) -> Iterator[webdriver.Chrome]:
    """A Chromium of its own; `logged` as in `goog:loggingPrefs`, beside what its console says."""
    found = next(filter(None, map(shutil.which, BROWSERS)), "")
    driver = shutil.which("chromedriver")
    if not found or not driver:
        words = "needs Chromium and its driver (Debian: chromium, chromium-driver)"
        pytest.fail(words) if os.environ.get("LOGSVC_TESTED") else pytest.skip(words)
    options = webdriver.ChromeOptions()
    options.binary_location = found
    with tempfile.TemporaryDirectory(prefix="logsvc-browser-", ignore_cleanup_errors=True) as profile:
        for option in (*BROWSER_OPTIONS, f"--user-data-dir={profile}"):
            options.add_argument(option)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", **logged})
        chrome = webdriver.Chrome(options=options, service=DriverService(driver))
        try:
            chrome.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})
            yield chrome
        finally:
            chrome.quit()


def speak(browser: webdriver.Chrome, languages: str) -> None:
    """Languages that the browser prefers, from the next page on."""
    agent = browser.execute_script("return navigator.userAgent")
    browser.execute_cdp_cmd("Emulation.setUserAgentOverride", {"userAgent": agent, "acceptLanguage": languages})


def a_service(folder: Path) -> Iterator[Service]:
    folder.mkdir(parents=True, exist_ok=True)
    store = "embedded" if find_spec("logsvc.stores.embedded.store") else "memory"
    command = [sys.executable, "-m", "logsvc", "serve", "--store", store, "--port", str(a_free_port())]
    with (folder / "service.log").open("w") as errors:
        process = subprocess.Popen(
            [*command, "--data-dir", str(folder / "data")], stdout=subprocess.PIPE, stderr=errors, text=True
        )
        try:
            yield Service(*until_ready(process, folder / "service.log"))
        finally:
            process.terminate()
            process.communicate(timeout=START_SECONDS)


def a_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until_ready(process: subprocess.Popen[str], log: Path) -> tuple[str, str]:
    """URL and token out of the line that `serve` prints."""
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.match(r"viewer: (http://\S+)/\?token=(\S+)", line):
            return found[1], found[2]
    pytest.fail(f"the service ended: {log.read_text()}")
