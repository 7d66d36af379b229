"""What the calls work with: made by `app.build_app`, found through the request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TypeVar, cast

from starlette.requests import ClientDisconnect, Request

from logsvc.api.body import Bodies
from logsvc.core.access import Access, Principal
from logsvc.core.auth import Tokens
from logsvc.core.failures import Failures
from logsvc.core.follow import Hub
from logsvc.core.ingest import Ingest
from logsvc.core.jobs import Jobs
from logsvc.core.monitor import Monitor
from logsvc.core.samples import Samples
from logsvc.core.search import Search
from logsvc.core.utilization import Utilization
from logsvc.metrics import Metrics
from logsvc.ports import Clock, LogStore
from logsvc.settings import Settings

API = "/api/v1"
_T = TypeVar("_T")


@dataclass(frozen=True)
class Services:
    """Everything of one service that its calls may use."""

    settings: Settings
    clock: Clock
    store: LogStore
    tokens: Tokens
    access: Access
    failures: Failures
    ingest: Ingest
    samples: Samples
    monitor: Monitor
    utilization: Utilization
    jobs: Jobs
    search: Search
    hub: Hub
    bodies: Bodies
    metrics: Metrics
    searches: asyncio.Semaphore


def services(request: Request) -> Services:
    """Those of the application that was asked."""
    return cast(Services, request.app.state.services)


def principal(request: Request) -> Principal:
    """Whoever asks; the gate let nobody else through."""
    return cast(Principal, request.scope["state"]["principal"])


async def while_connected(request: Request, work: Awaitable[_T]) -> _T:
    """
    The result of `work`, which is cancelled when the reader goes away.

    Raises: ClientDisconnect.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        gone.cancel()
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
