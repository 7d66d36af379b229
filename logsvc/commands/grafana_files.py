"""Boards and alert rules as they are shipped, made ready for one Grafana."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import logsvc

FOLDER = Path(logsvc.__file__).parent / "dashboards"
SHIPPED_DATASOURCE = "logsvcprometheus"
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


@dataclass(frozen=True)
class Datasource:
    """Of Prometheus, in Grafana."""

    uid: str
    name: str


@dataclass(frozen=True)
class RuleGroup:
    """Rules that are looked at together, in the form of Grafana's API."""

    name: str
    interval_seconds: int
    rules: list[dict[str, Any]]


def boards(datasource: Datasource, viewer: str | None) -> list[dict[str, Any]]:
    """
    The boards, which ask `datasource` unless their reader chooses another.

    Args:
        viewer: address that their links to logsvc begin with; None: as shipped.
    """
    found = []
    for file in sorted((FOLDER / "grafana").glob("*.json")):
        board = json.loads(file.read_text(encoding="utf-8"))
        for variable in board["templating"]["list"]:
            if variable["type"] == "datasource":
                variable["current"] = {"text": datasource.name, "value": datasource.uid}
            elif variable["name"] == "viewer" and viewer is not None:
                chosen = {"text": viewer, "value": viewer}
                variable |= {"query": viewer, "current": chosen, "options": [{**chosen, "selected": True}]}
        found.append(board)
    return found


def rule_groups(datasource: Datasource, folder_uid: str) -> list[RuleGroup]:
    """The rules of `alerts/grafana.yml`, which ask `datasource`."""
    held = yaml.safe_load((FOLDER / "alerts" / "grafana.yml").read_text(encoding="utf-8"))
    return [
        RuleGroup(
            group["name"],
            seconds(group["interval"]),
            [_rule(rule, group["name"], datasource, folder_uid) for rule in group["rules"]],
        )
        for group in held["groups"]
    ]


def seconds(duration: str) -> int:
    """Of a duration as Prometheus and Grafana write it: `1h30m`."""
    return sum(int(count) * _SECONDS[unit] for count, unit in re.findall(r"(\d+)([smhdw])", duration))


def _rule(shipped: dict[str, Any], group: str, datasource: Datasource, folder_uid: str) -> dict[str, Any]:
    rule = copy.deepcopy(shipped)
    for name in ("dashboardUid", "panelId"):  # of the form of files alone; the annotations say them too
        rule.pop(name, None)
    for query in rule["data"]:
        if query["datasourceUid"] == SHIPPED_DATASOURCE:
            query["datasourceUid"] = datasource.uid
    return {**rule, "folderUID": folder_uid, "ruleGroup": group}
