"""A Grafana that takes what the documented HTTP API takes, refuses what it refuses, and keeps it in dictionaries.

Like the real one it fills in defaults, lifts a board's schemaVersion, owns rules by their provenance,
and (before 11.5) does not know rules in a group that were not posted before.
"""

from __future__ import annotations

import copy
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

TOKENS = {"glsa_admin": 3, "glsa_editor": 2, "glsa_viewer": 1}
DURATION = re.compile(r"(\d+[smhdw])+")


class Refused(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, message: str) -> None:
        self.status, self.message = status, message


class FakeGrafana:
    """
    The state of a server.

    Attributes:
        writes: method and path of each call that was not a GET.
    """

    def __init__(self, version: str = "10.4.2") -> None:
        self.version: str | None = version
        self.folders: dict[str, dict[str, Any]] = {}
        self.datasources: dict[str, dict[str, Any]] = {}
        self.boards: dict[str, dict[str, Any]] = {}  # as {"dashboard", "meta"}
        self.rules: dict[str, dict[str, Any]] = {}
        self.intervals: dict[tuple[str, str], int] = {}
        self.writes: list[str] = []
        self.answer: tuple[int, dict[str, str], bytes] | None = None  # to everything: another program
        self.url = ""

    def call(self, method: str, path: str, headers: Any, body: Any) -> Any:
        """The answer to a request; raises Refused."""
        if path == "/api/health":
            return {"database": "ok", "commit": "1", **({"version": self.version} if self.version else {})}
        role = TOKENS.get(str(headers.get("Authorization", "")).removeprefix("Bearer "), 0)
        if not role:
            raise Refused(401, "Invalid API key")
        if method != "GET":
            self.writes.append(f"{method} {path}")
        least = 1 if method == "GET" else 3 if path.startswith("/api/datasources") else 2
        if role < least:
            raise Refused(403, "You'll need additional permissions to perform this action.")
        provenance = "" if headers.get("X-Disable-Provenance") else "api"
        parts = [unquote(part) for part in path.split("/")[2:]]
        match method, *parts:
            case "GET", "folders", uid:
                return _found(self.folders, uid, "folder not found")
            case "POST", "folders":
                return self._make_folder(body)
            case "GET", "datasources":
                return list(self.datasources.values())
            case "GET", "datasources", "uid", uid:
                return _found(self.datasources, uid, "Data source not found")
            case "POST", "datasources":
                return self._make_datasource(body)
            case "PUT", "datasources", "uid", uid:
                return self._change_datasource(uid, body)
            case "GET", "dashboards", "uid", uid:
                return _found(self.boards, uid, "Dashboard not found")
            case "POST", "dashboards", "db":
                return self._save_board(body)
            case "GET", "v1", "provisioning", "alert-rules", uid:
                return _found(self.rules, uid, "")
            case "POST", "v1", "provisioning", "alert-rules":
                return self._make_rule(body, provenance)
            case "GET", "v1", "provisioning", "folder", folder, "rule-groups", group:
                return self._group(folder, group)
            case "PUT", "v1", "provisioning", "folder", folder, "rule-groups", group:
                return self._change_group(folder, group, body, provenance)
        raise Refused(404, "Not found")

    def _make_folder(self, body: Any) -> Any:
        if not body.get("title") or not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", body["uid"]):
            raise Refused(400, "folder title cannot be empty")
        if body["uid"] in self.folders:
            raise Refused(412, "a folder with the same name already exists")
        self.folders[body["uid"]] = {"uid": body["uid"], "title": body["title"], "version": 1}
        return self.folders[body["uid"]]

    def _make_datasource(self, body: Any) -> Any:
        if not (body.get("name") and body.get("type") and body.get("access")):
            raise Refused(400, "bad request data")
        if body["name"] in {held["name"] for held in self.datasources.values()} or body["uid"] in self.datasources:
            raise Refused(409, "data source with the same name already exists")
        held = {"isDefault": False, "readOnly": False, "version": 1, "id": len(self.datasources) + 1, **body}
        self.datasources[body["uid"]] = held
        return {"datasource": held, "message": "Datasource added"}

    def _change_datasource(self, uid: str, body: Any) -> Any:
        held = _found(self.datasources, uid, "Data source not found")
        if held["readOnly"]:
            raise Refused(403, "Cannot update read-only data source")
        if not (body.get("name") and body.get("type") and body.get("access")):
            raise Refused(400, "bad request data")
        self.datasources[uid] = {**body, "version": held["version"] + 1}
        return {"datasource": self.datasources[uid], "message": "Datasource updated"}

    def _save_board(self, body: Any) -> Any:
        board = copy.deepcopy(body["dashboard"])
        held = self.boards.get(board["uid"])
        if not board.get("title"):
            raise Refused(400, "Dashboard title cannot be empty")
        if board.get("id"):
            raise Refused(404, "Dashboard not found")  # ids are of one server
        if body["folderUid"] not in self.folders:
            raise Refused(400, "folder not found")
        if held and held["meta"]["provisioned"]:
            raise Refused(400, "Cannot save provisioned dashboard")
        if held and not body.get("overwrite"):
            raise Refused(412, "The dashboard has been changed by someone else")
        version = held["dashboard"]["version"] + 1 if held else 1
        board |= {"id": len(self.boards) + 1, "version": version, "schemaVersion": 41, "weekStart": ""}
        for panel in board["panels"]:
            panel.setdefault("pluginVersion", "11")
        self.boards[board["uid"]] = {
            "dashboard": board,
            "meta": {"folderUid": body["folderUid"], "provisioned": False, "type": "db"},
        }
        return {"id": board["id"], "uid": board["uid"], "status": "success", "version": version}

    def _make_rule(self, body: Any, provenance: str) -> Any:
        if body["uid"] in self.rules:
            raise Refused(
                409, "a conflicting alert rule is found: rule UID under the same organisation should be unique"
            )
        rule = self._checked(body)
        self.intervals.setdefault((rule["folderUID"], rule["ruleGroup"]), 60)
        self.rules[rule["uid"]] = {**rule, "provenance": provenance}
        return self.rules[rule["uid"]]

    def _group(self, folder: str, group: str) -> Any:
        rules = [rule for rule in self.rules.values() if (rule["folderUID"], rule["ruleGroup"]) == (folder, group)]
        if not rules:
            raise Refused(404, "")
        return {"title": group, "folderUid": folder, "interval": self.intervals[folder, group], "rules": rules}

    def _change_group(self, folder: str, group: str, body: Any, provenance: str) -> Any:
        if not isinstance(body["interval"], int) or body["interval"] <= 0 or body["interval"] % 10:
            raise Refused(400, "interval should be non-zero and divided exactly by scheduler interval")
        new = [self._checked({**rule, "folderUID": folder, "ruleGroup": group}) for rule in body["rules"]]
        if self.version and self.version < "11.5" and any(rule["uid"] not in self.rules for rule in new):
            raise Refused(500, "Internal Server Error")
        for rule in new:
            held = self.rules.get(rule["uid"], {}).get("provenance", "")
            if held not in ("", provenance):
                raise Refused(409, f"cannot change provenance from '{held}' to '{provenance}'")
        kept = {rule["uid"]: {**rule, "provenance": provenance} for rule in new}
        others = {
            uid: rule
            for uid, rule in self.rules.items()
            if (rule["folderUID"], rule["ruleGroup"]) != (folder, group) and uid not in kept
        }
        self.rules = {**others, **kept}  # what the group does not name is deleted
        self.intervals[folder, group] = body["interval"]
        return body

    def _checked(self, body: Any) -> dict[str, Any]:
        rule: dict[str, Any] = copy.deepcopy(body)
        queries = {query["refId"]: query for query in rule["data"]}
        wrong = (
            (not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", rule["uid"]), "cannot create rule with UID"),
            (not rule["title"] or len(rule["title"]) > 190, "no rule title was specified"),
            (rule["folderUID"] not in self.folders, "folder does not exist"),
            (rule["condition"] not in queries, "condition does not exist, must be one of the queries"),
            (rule["noDataState"] not in ("Alerting", "NoData", "OK", "KeepLast"), "unknown NoData state"),
            (rule["execErrState"] not in ("Alerting", "Error", "OK", "KeepLast"), "unknown Error state"),
            (not DURATION.fullmatch(rule["for"]), "not a valid duration string"),
            ({"dashboardUid", "panelId"} & rule.keys(), "that is the form of files"),
        )
        for holds, message in wrong:
            if holds:
                raise Refused(400, f"invalid alert rule: {message}")
        for query in queries.values():
            if query["datasourceUid"] not in (*self.datasources, "__expr__"):
                raise Refused(400, f"invalid alert rule: data source {query['datasourceUid']} not found")
            query["model"] = {"intervalMs": 1000, "maxDataPoints": 43200, **query["model"]}
            query.setdefault("queryType", "")
        spelled = rule["for"].replace("m", "m0s") if rule["for"].endswith("m") else rule["for"]
        return {"isPaused": False, "orgID": 1, "id": 7, **rule, "for": spelled}


@contextmanager
def serving(fake: FakeGrafana) -> Iterator[FakeGrafana]:
    """The server on loopback, below /grafana as behind a proxy; `fake.url` is its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 65536  # one write an answer: two would wait for each other

        def log_message(self, *args: object) -> None:
            pass

        def _answer(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if fake.answer is not None:
                self._give(*fake.answer)
                return
            try:
                if not self.path.startswith("/grafana/api/"):
                    raise Refused(404, "Not found")
                told = fake.call(
                    self.command,
                    self.path.removeprefix("/grafana"),
                    self.headers,
                    json.loads(sent) if sent else None,
                )
                self._give(200, {}, json.dumps(told).encode())
            except Refused as refused:
                self._give(refused.status, {}, json.dumps({"message": refused.message}).encode())

        def _give(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = _answer

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_port}/grafana"
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _found(held: dict[str, Any], uid: str, message: str) -> Any:
    if uid not in held:
        raise Refused(404, message)
    return held[uid]
