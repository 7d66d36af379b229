"""`logsvc grafana push`: folder, datasource, boards and alert rules into a Grafana, by its HTTP API.

What Grafana holds is compared first, so a second push changes nothing and says so. What Grafana adds
by itself (defaults, newer forms of its own) is no difference; what a person has changed is, and goes.
Rules that others have put into the group stay in it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from logsvc.commands.grafana_api import Grafana
from logsvc.commands.grafana_files import SHIPPED_DATASOURCE, Datasource, RuleGroup, boards, rule_groups, seconds
from logsvc.errors import BadInput, Conflict

GROUP = "/api/v1/provisioning/folder/{}/rule-groups/{}"
RULE = "/api/v1/provisioning/alert-rules/{}"


@dataclass(frozen=True)
class Wanted:
    """
    What to push.

    Attributes:
        folder: of Grafana; made where it is missing.
        datasource_url: where Grafana reaches Prometheus; None: a datasource that Grafana has.
        viewer: address of logsvc for readers; None: as the boards are shipped.
        dry_run: change nothing, say what would be.
    """

    folder: str
    datasource_url: str | None
    viewer: str | None
    dry_run: bool


@dataclass(frozen=True)
class Change:
    """What became of one thing: `created`, `updated` or `unchanged`."""

    what: str
    name: str
    done: str


def token_of(file: Path | None) -> str:
    """
    `--token-file`, or `LOGSVC_GRAFANA_TOKEN`.

    Raises:
        BadInput: there is none, or the file cannot be read.
    """
    try:
        token = file.read_text(encoding="ascii") if file else os.environ.get("LOGSVC_GRAFANA_TOKEN", "")
    except (OSError, UnicodeDecodeError) as exc:
        raise BadInput(f"The token file {file} cannot be read: {exc}.") from exc
    if not token.strip():
        raise BadInput(
            "A token is needed: make a service account in Grafana (role Admin, or Editor where a datasource is there), "
            "and put its token into LOGSVC_GRAFANA_TOKEN or a file for --token-file."
        )
    return token.strip()


def push(grafana: Grafana, wanted: Wanted) -> Iterator[Change]:
    """Do it step by step; each change is told once it is made."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", wanted.folder):
        raise BadInput("A folder is named by 1 to 40 letters, digits, `-` and `_`.")
    grafana.check()
    pushing = _Pushing(grafana, wanted)
    yield pushing.folder()
    datasource, change = pushing.datasource()
    yield change
    for board in boards(datasource, wanted.viewer):
        yield pushing.board(board)
    for group in rule_groups(datasource, wanted.folder):
        yield from pushing.rules(group)


