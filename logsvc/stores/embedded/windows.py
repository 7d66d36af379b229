"""Windows: lines around a place, by line number, user-line number or time.

A window anywhere in a log is one look-up, one unpacked chunk, one split.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from functools import lru_cache

import numpy as np

from logsvc.model.line import line_text, line_texts
from logsvc.model.query import MAX_ANSWER_TEXT_BYTES, MAX_LINE_TEXT_BYTES, Line, Match, Window, WindowQuery
from logsvc.stores.embedded.blocks import Block, Blocks, Snapshot

_HEAD_BYTES = MAX_LINE_TEXT_BYTES + 8  # enough of a line to cut its text at a code point


class Windows:
    """Reads lines of snapshots."""

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks

    def window(self, snap: Snapshot, query: WindowQuery) -> Window:
        """What `LogStore.window` promises."""
        start = self._first(snap, query)
        if start is None or start > snap.total_lines:
            return Window(snap.total_lines, snap.total_users, [], 0)
        answer = _Answer(query.limit)
        if query.lines == "user":
            ended = self._user_lines(snap, start, answer)
        else:
            ended = self._all_lines(snap, start, answer)
        if ended and snap.open_line and not (query.lines == "user" and snap.open_system):
            answer.extend([self.open_line(snap)], 0)
        last = answer.lines[-1] if answer.lines else None
        more = last is not None and (
            (last["u"] or 0) < snap.total_users if query.lines == "user" else last["n"] < snap.total_lines
        )
        through = last["n"] if last and more else snap.total_lines
        return Window(snap.total_lines, snap.total_users, answer.lines, through)

    def open_line(self, snap: Snapshot) -> Line:
        """The unfinished last line."""
        start = self.line_offset(snap, snap.ended_lines + 1)
        line: Line = {
            "n": snap.total_lines,
            "u": None if snap.open_system else snap.total_users,
            "offset": start,
            "text": "",
            "system": snap.open_system,
            "level": snap.open_level,
            "received_at": rfc3339(snap.last_ms),
            "partial": True,
        }
        set_text(line, self.head(snap, start, snap.size), snap.size - start)
        return line

    def head(self, snap: Snapshot, start: int, end: int) -> bytes:
        """The first bytes of a line, as many as its text may need."""
        return b"".join(self._blocks.read(snap, start, min(end, start + _HEAD_BYTES)))

    def line_offset(self, snap: Snapshot, line: int) -> int:
        r"""Where a line begins: behind the \n of the one before."""
        if line == 1:
            return 0
        block = self._blocks.of_line(snap, line - 1)
        return block.offset + int(block.ends[line - 2 - block.lines_before]) + 1

    def user_number(self, block: Block, index: int) -> int | None:
        """Number among the user lines of the line that ends as `index`th in a block; None: a system line."""
        system = block.marks.system
        before = int(np.searchsorted(system, index))
        if before < len(system) and system[before] == index:
            return None
        return block.users_before + index - before + 1

    def _first(self, snap: Snapshot, query: WindowQuery) -> int | None:
        """Number of the line to start at; None where there is none."""
        user = query.user_start
        if query.received_from is not None:
            return self._received(snap, first_millisecond(query.received_from))
        if user is None and query.start < 0 and query.lines == "user":
            user = max(1, snap.total_users + query.start + 1)
        if user is not None:
            return self._line_of_user(snap, max(user, 1))
        return max(1, snap.total_lines + query.start + 1) if query.start < 0 else max(query.start, 1)

    def _line_of_user(self, snap: Snapshot, user: int) -> int | None:
        if user > snap.total_users:
            return None
        if user > snap.ended_users:
            return snap.total_lines
        block = self._blocks.of_user_line(snap, user)
        return block.lines_before + int(block.user_indices[user - 1 - block.users_before]) + 1

    def _received(self, snap: Snapshot, since_ms: int) -> int | None:
        block = self._blocks.of_time(snap, since_ms)
        while block.lines or block is not snap.tail:
            late = np.flatnonzero(block.received_ms(block.ends) >= since_ms)
            if len(late):
                return block.lines_before + int(late[0]) + 1
            if block is snap.tail:
                break
            block = self._blocks.at_offset(snap, block.offset + len(block.data))
        return snap.total_lines if snap.open_line and snap.last_ms >= since_ms else None

    def _all_lines(self, snap: Snapshot, line: int, answer: _Answer) -> bool:
        """Add lines from `line` on; True where all that have an end were added."""
        while line <= snap.ended_lines:
            if answer.full:
                return False
            block = self._blocks.of_line(snap, line)
            first = line - 1 - block.lines_before
            self._add(snap, block, np.arange(first, min(block.lines, first + answer.room)), answer)
            line = block.lines_before + block.lines + 1
        return not answer.full

    def _user_lines(self, snap: Snapshot, line: int, answer: _Answer) -> bool:
        """The same with user lines only."""
        if line > snap.ended_lines:
            return True
        block = self._blocks.of_line(snap, line)
        index = int(np.searchsorted(block.user_indices, line - 1 - block.lines_before))
        user = block.users_before + index + 1
        while user <= snap.ended_users:
            if answer.full:
                return False
            block = self._blocks.of_user_line(snap, user)
            first = user - 1 - block.users_before
            self._add(snap, block, block.user_indices[first : first + answer.room], answer)
            user = block.users_before + len(block.user_indices) + 1
        return not answer.full

    def _add(self, snap: Snapshot, block: Block, indices: np.ndarray, answer: _Answer) -> None:
        """Add lines that end in a block: a run of all lines, or some of the user lines."""
        if not len(indices):
            return
        marks, data, ends = block.marks, block.data, block.ends
        first, last = int(indices[0]), int(indices[-1])
        starts = np.where(indices > 0, ends[np.maximum(indices - 1, 0)] + 1, 0)
        stops = ends[indices]
        texts = line_texts(data[int(starts[0]) : int(stops[-1])])
        places = indices.tolist()
        low, high = np.searchsorted(marks.system, (first, last + 1))
        is_user = np.ones(len(indices), np.bool_)
        if len(indices) != last - first + 1:
            texts = [texts[index - first] for index in places]
        else:
            is_user[marks.system[low:high] - first] = False
        users: list[int | None] = (np.cumsum(is_user) + (block.users_before + first - int(low))).tolist()
        for at in np.flatnonzero(~is_user).tolist():
            users[at] = None
        levels = dict.fromkeys(_between(marks.warnings, first, last), "warning")
        levels |= dict.fromkeys(_between(marks.errors, first, last), "error")
        times = block.received_ms(stops)
        received = [rfc3339(int(times[0]))] * len(places)
        if times[0] != times[-1]:
            received = list(map(rfc3339, times.tolist()))
        lines: list[Line] = [
            {
                "n": number,
                "u": user,
                "offset": start,
                "text": text,
                "system": user is None,
                "level": level,
                "received_at": received_at,
            }
            for number, user, start, text, level, received_at in zip(
                (indices + (block.lines_before + 1)).tolist(),
                users,
                (starts + block.offset).tolist(),
                texts,
                map(levels.get, places),
                received,
                strict=True,
            )
        ]
        for at in np.flatnonzero(stops - starts > MAX_LINE_TEXT_BYTES // 3).tolist():
            start, stop = int(starts[at]), int(stops[at])
            set_text(lines[at], data[start : min(stop, start + _HEAD_BYTES)], stop - start)
        if starts[0] == 0 and block.opens_inside:
            begin, stop = self.line_offset(snap, lines[0]["n"]), block.offset + int(stops[0])
            lines[0]["offset"] = begin
            set_text(lines[0], self.head(snap, begin, stop), stop - begin)
        answer.extend(lines, int(stops[-1] - starts[0]))


class _Answer:
    """Lines up to a limit, and up to 8 MiB of text; at least one."""

    def __init__(self, limit: int) -> None:
        self.lines: list[Line] = []
        self._limit = limit
        self._text_bytes = 0  # of the lines, or more
        self._ended = False

    @property
    def full(self) -> bool:
        return self._ended or len(self.lines) >= self._limit

    @property
    def room(self) -> int:
        return self._limit - len(self.lines)

    def extend(self, lines: list[Line], raw_bytes: int) -> None:
        """
        Add lines, as far as their text may be given.

        Args:
            raw_bytes: how many they were made of, but for the part of the first one that lies elsewhere.
        """
        # A byte becomes three at most (U+FFFD): lines are measured one by one only where that may be too much.
        at_most = self._text_bytes + 3 * raw_bytes + MAX_LINE_TEXT_BYTES
        if at_most <= MAX_ANSWER_TEXT_BYTES:
            self._text_bytes = at_most
            self.lines += lines
            return
        self._text_bytes = sum(map(_text_bytes, self.lines))
        for line in lines:
            self._text_bytes += _text_bytes(line)
            if self._text_bytes > MAX_ANSWER_TEXT_BYTES and self.lines:
                self._ended = True
                return
            self.lines.append(line)


def _text_bytes(line: Line) -> int:
    text = line["text"]
    return len(text) if text.isascii() else len(text.encode())


def set_text(line: Line | Match, head: bytes, size: int) -> None:
    """Give a line its text, from at most `_HEAD_BYTES` first bytes of it; `size` is all it has."""
    whole = size <= len(head)
    text = line_text(head) if whole else _leading_text(head)
    encoded = text.encode()
    line["text"] = text
    if len(encoded) > MAX_LINE_TEXT_BYTES:
        line["text"] = encoded[:MAX_LINE_TEXT_BYTES].decode("utf-8", "ignore")
        line["cut"] = True
        line["size_bytes"] = size


def first_millisecond(seconds: float) -> int:
    """The first whole millisecond at or after a time."""
    return math.ceil(round(seconds * 1000, 3))


@lru_cache(maxsize=4096)
def rfc3339(milliseconds: int) -> str:
    """A time as the API shows it, in UTC."""
    at = datetime.fromtimestamp(milliseconds // 1000, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z"


def _leading_text(head: bytes) -> str:
    """Text of a line's first bytes, without a code point that is cut at their end."""
    for back in range(1, 4):
        byte = head[-back]
        if byte >= 0xC0:  # a code point begins here
            needs = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            head = head[:-back] if needs > back else head
            break
        if byte < 0x80:
            break
    return head.decode("utf-8", "replace")


def _between(positions: np.ndarray, first: int, last: int) -> set[int]:
    low, high = np.searchsorted(positions, (first, last + 1))
    return set(positions[low:high].tolist())
