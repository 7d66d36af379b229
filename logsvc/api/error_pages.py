"""Errors for people: where a browser asked for a page, it gets one instead of JSON."""

from __future__ import annotations

import json
from html import escape

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from logsvc.api import html
from logsvc.api.words import LANGUAGES, language

CODES = {"unauthorized", "forbidden", "not_found", "expired"}


class ErrorPages:
    """ASGI: an error in JSON that answers a browser's own navigation becomes a page with the same status."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or "text/html" not in Headers(scope=scope).get("accept", ""):
            await self._app(scope, receive, send)
            return
        start: Message | None = None
        body = b""

        async def sent(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start" and _is_error(message):
                start = message
            elif start is None:
                await send(message)
            else:
                body += message.get("body", b"")
                if not message.get("more_body"):
                    await _page(start, body, scope)(scope, receive, send)

        await self._app(scope, receive, sent)


def _is_error(start: Message) -> bool:
    headers = Headers(raw=start["headers"])
    return start["status"] >= 400 and headers.get("content-type", "") == "application/json"


def _page(start: Message, body: bytes, scope: Scope) -> Response:
    lang = language(Headers(scope=scope).get("accept-language", ""))
    words = LANGUAGES[lang]
    error = json.loads(body)["error"]
    name = error["code"] if error["code"] in CODES else "unavailable" if start["status"] == 503 else "other"
    said = "" if name == "unauthorized" else f'<p lang="en">{escape(error["message"])}</p>\n'
    more = f"{said}<nav>{html.link('/', words['home'], main=True)}</nav>"
    page = html.notice(words[name], words[f"{name}_how"], lang, status=start["status"], more=more)
    for header, value in Headers(raw=start["headers"]).items():
        page.headers.setdefault(header, value)
    return page
