"""Five million lines in a real browser: any part of them is as near as the end."""

from __future__ import annotations

import pytest
from selenium.webdriver import ActionChains
from selenium.webdriver.common.keys import Keys

from .conftest import Page, Service

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LINES = 5_000_000
MIDDLE = LINES // 2
CHUNK_BYTES = 8 * 1024 * 1024


@pytest.fixture(scope="module")
def huge(service: Service) -> str:
    body = "\n".join(map(str, range(1, LINES + 1))).encode() + b"\n"
    for start in range(0, len(body), CHUNK_BYTES):
        service.append("huge", body[start : start + CHUNK_BYTES])
    return "huge"


def test_opens_at_the_end_and_jumps_to_the_middle(page: Page, huge: str) -> None:
    page.open(huge)
    page.until_last("5000000")
    page.see("of 5,000,000", ".log-position")

    page.press("g")
    page.browser.switch_to.active_element.send_keys(str(MIDDLE), Keys.ENTER)

    assert page.until_row(MIDDLE, "is-selected")["text"] == str(MIDDLE)
    assert all(row["text"] == str(row["n"]) for row in page.rows())


def test_scrollbar_reaches_every_part(page: Page, huge: str) -> None:
    page.open(huge)
    page.until_last("5000000")
    thumb, bar = page.one(".pane-thumb"), page.one(".pane-bar")
    half = -(bar.size["height"] - thumb.size["height"]) // 2

    ActionChains(page.browser).click_and_hold(thumb).move_by_offset(0, half).release().perform()
    page.until(lambda: abs(page.numbers()[0] - MIDDLE) < 20_000, "not in the middle")
    page.until(lambda: all(row["text"] == str(row["n"]) for row in page.rows()), "not loaded")


def test_a_line_far_away_is_found(page: Page, huge: str) -> None:
    page.open(huge, line=10)
    page.until_row(10, "is-selected")
    page.search("4321012")
    page.see_count("1 of 1")
    page.until_row(4_321_012, "is-current")
