"""Which generation of its stream each file is, as files are renamed, truncated, copied, replaced.

Nothing but looking is relied upon: names, sizes, inode numbers and bytes, so that file systems
that tell nobody of changes (NFS, overlay) do as well. Bytes that were seen to exist and can be
read nowhere any more are named in the stream itself, by a line in their place.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Optional

from collectors.lines import lost_line
from collectors.spool import SpooledFile, left_behind
from collectors.tailer import copies
from collectors.tailer.discovery import Discovery, Found, base_of
from collectors.tailer.family import OVER_SECONDS, Family, Held, Hint, Member
from collectors.tailer.memory import Memory
from collectors.tailer.newcomers import Newcomers, size_on_disk
from collectors.tailer.packed import PackedFile
from collectors.tailer.reader import Descriptors, LostMark, Replaced, Tailed, TailedFile
from collectors.tailer.roster import Roster
from collectors.tailer.welcome import Reception
from logsvc.model.stream import StreamName

GONE_SECONDS = 60.0  # a file without a name is held open this long after its last byte
HOT_SECONDS = 3.0  # a file that grew is looked at often for this long
SCAN_SECONDS = 5.0  # at most between two full scans: a folder's time alone is not trusted for longer
SCANS_AGAIN = 2  # where names change meanwhile
SCAN_SHARE = 0.01  # of a core, at most, for full scans that nothing asked for

TRUNCATED = "the file was truncated or replaced before they were sent"
DELETED = "the file was deleted before they were sent"
NOT_COPIED = "the file was truncated, and its copy does not have them"


class Tailer:
    """
    All families, kept in step with the folders.

    Attributes:
        families: by stream path; one whose files are gone for good is forgotten, and asked about anew should they come.
        active: members that grew lately, have bytes to send or are to be sealed, by identity;
            the rest costs nothing between two scans.
        scan_wanted: something was seen that only a scan can explain.
        gaps, lost_bytes: places where bytes are lost for good, and how many; each is named in its stream.
        checkpoint_wanted: a gap was named; the checkpoint must know before it is sent.
    """

    def __init__(self, discovery: Discovery, remembered: Iterable[Hint] = ()) -> None:
        self.discovery = discovery
        self._roster = Roster()
        self.families = self._roster.families
        self.active = self._roster.active
        self.expired: set[str] = set()  # jobs
        self.scan_wanted = True
        self.left: dict[str, Optional[Member]] = {}  # spools of commands that have ended; None: cannot be read
        self._by_name: Optional[dict[str, tuple[Family, Member]]] = None  # of the last scan, once it was asked for
        self.gaps = 0
        self.lost_bytes = 0
        self.checkpoint_wanted = False
        self._memory = Memory(remembered)
        discovery.bases = self._memory.bases()
        self._descriptors = Descriptors()
        self._newcomers = Newcomers(self._descriptors)
        self._reception = Reception(self._roster, self._newcomers, self._memory)
        self.unsure: dict[StreamName, list[str]] = {}  # by the stream that they are rotated files of, if it is known
        self._own: set[str] = set()  # names that only look like a rotated file's
        self._unsettled = False  # the last scan found something that time, not a folder, will change
        self._scan_at = 0.0  # monotonic seconds: a full scan even if nothing asks for it
        self._began = False

    def look(self, now: float) -> None:
        """Look at all files: through the folders if one has changed, else only at the names known already."""
        if not self._is_scan_due(now):
            for family, member in self._roster.listed():
                if not member.lost and not family.dropped:
                    self._glance(family, member, now)
            if not self.scan_wanted:
                return
        used = time.thread_time()
        self.scan(now)
        self._scan_at = now + max(SCAN_SECONDS, (time.thread_time() - used) / SCAN_SHARE)

    def scan(self, now: float) -> None:
        """Look through the folders: new, renamed, truncated, vanished files."""
        self.scan_wanted = self._unsettled = False
        self._by_name = None
        if not self._began:
            self._began = True
            self._recall(now)
        self._newcomers.begin()
        self.unsure.clear()
        for family, member in self._roster.listed():
            member.seen = member.pinned
            if member.pinned:
                self._look(family, member, member.file.size(), member.modified_at, now)
        newcomers: dict[StreamName, list[Found]] = {}
        everything = self.discovery.scan()
        for _ in range(SCANS_AGAIN):
            if self.discovery.is_torn:
                everything = self.discovery.scan()
        for found in everything:
            if found.place.job in self.expired:
                continue
            known = self._known(found, now)
            if known:
                self._see(*known, found, now)
            elif found.perhaps and found.name not in self._own:
                self.unsure.setdefault(found.perhaps, []).append(found.name)
            elif not self._newcomers.holds_nothing_new(found):
                newcomers.setdefault(found.place, []).append(found)
        self._own &= {found.name for found in everything}
        for place in self.unsure:
            self._roster.family(place).asked = False
        for family, member in self._roster.listed():
            if not member.seen:
                self._look_without_name(family, member, now)
        self._forget_left()
        for folder, place in self.discovery.spools:
            if self.left.get(folder) is None and place.job not in self.expired:
                self._adopt_left(folder, place, now)
        for place, files in newcomers.items():
            family = self._roster.family(place)
            if not family.dropped:
                elders_to_come = self._reception.welcome(family, files, now)
                self.scan_wanted = self.scan_wanted or elders_to_come
        self._newcomers.end()
        for family in self.families.values():
            self._settle(family, now)
        for place, rank in self.discovery.ranks.items():
            ranked = self.families.get(place)
            if ranked is not None and ranked.rank is None:
                ranked.rank = rank
                for member in ranked.members:
                    self._roster.touch(ranked, member)
        self.expired &= {found.place.job for found in everything} | {place.job for _, place in self.discovery.spools}
        for place in [place for place, family in self.families.items() if not family.members]:
            if place not in newcomers and place not in self.unsure:  # else one of its files waits
                del self.families[place]
                self.discovery.forget(place)
        self._let_go()

    def poll(self, now: float) -> None:
        """A quick look at active files; a name that means another file now, and a truncation, are explained."""
        self.scan_wanted = self._newcomers.look(now) or self.scan_wanted
        for identity, (family, member) in list(self.active.items()):
            if family.dropped or not self._stays_active(family, member, now):
                del self.active[identity]
                continue
            if not member.lost:
                self._glance(family, member, now)

        if self.scan_wanted:
            self.scan(now)  # before anything is sent: a new generation's number depends on its elders

    def notice(self, name: str, now: float) -> None:
        """Somebody says that a file has changed: look, if it is one that is at rest."""
        if self._by_name is None:
            self._by_name = {member.file.name: (family, member) for family, member in self._roster.listed()}
        known = self._by_name.get(name)
        if known is None or id(known[1]) in self.active:
            return
        family, member = known
        if not member.lost and not family.dropped:
            self._glance(family, member, now)

    def adopt(self, place: StreamName, file: Tailed, now: float, *, before_last: bool = False) -> Member:
        """Follow a spool: a generation of its own, under no name that a scan could find."""
        member = Member(file, place, pinned=True)
        member.grow(file.size(), now)
        family = self._roster.family(place)
        self._roster.append(family, member, before=family.members[-1] if before_last and family.members else None)
        return member

    def replaced(self, family: Family, member: Member, now: float) -> None:
        """This inode has other bytes now: the old ones end, a new member begins."""
        file = TailedFile(member.file.name, *member.key, self._descriptors)
        fresh = Member(file, member.place, member.age)
        fresh.grow(member.file.size(), now)
        fresh.modified_at = member.modified_at
        member.superseded = True
        self._roster.lose(family, member, now, TRUNCATED)
        try:
            file.learn_head()
            file.note(fresh.size)
        except OSError:
            pass
        self._roster.append(family, fresh)
        self.scan_wanted = True  # for copies of what was truncated

    def gone(self, family: Family, member: Member, now: float) -> None:
        """There is no such file any more."""
        self._roster.lose(family, member, now, DELETED)
        self.scan_wanted = True

    def ended_early(self, family: Family, member: Member, now: float) -> None:
        """There is nothing to read where bytes were seen."""
        if member.pinned or isinstance(member.file, LostMark):
            member.size = member.existed = member.file.size()
        else:
            self.replaced(family, member, now)

    def conflict(self, family: Family, member: Member) -> None:
        """The service holds other bytes under this number: the file is a generation of its own."""
        if isinstance(member.file, LostMark):
            member.size = member.existed = member.file.sent  # more is held than we knew: nothing to say
            return
        if member.number is not None:
            family.refused.add(member.number)
        member.file.move_to(member.file.first)
        member.recheck, member.sealed, member.number, member.rank_told = 0, False, None, False
        member.in_doubt = False
        member.existed = member.size
        family.give_number(member)

    def resolve(self, family: Family, generations: list[Held], now: float) -> None:
        """The service's answer for a family; files without a place in it go to `other`."""
        unsure = self.unsure.pop(family.place, [])
        if generations:  # else the service does not know such a file
            self.discovery.bases |= {base_of(name) for name in unsure}
        else:
            self._own.update(unsure)
        self.scan_wanted = self.scan_wanted or bool(unsure)
        if not family.matched and any(map(self._has_moved, family.members)):
            self.scan_wanted = True  # asked again once it is known where they are
            return
        recalled = [member for member in family.members if not member.file.name]
        for stray in family.resolve(generations, self._memory.hints(family.place), now):
            self._roster.move_elsewhere(stray)
        for member in recalled:
            if member not in family.members:
                self._roster.let_go(member)  # its bytes are there after all
        self._settle(family, now)

    @staticmethod
    def _has_moved(member: Member) -> bool:
        """Whether a file that was listed has another name now, or none, or fewer bytes: they cannot be compared."""
        if not member.seen or member.lost:
            return False
        if not copies.is_elusive(member):
            return type(member.file) is TailedFile and member.file.open() and member.file.size() < member.size
        try:
            return not member.file.learn_head() and os.stat(member.file.name).st_ino != member.file.inode
        except (OSError, Replaced):
            return True

    def drop_job(self, job: str, why: str) -> None:
        """Ship nothing more of a job."""
        self.expired.add(job)
        for place, family in self.families.items():
            if place.job == job:
                self.drop(family, why)

    def drop(self, family: Family, why: str) -> None:
        """Ship nothing more of a family."""
        family.dropped = why
        self._own.update(self.unsure.pop(family.place, []))
        for member in family.members:
            member.file.close()

    def pending(self) -> int:
        """Bytes not yet acknowledged, over all files."""
        return sum(
            member.pending for family in self.families.values() if not family.dropped for member in family.members
        )

    def remembered(self) -> list[Hint]:
        """What a checkpoint keeps: no more than a hint for the next start."""
        self.checkpoint_wanted = False
        return self._memory.next_entries(self.families.values())

    def close(self) -> None:
        """Let go of all descriptors; may be called twice."""
        for family in self.families.values():
            for member in family.members:
                member.file.close()
        self._newcomers.close()

    def _recall(self, now: float) -> None:
        """What the last collector had seen, and had not sent when it ended."""
        for place, member in self._memory.missed(self.discovery.roots, now):
            family = self._roster.family(place)
            family.members.append(member)
            if isinstance(member.file, LostMark) and member.file.behind:
                self._roster.enlist(family, member)
            self._roster.touch(family, member)

    def _known(self, found: Found, now: float) -> Optional[tuple[Family, Member]]:
        """The member that this inode is; None for a new file, also under a reused inode."""
        known = self._roster.find((found.device, found.inode))
        if known is None:
            return None
        family, member = known
        if isinstance(member.file, LostMark):
            if found.size_bytes == member.file.behind:
                return known
            self._roster.unlist(member)
            return None
        if not (member.file.head or member.file.sent or member.file.name == found.name):
            self._roster.remove(family, member)  # nobody has looked into it: met anew under its name of now
            return None
        if member.file.is_open or member.file.name == found.name:
            return known  # a held descriptor holds the inode; under the old name, reading compares
        if copies.is_still(Member(self._newcomers.open(found), size=found.size_bytes), member):
            return known
        self._roster.lose(family, member, now, TRUNCATED)
        self._roster.unlist(member)
        return None

    def _see(self, family: Family, member: Member, found: Found, now: float) -> None:
        member.file.name, member.place, member.age, member.seen = found.name, found.place, found.age, True
        if isinstance(member.file, TailedFile):
            member.file.keep(False)
        if member.lost and found.size_bytes >= member.file.sent:
            member.lost = ""  # its folder was away, not the file
        if not family.dropped:
            self._look(family, member, found.size_bytes, found.modified_at, now)

    def _is_scan_due(self, now: float) -> bool:
        waits = self._unsettled or self._newcomers.are_waiting
        return self.scan_wanted or waits or now >= self._scan_at or self.discovery.folders.changed()

    def _glance(self, family: Family, member: Member, now: float) -> None:
        """Its size, by its name; another file there, or none, asks for a scan."""
        file = member.file
        if member.pinned:
            self._look(family, member, file.size(), member.modified_at, now)
            return
        if not member.seen:
            self._look_without_name(family, member, now)
            return
        try:
            status = os.stat(file.name)
        except OSError:
            self.scan_wanted = True
            self._look_without_name(family, member, now)
            return
        if status.st_ino != file.inode or status.st_dev != file.device:
            self.scan_wanted = True
        elif (status.st_size, status.st_mtime) != (member.size, member.modified_at):
            self._look(family, member, status.st_size, status.st_mtime, now)

    def _look(self, family: Family, member: Member, size: int, modified_at: float, now: float) -> None:
        """What became of a file that has this size now."""
        file = member.file
        if member.lost or isinstance(file, LostMark):
            return
        touched, member.modified_at = modified_at != member.modified_at, modified_at
        if isinstance(file, PackedFile):
            self.scan_wanted = self._newcomers.unpack(member, now) or self.scan_wanted
        elif member.pinned:
            if size != member.size:
                member.existed = size
                member.grow(size, now)
                self._roster.touch(family, member)
        elif size < max(file.sent, len(file.head), member.size):
            if size > file.sent and isinstance(file, TailedFile) and file.was_cut():
                member.existed -= size - file.sent  # these come again, in the next generation
            self.replaced(family, member, now)
        elif size > member.size:
            self.scan_wanted = self.scan_wanted or member.number is None  # its elders get their numbers first
            if not file.is_open:  # whose bytes these are is known when they are read
                member.size, member.grew_at, member.sealed = size, now, False
                self._roster.touch(family, member)
            elif isinstance(file, TailedFile) and not file.goes_on():
                self.replaced(family, member, now)
            else:
                if isinstance(file, TailedFile) and (member.pending or not file.sent):
                    file.note(size)
                member.grow(size, now)
                self._roster.touch(family, member)
        elif touched and self._has_other_bytes(member):
            self.replaced(family, member, now)

    @staticmethod
    def _has_other_bytes(member: Member) -> bool:
        try:
            member.file.read(0)
        except Replaced:
            return True
        except OSError:
            pass
        return False

    def _look_without_name(self, family: Family, member: Member, now: float) -> None:
        """A deleted file, or one renamed out of sight, may still be written to."""
        if member.file.is_open and not member.lost and not family.dropped:
            if isinstance(member.file, TailedFile):
                member.file.keep(True)
            size = member.file.size()
            if member.file.is_open:
                self._look(family, member, size, member.modified_at, now)

    def _adopt_left(self, folder: str, place: StreamName, now: float) -> None:
        """What a command has left behind; one that still runs sends it itself."""
        try:
            file = left_behind(Path(folder))
        except OSError as exc:
            self.discovery.unplaced[folder] = exc.strerror or str(exc)
            self.left[folder] = None
            return
        if file is not None:
            family, left = self.families.get(place), [id(spool) for spool in self.left.values()]
            newest = family.members[-1] if family and family.members else None
            runs = newest is not None and newest.pinned and id(newest) not in left  # the same task, again
            member = self.left[folder] = self.adopt(place, file, now, before_last=runs)
            member.final_asked = True

    def _forget_left(self) -> None:
        """Spools that somebody has deleted, and those that were sent whole."""
        there = {folder for folder, _ in self.discovery.spools}
        for folder in [folder for folder in self.left if folder not in there]:
            member = self.left.pop(folder)
            family = self._roster.family_of(member) if member is not None else None
            if member is not None and family is not None:
                self._roster.remove(family, member)
            if member is not None and isinstance(member.file, SpooledFile):
                member.file.release()

    def _stays_active(self, family: Family, member: Member, now: float) -> bool:
        recent = now - member.grew_at <= HOT_SECONDS
        waits = (member.superseded or member.final_asked) and not member.sealed and member.number is not None
        waits = waits or family.has_untold_rank(member)
        return recent or waits or member.is_open_ended or (member.pinned and not member.sealed)

    def _settle(self, family: Family, now: float) -> None:
        """What is superseded, and what can be forgotten."""
        kept = []
        for member in family.members:
            if member is not family.members[-1] and not member.superseded:
                member.superseded = True
                self._roster.touch(family, member)
            self._name_the_gap(family, member, now)
            if family.dropped:
                forget = not member.seen
            elif member.lost:
                forget = now - member.lost_at > copies.COPY_SECONDS and (member.sealed or member.number is None)
            elif member.pinned:
                forget = member.sealed
            else:
                forget = not member.seen and now - member.grew_at > GONE_SECONDS
                forget = forget and (member.sealed or member.number is None or not member.superseded)
            if not forget or (not family.dropped and (member.pending or member.missing)):
                kept.append(member)
            else:
                family.remember(member)
                self._roster.let_go(member)
        family.members = kept

    def _name_the_gap(self, family: Family, member: Member, now: float) -> None:
        """Where bytes are lost for certain, a line in their place says so and ends the generation."""
        count = member.missing
        if not count or family.dropped or member.pinned or isinstance(member.file, LostMark):
            return
        self._unsettled = True
        if not family.asked:
            return
        if member.lost:
            certain = now - member.lost_at > copies.COPY_SECONDS and not self._newcomers.may_fill(family.place, now)
        else:
            quiet = member.superseded and now - member.grew_at > OVER_SECONDS
            certain = quiet and not member.pending and copies.is_whole(member)
        if not certain:
            return
        file = member.file
        assert isinstance(file, TailedFile)
        line = (b"" if file.ends_in_a_line else b"\n") + lost_line(count, member.lost or NOT_COPIED)
        behind = 0 if member.lost or not member.seen else size_on_disk(file.name)
        member.file = LostMark(file, file.sent, line, behind=behind)
        file.close()
        if not behind:
            self._roster.unlist(member)
        member.lost, member.seen, member.recheck = "", bool(behind), 0
        member.existed = 0
        member.grow(member.file.size(), now)
        self._roster.touch(family, member)
        self.gaps += 1
        self.lost_bytes += count
        self.checkpoint_wanted = True

    def _let_go(self) -> None:
        """Of files without a name, the ones sent whole long ago, where too many descriptors are held for them."""
        held = [
            member
            for family in self.families.values()
            for member in family.members
            if not member.seen and not member.pinned and not member.pending and member.file.is_open
        ]
        spare = len(held) - self._descriptors.limit // 2
        for member in sorted(held, key=lambda member: member.grew_at)[: max(0, spare)]:
            member.file.close()
