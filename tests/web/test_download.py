"""Downloading one, some or all files of a job, chosen in a dialog."""

from __future__ import annotations

import io
import urllib.request
import zipfile

import pytest

from .conftest import Page, Service

pytestmark = pytest.mark.browser


def path(job: str, task: str) -> str:
    return f"modelarts-job-{job}-{task}.log"


def fill(service: Service, job: str) -> None:
    for task in ("worker-0", "worker-1", "worker-10"):
        service.append(job, f"{task}\n" * 300, task=task)
    service.append(job, "proc\n", path=f"modelarts-job-{job}-proc-rank-0-device-0.txt")
    service.append(job, "again\n", path=path(job, "worker-0"), generation=1)


def got(page: Page) -> bytes:
    """What the dialog's link gives."""
    href = page.one("dialog .button-main").get_attribute("href")
    request = urllib.request.Request(href, headers={"Authorization": f"Bearer {page.service.token}"})
    with urllib.request.urlopen(request) as answer:
        return bytes(answer.read())


def names(page: Page) -> set[str]:
    return set(zipfile.ZipFile(io.BytesIO(got(page))).namelist()) - {"manifest.sha256"}


def choose(page: Page, words: str) -> None:
    """A click on the checkbox with these words."""
    page.run(
        "[...document.querySelectorAll('dialog label')].find((one) => one.textContent.trim() === arguments[0]).click()",
        words,
    )


def test_all_some_and_one(service: Service, page: Page) -> None:
    job = "dl"
    fill(service, job)
    page.open(job)
    page.click(".job-download")
    page.see("5 files, 8.2 KiB", ".download-sum")
    proc = f"modelarts-job-{job}-proc-rank-0-device-0.txt"
    rotated = f"{path(job, 'worker-0')}.gen-1"
    everything = {path(job, "worker-0"), path(job, "worker-1"), path(job, "worker-10"), proc, rotated}
    assert names(page) == everything
    assert [row.text for row in page.all(".download-tasks > li label")] == ["worker-0", "worker-1", "worker-10"]

    choose(page, "worker-10")
    page.see("4 files", ".download-sum")
    assert names(page) == everything - {path(job, "worker-10")}

    page.click(".download-files")
    choose(page, "worker-0.log")
    page.see("2 of 3 files", ".download-files")
    assert page.run("return document.querySelector('.download-row input').indeterminate")
    page.see("3 files", ".download-sum")
    assert names(page) == {proc, rotated, path(job, "worker-1")}

    choose(page, "All tasks and files")
    page.see("5 files", ".download-sum")
    choose(page, "All tasks and files")
    page.see("Nothing is chosen.", ".download-sum")
    assert page.one("dialog .button-main").get_property("disabled")
    choose(page, "worker-1")
    page.see("1 file, 2.6 KiB", ".download-sum")
    assert got(page) == b"worker-1\n" * 300, "one file needs no zip"


def test_what_comes_meanwhile_is_counted(service: Service, page: Page) -> None:
    service.append("dl-live", "a\n")
    page.open("dl-live")
    page.click(".job-download")
    page.see("1 file, 2 B", ".download-sum")
    service.append("dl-live", "b\n", path="modelarts-job-dl-live-proc-rank-0-device-0.txt")
    page.see("2 files, 4 B", ".download-sum")
