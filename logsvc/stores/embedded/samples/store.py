"""Samples in the embedded store: `writer.py` (the one thread that changes things) and `reader.py` under one roof."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from logsvc.errors import StoreUnavailable
from logsvc.model.sample import Sample
from logsvc.ports import Clock
from logsvc.stores.embedded.samples.reader import SampleReader
from logsvc.stores.embedded.samples.schema import samples_database
from logsvc.stores.embedded.samples.tasks import Tasks
from logsvc.stores.embedded.samples.writer import Add, PackJob, SampleWriter
from logsvc.stores.embedded.work import Outcome
from logsvc.stores.readings import check

MAX_WAITING = 200_000  # samples queued; beyond it, calls wait


class SampleFiles:
    """
    Samples of a data folder; opened and closed with the store.

    Args:
        deliver: brings outcomes to the event loop; called by the writer.

    Raises:
        CannotStart: the database cannot be used.
    """

    def __init__(self, folder: Path, clock: Clock, deliver: Callable[[list[Outcome]], None]) -> None:
        self._database = samples_database(folder)
        tasks = Tasks()
        self._writer = SampleWriter(self._database.open_writer(), tasks, clock, deliver)
        self.read = SampleReader(self._database, tasks)
        self._waiting = 0
        self._room = asyncio.Event()
        self._closed = False
        self._writer.start()

    def refuse(self) -> None:
        """Take nothing more; called on the event loop."""
        self._closed = True

    def close(self) -> None:
        """Finish what was accepted; `refuse` came before."""
        self._writer.stop()
        self._database.close()

    async def add(self, job: str, samples: Sequence[Sample]) -> int:
        """Durable when it returns; see the port."""
        check(samples)
        while self._waiting and self._waiting + len(samples) > MAX_WAITING:
            self._room.clear()
            await self._room.wait()
        if self._closed:
            raise StoreUnavailable("the service is stopping; send again when it is back")
        self._waiting += len(samples)
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda _: self._landed(len(samples)))
        self._writer.submit(Add(job, samples, future))
        return await asyncio.shield(future)  # a caller who goes away does not take the samples along

    async def pack(self, job: str) -> None:
        """Pack a job's tails and join its blocks now; for tests and for operators."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._writer.submit(PackJob(job, future))
        await asyncio.shield(future)

    def _landed(self, samples: int) -> None:
        self._waiting -= samples
        self._room.set()
