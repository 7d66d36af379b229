"""The viewer's page, and `/docs` without the internet."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, HTMLResponse, Response

from logsvc.api.auth import PAGE_POLICY, VIEWER_POLICY, address
from logsvc.api.params import parameters, text
from logsvc.api.services import services
from logsvc.api.web_files import WEB, Index
from logsvc.errors import BadInput

router = APIRouter(include_in_schema=False)

OPENAPI_URL = "/api/v1/openapi.json"
DAY_SECONDS = 86_400
LOGIN = parameters(text("token", "Log in with this token.", longest=512))
INDEX = Index()
_PAGE_HEADERS = {"Content-Security-Policy": VIEWER_POLICY, "Cache-Control": "no-store"}
_DOCS_HEADERS = {"Content-Security-Policy": PAGE_POLICY, "Cache-Control": "no-store"}

_DOCS = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>logsvc: HTTP API</title>
<link rel="stylesheet" href="/static/vendor/swagger-ui/swagger-ui.css">
</head>
<body>
<div id="docs"></div>
<script src="/static/vendor/swagger-ui/swagger-ui-bundle.js"></script>
<script src="/static/docs-init.js"></script>
</body>
</html>
"""


@router.get("/")
async def index(request: Request) -> Response:
    """
    The page: it holds no data and asks for what it shows.

    `?token=` logs in. The cookie is set on the page itself, not on a redirect: a browser does not send a
    `SameSite=Strict` cookie along a redirect that began on another site. The page takes the token out of
    its address.
    """
    html = INDEX.html()
    try:
        token = LOGIN.read(request.scope["query_string"])["token"]
    except BadInput:
        token = ""
    held = services(request)
    if token is None or not held.settings.auth:
        return HTMLResponse(html, headers=_PAGE_HEADERS)
    if await held.tokens.by_token(token) is None:
        held.failures.count(address(request.scope))
        return HTMLResponse(html, 401, _PAGE_HEADERS)
    response = HTMLResponse(html, headers=_PAGE_HEADERS)
    response.set_cookie(
        held.tokens.cookie_name,
        held.tokens.session(token),
        max_age=held.settings.session_days * DAY_SECONDS,
        path="/",
        secure=held.settings.https,
        httponly=True,
        samesite="strict",
    )
    return response


@router.get("/docs")
async def docs(request: Request) -> Response:
    """Swagger UI on the files that come with the service."""
    return HTMLResponse(_DOCS, headers=_DOCS_HEADERS)


@router.get("/favicon.ico")
async def favicon(request: Request) -> Response:
    """Browsers ask for it, whatever the page says."""
    icon = WEB / "favicon.svg"
    if not icon.exists():
        return Response(status_code=204)
    return FileResponse(icon, media_type="image/svg+xml", headers={"Cache-Control": f"max-age={DAY_SECONDS}"})
