"""The streams that are in memory, each at most once."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable

from logsvc.model.stream import StreamName, parse_path
from logsvc.stores.embedded.catalog import Catalog
from logsvc.stores.embedded.tail import COLUMNS, HotStream, load_stream

MAX_STREAMS = 20_000  # in memory; beyond it, those without a tail are forgotten


class Registry:
    """Streams by id and by name, loaded from the catalog when first asked for."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._lock = threading.Lock()
        self._by_id: dict[int, HotStream] = {}
        self._by_name: dict[StreamName, HotStream] = {}
        with catalog.reader() as reader:  # with a tail, and not in memory
            self._cold = {row[0] for row in reader.execute("SELECT DISTINCT stream FROM tails")}

    def loaded(self, id_: int) -> HotStream | None:
        """A stream if it is in memory."""
        return self._by_id.get(id_)

    def by_id(self, id_: int) -> HotStream | None:
        """A stream, committed or not; None where there is none."""
        stream = self._by_id.get(id_)
        return stream or self._load("id = ?", (id_,))

    def by_name(self, name: StreamName) -> HotStream | None:
        """A stream, committed or not; None where there is none; raises BadPath for what can be none."""
        stream = self._by_name.get(name)
        if stream is not None:
            return stream
        parse_path(name.job, name.task, name.path)
        return self._load(
            "job = ? AND task = ? AND path = ? AND generation = ?", (name.job, name.task, name.path, name.generation)
        )

    def add(self, stream: HotStream) -> None:
        """A new stream, made by the writer."""
        with self._lock:
            self._by_id[stream.id] = self._by_name[stream.name] = stream

    def holds(self, stream: HotStream) -> bool:
        """True unless the stream was dropped, and perhaps loaded anew."""
        return self._by_id.get(stream.id) is stream

    def drop(self, streams: Iterable[HotStream]) -> None:
        """Forget streams; the next to ask loads them as they were last committed."""
        with self._lock:
            for stream in streams:
                self._by_id.pop(stream.id, None)
                self._by_name.pop(stream.name, None)
                self._cold.add(stream.id)  # perhaps: it is looked at when asked for

    def drop_all(self) -> None:
        """Forget every stream."""
        self.drop(list(self._by_id.values()))

    def trim(self) -> None:
        """Keep memory bounded; called by the writer, between commits."""
        if len(self._by_id) > MAX_STREAMS:
            idle = [each for each in self._by_id.values() if not (each.draft.size or each.busy or each.packing)]
            idle = idle[: len(self._by_id) - MAX_STREAMS // 2]
            self.drop(idle)
            self._cold.difference_update(each.id for each in idle)

    def with_tail(self) -> list[HotStream]:
        """Streams that hold unpacked bytes and are neither busy nor being packed."""
        with self._lock:
            return [each for each in self._by_id.values() if each.draft.size and not each.busy and not each.packing]

    def ids_with_tail(self) -> list[int]:
        """Streams that hold, or may hold, unpacked bytes; until the commit that packs them is visible."""
        with self._lock:
            hot = (each.id for each in self._by_id.values() if each.draft.size or each.tail.view.size)
            return [*self._cold, *hot]

    def _load(self, where: str, values: tuple[object, ...]) -> HotStream | None:
        with self._lock, self._catalog.reader() as reader:
            reader.execute("BEGIN")  # one snapshot for the row and its tail
            try:
                row = reader.execute(f"SELECT {COLUMNS} FROM streams WHERE {where}", values).fetchone()
                if row is None:
                    return None
                known = self._by_id.get(row[0])
                if known:
                    return known
                stream = load_stream(reader, row)
            finally:
                _end(reader)
            self._by_id[stream.id] = self._by_name[stream.name] = stream
            self._cold.discard(stream.id)
            return stream


def _end(reader: sqlite3.Connection) -> None:
    if reader.in_transaction:
        reader.execute("COMMIT")
