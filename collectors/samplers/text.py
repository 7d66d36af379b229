"""Figures out of a tool's text: what is written there, or a sentence; never a guess."""

from __future__ import annotations

import re
from typing import Optional

from collectors.samplers import Failed
from collectors.words import cut, printable

MEBI = 1 << 20  # npu-smi and both exporters say MB and mean this: a card of 64 GiB has 65536
SHOWN_CELLS = 60  # of a text in a sentence
NO_READING = frozenset(("", "-", "NA", "N/A"))
_NUMBER = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,9})?")
_INDEX = re.compile(r"[0-9]{1,9}")
_NAME = re.compile(r"([^()]*?)\s*\(([^()]*)\)")


class NotUnderstood(Failed):
    """A text of another form than those known. Nothing in it was used."""


def shown(text: str) -> str:
    """A piece of the text, fit for a sentence."""
    return "'" + cut(printable(" ".join(text.split())), SHOWN_CELLS) + "'"


def number(text: str, what: str) -> Optional[float]:
    """A decimal number; None where there is no reading: empty, `-`, `NA`, `N/A`. Else NotUnderstood."""
    text = text.strip()
    if text in NO_READING:
        return None
    if not _NUMBER.fullmatch(text):
        raise NotUnderstood(f"{what} is {shown(text)}, which is no number")
    return float(text)


def percent(text: str, what: str) -> Optional[float]:
    """As `number`, and −1 is no reading; NotUnderstood outside 0-100."""
    value = number(text, what)
    if value is None or value == -1:
        return None
    if not 0 <= value <= 100:
        raise NotUnderstood(f"{what} is {text.strip()}, outside 0-100")
    return value


def amount(text: str, what: str) -> Optional[float]:
    """As `number`, and −1 is no reading; NotUnderstood below 0."""
    value = number(text, what)
    if value is None or value == -1:
        return None
    if value < 0:
        raise NotUnderstood(f"{what} is {text.strip()}, below 0")
    return value


def index(text: str, what: str) -> int:
    """A number of a card, chip or process, from 0."""
    if not _INDEX.fullmatch(text.strip()):
        raise NotUnderstood(f"{what} is {shown(text)}, which is no index")
    return int(text)


def name_and_unit(header: str) -> tuple[str, str]:
    """`Power(W)` is Power in W; without brackets the unit is empty."""
    found = _NAME.fullmatch(header.strip())
    return (found[1], found[2].strip()) if found else (header.strip(), "")


def check_unit(what: str, got: str, known: str) -> None:
    """NotUnderstood where a figure is in a unit that we do not know."""
    if got != known:
        raise NotUnderstood(f"{what} is given in {shown(got) if got else 'no unit'}; known is {known}")
