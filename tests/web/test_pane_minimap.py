"""The minimap: where in the whole log errors, warnings and matches are, and the ways to them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from selenium.webdriver import ActionChains

from .conftest import Page, Service

pytestmark = pytest.mark.browser

LINES = 3000
ERRORS = (300, 1500, 1501)
WARNING = 2400
MATCH = 2900
# Which lanes (errors, warnings, matches) are painted at the places of these lines, and the ground in between.
LANES = """
const canvas = document.querySelector('.minimap-marks')
const context = canvas.getContext('2d')
const alpha = (x, y) => context.getImageData(Math.floor(x * canvas.width), Math.floor(y * canvas.height), 1, 1).data[3]
return arguments[0].map((place) => [0.15, 0.5, 0.85].map((x) => alpha(x, place) > 0))
"""
COLOURS = """
const canvas = document.querySelector('.minimap-marks')
const { data } = canvas.getContext('2d').getImageData(Math.floor(0.15 * canvas.width), 0, 1, canvas.height)
const colours = new Set()
for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 200) colours.add([...data.slice(i, i + 3)].join())
return [...colours]
"""


@pytest.fixture(scope="module")
def log(service: Service) -> str:
    def text(n: int) -> str:
        return "ERROR failed" if n in ERRORS else "WARNING slow" if n == WARNING else "needle" if n == MATCH else "fine"

    service.append("mapped", "".join(f"{text(n)} {n}\n" for n in range(1, LINES + 1)))
    return "mapped"


def lanes(page: Page, *numbers: int) -> list[list[bool]]:
    return list(page.run(LANES, [(n - 1) / LINES for n in numbers]))


def click_at(page: Page, share: float) -> None:
    marks = page.one(".minimap-marks")
    offset = round((share - 0.5) * marks.size["height"])
    ActionChains(page.browser).move_to_element_with_offset(marks, 0, offset).click().perform()


def test_marks_stand_where_their_lines_are(page: Page, log: str) -> None:
    page.open(log)
    page.until(
        lambda: (
            lanes(page, 300, 900, 1500, WARNING, MATCH)
            == [[True, False, False], [False] * 3, [True, False, False], [False, True, False], [False] * 3]
        ),
        "errors and warnings are not where they belong",
    )
    assert page.one(".minimap").get_attribute("aria-hidden") == "true"

    page.search("needle")
    page.until(lambda: lanes(page, 300, MATCH) == [[True, False, False], [False, False, True]], "no match marked")


def test_a_mark_says_what_it_is_and_leads_to_its_line(page: Page, log: str) -> None:
    page.open(log)
    page.until(lambda: lanes(page, 300)[0][0], "no mark")
    click_at(page, 299 / LINES)
    page.until_row(300, "is-selected")
    page.see("1 error", ".minimap-tip")

    click_at(page, 0.2)  # where there is no mark it is a scrollbar
    page.until(lambda: abs(page.numbers()[len(page.numbers()) // 2] - 0.2 * LINES) < 30, "not there")
    ActionChains(page.browser).move_to_element(page.one(".log-position")).perform()
    page.until(lambda: not page.one(".minimap-tip").is_displayed(), "the tip stays")


def test_dragging_on_it_scrolls(page: Page, log: str) -> None:
    page.open(log)
    page.until(lambda: lanes(page, 300)[0][0], "no mark")
    marks = page.one(".minimap-marks")
    drag = ActionChains(page.browser).move_to_element_with_offset(marks, 0, -marks.size["height"] // 4).click_and_hold()
    drag.move_by_offset(0, marks.size["height"] // 8).perform()
    page.until(lambda: abs(page.numbers()[len(page.numbers()) // 2] - 0.375 * LINES) < 40, "not there")
    ActionChains(page.browser).move_by_offset(0, marks.size["height"] // 4).release().perform()
    page.until(lambda: abs(page.numbers()[len(page.numbers()) // 2] - 0.625 * LINES) < 40, "not further down")


def test_keys_lead_from_error_to_error(page: Page, log: str) -> None:
    page.open(log, line=1000)
    page.until_row(1000, "is-selected")
    for key, n in (("e", 1500), ("e", 1501), ("e", 300), ("E", 1501), ("E", 1500)):
        page.press(key)
        page.until_row(n, "is-selected")


def test_colours_follow_the_theme(page: Page, log: str) -> None:
    page.open(log)
    page.until(lambda: page.run(COLOURS), "no mark")
    light = page.run(COLOURS)
    page.run("document.documentElement.dataset.theme = 'dark'")
    page.until(lambda: page.run(COLOURS) not in ([], light), "painted as before")


def test_it_grows_with_the_log_and_asks_rarely(service: Service, page: Page) -> None:
    service.append("growing", "fine\n" * 100)
    page.open("growing")
    page.until_last("fine")
    page.run(
        """window.asked = []
        const fetched = window.fetch
        window.fetch = (input, options) => {
          if (String(input?.url ?? input).includes('/overview')) window.asked.push(performance.now())
          return fetched(input, options)
        }"""
    )
    for n in range(10):
        service.append("growing", f"ERROR {n}\n" + "fine\n" * 9)
        page.see(f"ERROR {n}", ".pane-rows")
    page.until(lambda: page.run(COLOURS), "no error came onto the map")
    asked = page.run("return window.asked")
    assert all(later - earlier > 3000 for earlier, later in pairwise(asked))


def test_one_line_says_where_the_reader_is(page: Page, log: str) -> None:
    page.open(log, line=1500)
    page.until_row(1500, "is-selected")
    page.until(
        lambda: page.run(
            r"""return /^Lines 1,\d+–1,\d+ of 3,000 · (49|50|51) % · \d\d:\d\d:\d\d\.\d{3}$/
              .test(document.querySelector('.log-position').textContent)"""
        ),
        "no line, percent or time",
    )
