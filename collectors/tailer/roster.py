"""All files that are followed: which family each is of, which inode it has, and which are looked at often."""

from __future__ import annotations

import os
from typing import Optional

from collectors.tailer.family import Family, Member
from collectors.tailer.packed import PACKED, PackedFile
from collectors.tailer.places import other_place
from logsvc.model.stream import StreamName


class Roster:
    """
    Families and their members.

    Attributes:
        families: by stream path.
        active: members that are looked at often, by identity.
    """

    def __init__(self) -> None:
        self.families: dict[StreamName, Family] = {}
        self.active: dict[int, tuple[Family, Member]] = {}
        self._by_inode: dict[tuple[int, int], tuple[Family, Member]] = {}

    def listed(self) -> list[tuple[Family, Member]]:
        """All that an inode leads to."""
        return list(self._by_inode.values())

    def find(self, key: tuple[int, int]) -> Optional[tuple[Family, Member]]:
        """What has this device and inode."""
        return self._by_inode.get(key)

    def family(self, place: StreamName) -> Family:
        """The family of a stream path, made where there is none."""
        family = self.families.get(place)
        if family is None:
            family = self.families[place] = Family(place)
        return family

    def family_of(self, member: Member) -> Optional[Family]:
        """None where its inode is not known as this member."""
        family, known = self._by_inode.get(member.key, (None, None))
        return family if known is member else None

    def enlist(self, family: Family, member: Member) -> None:
        """Its inode leads to it from now on."""
        self._by_inode[member.key] = (family, member)
        self.touch(family, member)

    def unlist(self, member: Member) -> None:
        """Its inode means something else, or nothing; it stays in its family."""
        if self.family_of(member):
            del self._by_inode[member.key]

    def append(self, family: Family, member: Member, *, before: Optional[Member] = None) -> None:
        """A new member, the youngest or older than another."""
        family.members.insert(family.members.index(before) if before else len(family.members), member)
        self.enlist(family, member)

    def remove(self, family: Family, member: Member) -> None:
        """It was no generation of its own."""
        family.members.remove(member)
        self.let_go(member)

    def let_go(self, member: Member) -> None:
        """Its family does not have it any more."""
        member.file.close()
        self.active.pop(id(member), None)
        self.unlist(member)

    def lose(self, family: Family, member: Member, now: float, why: str) -> None:
        """Its bytes cannot be read any more."""
        member.lose(now, why)
        if member.missing:
            family.asked = False  # an answer may have got lost: nothing is called lost that the service holds
        self.touch(family, member)

    def touch(self, family: Family, member: Member) -> None:
        """It is looked at often from now on."""
        self.active[id(member)] = (family, member)

    def move_elsewhere(self, member: Member) -> None:
        """A file whose own place is taken: `other`, by its whole name."""
        assert member.place is not None
        name = member.file.name[: -len(PACKED)] if isinstance(member.file, PackedFile) else member.file.name
        job, task = member.place.job, member.place.task
        member.file.move_to(0)
        member.number, member.recheck, member.superseded, member.sealed = None, 0, False, False
        place = StreamName(job, task, other_place(job, task, os.path.abspath(name).strip("/")))
        self.append(self.family(place), member)
