"""The list of jobs, a job's files, log-in and both languages, in a real browser."""

from __future__ import annotations

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from .conftest import Page, Service, speak

pytestmark = pytest.mark.browser


def test_jobs_are_listed_filtered_and_opened(service: Service, page: Page) -> None:
    service.append("list-a", "hello\n")
    service.describe("list-a", name="orchid resnet50 " + "very " * 40 + "long", owner="zhang", status="running")
    service.describe("list-b", name="orchid bert 预训练", status="failed")
    page.open(find="orchid")
    page.see("bert 预训练")
    assert page.run("return document.documentElement.scrollWidth <= innerWidth")

    Select(page.one("select[aria-label='Status']")).select_by_value("failed")
    page.until(lambda: "resnet50" not in page.text(".jobs-table"), "not filtered")
    Select(page.one("select[aria-label='Status']")).select_by_value("")
    page.one(".jobs-filter").send_keys(" resnet")
    page.until(lambda: "resnet50" in page.text("tbody") and "bert" not in page.text("tbody"), "not filtered by name")
    page.click(".jobs-name a")

    page.until_last("hello")
    assert page.place()["job"] == "list-a"
    page.browser.back()
    page.one(".jobs-table")


def test_no_job_tells_how_to_ship_the_first_log(browser: Chrome, fresh_service: Service) -> None:
    page = Page(browser, fresh_service)
    page.open()
    page.see("logsvc-collector run")
    page.see(fresh_service.url)

    fresh_service.append("first", "hello\n")
    page.one(".jobs-table")


def test_files_by_kind_and_task(service: Service, page: Page) -> None:
    root = "modelarts-job-files"
    service.append("files", "worker\n")
    service.append("files", "proc\n", path=f"{root}-proc-rank-0-device-0.txt")
    service.append("files", "plog\n", path=f"{root}/ascend/process_log/rank_0/plog/plog-1_20220718191843620.log")
    service.append("files", "other\n", path=f"{root}/other/worker-0/metrics/a.txt")
    page.open("files")
    page.until_last("worker")
    kinds = [kind.text for kind in page.all(".tree-kind")]
    assert kinds == ["Task log", "Processes", "Ascend host (plog)", "Other files"]

    page.click("a[title$='plog-1_20220718191843620.log']")
    page.until_last("plog")
    page.open("files", task="worker-0", file=f"{root}/other/worker-0/metrics/a.txt")
    page.until_last("other")


def test_missing_job_is_said_in_words(page: Page) -> None:
    page.open("nowhere")
    page.see("There is no job “nowhere”.")


def test_log_in_by_token_which_leaves_the_address(service: Service, page: Page) -> None:
    page.browser.get("about:blank")
    page.browser.get(service.url)
    page.one("#token").send_keys("wrong", Keys.ENTER)
    page.see("does not know this token")
    page.one("#token").send_keys(f"{service.url}/?token={service.token}", Keys.ENTER)
    page.until(lambda: page.all(".jobs-table, .notice"), "not logged in")
    assert "token" not in page.browser.current_url


def test_both_languages(service: Service, page: Page) -> None:
    service.append("words", "[ModelArts Service Log] a\n训练开始\n")
    speak(page.browser, "zh-CN,zh")
    page.open("words")
    page.see("隐藏系统日志")
    page.until_last("训练开始")
    assert page.run("return document.documentElement.lang") == "zh-CN"

    Select(page.one(".top-tools select")).select_by_value("en")
    page.see("Hide system lines")
    page.open("words")
    page.see("Hide system lines")


def test_colours_by_system_and_by_choice(page: Page) -> None:
    def theme() -> object:
        return page.run("return document.documentElement.dataset.theme")

    features = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", features)
    try:
        page.open()
        assert theme() == "dark"
        Select(page.all(".top-tools select")[1]).select_by_value("light")
        page.until(lambda: theme() == "light", "still dark")
    finally:
        page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_lost_network_is_said_and_the_page_stays(service: Service, page: Page) -> None:
    service.append("net", "still here\n")
    page.open("net")
    page.until_last("still here")

    def offline(yes: bool) -> None:
        rates = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        page.browser.execute_cdp_cmd("Network.emulateNetworkConditions", {"offline": yes, **rates})

    page.browser.execute_cdp_cmd("Network.enable", {})
    offline(True)
    try:
        page.see("The service does not answer", ".banner")
        assert page.last_row() == "still here"
    finally:
        offline(False)
    page.run("document.querySelector('.banner .button')?.click()")  # unless the page came back by itself
    page.until(lambda: not page.all(".banner"), "the banner stayed")
    page.until_last("still here")


def test_phone_width_is_usable(service: Service, page: Page) -> None:
    service.append("phone", "hello\n")
    page.run("localStorage.clear()")
    size = {"width": 390, "height": 780, "deviceScaleFactor": 1, "mobile": True}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        page.open("phone")
        page.until_last("hello")
        assert page.run("return document.documentElement.scrollWidth <= innerWidth")
        assert page.one(".pane-view").size["height"] > 250
    finally:
        page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_help_opens_and_closes(page: Page) -> None:
    page.open()
    page.press("?")
    page.see("Jump to a line", "dialog")
    page.press(Keys.ESCAPE)
    page.until(lambda: not page.all("dialog"), "it stays")
