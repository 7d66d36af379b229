"""No untranslated key, and none that nobody uses; the pages that the service writes speak both languages too."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter
from typing import Any

import pytest

import logsvc
from logsvc.api.words import EN, ZH_CN

from .conftest import Page, Service, speak
from .walk import STATES, fill

SCRIPTS = Path(logsvc.__file__).parent / "web" / "js"
DEFINED = re.compile(r"^  '([a-z]+\.[A-Za-z.]+)':", re.MULTILINE)
QUOTED = re.compile(r"'([a-z]+\.[A-Za-z.]+)'")

# Words of the page, read or heard. Lines of logs, names of files and jobs, commands and keys are not ours.
SAID = """
const foreign = `.pane-rows, .hits-line, .row-text, pre, kbd, code, noscript, script, style, datalist, [lang="en"],
  .search-error, .log-file, .tree-name, .download-name, .job-id, .top-job, .jobs-name, .jobs-id`
const attributes = ['title', 'aria-label', 'placeholder', 'alt', 'aria-description']
const said = new Set([document.title])
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT)
while (walker.nextNode()) {
  const node = walker.currentNode
  const isText = node.nodeType === Node.TEXT_NODE
  if ((isText ? node.parentElement : node).closest(foreign)) continue
  if (isText) said.add(node.textContent)
  else for (const name of attributes) said.add(node.getAttribute(name) ?? '')
}
return [...said].filter((words) => words.trim())
"""
NAMES = {
    *("logsvc", "English", "Ascend", "MindSpore", "RE2", "zip", "KiB", "MiB"),  # names and units
    *("Enter", "Shift", "Esc", "Ctrl", "Home", "End", "PgUp", "PgDn", "Alt"),  # keys
    *("batch", "size", "checkpoint", "cache", "npu", "smi", "spy", "dump", "collector", "run", "watch"),  # advice
    *("rank", "plog", "viewer"),  # as the manual and the printed link have them
    *(
        "resnet50",
        "resnet",
        "zhang",
        "pool",
        "root",
        "walk",
        "cards",
        "nowhere",
        "nothing",
        "has",
        "this",
        "name",
    ),  # of the walk
    *("modelarts", "job", "worker", "log", "proc", "device", "ascend", "process", "txt", "gen"),  # paths in titles
}


def words(language: str) -> dict[str, str]:
    """Key -> what stands behind it, as it is written."""
    text = (SCRIPTS / "i18n" / language).read_text()
    found = list(DEFINED.finditer(text))
    assert len({one[1] for one in found}) == len(found), "a key stands twice"
    ends = [one.start() for one in found[1:]] + [len(text)]
    return {one[1]: text[one.end() : end] for one, end in zip(found, ends, strict=True)}


def placeholders(language: str) -> dict[str, set[str]]:
    return {key: set(re.findall(r"\{(\w+)\}", written)) for key, written in words(language).items()}


def used_keys() -> set[str]:
    """Whatever is quoted in a script and begins as a key does."""
    groups = {key.partition(".")[0] for key in words("en.js")}
    scripts = (path for path in SCRIPTS.rglob("*.js") if path.parent.name != "i18n")
    quoted = {key for path in scripts for key in QUOTED.findall(path.read_text())}
    return {key for key in quoted if key.partition(".")[0] in groups}


def test_languages_have_the_same_keys_and_placeholders() -> None:
    assert placeholders("en.js") == placeholders("zh-cn.js")


def test_every_key_used_has_words() -> None:
    assert used_keys() - words("en.js").keys() == set()


def test_every_key_is_used() -> None:
    assert words("en.js").keys() - used_keys() == set()


def test_chinese_words_are_chinese() -> None:
    """Names and units may stand as they are; a sentence in English was forgotten."""
    english = words("en.js")
    same = {key for key, written in words("zh-cn.js").items() if written.strip() == english[key].strip()}
    assert {key for key in same if re.search(r"[a-z]{3,} [a-z]{2,}", english[key])} == set()


def test_pages_of_the_service_speak_both_languages() -> None:
    def fields(table: dict[str, str]) -> dict[str, set[str | None]]:
        return {key: {name for _, name, _, _ in Formatter().parse(text) if name} for key, text in table.items()}

    assert fields(EN) == fields(ZH_CN)


@pytest.mark.browser
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_no_english_is_left_on_a_chinese_page(service: Service, page: Page, state: Any) -> None:
    fill(service)
    speak(page.browser, "zh-CN,zh")
    state(page)
    said = page.run(SAID)
    assert any(re.search(r"[\u4e00-\u9fff]", text) for text in said)
    found = {word for text in said for word in re.findall(r"\b[A-Za-z][A-Za-z0-9]{2,}", text)}
    left = {word for word in found - NAMES if not word.isupper()}  # variables of the environment are in capitals
    assert (left, [text for text in said if left & set(re.findall(r"\w+", text))]) == (set(), [])
    assert [text for text in said if re.search(r"undefined|NaN|\{\w+\}|\[object", text)] == []
