"""Full text of a log: readable, complete, and the same wherever its pieces end."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logsvc.core.plain import plain


async def shown(*pieces: bytes) -> str:
    async def given() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    return "".join([text async for text in plain(given())])


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("损失 0.5\n".encode(), "损失 0.5\n"),
        (b"a\xffb\xe6\x8d\n", "a\ufffdb\ufffd\n"),
        (b"nul\0bell\7del\x7f\n", "nul␀bell␇del␡\n"),
        (b"dos\r\nunix\n", "dos\nunix\n"),
        (b" 10%\r 20%\r100%\n", " 10%\n 20%\n100%\n"),
        (b"1/3\b\b\b2/3\b\b\b3/3\n", "1/3\n2/3\n3/3\n"),
        (b"a" + b"\b" * 300 + b"b", "a\nb"),
        (b"a\r\bb", "a\n\nb"),
        (b"\x1b[1;31merror\x1b[0m: loss\x1b[K\n", "error: loss\n"),
        (b"\x1b]8;;https://a.example\x1b\\link\n", "␛]8;;https://a.example␛\\link\n"),
        (b"ends in \x1b[31", "ends in ␛[31"),
        (b"ends in \r", "ends in \n"),
        (b"<b>&amp;</b>\ttab\n", "<b>&amp;</b>\ttab\n"),
    ],
)
async def test_what_is_not_text_is_made_readable(data: bytes, text: str) -> None:
    assert await shown(data) == text
    assert await shown(*(data[i : i + 1] for i in range(len(data)))) == text


BYTES = st.lists(st.sampled_from([b"\r", b"\n", b"\b", b"\x1b", b"[", b"3", b"m", b"\0", b"\xe6", "失".encode(), b"x"]))


@settings(max_examples=200, deadline=None)
@given(parts=BYTES, cut=st.integers(0, 40))
async def test_pieces_may_end_anywhere(parts: list[bytes], cut: int) -> None:
    data = b"".join(parts)
    assert await shown(data[:cut], data[cut:]) == await shown(data)
