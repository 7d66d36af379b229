"""A log as text that a browser shows and searches by itself: read in pieces, with little memory.

What is not text is made readable, nothing else is changed:
  - an invalid part of UTF-8 is U+FFFD, as in every other view;
  - `\\r` alone and runs of `\\b` begin a new row: each state of a progress bar stands on its own;
  - colours and movements of the cursor (CSI sequences) are left out;
  - every other control character is a symbol of its own: NUL is ␀, ESC ␛.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import AsyncIterable, AsyncIterator

LONGEST_ESCAPE = 64  # characters; a longer one is none

_CSI = re.compile(rf"\x1b\[[0-?]{{0,{LONGEST_ESCAPE // 2}}}[ -/]{{0,{LONGEST_ESCAPE // 2}}}[@-~]")
_REDRAWN = re.compile(r"\x08+")
# U+2400 and on are pictures of the control characters.
_SYMBOLS = {chr(code): chr(0x2400 + code) for code in range(32) if chr(code) not in "\t\n"} | {"\x7f": "␡"}
# What may go on in the next piece: an escape without its end, a `\r` before its `\n`.
_OPEN = re.compile(rf"(?:\x1b(?:\[[ -?]{{0,{LONGEST_ESCAPE}}})?|\r)\Z")


async def plain(pieces: AsyncIterable[bytes]) -> AsyncIterator[str]:
    """Readable text of the bytes, piece by piece."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    held = ""
    async for piece in pieces:
        text = held + decoder.decode(piece)
        text, held = _split(text)
        if shown := readable(text):
            yield shown
    if rest := readable(held + decoder.decode(b"", final=True)):
        yield rest


def readable(text: str) -> str:
    """Text without what a browser cannot show."""
    # `in` and `replace` take a fiftieth of the time that a pattern takes to find nothing.
    if "\x1b" in text:
        text = _CSI.sub("", text)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\b" in text:
        text = _REDRAWN.sub("\n", text)
    for control, symbol in _SYMBOLS.items():
        if control in text:
            text = text.replace(control, symbol)
    return text


def _split(text: str) -> tuple[str, str]:
    """What stands for sure, and what the next piece may change."""
    if text.endswith("\b"):
        return text.rstrip("\b"), "\b"  # a run is one break, however long
    found = _OPEN.search(text, max(0, len(text) - LONGEST_ESCAPE - 2))
    return (text[: found.start()], found[0]) if found else (text, "")
