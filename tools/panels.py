"""Parts of a classic Grafana dashboard, for tools/dashboards.py: boards, panels, queries, variables."""

from __future__ import annotations

from typing import Any

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24
JOB_LINK = "/d/logsvcjob?var-job_id=${__data.fields.job_id}&${datasource:queryparam}&${viewer:queryparam}"
VIEWER_LINK = "${viewer}/#job=${__data.fields.job_id}"


def board(
    uid: str,
    title: str,
    panels: list[dict[str, Any]],
    variables: list[dict[str, Any]],
    *,
    annotations: list[dict[str, Any]] | None = None,
    links: list[dict[str, Any]] | None = None,
    point_link: tuple[str, str] | None = None,
) -> dict[str, Any]:
    """A classic dashboard; its panels are set in rows, in their order."""
    x = y = height = 0
    for number, one in enumerate(panels, 1):
        place = one["gridPos"]
        if x + place["w"] > WIDTH:
            x, y = 0, y + height
            height = 0
        place.update(x=x, y=y)
        x, height = x + place["w"], max(height, place["h"])
        one["id"] = number
        if point_link and one["type"] == "timeseries":
            one["fieldConfig"]["defaults"]["links"] = [
                {"title": point_link[0], "url": point_link[1], "targetBlank": True}
            ]
    return {
        "uid": uid,
        "title": title,
        "tags": ["logsvc"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": annotations or []},
        "links": links or [],
        "templating": {
            "list": [
                {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "hide": 0},
                *variables,
            ]
        },
        "panels": panels,
    }


def panel(
    kind: str,
    title: str,
    width: int,
    height: int,
    targets: list[dict[str, Any]],
    *,
    unit: str = "short",
    options: dict[str, Any] | None = None,
    top: float | None = None,
    thresholds: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """One panel; `board` gives it its number and its place."""
    for number, target in enumerate(targets):
        target["refId"] = chr(ord("A") + number)
    defaults: dict[str, Any] = {"unit": unit, "min": 0}
    if top is not None:
        defaults["max"] = top
    if thresholds:
        defaults["thresholds"] = {"mode": "absolute", "steps": thresholds}
    return {
        "type": kind,
        "title": title,
        "datasource": DATASOURCE,
        "gridPos": {"w": width, "h": height},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options or {},
        "targets": targets,
    }


def chart(
    title: str, width: int, height: int, series: list[tuple[str, str]], *, unit: str = "short", top: float | None = None
) -> dict[str, Any]:
    """Lines over time; `series` are (query, legend)."""
    options = {
        "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["mean", "lastNotNull"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    drawn = panel(
        "timeseries", title, width, height, [query(*one) for one in series], unit=unit, options=options, top=top
    )
    # A card that is not read is a hole in its line, not a straight one.
    drawn["fieldConfig"]["defaults"]["custom"] = {
        "lineWidth": 1,
        "fillOpacity": 8,
        "spanNulls": False,
        "showPoints": "never",
    }
    return drawn


def stat(
    title: str,
    width: int,
    expr: str,
    *,
    unit: str = "short",
    warn: float | None = None,
    alarm: float | None = None,
    legend: str = "",
    text: str = "value",
) -> dict[str, Any]:
    """One number, coloured from `warn` or `alarm` on."""
    steps: list[dict[str, Any]] = [{"color": "text", "value": None}]
    if warn is not None:
        steps.append({"color": "orange", "value": warn})
    if alarm is not None:
        steps.append({"color": "red", "value": alarm})
    options = {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value", "graphMode": "area", "textMode": text}
    return panel("stat", title, width, 4, [query(expr, legend)], unit=unit, options=options, thresholds=steps)


def table(
    title: str, width: int, height: int, asked: list[tuple[str, str, str]], columns: dict[str, str]
) -> dict[str, Any]:
    """Rows of jobs; `asked` are (query, the heading of its value, its unit), `columns` labels and their headings."""
    drawn = panel("table", title, width, height, [{**instant(expr), "format": "table"} for expr, _, _ in asked])
    headings = {
        f"Value #{chr(ord('A') + n)}" if len(asked) > 1 else "Value": name for n, (_, name, _) in enumerate(asked)
    }
    drawn["transformations"] = [
        {"id": "merge", "options": {}},
        {"id": "filterFieldsByName", "options": {"include": {"names": [*columns, *headings]}}},
        {
            "id": "organize",
            "options": {"renameByName": {**{k: v for k, v in columns.items() if k != "job_id"}, **headings}},
        },
    ]
    drawn["fieldConfig"]["overrides"] = [
        {"matcher": {"id": "byName", "options": name}, "properties": [{"id": "unit", "value": unit}]}
        for _, name, unit in asked
    ] + [
        {
            "matcher": {"id": "byName", "options": "job_id"},
            "properties": [
                {"id": "displayName", "value": "Job ID"},
                {
                    "id": "links",
                    "value": [
                        {"title": "Its cards over time", "url": JOB_LINK},
                        {"title": "Its logs in the viewer", "url": VIEWER_LINK, "targetBlank": True},
                    ],
                },
            ],
        }
    ]
    return drawn


def query(expr: str, legend: str = "") -> dict[str, Any]:
    """What is asked over the range."""
    return {"datasource": DATASOURCE, "expr": expr, "legendFormat": legend, "range": True, "instant": False}


def instant(expr: str, legend: str = "") -> dict[str, Any]:
    """What is asked once, at the end of the range."""
    return {**query(expr, legend), "range": False, "instant": True}


def annotation(name: str, expr: str, title: str, colour: str) -> dict[str, Any]:
    """Marks while a query answers."""
    return {
        "name": name,
        "datasource": DATASOURCE,
        "enable": True,
        "expr": expr,
        "titleFormat": title,
        "iconColor": colour,
        "step": "15s",
    }


def link(title: str, url: str, *, new_tab: bool = False) -> dict[str, Any]:
    """At the top of a board."""
    return {
        "title": title,
        "url": url,
        "type": "link",
        "targetBlank": new_tab,
        "keepTime": not new_tab,
        "includeVars": not new_tab,
    }


def textbox(name: str, label: str, value: str) -> dict[str, Any]:
    """A variable that a person types."""
    current = {"text": value, "value": value}
    return {
        "name": name,
        "label": label,
        "type": "textbox",
        "query": value,
        "current": current,
        "options": [{**current, "selected": True}],
    }


def values(name: str, label: str, asked: str, *, many: bool = False) -> dict[str, Any]:
    """A variable whose values Prometheus knows; `many`: several, or all, may be chosen."""
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": asked, "refId": "A"},
        "definition": asked,
        "refresh": 2,
        "sort": 3,
        "multi": many,
        "includeAll": many,
        **({"allValue": ".*", "current": {"text": ["All"], "value": ["$__all"]}} if many else {}),
    }
