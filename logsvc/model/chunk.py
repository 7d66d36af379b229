"""Bytes at an offset of a stream: what a collector sends, and what a store says of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from logsvc.model.stream import StreamName

MAX_OFFSET = 2**63 - 1


@dataclass(frozen=True)
class Chunk:
    """
    Contiguous bytes of one file generation.

    Attributes:
        stream: which generation of which file.
        offset: place of the first byte, from 0.
        data: the bytes, verbatim; may be empty.
        final: nothing follows; seals the stream.
        owner: owner of the job, should this chunk be its first.
        rank: of the process that writes the file, where its path does not say it.
    """

    stream: StreamName
    offset: int
    data: bytes
    final: bool = False
    owner: Optional[str] = None
    rank: Optional[int] = None


@dataclass(frozen=True)
class Appended:
    """Durable: the stream now ends at `next_offset`. An empty chunk of an unknown stream makes none (None)."""

    stream_id: Optional[str]
    next_offset: int


@dataclass(frozen=True)
class Generation:
    """What a store holds of one generation, for a collector that compares."""

    generation: int
    next_offset: int
    head: bytes  # the first <= 1,024 bytes held
    tail: bytes  # the last <= 1,024 bytes held; they end at `next_offset`
    sealed: bool


HEAD_BYTES = TAIL_BYTES = 1024
