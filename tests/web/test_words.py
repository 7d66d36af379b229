"""No untranslated key, and none that nobody uses; the pages that the service writes speak both languages too."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter

import logsvc
from logsvc.api.words import EN, ZH_CN

SCRIPTS = Path(logsvc.__file__).parent / "web" / "js"
DEFINED = re.compile(r"^  '([a-z]+\.[A-Za-z.]+)':", re.MULTILINE)
QUOTED = re.compile(r"'([a-z]+\.[A-Za-z.]+)'")


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
