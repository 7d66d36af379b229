"""From tailed files to the service: every byte once, in order, as the service acknowledges.

A round sends two bodies at most: what is new in streams that are not behind, the least first; then
one body for those that are far behind or had no room, each in its turn. So a new line never waits
for more than one body of back-fill, and bodies are as large as the way to the service takes in
about a second. Nothing is kept in memory between rounds: what is not acknowledged waits in its file.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Optional

from collectors.client import Client, Frame, Refused, Unavailable
from collectors.tailer.family import Family, Member
from collectors.tailer.reader import Replaced
from collectors.tailer.rotation import Tailer

FRESH_BYTES = 64 << 10  # a stream further behind than this is back-fill
FRESH_BATCH_BYTES = 2 << 20
BATCH_FRAMES = 2000
HEAD_BYTES = 256  # of a frame in a batch, about
BODY_BYTES = 4 << 20  # at most at once
FIRST_BODY_BYTES = 512 << 10  # until it is known how long that takes
SLOW_BODY_BYTES = 256 << 10  # no less for being slow
LEAST_BODY_BYTES = 64 << 10  # a service that refuses this is broken
BODY_SECONDS = 2.0  # a body that took longer was too large: new lines wait behind it
ASK_STREAMS = 500
UNREADABLE_SECONDS = 10.0  # until a file that may not be read is tried again

LATER = frozenset(["store_unavailable", "disk_full", "too_many_requests", "internal"])


Trouble = Callable[[str, str], None]  # a kind of error, and words for a person
Entry = tuple[Family, Member]
Sending = tuple[Family, Member, Frame]


class Shipper:
    """One sender; `round` is called again and again."""

    def __init__(
        self, client: Client, tailer: Tailer, trouble: Trouble, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.client = client
        self.tailer = tailer
        self.trouble = trouble
        self.sent_bytes = 0
        self._clock = clock
        self._limit_bytes = BODY_BYTES  # what the service takes
        self._body_bytes = FIRST_BODY_BYTES
        self._waiting: deque[int] = deque()  # members behind, next first

    def round(self, now: float) -> bool:
        """
        Ask, send and take acknowledgements once.

        Returns:
            True if it should be called again at once: more waits than went.

        Raises:
            Unavailable: the service cannot take anything now.
        """
        self._ask(now)
        fresh, behind = self._sorted_out(now)
        left = self._send_fresh(fresh, now)
        return self._send_in_turn(behind + left, now)

    def _ask(self, now: float) -> None:
        """What the service holds of the families that it was not yet asked about."""
        waiting = [family for family, _ in self.tailer.active.values()]
        waiting += [self.tailer.families[place] for place in self.tailer.unsure]
        unasked = {family.place: family for family in waiting if not family.asked and not family.dropped}
        families = list(unasked.values())
        for start in range(0, len(families), ASK_STREAMS):
            self._ask_for(families[start : start + ASK_STREAMS], now)

    def _ask_for(self, families: list[Family], now: float) -> None:
        places = [(family.place.job, family.place.task, family.place.path) for family in families]
        try:
            answers = self.client.offsets(places)
        except Refused as exc:
            if exc.code in LATER or (exc.code == "too_large" and len(families) == 1):  # nothing can be smaller
                raise Unavailable(f"{self.client.server}: {exc}") from exc
            if len(families) == 1:
                if exc.code == "expired":
                    self._drop_job(families[0].place.job)
                else:
                    self._give_up(families[0], exc)
                return
            half = len(families) // 2  # one of them is the cause
            self._ask_for(families[:half], now)
            self._ask_for(families[half:], now)
            return
        for family, generations in zip(families, answers):
            self.tailer.resolve(family, generations, now)

    def _sorted_out(self, now: float) -> tuple[list[Entry], list[Entry]]:
        """Members that have something to send: those with little, the least first, and those far behind."""
        fresh: list[tuple[int, Entry]] = []
        behind: list[Entry] = []
        for entry in self.tailer.active.values():
            family, member = entry
            if family.dropped or not family.asked or now < member.blocked_until or family.is_held_up(member):
                continue
            pending = member.pending
            if pending > FRESH_BYTES:
                behind.append(entry)
            elif pending or member.wants_seal(now) or family.has_untold_rank(member):
                fresh.append((pending, entry))
        fresh.sort(key=lambda item: item[0])
        return [entry for _, entry in fresh], behind

    def _send_fresh(self, fresh: list[Entry], now: float) -> list[Entry]:
        """One batch of what is new; returns the members that had no room in it."""
        frames: list[Sending] = []
        size = taken = 0
        limit = min(FRESH_BATCH_BYTES, self._body_bytes)
        for family, member in fresh:
            if (frames and size + member.pending > limit) or len(frames) >= BATCH_FRAMES:
                break
            taken += 1
            if member.pending:
                frame = self._frame(family, member, FRESH_BYTES, now)
            else:
                number, final = family.give_number(member), member.wants_seal(now)
                frame = Frame(*_name(family), number, member.file.sent, b"", final=final, rank=family.rank)
            if frame is not None:
                frames.append((family, member, frame))
                size += HEAD_BYTES + len(frame.data)
        self._send(frames, size, now)
        return fresh[taken:]

    def _send_in_turn(self, behind: list[Entry], now: float) -> bool:
        """One body of those that wait for their turn; each has at most one share of it. True: there were some."""
        by_identity = {id(member): (family, member) for family, member in behind}
        self._waiting = deque(identity for identity in self._waiting if identity in by_identity)
        in_line = set(self._waiting)
        self._waiting.extend(identity for identity in by_identity if identity not in in_line)
        frames: list[Sending] = []
        size = 0
        for _ in range(min(len(self._waiting), BATCH_FRAMES)):
            if size >= self._body_bytes:
                break
            self._waiting.rotate(-1)
            family, member = by_identity[self._waiting[-1]]
            frame = self._frame(family, member, self._body_bytes - size, now)
            if frame is not None:
                frames.append((family, member, frame))
                size += HEAD_BYTES + len(frame.data)
        self._send(frames, size, now)
        return bool(behind)

    def _send(self, frames: list[Sending], size: int, now: float) -> None:
        """Send at once; the time that it took says how much is sent at once from now on."""
        if not frames:
            return
        start = self._clock()
        try:
            if len(frames) == 1 and size > FRESH_BYTES:
                self._send_chunk(*frames[0], now)
            else:
                self._send_batch(frames, now)
        finally:
            took = self._clock() - start
            if took > BODY_SECONDS:
                self._body_bytes = max(min(SLOW_BODY_BYTES, self._limit_bytes), self._body_bytes // 2)
            elif took < BODY_SECONDS / 4 and size >= self._body_bytes // 2:
                self._body_bytes = min(self._limit_bytes, self._body_bytes * 2)

    def _send_chunk(self, family: Family, member: Member, frame: Frame, now: float) -> None:
        result: object
        try:
            result = self.client.chunk(frame)
        except Refused as exc:
            result = exc
        self._settle(family, member, frame, result, now)

    def _send_batch(self, frames: list[Sending], now: float) -> None:
        try:
            results = self.client.batch([frame for _, _, frame in frames])
        except Refused as exc:
            if len(frames) > 1 and exc.status != 413 and exc.code not in LATER:
                half = len(frames) // 2  # one of them is the cause
                self._send_batch(frames[:half], now)
                self._send_batch(frames[half:], now)
            else:
                self._settle(*frames[0], exc, now)
            return
        later: Optional[Unavailable] = None
        for (family, member, frame), result in zip(frames, results):
            try:
                self._settle(family, member, frame, result, now)
            except Unavailable as exc:
                later = exc
        if later is not None:
            raise later

    def _frame(self, family: Family, member: Member, limit: int, now: float) -> Optional[Frame]:
        """The next bytes of a file; None where there are none after all."""
        try:
            data = member.file.read(limit, before=member.recheck)
        except Replaced:
            self.tailer.replaced(family, member, now)
            return None
        except OSError as exc:
            self._cannot_read(member, exc.strerror or str(exc), now)
            return None
        if len(data) <= member.recheck:
            if member.file.open():
                self.tailer.ended_early(family, member, now)
            elif not member.seen:
                self.tailer.gone(family, member, now)
            else:
                self._cannot_read(member, "cannot be read (permission?)", now)
                self.tailer.scan_wanted = True
            return None
        member.unread = ""
        member.existed = max(member.existed, member.size)  # all of it follows what was sent before
        number = family.give_number(member)
        if member.pinned and self.tailer.discovery.hear(family.place, member.file.sent, data[member.recheck :]):
            self.tailer.scan_wanted = True  # files may have a rank by it
        return Frame(*_name(family), number, member.file.sent - member.recheck, data, rank=family.rank)

    def _cannot_read(self, member: Member, why: str, now: float) -> None:
        self.trouble("unreadable", f"{member.file.name}: {why}; trying again")
        member.unread, member.blocked_until = why, now + UNREADABLE_SECONDS

    def _settle(self, family: Family, member: Member, frame: Frame, result: object, now: float) -> None:
        """Take one answer."""
        if isinstance(result, Refused):
            self._take_refusal(family, member, result)
            return
        assert isinstance(result, int)
        member.rank_told = member.rank_told or frame.rank is not None
        if frame.final:
            member.sealed = True
            member.file.complete()
            return
        if not frame.data:
            return  # it told the rank
        member.in_doubt = False
        end = frame.offset + len(frame.data)
        if result < end:  # held to there only: go on from there
            member.file.move_to(result)
        else:
            fresh = frame.data[member.recheck :]
            self.sent_bytes += len(fresh)
            member.file.advance(fresh)
        member.recheck = 0
        member.size = max(member.size, member.file.sent)

    def _take_refusal(self, family: Family, member: Member, refused: Refused) -> None:
        code = refused.code
        if code == "offset_gap":
            expected = refused.detail.get("expected")
            if not isinstance(expected, int) or not 0 <= expected <= member.size:
                raise Unavailable(f"{self.client.server}: {refused.message}, without a usable place to resend from")
            member.file.move_to(expected)
            member.recheck, member.rank_told = 0, False
        elif code == "content_conflict":
            self.tailer.conflict(family, member)
        elif code == "expired":
            self._drop_job(family.place.job)
        elif code in LATER:
            seconds = refused.detail.get("retry_after_seconds")
            raise Unavailable(
                f"{self.client.server}: {refused.message}",
                retry_after_seconds=float(seconds) if isinstance(seconds, (int, float)) else None,
            )
        elif code in ("unauthorized", "forbidden"):
            raise Unavailable(f"{self.client.server}: {refused.message}", refused=True)
        elif code == "too_large":
            self._shrink(refused)
        else:
            self._give_up(family, refused)

    def _shrink(self, refused: Refused) -> None:
        """Smaller bodies from now on; raises Unavailable where that is not the cause."""
        if refused.status != 413 and refused.code != "too_large":
            raise Unavailable(f"{self.client.server}: {refused}")
        if self._limit_bytes <= LEAST_BODY_BYTES:
            raise Unavailable(f"{self.client.server}: {refused}, at {self._limit_bytes} bytes")
        self._limit_bytes = max(LEAST_BODY_BYTES, min(self._limit_bytes, self._body_bytes) // 2)
        self._body_bytes = min(self._body_bytes, self._limit_bytes)

    def _drop_job(self, job: str) -> None:
        self.trouble("expired", f"job {job} has expired at {self.client.server}: its files are sent no more")
        self.tailer.drop_job(job, f"job {job} has expired")

    def _give_up(self, family: Family, refused: Refused) -> None:
        names = ", ".join(member.file.name for member in family.members)
        self.trouble("refused", f"{names or family.place.path}: not sent: {refused}")
        self.tailer.drop(family, str(refused))


def _name(family: Family) -> tuple[str, str, str]:
    return family.place.job, family.place.task, family.place.path
