"""The one thread that changes the store: group commit.

It takes everything queued when it wakes as one transaction and one sync, then tells those who wait
and those who follow. A large append is packed first, by the packer's threads, and comes back to the
queue as chunks on disk; meanwhile later appends of that stream wait, others go on.

Crash order: segment bytes are synced, then their rows are committed, then the append is
acknowledged. A filter group is written and synced before the row that names it. Whatever a crash
leaves in a segment behind the last committed row is stored at the next start, as if it came just then.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from logsvc.errors import ContentConflict, LogsvcError, OffsetGap, StoreUnavailable
from logsvc.model.chunk import Appended, Chunk
from logsvc.model.stream import StreamName, parse_path
from logsvc.ports import Clock, Committed
from logsvc.stores.embedded.database import translated
from logsvc.stores.embedded.grams import FilterGroups
from logsvc.stores.embedded.lines import LineScanner
from logsvc.stores.embedded.packer import CHUNK_BYTES, Extent, Packed, Packer, PackTask
from logsvc.stores.embedded.registry import Registry
from logsvc.stores.embedded.rows import Rows
from logsvc.stores.embedded.tail import HotStream, Tail
from logsvc.stores.embedded.work import Admitted, Append, Call, Incoming, Outcome, PackedTails, PackNow, Seal

BULK_BYTES = CHUNK_BYTES // 2  # from here on an append may be packed before it is committed
MAX_TAIL_BYTES = 64 * 1024 * 1024  # of all tails together; then the largest are packed
PACK_STEP_BYTES = 4 * 1024 * 1024  # how much is packed when they pass it
TASK_BYTES = 4 * 1024 * 1024  # of tails packed and committed together
TASK_STREAMS = 50  # likewise; appends wait for a commit, and each stream makes it longer
QUIET_SECONDS = 1.0  # then the WAL is truncated and free pages are given back
VACUUM_PAGES = 1024  # given back at a time

log = logging.getLogger("logsvc.store")

ReadHeld = Callable[[HotStream, int, int], bytes]
Deliver = Callable[[list[Outcome], list[Committed]], None]


class Writer:
    """Owner of the writing connection."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        registry: Registry,
        filters: FilterGroups,
        packer: Packer,
        clock: Clock,
        read_held: ReadHeld,
        deliver: Deliver,
    ) -> None:
        self._connection = connection
        self._registry = registry
        self._packer = packer
        self._clock = clock
        self._read_held = read_held
        self._deliver = deliver
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._parked: list[Append] = []  # a stream of theirs is busy
        self._released = False  # some stream is not busy any more
        self._must_reload = False  # a transaction failed: memory may be ahead of the catalog
        self._packs_under_way = 0
        self._rows = Rows(connection, filters)
        self._next_stream = self._rows.next_id("streams")
        self.tail_bytes = self._rows.tail_bytes()
        # of the transaction under way
        self._touched: dict[int, HotStream] = {}  # changed: followers are told
        self._doubtful: list[HotStream] = []  # to be forgotten should it fail
        self._outcomes: list[Outcome] = []
        self._after: list[Callable[[], None]] = []
        self._wants_pack: list[tuple[HotStream, Extent]] = []
        self._bulk: list[tuple[Admitted, list[Incoming]]] = []
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def submit(self, item: Append | Call | Seal | PackNow) -> None:
        """Queue work; its future is resolved on the event loop."""
        self._queue.put(item)

    def stop(self) -> None:
        """Finish what was queued, then end; waits for it."""
        self._queue.put(None)
        self._thread.join()

    # The loop.

    def _run(self) -> None:
        stopping = False
        quiet = False
        while not (stopping and not self._packs_under_way and not self._parked and self._queue.empty()):
            try:
                items = [self._queue.get(timeout=None if quiet and not stopping else QUIET_SECONDS)]
            except queue.Empty:
                if not self._packs_under_way:
                    quiet = not self._tidy()
                continue
            with suppress(queue.Empty):
                while True:
                    items.append(self._queue.get_nowait())
            if None in items:
                stopping = True
                items = [item for item in items if item is not None]
            quiet = False
            while items:
                try:
                    self._transaction(items)
                except Exception as exc:
                    self._recover(exc, items)
                items = []
                if self._released:  # those who waited go before those who came since
                    items, self._parked, self._released = list(self._parked), [], False
        self._tidy()
        self._connection.close()

    def _transaction(self, items: list[Any]) -> None:
        self._touched, self._outcomes, self._after, self._wants_pack = {}, [], [], []
        self._doubtful, self._bulk = [], []
        self._packs_under_way -= sum(isinstance(item, (Admitted, PackedTails)) for item in items)
        try:
            if self._must_reload:
                self._reload()
            self._connection.execute("BEGIN IMMEDIATE")
            for item in items:
                self._apply(item)
            self._rows.write_columns()
            self._connection.execute("COMMIT")
        except Exception as exc:
            self._undo(exc, items)
        for effect in self._after:
            effect()
        events = [event for stream in self._touched.values() if (event := self._publish(stream))]
        if events or self._outcomes:
            self._deliver(self._outcomes, events)
        for admitted, bulky in self._bulk:
            self._start_bulk(admitted, bulky)
        self._plan_packs()
        self._registry.trim()

    def _undo(self, exc: Exception, items: list[Any]) -> None:
        """The transaction failed: nothing of it happened, in the database or in memory."""
        with suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        error: Exception
        if isinstance(exc, (sqlite3.Error, OSError)):
            error = translated(exc)
            log.warning("commit_failed", extra={"reason": str(exc)})
        else:
            error = StoreUnavailable("the store failed inside; nothing of this request was stored")
            log.error("commit_failed", exc_info=exc)
        self._registry.drop([*self._touched.values(), *self._doubtful])
        for item in items:
            if isinstance(item, PackedTails):
                self._registry.drop(task.stream for task in item.tasks)
            elif isinstance(item, Admitted):
                self._registry.drop(each.stream for each in item.incoming)
        self._must_reload = self._released = True
        self._outcomes = self._failures(items, error)
        self._touched, self._after, self._wants_pack, self._bulk = {}, [], [], []

    def _recover(self, exc: Exception, items: list[Any]) -> None:
        """A fault of ours behind a commit: the catalog is right, what memory made of it may not be."""
        log.error("writer_failed", exc_info=exc)
        self._registry.drop_all()
        self._must_reload = self._released = True
        self._deliver(self._failures(items, StoreUnavailable("the store failed inside; send again")), [])

    def _failures(self, items: list[Any], error: Exception) -> list[Outcome]:
        """The same error for all who wait for these items; appends that are parked are tried again."""
        waiting = {id(append) for append in self._parked}
        futures: list[asyncio.Future[Any]] = []
        for item in items:
            if isinstance(item, PackedTails):
                futures += item.futures
            elif isinstance(item, Admitted):
                futures.append(item.append.future)
            elif id(item) not in waiting:
                futures.append(item.future)
        return [Outcome(future, error=error) for future in futures]

    def _reload(self) -> None:
        """Take up what is committed, where memory may know of more."""
        self._rows.reload()
        self.tail_bytes = self._rows.tail_bytes()
        self._must_reload = False

    def _apply(self, item: Any) -> None:
        if isinstance(item, Append):
            self._admit(item)
        elif isinstance(item, Admitted):
            self._finish(item)
        elif isinstance(item, PackedTails):
            self._finish_tails(item)
        elif isinstance(item, Call):
            try:
                self._outcomes.append(Outcome(item.future, item.run(self._connection)))
            except LogsvcError as exc:
                self._outcomes.append(Outcome(item.future, error=exc))
        elif isinstance(item, Seal):
            for id_ in item.streams:
                stream = self._registry.by_id(id_)
                if stream and stream.committed:
                    self._set_sealed(stream, True)
            self._outcomes.append(Outcome(item.future))
        else:
            self._pack_now(item)

    def _tidy(self) -> bool:
        """Truncate the WAL and give back some free pages. True while there is more to give back."""
        try:
            # Checkpoint first: a vacuum on a database with readers is only worth it when pages are free.
            free = self._connection.execute("PRAGMA freelist_count").fetchone()[0]
            if free:
                self._connection.execute(f"PRAGMA incremental_vacuum({VACUUM_PAGES})").fetchall()
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error as exc:
            log.warning("checkpoint_failed", extra={"reason": str(exc)})
            return False
        return bool(free > VACUUM_PAGES)

    # Appends.

    def _admit(self, append: Append) -> None:
        """Check every chunk; then store what is small at once, and have the rest packed first."""
        streams: dict[StreamName, HotStream | None] = {}
        refused: dict[StreamName, LogsvcError] = {}
        for chunk in append.chunks:
            if chunk.stream not in streams:
                try:
                    stream = streams[chunk.stream] = self._registry.by_name(chunk.stream)
                except LogsvcError as exc:
                    streams[chunk.stream], refused[chunk.stream] = None, exc
                    continue
                if stream and stream.busy:
                    self._parked.append(append)
                    return
        incoming: dict[StreamName, Incoming] = {}
        results = [refused.get(chunk.stream) or self._check(chunk, streams, incoming) for chunk in append.chunks]
        bulky = [
            each
            for each in incoming.values()
            if (size := sum(map(len, each.pieces))) >= BULK_BYTES and size + each.stream.draft.size >= CHUNK_BYTES
        ]
        if any(each.stream.packing for each in bulky):
            self._parked.append(append)
            return
        admitted = Admitted(append, list(incoming.values()), results)
        for each in admitted.incoming:
            if not each.stream.committed:
                self._registry.add(each.stream)
        if not bulky:
            self._finish(admitted)
            return
        for each in admitted.incoming:
            each.stream.busy = True
            self._doubtful.append(each.stream)
        self._bulk.append((admitted, bulky))

    def _start_bulk(self, admitted: Admitted, bulky: list[Incoming]) -> None:
        """Pack large appends; after the commit of what came before them in the same transaction."""
        now = self._now_ms()
        tasks = [
            PackTask(each.stream, each.stream.tail, each.stream.tail.view, "full", each.data, now) for each in bulky
        ]

        def done(packed: list[Packed] | None, error: Exception | None) -> None:
            admitted.error = error
            for each, outcome in zip(bulky, packed or [], strict=False):
                each.packed = outcome
            self._queue.put(admitted)

        self._packs_under_way += 1
        self._packer.submit(tasks, done)

    def _check(
        self, chunk: Chunk, streams: dict[StreamName, HotStream | None], incoming: dict[StreamName, Incoming]
    ) -> Appended | LogsvcError:
        stream = streams[chunk.stream]
        into = incoming.get(chunk.stream)
        held = stream.draft.base + stream.draft.size if stream else 0
        size = into.size if into else held
        if chunk.offset > size:
            return OffsetGap(chunk.stream, expected=size, got=chunk.offset)
        overlap = min(size - chunk.offset, len(chunk.data))
        if overlap:
            try:
                differs = self._difference(chunk, overlap, stream, into)
            except LogsvcError as exc:
                return exc
            if differs is not None:
                return ContentConflict(chunk.stream, offset=differs)
        fresh = chunk.data[overlap:] if overlap else chunk.data
        if stream is None:
            if not fresh and not chunk.final:
                return Appended(None, 0)
            stream = streams[chunk.stream] = self._new_stream(chunk.stream)
        learns = chunk.rank is not None and stream.rank is None
        if fresh or chunk.final or learns:
            if into is None:
                into = incoming[chunk.stream] = Incoming(stream, chunk.owner, size)
            if fresh:
                into.pieces.append(fresh)
                into.size += len(fresh)
            into.final = chunk.final or (into.final and not fresh)
            if learns and into.rank is None:
                into.rank = chunk.rank
            size = into.size
        return Appended(str(stream.id), size)

    def _difference(self, chunk: Chunk, overlap: int, stream: HotStream | None, into: Incoming | None) -> int | None:
        """Offset of the first resent byte that differs from the one held."""
        start, end = chunk.offset, chunk.offset + overlap
        tail_end = stream.draft.base + stream.draft.size if stream else 0
        held = b""
        if stream and start < tail_end:
            held = self._read_held(stream, start, min(end, tail_end))
        if into and end > tail_end:
            begin = max(start, tail_end) - tail_end
            held += into.data[begin : end - tail_end]
        sent = chunk.data[:overlap]
        if held == sent:
            return None
        return start + next(index for index, pair in enumerate(zip(held, sent, strict=True)) if pair[0] != pair[1])

    def _new_stream(self, name: StreamName) -> HotStream:
        parts = parse_path(name.job, name.task, name.path)
        tail = Tail(0, 0, 0, self._now_ms(), LineScanner())
        stream = HotStream(self._next_stream, name, parts.kind, parts.rank, parts.device, self._now_ms(), tail)
        self._next_stream += 1
        return stream

    def _finish(self, admitted: Admitted) -> None:
        for each in admitted.incoming:
            each.stream.busy = False
        self._released = bool(self._parked)
        error = _packing_error(admitted.error) if admitted.error is not None else None
        if not all(self._registry.holds(each.stream) for each in admitted.incoming):
            error = StoreUnavailable("a commit failed meanwhile; nothing of this request was stored")
        if error is not None:
            self._registry.drop(each.stream for each in admitted.incoming if not each.stream.committed)
            self._outcomes.append(Outcome(admitted.append.future, error=error))
            return
        now = self._now_ms()
        for each in admitted.incoming:
            self._store(each, now)
        self._outcomes.append(Outcome(admitted.append.future, admitted.results))

    def _store(self, each: Incoming, now: int) -> None:
        stream = each.stream
        self._touched[stream.id] = stream
        if each.rank is not None:
            stream.rank = each.rank
            if stream.committed:
                self._rows.set_rank(stream.id, each.rank)
        if not stream.committed:
            self._insert_stream(stream, each.owner)
        if each.pieces:
            stream.lead(each.data)
            if each.packed:
                self._replace_tail(each.packed)
            else:
                draft = stream.draft
                draft.add(self._rows.insert_tail(stream.id, draft.base + draft.size, each.data, now), each.data, now)
            if stream.sealed and not each.final:
                self._set_sealed(stream, False)
        if each.final:
            self._set_sealed(stream, True)

    def _publish(self, stream: HotStream) -> Committed | None:
        """Let readers see what was committed, and pack what has become too long. Returns what followers are told."""
        before = stream.tail.view.size
        stream.tail = stream.draft
        stream.tail.publish()
        stream.committed = True
        self.tail_bytes += stream.tail.view.size - before
        if stream.sealed:
            self._wants_pack.append((stream, "all"))
        elif stream.tail.size >= CHUNK_BYTES:
            self._wants_pack.append((stream, "full"))
        state = (stream.size, stream.is_sealed)
        if state == stream.told:
            return None
        stream.told = state
        return Committed(str(stream.id), stream.tail.lines_before + stream.tail.view.lines, *state)

    def _insert_stream(self, stream: HotStream, owner: str | None) -> None:
        self._rows.insert_stream(stream, owner, self._clock.now())
        for id_, generation in self._rows.other_generations(stream):
            if generation > stream.name.generation:
                stream.superseded = True
            else:
                older = self._registry.by_id(id_)
                if older and not older.superseded:
                    self._supersede(older)

    def _supersede(self, older: HotStream) -> None:
        self._touched[older.id] = older
        older.superseded = True
        self._wants_pack.append((older, "all"))

    def _set_sealed(self, stream: HotStream, sealed: bool) -> None:
        self._touched[stream.id] = stream
        stream.sealed = sealed
        self._rows.set_sealed(stream.id, sealed)

    # Packs.

    def _plan_packs(self) -> None:
        """Start the packs that the transaction asked for, and those that bound all tails together."""
        wanted = {stream.id: (stream, extent) for stream, extent in self._wants_pack}
        tasks = [
            PackTask(stream, stream.tail, stream.tail.view, extent)
            for stream, extent in wanted.values()
            if stream.tail.view.size and not stream.busy and not stream.packing
        ]
        packing = sum(task.view.size for task in tasks)
        excess = self.tail_bytes - packing - MAX_TAIL_BYTES
        if excess > 0 and not self._packs_under_way:
            for stream in sorted(self._registry.with_tail(), key=lambda each: -each.tail.view.size):
                if stream.id not in wanted:
                    tasks.append(PackTask(stream, stream.tail, stream.tail.view, "lines"))
                    packing += stream.tail.view.size
                    if packing > excess + PACK_STEP_BYTES:
                        break
        batch: list[PackTask] = []
        for task in tasks:
            batch.append(task)
            if len(batch) == TASK_STREAMS or sum(each.view.size for each in batch) >= TASK_BYTES:
                self._start_packs(batch, [])
                batch = []
        if batch:
            self._start_packs(batch, [])

    def _start_packs(self, tasks: list[PackTask], futures: list[asyncio.Future[None]]) -> None:
        for task in tasks:
            task.stream.packing = True
        self._packs_under_way += 1
        self._packer.submit(tasks, lambda packed, error: self._queue.put(PackedTails(tasks, packed, error, futures)))

    def _pack_now(self, item: PackNow) -> None:
        stream = self._registry.by_id(item.stream)
        if stream is None or not stream.draft.size:
            self._outcomes.append(Outcome(item.future))
        elif stream.busy or stream.packing:
            self._after.append(lambda: self._queue.put(item))
        else:
            stream.packing = True
            self._doubtful.append(stream)
            self._after.append(
                lambda: self._start_packs([PackTask(stream, stream.tail, stream.tail.view, "all")], [item.future])
            )

    def _finish_tails(self, item: PackedTails) -> None:
        for task in item.tasks:
            task.stream.packing = False
        self._released = bool(self._parked)
        if item.error is not None or item.packed is None:
            # The tails are durable as they are; the next append or start tries again.
            error = _packing_error(item.error or RuntimeError("no outcome"))
            log.warning("pack_failed", extra={"reason": str(item.error)})
            self._outcomes += [Outcome(future, error=error) for future in item.futures]
            return
        for packed in item.packed:
            self._replace_packed_part(packed)
        self._outcomes += [Outcome(future) for future in item.futures]

    def _replace_packed_part(self, packed: Packed) -> None:
        """Chunks in, their part of the tail out; the tail may have grown meanwhile."""
        stream, tail = packed.task.stream, packed.task.tail
        if not packed.chunks or stream.draft is not tail or not self._registry.holds(stream):
            return
        self._touched[stream.id] = stream
        self._rows.insert_chunks(packed)
        left, straddles = tail.rest(packed.size, packed.lines, packed.chunks[-1].last_ms, packed.scanner, packed.end)
        self._rows.delete_tails(tail.rows[: len(tail.rows) - len(left.rows) + straddles])
        if straddles:
            left.rows[0] = self._rows.insert_tail(stream.id, left.base, left.pieces[0], left.received_ms[0])
        self._rows.update_stream(stream, left)
        stream.draft = left

    def _replace_tail(self, packed: Packed) -> None:
        """Chunks in, the whole tail out, what is left of both as the new tail."""
        stream, old = packed.task.stream, packed.task.tail
        self._rows.insert_chunks(packed)
        self._rows.delete_tails(old.rows)
        last_ms = packed.chunks[-1].last_ms
        left = Tail(
            old.base + packed.size,
            old.lines_before + packed.lines,
            old.users_before + packed.users,
            last_ms,
            packed.scanner,
            packed.end,
        )
        for data, received_ms in packed.rest:
            row = self._rows.insert_tail(stream.id, left.base + left.size, data, received_ms)
            left.add(row, data, received_ms)
        self._rows.update_stream(stream, left)
        stream.draft = left

    def _now_ms(self) -> int:
        return round(self._clock.now() * 1000)


def _packing_error(exc: Exception) -> LogsvcError:
    if isinstance(exc, LogsvcError):
        return exc
    if isinstance(exc, OSError):
        return translated(exc)
    log.error("pack_failed", exc_info=exc)
    return StoreUnavailable("the store failed inside; nothing of this request was stored")
