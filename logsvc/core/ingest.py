"""Accept a chunk once, in order: names and numbers are checked, the rest is the store's promise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from logsvc.errors import BadInput, LogsvcError, StoreUnavailable
from logsvc.model.chunk import MAX_OFFSET, Appended, Chunk, Generation
from logsvc.model.stream import MAX_RANK, StreamName, parse_path
from logsvc.ports import LogStore

MAX_GENERATION = 2**31 - 1

Acknowledged = Callable[[Sequence[Chunk]], None]


class Ingest:
    """
    The one way in for log bytes.

    Args:
        store: makes them durable.
        acknowledged: called with the chunks that are; counts them, tells whoever watches their jobs.
    """

    def __init__(self, store: LogStore, acknowledged: Acknowledged = lambda chunks: None) -> None:
        self._store = store
        self._acknowledged = acknowledged

    async def chunk(self, chunk: Chunk) -> Appended:
        """
        Make one chunk durable.

        Raises: OffsetGap, ContentConflict, StoreUnavailable, DiskFull.
        """
        [result] = await self.chunks([chunk])
        if isinstance(result, LogsvcError):
            raise result
        return result

    async def chunks(self, chunks: Sequence[Chunk | LogsvcError]) -> list[Appended | LogsvcError]:
        """
        Make chunks durable in one commit; those that are refused already keep their place.

        Raises: StoreUnavailable, DiskFull: none of them was acknowledged.
        """
        accepted = [chunk for chunk in chunks if isinstance(chunk, Chunk)]
        told = iter(await self._store.append(accepted) if accepted else [])
        results: list[Appended | LogsvcError] = []
        durable: list[Chunk] = []
        for chunk in chunks:
            result = chunk if isinstance(chunk, LogsvcError) else next(told)
            if isinstance(result, StoreUnavailable):
                raise result
            if isinstance(result, Appended) and isinstance(chunk, Chunk):
                durable.append(chunk)
            results.append(result)
        self._acknowledged(durable)
        return results

    async def next_offset(self, name: StreamName) -> tuple[str | None, int]:
        """Id of a stream and where it ends; (None, 0) where there is none."""
        stream = await self._store.find(name)
        return (stream.id, stream.size_bytes) if stream else (None, 0)

    async def generations(self, job: str, task: str, path: str) -> list[Generation]:
        """What is held of one file, for a collector that starts."""
        name = stream_name(job, task, path, 0)
        return await self._store.generations(name.job, name.task, name.path)


@lru_cache(maxsize=65_536)  # thousands of small streams are sent again and again
def stream_name(job: str, task: str, path: str, generation: int) -> StreamName:
    """
    A checked name.

    Raises:
        BadPath: job, task or path are malformed or do not belong together.
        BadInput: the generation is out of range.
    """
    parse_path(job, task, path)
    if not 0 <= generation <= MAX_GENERATION:
        raise BadInput(f"generation must be 0 to {MAX_GENERATION}, not {generation}.", parameter="generation")
    return StreamName(job, task, path, generation)


def checked_chunk(
    name: StreamName, offset: int, data: bytes, *, final: bool, owner: str | None, rank: int | None
) -> Chunk:
    """
    A chunk whose bytes lie within 2^63 - 1, and whose rank is one that a path may name.

    Raises:
        BadInput: they do not.
    """
    if not 0 <= offset <= MAX_OFFSET - len(data):
        raise BadInput(f"offset must be 0 to {MAX_OFFSET}, and so must the end of the chunk.", parameter="offset")
    if rank is not None and not 0 <= rank <= MAX_RANK:
        raise BadInput(f"rank must be 0 to {MAX_RANK}, not {rank}.", parameter="rank")
    return Chunk(name, offset, data, final, owner, rank)