class _Pushing:
    def __init__(self, grafana: Grafana, wanted: Wanted) -> None:
        self._grafana, self._wanted = grafana, wanted

    def folder(self) -> Change:
        name = self._wanted.folder
        if self._grafana.find("/api/folders/{}", name) is not None:
            return Change("folder", name, "unchanged")  # under whatever title people gave it
        if not self._wanted.dry_run:
            self._grafana.post("/api/folders", {"uid": name, "title": name})
        return Change("folder", name, "created")

    def datasource(self) -> tuple[Datasource, Change]:
        url = self._wanted.datasource_url
        held = self._grafana.find("/api/datasources/uid/{}", SHIPPED_DATASOURCE)
        if url is None:
            chosen = held or self._some_prometheus()
            return Datasource(chosen["uid"], chosen["name"]), Change("datasource", chosen["name"], "unchanged")
        ours = {
            "uid": SHIPPED_DATASOURCE,
            "name": "logsvc",
            "type": "prometheus",
            "access": "proxy",
            "url": url,
            "jsonData": {"httpMethod": "POST"},
        }
        if held is None:
            if not self._wanted.dry_run:
                self._grafana.post("/api/datasources", ours)
            return Datasource(SHIPPED_DATASOURCE, "logsvc"), Change("datasource", "logsvc", "created")
        found = Datasource(SHIPPED_DATASOURCE, held["name"])
        if (held["type"], held["url"]) == ("prometheus", url):
            return found, Change("datasource", found.name, "unchanged")
        if held.get("readOnly"):
            raise Conflict(
                f"The datasource {found.name} comes from a file of the Grafana server; change its URL there."
            )
        if not self._wanted.dry_run:
            body = {**held, "type": "prometheus", "url": url}  # its name, headers and the like stay
            self._grafana.put("/api/datasources/uid/{}", SHIPPED_DATASOURCE, body=body)
        return found, Change("datasource", found.name, "updated")

    def _some_prometheus(self) -> dict[str, Any]:
        found = [one for one in self._grafana.find("/api/datasources") or () if one["type"] == "prometheus"]
        chosen = [one for one in found if one.get("isDefault")] or found
        if len(chosen) != 1:
            names = f"several ({', '.join(one['name'] for one in found)})" if found else "none"
            raise BadInput(f"Of datasources of the type Prometheus this Grafana has {names}: give --datasource-url.")
        return dict(chosen[0])

    def board(self, board: dict[str, Any]) -> Change:
        held = self._grafana.find("/api/dashboards/uid/{}", board["uid"])
        if held is not None:
            meta = held["meta"]
            if meta.get("folderUid") == self._wanted.folder and _says(held["dashboard"], board, newer="schemaVersion"):
                return Change("dashboard", board["title"], "unchanged")
            if meta.get("provisioned"):
                raise Conflict(
                    f"The dashboard {board['title']} comes from a file of the Grafana server; change it there."
                )
        if not self._wanted.dry_run:
            body = {"dashboard": board, "folderUid": self._wanted.folder, "overwrite": True, "message": "logsvc push"}
            self._grafana.post("/api/dashboards/db", body)
        return Change("dashboard", board["title"], "created" if held is None else "updated")

    def rules(self, group: RuleGroup) -> Iterator[Change]:
        """What is new is posted first: before 11.5 a group takes rules with uids of our own only if they are there."""
        held = {rule["uid"]: self._grafana.find(RULE, rule["uid"]) for rule in group.rules}
        before = self._grafana.find(GROUP, self._wanted.folder, group.name)
        others = [rule for rule in (before or {}).get("rules", ()) if rule["uid"] not in held]
        everything = [*filter(None, held.values()), *others]
        editable = _editable(everything)
        for rule in group.rules:
            there = held[rule["uid"]]
            if there is not None:
                rule["isPaused"] = there.get("isPaused", False)  # whoever paused it has a reason
            if there is None and not self._wanted.dry_run:
                self._grafana.post("/api/v1/provisioning/alert-rules", rule, editable=editable)
            done = "created" if there is None else "unchanged" if _same_rule(there, rule) else "updated"
            yield Change("alert rule", rule["title"], done)
        posted = any(there is None for there in held.values())
        if before is not None and not posted and _same_group(before, group):
            yield Change("rule group", group.name, "unchanged")
            return
        if not self._wanted.dry_run:
            body = {
                "title": group.name,
                "folderUid": self._wanted.folder,
                "interval": group.interval_seconds,
                "rules": [*group.rules, *others],
            }
            self._grafana.put(GROUP, self._wanted.folder, group.name, body=body, editable=editable)
        yield Change("rule group", group.name, "created" if before is None else "updated")


def _editable(rules: list[dict[str, Any]]) -> bool:
    """Whether the rules are nobody's but people's: Grafana refuses to take them from the API or from a file."""
    for rule in rules:
        if rule.get("provenance") == "file":
            raise Conflict(f"The alert rule {rule['title']} comes from a file of the Grafana server; change it there.")
    return not any(rule.get("provenance") for rule in rules)


def _same_group(held: dict[str, Any], group: RuleGroup) -> bool:
    rules = held["rules"][: len(group.rules)]
    return (
        held["interval"] == group.interval_seconds
        and [rule["uid"] for rule in rules] == [rule["uid"] for rule in group.rules]
        and all(map(_same_rule, rules, group.rules))
    )


def _same_rule(held: dict[str, Any], ours: dict[str, Any]) -> bool:
    def plain(rule: dict[str, Any]) -> dict[str, Any]:
        return {**rule, "for": seconds(rule["for"])}  # 60s and 1m

    same_notes = all(held.get(name) == ours[name] for name in ("annotations", "labels"))
    return same_notes and _says(plain(held), plain(ours))


def _says(held: Any, ours: Any, *, newer: str | None = None) -> bool:
    """Whether all of ours stands in what is held; `newer` names a number that may have grown."""
    if isinstance(ours, dict):
        return isinstance(held, dict) and all(
            held.get(name, 0) >= value if name == newer else name in held and _says(held[name], value)
            for name, value in ours.items()
        )
    if isinstance(ours, list):
        return isinstance(held, list) and len(held) == len(ours) and all(map(_says, held, ours))
    return bool(held == ours) and isinstance(held, bool) == isinstance(ours, bool)
