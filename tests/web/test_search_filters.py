"""What narrows a search down, and what the page says of a search, in a real browser."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from selenium.webdriver.common.keys import Keys

from .conftest import Page, Service
from .fleet import JOB, Logs, a_fleet, in_job, matching, oracle, see_summary

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def fleet(service: Service) -> Logs:
    return a_fleet(service)


def append_errors(service: Service, job: str) -> None:
    """Two errors, a warning, an ordinary line, in two logs."""
    service.append(job, "calm\nERROR: first\nWARNING: careful\n")
    service.append(job, "calm\nERROR: second\n", task="worker-1")


def test_errors_are_listed_without_a_text(page: Page, service: Service) -> None:
    append_errors(service, "alarms")
    page.open("alarms", scope="job", lines="all")
    page.until_last("WARNING: careful")
    page.click(".search-errors")
    see_summary(page, "2 matching lines in 2 of 2 logs of this job")
    page.see("only lines that look like errors", ".hits-summary")
    page.until(lambda: [row["text"] for row in matching(page)] == ["ERROR: first", "ERROR: second"], "not listed")
    assert page.place() | {"level": "error", "hits": "1"} == page.place()
    page.search("second")
    see_summary(page, "1 matching line in 1 of 2 logs of this job")
    page.click(".search-errors")
    see_summary(page, "1 matching line in 1 of 2 logs of this job")
    assert "level" not in page.place()


def choose(page: Page, menu: str, choice: str) -> None:
    """A box of a filter's menu."""
    page.until(
        lambda: page.run(
            """
            const menus = [...document.querySelectorAll('.hits-filter')]
            const menu = menus.find((one) => one.textContent.startsWith(arguments[0]))
            if (!menu) return false
            const details = menu.querySelector('details')
            details.open = true
            const box = [...menu.querySelectorAll('label')].find((one) => one.textContent.trim() === arguments[1])
            box?.querySelector('input').click()
            details.open = false
            return Boolean(box)
            """,
            menu,
            choice,
        ),
        f"{menu} has no {choice}",
    )


def test_filters_narrow_down_and_stand_in_the_address(page: Page, fleet: Logs) -> None:
    def expected(matches: Callable[[tuple[str, str]], bool]) -> str:
        chosen = {name: lines for name, lines in fleet.items() if matches(name)}
        return in_job(oracle(chosen, lambda line: "heron" in line))

    page.open(JOB, q="heron", scope="job", hits=1, lines="all")
    choose(page, "Task", "worker-3")
    see_summary(page, expected(lambda name: name[0] == "worker-3"))
    choose(page, "Task", "worker-30")
    see_summary(page, expected(lambda name: name[0] in ("worker-3", "worker-30")))
    choose(page, "Kind", "Ascend host (plog)")
    see_summary(page, expected(lambda name: name[0] in ("worker-3", "worker-30") and name[1] == "plog"))
    assert page.place() | {"tasks": "worker-3,worker-30", "kinds": "plog"} == page.place()
    page.browser.back()
    see_summary(page, expected(lambda name: name[0] in ("worker-3", "worker-30")))
    page.browser.back()
    see_summary(page, expected(lambda name: name[0] == "worker-3"))
    page.browser.back()
    see_summary(page, expected(lambda name: True))
    choose(page, "Rank", "30")
    ranked = {name: lines for name, lines in fleet.items() if name[0] == "worker-30" and name[1] != "ordinary"}
    see_summary(page, in_job(oracle(ranked, lambda line: "heron" in line, proc=True)))


def test_time_range_in_the_readers_zone(page: Page, service: Service) -> None:
    """Lines of two moments; the later ones are asked for by a line, a field, and a quick choice."""
    service.append("clock", "tick one\ntick two\n")
    stream = service.call("GET", "/jobs/clock/streams")["streams"][0]["id"]

    def last_moment() -> str:
        return str(service.call("GET", f"/streams/{stream}/lines", **{"from": -1})["lines"][0]["received_at"])

    first = last_moment()
    page.until(lambda: service.append("clock", "tock\n") or last_moment()[:19] > first[:19], "time stands still")
    tocks = service.call("GET", f"/streams/{stream}/lines")["total_lines"] - 2
    page.open("clock", q="tick", hits=1, line=tocks + 2, lines="all")
    see_summary(page, "2 matching lines in this log")

    menu = ".hits-filter:nth-of-type(1)"
    page.click(f"{menu} summary")
    page.click(f"{menu} .hits-quick button:nth-child(4)")
    see_summary(page, "No matches")
    since = page.place()["since"]
    assert since == last_moment()
    page.see("only lines received since 20", ".hits-summary")
    assert page.run("return document.querySelector('.hits-field input').value.length") >= len("2026-01-01T00:00")

    page.run(
        """
        const field = document.querySelectorAll('.hits-field input')[0]
        const at = Math.floor(Date.parse(arguments[0]) / 1000) * 1000
        field.valueAsNumber = at - new Date(at).getTimezoneOffset() * 60000
        field.dispatchEvent(new Event('change', { bubbles: true }))
        """,
        first,
    )
    see_summary(page, "2 matching lines in this log")
    assert page.place()["since"] == first[:19] + "Z"
    page.click(f"{menu} .hits-quick button:nth-child(1)")
    page.until(lambda: page.place()["since"] != first[:19] + "Z", "the quick choice does nothing")
    see_summary(page, "2 matching lines in this log")


