"""No untranslated key, and none that nobody uses."""

from __future__ import annotations

import re
from pathlib import Path

import logsvc

SCRIPTS = Path(logsvc.__file__).parent / "web" / "js"
KEY = re.compile(r"'((?:app|login|jobs|status|flag|job|kind|log|state|search|error|help)\.[A-Za-z.]+)'")


def keys(language: str) -> set[str]:
    return set(KEY.findall((SCRIPTS / "i18n" / language).read_text()))


def placeholders(language: str) -> dict[str, set[str]]:
    lines = (SCRIPTS / "i18n" / language).read_text().splitlines()
    return {found[1]: set(re.findall(r"\{(\w+)\}", line)) for line in lines if (found := KEY.search(line))}


def used_keys() -> set[str]:
    scripts = (path for path in SCRIPTS.rglob("*.js") if path.parent.name != "i18n")
    return {key for path in scripts for key in KEY.findall(path.read_text())}


def test_languages_have_the_same_keys_and_placeholders() -> None:
    assert placeholders("en.js") == placeholders("zh-cn.js")


def test_every_key_used_has_words() -> None:
    assert used_keys() - keys("en.js") == set()


def test_every_key_is_used() -> None:
    assert keys("en.js") - used_keys() == set()
