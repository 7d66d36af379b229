"""Answers whose body is made while it is sent, and no longer: when the reader goes, its maker is closed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send


class Streamed(StreamingResponse):
    """A streamed answer that owns its generator."""

    def __init__(
        self, pieces: AsyncGenerator[bytes, None], status: int, headers: Mapping[str, str], media_type: str
    ) -> None:
        super().__init__(pieces, status, headers, media_type)
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; however that ends, the generator is closed then, not when it is next cleaned up."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._pieces.aclose()
