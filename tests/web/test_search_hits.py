"""Search over many logs in a real browser: what it counts and lists, against Python's own count."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from .conftest import Page, Service
from .fleet import JOB, Logs, a_fleet, hits, in_job, matching, oracle, path_of, see_summary, summary

pytestmark = pytest.mark.browser

SAMPLES = Path(__file__).parent.parent / "samples" / "real"
QUERIES: dict[str, tuple[dict[str, object], Callable[[str], object]]] = {
    "literal": ({"q": "heron"}, lambda line: "heron" in line),
    "ignore-case": ({"q": "heron", "case": 0}, lambda line: "heron" in line.lower()),
    "word": ({"q": "heron", "word": 1}, lambda line: re.search(r"(?<!\w)heron(?!\w)", line)),
    "regex": (
        {"q": r"heron(s_|, )|Heron l\w+$", "regex": 1},
        lambda line: re.search(r"heron(s_|, )|Heron l\w+$", line),
    ),
    "user": ({"q": "heron", "lines": "user"}, lambda line: "heron" in line and "[ModelArts" not in line),
    "errors": ({"level": "error"}, lambda line: line.startswith("[ERROR]")),
}


@pytest.fixture(scope="module")
def fleet(service: Service) -> Logs:
    return a_fleet(service)


def lines_of(text: str) -> list[str]:
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]


@pytest.mark.parametrize("name", QUERIES)
def test_whole_job_is_counted_and_said(page: Page, fleet: Logs, name: str) -> None:
    query, matches = QUERIES[name]
    page.open(JOB, **{"scope": "job", "hits": 1, "lines": "all", **query})
    see_summary(page, in_job(oracle(fleet, matches)))
    page.see("100 proc logs left out because their worker logs were searched", ".hits-summary")

    page.click(".hits-summary .button-link")
    see_summary(page, in_job(oracle(fleet, matches, proc=True)))
    assert page.place()["proc"] == "1"
    page.see("proc logs are searched too", ".hits-summary")


def test_list_has_every_hit_by_log_and_stays_light(page: Page, fleet: Logs) -> None:
    page.open(JOB, q="step", scope="job", hits=1, lines="all")
    total = oracle(fleet, lambda line: "step" in line)[0]
    see_summary(page, in_job(oracle(fleet, lambda line: "step" in line)))
    first = [n for n, line in enumerate(fleet["worker-0", "ordinary"], 1) if "step" in line]
    page.until(lambda: [row["n"] for row in matching(page)[:5]] == first[:5], "not the first hits of worker-0")
    assert matching(page)[0]["marks"] == ["step"]
    assert hits(page)[0]["total"] == f"{len(first)} matching lines"

    page.run("const list = document.querySelector('.hits-list'); list.scrollTop = list.scrollHeight")
    last = fleet["worker-99", "plog"]
    page.until(lambda: (rows := matching(page)) and rows[-1]["text"] == last[-1], "never came to the last hit")
    page.until(lambda: all(row["kind"] != "rest" for row in hits(page)), "hits on screen are not loaded")
    assert total > 5000
    assert page.run("return document.querySelectorAll('.hits-list *').length") < 400


def test_click_opens_the_log_on_the_line(page: Page, fleet: Logs) -> None:
    page.open(JOB, q="heron lost", scope="job", hits=1, lines="all")
    see_summary(page, "4 matching lines in 4 of 200 logs of this job")
    page.until(lambda: len(matching(page)) == 4, "not all are listed")
    page.run("[...document.querySelectorAll('.hits-row.is-hit')][2].click()")
    assert page.until_row(16, "is-current")["marks"] == ["heron lost"]
    assert page.place() | {"task": "worker-50", "line": "16", "scope": "job", "hits": "1"} == page.place()
    assert page.place()["file"] == path_of("plog", "worker-50")
    page.until(
        lambda: [row["current"] for row in matching(page)] == [False, False, True, False], "not shown in the list"
    )
    page.see_count("3 of 4")

    page.browser.back()
    page.until(lambda: page.place()["task"] == "worker-0", "Back does not lead back")
    assert len(matching(page)) == 4


def test_list_is_walked_by_keys(page: Page, fleet: Logs) -> None:
    page.open(JOB, q="heron lost", scope="job", hits=1, lines="all")
    page.until(lambda: len(matching(page)) == 4, "not all are listed")
    tree = page.one(".hits-list")
    tree.send_keys(Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    page.until(lambda: matching(page)[1]["active"], "the second hit is not active")
    tree.send_keys(Keys.ENTER)
    page.until(lambda: page.place().get("task") == "worker-25", "Enter opens nothing")
    page.until_row(16, "is-current")
    tree.send_keys(Keys.ARROW_UP, Keys.ARROW_LEFT)
    page.until(lambda: len(matching(page)) == 3, "the log's hits are not folded away")
    tree.send_keys(Keys.ARROW_RIGHT)
    page.until(lambda: len(matching(page)) == 4, "they do not come back")


def test_next_goes_on_into_the_next_log(page: Page, fleet: Logs) -> None:
    page.open(JOB, scope="job", lines="all")
    box = page.search("heron lost")
    page.see_count("4 matching lines")
    seen = []
    for _ in range(5):
        before = page.place().get("task"), page.place().get("line")
        box = page.one(".search-input")
        box.send_keys(Keys.ENTER)
        page.until(lambda before=before: (page.place()["task"], page.place().get("line")) != before, "nothing happened")
        page.until_row(16, "is-current")
        seen.append(page.place()["task"])
    assert seen == ["worker-0", "worker-25", "worker-50", "worker-75", "worker-0"]
    page.see_count("1 of 4")
    page.see("From the start again", ".search-notice")
    page.one(".search-input").send_keys(Keys.SHIFT, Keys.ENTER)
    page.until(lambda: page.place()["task"] == "worker-75", "not backwards")
    page.see_count("4 of 4")


def test_all_jobs_are_searched_from_the_list_of_jobs(page: Page, service: Service, fleet: Logs) -> None:
    service.append("pond", "a grebe\nno bird\n")
    service.append("lake", "water\ngrebe grebe\n", task="worker-3")
    service.describe("lake", name="a lake")
    page.open()
    page.search("grebe")
    page.click(".search-list")
    page.until(
        lambda: re.fullmatch(r"2 matching lines in 2 of [\d,]+ logs of all jobs", summary(page)),
        "not two lines in all jobs",
    )
    page.until(lambda: [row["text"] for row in matching(page)] == ["grebe grebe", "a grebe"], "not by newest job")
    page.until(lambda: "a lake" in hits(page)[0]["text"], "the job has no name")
    page.click('.hits-filters button[title^="Hide what the platform wrote"]')
    page.see("without system lines", ".hits-summary")
    assert page.place()["lines"] == "user"
    page.click(".hits-row.is-hit")
    page.until_row(2, "is-current")
    assert page.place() | {"job": "lake", "task": "worker-3", "q": "grebe", "scope": "all", "hits": "1"} == page.place()
    assert len(matching(page)) == 2
    page.one("body").send_keys("n")
    page.until(lambda: page.place()["job"] == "pond", "n does not go on in the next job")
    page.until_row(1, "is-current")


@pytest.fixture(scope="module")
def samples(service: Service) -> dict[str, list[str]]:
    """Lines of real logs."""
    texts = {}
    for name in ("maml", "nerf"):
        raw = (SAMPLES / f"{name}.log").read_bytes()
        service.append(f"sample-{name}", raw)
        texts[name] = lines_of(raw.decode(errors="replace"))
    return texts


@pytest.mark.parametrize("sample", ["maml", "nerf"])
@pytest.mark.parametrize(
    ("query", "pattern", "flags"),
    [
        ({"q": "code"}, r"code", 0),
        ({"q": "CODE", "case": 0}, r"code", re.IGNORECASE),
        ({"q": "code", "word": 1}, r"(?<![0-9A-Za-z_])code(?![0-9A-Za-z_])", 0),
        ({"q": r"\b\d+\.\d+(%|s)\b|^\s*$", "regex": 1}, r"\b\d+\.\d+(%|s)\b|^\s*$", re.ASCII),
    ],
)
def test_samples_are_counted_as_python_counts(
    page: Page, samples: dict[str, list[str]], sample: str, query: dict[str, object], pattern: str, flags: int
) -> None:
    lines = samples[sample]
    expected = [n for n, line in enumerate(lines, 1) if re.search(pattern, line, flags)]
    page.open(f"sample-{sample}", **{"hits": 1, "lines": "all", **query})
    words = "1 matching line" if len(expected) == 1 else f"{len(expected):,} matching lines"
    see_summary(page, f"{words} in this log")
    page.until(lambda: [row["n"] for row in matching(page)][:8] == expected[:8], "other lines are listed")


def test_pasted_link_gives_the_same_list(page: Page, fleet: Logs) -> None:
    page.open(JOB, q="HERON", case=0, word=1, scope="job", hits=1, context=2, proc=1, ranks="0,50", lines="user")
    page.until(lambda: matching(page) and not any(row["kind"] == "rest" for row in hits(page)), "nothing is listed")
    before, address = hits(page), page.browser.current_url
    page.browser.get("about:blank")
    page.browser.get(address)
    page.until(lambda: hits(page) == before, "another list")


def test_lines_around_a_hit(page: Page, fleet: Logs) -> None:
    page.open(JOB, q="heron lost", scope="job", hits=1, lines="all")
    page.until(lambda: len(matching(page)) == 4, "not all are listed")
    assert matching(page)[0]["lines"] == [16]
    Select(page.one(".hits-context select")).select_by_value("2")
    page.until(lambda: [row["lines"] for row in matching(page)][:2] == [[14, 15, 16, 17, 18]] * 2, "no lines around")
    assert page.place()["context"] == "2"
    assert matching(page)[0]["text"] == "[ERROR] RUNTIME(100,python):2026-01-01-00:00:00 heron lost 0"


def test_growing_logs_are_counted_again(page: Page, service: Service) -> None:
    service.append("tide", "wave\n")
    page.open("tide", q="wave", scope="job", hits=1, lines="all")
    see_summary(page, "1 matching line in 1 of 1 logs of this job")
    page.run(
        """
        window.seen = new Set()
        const note = () => window.seen.add(document.querySelector('.hits-summary strong').textContent)
        const all = { subtree: true, childList: true, characterData: true }
        new MutationObserver(note).observe(document.querySelector('.hits'), all)
        """
    )
    service.append("tide", "wave\n")
    service.append("tide", "wave\n", task="worker-1")
    see_summary(page, "3 matching lines in 2 of 2 logs of this job")
    page.until(lambda: len(matching(page)) == 3, "the new hits are not listed")
    assert not any("searching" in words for words in page.run("return [...window.seen]")), "flickers"


def test_list_of_a_growing_log_grows(page: Page, service: Service) -> None:
    service.append("swell", "wave 1\n")
    page.open("swell", q="wave", hits=1, lines="all")
    see_summary(page, "1 matching line in this log")
    page.until(lambda: [row["total"] for row in hits(page)][:1] == ["1 matching line"], "the log has no total")
    service.append("swell", "wave 2\n")
    page.until(lambda: [row["text"] for row in matching(page)] == ["wave 1", "wave 2"], "the new hit is not listed")
    see_summary(page, "2 matching lines in this log")


def test_list_shows_where_the_reader_stands(page: Page, fleet: Logs) -> None:
    page.open(JOB, q="step", hits=1, line=30, lines="all")
    page.until(lambda: [row["n"] for row in matching(page) if row["current"]] == [30], "the list does not show the hit")
    inside = """
    const [list, row] = ['.hits-list', '.hits-row.is-current']
      .map((one) => document.querySelector(one)?.getBoundingClientRect())
    return Boolean(row) && row.top >= list.top - 1 && row.bottom <= list.bottom + 1
    """
    page.until(lambda: page.run(inside), "the hit is not in view")
    page.press("N")
    page.until(lambda: [row["n"] for row in matching(page) if row["current"]] == [29], "N is not followed")


def test_hostile_hits_are_text(page: Page, service: Service) -> None:
    line = "hostile <img src=x onerror=window.ran=1> \u202e javascript:1 \x1b[31mred"
    service.append("hostile-hits", line + "\n")
    page.open("hostile-hits", q="hostile", scope="job", hits=1, context=1)
    page.until(lambda: matching(page), "nothing is listed")
    assert "<img src=x onerror=window.ran=1>" in matching(page)[0]["text"]
    assert page.run(
        "return [document.querySelectorAll('.hits-list img').length, window.ran ?? 0, window.violations]"
    ) == [0, 0, []]


def test_height_of_the_list_is_kept(page: Page, fleet: Logs) -> None:
    page.open(JOB, q="heron", hits=1)
    before = page.one(".hits").size["height"]
    page.one(".hits-grip").send_keys(Keys.ARROW_UP)
    page.until(lambda: page.one(".hits").size["height"] == before + 40, "it does not grow")
    page.open(JOB, q="heron", hits=1)
    assert page.one(".hits").size["height"] == before + 40
