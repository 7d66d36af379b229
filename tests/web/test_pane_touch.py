"""The pane under a finger: it pans, glides on, and selects by its line numbers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .conftest import Page, Service

pytestmark = pytest.mark.browser


@pytest.fixture
def phone(page: Page, service: Service) -> Iterator[Page]:
    service.append("touched", "".join(f"line {n}\n" for n in range(1, 2001)))
    browser = page.browser
    browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True, "maxTouchPoints": 1})
    screen = {"width": 390, "height": 780, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    try:
        page.open("touched", line=1000)
        page.until_row(1000, "is-selected")
        yield page
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})


def swipe(page: Page, distance: int, *, steps: int = 8) -> None:
    """A finger from the middle of the pane, so many pixels down (or up), and away."""

    def touch(kind: str, y: float | None) -> None:
        points = [] if y is None else [{"x": 200, "y": y}]
        page.browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    box = page.run("const b = document.querySelector('.pane-view').getBoundingClientRect(); return [b.top, b.bottom]")
    middle = sum(box) / 2
    touch("touchStart", middle)
    for step in range(1, steps + 1):
        touch("touchMove", middle + distance * step / steps)
    touch("touchEnd", None)


def test_a_finger_pans_the_rows(phone: Page) -> None:
    first = phone.numbers()[0]
    swipe(phone, -160)
    phone.until(lambda: phone.numbers()[0] >= first + 7, "did not go down")
    low = phone.numbers()[0]
    swipe(phone, 200)
    phone.until(lambda: phone.numbers()[0] <= low - 9, "did not go up")
    assert phone.run("return scrollX + scrollY") == 0


def test_nothing_is_wider_than_the_phone(phone: Page) -> None:
    assert phone.run("return document.documentElement.scrollWidth") <= 390
    phone.click(".row-number[href*='line=1003&']")
    phone.until(lambda: phone.place()["line"] == "1003", "not chosen")


def test_the_bar_is_dragged_by_a_finger(phone: Page) -> None:
    x, y = phone.run(
        """const b = document.querySelector('.pane-thumb').getBoundingClientRect()
        return [b.left + b.width / 2, b.top + b.height / 2]"""
    )
    for kind, at in (("touchStart", y), ("touchMove", y - 60), ("touchMove", y - 500), ("touchEnd", None)):
        points = [] if at is None else [{"x": x, "y": max(0, at)}]
        phone.browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    phone.until(lambda: phone.numbers()[0] == 1, "not at the start")
