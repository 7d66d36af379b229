"""Streams -> zip, streamed: verbatim files, whatever their size, with little memory and no temporary file.

The archive holds what was committed when the download began, even while a job goes on writing. A reader who goes
away ends it: closing the generator closes the store's, and nothing runs on.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from logsvc.core.file_names import file_names
from logsvc.core.zip_writer import ZipWriter
from logsvc.errors import StoreUnavailable
from logsvc.model.stream import Stream
from logsvc.ports import LogStore

PIECE_BYTES = 1 << 18  # handed on at once; larger ones are packed in a thread


async def zipped(store: LogStore, job: str, streams: Sequence[Stream], at: float) -> AsyncGenerator[bytes, None]:
    """
    A zip of the streams, each under its place in an archive, and a manifest. The first bytes come at once.

    Args:
        at: Unix seconds, now; the manifest says it.

    Raises: NotFound, StoreUnavailable in the midst of it, if the store fails then.
    """
    names = file_names([(stream.id, stream.name) for stream in streams])
    writer = ZipWriter(f"Job {job}", at)
    ready_bytes = 1
    try:
        for stream, name in zip(streams, names, strict=True):
            writer.begin(name, stream.size_bytes, stream.last_chunk_at)
            if writer.ready_bytes >= ready_bytes:
                yield writer.take()
                ready_bytes = PIECE_BYTES
            async with aclosing(_whole(store, stream)) as pieces:
                async for piece in pieces:
                    if len(piece) > PIECE_BYTES:
                        await asyncio.to_thread(writer.write, piece)
                    else:
                        writer.write(piece)
                    if writer.ready_bytes >= ready_bytes:
                        yield writer.take()
            writer.end()
        writer.finish()
        yield writer.take()
    finally:
        writer.abandon()


async def sha256(store: LogStore, stream_id: str, start: int, end: int) -> str:
    """SHA-256 of the bytes [start, end) of a stream, in hexadecimal; raises NotFound, StoreUnavailable."""
    sum_ = hashlib.sha256()
    async with aclosing(store.read(stream_id, start, end)) as pieces:
        async for piece in pieces:
            if len(piece) > PIECE_BYTES:
                await asyncio.to_thread(sum_.update, piece)
            else:
                sum_.update(piece)
    return sum_.hexdigest()


async def _whole(store: LogStore, stream: Stream) -> AsyncGenerator[bytes, None]:
    """A cut file must not look like a whole one: where bytes are missing, the download breaks off."""
    left = stream.size_bytes
    async with aclosing(store.read(stream.id, 0, stream.size_bytes)) as pieces:
        async for piece in pieces:
            left -= len(piece)
            yield piece
    if left:
        raise StoreUnavailable(f"{stream.name} ended {left} bytes early.")
