"""A state machine compares the embedded store with the plain one, whatever is done in whatever order.

`LOGSVC_TEST_EXAMPLES=2000` runs it longer.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from builders import ANNOUNCING, MARKED, NOON, HandClock, a_chunk, a_stream, read_all
from logsvc.errors import LogsvcError
from logsvc.model.chunk import Appended, Chunk
from logsvc.model.query import Matches, SearchPage, SearchQuery, Window, WindowQuery
from logsvc.model.stream import Stream, StreamName
from logsvc.stores.embedded.store import EmbeddedStore
from logsvc.stores.memory import MemoryStore

T = TypeVar("T")
EXAMPLES = int(os.environ.get("LOGSVC_TEST_EXAMPLES", "40"))
NAMES = [a_stream(), a_stream(generation=1), a_stream(task="worker-1"), a_stream(job="another")]

fragments = st.sampled_from(
    [
        b"\n",
        b"\n",
        b"\n",
        b"\r\n",
        b"\r",
        b"\x00",
        b" ",
        b"a",
        b"needle",
        b"need",
        b"NEEDLE",
        b"loss=0.5",
        b"x" * 300,
        MARKED,
        ANNOUNCING,
        MARKED[:9],
        b"platform=MODELARTS-service",
        b" - INFO -",
        b" - INFO - \r\n",
        b"{\n",
        b"}\n",
        b"[",
        b"]",
        b'{"a": "',
        b'"',
        b"\\",
        b"ERROR ",
        b"[WARNING]",
        b"Traceback (most recent call last):\n",
        "信息".encode(),
        "信".encode()[:2],
        b"\xa1",
        "😀".encode(),
        b"\xf0\x9f",
        b"\xff\xfe",
        "miſsK".encode(),
    ]
)
bits = st.lists(st.one_of(fragments, fragments, fragments, st.binary(max_size=6)), max_size=12).map(b"".join)
names = st.sampled_from(NAMES)
places = st.integers(0, 1 << 16)  # of a stream, in 65,536ths
needles = st.one_of(
    st.tuples(
        st.sampled_from(
            [
                "needle",
                "eed",
                "e",
                "n",
                "ne",
                "loss",
                "信",
                "信息",
                "�",
                "��",
                "miss",
                "K",
                "SSk",
                "\x00",
                "\r",
                " ",
                "xx",
                "0.5",
                "ERROR ",
                "{",
                "\n",
                "a\n",
                "[ModelArts",
                "😀",
                "absent",
                "x" * 200,
                "needleneedle",
            ]
        ),
        st.just(False),
    ),
    st.tuples(
        st.sampled_from(
            [
                "ne+dle",
                "^",
                "$",
                "^$",
                "a$",
                "^a",
                "[^a]",
                r"\s",
                "need(le)?",
                "x*",
                r"loss=\d",
                "信.",
                ".",
                r"[\s\S]{3}",
                "(?i)NEEDLE",
                r"\Aneed",
                r"dle\z",
                "(?m)^n.*e$",
                "a|信",
                r"\bneedle\b",
                "(needle|loss).*0",
                "[A-Z]{5}",
                r"\n",
                "absent[0-9]+",
            ]
        ),
        st.just(True),
    ),
    st.tuples(st.text(min_size=1, max_size=4), st.just(False)),
)
limits = st.fixed_dictionaries(
    {
        "ignore_case": st.booleans(),
        "word": st.sampled_from([False, False, True]),
        "lines": st.sampled_from(["all", "all", "user"]),
        "levels": st.sampled_from([frozenset(), frozenset(), frozenset({"error"}), frozenset({"error", "warning"})]),
        "since": st.sampled_from([None, None, None, NOON + 3, NOON + 60]),
        "until": st.sampled_from([None, None, None, NOON + 3, NOON + 60]),
        "limit": st.sampled_from([0, 1, 2, 7, 100]),
        "count": st.booleans(),
    }
)


class StoreMachine(RuleBasedStateMachine):
    """The store under test and its model get the same calls and must give the same answers."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp(prefix="logsvc-machine-"))
        self.clock = HandClock()
        self.model = MemoryStore(self.clock)
        self.ids: dict[StreamName, tuple[str, str]] = {}  # of the store, of the model

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def open(self) -> None:
        self.store = EmbeddedStore(self.folder / "data", clock=self.clock)
        self.run(self.store.open())

    @initialize()
    def start(self) -> None:
        self.open()

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.run(self.store.close())
        self.loop.close()
        shutil.rmtree(self.folder)

    # What is done

    def append_both(self, chunks: list[Chunk]) -> None:
        got, expected = self.run(self.store.append(chunks)), self.run(self.model.append(chunks))
        assert [outcome(one) for one in got] == [outcome(one) for one in expected]
        for chunk, ours, theirs in zip(chunks, got, expected, strict=True):
            if isinstance(ours, Appended) and isinstance(theirs, Appended):
                assert bool(ours.stream_id) == bool(theirs.stream_id)
                if ours.stream_id:
                    assert self.ids.setdefault(chunk.stream, (ours.stream_id, theirs.stream_id)) == (
                        ours.stream_id,
                        theirs.stream_id,
                    )

    def held(self, name: StreamName) -> bytes:
        return self.run(read_all(self.model, self.ids[name][1])) if name in self.ids else b""

    @rule(
        name=names,
        data=bits,
        final=st.sampled_from([False, False, False, True]),
        rank=st.sampled_from([None, None, 0, 3]),
    )
    def append(self, name: StreamName, data: bytes, final: bool, rank: int | None) -> None:
        self.append_both([a_chunk(data, offset=len(self.held(name)), stream=name, final=final, rank=rank)])

    @rule(name=names, pieces=st.lists(bits, min_size=2, max_size=5))
    def append_in_one_call(self, name: StreamName, pieces: list[bytes]) -> None:
        offset, chunks = len(self.held(name)), []
        for piece in pieces:
            chunks.append(a_chunk(piece, offset=offset, stream=name))
            offset += len(piece)
        chunks.append(a_chunk(b"past the end", offset=offset + 1, stream=name))
        self.append_both(chunks)

    @rule(name=names, line=bits, times=st.integers(100, 3000), seam=places)
    def append_much(self, name: StreamName, line: bytes, times: int, seam: int) -> None:
        """Enough to be packed, cut anywhere."""
        data = (line + b"step 12345 loss=0.25 " + b"-" * 400 + b"\n") * times
        data = data[: 700_000 + seam % 7]
        cut = len(data) * seam >> 16
        offset = len(self.held(name))
        if offset > 3_000_000:  # keeps the model quick
            return
        self.append_both(
            [a_chunk(data[:cut], offset=offset, stream=name), a_chunk(data[cut:], offset=offset + cut, stream=name)]
        )

    @rule(name=names, place=places, size=st.integers(0, 2000), more=bits)
    def resend(self, name: StreamName, place: int, size: int, more: bytes) -> None:
        data = self.held(name)
        start = len(data) * place >> 16
        self.append_both(
            [
                a_chunk(data[start : start + size], offset=start, stream=name),
                a_chunk(data[start:] + more, offset=start, stream=name),
            ]
        )

    @rule(name=names, place=places, back=st.integers(0, 2000), flip=st.integers(1, 255), more=bits)
    def conflict(self, name: StreamName, place: int, back: int, flip: int, more: bytes) -> None:
        data = bytearray(self.held(name))
        if data:
            at = min(len(data) * place >> 16, len(data) - 1)
            data[at] ^= flip
            start = max(0, at - back)
            self.append_both([a_chunk(bytes(data[start:] + more), offset=start, stream=name)])

    @rule(name=names, past=st.integers(1, 1 << 40), final=st.booleans())
    def gap(self, name: StreamName, past: int, final: bool) -> None:
        self.append_both([a_chunk(b"x", offset=len(self.held(name)) + past, stream=name, final=final)])

    @rule(chosen=st.lists(names, max_size=3))
    def seal(self, chosen: list[StreamName]) -> None:
        ids = [self.ids[name] for name in chosen if name in self.ids]
        self.run(self.store.seal([ours for ours, _ in ids]))
        self.run(self.model.seal([theirs for _, theirs in ids]))

    @precondition(lambda self: self.ids)
    @rule(name=names)
    def pack(self, name: StreamName) -> None:
        """The whole tail, at whatever byte it ends."""
        if name in self.ids:
            self.run(self.store.pack(self.ids[name][0]))

    @rule()
    def restart(self) -> None:
        self.run(self.store.close())
        self.open()

    @rule(seconds=st.sampled_from([0.125, 0.25, 1.0, 2.0, 57.0]))
    def wait(self, seconds: float) -> None:
        self.clock.move(seconds)

    # What is asked

    @precondition(lambda self: self.ids)
    @rule(
        name=names,
        start=st.integers(1, 50) | st.integers(-50, -1) | st.integers(1, 10_000),
        way=st.sampled_from(["start", "user_start", "received_from"]),
        at=st.sampled_from([NOON - 1, NOON, NOON + 1, NOON + 3, NOON + 60]),
        limit=st.sampled_from([1, 2, 3, 10, 500, 5000]),
        lines=st.sampled_from(["all", "user"]),
    )
    def window(self, name: StreamName, start: int, way: str, at: float, limit: int, lines: Any) -> None:
        if name not in self.ids:
            return
        query = WindowQuery(start=start, limit=limit, lines=lines)
        if way == "user_start":
            query = WindowQuery(user_start=abs(start), limit=limit, lines=lines)
        elif way == "received_from":
            query = WindowQuery(received_from=at, limit=limit, lines=lines)
        ours, theirs = self.ids[name]
        same_window(self.run(self.store.window(ours, query)), self.run(self.model.window(theirs, query)), query)

    @precondition(lambda self: self.ids)
    @rule(
        name=names,
        needle=needles,
        limits=limits,
        after=st.none() | st.integers(0, 60),
        before=st.none() | st.integers(0, 60) | st.just(1 << 40),
    )
    def matches(
        self, name: StreamName, needle: tuple[str, bool], limits: Any, after: int | None, before: int | None
    ) -> None:
        if name not in self.ids:
            return
        query = SearchQuery(*needle, **limits, after=after, before=before if after is None else None)
        ours, theirs = self.ids[name]
        got, expected = self.run(self.store.matches(ours, query)), self.run(self.model.matches(theirs, query))
        assert counted_alike(got) == counted_alike(expected), query

    @precondition(lambda self: self.ids)
    @rule(name=names, needle=needles, limits=limits, buckets=st.sampled_from([1, 3, 10, 2000]), searched=st.booleans())
    def overview(self, name: StreamName, needle: tuple[str, bool], limits: Any, buckets: int, searched: bool) -> None:
        if name not in self.ids:
            return
        asked: dict[str, Any] = {"buckets": buckets, "lines": limits["lines"]}
        if searched:
            asked["query"] = SearchQuery(*needle, **limits)
        ours, theirs = self.ids[name]
        assert self.run(self.store.overview(ours, **asked)) == self.run(self.model.overview(theirs, **asked)), asked

    @precondition(lambda self: self.ids)
    @rule(needle=needles, limits=limits, order=st.permutations(NAMES))
    def search_all(self, needle: tuple[str, bool], limits: Any, order: list[StreamName]) -> None:
        query = SearchQuery(*needle, **limits)
        ids = [self.ids[name] for name in order if name in self.ids]
        after: tuple[str, int] | None = None
        theirs_after: tuple[str, int] | None = None
        to_ours = {theirs: ours for ours, theirs in ids}
        for _ in range(3):
            got = self.run(self.store.search([ours for ours, _ in ids], query, after))
            expected = self.run(self.model.search([theirs for _, theirs in ids], query, theirs_after))
            assert page_alike(got) == page_alike(expected, to_ours), query
            if expected.next is None:
                return
            after, theirs_after = got.next, expected.next

    @precondition(lambda self: self.ids)
    @rule(name=names, start=places, size=st.integers(0, 1 << 20))
    def read(self, name: StreamName, start: int, size: int) -> None:
        if name in self.ids:
            data = self.held(name)
            first = len(data) * start >> 16
            got = self.run(_read(self.store, self.ids[name][0], first, first + size))
            assert got == data[first : first + size]

    @invariant()
    def same_streams(self) -> None:
        for name, (ours, theirs) in self.ids.items():
            got, expected = self.run(self.store.stream(ours)), self.run(self.model.stream(theirs))
            assert dataclasses.replace(got, id="") == dataclasses.replace(expected, id="")
            assert got == self.run(self.store.find(name))
        if self.ids:
            by_model: dict[str, Stream] = {
                theirs: self.run(self.model.stream(theirs)) for _, theirs in self.ids.values()
            }
            order = [by_model[id].name for id in self.run(self.model.stream_ids(None))]
            assert self.run(self.store.stream_ids(None)) == [self.ids[name][0] for name in order]
            name = NAMES[0]
            heads = self.run(self.store.generations(name.job, name.task, name.path))
            assert heads == self.run(self.model.generations(name.job, name.task, name.path))

    @rule(name=names)
    def read_whole(self, name: StreamName) -> None:
        if name in self.ids:
            assert self.run(read_all(self.store, self.ids[name][0])) == self.held(name)


