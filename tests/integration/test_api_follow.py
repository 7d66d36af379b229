"""Follow through a real uvicorn: who may, what comes, and how it ends."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from builders import HandClock
from serving import LOG, Served, a_store, eventually, lines_until, on_loopback


@pytest.fixture(params=["memory", "embedded"])
async def served(request: pytest.FixtureRequest, tmp_path: Path, clock: HandClock) -> AsyncIterator[Served]:
    folder = tmp_path / "data"
    async with on_loopback(folder, store=a_store(request.param, folder, clock), clock=clock) as served:
        yield served


async def refused(served: Served, stream: str, query: str = "", **more: Any) -> tuple[int, dict[str, Any]]:
    """Status and error of a WebSocket that is not let in."""
    with pytest.raises(InvalidStatus) as caught:
        async with served.follow(stream, query, **more):
            pass
    response = caught.value.response
    assert response.headers["content-type"] == "application/json"
    body: dict[str, Any] = json.loads(response.body or b"")
    assert set(body["error"]) == {"code", "message", "detail"}
    return response.status_code, body["error"]


async def test_lines_that_are_there_then_live(served: Served) -> None:
    stream = await served.write(b"one\ntwo\n")
    async with served.follow(stream) as socket:
        assert [line["text"] for line in await lines_until(socket, 2)] == ["one", "two"]
        await served.write(b"three\nfo", offset=8)
        assert [line["text"] for line in await lines_until(socket, 3)] == ["three"]
        partial = json.loads(await socket.recv())["partial"]
        assert (partial["n"], partial["text"]) == (4, "fo")
        await served.write(b"ur\n", offset=16, final=1)
        assert [line["text"] for line in await lines_until(socket, 4)] == ["four"]
        assert json.loads(await socket.recv()) == {"sealed": True, "next_stream": None}
        successor = await served.write(b"new\n", generation=1)
        assert json.loads(await socket.recv()) == {"sealed": True, "next_stream": successor}
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1000


async def test_from_and_user_lines(served: Served) -> None:
    stream = await served.write(b"one\n[Modelarts Service Log] x\r\nthree\n")
    async with served.follow(stream, "?from=-1&lines=user") as socket:
        assert [line["n"] for line in await lines_until(socket, 3)] == [3]


async def test_no_token_is_refused_before_the_upgrade(served: Served) -> None:
    stream = await served.write(b"one\n")
    status, error = await refused(served, stream, headers={})
    assert (status, error["code"]) == (401, "unauthorized")
    status, error = await refused(served, stream, headers={"Authorization": "Bearer wrong"})
    assert (status, error["code"]) == (401, "unauthorized")


async def test_unknown_streams_and_wrong_parameters(served: Served) -> None:
    stream = await served.write(b"one\n")
    assert (await refused(served, "nothing"))[0] == 404
    assert (await refused(served, "%00%ff"))[0] == 404
    status, error = await refused(served, stream, "?from=0")
    assert (status, error["detail"]["parameter"]) == (422, "from")
    assert (await refused(served, stream, "?lines=none"))[0] == 422


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1", "https://127.0.0.1.evil.example"]
)
async def test_pages_of_other_origins_are_refused(served: Served, origin: str) -> None:
    """The browser sends the cookie along; only `Origin` tells who asks."""
    stream = await served.write(b"one\n")
    tokens = served.service.services.tokens
    cookie = {"Cookie": f"{tokens.cookie_name}={tokens.session(served.token)}"}
    status, error = await refused(served, stream, headers=cookie, origin=origin)
    assert (status, error["code"]) == (403, "forbidden")
    bearer = {"Authorization": f"Bearer {served.token}"}
    assert (await refused(served, stream, headers=bearer, origin=origin))[0] == 403


async def test_the_own_page_follows_by_cookie(served: Served) -> None:
    stream = await served.write(b"one\n")
    tokens = served.service.services.tokens
    cookie = {"Cookie": f"other=1; {tokens.cookie_name}={tokens.session(served.token)}"}
    async with served.follow(stream, headers=cookie, origin=f"http://{served.address}") as socket:
        assert len(await lines_until(socket, 1)) == 1
    assert (await refused(served, stream, headers=cookie))[0] == 403  # no Origin, and no bearer token


async def test_public_url_is_an_origin_too(tmp_path: Path) -> None:
    async with on_loopback(tmp_path / "data", public_url="https://Logs.example.com/") as served:
        stream = await served.write(b"one\n")
        tokens = served.service.services.tokens
        cookie = {"Cookie": f"{tokens.cookie_name}={tokens.session(served.token)}"}
        async with served.follow(stream, headers=cookie, origin="https://logs.example.com") as socket:
            assert len(await lines_until(socket, 1)) == 1


async def test_stopping_with_viewers_connected(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """They are told (1012), it takes no second or two, and nothing is logged as an error."""
    loop = asyncio.get_running_loop()
    async with on_loopback(tmp_path / "data") as served:
        stream = await served.write(b"one\n")
        sockets = [await served.follow(stream) for _ in range(50)]
        for socket in sockets:
            await lines_until(socket, 1)
        assert served.service.services.hub.followers == 50
        stopped_at = loop.time()
    assert loop.time() - stopped_at < 2
    for socket in sockets:
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code in (1001, 1012)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_a_viewer_that_never_reads_does_not_hold_up_ingest_or_stopping(tmp_path: Path) -> None:
    async with on_loopback(tmp_path / "data", follow_frames_per_second=100) as served:
        stream = await served.write(b"one\n")
        reader, writer = await asyncio.open_connection(*served.address.split(":"))
        writer.write(
            f"GET /api/v1/streams/{stream}/follow HTTP/1.1\r\nHost: {served.address}\r\n"
            f"Authorization: Bearer {served.token}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        await reader.readuntil(b"\r\n\r\n")
        offset = 4
        async with served.follow(stream) as quick:
            for _ in range(30):
                piece = (b"x" * 60_000 + b"\n") * 5
                await asyncio.wait_for(served.write(piece, offset=offset), 2)
                offset += len(piece)
            assert len(await lines_until(quick, 151)) == 151
        stopped_at = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - stopped_at < 4
    writer.close()


async def test_readers_that_go_are_forgotten(served: Served) -> None:
    stream = await served.write(b"one\n")
    hub = served.service.services.hub
    for _ in range(5):
        async with served.follow(stream) as socket:
            await lines_until(socket, 1)
            assert hub.followers == 1
        await eventually(lambda: not hub.followers)
    text = (await served.http.get("/metrics")).text
    assert "logsvc_followers 0.0" in text
    assert LOG["path"] not in text
