"""The log pane in a real browser: opens at the end, follows, stays where the reader is, shows text as text."""

from __future__ import annotations

from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from .conftest import Page, Service

pytestmark = pytest.mark.browser

REAL = Path(__file__).parent.parent / "samples" / "real"


def a_log(first: int, last: int) -> str:
    return "".join(f"line {n}\n" for n in range(first, last + 1))


def test_log_opens_at_its_end(service: Service, page: Page) -> None:
    service.append("end", a_log(1, 5000))
    page.open("end")

    page.until_last("line 5000")
    assert page.numbers() == list(range(5001 - len(page.numbers()), 5001))
    page.see("of 5,000", ".log-position")


def test_lines_appear_live_each_once(service: Service, page: Page) -> None:
    service.append("live", a_log(1, 3))
    page.open("live")
    page.until_last("line 3")

    service.append("live", a_log(4, 10))

    page.until_last("line 10")
    assert [row["text"] for row in page.rows()] == [f"line {n}" for n in range(1, 11)]
    page.see("Following live", ".log-foot")


def test_unfinished_line_is_shown_and_replaced(service: Service, page: Page) -> None:
    service.append("partial", "one\nepoch 1 …")
    page.open("partial")
    page.until_last("epoch 1 …")

    service.append("partial", " loss 0.5")
    page.until_last("epoch 1 … loss 0.5")

    service.append("partial", "\nthree\n")
    page.until_last("three")
    assert [row["text"] for row in page.rows()] == ["one", "epoch 1 … loss 0.5", "three"]


def test_scrolling_up_stops_following_until_asked(service: Service, page: Page) -> None:
    service.append("hold", a_log(1, 500))
    page.open("hold")
    page.until_last("line 500")

    page.press(Keys.PAGE_UP)
    page.see("follow paused", ".log-foot")
    before = page.numbers()
    service.append("hold", a_log(501, 503))
    page.see("3 new lines", ".to-end")
    assert page.numbers() == before

    page.click(".to-end")
    page.until_last("line 503")
    service.append("hold", a_log(504, 504))
    page.until_last("line 504")


def test_lost_connections_lose_and_repeat_nothing(service: Service, page: Page) -> None:
    service.append("cut", a_log(1, 2))
    page.open("cut")
    page.until_last("line 2")

    for n in range(3, 9):
        page.cut_sockets()
        service.append("cut", a_log(n, n))
        page.until_last(f"line {n}")

    assert [row["text"] for row in page.rows()] == [f"line {n}" for n in range(1, 9)]
    assert page.run("return window.sockets.length") > 3


def test_system_lines_are_hidden_and_the_choice_is_kept(service: Service, page: Page) -> None:
    service.append("nerf", (REAL / "nerf.log").read_bytes(), final=True)
    page.open("nerf")
    page.see("of 196", ".log-position")

    page.click("#hide-system")
    page.see("of 73", ".log-position")
    page.press(Keys.HOME)
    page.until(lambda: page.numbers() and not any("is-system" in row["classes"] for row in page.rows()), "still there")

    page.open("nerf")
    page.see("of 73", ".log-position")
    page.click("#hide-system")
    page.see("of 196", ".log-position")


def test_hiding_system_lines_keeps_the_place(service: Service, page: Page) -> None:
    text = "".join(f"[ModelArts Service Log] {n}\n" if n % 3 == 0 else f"line {n}\n" for n in range(1, 3001))
    service.append("place", text)
    page.open("place", line=2000, lines="all")
    row = page.until_row(2000, "is-selected")
    top = page.numbers()[0]

    page.click("#hide-system")
    page.see("of 2,000", ".log-position")
    page.until(lambda: row["n"] in page.numbers() and abs(page.numbers()[0] - top) <= 2, "the place was lost")
    page.until(lambda: all(row["text"].startswith("line") for row in page.rows()), "system lines stayed")

    page.click("#hide-system")
    page.see("of 3,000", ".log-position")
    page.until(lambda: row["n"] in page.numbers() and abs(page.numbers()[0] - top) <= 2, "the place was lost")


def test_link_to_a_line_opens_there_and_back_works(service: Service, page: Page) -> None:
    service.append("link", a_log(1, 3000))
    page.open("link", task="worker-0", line=1234)
    assert page.until_row(1234, "is-selected")["text"] == "line 1234"

    page.click("a[href*='line=1240']")
    page.until_row(1240, "is-selected")
    assert page.place()["line"] == "1240"

    page.press("g")
    page.browser.switch_to.active_element.send_keys("77", Keys.ENTER)
    page.until_row(77, "is-selected")

    page.browser.back()
    page.until_row(1240, "is-selected")
    page.browser.back()
    page.until_row(1234, "is-selected")
    page.browser.forward()
    page.until_row(1240, "is-selected")


def test_keys_reach_every_part(service: Service, page: Page) -> None:
    service.append("keys", a_log(1, 4000))
    page.open("keys")
    page.until_last("line 4000")

    page.press(Keys.HOME)
    page.until(lambda: page.numbers()[:1] == [1], "Home")
    page.press(Keys.PAGE_DOWN)
    page.until(lambda: 20 < page.numbers()[0] < 60, "a page down")
    at = page.numbers()[0]
    page.press("j", "j", "k")
    page.until(lambda: page.numbers()[0] == at + 1, "a line down")
    page.press("G")
    page.until_last("line 4000")


def test_long_lines_wrap_when_asked_and_the_end_stays(service: Service, page: Page) -> None:
    service.append("wrap", "".join(f"{n} " + "word " * 200 + "\n" for n in range(1, 301)))
    page.open("wrap")
    page.until(lambda: page.numbers()[-1:] == [300], "not at the end")

    page.press("w")
    page.until(lambda: page.numbers()[-1:] == [300] and len(page.numbers()) < 15, "not wrapped")
    page.press(*[Keys.PAGE_UP] * 5)
    page.until(lambda: page.numbers()[-1] < 290, "not scrolled")
    page.press(*[Keys.PAGE_DOWN] * 8)
    page.until(lambda: page.numbers()[-1:] == [300], "not back at the end")
    page.press("w")


def test_older_generation_leads_to_the_newer(service: Service, page: Page) -> None:
    service.append("gen", "old\n", final=True)
    service.append("gen", "new\n", generation=1)
    page.open("gen", task="worker-0", gen=0)
    page.until_last("old")

    page.click(".connection-next")

    page.until_last("new")
    assert page.place()["gen"] == "1"
