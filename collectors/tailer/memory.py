"""What a checkpoint keeps of the files, and what the next start makes of it: hints, no more.

The service says what it holds. A checkpoint tells which file was which generation, and what was
seen of files that are gone by then: their bytes are named as lost also after a restart, and the
line that names them is the same at every try, so that it is never there twice.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from collectors.tailer.family import Family, Hint, Member
from collectors.tailer.reader import LostMark, TailedFile
from logsvc.model.stream import StreamName

HEAD_KEPT = 64  # bytes of the head, of files that are not wholly sent
AWAY = "the file was truncated or deleted while the collector was away"


class Memory:
    """The entries of the last checkpoint."""

    def __init__(self, entries: Iterable[Hint]) -> None:
        self._entries = list(entries)
        self._by_key = {(entry["device"], entry["inode"]): entry for entry in self._entries if not entry["line"]}
        self._by_place: dict[StreamName, list[Hint]] = {}
        for entry in self._entries:
            self._by_place.setdefault(_place(entry), []).append(entry)

    def is_of(self, key: tuple[int, int], place: StreamName) -> bool:
        """Whether this device and inode was a generation of this stream."""
        entry = self._by_key.get(key)
        return entry is not None and _place(entry) == place

    def hints(self, place: StreamName) -> dict[tuple[int, int], Hint]:
        """By device and inode, what is remembered of a stream's files."""
        return {key: entry for key, entry in self._by_key.items() if _place(entry) == place}

    def bases(self) -> frozenset[str]:
        """The names under which the files were written, also where they were rotated and nothing has that name now."""
        found = set()
        for entry in self._entries:
            folder, last = os.path.split(entry["name"])
            base = entry["path"].rpartition("/")[2]
            if last.startswith(base):
                found.add(os.path.join(folder, base))
        return frozenset(found)

    def missed(self, roots: Iterable[Path], now: float) -> list[tuple[StreamName, Member]]:
        """
        Members for what was lost before this start, or may be: those whose bytes are found after all go again.

        Only of files below `roots`: of others, this collector cannot say that they are gone.
        """
        tops = [os.path.abspath(root) for root in roots]
        members = []
        for entry in sorted(self._entries, key=lambda entry: int(entry["generation"])):
            name = os.path.abspath(entry["name"])
            if not any(name == top or name.startswith(top.rstrip("/") + "/") for top in tops):
                continue
            file = TailedFile("", entry["device"], entry["inode"])
            file.move_to(entry["sent"])
            file.ended_a_line = bool(entry["ended_a_line"])
            file.head = _from_hex(entry["head"])
            member = Member(file, number=entry["generation"], seen=False)
            if entry["line"]:
                member.file = LostMark(file, entry["sent"], entry["line"].encode(), behind=entry["behind"])
                member.file.name = entry["name"]
                member.grow(member.file.size(), now)
            elif entry["size"] > entry["sent"]:
                member.existed = entry["size"]
                member.lose(now, AWAY)
            else:
                continue
            members.append((_place(entry), member))
        return members

    def next_entries(self, families: Iterable[Family]) -> list[Hint]:
        """What the next checkpoint keeps: until the service has answered for a stream, what this one says of it."""
        kept: list[Hint] = []
        for family in families:
            if family.matched:
                kept += (_entry(family, member) for member in family.members if member.number is not None)
            else:
                kept += self._by_place.get(family.place, ())
        return kept


def _entry(family: Family, member: Member) -> Hint:
    file = member.file
    mark = file if isinstance(file, LostMark) else None
    return {
        "job": family.place.job,
        "task": family.place.task,
        "path": family.place.path,
        "generation": member.number,
        "device": file.device,
        "inode": file.inode,
        "name": file.name,
        "sent": mark.start if mark else file.sent,
        "size": member.existed,
        "head": file.head[:HEAD_KEPT].hex() if member.existed > file.sent else "",
        "ended_a_line": int(isinstance(file, TailedFile) and file.ends_in_a_line),
        "line": mark.line.decode("utf-8", "replace") if mark else "",
        "behind": mark.behind if mark else 0,
    }


def _place(entry: Hint) -> StreamName:
    return StreamName(entry["job"], entry["task"], entry["path"])


def _from_hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""
