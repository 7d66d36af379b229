"""Masking: nothing of a secret is left, nothing else is lost, and a window's place does not matter."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import SAMPLES, HandClock, a_stream, find, lines_of, write
from logsvc.core.masking import mask_text, masked_lines, masked_matches
from logsvc.core.secret_values import MASK
from logsvc.core.secrets import MAX_KEY_LINES
from logsvc.stores.memory import MemoryStore
from serving import a_store
from unit.test_secrets import AROUND, HUAWEI_ID, HUAWEI_KEY, INNOCENT, PLANTED

BEGIN, END = "-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----"
BODY = [f"MIIEowIBAAKCAQEA{index:048d}" for index in range(26)]
KEY = [BEGIN, *BODY, "Qw==", END]


@settings(max_examples=60, deadline=None)
@given(st.lists(PLANTED, min_size=1, max_size=3), AROUND)
def test_planted_secrets_are_masked_wholly(planted: list[tuple[str, str, str]], left: str) -> None:
    line = left + " ; ".join(frame.format(secret) for _, frame, secret in planted)
    masked, _ = mask_text(line)
    expected = left + " ; ".join(frame.format(MASK) for _, frame, _ in planted)
    assert masked == expected.replace(HUAWEI_ID, MASK).replace(HUAWEI_KEY, MASK)
    assert mask_text(masked) == (masked, [])


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200), PLANTED, st.text(max_size=200), st.booleans())
def test_masking_twice_is_masking_once(left: str, planted: tuple[str, str, str], right: str, goes_on: bool) -> None:
    once, _ = mask_text(left + planted[1].format(planted[2]) + right, goes_on=goes_on)
    assert mask_text(once, goes_on=goes_on)[0] == once


@pytest.mark.parametrize("line", INNOCENT)
def test_other_text_stays(line: str) -> None:
    assert mask_text(line, [[0, 1], [2, 4]]) == (line, [[0, 1], [2, 4]])


def test_a_mask_does_not_tell_how_long_the_secret_was() -> None:
    assert {mask_text(f"password={'a1' * size} x")[0] for size in (2, 5, 90)} == {f"password={MASK} x"}


def test_spans_move_or_are_dropped() -> None:
    line = "é password=hunter2hunter2 损失 0.31 mail a@b.example end"
    words = ["é", "password", "hunter2", "2 损", "损失", "b.example", "end"]
    spans = [[line.index(word), line.index(word) + len(word)] for word in words]
    masked, kept = mask_text(line, spans)
    assert masked == f"é password={MASK} 损失 0.31 mail {MASK} end"
    assert [masked[start:end] for start, end in kept] == ["é", "password", "损失", "end"]


@settings(max_examples=60, deadline=None)
@given(PLANTED, st.data())
def test_an_unfinished_line_shows_no_beginning_of_a_secret(planted: tuple[str, str, str], data: st.DataObject) -> None:
    """What is shown of a line that goes on is never more of the secret than a few characters of its form."""
    kind, frame, secret = planted
    before = frame.split("{}")[0].replace("{{", "{")
    size = data.draw(st.integers(0, len(secret)))
    masked, _ = mask_text(before + secret[:size], goes_on=True)
    shown = masked.replace(MASK, "\0")
    longest = max((part for part in range(size + 1) if secret[:part] in shown), default=0)
    told = len("-----BEGIN PRIVATE KEY-----") if kind == "private_key" else 0  # of no key in particular
    assert longest < 20 + told, (kind, masked)


# Keys over several lines.


@pytest.fixture(params=["memory", "embedded"])
async def store(request: pytest.FixtureRequest, tmp_path: Path):  # type: ignore[no-untyped-def]
    held = a_store(request.param, tmp_path, HandClock())
    await held.open()
    yield held
    await held.close()


def log_with(*keys: int, lines: int = 900) -> list[str]:
    """A log with a key from each of these lines on (counted from 0), and other lines between its lines."""
    log = [f"step {index} loss 0.{index}" for index in range(lines)]
    for start in keys:
        log[start : start + len(KEY)] = [f"[rank0] {line}" for line in KEY]
    return log


async def stored(store: MemoryStore, log: list[str], name: str = "masking-keys") -> str:
    return await write(store, "".join(f"{line}\n" for line in log).encode(), stream=a_stream(name))


async def test_every_window_shows_the_same(store: MemoryStore) -> None:
    log = log_with(3, 200, 700)
    log[400] = f"{BEGIN}"  # and never ends
    log[250] = f'if "{BEGIN}" in text and "{END}" in text:'  # no key
    stream = await stored(store, log)
    whole = [line["text"] for line in await masked_lines(store, stream, await lines_of(store, stream))]

    hidden = {index for index, (line, masked) in enumerate(zip(log, whole, strict=True)) if line != masked}
    keys = {index for start in (3, 200, 700) for index in range(start, start + len(KEY))}
    assert hidden == keys | set(range(400, 400 + MAX_KEY_LINES + 1))
    assert not [line for line in whole if any(part in line for part in (*BODY, "Qw=="))]
    assert whole[3] == f"[rank0] {MASK}" and whole[4] == MASK

    at_random = random.Random(7)
    for _ in range(40):
        first, size = at_random.randint(1, len(log)), at_random.randint(1, 60)
        part = await masked_lines(store, stream, await lines_of(store, stream, first, size))
        assert [line["text"] for line in part] == whole[first - 1 : first - 1 + size]


async def test_what_stands_behind_a_key_in_its_last_line_is_judged_by_itself(store: MemoryStore) -> None:
    stream = await stored(store, [BEGIN, BODY[0], f"{END} loss 0.5 password=hunter2", "step"])
    masked = await masked_lines(store, stream, await lines_of(store, stream, 3))
    assert [line["text"] for line in masked] == [f"{MASK} loss 0.5 password={MASK}", "step"]


async def test_many_marks_in_front_of_a_line(store: MemoryStore) -> None:
    """More than one page of them."""
    stream = await stored(store, [BEGIN, END] * 600 + ["step", BEGIN, BODY[0]])
    masked = await masked_lines(store, stream, await lines_of(store, stream))
    assert [line["text"] for line in masked[-3:]] == ["step", MASK, MASK]


async def test_masking_a_masked_log_changes_nothing(store: MemoryStore) -> None:
    first = await stored(store, log_with(10, 300, lines=400))
    once = [line["text"] for line in await masked_lines(store, first, await lines_of(store, first))]
    second = await stored(store, once, "masking-twice")
    again = [line["text"] for line in await masked_lines(store, second, await lines_of(store, second))]
    assert again == once


async def test_matches_inside_of_secrets_are_left_out(store: MemoryStore) -> None:
    """Else whoever may search finds a secret out, a character at a time."""
    stream = await stored(store, ["password=hunter2", "the hunter2 job", BEGIN, BODY[0], END])
    for text, left in (("hunt", [2]), ("hunter2", [2]), ("password", [1]), ("MIIEow", []), ("BEGIN", [])):
        matches = (await find(store, stream, text)).matches
        assert [match["n"] for match in await masked_matches(store, stream, matches)] == left


async def test_cut_and_unfinished_lines_hide_what_is_cut_in_two(store: MemoryStore) -> None:
    long = "x " * 32_760 + "hf_" + "aB3" * 20
    stream = await write(store, f"{long}\nlast glpat-aB3dE6".encode(), stream=a_stream("masking-cut"))
    lines = await lines_of(store, stream)
    assert lines[0]["cut"] and lines[1]["partial"] and "hf_aB3" in lines[0]["text"]
    masked = await masked_lines(store, stream, lines)
    assert masked[0]["text"] == "x " * 32_760 + MASK and masked[1]["text"] == f"last {MASK}"
    assert lines[1]["text"] == "last glpat-aB3dE6", "what the store gave was changed"


async def test_a_real_log_stays_as_it_is(store: MemoryStore) -> None:
    data = (SAMPLES / "real" / "maml.log").read_bytes()
    stream = await write(store, data, stream=a_stream("masking-real"))
    lines = await lines_of(store, stream)
    assert await masked_lines(store, stream, lines) == lines and len(lines) > 1000
