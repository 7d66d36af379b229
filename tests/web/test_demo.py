"""What a newcomer sees: the demo's lines come in live, the platform's own can be hidden, a word is found."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome

from .conftest import Page, Service, a_free_port, until_ready

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LONGEST_SECONDS = 120
END_SECONDS = 30


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Service]:
    command = [sys.executable, "-m", "logsvc", "demo", "--port", str(a_free_port()), "--for", str(LONGEST_SECONDS)]
    with (tmp_path / "demo.log").open("w") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        try:
            yield Service(*until_ready(process, tmp_path / "demo.log"))
        finally:
            process.terminate()
            process.communicate(timeout=END_SECONDS)


def test_demo_is_watched_filtered_and_searched(browser: Chrome, demo: Service) -> None:
    page = Page(browser, demo)
    page.open()
    page.click(".jobs-name a")
    page.see("Following live", ".log-foot")
    page.until(lambda: any("is-system" in row["classes"] for row in page.rows()), "no platform lines")
    page.until(lambda: "loss is" in page.last_row(), "the training wrote nothing")

    page.click("#hide-system")
    page.until(lambda: page.rows() and not any("is-system" in row["classes"] for row in page.rows()), "still there")

    page.search("loss is")
    page.until(lambda: any("is-current" in row["classes"] and row["marks"] for row in page.rows()), "not found")
