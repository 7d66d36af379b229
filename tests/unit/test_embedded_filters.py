"""Filters of the embedded store over many groups: they skip, and never decide."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from builders import HandClock, a_chunk, a_stream
from logsvc.model.query import SearchQuery
from logsvc.stores.embedded import packer, rows, writer
from logsvc.stores.embedded.grams import COLUMNS, SEVERAL, FilterGroups, Requirement, Words, column_of, gram_hashes
from logsvc.stores.embedded.lines import WORDS, find_words
from logsvc.stores.embedded.literals import needs_of
from logsvc.stores.embedded.store import EmbeddedStore
from logsvc.stores.memory import MemoryStore
from logsvc.stores.needle import Needle

NEEDLES = [b"loss", b"rank_7", b"never there", b"step 41 ", b"epoch"]


def some_text(rng: random.Random, lines: int) -> bytes:
    words = ("loss", "epoch", "rank_7", "step", "grad", "lr", "警告", "ERROR", "warning:")
    return b"".join(
        f"{rng.choice(words)} {rng.randrange(60)} {rng.choice(words)} {rng.random():.9f}\n".encode()
        for _ in range(lines)
    )


def octets(text: bytes) -> np.ndarray:
    return np.frombuffer(text, np.uint8)


def required(*needles: bytes) -> Requirement:
    return Requirement([[gram_hashes(needle)] for needle in needles])


def test_groups_find_what_is_there_also_when_loaded_anew(tmp_path: Path) -> None:
    """Every chunk that holds a needle is a candidate, over full groups and the open one."""
    rng = random.Random(5)
    texts = [some_text(rng, 3) for _ in range(COLUMNS * 2 + 7)]
    filters = FilterGroups(tmp_path / "filters.bin")
    groups, columns = [], {}
    for index, text in enumerate(texts):
        if filters.is_full:
            groups.append(filters.write_open_group())
            filters.begin_group()
            columns.clear()
        number = filters.place(10**6, small_below=1, full_at=10**6)
        columns[number] = (
            number,
            *filters.add(number, index % 5 + 1, invalid=False, folding=False, bits=column_of(octets(text))[0]),
        )
        assert number == index
    again = FilterGroups(tmp_path / "filters.bin")
    again.load(groups, list(columns.values()))
    for asked in (filters, again):
        for needle in NEEDLES:
            found = asked.candidates(required(needle), None)
            holds = {index for index, text in enumerate(texts) if needle in text}
            assert holds <= set(found.tolist())
            mine = asked.candidates(required(needle), 3).tolist()
            assert mine == [index for index in found.tolist() if index % 5 + 1 == 3]
        assert len(asked.candidates(required(b"never there"), None)) == 0
    assert again.columns == len(texts)


def test_a_lost_file_costs_time_and_no_match(tmp_path: Path) -> None:
    filters = FilterGroups(tmp_path / "filters.bin")
    filters.load([(np.ones(COLUMNS, np.int64).tobytes(), 0, 0)], [])
    assert len(filters.candidates(required(b"anything"), None)) == COLUMNS


def test_small_chunks_share_a_column(tmp_path: Path) -> None:
    filters = FilterGroups(tmp_path / "filters.bin")
    numbers = [filters.place(40, small_below=50, full_at=100) for _ in range(3)]
    assert numbers == [0, 0, 1]
    filters.add(0, 7, invalid=False, folding=True, bits=column_of(octets(b"needle one"))[0])
    row = filters.add(0, 8, invalid=True, folding=False, bits=column_of(octets(b"another thing"))[0])
    assert row[:3] == (SEVERAL, True, True)
    for stream in (7, 8, 9):
        assert filters.candidates(required(b"needle"), stream).tolist() == [0]
    assert filters.candidates(Requirement([[gram_hashes(b"absent")]], any_invalid=True), 9).tolist() == [0]


@pytest.mark.parametrize("seed", range(5))
def test_words_are_found_on_the_way(seed: int) -> None:
    """The places found with the filter are those that `bytes.find` gives, and perhaps more of the same start."""
    rng = random.Random(seed)
    pieces = [b"\n", b" ", b"x", b"error", b"Error", b"warn", b"traceback", b"[ModelArts Service Log]", b"exceptional"]
    text = b"".join(rng.choice(pieces) for _ in range(500)).lower()
    found = column_of(octets(text), Words(WORDS))[1].tolist()
    assert set(find_words(text).tolist()) <= set(found)
    assert all(
        any(text.startswith(word[:8] if len(word) >= 8 else word[:4], place) for word in WORDS) for place in found
    )


@pytest.mark.parametrize(
    ("pattern", "clauses"),
    [
        (r"retry=[0-9]+ .*qp=0x[0-9a-f]{8} (failed|timeout)", [{"retry="}, {" "}, {"qp=0x"}, {" failed", " timeout"}]),
        (r"^loss: (\d+)$", [{"loss: "}]),
        (r"ab*cd+", [{"a"}, {"c"}, {"d"}]),
        (r"x{2}yz", [{"x"}, {"yz"}]),
        (r"abc|x*", []),
        (r"(?s)abc", []),
        (r"\Qa.b\E", []),
        (r"a\.b\x41\x{42}", [{"a.bAB"}]),
        (r"[]x]foo[^\]]bar", [{"foo"}, {"bar"}]),
    ],
)
def test_literals_of_a_pattern(pattern: str, clauses: list[set[str]]) -> None:
    assert sorted(map(sorted, needs_of(pattern, False).clauses)) == sorted(map(sorted, clauses))


@pytest.mark.parametrize("seed", range(300))
def test_a_line_that_matches_holds_what_the_pattern_needs(seed: int) -> None:
    """Random patterns, random lines: the literals drawn from a pattern are in every line that matches."""
    rng = random.Random(seed)
    atoms = [
        "a",
        "b",
        "ab",
        "ba",
        ".",
        "[ab]",
        "[^a]",
        r"\w",
        r"\.",
        "(a|b)",
        "(?:ab|b)",
        "(ba)",
        "^",
        "$",
        r"\b",
        "a|b",
    ]
    pattern = "".join(
        rng.choice(atoms) + rng.choice(["", "", "", "*", "+", "?", "{2}", "{0,1}", "+?"]) for _ in range(5)
    )
    pattern = pattern.replace("^*", "^").replace("$*", "$").replace(r"\b*", r"\b")
    needle = Needle.compile(SearchQuery(pattern, regex=True))
    clauses = needs_of(pattern, False).clauses
    for _ in range(160):
        line = "".join(rng.choice("ab.") for _ in range(rng.randrange(9)))
        if needle.in_text(line):
            assert all(any(literal in line for literal in clause) for clause in clauses), (pattern, line, clauses)


async def test_searches_over_many_groups(tmp_path: Path, clock: HandClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small chunks make many groups; answers equal the plain store's, before and after a restart."""
    for module in (packer, rows, writer):
        monkeypatch.setattr(module, "CHUNK_BYTES", 1500)
    monkeypatch.setattr(writer, "BULK_BYTES", 500)
    monkeypatch.setattr(rows, "SMALL_CHUNK_BYTES", 600)
    rng = random.Random(11)
    plain, store = MemoryStore(clock), EmbeddedStore(tmp_path / "data", clock=clock)
    await store.open()
    sizes: dict[int, int] = {}
    for _ in range(160):
        task = rng.randrange(4)
        data = some_text(rng, rng.choice((1, 5, 120)))[: rng.choice((10**6, -3))]
        chunk = a_chunk(data, offset=sizes.get(task, 0), stream=a_stream(task=f"worker-{task}"))
        sizes[task] = chunk.offset + len(data)
        await plain.append([chunk])
        await store.append([chunk])
    for opened in range(2):
        if opened:
            await store.close()
            store = EmbeddedStore(tmp_path / "data", clock=clock)
            await store.open()
        ours, theirs = await store.stream_ids(None), await plain.stream_ids(None)
        for text, options in [
            ("loss", {}), ("rank_7 4", {}), ("never there", {}), ("WARNING", {"ignore_case": True}), ("警告", {}),
            (r"epoch 4. (loss|lr)", {"regex": True}), ("e", {}), ("step", {"levels": frozenset(["error"])}),
        ]:  # fmt: skip
            query = SearchQuery(text, limit=1000, **options)
            for mine, other in zip(ours, theirs, strict=True):
                got, expected = await store.matches(mine, query), await plain.matches(other, query)
                assert (got.total, got.matches, got.next) == (expected.total, expected.matches, expected.next)
            got_page, expected_page = await store.search(ours, query), await plain.search(theirs, query)
            assert [(one.total, one.matches) for one in got_page.streams] == [
                (one.total, one.matches) for one in expected_page.streams
            ]
    assert (tmp_path / "data" / "filters.bin").stat().st_size >= 1 << 20
    await store.close()
