"""Following a log: it never jumps, loses, repeats or disorders a line, and goes on where the file does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium.webdriver import ActionChains
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
from selenium.webdriver.common.keys import Keys

from .conftest import Page, Service

pytestmark = pytest.mark.browser

PAGE = Path(__file__).parent.parent.parent / "bench" / "page.js"


def a_log(first: int, last: int) -> str:
    return "".join(f"line {n}\n" for n in range(first, last + 1))


@contextmanager
def growing(service: Service, job: str, first: int, *, a_second: int) -> Iterator[list[int]]:
    """A log that grows meanwhile; the last line written stands in the list."""
    last = [first - 1]
    stop = threading.Event()

    def grow() -> None:
        while not stop.wait(0.05):
            step = a_second // 20
            service.append(job, a_log(last[0] + 1, last[0] + step))
            last[0] += step

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        yield last
    finally:
        stop.set()
        thread.join()


def scroll_through(page: Page) -> None:
    """From the first line to the last, a page at a time, as fast as they load."""
    page.browser.set_script_timeout(120)
    assert page.browser.execute_async_script("bench.walk().then(arguments[0])") is None


def assert_exact(page: Page, last: int) -> None:
    """Lines 1 to `last`, each as it was written, in order, at every moment."""
    assert page.run("return bench.wrong") == []
    assert page.run("return bench.recorded()") == [f"line {n}" for n in range(1, last + 1)]


def test_cut_again_and_again_every_line_stands_in_its_place(service: Service, page: Page) -> None:
    service.append("cuts", a_log(1, 100))
    page.open("cuts")
    page.until_last("line 100")
    page.run(f"{PAGE.read_text()}\nbench.record()")

    with growing(service, "cuts", 101, a_second=500) as last:
        for _ in range(12):
            page.until(lambda: page.run("return window.sockets.at(-1).readyState === WebSocket.OPEN"), "not connected")
            page.cut_sockets()
            seen = last[0]
            page.until(lambda seen=seen: page.numbers()[-1] > seen, "no lines after the cut")  # type: ignore[misc]

    page.until_last(f"line {last[0]}")
    assert page.run("return window.sockets.length") > 12
    scroll_through(page)
    assert_exact(page, last[0])


@pytest.mark.parametrize("wrapped", [False, True])
def test_rows_stay_where_they_are_while_thousands_come(service: Service, page: Page, wrapped: bool) -> None:
    job = f"still-{wrapped}"
    service.append(job, a_log(1, 1000))
    page.open(job)
    page.until_last("line 1000")
    if wrapped:
        page.press("w")
        page.one(".is-wrapped")

    view = page.one(".pane-view")
    ActionChains(page.browser).scroll_from_origin(ScrollOrigin.from_element(view), 0, -330).perform()
    page.see("follow paused", ".log-foot")
    page.run(
        """const view = document.querySelector('.pane-rows')
        const at = (row) => `${row.textContent} at ${Math.round(row.getBoundingClientRect().top)}`
        const look = () => [...view.children].map(at).join()
        window.looks = new Set([look()])
        const watch = () => { window.looks.add(look()); requestAnimationFrame(watch) }
        watch()"""
    )
    for first in range(1001, 6001, 500):
        service.append(job, a_log(first, first + 499))
    page.see("5,000 new lines", ".to-end")
    assert page.run("return window.looks.size") == 1

    page.click(".to-end")
    page.until_last("line 6000")
    page.see("Following live", ".log-foot")


def test_a_gap_is_filled_when_it_is_looked_at(service: Service, page: Page) -> None:
    """More at once than the service hands out live (`follow_lag_lines`): it marks a gap."""
    service.append("gap", a_log(1, 10))
    page.open("gap")
    page.until_last("line 10")
    page.run(
        """window.gaps = []
        for (const socket of window.sockets) {
          socket.addEventListener('message', ({ data }) => data.startsWith('{"gap"') && window.gaps.push(data))
        }"""
    )
    service.append("gap", a_log(11, 120_000))
    page.until_last("line 120000")
    assert page.run("return window.gaps") == ['{"gap":{"first_line":11,"count":114990}}']

    for n in (5000, 60_000, 114_999):
        page.press("g")
        page.browser.switch_to.active_element.send_keys(str(n), Keys.ENTER)
        page.until_row(n, "is-selected")
        page.until(lambda: all(row["text"] == f"line {row['n']}" for row in page.rows()), f"not loaded around {n}")


def test_a_gap_counts_the_user_lines_that_it_hides(service: Service, page: Page) -> None:
    service.append("usergap", a_log(1, 10))
    page.open("usergap", lines="user")
    page.until_last("line 10")
    system = "[ModelArts Service Log] quiet\n" * 10_000

    service.append("usergap", a_log(11, 110_000) + system)

    page.see("of 110,000", ".log-position")
    page.until_last("line 110000")


def test_a_hidden_page_is_up_to_date_when_it_is_shown_again(service: Service, page: Page) -> None:
    service.append("hidden", a_log(1, 50))
    page.open("hidden")
    page.until_last("line 50")
    browser, window = page.browser, page.browser.current_window_handle

    browser.switch_to.new_window("tab")
    for first in range(51, 20_051, 2000):
        service.append("hidden", a_log(first, first + 1999))
    browser.close()
    browser.switch_to.window(window)

    page.until_last("line 20050")
    page.see("Following live", ".log-foot")


def test_a_rotated_file_is_followed_with_a_way_back(service: Service, page: Page) -> None:
    service.append("turn", a_log(1, 5))
    page.open("turn")
    page.see("Following live", ".log-foot")

    service.append("turn", "new 1\n", generation=1)
    page.until_last("new 1")
    assert page.place()["gen"] == "1"
    service.append("turn", "new 2\n", generation=1)
    page.until_last("new 2")
    assert page.text(".row-start") == "Generation 1 begins; back to generation 0"

    page.click(".row-start")
    page.until_last("line 5")
    assert not page.all(".row-start")
    page.browser.back()
    page.until_last("new 2")

    page.browser.back()
    page.until_last("line 5")
    page.see("the file was rotated", ".log-foot")
    page.see("Goes on in generation 1", ".log-foot")
    page.click(".connection-next")
    page.until_last("new 2")


def test_a_reader_who_scrolled_up_is_not_taken_along(service: Service, page: Page) -> None:
    service.append("stay", a_log(1, 500))
    page.open("stay")
    page.see("Following live", ".log-foot")
    page.press(Keys.PAGE_UP)
    page.see("follow paused", ".log-foot")

    service.append("stay", "new 1\n", generation=1)

    page.see("Goes on in generation 1", ".log-foot")
    assert page.place().get("gen", "0") == "0"
    assert page.rows()[-1]["text"].startswith("line 4")


def test_who_sealed_it_is_said(service: Service, page: Page) -> None:
    service.append("whole", a_log(1, 3), final=True)
    page.open("whole")
    page.see("closed by its collector", ".log-foot")
