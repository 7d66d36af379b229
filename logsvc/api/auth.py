"""Who may come in: a bearer token, or the session cookie of the viewer's page.

One gate stands before every address, so that no call can be forgotten. Open are the page itself
and its files (they hold no data) and the health checks. What a caller may do then is `api/rights.py`.
"""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from logsvc.api.errors import refuse
from logsvc.api.rights import OPEN_BELOW, OPEN_PATHS
from logsvc.core.access import Principal
from logsvc.core.auth import Tokens
from logsvc.core.failures import Failures
from logsvc.core.tokens import operating_user
from logsvc.errors import Forbidden, LogsvcError, Unauthorized
from logsvc.settings import Settings, is_loopback

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
# A page from here runs its own files only, and no other page may frame it.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# The viewer never writes HTML; `/docs` does.
VIEWER_POLICY = f"{PAGE_POLICY}; require-trusted-types-for 'script'; trusted-types 'none'"
_GUARDS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; sandbox"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]


class Gate:
    """ASGI: asks who it is, puts the `Principal` into `scope["state"]`, and guards every answer's headers."""

    def __init__(self, app: ASGIApp, settings: Settings, tokens: Tokens, failures: Failures) -> None:
        self._app, self._settings, self._tokens, self._failures = app, settings, tokens, failures
        self._nobody = Principal(operating_user(), "admin")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        if scope["type"] == "http":
            send = _guarded(send)
        try:
            scope.setdefault("state", {})["principal"] = await self._principal(scope)
        except LogsvcError as error:
            await refuse(error, scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _principal(self, scope: Scope) -> Principal | None:
        headers = Headers(scope=scope)
        path = scope["path"]
        if not self._settings.auth:
            self._check_host(headers)
            self._check_origin(scope, headers, by_cookie=True)
            return self._nobody
        if scope["type"] == "http" and (path in OPEN_PATHS or path.startswith(OPEN_BELOW)):
            return None
        token = bearer(headers)
        if token is not None:
            principal = await self._tokens.by_token(token)
        else:
            principal = await self._by_cookie(headers)
        if principal is None:
            if token is not None:
                self._failures.count(address(scope))
            raise Unauthorized(
                "This needs a token that the service knows: send `Authorization: Bearer <token>`, "
                "or open the address that `logsvc serve` printed."
            )
        self._check_origin(scope, headers, by_cookie=token is None)
        return principal

    async def _by_cookie(self, headers: Headers) -> Principal | None:
        for text in headers.getlist("cookie"):
            try:
                held = SimpleCookie(text).get(self._tokens.cookie_name)
            except CookieError:
                continue
            if held:
                return await self._tokens.by_session(held.value)
        return None

    def _check_origin(self, scope: Scope, headers: Headers, *, by_cookie: bool) -> None:
        """
        Browsers send cookies along with what other sites ask; `Origin` tells who asked.

        Raises: Forbidden.
        """
        websocket = scope["type"] == "websocket"
        if not websocket and (not by_cookie or scope["method"] in SAFE_METHODS):
            return
        origin = headers.get("origin")
        if origin is None:
            # Programs send none; a browser always does on what is checked here.
            if by_cookie and self._settings.auth:
                raise Forbidden("A change by cookie needs an Origin header that equals the Host.")
            return
        same_host = urlsplit(origin).netloc.lower() == headers.get("host", "").lower() != ""
        if not same_host and origin.lower() != self._settings.public_url:
            raise Forbidden(
                f"The page at {origin[:100]!a} may not use this service; if a proxy stands in front, set public_url."
            )

    def _check_host(self, headers: Headers) -> None:
        """Without authentication, a name that a foreign page made point here (DNS rebinding) is turned away."""
        host = urlsplit(f"//{headers.get('host', '')}").hostname or ""
        public = urlsplit(self._settings.public_url or "").hostname
        if not is_loopback(host) and host != public:
            raise Forbidden("Authentication is off, so the service answers under the name localhost only.")


def address(scope: Scope) -> str:
    """Where a request comes from; empty where that is unknown, as behind a Unix socket."""
    client = scope.get("client")
    return client[0] if client else ""


def bearer(headers: Headers) -> str | None:
    """The bearer token of a request; None where it carries none (another scheme is an empty one)."""
    text = headers.get("authorization")
    if text is None:
        return None
    scheme, _, token = text.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _guarded(send: Send) -> Send:
    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = message["headers"] = list(message.get("headers", ()))
            there = {name.lower() for name, _ in headers}
            headers += [pair for pair in _GUARDS if pair[0] not in there]
        await send(message)

    return guarded