def outcome(result: Appended | LogsvcError) -> object:
    """What an append answered, without ids."""
    return result.next_offset if isinstance(result, Appended) else (result.code, result.detail)


def same_window(got: Window, expected: Window, query: WindowQuery) -> None:
    """Equal, but `through` may lie further on over lines that are hidden."""
    assert (got.total_lines, got.total_user_lines) == (expected.total_lines, expected.total_user_lines)
    assert got.lines == expected.lines, query
    if query.lines == "all":
        assert got.through == expected.through, query
    else:
        assert got.through >= expected.through and got.through <= got.total_lines, query


def counted_alike(found: Matches) -> object:
    """What must be equal: what was looked at to find it may differ."""
    return found.total, found.exact, found.matches, found.next, found.preceding


def page_alike(page: SearchPage, names: dict[str, str] | None = None) -> object:
    """The same for a search over many streams."""
    named = (lambda id: names[id]) if names else (lambda id: id)
    following = None if page.next is None else (named(page.next[0]), page.next[1])
    return [(named(one.stream_id), one.total, one.matches) for one in page.streams], page.exact, following


async def _read(store: EmbeddedStore, stream_id: str, start: int, end: int) -> bytes:
    return b"".join([piece async for piece in store.read(stream_id, start, end)])


TestStoreMachine = pytest.mark.slow(StoreMachine.TestCase)
TestStoreMachine.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=40,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
