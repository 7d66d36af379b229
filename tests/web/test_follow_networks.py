"""Following a log through bad networks and old proxies: in words, and without losing a line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from selenium.webdriver.common.keys import Keys

from .conftest import Page, Service, a_service
from .proxy import Proxy

pytestmark = pytest.mark.browser

PAGE = Path(__file__).parent.parent.parent / "bench" / "page.js"


def a_log(first: int, last: int) -> str:
    return "".join(f"line {n}\n" for n in range(first, last + 1))


@pytest.fixture
def proxy(service: Service) -> Iterator[Proxy]:
    yield from before(service)


@pytest.fixture
def far(page: Page, proxy: Proxy) -> Page:
    """A reader on the other side of the proxy."""
    return Page(page.browser, Service(f"http://127.0.0.1:{proxy.port}", page.service.token))


@pytest.fixture
def hasty_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """One that soon stops waiting for a slow reader."""
    monkeypatch.setenv("LOGSVC_FOLLOW_QUEUE_FRAMES", "2")
    monkeypatch.setenv("LOGSVC_FOLLOW_FRAMES_PER_SECOND", "100")
    yield from a_service(tmp_path / "data")


def before(service: Service) -> Iterator[Proxy]:
    made = Proxy(urlsplit(service.url).port or 0)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def slow_proxy(hasty_service: Service) -> Iterator[Proxy]:
    yield from before(hasty_service)


def test_a_slow_reader_sees_every_line_that_he_looks_at(page: Page, hasty_service: Service, slow_proxy: Proxy) -> None:
    """Nothing is read for a while: the service marks a gap in place of what its queue cannot hold."""
    page = Page(page.browser, Service(f"http://127.0.0.1:{slow_proxy.port}", hasty_service.token))
    hasty_service.append("slow", "line 1\n")
    page.open("slow")
    page.see("Following live", ".log-foot")
    page.run(
        f"""{PAGE.read_text()}
        bench.record()
        bench.gaps = 0
        for (const socket of window.sockets) {{
          socket.addEventListener('message', ({{ data }}) => {{ bench.gaps += data.startsWith('{{"gap"') }})
        }}"""
    )

    slow_proxy.pause()
    for first in range(2, 2402, 100):
        hasty_service.append("slow", "".join(f"line {n} {'x' * 8000}\n" for n in range(first, first + 100)))
    slow_proxy.resume()

    page.until(lambda: page.last_row().startswith("line 2401 "), "never came to the end")
    assert page.run("return bench.gaps") > 0
    page.browser.set_script_timeout(120)
    assert page.browser.execute_async_script("bench.walk().then(arguments[0])") is None
    assert page.run("return bench.wrong") == []
    names = page.run("return bench.recorded().map((line) => line.split(' x')[0])")
    assert names == [f"line {n}" for n in range(1, 2402)]


def test_without_websockets_it_asks_and_says_so(far: Page, proxy: Proxy, service: Service) -> None:
    proxy.sockets = "refuse"
    service.append("poll", a_log(1, 5) + "unfinished")
    far.open("poll")
    far.until_last("unfinished")
    far.see("no WebSocket gets through", ".log-foot")
    assert proxy.upgrades == 3

    service.append("poll", " no more\n" + a_log(7, 400))
    far.until_last("line 400")
    service.append("poll", a_log(401, 402), final=True)
    far.until_last("line 402")
    far.see("Complete", ".log-foot")
    far.press(Keys.HOME)
    far.until(lambda: [row["text"] for row in far.rows()][4:7] == ["line 5", "unfinished no more", "line 7"], "start")

    far.press("G")
    far.until_last("line 402")
    service.append("poll", "new 1\n", generation=1)
    far.until_last("new 1")


def test_a_proxy_that_holds_websockets_back_is_found_out(far: Page, proxy: Proxy, service: Service) -> None:
    proxy.sockets = "hold"
    service.append("held", a_log(1, 5))
    far.open("held")
    far.see("no WebSocket gets through", ".log-foot")
    service.append("held", a_log(6, 8))
    far.until_last("line 8")
    assert far.numbers() == list(range(1, 9))


def test_an_outage_is_said_in_words_and_ends_at_a_click(far: Page, proxy: Proxy, service: Service) -> None:
    service.append("outage", a_log(1, 5))
    far.open("outage")
    far.see("Following live", ".log-foot")

    proxy.cut(stay_down=True)
    far.see("trying again in", ".log-foot")
    service.append("outage", a_log(6, 500))
    proxy.down = False
    far.click(".connection-now")
    far.until_last("line 500")
    far.see("Following live", ".log-foot")


def test_why_the_service_refuses_is_said(far: Page, proxy: Proxy, service: Service) -> None:
    service.append("refused", a_log(1, 5))
    far.open("refused")
    far.see("Following live", ".log-foot")

    proxy.instead = ("410 Gone", "expired")
    proxy.cut()
    far.see("The service refuses. These logs have expired.", ".log-foot")
    assert far.last_row() == "line 5"

    proxy.instead = None
    service.append("refused", a_log(6, 6))
    far.click(".connection-now")
    far.until_last("line 6")
    far.see("Following live", ".log-foot")


def test_a_connection_that_died_in_silence_is_found_out(far: Page, proxy: Proxy, service: Service) -> None:
    """As after a laptop's sleep: the socket looks open, and nothing comes through it any more."""
    service.append("sleep", a_log(1, 50))
    far.open("sleep")
    far.see("Following live", ".log-foot")

    proxy.freeze()
    service.append("sleep", a_log(51, 2002))
    assert far.last_row() == "line 50"
    far.run("window.dispatchEvent(new Event('online'))")

    far.until_last("line 2002")
    far.see("Following live", ".log-foot")
