"""The list of jobs in a real browser: filters, order, columns, live update, notices, keys."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from .conftest import Page, Service

pytestmark = pytest.mark.browser

FINDING = {
    "name": "low_utilization",
    "since": "2026-11-24T09:00:00Z",
    "reason": "The mean utilization was 12 %.",
    "advice": "Raise the batch size.",
}
# Answers about jobs say what monitoring will say one day.
MONITORED = """
const asked = window.fetch
window.fetch = async (...given) => {
  const answer = await asked(...given)
  if (!/\\/jobs(\\?|\\/flagged$)/.test(String(given[0]))) return answer
  const body = await answer.json()
  for (const job of body.jobs ?? [body]) {
    if (job.id !== 'flagged') continue
    Object.assign(job, { flags: ['low_utilization'], findings: [FINDING], mean_utilization_percent: 12.4 })
  }
  return new Response(JSON.stringify(body), { status: answer.status, headers: { 'Content-Type': 'application/json' } })
}
"""


def test_each_filter_of_the_manual_and_a_link_to_what_they_leave(service: Service, page: Page) -> None:
    common = {"owner": "zhao", "status": "running"}
    sides = {
        "one": {
            "type": "vision",
            "algorithm": "resnet",
            "resource_pool": "pool-a",
            "created_at": "2026-01-05T12:00:00Z",
        },
        "two": {"type": "text", "algorithm": "bert", "resource_pool": "pool-b", "created_at": "2026-02-05T12:00:00Z"},
    }
    for name, more in sides.items():
        service.describe(f"sieve-{name}", name=f"the {name} job", **{**common, **more})
    service.describe("sieve-two", status="failed")
    page.open(find="sieve-")
    until_listed(page, ["sieve-two", "sieve-one"])
    page.click(".jobs-more-filters")

    wanted = {
        "name": ("the one", "the two"),
        "id": ("SIEVE-ONE", "sieve-two"),
        "type": ("vision", "text"),
        "algorithm": ("res", "bert"),
        "resource_pool": ("pool-a", "pool-b"),
    }
    for name, (first, second) in wanted.items():
        for text, job in ((first, "sieve-one"), (second, "sieve-two")):
            replace(page, f"#jobs-{name}", text)
            until_listed(page, [job])
        replace(page, f"#jobs-{name}", "")
        until_listed(page, ["sieve-two", "sieve-one"])
    Select(page.one("#jobs-status")).select_by_value("failed")
    until_listed(page, ["sieve-two"])
    Select(page.one("#jobs-status")).select_by_value("")
    pick_day(page, "#jobs-created_after", "2026-02-05")
    until_listed(page, ["sieve-two"])
    pick_day(page, "#jobs-created_before", "2026-02-04")
    page.see("No job matches")
    pick_day(page, "#jobs-created_after", "")
    until_listed(page, ["sieve-one"])

    link = page.browser.current_url
    assert page.place() == {"find": "sieve-", "created_before": "2026-02-04"}
    page.browser.get("about:blank")
    page.browser.get(link)
    until_listed(page, ["sieve-one"])
    replace(page, "#jobs-name", "no such name")
    page.see("No job matches")
    page.click(".notice .button")
    page.until(lambda: len(listed(page)) > 1 and page.place() == {}, "the filters were not cleared")


def test_mine_and_all(service: Service, page: Page) -> None:
    service.append("whose-mine", "a\n")  # the token's owner
    service.describe("whose-other", owner="somebody else")
    page.open(find="whose-")
    until_listed(page, ["whose-other", "whose-mine"])
    page.click(".segment:last-child")
    until_listed(page, ["whose-mine"])
    assert page.place()["owner"] == "me"
    page.click(".segment:first-child")
    until_listed(page, ["whose-other", "whose-mine"])


def test_a_click_on_a_heading_sorts(service: Service, page: Page) -> None:
    for at, name in enumerate(("sort-b", "sort-c", "sort-a")):
        service.describe(name, name=name, created_at=f"2026-03-0{at + 1}T00:00:00Z")
    page.open(find="sort-")
    until_listed(page, ["sort-a", "sort-c", "sort-b"])
    assert page.one("th.jobs-created").get_attribute("aria-sort") == "descending"
    page.click("th.jobs-name .jobs-sort")
    until_listed(page, ["sort-a", "sort-b", "sort-c"])
    assert page.one("th.jobs-name").get_attribute("aria-sort") == "ascending"
    page.click("th.jobs-name .jobs-sort")
    until_listed(page, ["sort-c", "sort-b", "sort-a"])
    assert page.place()["sort"] == "-name"
    page.click("th.jobs-created .jobs-sort")
    until_listed(page, ["sort-a", "sort-c", "sort-b"])


def test_columns_are_chosen_and_kept(service: Service, page: Page) -> None:
    service.describe("broad-one", name="broad", algorithm="resnet", engine="MindSpore 2.3", task_count=16)
    page.open(find="broad-one")
    until_listed(page, ["broad-one"])
    assert "MindSpore" not in page.text("tbody")
    page.click(".menu summary")
    for name in ("engine", "algorithm", "tasks"):
        page.click(f"input[data-column='{name}']")
    page.click("input[data-column='owner']")
    type_keys(page, Keys.ESCAPE)
    page.until(lambda: not page.all(".menu[open]"), "the menu stayed open")
    page.browser.refresh()
    page.see("MindSpore 2.3", "tbody")
    names = [th.text for th in page.all("th")]
    assert [name for name in names if name in ("Algorithm", "Engine", "Nodes", "Created")] == [
        "Algorithm",
        "Engine",
        "Nodes",
        "Created",
    ]
    assert "Owner" not in names
    page.click(".menu summary")
    page.click(".menu-reset")
    page.until(lambda: "Owner" in page.text("thead") and "Engine" not in page.text("thead"), "not as usual again")


def test_the_list_lives_and_what_one_looks_at_stays(service: Service, page: Page) -> None:
    for at in range(40):
        service.describe(f"lively-{at:02}", name=f"job {at:02}", created_at=f"2026-04-01T00:00:{at:02}Z")
    page.open(find="lively-")
    page.until(lambda: len(listed(page)) == 40, "not all are listed")
    page.run("document.querySelector('.jobs-scroll').scrollTop = 400")
    page.run("document.querySelector('tr[data-job=lively-20] a').focus({ preventScroll: true })")
    before = top_of(page, "lively-20")

    service.describe("lively-20", status="failed")
    for at in range(3):
        service.describe(f"lively-new-{at}", name=f"new {at}")
    page.until(lambda: len(listed(page)) == 43, "new jobs never came")
    page.see("Failed", "tr[data-job=lively-20]")
    assert top_of(page, "lively-20") == pytest.approx(before, abs=1)
    assert page.run("return document.activeElement.closest('tr')?.dataset.job") == "lively-20"

    type_keys(page, Keys.ENTER)
    page.until(lambda: page.place().get("job") == "lively-20", "Enter did not open it")
    page.browser.back()
    page.until(lambda: len(listed(page)) == 43, "not listed again")
    assert top_of(page, "lively-20") == pytest.approx(before, abs=1)


def test_up_and_down_go_from_job_to_job(service: Service, page: Page) -> None:
    for at in range(3):
        service.append(f"step-{at}", f"in job {at}\n")
    page.open(find="step-", sort="id")
    until_listed(page, ["step-0", "step-1", "step-2"])
    type_keys(page, Keys.ARROW_DOWN, Keys.ARROW_DOWN, "j", "k", Keys.ENTER)
    page.until_last("in job 1")


def test_hundreds_of_jobs_come_while_one_scrolls(service: Service, page: Page) -> None:
    for at in range(230):
        service.describe(f"many-{at:03}", created_at=f"2026-05-01T00:{at // 60:02}:{at % 60:02}Z")
    page.open(find="many-")
    page.see("the first 100 jobs")
    assert len(listed(page)) == 100

    def scrolled() -> bool:
        page.run("const list = document.querySelector('.jobs-scroll'); list.scrollTop = list.scrollHeight")
        return len(listed(page)) == 230

    page.until(scrolled, "the rest never came")
    page.see("230 jobs")
    assert listed(page) == [f"many-{at:03}" for at in reversed(range(230))]
    service.describe("many-003", name="renamed")
    page.see("renamed", "tr[data-job=many-003]")
    assert len(listed(page)) == 230


def test_what_is_wrong_and_what_to_do_can_be_read(service: Service, page: Page) -> None:
    service.append("flagged", "a\n")
    with scripted(page, MONITORED.replace("FINDING", json.dumps(FINDING))):
        page.open(id="flagged")
        page.see("Low utilization", "td.jobs-flags")
        page.see("12%", "td.jobs-utilization")
        page.click(".flag-button")
        page.see("Raise the batch size.", ".jobs-findings")
        page.see("The mean utilization was 12 %.", ".jobs-findings")
        page.click("td.jobs-name a")
        page.see("Raise the batch size.", ".job > .findings")
        page.see("Utilization 12%", ".job-head")


def listed(page: Page) -> list[str]:
    return list(page.run("return [...document.querySelectorAll('tr[data-job]')].map((row) => row.dataset.job)"))


def until_listed(page: Page, jobs: list[str]) -> None:
    page.until(lambda: listed(page) == jobs, f"never listed {jobs}")


def top_of(page: Page, job: str) -> float:
    return float(
        page.run("return document.querySelector(`tr[data-job=${arguments[0]}]`).getBoundingClientRect().top", job)
    )


def replace(page: Page, selector: str, text: str) -> None:
    page.one(selector).send_keys(Keys.CONTROL, "a")
    page.one(selector).send_keys(text or Keys.DELETE)


def type_keys(page: Page, *keys: str) -> None:
    """Wherever the focus is."""
    ActionChains(page.browser).send_keys(*keys).perform()


def pick_day(page: Page, selector: str, day: str) -> None:
    """As the browser's own calendar does it."""
    page.run(
        "const field = document.querySelector(arguments[0]); field.value = arguments[1];"
        "field.dispatchEvent(new InputEvent('input', { bubbles: true }))",
        selector,
        day,
    )


@contextmanager
def scripted(page: Page, script: str) -> Iterator[None]:
    """Before each page's own scripts."""
    command = "Page.addScriptToEvaluateOnNewDocument"
    made = page.browser.execute_cdp_cmd(command, {"source": script})
    try:
        yield
    finally:
        page.browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", made)
