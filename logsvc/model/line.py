"""Bytes -> lines: their text, their level, and which of them the platform wrote.

The system-record rule is the contract's (`docs/http-api.md`, "Lines"); it was found on real
ModelArts logs, where a marked record may be followed by its JSON body (a rank table, say) in
lines that carry no mark of their own.
"""

from __future__ import annotations

import copy
import re
from typing import Optional

MARKS = (b"[modelarts service log]", b"platform=modelarts-service")  # in lower case
BODY_ANNOUNCED = b" - INFO -"
MAX_BODY_LINES = 512
LEVEL_BYTES = 1024  # a level stands near a line's start; an error told of farther in is prose

# The leftmost of these decides: "[WARNING] ... after error: 5" is a warning. Forms seen in CANN and
# MindSpore ([ERROR] HCCL(...), E1123 20:49:37), Python's logging, tracebacks and warnings, logfmt.
_START = re.compile(
    rb"""
    (?P<error>
        \s*Traceback[ ]\(most[ ]recent[ ]call[ ]last\)
      | (?:[A-Za-z_][\w.]*)?(?:Error|Exception)\b(?=:|\s*\Z)
      | [EF][0-9]{4,8}[ ]
    )
  | (?P<warning> W[0-9]{4,8}[ ] )
    """,
    re.VERBOSE,
)
# Word boundaries are looked for behind the words: with one in front, the engine tries every byte.
_WORD = re.compile(
    rb"""
    (?P<error>
        ERROR(?<!\wERROR)\b | CRITICAL(?<!\wCRITICAL)\b | FATAL(?<!\wFATAL)\b
      | [eE]rror:(?<!\w[eE]rror:) | [fF]atal:(?<!\w[fF]atal:)
      | level(?<!\wlevel)"?[ ]?[=:][ ]?"?(?:error|fatal|critical)\b
    )
  | (?P<warning>
        WARN(?<!\wWARN)(?:ING)?\b
      | Warning: | warning:(?<!\wwarning:)
      | level(?<!\wlevel)"?[ ]?[=:][ ]?"?warn(?:ing)?\b
    )
    """,
    re.VERBOSE,
)
# A line that holds none of these, in any ASCII case, and does not start as a glog line does
# (GLOG_START and a digit) has no level: lets a store look at few lines closely.
LEVEL_WORDS = (b"error", b"critical", b"fatal", b"traceback", b"exception", b"warn")
GLOG_START = b"EFW"
_LONGEST_LEAD = len('level" : "')  # of a form, before its word
_COLOUR = re.compile(rb"\x1b\[[0-9;]*m")  # what loggers for terminals write around a level


def line_text(raw: bytes) -> str:
    r"""Text of a line from its bytes without `\n`: one `\r` at the end dropped, invalid parts as U+FFFD."""
    if raw.endswith(b"\r"):
        raw = raw[:-1]
    return raw.decode("utf-8", "replace")


def line_texts(raw: bytes) -> list[str]:
    r"""Texts of several lines at once, from their bytes with `\n` between them: as `line_text` gives each."""
    texts = raw.decode("utf-8", "replace").split("\n")
    if b"\r" in raw:
        texts = [text[:-1] if text.endswith("\r") else text for text in texts]
    return texts


def level_of(raw: bytes, word_at: int = 0) -> Optional[str]:
    """
    "error", "warning" or None, from the first 1,024 bytes of a line.

    Args:
        word_at: no level word (LEVEL_WORDS) begins before this place; for those who know.
    """
    if raw.startswith(b"[ERROR]"):
        return "error"
    if raw.startswith(b"[WARNING]"):
        return "warning"
    raw = raw[:LEVEL_BYTES]
    if b"\x1b" in raw:
        raw, word_at = _COLOUR.sub(b" ", raw), 0
    found = _START.match(raw) or _WORD.search(raw, max(0, word_at - _LONGEST_LEAD))
    return found.lastgroup if found else None


