"""What is asked of the writer, what it makes of an append meanwhile, and what becomes of it all."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from logsvc.errors import LogsvcError
from logsvc.model.chunk import Appended, Chunk
from logsvc.stores.embedded.packer import Packed, PackTask
from logsvc.stores.embedded.tail import HotStream


@dataclass
class Outcome:
    """What becomes of a future, once durable."""

    future: asyncio.Future[Any]
    value: Any = None
    error: Exception | None = None


@dataclass
class Append:
    """Chunks to be made durable in one commit."""

    chunks: Sequence[Chunk]
    future: asyncio.Future[list[Appended | LogsvcError]]


@dataclass
class Call:
    """Anything else in a transaction; raises LogsvcError before it writes, or not at all."""

    run: Callable[[sqlite3.Connection], Any]
    future: asyncio.Future[Any]


@dataclass
class Seal:
    """Streams to declare complete."""

    streams: Sequence[int]
    future: asyncio.Future[None]


@dataclass
class PackNow:
    """A stream whose whole tail is to be packed, even inside a line."""

    stream: int
    future: asyncio.Future[None]


@dataclass
class Incoming:
    """What an append adds to one stream."""

    stream: HotStream
    owner: str | None
    size: int  # of the stream, with what was accepted of this append
    pieces: list[bytes] = field(default_factory=list)
    final: bool = False
    rank: int | None = None  # for a stream that has none
    packed: Packed | None = None

    @property
    def data(self) -> bytes:
        """In one piece."""
        if len(self.pieces) > 1:
            self.pieces = [b"".join(self.pieces)]
        return self.pieces[0] if self.pieces else b""


@dataclass
class Admitted:
    """An append that was checked; its streams are busy while it is packed."""

    append: Append
    incoming: list[Incoming]
    results: list[Appended | LogsvcError]
    error: Exception | None = None


@dataclass
class PackedTails:
    """Tails that the packer's threads have packed, or could not."""

    tasks: list[PackTask]
    packed: list[Packed] | None
    error: Exception | None
    futures: list[asyncio.Future[None]]
