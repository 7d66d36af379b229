"""Sizes, spans of time and names as a person reads them."""

from __future__ import annotations

import unicodedata

_SIZES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def size(size_bytes: float) -> str:
    """`12.3 MB`; decimal units, one digit behind the point."""
    for unit, name in _SIZES:
        if size_bytes >= unit * 0.99995:  # what would round to 1000.0 of the unit below
            return f"{size_bytes / unit:.1f} {name}"
    return f"{size_bytes:.0f} bytes"


def span(seconds: float) -> str:
    """`4 s`, `12 min`, `3 h 5 min`, `2 d 7 h`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    hours = round(minutes / 60)
    return f"{hours // 24} d {hours % 24} h"


def printable(text: str) -> str:
    """One line that moves no cursor, whatever bytes a file name holds."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def cut(text: str, cells: int) -> str:
    """At most so many cells of a terminal, `…` in the place of what does not fit."""
    width = sum(map(_cells, text))
    if width <= cells:
        return text
    kept, used = [], 1
    for char in text:
        used += _cells(char)
        if used > cells:
            break
        kept.append(char)
    return "".join(kept) + "…" if cells > 0 else ""


def _cells(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