class SystemRule:
    """
    Which lines the platform wrote; carries what one line says of the next.

    Lines may come in pieces of any size (`push`, then `end`), so that a line of 100 MB needs no
    memory. `feed` is both at once.
    """

    def __init__(self) -> None:
        self._announced = False  # the line before was marked and ends in " - INFO -"
        self._body_lines = 0  # lines of the record's body so far; 0: not in a body
        self._depth = 0
        self._in_string = False
        self._open = _OpenLine(0, False)

    @property
    def quiet(self) -> bool:
        """True where the next line is judged by its own mark alone and no piece of it was pushed."""
        return not (self._announced or self._body_lines or self._open.size)

    @property
    def open_bytes(self) -> int:
        """Bytes pushed since the last line's end."""
        return self._open.size

    def push(self, piece: bytes) -> None:
        """A piece of a line that goes on."""
        self._open.push(piece, bracketed=self._announced or self._body_lines > 0)

    def end(self) -> bool:
        """The line pushed so far ends here: True for a system line."""
        line = self._open
        system = self._judge(line)
        if line.marked:
            self._body_lines = 0
            self._announced = line.announces
        elif system:
            self._announced = False
            self._body_lines += 1
            self._depth, self._in_string = line.depth, line.in_string
            if line.depth <= 0 or self._body_lines >= MAX_BODY_LINES:
                self._body_lines = 0
        else:
            self._announced = False
            self._body_lines = 0
        goes_on = self._body_lines > 0
        self._open = _OpenLine(self._depth if goes_on else 0, self._in_string if goes_on else False)
        return system

    def feed(self, line: bytes) -> bool:
        r"""A whole line, without its `\n`: True for a system line."""
        self.push(line)
        return self.end()

    def peek(self, line: bytes = b"") -> bool:
        """What the unfinished line, with `line` behind what was pushed, is so far. Changes nothing."""
        return self.copy().feed(line)

    def copy(self) -> SystemRule:
        """An independent rule in the same state."""
        other = copy.copy(self)
        other._open = copy.copy(self._open)
        return other

    def _judge(self, line: _OpenLine) -> bool:
        if line.marked or self._body_lines:
            return True
        return self._announced and line.starts_body

    def state(self) -> list[object]:
        """Everything carried, as JSON values; `from_state` reads it."""
        return [self._announced, self._body_lines, self._depth, self._in_string, *self._open.state()]

    @classmethod
    def from_state(cls, state: list[object]) -> SystemRule:
        """A rule that goes on where `state` was taken."""
        rule = cls()
        rule._announced, rule._body_lines, rule._depth, rule._in_string = state[:4]  # type: ignore[assignment]
        rule._open = _OpenLine.from_state(state[4:])
        return rule


_BRACKET_TOKENS = re.compile(rb'["\\{}\[\]]')
_SEAM_BYTES = max(map(len, MARKS)) - 1
_ENDING_BYTES = len(BODY_ANNOUNCED)


class _OpenLine:
    """What must be known of a line of any length, byte after byte, in constant memory."""

    def __init__(self, depth: int, in_string: bool) -> None:
        self.size = 0
        self.marked = False
        self.depth = depth
        self.in_string = in_string
        self._escaped = False
        self._seam = b""  # end of the piece before, folded: a mark may lie across pieces
        self._ending = b""  # the last bytes, and as many of the white space behind them
        self._start = b""  # first bytes after white space; at most two and one more

    def push(self, piece: bytes, *, bracketed: bool) -> None:
        if not piece:
            return
        self.size += len(piece)
        folded = self._seam + piece.lower()
        if not self.marked:
            self.marked = MARKS[0] in folded or MARKS[1] in folded
        self._seam = folded[-_SEAM_BYTES:]
        self._push_ending(piece)
        if bracketed:
            self._count_brackets(piece)
            start = (self._start + piece).lstrip()
            self._start = start[:2] + start[2:].strip()[:1]

    @property
    def announces(self) -> bool:
        return self._ending.rstrip(b" \r").endswith(BODY_ANNOUNCED)

    @property
    def starts_body(self) -> bool:
        return self._start.strip() in (b"{", b"[") or self._start.startswith(b'{"')

    def _push_ending(self, piece: bytes) -> None:
        ending = self._ending + piece
        kept = ending.rstrip(b" \r")
        white = ending[len(kept) :]
        self._ending = kept[-_ENDING_BYTES:] + white[-_ENDING_BYTES:]

    def _count_brackets(self, piece: bytes) -> None:
        at = 0
        if self._escaped:
            self._escaped, at = False, 1
        while True:
            token = _BRACKET_TOKENS.search(piece, at)
            if not token:
                return
            at = token.end()
            byte = token[0]
            if byte == b"\\":
                if self.in_string:
                    self._escaped = at == len(piece)
                    at += 1
            elif byte == b'"':
                self.in_string = not self.in_string
            elif not self.in_string:
                self.depth += 1 if byte in b"{[" else -1

    def state(self) -> list[object]:
        texts = [part.decode("latin-1") for part in (self._seam, self._ending, self._start)]
        return [self.size, self.marked, self.depth, self.in_string, self._escaped, *texts]

    @classmethod
    def from_state(cls, state: list[object]) -> _OpenLine:
        line = cls(0, False)
        line.size, line.marked, line.depth, line.in_string, line._escaped = state[:5]  # type: ignore[assignment]
        line._seam, line._ending, line._start = (str(text).encode("latin-1") for text in state[5:])
        return line
