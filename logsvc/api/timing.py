"""Counts what is asked and how long it took, and which chunks and reports were refused for what."""

from __future__ import annotations

import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from logsvc.api.services import API
from logsvc.metrics import Metrics

INGEST = (f"{API}/chunks", f"{API}/batch")
SAMPLES = f"{API}/samples"

log = logging.getLogger(__name__)


class Timed:
    """ASGI: times each HTTP request under the name of its call; followers are no requests."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        call = call_of(scope["method"], scope["path"])
        started = time.perf_counter()
        if log.isEnabledFor(logging.DEBUG):
            send = _logged(scope, send, started)
        try:
            await self._app(scope, receive, send)
        finally:
            self._metrics.answered(call, time.perf_counter() - started)
            code = scope.get("state", {}).get("error_code")
            if code is not None and call in ("ingest", "samples"):
                self._metrics.ingest_errors.labels(code).inc()


def call_of(method: str, path: str) -> str:
    """One of `metrics.CALLS`."""
    if method == "POST":
        if path in INGEST:
            return "ingest"
        if path == SAMPLES:
            return "samples"
    if not path.startswith(API):
        return "other"
    last = path.rpartition("/")[2]
    if last == "lines":
        return "lines"
    if last in ("matches", "search", "overview"):
        return "search"
    if last == "utilization":
        return "utilization"
    return "jobs" if path.startswith(f"{API}/jobs") and last not in ("download", "streams") else "other"


def _logged(scope: Scope, send: Send, started: float) -> Send:
    """Tells of each answer; never of the query, which may hold a token or what somebody looks for."""

    async def logged(message: Message) -> None:
        if message["type"] == "http.response.start":
            told = {"method": scope["method"], "path": scope["path"], "status": message["status"]}
            log.debug("answered", extra={**told, "seconds": round(time.perf_counter() - started, 4)})
        await send(message)

    return logged
