"""The one table code -> status, and the one form in which every error leaves the service.

Whatever is not in the tree of `logsvc.errors` is a 500: logged once with its trace, while the
reader sees a request id to ask the operator about.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from logsvc.errors import BadBody, BadInput, LogsvcError

STATUS = {
    "bad_input": 422,
    "bad_path": 422,
    "bad_pattern": 422,
    "archive_required": 422,
    "bad_body": 400,
    "too_large": 413,
    "unknown_encoding": 415,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "range_not_satisfiable": 416,
    "conflict": 409,
    "offset_gap": 409,
    "content_conflict": 409,
    "expired": 410,
    "too_many_requests": 429,
    "store_unavailable": 503,
    "disk_full": 507,
    "internal": 500,
}

log = logging.getLogger(__name__)


class MethodNotAllowed(LogsvcError):
    """The address takes other methods."""

    code = "method_not_allowed"


class RangeNotSatisfiable(LogsvcError):
    """The range asked for starts past the end."""

    code = "range_not_satisfiable"


def error_body(error: LogsvcError) -> dict[str, Any]:
    """The public form of an error."""
    return {"error": {"code": error.code, "message": error.message, "detail": error.detail}}


def error_response(error: LogsvcError, headers: dict[str, str] | None = None) -> Response:
    """An error as an answer."""
    status = STATUS.get(error.code, 500)
    headers = dict(headers or {})
    if status in (429, 503, 507):
        headers["Retry-After"] = str(error.detail.get("retry_after_seconds", 2))
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="logsvc"'
    return JSON(error_body(error), status, headers)


async def refuse(error: LogsvcError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer an error, on a WebSocket before its upgrade."""
    note(scope, error)
    response = error_response(error)
    if scope["type"] == "http":
        await response(scope, receive, send)
        return
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008, "reason": error.code})
        return
    await send(
        {"type": "websocket.http.response.start", "status": response.status_code, "headers": response.raw_headers}
    )
    await send({"type": "websocket.http.response.body", "body": bytes(response.body)})


def note(scope: Scope, error: LogsvcError) -> None:
    """Leave the code of an error where `api/timing.py` counts it."""
    scope.setdefault("state", {})["error_code"] = error.code


class JSON(Response):
    """An answer in JSON, encoded by orjson."""

    media_type = "application/json"

    def __init__(self, content: Any, status_code: int = 200, headers: dict[str, str] | None = None) -> None:
        super().__init__(orjson.dumps(content), status_code, headers)


def install(app: FastAPI) -> None:
    """Let the application answer every error in the one form."""
    app.add_exception_handler(LogsvcError, _known)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


def invalid(found: Sequence[Any]) -> LogsvcError:
    """What pydantic found wrong, as one error that names each field."""
    if any(one["type"] == "json_invalid" for one in found):
        return BadBody(f"The body is not JSON: {found[0]['msg'].removeprefix('Invalid JSON: ')}.")
    told = []
    for one in found:
        where = ".".join(str(part) for part in one["loc"] if part not in ("body", "query", "path"))
        told.append({"parameter": where or None, "problem": one["msg"].removeprefix("Value error, ")})
    sentence = "; ".join(": ".join(part for part in (one["parameter"], one["problem"]) if part) for one in told)
    return BadInput(f"{sentence}.", parameter=told[0]["parameter"], problems=told)


class Catch:
    """Outermost: what nobody foresaw becomes a 500 with a request id, logged once."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except (ClientDisconnect, ConnectionError):
            return
        except LogsvcError as error:
            # In the midst of a streamed answer: all that is left is to break it off.
            log.warning("answer_broken_off", extra={"path": scope["path"], "code": error.code, "reason": error.message})
            if started:
                raise BrokenOff from None
            note(scope, error)
            await error_response(error)(scope, receive, send)
        except Exception:
            request_id = secrets.token_hex(8)
            log.exception("request_failed", extra={"path": scope["path"], "request_id": request_id})
            if started:
                raise BrokenOff from None
            failure = LogsvcError(
                f"Something went wrong that should not have; the service's log tells more under {request_id}.",
                request_id=request_id,
            )
            note(scope, failure)
            await error_response(failure)(scope, receive, send)


class BrokenOff(Exception):
    """An answer could not be finished; the connection is closed. Told of in the log already."""


def _known(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, LogsvcError)
    note(request.scope, exc)
    return error_response(exc)


def _invalid(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, RequestValidationError)
    return error_response(invalid(exc.errors()))


def _http(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    if exc.status_code == 405:
        allowed = ", ".join(_methods(request))
        taken: LogsvcError = MethodNotAllowed(f"{request.method} is not possible here, only {allowed}.")
        return error_response(taken, {"Allow": allowed})
    code = {400: "bad_body", 401: "unauthorized", 403: "forbidden", 404: "not_found", 413: "too_large"}.get(
        exc.status_code, "bad_input" if exc.status_code < 500 else "internal"
    )
    error = LogsvcError("There is nothing at this address." if exc.status_code == 404 else f"{exc.detail}.")
    error.code = code
    return error_response(error, dict(exc.headers or {}))


def _methods(request: Request) -> list[str]:
    """What the address takes, over all its routes; each route knows its own only."""
    return [
        method
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in request.app.routes)
    ]
