"""How cards worked: in the list of jobs, and as a chart over the log, in a real browser on a real service."""

from __future__ import annotations

import math
import re
import time
from typing import Any

import pytest
from selenium.webdriver import ActionChains
from selenium.webdriver.common.keys import Keys

from .cards import MINUTE, readings, rfc3339, send, train
from .conftest import Page, Service
from .shipping import ship

pytestmark = pytest.mark.browser

CARDS, MANY, CPU, NONE, LIVE = (f"charted-{name}" for name in ("cards", "many", "cpu", "none", "live"))
HOURS = 2 * MINUTE
IDLE = (40.0, 60.0)  # minutes in which all cards stand still
LEGEND = """
return [...document.querySelectorAll('.legend-row')].map((row) => {
  const [now, mean] = [...row.querySelectorAll('.legend-value')].map((value) => value.textContent)
  const on = row.querySelector('.legend-name').getAttribute('aria-pressed')
  return { name: row.querySelector('.legend-words').textContent, now, mean, on }
})
"""
PAINTED = """
const canvas = document.querySelector('.u-wrap canvas')
const { data } = canvas.getContext('2d').getImageData(canvas.width * 0.2, 0, canvas.width * 0.6, canvas.height)
const colours = new Set()
for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 200) colours.add(`${data[i]},${data[i + 1]},${data[i + 2]}`)
return colours.size
"""
PLOT = ".u-over"


@pytest.fixture(scope="module")
def trained(service: Service) -> dict[str, float]:
    """When the jobs of this file began; their cards are read until now."""
    start = time.time() - HOURS * MINUTE

    def use(worker: int, card: int, minute: float) -> float:
        if IDLE[0] <= minute < IDLE[1]:
            return 0.0
        return 20.0 if (worker, card) == (1, 2) else 90.0 + card

    ended = {"status": "succeeded", "ended_at": rfc3339(start + HOURS * MINUTE)}
    train(service, CARDS, use, start=start, minutes=HOURS, workers=2, cards=4, accelerator="nvidia", **ended)
    service.append(CARDS, "".join(f"step {n}\n" for n in range(1, 101)))
    train(
        service,
        MANY,
        lambda worker, card, minute: 5.0 if worker == 33 else 80.0,
        start=start,
        minutes=HOURS,
        workers=40,
        every=10.0,
    )
    service.append(MANY, "many\n")
    service.describe(CPU, accelerator="none", created_at=rfc3339(start))
    service.append(CPU, "no card\n")
    service.append(NONE, "no reading\n")
    send(service, NONE, "worker-0", samplers=[{"name": "npu-smi", "state": "hung", "reason": "no answer for 5 s"}])
    return {"start": start}


def open_chart(page: Page, job: str, **place: object) -> None:
    page.open(job, **place)
    page.until(lambda: page.all(".pane-rows > .row"), "no log is shown")
    if not page.all(".chart"):
        page.click(".job-use")
    page.until(lambda: page.all(PLOT), "no chart was drawn")


def legend(page: Page) -> list[dict[str, str]]:
    return list(page.run(LEGEND))


def until_legend(page: Page, names: list[str]) -> None:
    page.until(lambda: [row["name"] for row in legend(page)] == names, f"the legend never was {names}")


def span(page: Page) -> tuple[str, str]:
    place = page.place()
    return place.get("from", ""), place.get("to", "")


