"""Search in a real browser: over the whole log, counted, one hit after the other, and what it says when it cannot."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.keys import Keys

from .conftest import Page, Service

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def haystack(service: Service) -> str:
    """20,000 lines; the word in lines 777, 15,000 and 19,990, the last of them a system line."""
    lines = [f"step {n} loss={1 / n:.4f}" for n in range(1, 20_001)]
    lines[776] = "a Needle 针 in hay 😀 needle"
    lines[14_999] = "needle needle"
    lines[19_989] = "[ModelArts Service Log] needle"
    service.append("hay", "\n".join(lines) + "\n")
    return "hay"


def test_search_jumps_and_counts_over_the_whole_log(page: Page, haystack: str) -> None:
    page.open(haystack)
    page.until_last("step 20000 loss=0.0001")

    box = page.search("needle")

    page.see_count("3 of 3")
    assert page.until_row(19_990, "is-current")["marks"] == ["needle"]
    box.send_keys(Keys.ENTER)
    page.see_count("1 of 3")
    page.see("From the start again", ".search-notice")
    assert page.until_row(777, "is-current")["marks"] == ["needle"]
    assert page.place()["line"] == "777"
    box.send_keys(Keys.ENTER)
    assert page.until_row(15_000, "is-current")["marks"] == ["needle", "needle"]
    page.see_count("2 of 3")
    box.send_keys(Keys.SHIFT, Keys.ENTER)
    page.until_row(777, "is-current")
    box.send_keys(Keys.SHIFT, Keys.ENTER)
    page.until_row(19_990, "is-current")
    page.see("From the end again", ".search-notice")


def test_ignore_case_marks_every_hit(page: Page, haystack: str) -> None:
    page.open(haystack, line=777)
    page.until_row(777, "is-selected")
    page.click('.toggle[aria-label="Ignore case"]')
    page.search("NEEDLE")
    page.see_count("1 of 3")
    assert page.until_row(777, "is-current")["marks"] == ["Needle", "needle"]


def test_pattern_is_marked_where_the_service_says(page: Page, haystack: str) -> None:
    """Spans count code points; the page counts UTF-16 units."""
    page.open(haystack, line=777)
    page.click('.toggle[aria-label^="Regular"]')
    page.search(r"[nN]ee\w+|\bstep 77[0-9] ")
    page.see_count("1 of 12")
    page.until(
        lambda: (
            {row["n"]: row["marks"] for row in page.rows() if 776 <= row["n"] <= 778}
            == {776: ["step 776 "], 777: ["Needle", "needle"], 778: ["step 778 "]}
        ),
        "not marked",
    )


def test_bad_pattern_is_said_in_words(page: Page, haystack: str) -> None:
    page.open(haystack)
    page.click('.toggle[aria-label^="Regular"]')
    box = page.search("needle(")
    page.see("Not a valid pattern", ".search-error")
    box.send_keys(Keys.BACKSPACE)
    page.see_count("3 of 3")


def test_hidden_lines_are_not_counted(page: Page, haystack: str) -> None:
    page.open(haystack, lines="user")
    page.search("needle")
    page.see_count("2 of 2")
    page.click("#hide-system")
    page.see_count("2 of 3")


def test_absent_word_and_clearing(page: Page, haystack: str) -> None:
    page.open(haystack)
    box = page.search("no such thing")
    page.see_count("No matches")
    box.send_keys(Keys.ESCAPE)
    page.see_count("")
    assert "q" not in page.place()


def test_link_keeps_query_and_hit(page: Page, haystack: str) -> None:
    page.open(haystack, line=15_000, q="needle")
    page.until(lambda: page.until_row(15_000, "is-selected")["marks"] == ["needle", "needle"], "not marked")
    page.see_count("2 of 3")
    page.press("n")
    page.until_row(19_990, "is-current")


def test_growing_log_is_counted_again(service: Service, page: Page) -> None:
    service.append("grow", "found\n")
    page.open("grow", q="found")
    page.see_count("1 matching line")
    service.append("grow", "found\nnot this\n")
    page.see_count("2 matching lines")


def test_keys_reach_the_box(page: Page, haystack: str) -> None:
    page.open(haystack)
    page.until_last("step 20000 loss=0.0001")
    for keys in (["/"], [Keys.CONTROL, "f"]):
        page.run("document.activeElement.blur()")
        page.one("body").send_keys(*keys)
        page.until(lambda: page.run("return document.activeElement.className") == "search-input", f"{keys}")
