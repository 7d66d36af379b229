"""LogStore, writing: bytes at an offset, each kept once, whole batches in one commit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import pytest

from builders import JOB, NOON, STREAM, TASK, HandClock, a_chunk, a_stream, find, read_all, texts_of, window, write
from logsvc.errors import BadPath, ContentConflict, LogsvcError, NotFound, OffsetGap
from logsvc.model.chunk import Appended
from logsvc.model.job import JOB_KIND
from logsvc.model.query import JobTotals
from logsvc.model.stream import StreamName, ascend_path, other_path, proc_path
from logsvc.ports import Committed, LogStore

Reopen = Callable[[LogStore], Awaitable[LogStore]]
ALL_BYTES = bytes(range(256))


def ends(results: Sequence[Appended | LogsvcError]) -> list[int | str]:
    """Next offsets, and the codes of what was refused."""
    return [result.next_offset if isinstance(result, Appended) else result.code for result in results]


async def rank_of(store: LogStore, name: StreamName) -> int | None:
    held = await store.find(name)
    assert held is not None
    return held.rank


async def test_first_chunk_makes_the_stream(log_store: LogStore) -> None:
    """A stream is there as soon as its first bytes are."""
    stream_id = await write(log_store, b"epoch 1\nepo")

    held = await log_store.stream(stream_id)
    assert held == await log_store.find(STREAM)
    assert (held.name, held.kind, held.rank, held.device) == (STREAM, "ordinary", None, None)
    assert (held.size_bytes, held.lines, held.user_lines, held.sealed) == (11, 2, 2, False)
    assert held.created_at == held.last_chunk_at == NOON


async def test_path_gives_kind_rank_and_device(log_store: LogStore) -> None:
    """What a path says of its file is known of the stream."""
    await write(log_store, b"x\n", stream=a_stream(path=proc_path(JOB, 3, 1)))
    await write(log_store, b"x\n", stream=a_stream(path=ascend_path(JOB, 7, "device-5/device-1_2.log")))
    await write(log_store, b"x\n", stream=a_stream(path=ascend_path(JOB, TASK, "plog/plog-1_2.log")))

    held = {stream.kind: (stream.rank, stream.device) for stream in await log_store.streams(JOB)}
    assert held == {"proc": (3, 1), "device": (7, 5), "plog": (None, None)}


async def test_rank_learned_later_fills_what_is_unknown(log_store: LogStore, reopen: Reopen) -> None:
    """With bytes, with a resent chunk or an empty one; the first to be told stays, the path does not change."""
    with_bytes, resent, empty, sealed = (
        a_stream(path=ascend_path(JOB, TASK, f"plog/plog-{pid}_2.log")) for pid in range(4)
    )
    for stream in (resent, empty, sealed):
        await write(log_store, b"x\n", stream=stream, final=stream == sealed)
    results = await log_store.append(
        [
            a_chunk(b"x\n", stream=with_bytes, rank=5),
            a_chunk(b"y\n", offset=2, stream=with_bytes, rank=6),
            a_chunk(b"x\n", stream=resent, rank=0),
            a_chunk(b"", offset=2, stream=empty, rank=7),
            a_chunk(b"", offset=2, stream=empty, rank=8),
            a_chunk(b"", offset=2, stream=sealed, rank=9),
        ]
    )
    assert ends(results) == [2, 4, 2, 2, 2, 2]
    await log_store.append([a_chunk(b"", offset=2, stream=resent, rank=1)])

    before = await log_store.streams(JOB)
    assert [(stream.rank, stream.sealed) for stream in before] == [(5, False), (0, False), (7, False), (9, True)]
    assert await (await reopen(log_store)).streams(JOB) == before


async def test_rank_that_changes_nothing(log_store: LogStore) -> None:
    """The path is right where it names a rank; a refused chunk tells nothing; no stream is made for a rank alone."""
    named, plog = (a_stream(path=ascend_path(JOB, owner, "plog/plog-1_2.log")) for owner in (7, TASK))
    await write(log_store, b"x\n", stream=named)
    await log_store.append([a_chunk(b"", offset=2, stream=named, rank=3), a_chunk(b"", stream=plog, rank=3)])
    assert await rank_of(log_store, named) == 7
    assert await log_store.find(plog) is None

    await write(log_store, b"x\n", stream=plog)
    refused = [a_chunk(b"", offset=9, stream=plog, rank=3), a_chunk(b"y\n", stream=plog, rank=3)]
    assert ends(await log_store.append(refused)) == ["offset_gap", "content_conflict"]
    assert await rank_of(log_store, plog) is None


async def test_foreign_path_is_refused(log_store: LogStore) -> None:
    """A stream of no known kind is never made."""
    [result] = await log_store.append([a_chunk(stream=StreamName(JOB, TASK, "../etc/passwd"))])

    assert isinstance(result, BadPath)
    assert await log_store.stream_ids(None) == []


async def test_bytes_come_back_verbatim(log_store: LogStore) -> None:
    """NUL, lone \\r, invalid UTF-8 and all else stay as they came."""
    data = ALL_BYTES * 3 + b"\r\r\n\n\0\xff\xfe" + "信息".encode()[:-1]
    stream_id = await write(log_store, data[:100], data[100:101], data[101:])

    assert await read_all(log_store, stream_id) == data
    for start, end in [(0, 1), (99, 102), (50, 50), (700, 2**62), (len(data), 2**62), (len(data) + 9, 2**62), (9, 3)]:
        pieces = [piece async for piece in log_store.read(stream_id, start, end)]
        assert b"".join(pieces) == data[start:end]


async def test_read_comes_in_pieces_of_a_mebibyte(log_store: LogStore) -> None:
    """A big log is never in memory as a whole."""
    data = ALL_BYTES * 10_000
    stream_id = await write(log_store, *[data[at : at + 700_000] for at in range(0, len(data), 700_000)])

    pieces = [piece async for piece in log_store.read(stream_id, 3, len(data) - 3)]
    assert b"".join(pieces) == data[3:-3]
    assert max(map(len, pieces)) <= 1 << 20


async def test_resent_chunk_is_stored_once(log_store: LogStore) -> None:
    """A collector that missed the reply may send again."""
    await write(log_store, b"epoch 1\n")
    again = await log_store.append([a_chunk(b"epoch 1\n")])

    assert ends(again) == [8]
    held = await log_store.find(STREAM)
    assert held is not None and (held.size_bytes, held.lines) == (8, 1)


async def test_resent_bytes_with_new_ones_behind_them(log_store: LogStore) -> None:
    """Only what is new is stored, from whatever offset it is sent."""
    stream_id = await write(log_store, b"epoch 1\nep")
    for offset, data in [(0, b"epoch 1\nepoch 2"), (8, b"epoch 2\n"), (3, b"ch 1\n"), (16, b""), (5, b"")]:
        await log_store.append([a_chunk(data, offset=offset)])

    assert await read_all(log_store, stream_id) == b"epoch 1\nepoch 2\n"
    assert await texts_of(log_store, stream_id) == ["epoch 1", "epoch 2"]


@pytest.mark.parametrize("at", [0, 1, 6, 7, 8, 9, 14, 15])
async def test_differing_byte_is_a_conflict_anywhere(log_store: LogStore, at: int) -> None:
    """One byte that differs from those held means another file, wherever it stands."""
    held = b"epoch 1\nepoch 2\n"
    stream_id = await write(log_store, held[:5], held[5:11], held[11:])
    sent = bytearray(held + b"epoch 3\n")
    sent[at] ^= 1
    [result] = await log_store.append([a_chunk(bytes(sent))])

    assert isinstance(result, ContentConflict)
    assert result.offset == at
    assert await read_all(log_store, stream_id) == held


async def test_conflict_deep_in_a_big_stream(log_store: LogStore) -> None:
    """Chunks packed long ago are compared too."""
    data = b"".join(b"%07d\n" % n for n in range(300_000))
    stream_id = await write(log_store, *[data[at : at + 600_000] for at in range(0, len(data), 600_000)])
    for at in (0, 599_999, 600_000, 1_000_001, len(data) - 1):
        start = max(0, at - 1000)
        sent = bytearray(data[start : at + 5])
        sent[at - start] ^= 1
        [result] = await log_store.append([a_chunk(bytes(sent), offset=start)])
        assert isinstance(result, ContentConflict) and result.offset == at
    assert ends(await log_store.append([a_chunk(data)])) == [len(data)]
    assert await read_all(log_store, stream_id) == data


async def test_gap_is_refused_with_what_was_expected(log_store: LogStore) -> None:
    """Bytes past the end are refused; the sender learns where to go on."""
    await write(log_store, b"epoch 1\n")
    [result] = await log_store.append([a_chunk(offset=9)])

    assert isinstance(result, OffsetGap)
    assert (result.expected, result.got) == (8, 9)
    [far] = await log_store.append([a_chunk(b"x", offset=2**63 - 1)])
    assert isinstance(far, OffsetGap)


async def test_refused_chunk_makes_neither_job_nor_stream(log_store: LogStore) -> None:
    """A gap at the start of an unknown stream leaves no trace."""
    [result] = await log_store.append([a_chunk(offset=1, final=True)])

    assert isinstance(result, OffsetGap) and result.expected == 0
    assert await log_store.find(STREAM) is None
    assert await log_store.stream_ids(None) == []
    assert await log_store.get(JOB_KIND, JOB) is None  # type: ignore[attr-defined]


async def test_empty_chunk_changes_nothing(log_store: LogStore) -> None:
    """Neither on a stream that is there nor on one that is not."""
    assert ends(await log_store.append([a_chunk(b"")])) == [0]
    assert await log_store.stream_ids(None) == []
    assert await log_store.get(JOB_KIND, JOB) is None  # type: ignore[attr-defined]

    await write(log_store, b"epoch 1\n", final=True)
    assert ends(await log_store.append([a_chunk(b"", offset=8), a_chunk(b"", offset=2)])) == [8, 8]
    held = await log_store.find(STREAM)
    assert held is not None and held.sealed


async def test_empty_final_chunk_seals(log_store: LogStore) -> None:
    """A job that ends without another line says so."""
    await write(log_store, b"epoch 1\n")
    assert ends(await log_store.append([a_chunk(b"", offset=8, final=True)])) == [8]

    held = await log_store.find(STREAM)
    assert held is not None and held.sealed


async def test_empty_file_is_a_stream_once_final(log_store: LogStore) -> None:
    """A log that stayed empty is a log."""
    stream_id = await write(log_store, b"", final=True)

    held = await log_store.stream(stream_id)
    assert (held.size_bytes, held.lines, held.sealed) == (0, 0, True)
    assert await texts_of(log_store, stream_id) == []
    assert (await window(log_store, stream_id, -5)).total_lines == 0
    assert (await find(log_store, stream_id, "x")).total == 0
    assert await read_all(log_store, stream_id) == b""


async def test_new_bytes_open_a_sealed_stream(log_store: LogStore) -> None:
    """Final was said too early: nothing is lost."""
    stream_id = await write(log_store, b"epoch 1\nepo", final=True)
    await log_store.append([a_chunk(b"epoch 1\n")])  # resent: nothing new
    assert (await log_store.stream(stream_id)).sealed
    await write(log_store, b"ch 2\nepo")

    assert not (await log_store.stream(stream_id)).sealed
    assert await texts_of(log_store, stream_id) == ["epoch 1", "epoch 2", "epo"]
    await write(log_store, b"ch 3\n", final=True)
    assert (await log_store.stream(stream_id)).sealed
    assert await texts_of(log_store, stream_id) == ["epoch 1", "epoch 2", "epoch 3"]


async def test_seal_by_id(log_store: LogStore) -> None:
    """What no sender ends, the service ends."""
    one, two = await write(log_store, b"a\nb"), await write(log_store, b"c", stream=a_stream(task="worker-1"))
    await log_store.seal([one, one])
    await log_store.seal([])

    assert (await log_store.stream(one)).sealed and not (await log_store.stream(two)).sealed
    await log_store.seal([one, two])
    assert (await log_store.stream(one)).sealed and (await log_store.stream(two)).sealed
    assert await texts_of(log_store, one) == ["a", "b"]


async def test_newer_generation_seals_older_ones(log_store: LogStore) -> None:
    """In whatever order the generations arrive."""
    first = await write(log_store, b"0\n", stream=a_stream(generation=0))
    third = await write(log_store, b"2\n", stream=a_stream(generation=2))
    second = await write(log_store, b"1\n", stream=a_stream(generation=1))

    sealed = [(await log_store.stream(id)).sealed for id in (first, second, third)]
    assert sealed == [True, True, False]
    await write(log_store, b"more\n", stream=a_stream(generation=0))
    await write(log_store, b"more\n", stream=a_stream(generation=1))
    assert [(await log_store.stream(id)).sealed for id in (first, second, third)] == [True, True, False]
    assert await texts_of(log_store, first) == ["0", "more"]


async def test_generations_with_heads_and_tails(log_store: LogStore) -> None:
    """A collector compares both with its files."""
    path = STREAM.path
    assert await log_store.generations(JOB, TASK, path) == []
    big = ALL_BYTES * 5
    await write(log_store, b"c", b"", stream=a_stream(generation=2))
    await write(log_store, big[:1000], big[1000:], stream=a_stream(generation=0))
    await write(log_store, b"b" * 1024, stream=a_stream(generation=1))
    await write(log_store, b"other\n", stream=a_stream(task="worker-1"))

    found = await log_store.generations(JOB, TASK, path)
    assert [(one.generation, one.next_offset, one.head, one.tail, one.sealed) for one in found] == [
        (0, 1280, big[:1024], big[-1024:], True),
        (1, 1024, b"b" * 1024, b"b" * 1024, True),
        (2, 1, b"c", b"c", False),
    ]


async def test_batch_is_taken_in_order(log_store: LogStore) -> None:
    """A later chunk of one call sees the earlier ones; a refused one does not stop the others."""
    other = a_stream(task="worker-1")
    results = await log_store.append(
        [
            a_chunk(b"epoch 1\n"),
            a_chunk(b"epoch 2\n", offset=8),
            a_chunk(b"x", offset=99),
            a_chunk(b"epoch X\n", offset=8),
            a_chunk(b"other\n", stream=other),
            a_chunk(b"epoch 2\nepoch 3\n", offset=8),
            a_chunk(b"", offset=6, stream=other, final=True),
        ]
    )

    assert ends(results) == [8, 16, "offset_gap", "content_conflict", 6, 24, 6]
    held, sealed = await log_store.find(STREAM), await log_store.find(other)
    assert held is not None and sealed is not None
    assert await read_all(log_store, held.id) == b"epoch 1\nepoch 2\nepoch 3\n"
    assert (held.sealed, sealed.sealed) == (False, True)
    assert await log_store.append([]) == []


async def test_first_chunk_makes_the_job(log_store: LogStore) -> None:
    """A job nobody described is there with its first bytes; its owner is the sender."""
    await log_store.append([a_chunk(owner="ada"), a_chunk(stream=a_stream(task="worker-1"), owner="bob")])

    record = await log_store.get(JOB_KIND, JOB)  # type: ignore[attr-defined]
    assert record.version == 1
    assert (record.value["id"], record.value["owner"], record.value["status"]) == (JOB, "ada", "running")
    assert record.value["created_at"] == NOON


async def test_job_that_was_put_is_kept(log_store: LogStore) -> None:
    """A chunk never overwrites what is known of its job."""
    await log_store.put(JOB_KIND, JOB, {"id": JOB, "name": "resnet"})  # type: ignore[attr-defined]
    await write(log_store, b"epoch 1\n")

    record = await log_store.get(JOB_KIND, JOB)  # type: ignore[attr-defined]
    assert (record.version, record.value) == (1, {"id": JOB, "name": "resnet"})


async def test_listeners_hear_of_each_commit(log_store: LogStore) -> None:
    """In commit order, with complete lines only, once for what changed."""
    heard: list[Committed] = []
    log_store.subscribe(heard.extend)
    stream_id = await write(log_store, b"a\nb", b"\nc", b"")
    await log_store.append([a_chunk(b"a\n"), a_chunk(b"x", offset=50)])
    await write(log_store, b"\n", final=True)

    heard = list(dict.fromkeys(heard))  # a store may say again what has not changed
    assert [one.stream_id for one in heard] == [stream_id] * 3
    assert [(one.lines, one.size_bytes, one.sealed) for one in heard] == [(1, 3, False), (2, 5, False), (3, 6, True)]


async def test_listeners_hear_that_a_stream_was_sealed(log_store: LogStore) -> None:
    """By hand, or by a newer generation of its file."""
    first = await write(log_store, b"a\n")
    heard: list[Committed] = []
    log_store.subscribe(heard.extend)
    second = await write(log_store, b"b\n", stream=a_stream(generation=1))
    await log_store.seal([second])

    last = {one.stream_id: one for one in heard}
    assert last[first] == Committed(first, 1, 2, True)
    assert last[second] == Committed(second, 1, 2, True)


async def test_unknown_streams(log_store: LogStore) -> None:
    """No id that was not given leads anywhere."""
    await write(log_store, b"a\n")
    for id in ("", "x", "0", "-1", "1" * 40, "a/b", "..", "\0", "1 ", "é", "999999999", "1e0", "0x1", "None", "\ud800"):
        with pytest.raises(NotFound):
            await log_store.stream(id)
        with pytest.raises(NotFound):
            await window(log_store, id)
        with pytest.raises(NotFound):
            await find(log_store, id, "a")
        with pytest.raises(NotFound):
            await read_all(log_store, id)
    assert await log_store.find(a_stream(generation=1)) is None
    assert await log_store.streams("nobody") == []
    assert await log_store.job_totals(["nobody"]) == {}


async def test_streams_of_a_job_in_order(log_store: LogStore) -> None:
    """By kind, task in natural order, path, generation."""
    names = [
        a_stream(task="worker-2"),
        a_stream(task="worker-10"),
        a_stream(task="worker-10", generation=3),
        a_stream(path=proc_path(JOB, 0, 0)),
        a_stream(path=ascend_path(JOB, 0, "plog/plog-1_2.log")),
        a_stream(path=other_path(JOB, TASK, "1²1/a.txt")),
        a_stream(path=other_path(JOB, TASK, "1١1/a.txt")),
    ]
    for name in reversed(names[:5]):
        await write(log_store, b"x\n", stream=name)
    await write(log_store, b"x\n", stream=a_stream(job="another"))

    assert [stream.name for stream in await log_store.streams(JOB)] == names[:5]
    for name in names[5:]:
        await write(log_store, b"x\n", stream=name)
    assert {stream.name for stream in await log_store.streams(JOB)} == set(names)


async def test_stream_ids_newest_first(log_store: LogStore, clock: HandClock) -> None:
    """Of some jobs, or of all."""
    ids = []
    for job in ("a", "b", "a", "c"):
        clock.move(1)
        ids.append(await write(log_store, b"x\n", stream=a_stream(job=job, task=f"worker-{len(ids)}")))
    await write(log_store, b"later\n", stream=a_stream(job="a"))

    assert await log_store.stream_ids(None) == ids[::-1]
    assert await log_store.stream_ids(["a"]) == [ids[2], ids[0]]
    assert await log_store.stream_ids(["c", "b", "nobody"]) == [ids[3], ids[1]]
    assert await log_store.stream_ids([]) == []


async def test_job_totals(log_store: LogStore, clock: HandClock) -> None:
    """Sizes, the newest chunk, tasks in natural order."""
    for task in ("worker-10", "worker-2", "ps-0"):
        clock.move(1)
        await write(log_store, b"12345\n", stream=a_stream(task=task))
    await write(log_store, b"1", stream=a_stream(job="b"))
    clock.move(5)

    assert await log_store.job_totals([JOB, "nobody"]) == {
        JOB: JobTotals(log_bytes=18, last_chunk_at=NOON + 3, tasks=["ps-0", "worker-2", "worker-10"])
    }


async def test_everything_is_there_after_a_restart(log_store: LogStore, reopen: Reopen, clock: HandClock) -> None:
    """Streams, seals, open lines, ids and the job."""
    data = b"a\nb\r\n\xffc"
    first = await write(log_store, data[:3], data[3:])
    clock.move(60)
    sealed = await write(log_store, b"done\n", stream=a_stream(task="worker-1"), final=True)
    before = await log_store.streams(JOB)
    log_store = await reopen(log_store)

    assert await log_store.streams(JOB) == before
    assert await log_store.stream_ids(None) == [sealed, first]
    assert await read_all(log_store, first) == data
    assert await log_store.get(JOB_KIND, JOB) is not None  # type: ignore[attr-defined]
    await write(log_store, b"d\n")
    assert await texts_of(log_store, first) == ["a", "b", "\ufffdcd"]
    third = await write(log_store, b"x\n", stream=a_stream(job="new"))
    assert third not in (first, sealed)


async def test_close_may_be_called_twice(log_store: LogStore) -> None:
    """Whoever ends the service need not ask whether it has ended."""
    await write(log_store, b"a\n")
    await log_store.close()
    await log_store.close()