def test_find_key_reaches_the_field_and_then_the_browser(page: Page, fleet: Logs) -> None:
    page.open(JOB)
    page.until(lambda: page.rows(), "no rows")
    pressed = """
    const event = new KeyboardEvent('keydown', { key: 'f', ctrlKey: true, bubbles: true, cancelable: true })
    document.activeElement.dispatchEvent(event)
    return [event.defaultPrevented, document.activeElement.className]
    """
    assert page.run(pressed) == [True, "search-input"]
    assert page.run(pressed) == [False, "search-input"]
    assert "Ctrl+F once more" in page.one(".search-input").get_attribute("title")


def test_a_busy_service_is_asked_again(page: Page, fleet: Logs) -> None:
    page.open(JOB, scope="job", hits=1, lines="all")
    page.until(lambda: page.rows(), "no rows")
    page.run(
        """
        const real = window.fetch
        window.refused = 0
        window.fetch = (url, options) => {
          if (String(url).includes('/search?') && String(url).includes('lost') && window.refused < 2) {
            window.refused += 1
            return Promise.resolve(Response.json({ error: { code: 'too_many_requests' } }, { status: 429 }))
          }
          return real(url, options)
        }
        """
    )
    page.search("heron lost")
    page.see("others are searching", ".hits-summary")
    see_summary(page, "4 matching lines in 4 of 200 logs of this job")
    assert page.run("return window.refused") == 2


def test_time_limit_is_said(page: Page, fleet: Logs) -> None:
    page.open(JOB, scope="job", hits=1, lines="all")
    page.until(lambda: page.rows(), "no rows")
    page.run(
        """
        const real = window.fetch
        window.fetch = async (url, options) => {
          const answer = await real(url, options)
          if (!String(url).includes('/search?')) return answer
          return Response.json({ ...(await answer.json()), exact: false })
        }
        """
    )
    page.search("heron lost")
    see_summary(page, "stopped at the time limit: at least 4 matching lines in 4 of 200 logs of this job")
    page.see_count("at least 4")


def test_hits_are_listed_while_they_are_counted(page: Page, fleet: Logs) -> None:
    page.open(JOB, scope="job", hits=1, lines="all")
    page.until(lambda: page.rows(), "no rows")
    page.run(
        """
        const real = window.fetch
        const counted = new Promise((resolve) => (window.count = resolve))
        window.fetch = async (url, options) => {
          if (String(url).includes('/search?') && String(url).includes('count=exact')) await counted
          return real(url, options)
        }
        """
    )
    page.search("heron lost")
    page.until(lambda: len(matching(page)) == 4, "nothing is listed before the count")
    see_summary(page, "searching…")
    page.run("window.count()")
    see_summary(page, "4 matching lines in 4 of 200 logs of this job")
    assert len(matching(page)) == 4


def test_what_is_typed_over_is_given_up(page: Page, fleet: Logs) -> None:
    page.open(JOB, scope="job", hits=1, lines="all")
    page.until(lambda: page.rows(), "no rows")
    page.run(
        """
        const real = window.fetch
        window.asked = []
        window.fetch = (url, options) => {
          const query = new URL(url).searchParams.get('q')
          if (!String(url).includes('/search?') || query === 'heron lost') return real(url, options)
          window.asked.push({ query, signal: options.signal })
          const { signal } = options
          return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
        }
        """
    )
    box = page.search("heron")
    page.until(lambda: page.run("return window.asked.some(({ query }) => query === 'heron')"), "never asked")
    box.send_keys(" lost")
    see_summary(page, "4 matching lines in 4 of 200 logs of this job")
    given_up = "return window.asked.every(({ signal }) => signal.aborted)"
    assert page.run(given_up)

    page.search("heron")
    page.until(lambda: not page.run(given_up), "never asked again")
    box.send_keys(Keys.ESCAPE)
    page.until(lambda: page.run(given_up), "a search that was cleared goes on")


def test_bad_pattern_is_said_in_the_list(page: Page, fleet: Logs) -> None:
    page.open(JOB, q="heron(", regex=1, scope="job", hits=1)
    page.see("Not a valid pattern", ".hits-summary")
    page.see("missing )", ".hits-summary")
    page.one(".search-input").send_keys(Keys.BACKSPACE)
    page.see("matching lines in", ".hits-summary strong")


def try_instead(page: Page, words: str) -> None:
    ways = "return [...document.querySelectorAll('.hits-none button')].find((one) => one.textContent === arguments[0])"
    page.until(lambda: page.run(ways, words), f"{words!r} is not offered").click()


def test_no_hit_says_what_else_to_try(page: Page, fleet: Logs) -> None:
    page.open(JOB, q="HERON LOST", hits=1, lines="all")
    see_summary(page, "No matches")
    try_instead(page, "Search the whole job")
    see_summary(page, "No matches · 200 logs searched")
    try_instead(page, "Ignore case")
    see_summary(page, "4 matching lines in 4 of 200 logs of this job")


def test_recent_searches_are_offered_and_stay_here(page: Page, fleet: Logs) -> None:
    page.open(JOB, lines="all")
    for text in ("heron", "step 7"):
        page.search(text).send_keys(Keys.ENTER)
        page.until(lambda: page.place().get("line"), "nothing is found")
        page.one(".search-input").send_keys(Keys.ESCAPE)
        page.until(lambda: "q" not in page.place(), "Esc does not clear")
    offered = "return [...document.querySelectorAll('#search-recent option')].map((one) => one.value)"
    page.until(lambda: page.run(offered) == ["step 7", "heron"], "not offered")
    assert json.loads(page.run("return localStorage.getItem('logsvc.searches')")) == ["step 7", "heron"]
