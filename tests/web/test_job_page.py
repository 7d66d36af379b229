"""A job's nodes and files in a real browser: kinds, states, ranks, what is missing and why."""

from __future__ import annotations

import pytest
from selenium.webdriver.support.ui import Select

from .conftest import Page, Service
from .shipping import ship, ship_many
from .test_job_list import replace, scripted

pytestmark = pytest.mark.browser

# Answers about streams say that the last bytes came twelve and a half minutes ago.
SILENT = """
const asked = window.fetch
window.fetch = async (...given) => {
  const answer = await asked(...given)
  if (!String(given[0]).includes('/quiet/streams')) return answer
  const body = await answer.json()
  const then = new Date(Date.now() - 750000).toISOString()
  for (const stream of body.streams) if (stream.kind === 'ordinary') stream.last_chunk_at = then
  return new Response(JSON.stringify(body), { headers: { 'Content-Type': 'application/json' } })
}
"""
ASCEND = {"accelerator": "ascend", "archive_url": "file:///nowhere"}


def plog(job: str, rank: int, name: str) -> str:
    return f"modelarts-job-{job}/ascend/process_log/rank_{rank}/plog/{name}"


def test_a_file_is_live_silent_or_complete(service: Service, page: Page) -> None:
    proc = "modelarts-job-quiet-proc-rank-0-device-0.txt"
    service.append("quiet", "epoch 1\n")
    service.append("quiet", "epoch 1\n", path=proc)
    with scripted(page, SILENT):
        page.open("quiet")
        page.see("silent for 12 min", ".tree")
        assert "12 min" in page.one(".tree-file.is-open").text
        page.see("live", f"a[title^='{proc}']")
        service.append("quiet", "", path=proc, final=True)
        page.see("complete", f"a[title^='{proc}']")


def test_another_node_opens_with_the_same_kind_of_log(service: Service, page: Page) -> None:
    for node in range(2):
        ship(service, "nodes", f"worker-{node}", f"own log of {node}\n")
        for device in range(2):
            path = f"modelarts-job-nodes-proc-rank-{node * 2 + device}-device-{device}.txt"
            ship(service, "nodes", f"worker-{node}", f"rank {node * 2 + device}\n", path=path)
    page.open("nodes")
    page.until_last("own log of 0")
    Select(page.one("#task")).select_by_value("worker-1")
    page.until_last("own log of 1")
    page.click("a[title^='modelarts-job-nodes-proc-rank-3']")
    page.until_last("rank 3")
    Select(page.one("#task")).select_by_value("worker-0")
    page.until_last("rank 1")
    assert page.place()["task"] == "worker-0"


def test_why_an_ascend_log_is_missing(service: Service, page: Page) -> None:
    service.describe("ascend-job", **ASCEND)
    service.append("ascend-job", "epoch 1\n")
    ship(service, "ascend-job", "worker-0", "plog\n", path=plog("ascend-job", 0, "plog-1_2.log"))
    page.open("ascend-job")
    page.see("Why is there no Ascend device log?", ".tree-missing")
    page.click(".tree-missing summary")
    words = page.one(".tree-missing").text
    assert "The process is still running." in words
    assert "No place for the logs was set, or they were printed to the screen." in words
    assert "ASCEND_PROCESS_LOG_PATH" in words
    assert "ASCEND_SLOG_PRINT_TO_STDOUT=0" in words

    service.describe("ascend-job", status="succeeded")
    page.see("will not come any more", ".tree-missing")
    assert "still running" not in page.text(".tree-missing")
    ship(
        service,
        "ascend-job",
        "worker-0",
        "d\n",
        path=plog("ascend-job", 0, "x").replace("plog/x", "device-0/device-1_2.log"),
    )
    page.until(lambda: not page.all(".tree-missing"), "the device log is there")

    service.append("plain-job", "epoch 1\n")
    page.open("plain-job")
    page.until_last("epoch 1")
    assert not page.all(".tree-missing")


def test_the_tree_of_a_hundred_nodes_is_light(service: Service, page: Page) -> None:
    job = "hundred"
    for node in range(128):
        task = f"worker-{node}"
        ranks = range(node * 8, node * 8 + 8)
        files = [(task, f"modelarts-job-{job}-{task}.log", f"log of {node}\n")]
        files += [(task, f"modelarts-job-{job}-proc-rank-{rank}-device-{rank % 8}.txt", "p\n") for rank in ranks]
        files += [
            (task, plog(job, rank, f"plog-{pid}_1.log"), f"plog {pid} of {rank}\n")
            for rank in ranks
            for pid in range(4)
        ]
        ship_many(service, job, files)
    page.open(job)
    page.until_last("log of 0")
    assert len(page.all("#task option")) == 128
    assert page.run("return document.querySelectorAll('.tree :not(option)').length") < 400

    ranks = [group.text for group in page.all(".tree-rank")]
    assert ranks == [f"rank {rank}\n4" for rank in range(8)]
    page.click(".tree-rank:nth-of-type(4) .tree-fold")
    page.click("a[title*='rank_3/plog/plog-2_1.log']")
    page.until_last("plog 2 of 3")

    Select(page.one("#task")).select_by_value("worker-100")
    page.until_last("plog 0 of 800")
    replace(page, ".tree-filter", "rank 805 plog-3")
    page.until(lambda: len(page.all(".tree-link")) == 1, "not filtered")
    page.click(".tree-link")
    page.until_last("plog 3 of 805")
    replace(page, ".tree-filter", "nothing like it")
    page.see("No file matches.", ".tree")


def test_hundreds_of_files_come_when_asked_for(service: Service, page: Page) -> None:
    service.append("parts", "x\n")
    ship_many(
        service,
        "parts",
        [("worker-0", f"modelarts-job-parts/other/worker-0/part-{at}.txt", "y\n") for at in range(150)],
    )
    page.open("parts")
    page.until_last("x")
    page.until(lambda: len(page.all(".tree-link")) == 61, "too many, or too few")
    page.click(".tree-more")
    page.until(lambda: len(page.all(".tree-link")) == 151, "not all came")
    assert not page.all(".tree-more")


def test_each_generation_can_be_read(service: Service, page: Page) -> None:
    ship(service, "turned", "worker-0", "first\n")
    ship(service, "turned", "worker-0", "second\n", generation=1)
    page.open("turned")
    page.until_last("second")
    page.click(".tree-generation:last-child")
    page.until_last("first")
    assert "gen" not in page.place()
    page.click(".tree-generation:first-child")
    page.until_last("second")
    assert page.place()["gen"] == "1"


def test_long_names_do_not_widen_the_tree(service: Service, page: Page) -> None:
    service.append("long-names", "a\n")
    for at in range(12):
        name = f"plog-{at}_{'2022071819184362' * 3}.log"
        service.append("long-names", "a\n", path=f"modelarts-job-long-names/ascend/process_log/rank_0/plog/{name}")
    page.open("long-names")
    page.until(lambda: len(page.all(".tree-file")) == 13, "not all files")
    assert page.run("const tree = document.querySelector('.tree'); return tree.scrollWidth - tree.clientWidth") == 0
