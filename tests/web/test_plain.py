"""Full text of a log on one page, errors as pages, in a real browser."""

from __future__ import annotations

import gzip
import urllib.error
import urllib.request

import pytest
from selenium.webdriver.common.by import By

from .conftest import Page, Service, speak

pytestmark = pytest.mark.browser

TEXT = (
    "\n训练开始 <b>bold?</b> &amp; <script>window.ran = 1</script>\n 10%\r 20%\r100%\n1/2\b\b\b2/2\n".encode()
    + b"\x1b[31mred\x1b[0m\0nul\nbad \xff\xfe bytes\r\n"
)
SHOWN = (
    "\n训练开始 <b>bold?</b> &amp; <script>window.ran = 1</script>\n 10%\n 20%\n100%\n1/2\n2/2\nred␀nul\nbad �� bytes\n"
)
BLOCK_LINES = 200


def stream_of(service: Service, job: str) -> str:
    return str(service.call("GET", f"/jobs/{job}/streams")["streams"][0]["id"])


def open_plain(page: Page, stream: str, query: str = "") -> None:
    """The page itself, in a browser that is logged in."""
    page.open()
    page.browser.get(f"{page.service.url}/plain/{stream}{query}")


def text(page: Page) -> str:
    return str(page.run("return [...document.querySelectorAll('pre')].map((block) => block.textContent).join('')"))


def test_the_whole_log_is_on_the_page_as_text(service: Service, page: Page) -> None:
    numbers = "".join(f"line {n}\n" for n in range(1, 1001))
    service.append("plain", TEXT + numbers.encode())
    service.describe("plain", name="resnet50 训练")
    open_plain(page, stream_of(service, "plain"))

    page.until(lambda: page.all("footer"), "the page never ended")
    assert text(page) == SHOWN + numbers
    assert page.browser.title == "resnet50 训练 · worker-0 · modelarts-job-plain-worker-0.log"
    assert page.run("return [window.ran, window.violations]") == [None, []]
    assert page.run("return window.find('line 777')")  # the browser's own search, far below the screen
    assert page.run("return getSelection().anchorNode.parentNode.getBoundingClientRect().top < innerHeight")
    lines = page.run(
        "return [...document.querySelectorAll('pre')].map((block) => block.textContent.split('\\n').length)"
    )
    assert len(lines) > 4 and max(lines) <= BLOCK_LINES + 1


def test_it_opens_from_the_log_and_leads_back(service: Service, page: Page) -> None:
    path = "modelarts-job-plain-way/other/worker-0/notes/a b.txt"
    service.append("plain-way", "worker\n")
    service.append("plain-way", "notes\n", path=path)
    page.open("plain-way", task="worker-0", file=path)
    page.until_last("notes")

    link = page.one(".log-plain")
    assert link.get_attribute("target") == "_blank"
    page.browser.get(str(link.get_attribute("href")))
    assert text(page) == "notes\n"
    page.browser.find_element(By.LINK_TEXT, "Open in the viewer").click()
    page.until_last("notes")
    assert page.place()["file"] == path


@pytest.mark.slow
def test_more_than_500_mb_are_asked_about_first(service: Service, page: Page) -> None:
    line = b"step 000001 loss 0.5, some training text that is long enough to matter here, really\n"
    part = line * ((60 << 20) // len(line))
    packed = gzip.compress(part, 1)
    for index in range(8):
        send_packed(service, "plain-big", packed, index * len(part))
    assert len(part) * 8 > 500_000_000
    stream = stream_of(service, "plain-big")

    open_plain(page, stream)
    assert page.all("pre") == []
    assert "This log has 480 MiB." in page.text("h1")
    links = {link.text: link.get_attribute("href") for link in page.all("nav a")}
    assert links["Open anyway"] == f"{service.url}/plain/{stream}?lang=en&open=1"
    assert links["Download instead"].endswith(f"/streams/{stream}/raw?download=1")
    request = urllib.request.Request(links["Open anyway"], headers={"Authorization": f"Bearer {service.token}"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert line in answer.read(1 << 20)
    page.browser.find_element(By.LINK_TEXT, "Search the whole log instead").click()
    page.until_last(line.decode().rstrip())

    # The same question where the link stands.
    page.click(".log-plain")
    page.see("This log has 480 MiB.", "dialog")
    page.click("dialog .big-search")
    page.until(lambda: page.run("return document.activeElement.className") == "search-input", "search has no focus")
    assert page.all("dialog") == []


def send_packed(service: Service, job: str, packed: bytes, offset: int) -> None:
    query = f"job={job}&task=worker-0&path=modelarts-job-{job}-worker-0.log&offset={offset}"
    headers = {"Authorization": f"Bearer {service.token}", "Content-Encoding": "gzip"}
    request = urllib.request.Request(f"{service.url}/api/v1/chunks?{query}", packed, headers, method="POST")
    with urllib.request.urlopen(request, timeout=60):
        pass


@pytest.mark.parametrize(
    ("languages", "words"), [("en-US,en", "There is nothing here."), ("zh-CN,zh", "这里没有内容。")]
)
@pytest.mark.parametrize("place", ["/plain/nowhere", "/no/such/page", "/api/v1/streams/nowhere/raw"])
def test_errors_are_pages_for_people(page: Page, place: str, languages: str, words: str) -> None:
    speak(page.browser, languages)
    page.open()
    page.browser.get(page.service.url + place)
    assert page.text("h1") == words
    page.browser.find_element(By.CSS_SELECTOR, "nav a").click()
    page.until(lambda: page.all(".jobs-table, .notice"), "no way back")


def test_without_a_login_the_page_says_so(page: Page) -> None:
    page.browser.get(f"{page.service.url}/plain/1")
    assert page.text("h1") == "Please log in."


def test_errors_stay_json_for_programs(service: Service) -> None:
    for accept in ("*/*", "application/json"):
        request = urllib.request.Request(f"{service.url}/plain/1", headers={"Accept": accept})
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request)
        assert (refused.value.code, refused.value.headers["Content-Type"]) == (401, "application/json")
