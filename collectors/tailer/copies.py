"""Whether one file is a copy of another: of a log before it is truncated, or its `.gz`.

Logs often begin with the same banner, so a head alone says little: where both can be read, the
last bytes of the copy decide; where not, the service compares what is sent once more.
"""

from __future__ import annotations

from collectors.tailer.family import RECHECK_BYTES, Family, Member
from collectors.tailer.packed import END_BYTES, PackedFile
from collectors.tailer.reader import LostMark, TailedFile, exactly

COPY_SECONDS = 10.0  # so long a copy of lost bytes is waited for, and a place for a rotated file


def is_alike(member: Member, old: Member) -> bool:
    """Whether it may be a copy of the old one: both begin with the same bytes, as far as those are known."""
    if old.pinned or isinstance(old.file, LostMark) or not old.file.name:
        return False
    if not old.file.head and is_readable(old):
        try:
            old.file.learn_head()  # it was empty, when last looked at
        except OSError:
            pass
    head, known = member.file.head, old.file.head
    shorter = min(len(head), len(known))
    return shorter > 0 and head[:shorter] == known[:shorter]


def is_elusive(member: Member) -> bool:
    """Whether it was gone, or had another name, before it could be opened."""
    file = member.file
    if isinstance(file, PackedFile):
        return not (file.head or file.torn or file.is_whole)
    return member.size > 0 and not (file.head and file.open())


def is_unread(old: Member) -> bool:
    """Whether it was listed, and gone before it was opened."""
    known = old.pinned or isinstance(old.file, LostMark) or not old.file.name or old.file.head or old.file.sent
    return not known and old.existed > 0 and not is_readable(old)


def may_be_unread(member: Member, unread: Member) -> bool:
    """Whether a file is no shorter than one that nobody has read, and was written no earlier."""
    return member.existed >= unread.existed and member.modified_at >= unread.modified_at


def is_readable(old: Member) -> bool:
    """Whether its bytes can still be had from the file itself."""
    return not old.lost and (old.seen or old.file.is_open)


def is_whole(member: Member) -> bool:
    """Whether all of it can be read: a `.gz` may still be written, or not be unpacked yet."""
    return not isinstance(member.file, PackedFile) or member.file.is_whole


def ends_alike(copy: Member, old: Member) -> bool:
    """Whether the last bytes of the copy stand at the same place in the old file; both are readable."""
    count = min(copy.size, END_BYTES)
    if isinstance(old.file, PackedFile):
        return old.file.is_whole and copy.size == old.size and _end(copy, count) == old.file.end[-count:]
    assert isinstance(old.file, TailedFile)
    size = max(old.size, old.file.size())  # it may have grown since it was looked at
    return copy.size <= size and _end(copy, count) == old.file.peek(copy.size - count, count)


def may_continue(copy: Member, old: Member) -> bool:
    """Whether the copy has the bytes that were last seen in the old file, as far as it reaches."""
    assert isinstance(old.file, TailedFile) and isinstance(copy.file, TailedFile)
    for end, seen in ((old.file.sent, old.file.last_sent), old.file.mark):
        if seen and len(seen) <= end <= copy.size and exactly(copy.file, end - len(seen), len(seen)) != seen:
            return False
    return True


def is_still(probe: Member, old: Member) -> bool:
    """Whether the file that has the old one's inode under another name is the old one: the inode may be used anew."""
    try:
        head, known = probe.file.learn_head(), old.file.head
        shorter = min(len(head), len(known))
        if head[:shorter] != known[:shorter] or type(probe.file) is not type(old.file):
            return False
        return isinstance(probe.file, PackedFile) or probe.size < old.file.sent or may_continue(probe, old)
    except OSError:
        return True
    finally:
        probe.file.close()


def take_over(family: Family, old: Member, copy: Member) -> bool:
    """
    The copy gives what can be had of a lost generation from nowhere else.

    Returns:
        Whether it took the member's place; not where it holds less than was sent: then the service only says
        whether it is a copy at all.
    """
    copy.number, copy.superseded, copy.sealed = old.number, True, False
    place = family.members.index(old)
    replaces = copy.size >= old.file.sent
    copy.file.move_to(max(0, min(copy.size, old.file.sent) - RECHECK_BYTES))
    if replaces:
        copy.existed = max(copy.size, old.existed)
        family.members[place] = copy
    else:
        family.members.insert(place + 1, copy)
        copy.in_doubt = True
    return replaces


def _end(copy: Member, count: int) -> bytes:
    if isinstance(copy.file, PackedFile):
        return copy.file.end[-count:] if count else b""
    assert isinstance(copy.file, TailedFile)
    return copy.file.peek(copy.size - count, count)
