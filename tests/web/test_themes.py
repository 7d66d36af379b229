"""Colours and sizes: dark and light from the first frame on, a phone, a page at 400 %, the system's own colours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from selenium.webdriver.support.ui import Select

from .conftest import Page, Service
from .walk import STATES, fill, job_page, plain_page

pytestmark = pytest.mark.browser

PHONE = (390, 844)
SMALL_PHONE = (320, 640)
AT_400_PERCENT = (320, 256)  # 1280 × 1024, four times as large
OUTSIDE = """
return [...document.querySelectorAll('button, a, input, select, [tabindex]')].filter((node) => {
  const box = node.getBoundingClientRect()
  if (!box.width || !box.height || !node.checkVisibility({ visibilityProperty: true })) return false
  for (let up = node.parentElement; up; up = up.parentElement) {
    if (['auto', 'scroll'].includes(getComputedStyle(up).overflowX)) return false // can be brought in
  }
  return box.right > innerWidth + 1 || box.left < -1
}).map((node) => node.outerHTML.slice(0, 120))
"""
GROUND = "return getComputedStyle(document.body).backgroundColor"


@pytest.fixture
def sized(page: Page) -> Iterator[Any]:
    """Gives the window another size until the test ends."""

    def size(width: int, height: int) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    yield size
    page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.fixture
def media(page: Page) -> Iterator[Any]:
    """What the reader's system prefers, until the test ends."""

    def prefer(**features: str) -> None:
        named = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": named})

    yield prefer
    prefer()


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_nothing_stands_outside_of_a_phone(service: Service, page: Page, sized: Any, state: Any) -> None:
    fill(service)
    sized(*PHONE)
    state(page)
    for size in (PHONE, SMALL_PHONE):
        sized(*size)
        page.until(lambda: page.run("return innerWidth") == size[0], "the window kept its size")  # noqa: B023
        assert page.run("return document.documentElement.scrollWidth") <= size[0]
        assert page.run(OUTSIDE) == [], size


def test_the_log_can_be_read_at_400_percent(service: Service, page: Page, sized: Any) -> None:
    fill(service)
    sized(*AT_400_PERCENT)
    job_page(page)
    assert page.run("return document.querySelector('.pane-view').getBoundingClientRect().height") >= 150
    page.run("document.querySelector('.pane-view').scrollIntoView()")
    assert page.run("return document.querySelector('.pane-view').getBoundingClientRect().top") < 60
    assert len(page.rows()) >= 5


def test_searching_on_a_phone(service: Service, page: Page, sized: Any) -> None:
    fill(service)
    sized(*PHONE)
    job_page(page)
    page.search("RuntimeError")
    page.until(lambda: page.all(".pane-rows mark"), "not found")
    row = page.until_row(303, "is-error")
    assert "RuntimeError" in row["text"]
    page.browser.back()


def test_no_page_begins_in_the_wrong_colours(service: Service, page: Page, media: Any) -> None:
    """What the first frame has is what `theme.js` says in the head, before any module."""
    fill(service)
    media(prefers_color_scheme="dark")
    page.open()
    order = page.run("return [...document.head.children].map((one) => one.src || one.href || '')")
    first = {name: next(i for i, one in enumerate(order) if one.endswith(name)) for name in ("theme.js", "tokens.css")}
    assert first["theme.js"] < first["tokens.css"]
    assert page.all("script[src$='theme.js']:not([defer], [async], [type])")
    dark = page.run(GROUND)

    Select(page.one("select.top-theme")).select_by_value("light")
    page.until(lambda: page.run(GROUND) == "rgb(255, 255, 255)", "still dark")
    assert dark != "rgb(255, 255, 255)"
    plain_page(page)  # a page of the service's own, which knows the choice
    assert page.run("return document.documentElement.dataset.theme") == "light"
    media(prefers_color_scheme="light")
    page.run("localStorage.clear()")
    plain_page(page)
    media(prefers_color_scheme="dark")
    page.until(lambda: page.run(GROUND) == dark, "the page did not follow the system")


def test_nothing_moves_where_motion_is_not_wanted(service: Service, page: Page, media: Any) -> None:
    fill(service)
    media(prefers_reduced_motion="reduce")
    job_page(page)
    moving = page.run(
        "return [...document.querySelectorAll('*')].filter((one) => {"
        " const { animationDuration, transitionDuration } = getComputedStyle(one);"
        " return parseFloat(animationDuration) > 0.001 || parseFloat(transitionDuration) > 0.001 })"
        ".map((one) => one.className)"
    )
    assert moving == []


def test_the_systems_own_colours_leave_marks_and_choices(service: Service, page: Page, media: Any) -> None:
    fill(service)
    media(forced_colors="active")
    page.open("walk", task="worker-1", line=3, q="loss")
    page.until_row(3, "is-selected")
    page.until(lambda: page.all(".pane-rows mark"), "nothing is found")
    ground = "return getComputedStyle(document.querySelector(arguments[0])).backgroundColor"
    assert page.run(ground, ".pane-rows mark") != page.run(ground, "body")
    outline = "return getComputedStyle(document.querySelector(arguments[0])).outlineStyle"
    assert page.run(outline, ".row.is-selected") == "solid"
    assert page.run(outline, ".tree-file.is-open") == "solid"
