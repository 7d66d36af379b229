"""Frames behind what the catalog knows: stored again, as if they had just been sent.

They are there after a crash between a segment's sync and the commit, or when an older copy of the
catalog was put back. An append takes nothing twice and compares what is held already, so that
this may stop anywhere and begin again at the next start. A region is cut when all of it is stored;
one that does not fit to what is held stays as it is, and is told of.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from logsvc.errors import LogsvcError, StoreUnavailable
from logsvc.model.chunk import Appended, Chunk
from logsvc.model.stream import StreamName
from logsvc.stores.embedded.segments import NAME, TORN, Frame, Orphans, SegmentFiles, frames
from logsvc.stores.embedded.zstd import decompress

T = TypeVar("T")
Store = Callable[[Sequence[Chunk]], Awaitable[list[Appended | LogsvcError]]]
InThread = Callable[[Callable[[], Any]], Awaitable[Any]]
NameOf = Callable[[int], StreamName | None]

log = logging.getLogger("logsvc.store")


async def take_up(segments: SegmentFiles, append: Store, name_of: NameOf, in_thread: InThread) -> None:
    """
    Store what lies in the orphaned regions of segment files.

    Args:
        name_of: name of a stream that the catalog knows, by its number.
        in_thread: runs what reads files.
    """
    for orphans in segments.orphans:
        try:
            problem = await _store(orphans, append, name_of, in_thread)
        except (OSError, StoreUnavailable) as exc:
            problem = str(exc)
        if problem is None:
            await in_thread(lambda: segments.cut(orphans))  # noqa: B023
            log.info("orphans_stored", extra={"segment": str(orphans.path), "bytes": orphans.size})
        else:
            reason = (
                f"{orphans.path}, {orphans.size} bytes behind {orphans.position}, are not in the catalog: {problem}"
            )
            log.error("orphans_left", extra={"reason": reason})


async def _store(orphans: Orphans, append: Store, name_of: NameOf, in_thread: InThread) -> str | None:
    """None where all of them are stored; else why not."""
    names: dict[int, StreamName] = {}
    problem: str | None = None
    found = frames(orphans.path, orphans.position)
    while True:
        frame: Frame | None = await in_thread(lambda: next(found, None))
        if frame is None or frame.problem in TORN:
            return problem
        if frame.problem:
            problem = f"{frame.problem} at byte {frame.position}"
        elif frame.kind == NAME:
            names[frame.stream] = StreamName(**json.loads(frame.payload))
        else:
            name = names.get(frame.stream) or await in_thread(lambda: name_of(frame.stream))  # noqa: B023
            if name is None:
                problem = f"nothing names the stream of byte {frame.position}"
                continue
            data = await in_thread(lambda: decompress(frame.payload))  # noqa: B023
            (result,) = await append([Chunk(name, frame.offset, data)])
            if isinstance(result, LogsvcError):
                problem = result.message
