"""Request bodies: counted while they come, unfolded with a limit on what comes out.

All bodies together stay within a budget of bytes; a request that does not fit waits its turn.
"""

from __future__ import annotations

import asyncio
import traceback
import zlib
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import zstandard
from starlette.requests import Request

from logsvc.errors import BadBody, LogsvcError, TooLarge, UnknownEncoding

# What a slice of a packed body may unfold to before it is counted: four bytes of zstd make up to
# 128 KiB, so this bounds what a malicious body can make us allocate beyond the limit to 32 MiB.
ZSTD_SLICE_BYTES = 1024
MAX_WINDOW_BYTES = 1 << 27  # of a zstd frame: what `zstd --long` makes, and no more
THREAD_BYTES = 128 * 1024  # a packed body above this is unfolded beside the event loop
IDLE_SECONDS = 20  # a sender that hangs must not keep its share of the budget from the others
GUESSED_RATIO = 6  # of logs, for what a packed body will take of the budget


class ByteBudget:
    """A semaphore of bytes, first come, first served."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._held = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def hold(self, size: int) -> AsyncIterator[None]:
        """Wait until `size` bytes fit (all of them, where it is more), and hold them meanwhile."""
        size = min(size, self._capacity)
        if self._waiting or self._held + size > self._capacity:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            place = (size, turn)
            self._waiting.append(place)
            try:
                await turn
            except asyncio.CancelledError:
                if place in self._waiting:
                    self._waiting.remove(place)
                    self._admit()
                elif not turn.cancelled():
                    self._give_back(size)
                raise
        else:
            self._held += size
        try:
            yield
        finally:
            self._give_back(size)

    def _give_back(self, size: int) -> None:
        self._held -= size
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self._held + self._waiting[0][0] <= self._capacity:
            size, turn = self._waiting.popleft()
            if not turn.done():
                self._held += size
                turn.set_result(None)


class Bodies:
    """Reads the bodies of one service."""

    def __init__(self, *, max_body_bytes: int, max_bodies_bytes: int) -> None:
        self._limit = max_body_bytes
        self._budget = ByteBudget(max_bodies_bytes)

    @asynccontextmanager
    async def unfolded(self, request: Request) -> AsyncIterator[bytes]:
        """
        The body, decoded; its bytes count until the block is left.

        Raises:
            UnknownEncoding: a `Content-Encoding` that is none of zstd, gzip, identity.
            TooLarge: packed or unfolded, it is over the limit.
            BadBody: it is not what its headers say.
        """
        encoding = request.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("zstd", "gzip", "identity", ""):
            raise UnknownEncoding(
                f"The Content-Encoding {encoding[:40]!a} is not known here; send zstd, gzip or identity.",
                known=["zstd", "gzip", "identity"],
            )
        length = self._declared_length(request)
        packed_size = self._limit if length is None else length
        packed = encoding in ("zstd", "gzip")
        async with self._budget.hold(packed_size * (1 + GUESSED_RATIO) if packed else packed_size):
            body = await self._read(request, length)
            if packed:
                unfold = unfold_zstd if encoding == "zstd" else unfold_gzip
                try:
                    if len(body) > THREAD_BYTES:
                        body = await asyncio.to_thread(unfold, body, self._limit)
                    else:
                        body = unfold(body, self._limit)
                except LogsvcError as refusal:
                    # Its trace would keep alive what came out so far, and out of the budget, until the answer is sent.
                    traceback.clear_frames(refusal.__traceback__)
                    raise
            yield body

    def _declared_length(self, request: Request) -> int | None:
        text = request.headers.get("content-length")
        if text is None:
            return None
        if not text.isascii() or not text.isdigit():
            raise BadBody("The Content-Length is not a number.")
        length = int(text)
        if length > self._limit:
            raise self._too_large(length)
        return length

    async def _read(self, request: Request, length: int | None) -> bytes:
        pieces: list[bytes] = []
        size = 0
        stream = request.stream()
        while True:
            try:
                async with asyncio.timeout(IDLE_SECONDS):
                    piece = await anext(stream)
            except StopAsyncIteration:
                break
            except TimeoutError as exc:
                raise BadBody(f"No byte of the body came for {IDLE_SECONDS} seconds; send it again.") from exc
            size += len(piece)
            if size > self._limit:
                raise self._too_large(size)
            pieces.append(piece)
        if length is not None and size != length:
            raise BadBody(f"The body has {size} bytes, its Content-Length says {length}.")
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _too_large(self, size: int) -> TooLarge:
        return TooLarge(
            f"The body has {size} bytes or more, at most {self._limit} are taken at once; send it in parts.",
            limit_bytes=self._limit,
        )


def unfold_zstd(body: bytes, limit: int) -> bytes:
    """
    Unfold zstd frames, one behind the other.

    Raises: BadBody, TooLarge.
    """
    unpacker = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
    view, at, size = memoryview(body), 0, 0
    pieces: list[bytes] = []
    frame = unpacker.decompressobj()
    while at < len(view):
        piece = view[at : at + ZSTD_SLICE_BYTES]
        at += len(piece)
        try:
            data = frame.decompress(piece)
        except zstandard.ZstdError as exc:
            raise _broken("zstd", exc) from exc
        size += len(data)
        if size > limit:
            raise _unfolds_to_more(limit)
        if data:
            pieces.append(data)
        if frame.eof:
            at -= len(frame.unused_data)
            if at == len(view):
                return b"".join(pieces)
            frame = unpacker.decompressobj()
    raise _broken("zstd", "it ends within a frame")


def unfold_gzip(body: bytes, limit: int) -> bytes:
    """
    Unfold gzip members, one behind the other.

    Raises: BadBody, TooLarge.
    """
    pieces: list[bytes] = []
    size = 0
    rest = body
    while True:
        member = zlib.decompressobj(wbits=31)
        try:
            data = member.decompress(rest, limit - size + 1)
        except zlib.error as exc:
            raise _broken("gzip", exc) from exc
        size += len(data)
        if size > limit:
            raise _unfolds_to_more(limit)
        pieces.append(data)
        if not member.eof:
            raise _broken("gzip", "it ends within a member")
        rest = member.unused_data
        if not rest:
            return b"".join(pieces)


def _broken(encoding: str, why: object) -> BadBody:
    return BadBody(f"The body is not the {encoding} that its Content-Encoding says: {why}.")


def _unfolds_to_more(limit: int) -> TooLarge:
    return TooLarge(f"The body unfolds to more than {limit} bytes; send it in parts.", limit_bytes=limit)
