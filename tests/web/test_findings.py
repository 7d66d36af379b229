"""What is wrong with a job, on its page and in the list: in words of one's own language, with what shows it."""

from __future__ import annotations

import json
import time

import pytest

from .cards import MINUTE, train
from .conftest import Page, Service, speak
from .shipping import ship

pytestmark = pytest.mark.browser

WASTE, TOLD = "found-waste", "found-told"
MINUTES = 90
GAP = (30, 55)
STILL = {"io_still_seconds": 720, "cycles": 12, "variance": 0.25, "median_percent": 97}
# The answer about one job says what a monitor may say: lines of logs, a hang, and a rule that this page does not know.
SAYS = """
const asked = window.fetch
window.fetch = async (...given) => {
  const answer = await asked(...given)
  if (!/\\/jobs\\/found-told$/.test(String(given[0]))) return answer
  const body = Object.assign(await answer.json(), SAID)
  return new Response(JSON.stringify(body), { status: answer.status, headers: { 'Content-Type': 'application/json' } })
}
"""


@pytest.fixture(scope="module")
def wasted(service: Service) -> float:
    """When a job began of which one card worked and one did little, and both stood still for a while."""
    start = time.time() - MINUTES * MINUTE

    def use(worker: int, card: int, minute: float) -> float:
        return 0.0 if GAP[0] <= minute < GAP[1] else (95.0, 12.0)[card]

    train(service, WASTE, use, start=start, minutes=MINUTES, cards=2, every=0.5, accelerator="nvidia")
    ship(service, WASTE, "worker-0", "".join(f"step {n}\n" for n in range(1, 51)))
    service.describe(WASTE, status="failed")
    return start


def findings(page: Page) -> dict[str, str]:
    """Name -> all that is said."""
    script = """return [...document.querySelectorAll('.finding')].map((one) =>
        [one.querySelector('.flag').textContent, one.textContent.replace(/\\s+/g, ' ')])"""
    return dict(page.run(script))


def test_each_finding_has_its_numbers_whom_it_concerns_and_what_to_do(
    service: Service, page: Page, wasted: float
) -> None:
    page.open(WASTE)
    page.until(lambda: len(findings(page)) >= 3, f"only {list(findings(page))} was found")
    found = findings(page)
    idle = sum(GAP[0] <= n / 2 < GAP[1] for n in range(181))
    mean = (95 + 12) / 2 * (181 - idle) / 181
    shown = f"{int(mean * 100) / 100:g}"
    assert f"worked at {shown}% on average over 362 readings, below 50%." in found["Low utilization"]
    assert "Raise the batch size" in found["Low utilization"]
    assert "Cards: worker-0/1" in found["Uneven cards"]
    assert "worked at 12% on average, the others at 95%" in found["Uneven cards"]
    assert "all cards stayed below 5%" in found["Long idle gap"]
    assert "since" in found["Low utilization"]
    assert page.run("return window.violations") == []

    # a finding of a span leads there, on the chart and in the log
    page.until(lambda: page.all(".u-over"), "no chart was drawn")
    page.until(lambda: page.all(".chart-span"), "the gap does not stand on the chart")
    page.click(".finding-span button")
    page.until(lambda: page.place().get("from"), "the span is not in the address")
    place = page.place()
    first, last = page.run("return arguments[0].map((time) => Date.parse(time) / 1000)", [place["from"], place["to"]])
    assert first < wasted + GAP[0] * MINUTE < wasted + GAP[1] * MINUTE < last + MINUTE
    assert last - first < 2 * (GAP[1] - GAP[0]) * MINUTE
    raised = [str(mark.get_attribute("title")) for mark in page.all(".chart-event")]
    page.click(".chart-whole")
    page.until(lambda: page.all(".chart-event"), f"events do not stand on the whole chart, only {raised}")


def test_the_list_tells_them_in_chinese(service: Service, page: Page, wasted: float) -> None:
    speak(page.browser, "zh-CN,zh")
    page.open(find=WASTE)
    page.see("资源利用率低", "td.jobs-flags")
    page.see("条提示", "td.jobs-flags")
    page.click(".flag-button")
    page.until(lambda: len(findings(page)) >= 3, "they do not open")
    found = findings(page)
    assert "在 362 次读数中平均利用率为" in found["资源利用率低"]
    assert "增大 batch size" in found["资源利用率低"]
    assert "近期部分卡的平均利用率为 12%，其余为 95%。" in found["卡间不均"]
    assert "low_utilization" not in page.text(".jobs-table")


def test_lines_that_show_it_are_links_and_the_rest_is_told_as_the_service_says_it(service: Service, page: Page) -> None:
    for worker in range(2):
        ship(service, TOLD, f"worker-{worker}", "".join(f"{worker}: line {n}\n" for n in range(1, 301)))
    streams = {one["task"]: one["id"] for one in service.call("GET", f"/jobs/{TOLD}/streams")["streams"]}
    since = "2026-11-24T09:00:00Z"
    dips = {
        "name": "checkpoint_dips",
        "since": since,
        "reason": "",
        "advice": "",
        "numbers": {"dips": 3, "mean_dip_seconds": 90, "lost_percent": 11.5},
        "lines": [{"stream": streams["worker-1"], "n": 250}, {"stream": "gone", "n": 7}],
    }
    glows = {"name": "glowing", "since": since, "reason": "It glows.", "advice": "Cool it.", "numbers": {}}
    said = {
        "findings": [dips, glows],
        "utilization_state": "no_data",
        "hang": {"stage": 1, "since": since, **STILL},
        "events": [{"at": since, "name": "hung", "change": "cleared", "reason": ""}],
        "samplers": [],
    }
    source = SAYS.replace("SAID", json.dumps(said))
    patch = page.browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": source})["identifier"]
    try:
        page.open(TOLD)
        page.until(lambda: len(findings(page)) == 2, "they are not shown")
        found = findings(page)
        assert (
            "At 3 checkpoints the cards stood still for 90 sec on average: 11.5% of the time."
            in found["Dips at checkpoints"]
        )
        assert "It glows." in found["glowing"]
        assert "Cool it." in found["glowing"]
        assert [link.text for link in page.all(".finding-lines a")] == ["250"], "a log that is gone has no link"
        page.click(".finding-lines a")
        page.until_row(250, "is-selected")
        assert page.place()["task"] == "worker-1"

        page.click(".job-use")
        page.see("Stage 1 of 2: no process has read or written anything for 12 min.", ".chart-watch")
        page.see("12 cycles without any · variance 0.25 · median 97%", ".chart-watch")
        page.see("Hung: over at 2026-", ".chart-watch")
    finally:
        page.browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", {"identifier": patch})
