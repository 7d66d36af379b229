"""The viewer where there is no internet: it asks nobody but its service, and its policy holds on every page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from selenium.webdriver import Chrome

from .conftest import Page, Service, a_browser
from .walk import JOB, STATES, fill, job_page

pytestmark = pytest.mark.browser

INSIDE = ("data:", "blob:", "about:", "chrome:", "chrome-extension:")
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
    "require-trusted-types-for": "'script'",
    "trusted-types": "'none'",
}


@pytest.fixture(scope="module")
def listening() -> Iterator[Chrome]:
    """A browser that tells each request it makes, even of what it did not get."""
    with a_browser(performance="ALL") as chrome:
        yield chrome


@pytest.fixture
def page(listening: Chrome, service: Service) -> Page:
    listening.execute_cdp_cmd("Network.clearBrowserCookies", {})
    listening.get_log("performance")
    return Page(listening, service)


def events(browser: Chrome) -> list[dict[str, Any]]:
    """What the network has told since last asked."""
    told = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [one for one in told if one["method"].startswith("Network.")]


def asked(found: list[dict[str, Any]]) -> list[str]:
    requests = [one["params"]["request"]["url"] for one in found if one["method"] == "Network.requestWillBeSent"]
    return requests + [one["params"]["url"] for one in found if one["method"] == "Network.webSocketCreated"]


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_each_page_asks_its_own_service_only(service: Service, page: Page, state: Any) -> None:
    fill(service)
    state(page)
    found = events(page.browser)
    hosts = {urlsplit(url).netloc for url in asked(found) if not url.startswith(INSIDE)}
    assert hosts == {urlsplit(service.url).netloc}
    assert page.run("return window.violations") == []
    documents = [one["params"]["response"] for one in found if one["method"] == "Network.responseReceived"]
    pages = [one for one in documents if one["mimeType"] == "text/html"]
    assert pages
    for one in pages:
        headers = {name.lower(): value for name, value in one["headers"].items()}
        policy = dict(part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";"))
        assert {name: policy.get(name) for name in POLICY} == POLICY, one["url"]
        assert "unsafe" not in headers["content-security-policy"]


def test_the_description_of_the_api_asks_nobody_either(service: Service, page: Page) -> None:
    page.open()
    events(page.browser)
    page.browser.get(f"{service.url}/docs")
    page.one(".opblock")
    hosts = {urlsplit(url).netloc for url in asked(events(page.browser)) if not url.startswith(INSIDE)}
    assert hosts == {urlsplit(service.url).netloc}


def test_a_request_elsewhere_is_noticed_and_forbidden(service: Service, page: Page) -> None:
    """That the tests above can fail: the policy stops it, the browser tells of it."""
    page.open()
    page.run(
        "fetch('https://elsewhere.example/x').catch(() => {}); new Image().src = 'https://elsewhere.example/y.png'"
    )
    page.until(lambda: len(page.run("return window.violations")) == 2, "nothing was forbidden")


def test_html_cannot_be_written(service: Service, page: Page) -> None:
    fill(service)
    job_page(page)
    refused = page.run("try { document.body.innerHTML = '<b>x</b>' } catch (error) { return error.name }")
    assert refused == "TypeError"


def test_a_second_visit_loads_no_file(service: Service, page: Page) -> None:
    fill(service)
    job_page(page)
    events(page.browser)
    page.browser.get("about:blank")
    page.browser.get(f"{service.url}/#job={JOB}")
    page.until(lambda: page.rows(), "nothing is shown")
    found = events(page.browser)
    loaded = {one["params"]["requestId"] for one in found if one["method"] == "Network.requestServedFromCache"}
    sent = [one["params"] for one in found if one["method"] == "Network.requestWillBeSent"]
    files = [one for one in sent if "/static/" in one["request"]["url"]]
    assert len(files) > 30
    assert [one["request"]["url"] for one in files if one["requestId"] not in loaded] == []
