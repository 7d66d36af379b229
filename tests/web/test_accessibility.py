"""Readers who do not see the page, or not well, or use no mouse: axe on each page, and what axe cannot know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.keys import Keys

from .conftest import Page, Service
from .walk import LAST, STATES, fill

pytestmark = pytest.mark.browser

AXE = (Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js").read_text()
RUN_AXE = """
const done = arguments[0]
const severe = ({ impact }) => ['serious', 'critical'].includes(impact)
const told = ({ id, impact, nodes }) =>
  nodes.map(({ html, failureSummary }) => `${id} (${impact}) ${html.slice(0, 200)} ${failureSummary.slice(0, 300)}`)
axe.run(document, { resultTypes: ['violations'] })
  .then(({ violations }) => done(violations.filter(severe).flatMap(told)), (error) => done([String(error)]))
"""
AREAS = ["", "top", "job-head", "findings", "chart", "tree", "log-head", "log-body", "log-foot"]
# What has the focus: its name, whether that can be seen, and in which part of the page it stands.
STOP = """
const node = document.activeElement
if (node === document.body) return null
const style = getComputedStyle(node)
const box = node.closest('.search') ?? node
const name = node.getAttribute('aria-label') || node.labels?.[0]?.textContent || node.textContent || node.title
const parts = ['top', 'job-head', 'findings', 'chart', 'tree', 'log-head', 'log-body', 'log-foot']
return {
  name: name.trim(),
  seen: style.outlineStyle !== 'none' || style.boxShadow !== 'none' || getComputedStyle(box).boxShadow !== 'none',
  area: parts.find((part) => node.closest(`.${part}`)) ?? '',
}
"""


def faults(page: Page) -> list[str]:
    """What axe calls serious or critical."""
    if not page.run("return Boolean(window.axe)"):
        page.run(AXE)
    found: Any = page.browser.execute_async_script(RUN_AXE)
    return list(found)


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_axe_finds_no_serious_fault(service: Service, page: Page, state: Any) -> None:
    fill(service)
    try:
        wear(page.browser, "light")
        state(page)
        for theme in ("light", "dark"):  # the page follows the system at once
            wear(page.browser, theme)
            page.until(lambda: page.all(f"[data-theme='{theme}']"), f"not {theme}")  # noqa: B023
            assert (theme, faults(page)) == (theme, [])
    finally:
        wear(page.browser, "")


def test_axe_finds_faults_where_there_are_some(page: Page) -> None:
    page.open(find="walk")
    page.run("document.body.append(document.createElement('button'))")
    assert [fault.split()[0] for fault in faults(page)] == ["button-name"]


def wear(browser: Chrome, theme: str) -> None:
    """The colours that the system has."""
    features = [{"name": "prefers-color-scheme", "value": theme}] if theme else []
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def test_new_lines_are_told_now_and_then_to_those_who_hear_the_page(service: Service, page: Page) -> None:
    service.append("heard", "epoch 1\n")
    page.open("heard")
    page.until_last("epoch 1")
    assert page.one(".pane-view").get_attribute("role") == "log"
    assert page.one(".pane-view").get_attribute("aria-live") == "off", "each line for itself would be a flood"
    assert page.one(".log-news").get_attribute("role") == "status"

    page.until(lambda: page.all(".connection-live"), "not following")
    service.append("heard", "".join(f"epoch {n}\n" for n in range(36)) + "RuntimeError: out of memory\n")
    page.see("37 new lines, 1 error", ".log-news")
    service.append("heard", "one more\n")
    page.until(lambda: page.text(".log-news") == "1 new line", "the next one was not told")


def test_search_results_are_told(service: Service, page: Page) -> None:
    fill(service)
    page.open("walk", task="worker-1")
    assert page.one("#search-state").tag_name == "output"  # a polite live region
    page.search("RuntimeError")
    page.see("1", "#search-state")


@pytest.mark.parametrize("opener", [".job-download", ".top-tools button"])
def test_a_dialog_keeps_the_focus_and_gives_it_back(service: Service, page: Page, opener: str) -> None:
    fill(service)
    page.open("walk", task="worker-1")
    page.until_last(LAST)
    page.one(opener).send_keys(Keys.ENTER)
    page.until(lambda: page.run("return document.activeElement.closest('dialog') !== null"), "the focus is elsewhere")
    inside = "return document.activeElement === document.body || document.activeElement.closest('dialog') !== null"
    for _ in range(12):
        ActionChains(page.browser).send_keys(Keys.TAB).perform()
        assert page.run(inside)
    ActionChains(page.browser).send_keys(Keys.ESCAPE).perform()
    page.until(lambda: not page.all("dialog"), "it is still open")
    assert page.run("return document.activeElement.matches(arguments[0])", opener)


def test_keys_reach_every_control_in_reading_order_and_the_focus_is_seen(service: Service, page: Page) -> None:
    fill(service)
    page.open("walk", task="worker-1")
    page.until_last(LAST)
    stops = []
    for _ in range(60):
        ActionChains(page.browser).send_keys(Keys.TAB).perform()
        stop = page.run(STOP)
        if stop is None:
            break
        stops.append(stop)
    assert "Skip to the content" in stops[0]["name"]
    assert [stop for stop in stops if not stop["seen"]] == []
    assert [stop for stop in stops if not stop["name"]] == []
    areas = [stop["area"] for stop in stops]
    assert areas == sorted(areas, key=AREAS.index)
    assert {"top", "job-head", "tree", "log-head", "log-body", "log-foot"} <= set(areas)


def test_the_first_key_leads_past_the_controls(service: Service, page: Page) -> None:
    fill(service)
    page.open("walk", task="worker-1")
    page.until_last(LAST)
    ActionChains(page.browser).send_keys(Keys.TAB, Keys.ENTER).perform()
    assert page.run("return document.activeElement.className") == "pane-view"
    page.open()
    ActionChains(page.browser).send_keys(Keys.TAB, Keys.ENTER).perform()
    assert page.run("return document.activeElement.tagName") == "MAIN"
