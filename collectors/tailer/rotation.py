"""Which generation of its stream each file is, as files are renamed, truncated, copied, replaced.

A family is one stream path; its members are the files that were written under that path, oldest
first. The service's generations are the truth: members are matched with them by their heads,
newest first; what matches none becomes the next generation. Numbers are given when a member has
its first byte, so that an empty file never takes one.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from collectors.spool import left_behind
from collectors.tailer.discovery import CURRENT, Age, Discovery, Found
from collectors.tailer.reader import Replaced, Tailed, TailedFile
from logsvc.model.stream import StreamName

RECHECK_BYTES = 4096  # sent again after a restart: a head alone may be the same in two generations
OVER_SECONDS = 2.0  # a superseded file this long without new bytes is complete
GONE_SECONDS = 60.0  # a file without a name is held open this long after its last byte
COPY_SECONDS = 10.0  # a rotated file without a place is given this long to turn out to be a copy
HOT_SECONDS = 3.0  # a file that grew is looked at often for this long
MAX_OPEN = 512  # descriptors


@dataclass
class Member:
    """
    One file generation.

    Attributes:
        number: the generation; None until the service was asked and there is a byte.
        size: bytes in the file when last looked at.
        place, age: what its name said in the last scan; they change when it is renamed.
        seen: it was found under a name in the last scan.
        superseded: a newer member has taken its path.
        lost: its bytes cannot be read any more (truncated, or gone).
        sealed: `final` was acknowledged, or the service says so.
        final_asked: whoever wrote it says that nothing follows.
        pinned: a spool: found under no name, and always looked at.
        recheck: bytes before `sent` to send once more, to be compared.
        rank_told: the service was told the family's rank for this generation.
        grew_at, lost_at, blocked_until: monotonic seconds.
        modified_at: of the file, in seconds since 1970, as the last scan found it.
    """

    file: Tailed
    place: Optional[StreamName] = None
    age: Age = CURRENT
    number: Optional[int] = None
    size: int = 0
    seen: bool = True
    superseded: bool = False
    lost: bool = False
    sealed: bool = False
    final_asked: bool = False
    pinned: bool = False
    recheck: int = 0
    rank_told: bool = False
    grew_at: float = 0.0
    lost_at: float = 0.0
    blocked_until: float = 0.0
    modified_at: float = 0.0

    @property
    def key(self) -> tuple[int, int]:
        """Device and inode."""
        return (self.file.device, self.file.inode)

    @property
    def pending(self) -> int:
        """Bytes not yet acknowledged."""
        return 0 if self.lost else max(0, self.size - self.file.sent)

    def wants_seal(self, now: float) -> bool:
        """Whether it is complete, and nothing says so yet at the service."""
        over = self.final_asked or (self.superseded and now - self.grew_at >= OVER_SECONDS)
        return over and not self.sealed and self.pending == 0 and (self.number is not None or self.final_asked)

    def lose(self, now: float) -> None:
        """Its bytes are gone."""
        if not self.lost:
            self.lost, self.lost_at = True, now
        self.file.close()


@dataclass
class Family:
    """
    All generations of one stream path that this collector has met, oldest first.

    Attributes:
        rank: of the process that writes it, where the path does not say it and something else does.
    """

    place: StreamName
    members: list[Member] = field(default_factory=list)
    asked: bool = False  # the service's generations are known
    last_number: int = -1  # highest generation known, here or there
    rank: Optional[int] = None
    dropped: str = ""  # why it is not shipped, in words: expired, or refused

    def give_number(self, member: Member) -> int:
        """Its generation: the next one, where it has none."""
        if member.number is None:
            self.last_number += 1
            member.number = self.last_number
        return member.number

    def has_untold_rank(self, member: Member) -> bool:
        """Whether the service holds bytes of the member, and was not told the rank that is known now."""
        held = member.number is not None and member.file.sent > 0
        return self.rank is not None and not member.rank_told and held

    def resolve(self, generations: list[dict[str, Any]], remembered: dict[tuple[int, int], int]) -> list[Member]:
        """
        Match members with what the service holds.

        Returns the members that have no place here: rotated away before the oldest that matches.
        """
        held = sorted(generations, key=lambda generation: int(generation["generation"]))
        self.last_number = max([self.last_number] + [int(generation["generation"]) for generation in held])
        oldest: Optional[int] = None
        for index in range(len(self.members) - 1, -1, -1):
            member = self.members[index]
            if member.number is not None or member.lost:
                continue
            fitting = [generation for generation in held if fits(member, generation)]
            hint = remembered.get(member.key)
            chosen = next((one for one in fitting if one["generation"] == hint), fitting[-1] if fitting else None)
            if chosen is None:
                continue
            member.number = int(chosen["generation"])
            member.file.move_to(int(chosen["next_offset"]))
            member.recheck = min(member.file.sent - member.file.first, RECHECK_BYTES)
            member.sealed = bool(chosen.get("sealed")) and member.pending == 0 and not member.pinned
            held = [generation for generation in held if int(generation["generation"]) < member.number]
            oldest = index
        self.asked = True
        strays: list[Member] = []
        if oldest is not None:
            strays = [
                member
                for member in self.members[:oldest]
                if member.number is None and not member.lost and not member.pinned
            ]
            self.members = [member for member in self.members if member not in strays]
        for member in self.members:
            if member.pending > 0:
                self.give_number(member)
        return strays


def fits(member: Member, generation: dict[str, Any]) -> bool:
    """Whether a file may be the generation that the service holds: its head, and no fewer bytes."""
    if member.size < int(generation["next_offset"]):
        return False
    head_bytes = int(generation.get("head_bytes", 0))
    head = member.file.head[:head_bytes]
    return len(head) == head_bytes and hashlib.sha256(head).hexdigest() == generation.get("head_sha256")


class Tailer:
    """
    All families, kept in step with the folders.

    Attributes:
        families: by stream path.
        active: members that grew lately, have bytes to send or are to be sealed, by identity;
            the rest costs nothing between two scans.
        scan_wanted: something was seen that only a scan can explain.
    """

    def __init__(self, discovery: Discovery, remembered: Iterable[dict[str, Any]] = ()) -> None:
        self.discovery = discovery
        self.families: dict[StreamName, Family] = {}
        self.active: dict[int, tuple[Family, Member]] = {}
        self.expired: set[str] = set()  # jobs
        self.scan_wanted = True
        self.left: dict[str, Optional[Member]] = {}  # spools of commands that have ended; None: cannot be read
        self._by_inode: dict[tuple[int, int], tuple[Family, Member]] = {}
        self._opened = 0  # since the last count, an upper bound of the descriptors held
        self._hints = {(entry["device"], entry["inode"]): entry for entry in remembered}

    def scan(self, now: float) -> None:
        """Look through the folders: new, renamed, truncated, vanished files."""
        self.scan_wanted = False
        for family, member in self._by_inode.values():
            member.seen = member.pinned
            if member.pinned:
                self._look(family, member, member.file.size(), now)
        newcomers: dict[StreamName, list[Found]] = {}
        for found in self.discovery.scan():
            if found.place.job in self.expired:
                continue
            known = self._known(found, now)
            if known:
                self._see(*known, found, now)
            else:
                newcomers.setdefault(found.place, []).append(found)
        for family, member in list(self._by_inode.values()):
            if not member.seen:
                self._look_without_name(family, member, now)
        for folder, place in self.discovery.spools:
            if folder not in self.left and place.job not in self.expired:
                self._adopt_left(folder, place, now)
        for place, files in newcomers.items():
            family = self._family(place)
            if not family.dropped:
                self._welcome(family, files, now)
        for family in self.families.values():
            self._settle(family, now)
        for place, rank in self.discovery.ranks.items():
            ranked = self.families.get(place)
            if ranked is not None and ranked.rank is None:
                ranked.rank = rank
                for member in ranked.members:
                    self._touch(ranked, member)
        self._close_idle()

    def poll(self, now: float) -> None:
        """A quick look at active files; a name that means another file now asks for a scan."""
        for identity, (family, member) in list(self.active.items()):
            if family.dropped or not self._stays_active(family, member, now):
                del self.active[identity]
                continue
            if member.lost:
                continue
            if member.pinned:
                self._look(family, member, member.file.size(), now)
                continue
            try:
                status = os.stat(member.file.name) if member.seen else None
            except OSError:
                status = None
                self.scan_wanted = True
            if status is None:
                self._look_without_name(family, member, now)
                continue
            if (status.st_dev, status.st_ino) != member.key:
                self.scan_wanted = True
            else:
                self._look(family, member, status.st_size, now)

    def adopt(self, place: StreamName, file: Tailed, now: float) -> Member:
        """Follow a spool: a generation of its own, under no name that a scan could find."""
        member = Member(file, place, pinned=True)
        member.size, member.grew_at = file.size(), now
        self._append(self._family(place), member)
        return member

    def replaced(self, family: Family, member: Member, now: float) -> None:
        """This inode has other bytes now: the old ones end, a new member begins."""
        fresh = Member(TailedFile(member.file.name, *member.key), member.place, member.age)
        fresh.size, fresh.grew_at = member.file.size(), now
        member.lose(now)
        member.superseded = True
        self._touch(family, member)
        try:
            fresh.file.learn_head()
        except OSError:
            pass
        self._append(family, fresh)

    def conflict(self, family: Family, member: Member) -> None:
        """The service holds other bytes under this number: the file is a generation of its own."""
        member.file.move_to(0)
        member.recheck, member.sealed, member.number, member.rank_told = 0, False, None, False
        family.give_number(member)

    def resolve(self, family: Family, generations: list[dict[str, Any]], now: float) -> None:
        """The service's answer for a family; files without a place in it go to `other`."""
        remembered = {
            key: int(hint["generation"])
            for key, hint in self._hints.items()
            if hint["path"] == family.place.path and hint["job"] == family.place.job
        }
        for stray in family.resolve(generations, remembered):
            self._move_elsewhere(stray)
        self._settle(family, now)

    def drop_job(self, job: str, why: str) -> None:
        """Ship nothing more of a job."""
        self.expired.add(job)
        for place, family in self.families.items():
            if place.job == job:
                self.drop(family, why)

    def drop(self, family: Family, why: str) -> None:
        """Ship nothing more of a family."""
        family.dropped = why
        for member in family.members:
            member.file.close()

    def pending(self) -> int:
        """Bytes not yet acknowledged, over all files."""
        return sum(
            member.pending for family in self.families.values() if not family.dropped for member in family.members
        )

    def remembered(self) -> list[dict[str, Any]]:
        """What a checkpoint keeps: no more than a hint for the next start."""
        return [
            {
                "job": family.place.job,
                "task": family.place.task,
                "path": family.place.path,
                "generation": member.number,
                "device": member.file.device,
                "inode": member.file.inode,
                "sent": member.file.sent,
            }
            for family in self.families.values()
            for member in family.members
            if member.number is not None and not member.lost
        ]

    def close(self) -> None:
        """Let go of all descriptors; may be called twice."""
        for family in self.families.values():
            for member in family.members:
                member.file.close()

    def _family(self, place: StreamName) -> Family:
        family = self.families.get(place)
        if family is None:
            family = self.families[place] = Family(place)
        return family

    def _known(self, found: Found, now: float) -> Optional[tuple[Family, Member]]:
        """The member that this inode is; None for a new file, also under a reused inode."""
        known = self._by_inode.get((found.device, found.inode))
        if known is None:
            return None
        family, member = known
        if member.file.is_open or member.file.name == found.name:
            return known  # a held descriptor holds the inode; under the old name, reading compares
        head = member.file.head
        probe = TailedFile(found.name, found.device, found.inode)
        probe.head = head if found.size_bytes >= len(head) else b""
        try:
            probe.learn_head()
            return known
        except Replaced:
            member.lose(now)
            self._touch(family, member)
            del self._by_inode[member.key]
            return None
        finally:
            probe.close()

    def _see(self, family: Family, member: Member, found: Found, now: float) -> None:
        member.file.name, member.place, member.age, member.seen = found.name, found.place, found.age, True
        member.modified_at = found.modified_at
        if not family.dropped:
            self._look(family, member, found.size_bytes, now)

    def _look(self, family: Family, member: Member, size: int, now: float) -> None:
        if size < member.file.sent or size < len(member.file.head):
            self.replaced(family, member, now)
        elif size != member.size:
            member.size, member.grew_at, member.sealed = size, now, False
            self._touch(family, member)

    def _look_without_name(self, family: Family, member: Member, now: float) -> None:
        """A deleted file, or one renamed out of sight, may still be written to."""
        if member.file.is_open and not member.lost and not family.dropped:
            self._look(family, member, member.file.size(), now)

    def _adopt_left(self, folder: str, place: StreamName, now: float) -> None:
        """What a command has left behind; one that still runs sends it itself."""
        try:
            file = left_behind(Path(folder))
        except OSError as exc:
            self.discovery.unplaced[folder] = exc.strerror or str(exc)
            self.left[folder] = None
            return
        if file is not None:
            member = self.left[folder] = self.adopt(place, file, now)
            member.final_asked = True

    def _welcome(self, family: Family, files: list[Found], now: float) -> None:
        """New files of one path, oldest first; of two that are written now, the one known before."""

        def order(found: Found) -> tuple[Age, bool, str]:
            hint = self._hints.get((found.device, found.inode))
            return (found.age, hint is None or hint["path"] != found.place.path, found.name)

        fresh_base = any(found.age == CURRENT for found in files)
        known_before = bool(family.members)
        for found in sorted(files, key=order):
            member = Member(TailedFile(found.name, found.device, found.inode), found.place, found.age)
            member.size, member.grew_at, member.modified_at = found.size_bytes, now, found.modified_at
            try:
                member.file.learn_head()
            except OSError:
                pass
            newest = family.members[-1] if family.members else None
            if newest and newest.pinned:
                self._move_elsewhere(member)
            elif found.age == CURRENT:
                taken = newest and newest.seen and not newest.lost
                if newest and taken and newest.age == CURRENT and newest.place == family.place:
                    self._move_elsewhere(member)
                else:
                    self._append(family, member)
            elif (
                not known_before
                or fresh_base
                or newest is None
                or not newest.seen
                or (newest.age != CURRENT and found.age > newest.age)
            ):
                self._append(family, member)
            elif not self._is_copy(family, member) and time.time() - found.modified_at > COPY_SECONDS:
                self._move_elsewhere(member)
            if not self._holds(member):
                member.file.close()  # looked at again in the next scan

    def _is_copy(self, family: Family, member: Member) -> bool:
        """
        Whether this is a copy of a generation that is truncated in place (copytruncate).

        Before the truncation a copy holds nothing new and waits; after it, the copy takes the
        generation over and gives the bytes that were not read in time.
        """
        for old in reversed(family.members):
            head, known = member.file.head, old.file.head
            if not known or head[: len(known)] != known[: len(head)]:
                continue
            if not old.lost and member.size > old.size:
                continue  # more than there is to copy
            if not old.lost or member.size < old.file.sent:
                return True
            if len(head) < len(known):
                continue
            member.number, member.superseded, member.sealed = old.number, True, False
            member.file.move_to(old.file.sent)
            member.recheck = min(old.file.sent, RECHECK_BYTES)
            family.members.remove(old)
            self._append(family, member, before_last=True)
            return True
        return False

    def _holds(self, member: Member) -> bool:
        known = self._by_inode.get(member.key)
        return known is not None and known[1] is member

    def _append(self, family: Family, member: Member, *, before_last: bool = False) -> None:
        family.members.insert(len(family.members) - before_last, member)
        self._by_inode[member.key] = (family, member)
        self._touch(family, member)
        self._opened += 1
        if self._opened > MAX_OPEN:
            member.file.close()

    def _touch(self, family: Family, member: Member) -> None:
        self.active[id(member)] = (family, member)

    def _stays_active(self, family: Family, member: Member, now: float) -> bool:
        recent = now - member.grew_at <= HOT_SECONDS
        waits = (member.superseded or member.final_asked) and not member.sealed and member.number is not None
        waits = waits or family.has_untold_rank(member)
        return recent or member.pending > 0 or waits or (member.pinned and not member.sealed)

    def _move_elsewhere(self, member: Member) -> None:
        place = self.discovery.elsewhere(member.file.name)
        if place is not None:
            member.file.move_to(0)
            member.number, member.recheck, member.superseded = None, 0, False
            self._append(self._family(place), member)

    def _settle(self, family: Family, now: float) -> None:
        """What is superseded, and what can be forgotten."""
        kept = []
        for member in family.members:
            if member is not family.members[-1] and not member.superseded:
                member.superseded = True
                self._touch(family, member)
            if member.lost:
                forget = now - member.lost_at > COPY_SECONDS and (member.sealed or member.number is None)
            elif member.pinned:
                forget = member.sealed
            else:
                forget = not member.seen and member.pending == 0 and now - member.grew_at > GONE_SECONDS
                forget = forget and (member.sealed or member.number is None or not member.superseded)
            if not forget:
                kept.append(member)
                continue
            member.file.close()
            self.active.pop(id(member), None)
            if self._holds(member):
                del self._by_inode[member.key]
        family.members = kept

    def _close_idle(self) -> None:
        """Keep the number of descriptors bounded; files whose name is gone keep theirs."""
        held = [member for family in self.families.values() for member in family.members if member.file.is_open]
        self._opened = min(len(held), MAX_OPEN)
        if len(held) > MAX_OPEN:
            idle = sorted(
                (member for member in held if member.seen), key=lambda member: (member.pending > 0, member.grew_at)
            )
            for member in idle[: len(held) - MAX_OPEN]:
                member.file.close()
