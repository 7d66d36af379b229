"""What a reader marks and copies, also where the lines are not in the page."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from selenium.webdriver import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from .conftest import Page, Service

pytestmark = pytest.mark.browser

LINES = 6000


@pytest.fixture(scope="module")
def log(service: Service) -> str:
    service.append("marked", "".join(f"line {n} of many\n" for n in range(1, LINES + 1)))
    return "marked"


@pytest.fixture
def reader(page: Page, log: str) -> Iterator[Page]:
    """Looks at line 100; the page may read and write the clipboard."""
    permissions = ["clipboardReadWrite", "clipboardSanitizedWrite"]
    page.browser.execute_cdp_cmd("Browser.grantPermissions", {"origin": page.service.url, "permissions": permissions})
    page.open(log, line=100)
    page.until_row(100, "is-selected")
    page.browser.execute_async_script("navigator.clipboard.writeText('nothing copied').then(arguments[0])")
    yield page
    page.browser.execute_cdp_cmd("Browser.resetPermissions", {})


def clipboard(page: Page) -> str:
    return str(page.browser.execute_async_script("navigator.clipboard.readText().then(arguments[0])"))


def copied(page: Page) -> str:
    """What Ctrl+C puts into the clipboard."""
    ActionChains(page.browser).key_down(Keys.CONTROL).send_keys("c").key_up(Keys.CONTROL).perform()
    page.until(lambda: clipboard(page) != "nothing copied", "nothing was copied")
    return clipboard(page)


def text_of(page: Page, n: int) -> WebElement:
    return page.browser.execute_script(
        """return [...document.querySelectorAll('.pane-rows > .row')]
          .find((row) => row.querySelector('.row-number').textContent === String(arguments[0]))
          ?.querySelector('.row-text')""",
        n,
    )


def lines(first: int, last: int) -> str:
    return "\n".join(f"line {n} of many" for n in range(first, last + 1))


def test_a_drag_past_the_edge_marks_what_leaves_the_page(reader: Page) -> None:
    view = reader.one(".pane-view")
    start = text_of(reader, 100)
    drag = ActionChains(reader.browser).move_to_element_with_offset(start, -start.size["width"] // 2 + 1, 0)
    drag.click_and_hold().move_to_element(view).move_by_offset(0, view.size["height"] // 2 + 12).perform()
    reader.until(lambda: reader.numbers()[0] > 180, "it did not scroll")
    ActionChains(reader.browser).move_to_element(text_of(reader, reader.numbers()[-2])).release().perform()

    text = copied(reader).split("\n")

    assert len(text) > 80
    assert "\n".join(text[:-1]) == lines(100, 100 + len(text) - 2)
    assert f"line {99 + len(text)} of many".startswith(text[-1])


def test_a_drag_up_scrolls_up(reader: Page) -> None:
    view = reader.one(".pane-view")
    end = text_of(reader, 100)
    drag = ActionChains(reader.browser).move_to_element_with_offset(end, end.size["width"] // 2 + 200, 0)
    drag.click_and_hold().move_to_element(view).move_by_offset(0, -view.size["height"] // 2 - 20).perform()
    reader.until(lambda: reader.numbers()[0] == 1, "it did not scroll")
    ActionChains(reader.browser).release().perform()

    assert copied(reader).split("\n")[-1] == "line 100 of many"
    assert lines(2, 100) in copied(reader)


def test_words_and_rows_are_marked_by_clicks(reader: Page) -> None:
    ActionChains(reader.browser).move_to_element(text_of(reader, 102)).double_click().perform()
    word = str(reader.run("return getSelection().toString()"))
    assert word in {"102", "of", "line", "many"}
    ActionChains(reader.browser).move_to_element(text_of(reader, 104)).click().click().click().perform()
    assert copied(reader) == "line 104 of many"

    ActionChains(reader.browser).key_down(Keys.SHIFT).click(text_of(reader, 106)).key_up(Keys.SHIFT).perform()
    reader.until(lambda: copied(reader).startswith("line 104 of many\nline 105 of many\nline"), "not up to there")
    reader.press(Keys.ESCAPE)
    reader.until(lambda: not reader.run("return getSelection().toString()"), "still marked")


def test_what_is_marked_outlives_its_rows(reader: Page) -> None:
    ActionChains(reader.browser).move_to_element(text_of(reader, 101)).click().click().click().perform()
    reader.press(*[Keys.PAGE_DOWN] * 4)
    reader.until(lambda: reader.numbers()[0] > 150, "did not scroll")
    assert reader.run("return getSelection().toString()") == ""
    assert copied(reader) == "line 101 of many"

    reader.press(*[Keys.PAGE_UP] * 4)
    reader.until(lambda: reader.run("return getSelection().toString()") == "line 101 of many", "not marked any more")


def test_a_range_of_numbers_is_in_the_address_and_is_copied(reader: Page) -> None:
    reader.click(".row-number[href*='line=105&']")
    reader.until(lambda: reader.place()["line"] == "105", "not chosen")
    number = reader.one(".row-number[href*='line=109&']")
    ActionChains(reader.browser).key_down(Keys.SHIFT).click(number).key_up(Keys.SHIFT).perform()
    reader.until(lambda: reader.place()["line"] == "105-109", "no range")
    chosen = [row["n"] for row in reader.rows() if "is-selected" in row["classes"]]
    assert chosen == list(range(105, 110))
    assert copied(reader) == lines(105, 109)

    ActionChains(reader.browser).key_down(Keys.SHIFT).send_keys(Keys.PAGE_DOWN, Keys.UP).key_up(Keys.SHIFT).perform()
    reader.until(lambda: int(reader.place()["line"].split("-")[1]) > 120, "no longer range")
    last = int(reader.place()["line"].split("-")[1])
    assert last in reader.numbers()
    reader.until(lambda: copied(reader) == lines(105, last), "not all of it")


def test_a_link_to_a_range_opens_on_it(page: Page, log: str) -> None:
    page.open(log, line="4000-4600")
    page.until_row(4000, "is-selected")
    page.until(lambda: all("is-selected" in row["classes"] for row in page.rows() if row["n"] >= 4000), "not marked")
    assert not any("is-selected" in row["classes"] for row in page.rows() if row["n"] < 4000)


def test_the_whole_log_is_copied_without_being_in_the_page(reader: Page) -> None:
    ActionChains(reader.browser).key_down(Keys.CONTROL).send_keys("a").key_up(Keys.CONTROL).perform()
    assert copied(reader) == lines(1, LINES)
    reader.see("6,000 lines copied", ".pane-notice")


def test_user_lines_are_copied_as_they_are_shown(service: Service, reader: Page) -> None:
    text = "".join(f"[ModelArts Service Log] {n}\n" if n % 2 else f"line {n} of many\n" for n in range(1, 101))
    service.append("mixed", text + "a\rb\x1b[31mc\n" + "x" * 70_000 + "\n")
    reader.open("mixed", lines="user", line=40)
    reader.until_row(40, "is-selected")
    ActionChains(reader.browser).key_down(Keys.CONTROL).send_keys("a").key_up(Keys.CONTROL).perform()
    expected = "\n".join(f"line {n} of many" for n in range(2, 101, 2)) + "\nbc\n" + "x" * 70_000
    assert copied(reader) == expected


def test_too_much_is_refused_in_words(service: Service, reader: Page) -> None:
    for _ in range(5):
        service.append("vast", ("v" * 1023 + "\n") * 8192)
    reader.open("vast")
    reader.until(lambda: len(reader.numbers()) > 10, "no lines")
    ActionChains(reader.browser).key_down(Keys.CONTROL).send_keys("a").send_keys("c").key_up(Keys.CONTROL).perform()
    reader.see("40 MiB; at most 32 MiB", ".pane-notice")
    reader.click(".pane-notice .button")
    assert clipboard(reader) == "nothing copied"


def test_where_the_browser_wants_a_click_there_is_a_button(reader: Page) -> None:
    reader.run("navigator.clipboard.writeText = () => Promise.reject(new Error('no'))")
    reader.run("window.command = document.execCommand; document.execCommand = () => false")
    ActionChains(reader.browser).key_down(Keys.CONTROL).send_keys("a").send_keys("c").key_up(Keys.CONTROL).perform()
    reader.see("6,000 lines are ready", ".pane-notice")
    reader.run("document.execCommand = window.command")
    reader.click(".pane-notice .button")
    reader.see("6,000 lines copied", ".pane-notice")
    assert clipboard(reader) == lines(1, LINES)


def test_what_the_browser_marks_itself_is_taken_over(reader: Page) -> None:
    """As a phone's handles and a screen reader do."""
    reader.run(
        """const [first, last] = arguments
        getSelection().setBaseAndExtent(first.firstChild, 5, last.firstChild, 4)""",
        text_of(reader, 101),
        text_of(reader, 104),
    )
    expected = "101 of many\n" + lines(102, 103) + "\nline"
    reader.until(lambda: copied(reader) == expected, "not what was marked")

    reader.press(*[Keys.PAGE_DOWN] * 4)
    reader.until(lambda: reader.numbers()[0] > 150, "did not scroll")
    reader.browser.execute_async_script("navigator.clipboard.writeText('nothing copied').then(arguments[0])")
    assert copied(reader) == expected

    reader.click(".search-input")
    ActionChains(reader.browser).send_keys("x").perform()
    reader.browser.execute_async_script("navigator.clipboard.writeText('nothing copied').then(arguments[0])")
    reader.one(".search-input").send_keys(Keys.CONTROL, "a")
    reader.one(".search-input").send_keys(Keys.CONTROL, "c")
    reader.until(lambda: clipboard(reader) == "x", "the log was copied instead of the field's text")
