"""Find secrets in text: lines worth a look in one pass, then each of these by itself.

A secret is a span of a line's text. Nothing here keeps, returns or logs the text of one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import re2

from logsvc.core.secret_kinds import FORMS, HINTS, KEY_BEGIN, KEY_END, KINDS, PAIRS, Pair, compiled, options
from logsvc.core.secret_values import is_mixed, is_secret_key

NEAR_BYTES = 256  # between an access key and the secret key that belongs to it
MAX_KEY_LINES = 256  # behind the first of a key block; one of 16,384 bits has 204. Without an end it ends here
_RANK = {kind: index for index, kind in enumerate(KINDS)}


@dataclass(frozen=True)
class Secret:
    """Where a secret stands: [start, end) in bytes of the line's text in UTF-8."""

    kind: str
    start: int
    end: int


def _set_of(hints: tuple[bytes, ...]) -> Any:
    made = re2.Set.SearchSet(options())
    for hint in hints:
        made.Add(hint)
    made.Compile()
    return made


_ANY_HINT = compiled(b"|".join((*HINTS, KEY_END)))
_WHICH_HINT = _set_of(HINTS)
_OPENING = {ord(")"): b"(", ord("]"): b"[", ord("}"): b"{", ord(">"): b"<"}
_KEY_WORDS = b"PRIVATE KEY"
_KEY_MARK = compiled(rb"(" + KEY_BEGIN + rb")|" + KEY_END)
_BY_HINT = [
    ([form for form in FORMS if form.hint == hint], [pair for pair in PAIRS if pair.hint == hint]) for hint in HINTS
]


def worth_a_look(block: bytes, start: int = 0) -> Iterator[tuple[int, int]]:
    r"""Lines of a block, [start, end) without their `\n`, that may hold a secret or end a key block; in order."""
    size = len(block)
    while start < size and (hit := _ANY_HINT.search(block, start)):
        begin = block.rfind(b"\n", start, hit.start()) + 1 or start
        end = block.find(b"\n", hit.end())
        end = size if end < 0 else end
        yield begin, end
        start = end + 1


def secrets_in(line: bytes) -> list[Secret]:
    """
    The secrets of one line, by place; none overlap.

    Args:
        line: its text in UTF-8, of any length.
    """
    found: list[Secret] = []
    for index in _WHICH_HINT.Match(line) or ():  # None: no hint holds
        forms, pairs = _BY_HINT[index]
        for form in forms:
            for match in form.regexp.finditer(line):
                start, end = next(span for span in map(match.span, range(1, match.re.groups + 1)) if span[0] >= 0)
                end = _trimmed(line, start, end)
                if form.check(line[start:end]):
                    found.append(Secret(form.kind, start, end))
        for pair in pairs:
            found += _pairs(line, pair)
    return _apart(found)


@dataclass(frozen=True)
class KeyMarks:
    """
    What a line says of keys that go over several lines.

    Attributes:
        ends_at: a key that was open before ends here, in bytes; -1: it does not.
        opens: behind this line a key is open.
        closes: behind this line none is.
    """

    ends_at: int = -1
    opens: bool = False
    closes: bool = False


def key_marks(line: bytes) -> KeyMarks:
    """
    The marks of private keys in a line's text, which depend on nothing but this line.

    So the last line with a mark among the MAX_KEY_LINES in front of a line says whether that lies in a key.
    """
    if _KEY_WORDS not in line:
        return KeyMarks()
    ends_at, first_begin, last_begin, last_end = -1, -1, -1, -1
    for match in _KEY_MARK.finditer(line):
        if match.group(1) is None:
            last_end = match.end()
            ends_at = last_end if ends_at < 0 and first_begin < 0 else ends_at
        else:
            last_begin = match.start()
            first_begin = last_begin if first_begin < 0 else first_begin
    opens = last_begin > last_end and any(
        one.kind == "private_key" and one.start <= last_begin < one.end for one in secrets_in(line)
    )
    return KeyMarks(ends_at, opens, not opens and last_end >= 0)


def _trimmed(line: bytes, start: int, end: int) -> int:
    """Where a value ends, without what escapes the quote behind it, or closes a bracket in front of it."""
    if line[end : end + 1] in (b'"', b"'"):
        return start + len(line[start:end].rstrip(b"\\"))
    while end > start and (opening := _OPENING.get(line[end - 1])) and opening not in line[start:end]:
        end -= 1
    return end


def _pairs(line: bytes, pair: Pair) -> list[Secret]:
    ids = [span for span in _spans(pair.id, line) if is_mixed(line[slice(*span)])]
    keys = [span for span in _spans(pair.key, line) if is_secret_key(line[slice(*span)])] if ids else []
    near = [span for span in ids if _is_near(span, keys)] + [span for span in keys if _is_near(span, ids)]
    return [Secret(pair.kind, start, end) for start, end in near]


def _spans(regexp: Any, line: bytes) -> list[tuple[int, int]]:
    """Of the first group; the character behind one may be the one before the next."""
    spans: list[tuple[int, int]] = []
    match = regexp.search(line)
    while match:
        spans.append(match.span(1))
        match = regexp.search(line, match.end(1))
    return spans


def _is_near(span: tuple[int, int], others: list[tuple[int, int]]) -> bool:
    at = bisect_left(others, span)
    behind = at < len(others) and others[at][0] - span[1] <= NEAR_BYTES
    return behind or (at > 0 and span[0] - others[at - 1][1] <= NEAR_BYTES)


def _apart(found: list[Secret]) -> list[Secret]:
    """
    Those that overlap as one, of the kind that stands first among theirs.

    What is an address by its form is none where it overlaps another: `password@host` in a URL.
    """
    result: list[Secret] = []
    for one in sorted(found, key=lambda secret: (secret.start, -_RANK[secret.kind])):
        last = result[-1] if result else None
        if last and one.start < last.end:
            if one.kind == "email":
                continue
            if last.kind == "email":
                result[-1] = one
                continue
            kind = min(last.kind, one.kind, key=_RANK.__getitem__)
            result[-1] = Secret(kind, last.start, max(last.end, one.end))
        else:
            result.append(one)
    return result
