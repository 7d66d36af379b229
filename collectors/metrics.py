"""`/metrics` and `/healthz` of a collector, on this machine only.

Prometheus's text form, made from the report that `logsvc-collector status` prints. 127.0.0.1 and
GET of those two pages: nothing else is served.
"""

from __future__ import annotations

import socketserver
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler

from collectors.status import STUCK_SECONDS, Report

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
REQUEST_SECONDS = 5.0  # until a client that says nothing is hung up on


def exposition(report: Report, now: float) -> str:
    """
    The page of metrics.

    Args:
        report: of `report_of`.
        now: seconds since 1970.
    """
    page = _Page()
    page.add("files", "gauge", "Files followed", report["files_followed"])
    page.add("files_waiting", "gauge", "Files with bytes that the service has not taken", report["files_waiting"])
    page.add("files_skipped", "gauge", "Files that are not sent; `status` says why", report["files_skipped"])
    page.add("bytes_behind", "gauge", "Bytes that the service has not taken", report["bytes_behind"])
    up_to_date = report["bytes_behind"] == 0 and report["problem"] is None
    page.add("up_to_date", "gauge", "1 where nothing waits and the service answers", int(up_to_date))
    page.add("bytes_sent_total", "counter", "Bytes that the service has taken", report["bytes_sent"])
    page.add("gaps_total", "counter", "Places in logs where bytes are lost for good", report["gaps"])
    page.add("lost_bytes_total", "counter", "Bytes lost for good", report["lost_bytes"])
    page.add(
        "rank_conflicts", "gauge", "Processes that two sources give different ranks", len(report["rank_conflicts"])
    )
    page.head("errors_total", "counter", "What went wrong, by kind")
    for kind, count in sorted(report["errors"].items()):
        page.value("errors_total", count, f'{{kind="{kind}"}}')
    if report["sampling"] is not None:
        _add_sampling(page, report["sampling"])
    page.add("start_timestamp_seconds", "gauge", "When this collector began", now - report["running_seconds"])
    if report["answered_seconds_ago"] is not None:
        page.add(
            "last_success_timestamp_seconds",
            "gauge",
            "When the service last took a request",
            now - report["answered_seconds_ago"],
        )
    if report["newest_line_seconds_ago"] is not None:
        page.add(
            "newest_line_seconds",
            "gauge",
            "Since a followed file was last written to",
            report["newest_line_seconds_ago"],
        )
    return page.text()


def _add_sampling(page: _Page, sampling: Report) -> None:
    page.head("sampler_up", "gauge", "1 where the sampler reads, 0 where it fails, hangs or has gone")
    for sampler in sampling["samplers"]:
        page.value("sampler_up", int(sampler["state"] == "ok"), f'{{sampler="{sampler["name"]}"}}')
    page.add(
        "readings_sent_total", "counter", "Readings of samplers that the service has taken", sampling["readings_sent"]
    )
    page.add("readings_waiting", "gauge", "Readings that the service has not taken", sampling["readings_waiting"])
    page.add("readings_lost_total", "counter", "Readings lost for good", sampling["readings_dropped"])


class MetricsServer:
    """Serves the page until closed."""

    def __init__(self, port: int, report: Callable[[], Report]) -> None:
        """Raises OSError where the port is taken, OverflowError where there is no such port."""
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.report = report
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Serve no more; may be called twice."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Page:
    """Lines of Prometheus's text form."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(self, name: str, kind: str, help_text: str, value: float) -> None:
        self.head(name, kind, help_text)
        self.value(name, value)

    def head(self, name: str, kind: str, help_text: str) -> None:
        self._lines.append(f"# HELP logsvc_collector_{name} {help_text}.")
        self._lines.append(f"# TYPE logsvc_collector_{name} {kind}")

    def value(self, name: str, value: float, labels: str = "") -> None:
        self._lines.append(f"logsvc_collector_{name}{labels} {value!r}")

    def text(self) -> str:
        return "\n".join(self._lines) + "\n"


class _Server(socketserver.ThreadingTCPServer):
    """Not `HTTPServer`: that one asks the name service who 127.0.0.1 is."""

    allow_reuse_address = True
    daemon_threads = True
    report: Callable[[], Report]


class _Handler(BaseHTTPRequestHandler):
    timeout = REQUEST_SECONDS
    server: _Server

    def log_message(self, *args: object) -> None:
        """Quiet: stderr is for what a person must know."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._answer(200, exposition(self.server.report(), time.time()))
        elif path == "/healthz":
            stuck = self.server.report()["step_seconds_ago"] >= STUCK_SECONDS
            self._answer(503 if stuck else 200, "stuck\n" if stuck else "ok\n")
        else:
            self._answer(404, "/metrics and /healthz\n")

    def _answer(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
