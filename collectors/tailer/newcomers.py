"""Files that were found and have no place in a family yet, from one scan to the next.

A copy waits until the log is truncated, a `.gz` until all of it was unpacked once; a `.gz` that
holds nothing new is known as such for as long as it stays the same.
"""

from __future__ import annotations

import os
from typing import Optional

from collectors.tailer import copies
from collectors.tailer.discovery import Found
from collectors.tailer.family import RECHECK_BYTES, Member
from collectors.tailer.packed import PACKED, PackedFile
from collectors.tailer.reader import Descriptors, Replaced, TailedFile
from logsvc.model.stream import StreamName

CHECK_BYTES = 16 << 20  # unpacked in one look, to see whether a `.gz` is whole
WRITTEN_SECONDS = 60.0  # a torn `.gz` that has not changed for so long is not being written

Key = tuple[int, int]  # device and inode


class Newcomers:
    """Those that wait. Between `begin` and `end` of a scan each file found is met, or said to be known."""

    def __init__(self, descriptors: Descriptors) -> None:
        self._descriptors = descriptors
        self._waiting: dict[Key, Member] = {}
        self._before: dict[Key, Member] = {}  # waiting since an earlier scan, not met in this one
        self._nothing_new: dict[Key, tuple[int, float]] = {}  # `.gz` files, by size and time
        self._were_nothing_new: dict[Key, tuple[int, float]] = {}
        self._check_bytes = CHECK_BYTES

    def begin(self) -> None:
        """A scan begins."""
        self._check_bytes = CHECK_BYTES
        self._were_nothing_new, self._nothing_new = self._nothing_new, {}
        self._before, self._waiting = self._waiting, {}

    def end(self) -> None:
        """The scan has met all files: those that were not found again are gone."""
        for member in self._before.values():
            member.file.close()
        self._before = {}

    def holds_nothing_new(self, found: Found) -> bool:
        """Whether it was looked at before, and is the same still."""
        key, version = (found.device, found.inode), (found.size_bytes, found.modified_at)
        same = self._were_nothing_new.get(key) == version
        if same:
            self._nothing_new[key] = version
        return same

    def open(self, found: Found) -> TailedFile:
        """The file, not opened yet."""
        kind = PackedFile if found.name.endswith(PACKED) else TailedFile
        return kind(found.name, found.device, found.inode, self._descriptors)

    def meet(self, found: Found, now: float) -> Member:
        """A file that has no place yet, as it is now."""
        member = self._before.pop((found.device, found.inode), None)
        if member is None or isinstance(member.file, PackedFile) != found.name.endswith(PACKED):
            member = Member(self.open(found), grew_at=now)
        member.file.name, member.place, member.age = found.name, found.place, found.age
        changed, member.modified_at = found.modified_at != member.modified_at, found.modified_at
        if isinstance(member.file, PackedFile):
            member.grew_at = now if changed else member.grew_at
            self.unpack(member, now)
        else:
            member.size = member.existed = found.size_bytes
        try:
            member.file.learn_head()
            if type(member.file) is TailedFile:
                member.file.note(member.size)
        except OSError:
            pass
        except Replaced:
            return self.meet(found, now)
        return member

    def wait(self, member: Member) -> None:
        """It has no place yet."""
        self._waiting[member.key] = member

    @property
    def are_waiting(self) -> bool:
        """Whether time may bring what a folder does not: a place for one of them."""
        return bool(self._waiting)

    def dismiss(self, member: Member) -> None:
        """It holds nothing that its family does not have."""
        self._nothing_new[member.key] = (size_on_disk(member.file.name), member.modified_at)

    def unpack(self, member: Member, now: float) -> bool:
        """A `.gz` counts once all of it was unpacked, some of it in each look; whether that is so since this one."""
        file = member.file
        if not isinstance(file, PackedFile) or file.is_whole or member.sealed or self._check_bytes <= 0:
            return False
        self._check_bytes -= file.check(self._check_bytes)
        if file.is_whole:
            member.grow(file.size(), now)
            if member.size < file.sent:  # less than the service holds: its last bytes tell
                file.move_to(max(0, member.size - RECHECK_BYTES))
        return file.is_whole

    def look(self, now: float) -> bool:
        """Unpack more of those that wait; whether one of them can be judged now."""
        self._check_bytes = CHECK_BYTES
        return any(self.unpack(member, now) for member in self._waiting.values())

    def may_fill(self, place: Optional[StreamName], now: float) -> bool:
        """Whether a `.gz` is still being written that may hold what is lost there."""
        return any(
            member.place == place and not copies.is_whole(member) and now - member.grew_at <= WRITTEN_SECONDS
            for member in self._waiting.values()
        )

    def close(self) -> None:
        """Let go of all descriptors; may be called twice."""
        for member in self._waiting.values():
            member.file.close()


def size_on_disk(name: str) -> int:
    """Bytes of the file as it lies there; 0 where it is gone."""
    try:
        return os.stat(name).st_size
    except OSError:
        return 0
