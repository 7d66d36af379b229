"""The service's own log: one line an event, with fields; rendered by structlog, written by `logging`.

Modules call `logging.getLogger(__name__).info("event", extra={...})`; nothing below `app.py`
knows how that is shown. Query strings are never logged: they may hold a token.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from typing import Literal

import structlog

from logsvc.settings_sources import UnknownVariable

log = logging.getLogger(__name__)


def configure(log_format: Literal["console", "json"] = "console", level: str = "info") -> None:
    """Send every logger of the process to stderr in one form. Called once, by the command line."""
    shared: list[structlog.types.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[structlog.types.Processor]
    if log_format == "json":
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        colors = sys.stderr.isatty()
        last = [structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # uvicorn tells of each WebSocket at this level, with its query string.
    server = logging.getLogger("uvicorn.error")
    server.setLevel(logging.WARNING)
    server.addFilter(_refused_websockets)
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    # The HTTP client tells of each request, with an address that may hold the secret of a webhook's receiver.
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    logging.getLogger("httpcore2").setLevel(logging.WARNING)


def unknown_variables(found: Iterable[UnknownVariable]) -> None:
    """Warn of variables that look like settings and are none."""
    for one in found:
        log.warning("unknown_variable", extra={"variable": one.name, "nearest": one.nearest})


def _refused_websockets(record: logging.LogRecord) -> bool:
    """False for what uvicorn says, mistakenly, of each WebSocket that was refused with an HTTP answer."""
    return record.msg != "ASGI callable returned without completing handshake."
