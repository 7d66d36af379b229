"""Logs side by side in a real browser: opening, closing, keys, one moment in all of them, jumps in time."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest
from selenium.webdriver.common.keys import Keys

from .conftest import Page, Service
from .shipping import ship
from .test_job_list import type_keys

pytestmark = pytest.mark.browser

ROWS_OF = """
const view = document.querySelectorAll('.pane-view')[arguments[0]]
const box = view?.getBoundingClientRect()
return !view ? [] : [...view.querySelectorAll('.pane-rows > .row')].filter((row) => {
  const { top, bottom } = row.getBoundingClientRect()
  return bottom > box.top + 1 && top < box.bottom - 1
}).map((row) => ({
  n: Number(row.querySelector('.row-number').textContent),
  text: row.querySelector('.row-text').textContent,
  classes: row.className.split(' '),
}))
"""
LOCAL_CLOCK = """
const date = new Date(arguments[0])
const digits = (number, width) => String(number).padStart(width, '0')
const clock = [date.getHours(), date.getMinutes(), date.getSeconds()].map((part) => digits(part, 2)).join(':')
return `${clock}.${digits(date.getMilliseconds(), 3)}`
"""


def rows_of(page: Page, pane: int) -> list[dict[str, Any]]:
    return list(page.run(ROWS_OF, pane))


def until_marked(page: Page, pane: int, class_: str, lines: list[int]) -> None:
    def marked() -> list[int]:
        return [row["n"] for row in rows_of(page, pane) if class_ in row["classes"]]

    page.until(lambda: marked() == lines, f"in pane {pane} never were {lines} {class_}, but {marked()}")


def until_first(page: Page, pane: int, n: int) -> None:
    def first() -> int | None:
        return next((row["n"] for row in rows_of(page, pane)), None)

    page.until(lambda: first() == n, f"pane {pane} never began with {n}, but {first()}")


def two_workers(service: Service, job: str) -> None:
    """Each in turn writes 200 lines, five times: line 201 of one was received just before line 201 of the other."""
    for turn in range(5):
        for node in range(2):
            ship(service, job, f"worker-{node}", "".join(f"{node}: {turn * 200 + at}\n" for at in range(1, 201)))


def in_pane(pane: int, selector: str) -> str:
    return f".job-panes > .log:nth-child({pane + 1}) {selector}"


def click_line(page: Page, pane: int, n: int) -> None:
    page.click(in_pane(pane, f".row-number[href*='={n}&'], .row-number[href*='|{n}']"))


def jump(page: Page, text: str) -> None:
    page.press("g")
    page.one("#jump-line").send_keys(text, Keys.ENTER)


def test_logs_open_beside_each_other_and_close(service: Service, page: Page) -> None:
    for node in range(5):
        ship(service, "beside", f"worker-{node}", f"log of {node}\n")
    proc = "modelarts-job-beside-proc-rank-0-device-0.txt"
    ship(service, "beside", "worker-0", "a proc log\n", path=proc)
    page.open("beside")
    page.until_last("log of 0")
    assert not page.all(".log-pane-head")

    page.run(
        "document.querySelector(`a[title='${arguments[0]}']`).parentElement.querySelector('.tree-beside').click()", proc
    )
    page.until(lambda: [r["text"] for r in rows_of(page, 1)] == ["a proc log"], "not beside")
    assert [r["text"] for r in rows_of(page, 0)] == ["log of 0"]
    assert page.all(".tree-file.is-open a")[0].get_attribute("title") == proc
    widths = [pane.size["width"] for pane in page.all(".job-panes > .log")]
    assert abs(widths[0] - widths[1]) <= 2

    page.click(".tree-compare")
    page.until(lambda: len(page.all(".pane-view")) == 4, "not four")
    for node in range(4):
        page.until(lambda at=node: [r["text"] for r in rows_of(page, at)] == [f"log of {at}"], f"no worker {node}")
    assert {button.is_enabled() for button in page.all(".tree-beside")} == {False}

    page.click(in_pane(1, ".log-pane-head .button"))
    page.until(lambda: len(page.all(".pane-view")) == 3, "not closed")
    assert [r["text"] for r in rows_of(page, 1)] == ["log of 2"]
    page.browser.back()
    page.until(lambda: len(page.all(".pane-view")) == 4, "Back did not open it again")
    link = page.browser.current_url
    page.browser.get("about:blank")
    page.browser.get(link)
    page.until(lambda: [r["text"] for r in rows_of(page, 3)] == ["log of 3"], "the link opens less")


def test_keys_act_on_the_pane_in_use(service: Service, page: Page) -> None:
    two_workers(service, "keys-beside")
    page.open("keys-beside", task="worker-0", pane="worker-1|||")
    page.until(lambda: [r["text"] for r in rows_of(page, 1)][-1:] == ["1: 1000"], "no second pane")
    page.click(in_pane(1, ".pane-view"))
    page.see("worker-1.log", ".log-head .log-file")
    page.press(Keys.HOME)
    until_first(page, 1, 1)
    page.press("j", Keys.ARROW_DOWN, "j", "k")
    until_first(page, 1, 3)
    assert rows_of(page, 0)[-1]["text"] == "0: 1000"
    page.press("G")
    page.until(lambda: rows_of(page, 1)[-1]["text"] == "1: 1000", "not at the end")


def test_a_chosen_line_shows_its_moment_in_the_other_logs(service: Service, page: Page) -> None:
    two_workers(service, "moment")
    page.open("moment", task="worker-0", line=400, pane="worker-1|||")
    page.until(lambda: rows_of(page, 1), "no second pane")
    page.until(lambda: 401 in [row["n"] for row in rows_of(page, 0)], "line 400 is not shown")
    click_line(page, 0, 401)
    until_marked(page, 0, "is-selected", [401])
    until_marked(page, 1, "is-at-time", [401])
    click_line(page, 1, 402)
    until_marked(page, 1, "is-selected", [402])
    until_marked(page, 0, "is-at-time", [601])  # the first that came later
    assert page.place()["line"] == "401"  # the other's own place stays


def test_locked_times_scroll_together(service: Service, page: Page) -> None:
    two_workers(service, "locked")
    page.open("locked", task="worker-0", pane="worker-1|||")
    page.until(lambda: rows_of(page, 1), "no second pane")
    page.click(in_pane(0, ".pane-view"))
    page.press(Keys.HOME)
    until_first(page, 0, 1)
    assert rows_of(page, 1)[-1]["n"] == 1000
    page.click(".log-tools .toggle:nth-of-type(3)")
    page.click(in_pane(0, ".pane-view"))
    page.press("j")
    until_first(page, 1, 1)
    for _ in range(30):
        page.press(Keys.PAGE_DOWN)
        if rows_of(page, 0)[0]["n"] > 200:
            break
    page.until(lambda: rows_of(page, 1)[0]["n"] in (201, 401), "the other did not come along")
    page.press("G")
    page.until(lambda: rows_of(page, 1)[-1]["n"] == 1000, "the other does not follow")


def test_jump_to_a_time_a_share_and_lines(service: Service, page: Page) -> None:
    two_workers(service, "jump-time")
    page.open("jump-time")
    page.until_last("0: 1000")
    stream = service.call("GET", "/jobs/jump-time/streams")["streams"][0]["id"]
    at = service.call("GET", f"/streams/{stream}/lines", **{"from": 601, "limit": 1})["lines"][0]["received_at"]
    local = page.run(LOCAL_CLOCK, at)
    jump(page, local)
    page.until_row(601, "is-selected")
    jump(page, "50%")
    page.until(lambda: page.place().get("line") == "501", "half of it is elsewhere")
    jump(page, "42-44")
    until_marked(page, 0, "is-selected", [42, 43, 44])
    assert page.place()["line"] == "42-44"
    jump(page, "-1h")
    page.until_row(1, "is-selected")
    jump(page, "+1d")
    page.until_row(1000, "is-selected")
    jump(page, "somewhere")
    page.see("Neither a line nor a time", ".jump")
    page.one("#jump-line").send_keys(Keys.ESCAPE)
    page.until(lambda: not page.all(".jump .search-error"), "the complaint stayed")
    type_keys(page, "k")
    page.until(lambda: rows_of(page, 0)[-1]["n"] <= 1000, "keys are dead")


def test_a_narrow_pane_says_whole_how_it_is_followed(service: Service, page: Page) -> None:
    two_workers(service, "narrow")
    for panes in (2, 4):
        beside = [("pane", f"worker-{at % 2}|||") for at in range(1, panes)]
        page.open("narrow", task="worker-0")
        page.run("location.hash += arguments[0]", "&" + urlencode(beside))
        page.until(lambda panes=panes: len(page.all(".connection-live")) == panes, "not all follow")  # type: ignore[misc]
        cut = """
        return [...document.querySelectorAll('.connection-words')]
          .filter((words) => words.scrollWidth > words.clientWidth).map((words) => words.textContent)
        """
        assert page.run(cut) == []
        for name, words in ((".log-plain", "Full text"), (".log-raw", "Download")):
            link = page.one(f".log-foot > {name}")
            assert link.accessible_name == words
            assert link.size["width"] < 40, "words take the room of the state"
            assert page.one(f".log-foot > {name} .icon").is_displayed()
