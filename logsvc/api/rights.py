"""Which right each call needs. A call that is not in the table cannot be served: the application is not built."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Literal

from starlette.routing import BaseRoute, Mount, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from logsvc.api.errors import refuse
from logsvc.api.services import API
from logsvc.core.access import Access, Principal, Right
from logsvc.errors import LogsvcError


@dataclass(frozen=True)
class Need:
    """
    What a call needs.

    Attributes:
        of: what its address names, whose job must be in the caller's scope. Jobs that stand in a query or a body
            are looked at by the call itself.
    """

    right: Right
    of: Literal["job", "stream"] | None = None


OPEN = Need(Right.OPEN)
KNOWN = Need(Right.KNOWN)
ADMIN = Need(Right.ADMIN)
OF_JOB = Need(Right.READ, "job")
OF_STREAM = Need(Right.READ, "stream")

# HEAD needs what GET does.
CALLS: dict[tuple[str, str], Need] = {
    ("GET", "/"): OPEN,
    ("GET", "/favicon.ico"): OPEN,
    ("GET", "/healthz"): OPEN,
    ("GET", "/readyz"): OPEN,
    ("GET", "/static"): OPEN,
    ("GET", "/metrics"): KNOWN,
    ("GET", "/docs"): KNOWN,
    ("GET", f"{API}/openapi.json"): KNOWN,
    ("POST", f"{API}/chunks"): Need(Right.WRITE),
    ("GET", f"{API}/chunks"): Need(Right.WRITE),
    ("POST", f"{API}/batch"): Need(Right.WRITE),
    ("POST", f"{API}/offsets"): Need(Right.WRITE),
    ("POST", f"{API}/samples"): Need(Right.WRITE),
    ("PUT", f"{API}/jobs/{{job}}"): Need(Right.WRITE, "job"),
    ("GET", f"{API}/jobs/{{job}}"): Need(Right.LOOK, "job"),
    ("GET", f"{API}/jobs/{{job}}/streams"): Need(Right.LOOK, "job"),
    ("GET", f"{API}/jobs"): Need(Right.READ),
    ("GET", f"{API}/search"): Need(Right.READ),
    ("GET", f"{API}/jobs/{{job}}/utilization"): OF_JOB,
    ("GET", f"{API}/jobs/{{job}}/download"): OF_JOB,
    ("GET", f"{API}/jobs/{{job}}/secrets"): OF_JOB,
    ("GET", f"{API}/streams/{{id}}/lines"): OF_STREAM,
    ("GET", f"{API}/streams/{{id}}/matches"): OF_STREAM,
    ("GET", f"{API}/streams/{{id}}/overview"): OF_STREAM,
    ("GET", f"{API}/streams/{{id}}/raw"): OF_STREAM,
    ("GET", f"{API}/streams/{{id}}/sha256"): OF_STREAM,
    ("GET", "/plain/{stream}"): OF_STREAM,
    ("POST", f"{API}/tokens"): ADMIN,
    ("GET", f"{API}/tokens"): ADMIN,
    ("DELETE", f"{API}/tokens/{{id}}"): ADMIN,
    ("WS", f"{API}/streams/{{id}}/follow"): OF_STREAM,
}

OPEN_PATHS = frozenset(path for (_, path), need in CALLS.items() if need is OPEN) - {"/static"}
OPEN_BELOW = ("/static/",)


class Guarded:
    """ASGI: one call, for those who have its right."""

    def __init__(self, app: ASGIApp, need: Need, access: Access) -> None:
        self._app, self._need, self._access = app, need, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        who: Principal = scope["state"]["principal"]
        try:
            self._access.allow(who, self._need.right)
            if self._need.of and not who.everything:
                await self._look(who, next(iter(scope["path_params"].values())))
        except LogsvcError as error:
            await refuse(error, scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _look(self, who: Principal, named: str) -> None:
        if self._need.of == "stream":
            await self._access.see_stream(who, named)
        elif self._need.right is Right.WRITE:
            await self._access.write_job(who, named)
        else:
            await self._access.see_job(who, named)


def guarded(route: BaseRoute, access: Access) -> BaseRoute:
    """
    The route with its guard before it.

    Raises: KeyError: nobody has said who may call it; LookupError where its address names something unsaid.
    """
    [need] = {CALLS[call] for call in calls(route)}
    if need.right is Right.OPEN:
        return route
    if "{" in getattr(route, "path", "") and need.of is None and need.right is not Right.ADMIN:
        raise LookupError(f"rights: say what the address of {calls(route)} names")
    held: Any = copy.copy(route)  # routes are the module's, the guard is of one application
    held.app = Guarded(held.app, need, access)
    return held


def calls(route: BaseRoute) -> list[tuple[str, str]]:
    """Names of a route in the table."""
    path: str = getattr(route, "path", "")
    if isinstance(route, WebSocketRoute):
        return [("WS", path)]
    if isinstance(route, Mount):
        return [("GET", path)]
    methods: set[str] = getattr(route, "methods", None) or set()
    return sorted({("GET" if method == "HEAD" else method, path) for method in methods})
