"""Many followers of one stream in a process of their own; tells what came, as JSON.

    python -m bench.followers PORT TOKEN STREAM FOLLOWERS LINES SECONDS

Says "ready" once all are connected; ends when each has had line LINES, or after SECONDS.
"""

from __future__ import annotations

import asyncio
import base64
import os
import sys
import time
from typing import cast

import orjson
import uvloop

CONNECT_AT_ONCE = 50
MARK = b"at="


class Follower(asyncio.Protocol):
    """Reads frames without unfolding them: a thousand of these share a core with what is measured."""

    def __init__(self, request: bytes, lines: int) -> None:
        self.request = request
        self.through_mark = f'"through":{lines}}}'.encode()
        self.up: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.frames = 0
        self.gaps = 0
        self.delays: list[float] = []
        self.first = self.last = 0.0  # when frames came
        self._held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.WriteTransport, transport)  # uvloop's own kind
        self.transport.write(self.request)

    def connection_lost(self, exc: Exception | None) -> None:
        for future in (self.up, self.done):
            if not future.done():
                future.set_exception(ConnectionError("closed by the service"))
                future.exception()

    def data_received(self, data: bytes) -> None:
        held = self._held + data if self._held else data
        at = 0
        if not self.up.done():
            end = held.find(b"\r\n\r\n")
            if end < 0:
                self._held = held
                return
            if not held.startswith(b"HTTP/1.1 101"):
                self.up.set_exception(ConnectionError(held[:100].decode(errors="replace")))
                return
            self.up.set_result(None)
            at = end + 4
        while len(held) - at >= 2:
            code, size, body = held[at] & 15, held[at + 1] & 127, at + 2
            if size >= 126:
                width = 2 if size == 126 else 8
                if len(held) < body + width:
                    break
                size = int.from_bytes(held[body : body + width], "big")
                body += width
            if len(held) < body + size:
                break
            if code == 1:
                self._text(held, body, body + size)
            at = body + size
        self._held = held[at:]

    def _text(self, held: bytes, start: int, end: int) -> None:
        found = held.find(MARK, start, min(end, start + 200))
        if found < 0:
            self.gaps += held.startswith(b'{"gap"', start)
            return
        self.frames += 1
        sent = int(held[found + 3 : found + 22])
        now = time.time_ns()
        self.delays.append((now - sent) / 1e6)
        self.last = now / 1e9
        self.first = self.first or self.last
        if held.endswith(self.through_mark, start, end) and not self.done.done():
            self.done.set_result(None)


async def main(port: int, token: str, stream: str, count: int, lines: int, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    followers = []
    for start in range(0, count, CONNECT_AT_ONCE):
        group = []
        for _ in range(min(CONNECT_AT_ONCE, count - start)):
            request = (
                f"GET /api/v1/streams/{stream}/follow?from=1 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
                f"Authorization: Bearer {token}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n\r\n"
            ).encode()
            _, follower = await loop.create_connection(lambda r=request: Follower(r, lines), "127.0.0.1", port)  # type: ignore[misc]
            group.append(follower)
        await asyncio.wait_for(asyncio.gather(*(one.up for one in group)), 30)
        followers += group
    print("ready", flush=True)
    await asyncio.wait([one.done for one in followers], timeout=seconds)
    delays = sorted(delay for one in followers for delay in one.delays)
    told = {
        "complete": sum(one.done.done() and one.done.exception() is None for one in followers),
        "frames": sum(one.frames for one in followers),
        "gaps": sum(one.gaps for one in followers),
        "p50": delays[len(delays) // 2] if delays else 0.0,
        "p99": delays[int(len(delays) * 0.99)] if delays else 0.0,
        "first": min((one.first for one in followers), default=0.0),
        "last": max((one.last for one in followers), default=0.0),
    }
    print(orjson.dumps(told).decode(), flush=True)
    for one in followers:
        one.transport.abort()


if __name__ == "__main__":
    port, token, stream, count, lines, seconds = sys.argv[1:]
    uvloop.run(main(int(port), token, stream, int(count), int(lines), float(seconds)))
