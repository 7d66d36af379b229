"""What a file is that was not there before: a generation, a copy of one, a known one anew, or none of these.

Its name says which stream it was written for and about how old it is; its bytes, compared with
those of the members, say the rest. What cannot be told yet waits among the newcomers.
"""

from __future__ import annotations

from collectors.tailer import copies
from collectors.tailer.discovery import CURRENT, Age, Found
from collectors.tailer.family import RECHECK_BYTES, Family, Member
from collectors.tailer.memory import Memory
from collectors.tailer.newcomers import Newcomers
from collectors.tailer.packed import PackedFile
from collectors.tailer.reader import TailedFile
from collectors.tailer.roster import Roster


class Reception:
    """Gives each new file its place among the members, or lets it wait."""

    def __init__(self, roster: Roster, newcomers: Newcomers, memory: Memory) -> None:
        self._roster, self._newcomers, self._memory = roster, newcomers, memory

    def welcome(self, family: Family, files: list[Found], now: float) -> bool:
        """
        New files of one path, oldest first; of two that are written now, the one known before.

        Returns:
            Whether the folders must be looked through again before members without a number get theirs.
        """

        def order(found: Found) -> tuple[Age, bool, str]:
            return (found.age, not self._memory.is_of((found.device, found.inode), found.place), found.name)

        arrived = [(found, self._newcomers.meet(found, now)) for found in sorted(files, key=order)]
        written = [member for found, member in arrived if found.age == CURRENT]
        is_first = bool(written) or not any(member.file.name for member in family.members)
        again = False
        for found, member in arrived:
            newest = family.members[-1] if family.members else None
            if newest and newest.pinned:
                self._roster.move_elsewhere(member)
            elif found.age == CURRENT:
                taken = newest and newest.seen and not newest.lost
                if newest and taken and newest.age == CURRENT and newest.place == family.place:
                    self._roster.move_elsewhere(member)
                elif newest and _is_same(newest, member):
                    self._renew(family, newest, member, now)
                    again = again or newest.number is None
                    continue
                else:
                    self._roster.append(family, member)
            else:
                self._welcome_rotated(family, member, written, is_first, now)
            if not self._roster.family_of(member) and not member.unpacking:
                member.file.close()  # looked at again in the next scan
        family.put_in_order()
        elders = [member for found, member in arrived if found.age != CURRENT and not self._roster.family_of(member)]
        younger = [member for member in family.members if member.number is None]
        if younger and any(_may_be_elder(family, one, now) for one in elders):
            again = True
            for member in younger:
                member.blocked_until = now + 0.001  # this round: elders get their numbers first
        return again

    def _renew(self, family: Family, old: Member, member: Member, now: float) -> None:
        """The member goes on in its new inode; the service compares the last bytes that it holds."""
        assert isinstance(old.file, TailedFile) and isinstance(member.file, TailedFile)
        self._roster.let_go(old)
        member.file.move_to(old.file.sent)
        member.file.ended_a_line = old.file.ends_in_a_line
        old.file, old.recheck = member.file, min(old.file.sent, RECHECK_BYTES)
        old.unread, old.blocked_until = "", 0.0
        old.place, old.age, old.seen, old.modified_at = member.place, member.age, True, member.modified_at
        if member.size > old.size:
            old.grow(member.size, now)
        self._roster.enlist(family, old)

    def _welcome_rotated(
        self, family: Family, member: Member, written: list[Member], is_first: bool, now: float
    ) -> None:
        """A file that was written before: a copy of a member, a generation never seen, or nothing of the kind."""
        newest = family.members[-1] if family.members else None
        if isinstance(member.file, PackedFile) and member.file.torn:
            self._newcomers.wait(member)
            return
        if copies.is_elusive(member):
            self._newcomers.wait(member)
            return
        if self._is_copy(family, member, written):
            return
        if family.matched and member.unpacking:
            self._newcomers.wait(member)
            return
        past = family.find_past(member) if family.matched else None
        unread = next(filter(copies.is_unread, family.members), None)
        if family.matched and not copies.is_whole(member):
            self._newcomers.wait(member)
        elif past is not None:
            for old in [old for old in family.members if old.number == past["generation"]]:
                self._roster.remove(family, old)  # recalled as lost
            family.take(member, past)
            if unread is not None and copies.may_be_unread(member, unread):
                self._roster.remove(family, unread)
            self._roster.append(family, member, before=family.younger_than(past["generation"]))
        elif unread is not None:
            self._roster.append(family, member, before=unread)
            if copies.may_be_unread(member, unread):
                self._roster.remove(family, unread)
        elif is_first or newest is None or not newest.seen or (newest.age != CURRENT and member.age > newest.age):
            younger = (old for old in family.members if old.seen and not old.lost and old.age > member.age)
            self._roster.append(family, member, before=next(younger, None))
        elif newest.number is None:
            self._roster.append(family, member, before=newest)  # rotated away between two looks
        elif now - member.grew_at > copies.COPY_SECONDS:
            self._roster.move_elsewhere(member)
        else:
            self._newcomers.wait(member)

    def _is_copy(self, family: Family, member: Member, written: list[Member]) -> bool:
        """
        Whether this is a copy of a member: of a log that is truncated in place, or its `.gz`.

        As long as the member itself can be read, a copy holds nothing new and waits; then it takes
        the generation over and gives the bytes that were not read in time.
        """
        alike = [old for old in [*written, *reversed(family.members)] if copies.is_alike(member, old)]
        if alike and not copies.is_whole(member):
            self._newcomers.wait(member)
            return True
        try:
            for old in filter(copies.is_readable, alike):
                if copies.ends_alike(member, old):
                    if isinstance(member.file, PackedFile) and not old.pending:
                        self._newcomers.dismiss(member)
                    else:
                        self._newcomers.wait(member)
                    return True
            lost = [old for old in alike if not copies.is_readable(old) and copies.may_continue(member, old)]
        except OSError:
            self._newcomers.wait(member)
            return True
        if not lost:
            return False
        nearest = max(lost, key=lambda one: (one.existed <= member.size, one.file.sent <= member.size))
        self._take_over(family, nearest, member)
        return True

    def _take_over(self, family: Family, old: Member, copy: Member) -> None:
        if copies.take_over(family, old, copy):
            self._roster.let_go(old)
        self._roster.enlist(family, copy)


def _is_same(old: Member, member: Member) -> bool:
    """
    Whether a file has got another inode under its name: an overlay has copied it up, or it was mounted anew.

    Not where the old one is still held and may be written to: on the same device, it has been replaced.
    """
    if old.seen or old.lost or old.pinned or type(old.file) is not TailedFile or old.file.name != member.file.name:
        return False
    if old.file.is_open and old.file.device == member.file.device:
        return False
    try:
        return member.size >= old.existed and copies.is_alike(member, old) and copies.may_continue(member, old)
    except OSError:
        return False


def _may_be_elder(family: Family, member: Member, now: float) -> bool:
    unknown = copies.is_elusive(member) or (family.matched and member.unpacking)
    return unknown and now - member.grew_at <= copies.COPY_SECONDS
