"""Links to lines, ranges, searches in a real browser: after a restart, after a rotation, and to what is not there."""

from __future__ import annotations

from pathlib import Path

import pytest
from selenium.webdriver import Chrome

from .conftest import Page, Service, a_service
from .shipping import ship
from .test_panes import until_marked

pytestmark = pytest.mark.browser

LINES = "".join(f"step {n} loss {n % 7}\n" for n in range(1, 1001))


def test_a_link_to_a_line_opens_there_after_a_restart(browser: Chrome, tmp_path: Path) -> None:
    before = a_service(tmp_path / "data")
    try:
        service = next(before)
        service.append("kept", LINES)
        page = Page(browser, service)
        page.open("kept")
        page.until_last("step 1000 loss 6")
        page.press("g")
        page.one("#jump-line").send_keys("321", "\n")
        page.until_row(321, "is-selected")
        place = page.browser.current_url.partition("#")[2]
    finally:
        before.close()

    after = a_service(tmp_path / "data")
    try:
        service = next(after)
        page = Page(browser, service)
        page.browser.get("about:blank")
        page.browser.get(f"{service.url}/?token={service.token}#{place}")
        assert page.until_row(321, "is-selected")["text"] == "step 321 loss 6"
    finally:
        after.close()


def test_a_link_stays_right_when_the_file_was_rotated_since(service: Service, page: Page) -> None:
    ship(service, "rotated", "worker-0", LINES)
    page.open("rotated", task="worker-0", line=700)
    page.until_row(700, "is-selected")
    link = page.browser.current_url
    ship(service, "rotated", "worker-0", "a new file\n" * 900, generation=1)
    page.browser.get("about:blank")
    page.browser.get(link)
    assert page.until_row(700, "is-selected")["text"] == "step 700 loss 0"
    page.open("rotated", task="worker-0", gen=1, line=700)
    assert page.until_row(700, "is-selected")["text"] == "a new file"


def test_a_link_keeps_lines_query_and_filter(service: Service, page: Page) -> None:
    service.append("all-of-it", "[ModelArts Service Log] start\n" + LINES)
    page.open("all-of-it", line="100-102", q="LOSS", case="0", lines="user")
    until_marked(page, 0, "is-selected", [100, 101, 102])
    page.see_count("99 of 1,000")
    page.until(lambda: [row["marks"] for row in page.rows()][:1] == [["loss"]], "hits are not marked")
    assert page.one("#hide-system").is_selected()
    page.run("navigator.clipboard.writeText = async (text) => { window.copied = text }")
    page.click(".log-foot .copy")
    copied = page.until(lambda: page.run("return window.copied"), "nothing was copied")
    assert copied == page.browser.current_url
    assert "token" not in copied
    page.click(".job-head .copy")
    page.until(lambda: page.run("return window.copied").endswith("#job=all-of-it"), "not the job's link")


def test_a_link_is_copied_where_the_page_has_no_clipboard(service: Service, page: Page) -> None:
    """As on a page without TLS; the focus stays."""
    page.browser.execute_cdp_cmd(
        "Browser.grantPermissions",
        {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"], "origin": service.url},
    )
    service.append("plain-http", LINES)
    page.open("plain-http", line=7)
    page.until_row(7, "is-selected")
    page.run("window.real = navigator.clipboard; Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.click(".log-foot .copy")
    page.one(".log-foot .copy.is-done")
    assert page.run("return document.activeElement.matches('.log-foot .copy')")
    copied = page.browser.execute_async_script("window.real.readText().then(arguments[0])")
    page.browser.execute_cdp_cmd("Browser.resetPermissions", {})
    assert copied == page.browser.current_url


def test_what_a_link_names_and_is_not_there_is_said(service: Service, page: Page) -> None:
    service.append("short", "a\nb\n")
    page.open("short", line=50)
    page.see("There is no line 50 yet: so far this log has 2 lines.")
    page.until_last("b")
    service.append("short", "", final=True)
    page.see("There is no line 50: this log ends at line 2.")
    page.open("short", task="worker-0", file="modelarts-job-short/other/worker-0/gone.txt")
    page.see("There is no such log in this job.")
    page.open("short", task="worker-7")
    page.see("This task has no logs yet.")
    page.open("no-such-job", line=3)
    page.see("There is no job “no-such-job”.")
