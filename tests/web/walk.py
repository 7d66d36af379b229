"""Every page of the viewer and every state that is a view of its own: what all of them must keep is tested on each."""

from __future__ import annotations

import time
from collections.abc import Callable

from selenium.webdriver.common.keys import Keys

from .cards import MINUTE, rfc3339, send, train
from .conftest import Page, Service

JOB = "walk"
CARDS = "walk-cards"
LAST = "2026-11-24 12:05:01 ERROR RuntimeError: out of memory"
LINES = "".join(
    [
        "[ModelArts Service Log] 2026-11-24 12:00:00 start\n",
        *(f"2026-11-24 12:00:0{n % 10} INFO epoch {n} loss 0.{n}\n" for n in range(300)),
        "2026-11-24 12:05:00 WARNING loss is nan\n",
        "\x1b[31m2026-11-24 12:05:01 ERROR\x1b[0m \x1b[1;33mRuntimeError\x1b[0m: out of memory\n",
    ]
)


def fill(service: Service) -> None:
    """The job that the walk goes through; may be called again."""
    if service.sent.get((JOB, f"modelarts-job-{JOB}-worker-0.log", 0)):
        return
    root = f"modelarts-job-{JOB}"
    for task in ("worker-0", "worker-1"):
        service.append(JOB, LINES, task=task)
    service.append(JOB, LINES, path=f"{root}-proc-rank-0-device-0.txt")
    service.append(JOB, "plog\n", path=f"{root}/ascend/process_log/rank_0/plog/plog-1_20220718191843620.log")
    service.append(JOB, "again\n", generation=1)
    service.describe(
        JOB, name="resnet50 训练", owner="zhang", status="failed", algorithm="resnet", resource_pool="pool-1"
    )
    fill_cards(service)


def fill_cards(service: Service) -> None:
    """A job whose cards stood still for a while, one of them always; and whose second node could not be read."""
    start = time.time() - 60 * MINUTE

    def use(worker: int, card: int, minute: float) -> float:
        return 0.0 if card or 20 <= minute < 40 else 90.0

    send(service, CARDS, "worker-1", samplers=[{"name": "npu-smi", "state": "hung"}])
    service.append(CARDS, LINES)
    train(service, CARDS, use, start=start, minutes=60, cards=2, name="resnet50 训练", owner="zhang")
    service.describe(CARDS, status="failed", ended_at=rfc3339(start + 60 * MINUTE))


def stream_id(service: Service) -> str:
    return str(service.call("GET", f"/jobs/{JOB}/streams")["streams"][0]["id"])


def job_list(page: Page) -> None:
    page.open(find=JOB)  # whatever jobs of other tests are called
    page.one(".jobs-table")


def job_list_nothing_found(page: Page) -> None:
    page.open(name="nothing-has-this-name")
    page.one(".notice")


def job_page(page: Page) -> None:
    page.open(JOB, task="worker-1")
    page.until_last(LAST)


def old_generation_times_wrap(page: Page) -> None:
    page.open(JOB, task="worker-0", line=3)
    page.until_row(3, "is-selected")
    page.press("w")


def several_panes(page: Page) -> None:
    page.open(JOB, task="worker-1", pane=f"worker-0|modelarts-job-{JOB}-proc-rank-0-device-0.txt||")
    page.until(lambda: len(page.all(".job-panes .pane-rows > .row")) > 10, "there are no two panes")


def chart_and_findings(page: Page) -> None:
    page.open(CARDS, readings="utilization,memory,power,temperature", cards="worker-0/1")
    page.until(lambda: page.all(".job > .findings .flag"), "nothing is found")
    if not page.all(".chart"):  # on a phone the log comes first
        page.click(".job-use")
    page.until(lambda: page.all(".u-over"), "no chart was drawn")
    page.click(".chart-tools button:last-child")
    page.click(".chart-watch summary")
    page.run("for (const details of document.querySelectorAll('details.finding-advice')) details.open = true")
    page.run("document.querySelector('.chart-plots').focus()")
    page.one(".chart-plots").send_keys(Keys.HOME, Keys.ARROW_RIGHT)


def chart_without_readings(page: Page) -> None:
    page.open(JOB, task="worker-1")
    page.click(".job-use")
    page.until(lambda: page.all(".chart-note"), "it does not say why there is nothing")


def search_with_hits(page: Page) -> None:
    page.open(JOB, task="worker-1", q="loss", hits=1)
    page.until(lambda: page.all(".pane-rows mark"), "nothing is found")


def search_that_fails(page: Page) -> None:
    page.open(JOB, task="worker-1", q="(", regex=1)
    page.until(lambda: page.all("[aria-invalid='true']"), "the pattern is not refused")


def help_dialog(page: Page) -> None:
    job_page(page)
    page.press("?")
    page.one("dialog .keys")


def download_dialog(page: Page) -> None:
    job_page(page)
    page.click(".job-download")
    page.click(".download-files")
    page.one(".download-streams")


def no_such_job(page: Page) -> None:
    page.open("nowhere")
    page.one(".notice")


def login(page: Page) -> None:
    page.browser.delete_all_cookies()
    page.browser.get("about:blank")
    page.browser.get(page.service.url)
    page.one("#token")


def plain_page(page: Page) -> None:
    page.open()
    page.browser.get(f"{page.service.url}/plain/{stream_id(page.service)}")
    page.one("footer")


def error_page(page: Page) -> None:
    page.open()
    page.browser.get(f"{page.service.url}/plain/none")
    page.one(".notice")


STATES: tuple[Callable[[Page], None], ...] = (
    job_list,
    job_list_nothing_found,
    job_page,
    old_generation_times_wrap,
    several_panes,
    chart_and_findings,
    chart_without_readings,
    search_with_hits,
    search_that_fails,
    help_dialog,
    download_dialog,
    no_such_job,
    login,
    plain_page,
    error_page,
)
