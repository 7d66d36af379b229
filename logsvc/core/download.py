"""Streams -> zip, streamed: verbatim files, whatever their size, with little memory.

The archive holds what was committed when the download began, even while a job goes on writing.
"""

from __future__ import annotations

import asyncio
import time
import zipfile
from collections.abc import AsyncIterator, Sequence
from typing import IO, cast

from logsvc.model.stream import Stream, archived_path
from logsvc.ports import LogStore

PIECE_BYTES = 1 << 18  # handed on at once
COMPRESS_LEVEL = 1  # logs shrink to a fifth at this level already; a higher one costs the reader time


async def zipped(store: LogStore, streams: Sequence[Stream]) -> AsyncIterator[bytes]:
    """
    A zip of the streams, each under its place in an archive.

    Raises: NotFound, StoreUnavailable in the midst of it, if the store fails then.
    """
    out = _Unseekable()
    archive = zipfile.ZipFile(
        cast(IO[bytes], out), "w", zipfile.ZIP_DEFLATED, allowZip64=True, compresslevel=COMPRESS_LEVEL
    )
    for stream in streams:
        info = zipfile.ZipInfo(archived_path(stream.name), _zip_time(stream.last_chunk_at))
        info.compress_type = zipfile.ZIP_DEFLATED
        info.external_attr = 0o644 << 16
        # Sizes come behind the data; a reader must know beforehand whether they have 64 bits.
        with archive.open(info, "w", force_zip64=stream.size_bytes > zipfile.ZIP64_LIMIT // 2) as entry:
            async for piece in store.read(stream.id, 0, stream.size_bytes):
                if len(piece) > PIECE_BYTES:
                    await asyncio.to_thread(entry.write, piece)
                else:
                    entry.write(piece)
                if out.size >= PIECE_BYTES:
                    yield out.take()
    archive.close()
    yield out.take()


class _Unseekable:
    """What zipfile writes to; without `seek` and `tell`, it puts sizes behind the data."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self.size = 0

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def take(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        self.size = 0
        return taken


def _zip_time(seconds: float) -> tuple[int, int, int, int, int, int]:
    """UTC, within what a zip can say: 1980 to 2107, every other second."""
    moment = time.gmtime(min(max(seconds, 315_532_800), 4_354_819_198))
    return moment.tm_year, moment.tm_mon, moment.tm_mday, moment.tm_hour, moment.tm_min, moment.tm_sec
