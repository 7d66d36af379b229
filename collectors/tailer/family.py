"""The generations of one stream path, and which of the service's each file is.

A family is one stream path; its members are the files that were written under that path, oldest
first. The service's generations are the truth: members are matched with them by their heads, in
order; what matches none becomes the next generation. Numbers are given when a member has its first
byte, so that an empty file never takes one.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Optional

from collectors.lines import lost_line
from collectors.tailer.discovery import CURRENT, Age
from collectors.tailer.packed import PackedFile
from collectors.tailer.reader import LostMark, Tailed, TailedFile
from logsvc.model.stream import StreamName

RECHECK_BYTES = 4096  # sent again after a restart: a head alone may be the same in two generations
LEAST_LINE_BYTES = len(lost_line(1, ""))
MOST_LINE_BYTES = LEAST_LINE_BYTES + 100
OVER_SECONDS = 2.0  # a superseded file this long without new bytes is complete

Held = dict[str, Any]  # a generation as the service tells of it
Hint = dict[str, Any]  # an entry of the checkpoint


@dataclass
class Member:
    """
    One file generation.

    Attributes:
        number: the generation; None until the service was asked and there is a byte.
        size: bytes that can be read, when last looked at.
        existed: bytes that were seen to exist; what is beyond `size` and was not sent is lost.
        place, age: what its name said in the last scan; they change when it is renamed.
        seen: it was found under a name in the last scan.
        superseded: a newer member has taken its path.
        lost: its bytes cannot be read any more (truncated, or gone), and why.
        sealed: `final` was acknowledged, or the service says so.
        final_asked: whoever wrote it says that nothing follows.
        rank_told: the service was told the family's rank for this generation.
        pinned: a spool: found under no name, and always looked at.
        in_doubt: the service says whether it is the generation of its number: younger members get theirs then.
        recheck: bytes before `sent` to send once more, to be compared.
        unread: why its next bytes could not be read when last tried; empty where they could.
        grew_at, lost_at, blocked_until: monotonic seconds.
        modified_at: of the file, in seconds since 1970, as last looked at.
    """

    file: Tailed
    place: Optional[StreamName] = None
    age: Age = CURRENT
    number: Optional[int] = None
    size: int = 0
    existed: int = 0
    seen: bool = True
    superseded: bool = False
    lost: str = ""
    sealed: bool = False
    final_asked: bool = False
    rank_told: bool = False
    pinned: bool = False
    in_doubt: bool = False
    recheck: int = 0
    unread: str = ""
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

    @property
    def missing(self) -> int:
        """Bytes that were seen to exist, were not sent, and cannot be read where they were."""
        return max(0, self.existed - (self.file.sent if self.lost else max(self.size, self.file.sent)))

    @property
    def unpacking(self) -> bool:
        """A `.gz` that is not known yet to be whole, but not torn either."""
        return isinstance(self.file, PackedFile) and not self.file.is_whole and not self.file.torn and not self.sealed

    @property
    def has_content(self) -> bool:
        """Whether there are bytes to send, or a line about those that are lost."""
        return self.pending > 0 or self.missing > 0 or self.unpacking

    @property
    def is_open_ended(self) -> bool:
        """Whether something is still to come that can be sent or said."""
        return self.has_content or (self.final_asked and not self.sealed)

    def grow(self, size: int, now: float) -> None:
        """There are so many bytes now."""
        self.size, self.existed, self.grew_at, self.sealed = size, max(size, self.existed), now, False

    def wants_seal(self, now: float) -> bool:
        """Whether it is complete, and nothing says so yet at the service."""
        if self.sealed or self.pending > 0 or self.missing > 0:
            return False
        if isinstance(self.file, PackedFile) and not self.file.is_whole:
            return False
        over = self.final_asked or (self.superseded and now - self.grew_at >= OVER_SECONDS)
        return over and (self.number is not None or self.final_asked)

    def lose(self, now: float, why: str) -> None:
        """Its bytes are gone; a copy may still have them."""
        if not self.lost:
            self.lost, self.lost_at = why, now
        self.file.close()


@dataclass
class Family:
    """
    All generations of one stream path that this collector has met, oldest first.

    Attributes:
        asked: the service's generations are known, as they are now.
        matched: the members were matched with them once.
        past: generations without a member: of before the start, or complete and forgotten.
        last_number: highest generation known, here or there.
        refused: numbers under which the service holds other bytes than a member that had them.
        rank: of the process that writes it, where the path does not say it and something else does.
        dropped: why it is not shipped, in words: expired, or refused.
    """

    place: StreamName
    members: list[Member] = field(default_factory=list)
    asked: bool = False
    matched: bool = False
    past: dict[int, Held] = field(default_factory=dict)
    last_number: int = -1
    refused: set[int] = field(default_factory=set)
    rank: Optional[int] = None
    dropped: str = ""

    def put_in_order(self) -> None:
        """Members without a number stand as their names say."""
        places = [
            place
            for place, one in enumerate(self.members)
            if one.number is None and one.seen and not one.lost and not one.pinned
        ]
        ordered = sorted((self.members[place] for place in places), key=lambda one: one.age)
        for place, member in zip(places, ordered):
            self.members[place] = member

    def younger_than(self, number: int) -> Optional[Member]:
        """The member before which a past generation of that number stands: never behind the newest."""
        elders = [place for place, one in enumerate(self.members) if one.number is not None and one.number < number]
        younger = self.members[max(elders, default=-1) + 1 :] or self.members[-1:]
        return younger[0] if younger else None

    def give_number(self, member: Member) -> int:
        """Its generation, given to it where it has none; elders with something to send come first."""
        for elder in self.members:
            if elder is member:
                break
            if elder.number is None and elder.has_content:
                elder.number = self._free_number(elder)
        if member.number is None:
            member.number = self._free_number(member)
        return member.number

    def is_held_up(self, member: Member) -> bool:
        """Whether an elder may need the number that it would get."""
        if member.number is not None:
            return False
        for elder in self.members:
            if elder is member:
                break
            if elder.in_doubt and elder.pending and not elder.unread:
                return True
        return False

    def _free_number(self, member: Member) -> int:
        """
        The next one; between an older and a younger member, one between theirs.

        There is one where a number was given and the collector ended before anything was sent under it.
        """
        place = next((index for index, one in enumerate(self.members) if one is member), len(self.members))
        older = [one.number for one in self.members[:place] if one.number is not None]
        younger = [one.number for one in self.members[place:] if one.number is not None]
        if younger:
            low, high = max(older, default=-1), min(younger)
            known = [number for number in self.past if low < number < high]
            for number in range(max(known, default=low) + 1, high):
                if number not in self.refused:
                    return number
        self.last_number += 1
        return self.last_number

    def has_untold_rank(self, member: Member) -> bool:
        """Whether the service holds bytes of the member, and was not told the rank that is known now."""
        held = member.number is not None and member.file.sent > 0
        return self.rank is not None and not member.rank_told and held

    def resolve(self, generations: list[Held], hints: dict[tuple[int, int], Hint], now: float) -> list[Member]:
        """
        Match members with what the service holds; asked again, learn what it holds of the lost ones.

        Returns the members that have no place here: rotated away before the oldest that matches.
        """
        held = sorted(generations, key=_number)
        self.last_number = max([self.last_number, *map(_number, held)])
        strays: list[Member] = []
        if not self.matched:
            strays = self._match(held, hints)
        by_number = {_number(one): one for one in held}
        for member in self.members:
            one = by_number.get(member.number) if member.number is not None else None
            if one and member.lost and not isinstance(member.file, LostMark):
                # An answer may have got lost. A sealed one ended with all its bytes, or with the line.
                if int(one["next_offset"]) > member.file.sent:
                    member.file.move_to(int(one["next_offset"]))
                member.existed = member.file.sent if one.get("sealed") else member.existed
        self.asked = self.matched = True
        for member in self.members:
            if member.has_content and now >= member.blocked_until and not self.is_held_up(member):
                self.give_number(member)
        return strays

    def remember(self, member: Member) -> None:
        """A complete member is forgotten; a copy of it that turns up later is known by this."""
        if member.number is not None:
            head = member.file.head
            tail = member.file.last_sent if isinstance(member.file, TailedFile) else b""
            self.past[member.number] = {
                "generation": member.number,
                "next_offset": member.file.sent,
                "head_bytes": len(head),
                "head_sha256": hashlib.sha256(head).hexdigest(),
                "tail_bytes": len(tail),
                "tail_sha256": hashlib.sha256(tail).hexdigest(),
                "sealed": member.sealed,
            }

    def find_past(self, member: Member) -> Optional[Held]:
        """The generation without a member that this file may be; the newest of several."""
        fitting = [one for one in self.past.values() if fit(member, one)]
        return max(fitting, key=_number) if fitting else None

    def take(self, member: Member, one: Held, *, sure: bool = True) -> None:
        """This member is that generation: go on where the service ends; send the last bytes once more if in doubt."""
        member.number = _number(one)
        self.past.pop(member.number, None)
        end = int(one["next_offset"])
        size = _size(member)
        first = member.file.first
        all_there = size == end
        if size is not None and (size < end or (all_there and not sure)):
            # What is held may end with a line about lost bytes; or this is another file that begins alike.
            member.file.move_to(max(first, size - RECHECK_BYTES))
            member.in_doubt = size < end
            return
        member.file.move_to(end)
        member.recheck = min(end - first, RECHECK_BYTES)
        if isinstance(member.file, TailedFile):
            member.file.learn_tail()
        if all_there and isinstance(member.file, PackedFile):
            member.size = member.existed = end
            member.sealed = True
            member.file.close()
        member.sealed = member.sealed or (bool(one.get("sealed")) and all_there and not member.pinned)

    def _match(self, held: list[Held], hints: dict[tuple[int, int], Hint]) -> list[Member]:
        free = [member for member in self.members if member.number is None]
        marked = {member.number for member in self.members if isinstance(member.file, LostMark)}
        held = [one for one in held if _number(one) not in marked]
        self.past = {_number(one): one for one in held}
        pairs = matching(free, held, hints)
        heads = Counter(one.get("head_sha256") for one in held) + Counter(member.file.head for member in free)
        for member, one in pairs:
            hint = hints.get(member.key)
            hinted = hint is not None and hint["generation"] == _number(one)
            alone = heads[one.get("head_sha256")] == heads[member.file.head] == 1
            self.take(member, one, sure=hinted or alone)
        # What a checkpoint told of as lost: found after all, in these files.
        taken = {_number(one) for _, one in pairs}
        numbers = {_number(one) for one in held}
        members, self.members = self.members, []
        for member in members:
            if member.lost and member.number is not None and member.number not in numbers:
                if any(_is_found(member, one) for one in free):
                    continue
                member.number = None  # the service has nothing of it: it gets its place among the others
            if member in free or member.number is None or member.number not in taken:
                self.members.append(member)
        certain = [member for member, _ in pairs if not member.in_doubt]
        if not certain:
            return []
        oldest = self.members.index(certain[0])
        strays = [
            member
            for member in self.members[:oldest]
            if member.number is None and not member.lost and not member.pinned
        ]
        self.members = [member for member in self.members if member not in strays]
        return strays


def matching(members: list[Member], held: list[Held], hints: dict[tuple[int, int], Hint]) -> list[tuple[Member, Held]]:
    """
    Which member is which generation, in the order of both; the most and the best pairs that there can be.

    Several generations often begin with the same banner. Then the checkpoint decides, a file of
    exactly the size, and last the rule that older files were sent before newer ones.
    """
    rows, columns = len(members), len(held)
    best = [[(0, 0)] * (columns + 1) for _ in range(rows + 1)]
    for i in range(rows - 1, -1, -1):
        for j in range(columns - 1, -1, -1):
            best[i][j] = max(best[i + 1][j], best[i][j + 1])
            weight = fit(members[i], held[j], hints.get(members[i].key))
            if weight:
                score, order = best[i + 1][j + 1]
                best[i][j] = max(best[i][j], (score + weight, order + j - i))
    pairs = []
    i = j = 0
    while i < rows and j < columns:
        if best[i][j] == best[i + 1][j]:
            i += 1
        elif best[i][j] == best[i][j + 1]:
            j += 1
        else:
            pairs.append((members[i], held[j]))
            i, j = i + 1, j + 1
    return pairs


def fit(member: Member, one: Held, hint: Optional[Hint] = None) -> int:
    """
    How well a file may be the generation that the service holds; 0: it cannot be.

    It begins with the same bytes, and has the same ones just before the place where the service ends.
    """
    end, head_bytes = int(one["next_offset"]), int(one.get("head_bytes", 0))
    hinted = hint is not None and hint["generation"] == _number(one)
    size = _size(member)
    head = member.file.head[:head_bytes]
    if len(head) != head_bytes or hashlib.sha256(head).hexdigest() != one.get("head_sha256"):
        return 0
    if size is not None and size < end:
        is_line = LEAST_LINE_BYTES <= end - size <= MOST_LINE_BYTES  # about lost bytes, behind what a copy has
        return 4 if one.get("sealed") and size > 0 and is_line else 0
    if not _has_tail(member, one):
        return 0
    return 10 + 1000 * hinted + 2 * (size == end)


def _number(one: Held) -> int:
    return int(one["generation"])


def _has_tail(member: Member, one: Held) -> bool:
    """Whether the bytes just before where the service ends are the file's, as far as that can be told now."""
    file, end, count = member.file, int(one["next_offset"]), int(one["tail_bytes"])
    tail = file.before(end, count) if isinstance(file, TailedFile) else None
    return tail is None or hashlib.sha256(tail).hexdigest() == one["tail_sha256"]


def _is_found(lost: Member, member: Member) -> bool:
    """Whether a file holds what a checkpoint told of as perhaps lost."""
    size = _size(member)
    return member.file.head.startswith(lost.file.head) and (size is None or size >= lost.existed)


def _size(member: Member) -> Optional[int]:
    """Bytes of the file; None where a `.gz` does not say."""
    return member.file.promised_size() if isinstance(member.file, PackedFile) else member.existed