def drag(page: Page, first: float, last: float) -> None:
    """From one share of the plot's width to another."""
    plot = page.one(PLOT)
    width = plot.size["width"]
    left, right = (round(width * (share - 0.5)) for share in (first, last))
    chain = ActionChains(page.browser, duration=20)
    chain.move_to_element_with_offset(plot, left, 0).click_and_hold().move_by_offset((right - left) // 2, 3)
    chain.move_by_offset(right - left - (right - left) // 2, 0).release().perform()


def test_list_shows_how_cards_worked_and_says_why_they_did_not(
    service: Service, page: Page, trained: dict[str, float]
) -> None:
    page.open(find="charted-")

    def cell(job: str) -> str:
        return page.text(f"tr[data-job='{job}'] .jobs-utilization")

    mean = sum(0.0 if IDLE[0] <= m < IDLE[1] else 91.5 for m in range(121)) / 121  # worker-0 alone
    page.until(lambda: f"{mean:.0f}%" in cell(CARDS), f"not {mean} but {cell(CARDS)!r}")
    spark = page.one(f"tr[data-job='{CARDS}'] svg.spark")
    assert spark.get_attribute("role") == "img"
    words = str(spark.get_attribute("aria-label"))
    assert re.fullmatch(r"Worker-0’s cards in the job’s last hour at most: \d+% to 92%, last 92%", words)
    assert len(str(page.one(f"tr[data-job='{CARDS}'] .spark-line").get_attribute("d"))) > 100
    assert (cell(CPU), cell(NONE)) == ("CPU job", "no data")


def test_each_card_has_its_line_its_last_reading_and_its_mean(
    service: Service, page: Page, trained: dict[str, float]
) -> None:
    open_chart(page, CARDS)
    until_legend(page, [f"worker-{worker}, card {card}" for worker in range(2) for card in range(4)])
    rows = {row["name"]: row for row in legend(page)}
    share = 101 / 121  # of the readings in which they worked
    for card in range(4):
        row = rows[f"worker-0, card {card}"]
        assert (row["now"], row["mean"]) == (f"{90 + card}%", f"{(90 + card) * share:.0f}%")
    assert rows["worker-1, card 2"]["mean"] == f"{20 * share:.0f}%"
    assert page.run(PAINTED) > 8, "nothing is painted"

    page.click(".legend-row:nth-child(7) .legend-name")
    page.until(lambda: page.place().get("cards") == "worker-1/2", "the choice is not in the address")
    assert [row["name"] for row in legend(page) if row["on"] == "true"] == ["worker-1, card 2"]
    page.click(".chart-readings button:nth-child(2)")  # memory too
    page.until(lambda: len(page.all(PLOT)) >= 2, "memory has no plot")
    assert page.place()["readings"] == "utilization,memory"
    names = "return [...document.querySelectorAll('.chart-name')].map((name) => name.textContent)"
    page.until(
        lambda: page.run(names) == ["Utilization", "Memory", "log lines/min"], f"the plots are called {page.run(names)}"
    )
    page.click(".chart-tools button:last-child")
    page.until(lambda: page.one(".chart-table").is_displayed(), "the table is not shown")
    cells = "return [...document.querySelectorAll('.chart-table tbody tr > *')].map((cell) => cell.textContent)"
    table = page.run(cells)
    assert table == ["worker-1, card 2", "0%", "20%", "20%", f"{20 * share:.0f}%"]
    assert page.run("return window.violations") == []


def test_a_span_that_is_dragged_over_is_shown_in_the_logs_and_stays_in_the_address(
    service: Service, page: Page
) -> None:
    job = "charted-drag"
    began = time.time()
    train(service, job, lambda *_: 50.0, start=began - 2, minutes=0.1, every=0.01, accelerator="nvidia")
    ship(service, job, "worker-0", "".join(f"early {n}\n" for n in range(1, 101)))
    ship(service, job, "worker-1", "other early\n")
    samples = 0
    while time.time() < began + 1.5:  # so much lies between the lines
        samples += 1
        send(service, job, "worker-0", samples=[readings(1, time.time(), 50.0)])
    ship(service, job, "worker-0", "".join(f"late {n}\n" for n in range(1, 101)))
    ship(service, job, "worker-1", "other late\n" * 60)
    service.describe(job, status="failed", ended_at=rfc3339(began + 8))  # a life of ten seconds
    own = service.call("GET", f"/jobs/{job}/streams")["streams"][0]["id"]
    times = [
        service.call("GET", f"/streams/{own}/lines", **{"from": n, "limit": 1})["lines"][0]["received_at"]
        for n in (100, 101)
    ]
    open_chart(page, job, task="worker-0", pane="worker-1|||")
    middle = sum(page.run("return arguments[0].map((time) => Date.parse(time))", times)) / 2000
    left, right = math.floor(began - 2), math.ceil(began + 8)  # parts of a second each
    drag(page, (middle - left) / (right - left), 0.8)
    page.until(lambda: span(page)[0], "the span is not in the address")
    first, last = page.run("return arguments[0].map((time) => Date.parse(time) / 1000)", list(span(page)))
    assert abs(first - middle) < 0.1
    assert abs(last - (left + 0.8 * (right - left))) < 0.1
    page.until(lambda: page.numbers()[:1] == [101], "the log does not begin with the span's first line")
    page.until(
        lambda: "late" in str(page.run("return document.querySelectorAll('.pane-view')[1].textContent")),
        "the other log did not come along",
    )
    zoomed = page.text(".chart-from-to")

    page.browser.refresh()
    page.until(lambda: page.all(PLOT), "no chart after a reload")
    page.until(lambda: page.numbers()[:1] == [101], "the link does not lead to the span")
    assert page.text(".chart-from-to") == zoomed
    ActionChains(page.browser).double_click(page.one(PLOT)).perform()
    page.until(lambda: span(page) == ("", ""), "a double click did not bring the whole job back")
    page.browser.back()
    page.until(lambda: span(page)[0] != "", "Back does not lead to the span")

    # a line chosen in a log stands on the chart
    page.click(".chart-whole")
    page.until(lambda: span(page) == ("", ""), "the whole job did not come back")
    page.run("document.querySelector('.pane-rows .row-number').click()")
    chosen = page.run(
        "return Number(document.querySelector('.pane-rows .row.is-selected .row-number')?.textContent ?? 0)"
    )
    assert page.place()["line"]
    page.until(lambda: page.all(".chart-moment"), f"line {chosen} does not stand on the chart")
    box = page.run("return document.querySelector('.u-over').getBoundingClientRect().toJSON()")
    line = page.run("return document.querySelector('.chart-moment').getBoundingClientRect().left")
    stands = page.run("return Date.parse(arguments[0]) / 1000", times[1 if int(page.place()["line"]) > 100 else 0])
    at = box["left"] + box["width"] * (stands - left) / (right - left)
    assert abs(line - at) < 3
    page.browser.refresh()  # a link to a line
    page.until(lambda: page.all(".chart-moment"), "the line of a link does not stand on the chart")
    assert abs(page.run("return document.querySelector('.chart-moment').getBoundingClientRect().left") - at) < 3


def test_a_click_shows_the_moment_in_the_log(service: Service, page: Page, trained: dict[str, float]) -> None:
    open_chart(page, CARDS)
    ActionChains(page.browser).move_to_element_with_offset(page.one(PLOT), 0, 0).click().perform()
    page.until_row(1, "is-at-time")  # all lines came after the job had ended
    assert page.all(".chart-moment")


def test_keys_move_mark_zoom_and_are_heard(service: Service, page: Page, trained: dict[str, float]) -> None:
    open_chart(page, CARDS, cards="worker-0/0,worker-1/2")
    until_legend(page, [f"worker-{worker}, card {card}" for worker in range(2) for card in range(4)])
    plots = page.one(".chart-plots")
    page.run("arguments[0].focus()", plots)
    plots.send_keys(Keys.HOME)

    def said() -> str:
        return str(plots.get_attribute("aria-valuetext"))

    assert re.search(r"\. worker-0, card 0 90%, worker-1, card 2 20%$", said()), said()
    most = int(str(plots.get_attribute("aria-valuemax")))
    plots.send_keys(Keys.END, *[Keys.PAGE_UP] * (most * 7 // 12 // 10))  # into the idle minutes
    page.until(lambda: said().endswith("worker-0, card 0 0%, worker-1, card 2 0%"), said())
    for _ in range(2):
        plots.send_keys(Keys.SHIFT + Keys.PAGE_UP)
    assert said().startswith("From ")
    assert page.one(".chart-stretch").is_displayed()
    plots.send_keys(Keys.ENTER)
    page.until(lambda: span(page)[0], "the marked span was not chosen")
    first, last = page.run("return arguments[0].map((time) => Date.parse(time) / 60000)", list(span(page)))
    plots.send_keys("-")
    page.until(
        lambda: page.run("return Date.parse(arguments[0]) / 60000", span(page)[0]) < first, "it did not become wider"
    )
    assert last - first < 120
    plots.send_keys(Keys.ESCAPE)
    page.until(lambda: span(page) == ("", ""), "Escape did not bring the whole job back")
    assert page.text(".pane-view"), "the log's own keys were meant"


def test_many_workers_are_lines_of_their_own_until_one_is_opened(
    service: Service, page: Page, trained: dict[str, float]
) -> None:
    open_chart(page, MANY)
    until_legend(page, [f"worker-{n}" for n in range(40)])
    page.click(".legend-mean")  # the idle ones first
    page.until(lambda: legend(page)[0]["name"] == "worker-33", "the lowest is not the first")
    assert legend(page)[0]["mean"] == "5%"
    page.one(".legend-filter").send_keys("33")
    until_legend(page, ["worker-33"])
    page.click(".legend-open")
    until_legend(page, ["card 0"])
    assert page.place()["cards"] == "worker-33/"
    page.click(".legend-head .button-link")
    page.until(lambda: "cards" not in page.place(), "there is no way back")
    page.one(".legend-filter").send_keys(Keys.CONTROL, "a")
    page.one(".legend-filter").send_keys(Keys.DELETE)
    page.until(lambda: len(legend(page)) == 40, "not all workers came back")


def test_where_there_are_no_readings_it_says_why(service: Service, page: Page, trained: dict[str, float]) -> None:
    page.open(NONE)
    page.see("no data", ".job-use")
    assert not page.all(".chart"), "an empty chart takes no room"
    page.click(".job-use")
    page.see("No reading of a card has come so far.", ".chart-notes")
    page.see("worker-0: npu-smi does not answer; its readings stop until it does.", ".chart-notes")
    page.see("no answer for 5 s", ".chart-notes")
    page.open(CPU)  # the choice was kept
    page.see("A CPU job: it has no cards.", ".chart-notes")
    page.click(".job-use")
    page.until(lambda: not page.all(".chart"), "it does not fold away")
    page.open(CARDS)
    page.until(lambda: page.all(".pane-rows > .row"), "no log is shown")
    assert not page.all(".chart"), "that it was folded away was forgotten"


def test_grafana_s_milliseconds_lead_to_the_same_span(service: Service, page: Page, trained: dict[str, float]) -> None:
    start = round(trained["start"])
    open_chart(page, CARDS, **{"from": (start + 600) * 1000, "to": (start + 1200) * 1000})
    page.until(lambda: page.all(".chart-whole"), "it is not enlarged")
    assert page.run("return Date.parse(arguments[0]) / 1000", span(page)[0]) == start + 600


def test_readings_come_in_while_the_job_runs_and_nothing_jumps(service: Service, page: Page) -> None:
    start = time.time() - 600
    train(service, LIVE, lambda *_: 40.0, start=start, minutes=9.5, every=0.5, accelerator="nvidia")
    ship(service, LIVE, "worker-0", "running\n")
    open_chart(page, LIVE)
    until_legend(page, ["card 0"])
    assert legend(page)[0]["now"] == "40%"
    height = page.one(".chart").size["height"]
    plots: Any = page.one(".u-wrap canvas")
    send(service, LIVE, "worker-0", samples=[readings(0, time.time(), 80.0)])
    page.until(lambda: legend(page)[0]["now"] == "80%", "the new reading never came")
    send(service, LIVE, "worker-0", samples=[readings(0, time.time() + 1, 60.0)])
    page.until(lambda: legend(page)[0]["now"] != "80%", "the one after it never came")
    assert page.one(".chart").size["height"] == height
    assert plots == page.one(".u-wrap canvas"), "it was built anew"

    drag(page, 0.2, 0.6)
    page.until(lambda: span(page)[0], "the span is not in the address")
    held = span(page), page.text(".chart-from-to")
    page.until(lambda: "40%" in legend(page)[0]["now"], "the span is not shown")
    assert (span(page), page.text(".chart-from-to")) == held
