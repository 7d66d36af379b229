"""A log of any size: 100 million lines are as exact as ten, and the page holds no more for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from selenium.webdriver import ActionChains
from selenium.webdriver.common.keys import Keys

from .conftest import Page, Service

pytestmark = pytest.mark.browser

VAST = 100_000_000
MOST_NODES = 1000
# Answers for a log that nobody has to write: line n is "line n", each millionth an error.
A_VAST_LOG = """
const service = window.fetch
window.fetch = async (input, options) => {
  const url = new URL(input?.url ?? input, location.href)
  const [, call] = url.pathname.match(/\\/streams\\/[^/]+\\/(lines|overview|matches)$/) ?? []
  const asked = Object.fromEntries(url.searchParams)
  const reply = (answer) => new Response(JSON.stringify(answer), { headers: { 'Content-Type': 'application/json' } })
  if (call === 'lines') {
    const from = Number(asked.from) < 0 ? TOTAL + Number(asked.from) + 1 : Number(asked.from ?? 1)
    const count = Math.max(0, Math.min(Number(asked.limit ?? 500), TOTAL - from + 1))
    const lines = Array.from({ length: count }, (_, i) => a_line(from + i))
    return reply({ total_lines: TOTAL, total_user_lines: TOTAL, lines })
  }
  if (call === 'overview') {
    const errors = Array(Number(asked.buckets)).fill(0)
    errors[errors.length / 2 | 0] = 1
    return reply({ lines: 'all', rows: TOTAL, errors, warnings: errors.map(() => 0), matches: null, exact: true })
  }
  if (call === 'matches') {
    return reply({ total: 1, exact: true, matches: [{ n: TOTAL / 2 + 7, text: '', spans: [] }], next: null })
  }
  return service(input, options)
}
const TOTAL = 100000000
const a_line = (n) =>
  ({ n, u: n, offset: n * 10, text: `line ${n}`, system: false, level: null, received_at: '2026-11-24T10:00:00Z' })
"""
# Every node below the pane, text and all
NODES = """
const walk = document.createTreeWalker(document.querySelector('.pane'), NodeFilter.SHOW_ALL)
let count = 1
while (walk.nextNode()) count += 1
return count
"""


@pytest.fixture
def vast(page: Page, service: Service) -> Iterator[Page]:
    """At the end of a log of 100 million lines."""
    service.append("vast-log", "real\n")
    made = page.browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": A_VAST_LOG})
    try:
        page.open("vast-log")
        page.until_last(f"line {VAST}")
        yield page
    finally:
        page.browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", {"identifier": made["identifier"]})


def until_loaded(page: Page) -> list[int]:
    """Numbers on screen, once each row shows its own line."""

    def numbers() -> list[int]:
        rows = page.rows()
        return [row["n"] for row in rows] if rows and all(row["text"] == f"line {row['n']}" for row in rows) else []

    found: list[int] = page.until(numbers, "not all rows show their line")
    assert found == list(range(found[0], found[0] + len(found)))
    return found


def test_each_of_100_million_lines_is_reached(vast: Page) -> None:
    vast.see("of 100,000,000", ".log-position")
    for n in (77_777_777, 1, 99_999_950, 50_000_001):
        vast.press("g")
        vast.browser.switch_to.active_element.send_keys(str(n), Keys.ENTER)
        vast.until_row(n, "is-selected")
        until_loaded(vast)


def test_the_thumb_goes_all_the_way_and_rows_move_one_by_one(vast: Page) -> None:
    thumb, bar = vast.one(".pane-thumb"), vast.one(".pane-bar")
    room = bar.size["height"] - thumb.size["height"]
    assert thumb.size["height"] >= 28

    ActionChains(vast.browser).click_and_hold(thumb).move_by_offset(0, -room // 2).release().perform()
    vast.until(lambda: abs(vast.numbers()[0] - VAST / 2) < VAST / 100, "not in the middle")
    first = until_loaded(vast)[0]
    vast.press("j", "j", "j", "k")
    vast.until(lambda: vast.numbers()[0] == first + 2, "not two lines down")

    ActionChains(vast.browser).click_and_hold(thumb).move_by_offset(0, -room // 2 - 20).release().perform()
    vast.until(lambda: vast.numbers()[0] == 1, "not at the start")
    ActionChains(vast.browser).click_and_hold(thumb).move_by_offset(0, room + 15).release().perform()
    vast.until(lambda: vast.numbers()[-1] == VAST, "not at the end")
    until_loaded(vast)


def test_a_click_on_a_lone_mark_finds_its_line(vast: Page) -> None:
    marks = vast.one(".minimap-marks")
    ActionChains(vast.browser).move_to_element(marks).perform()
    vast.see("1 error", ".minimap-tip")
    ActionChains(vast.browser).click(marks).perform()
    vast.until_row(VAST // 2 + 7, "is-selected")


COLOURFUL = "".join(
    "".join(f"\x1b[3{(n + i) % 7 + 1}m{i}\x1b[0m {i} " for i in range(n % 40)) + f"row {n}\n" for n in range(1, 401)
)


@pytest.mark.parametrize("size", [(1300, 800), (2560, 1440)])
def test_the_pane_has_under_1000_nodes_whatever_stands_in_it(
    service: Service, page: Page, size: tuple[int, int]
) -> None:
    if ("colourful", "modelarts-job-colourful-worker-0.log", 0) not in service.sent:
        service.append("colourful", COLOURFUL + "x\r" * 40_000 + "\n")
    before = page.browser.get_window_size()
    page.browser.set_window_size(*size)
    try:
        page.open("colourful", q="row")
        page.until(lambda: page.numbers()[-1:] == [401], "not at the end")
        page.until(lambda: page.all("mark"), "no hit is marked")
        assert page.run(NODES) < MOST_NODES
        assert len(page.all(".row-text [class*=ansi]")) > 100  # and yet there are colours

        page.press(*[Keys.PAGE_UP] * 2)
        page.until(lambda: page.numbers()[-1] < 380, "did not scroll")
        assert page.run(NODES) < MOST_NODES
        for row in page.rows():
            expected = "".join(f"{i} {i} " for i in range(row["n"] % 40)) + f"row {row['n']}"
            assert row["text"] == expected  # only the colours are shared out
    finally:
        page.browser.set_window_size(before["width"], before["height"])


def test_nodes_and_rows_stay_few_while_scrolling(service: Service, page: Page) -> None:
    service.append("few-nodes", "".join(f"line {n}\n" for n in range(1, 50_001)))
    page.open("few-nodes")
    page.until_last("line 50000")
    for key in (Keys.HOME, *[Keys.PAGE_DOWN] * 10, Keys.END, *[Keys.PAGE_UP] * 10):
        page.press(key)
    until_loaded(page)
    assert page.run(NODES) < 400


def test_wrapped_lines_of_64_kib_are_few_in_the_page(service: Service, page: Page) -> None:
    service.append("long-wrapped", "".join(f"{n} " + "word " * 14_000 + "\n" for n in range(1, 41)) + "last\n")
    page.open("long-wrapped")
    page.until_last("last")
    page.press("w")
    page.until(lambda: page.last_row() == "last" and len(page.all(".row")) < 6, "not wrapped, or too many rows")
    page.see("Lines 40–41 of 41", ".log-position")

    page.press(Keys.PAGE_UP, Keys.PAGE_UP)
    page.until(lambda: page.numbers() == [40], "not within the long line")
    page.press(Keys.HOME)
    page.until(lambda: page.numbers() == [1] and page.rows()[0]["text"].startswith("1 word"), "not at the start")
    page.press(Keys.END)
    page.until_last("last")
    page.press("w")
