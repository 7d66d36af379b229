"""The text that Prometheus scrapes, version 0.0.4, as far as exporters of cards write it."""

from __future__ import annotations

import re
from typing import NamedTuple, Optional

from collectors.samplers.text import NotUnderstood, shown

_NAME = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*")
_LABEL = re.compile(r'[ \t]*([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*"((?:[^"\\]|\\.)*)"[ \t]*(,|(?=\}))')
_END = re.compile(r"[ \t]*\}")
_VALUE = re.compile(r"[ \t]*([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?|[+-]?(?i:inf|nan))")
_TIME = re.compile(r"(?:[ \t]+(-?[0-9]{1,18}))?[ \t]*")
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", '"': '"', "\\": "\\"}
# Prometheus counts milliseconds; some exporters write seconds. As milliseconds this is in 1973, as seconds in 5138.
SECONDS_BELOW = 100_000_000_000


class Metric(NamedTuple):
    """One line. `at_ms`: when it was measured, Unix milliseconds, where the line says so."""

    name: str
    labels: dict[str, str]
    value: float
    at_ms: Optional[int]


def metrics(text: str, what: str) -> list[Metric]:
    """
    All samples of a page; comments are passed over.

    Args:
        what: whose page, for sentences.

    Raises: NotUnderstood where a line is no sample, or the page ends inside one.
    """
    lines = text.split("\n")
    if lines.pop():
        raise NotUnderstood(f"{what}: the page ends in the middle of a line")
    found = []
    for count, line in enumerate(lines, 1):
        line = line.rstrip("\r")
        if line.strip() and not line.lstrip().startswith("#"):
            metric = _metric(line.strip())
            if metric is None:
                raise NotUnderstood(f"{what}: line {count}, {shown(line)}, is no sample of a metric")
            found.append(metric)
    return found


def _metric(line: str) -> Optional[Metric]:
    name = _NAME.match(line)
    if name is None:
        return None
    at, labels = name.end(), {}
    if line.startswith("{", len(line) - len(line[at:].lstrip())):
        at = line.index("{", at) + 1
        while True:
            label = _LABEL.match(line, at)
            if label is None:
                break
            if label[1] in labels:
                return None
            labels[label[1]] = _ESCAPE.sub(lambda found: _ESCAPED.get(found[1], found[0]), label[2])
            at = label.end()
        end = _END.match(line, at)
        if end is None:
            return None
        at = end.end()
    elif line[at : at + 1] not in (" ", "\t"):
        return None
    value = _VALUE.match(line, at)
    time = _TIME.fullmatch(line, value.end()) if value else None
    if value is None or time is None:
        return None
    at_ms = int(time[1]) if time[1] else None
    if at_ms is not None and abs(at_ms) < SECONDS_BELOW:
        at_ms *= 1000
    return Metric(name[0], labels, float(value[1]), at_ms)
