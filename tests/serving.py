"""The service for tests: in process without sockets, or behind a real uvicorn on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import uvicorn
from fastapi import FastAPI
from websockets.asyncio.client import ClientConnection, connect

from builders import JOB, TASK, HandClock
from logsvc.app import Service, build_app
from logsvc.model.stream import ordinary_path
from logsvc.serve import listen
from logsvc.settings import Settings
from logsvc.stores.embedded.store import EmbeddedStore
from logsvc.stores.memory import MemoryStore

LOG = {"job": JOB, "task": TASK, "path": ordinary_path(JOB, TASK)}


@dataclass
class Served:
    """A running service and an HTTP client that has its admin token."""

    app: FastAPI
    http: httpx2.AsyncClient
    address: str  # host:port

    @property
    def service(self) -> Service:
        held: Service = self.app.state.service
        return held

    @property
    def token(self) -> str:
        return self.service.services.tokens.admin_token

    async def write(self, data: bytes, *, offset: int = 0, **more: Any) -> str:
        """Send a chunk of the usual log; the stream's id."""
        query = {**LOG, "offset": offset, **more}
        response = await self.http.post("/api/v1/chunks", params=query, content=data)
        assert response.status_code == 200, response.text
        return str(response.json()["stream"])

    async def get(self, path: str, /, **query: Any) -> Any:
        """JSON of a GET that succeeds."""
        response = await self.http.get(f"/api/v1{path}", params=query)
        assert response.status_code == 200, response.text
        return response.json()

    def follow(self, stream: str, query: str = "", **more: Any) -> connect:
        """A WebSocket that follows a stream."""
        headers = more.pop("headers", {"Authorization": f"Bearer {self.token}"})
        address = f"ws://{self.address}/api/v1/streams/{stream}/follow{query}"
        return connect(address, additional_headers=headers, compression=None, max_size=None, proxy=None, **more)


def a_store(kind: str, folder: Path, clock: Any) -> Any:
    """A store by name, for tests that run on each."""
    return MemoryStore(clock) if kind == "memory" else EmbeddedStore(folder, clock=clock)


@contextlib.asynccontextmanager
async def in_process(folder: Path, *, store: Any = None, clock: Any = None, **settings: Any) -> AsyncIterator[Served]:
    """A service without sockets, on a memory store unless said otherwise."""
    clock = clock or HandClock()
    app = build_app(Settings.load(data_dir=folder, **settings), store=store or MemoryStore(clock), clock=clock)
    service: Service = app.state.service
    await service.open()
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {service.services.tokens.admin_token}"}
    try:
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as http:
            yield Served(app, http, "localhost")
    finally:
        await service.close()


@contextlib.asynccontextmanager
async def on_loopback(folder: Path, *, store: Any = None, clock: Any = None, **settings: Any) -> AsyncIterator[Served]:
    """A service behind uvicorn, as `logsvc serve` runs it."""
    clock = clock or HandClock()
    given = Settings.load(data_dir=folder, **settings)
    app = build_app(given, store=store or MemoryStore(clock), clock=clock)
    listening = listen("127.0.0.1", 0)
    address = f"127.0.0.1:{listening.getsockname()[1]}"
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve([listening]))
    try:
        while not server.started:
            assert not serving.done(), "the service did not start"
            await asyncio.sleep(0.01)
        headers = {"Authorization": f"Bearer {app.state.services.tokens.admin_token}"}
        async with httpx2.AsyncClient(base_url=f"http://{address}", headers=headers, trust_env=False) as http:
            yield Served(app, http, address)
    finally:
        server.should_exit = True
        await serving
        listening.close()


async def eventually(condition: Callable[[], Any], *, seconds: float = 2.0) -> None:
    """Wait until it holds: for what happens in other tasks, without a moment that a test could wait for."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def lines_until(socket: ClientConnection, n: int) -> list[dict[str, Any]]:
    """All lines up to line `n`; asserts that none is missing or comes twice (in the view of all lines)."""
    got: list[dict[str, Any]] = []
    while not got or got[-1]["n"] < n:
        message = json.loads(await asyncio.wait_for(socket.recv(), 10))
        assert "gap" not in message, message
        got += message.get("lines", [])
    return got
