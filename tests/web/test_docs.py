"""docs/viewer.md says what the viewer does: its keys and its links are those of the page."""

from __future__ import annotations

import re
from pathlib import Path

import logsvc

from .test_words import words

SCRIPTS = Path(logsvc.__file__).parent / "web" / "js"
DOCS = Path(__file__).resolve().parents[2] / "docs" / "viewer.md"
ROW = re.compile(r"^\| ((?:`[^`]+`[ ,]*)+) \| (.+) \|$", re.MULTILINE)


def table(title: str) -> dict[tuple[str, ...], str]:
    """Quoted names -> what the row says, of the table in a section."""
    section = DOCS.read_text("utf-8").split(f"## {title}\n")[1].split("\n## ")[0]
    return {tuple(re.findall(r"`([^`]+)`", names)): said for names, said in ROW.findall(section)}


def test_keys_are_those_of_the_help() -> None:
    english = {key: written.strip(" :,\n}").strip("'") for key, written in words("en.js").items()}
    helped = {
        tuple(re.findall(r"'([^']+)'", names)): english[key]
        for key, names in re.findall(r"\[t\('(help\.\w+)'\), \[(.+?)\]\]", (SCRIPTS / "views" / "help.js").read_text())
    }
    assert len(helped) > 10
    assert table("Keys") == helped


def test_links_are_those_of_the_address() -> None:
    script = (SCRIPTS / "models" / "address.js").read_text()
    written = set(re.findall(r"(?:\bset|named\.set|named\.append)\('(\w+)'", script))
    listed = re.search(r"export const EMPTY_LIST = Object\.freeze\(\{(.+?)\}\)", script, re.DOTALL)
    assert listed
    section = DOCS.read_text("utf-8").split("## Links\n")[1].split("\n## ")[0]
    filters = set(re.findall(r"`(\w+)`", section.split("The list of jobs has")[1].split(".\n")[0])) - {"q"}
    assert {name for names in table("Links") for name in names} == written
    assert filters == set(re.findall(r"(\w+):", listed[1]))
