"""Hub: committed lines -> followers, with no line missing or twice between history and live.

A channel serves all followers of one stream and one view (all lines, or user lines). After a
commit it reads the new lines with one look at the store, encodes one frame, and hands that frame
to every follower's bounded queue: the first at once, then at most ten a second. A follower reads
history by itself until it has caught up with its channel's place; from there it takes the shared
frames. History is therefore never gapped, and ingest never waits for a viewer: whoever reads too
slowly finds a gap mark in place of what its queue could not hold.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from logsvc.core.frames import Frame, gap_frame, hidden_partial_frame, lines_frame, partial_frame, sealed_frame
from logsvc.errors import LogsvcError, NotFound, StoreUnavailable
from logsvc.model.query import Line, Lines, WindowQuery
from logsvc.model.stream import StreamName
from logsvc.ports import Committed, LogStore

NEXT_STREAM_LOOK_SECONDS = 1.0  # bounds the look-ups of followers that wait for a file's next generation
RETRY_SECONDS = 1.0  # after the store could not answer

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pace:
    """
    Bounds of the live path.

    Attributes:
        frames_per_second: to one follower at most.
        frame_lines: lines in one frame at most.
        queue_frames: frames that wait for a slow follower; then it gets a gap.
        lag_lines: lines a stream may run ahead of its channel; then all get a gap.
    """

    frames_per_second: float = 10.0
    frame_lines: int = 5000
    queue_frames: int = 64
    lag_lines: int = 100_000


class Hub:
    """All channels of one store."""

    def __init__(self, store: LogStore, pace: Pace = Pace()) -> None:
        self.store, self.pace = store, pace
        self.followers = 0
        self._channels: dict[str, dict[Lines, Channel]] = {}
        self._waiting: set[Channel] = set()  # sealed, without a next stream yet
        self._look: asyncio.TimerHandle | None = None
        self._closed = False
        store.subscribe(self._committed)

    async def follow(self, stream_id: str, lines: Lines, start: int) -> Follower:
        """
        A new follower, to be closed by whoever asked for it.

        Args:
            start: line number from 1, or -L for the last L lines of those asked for.

        Raises: NotFound, StoreUnavailable.
        """
        if self._closed:
            raise StoreUnavailable("The service is stopping; follow again in a moment.")
        channels = self._channels.setdefault(stream_id, {})
        channel = channels.get(lines)
        if channel is None:
            channel = channels[lines] = Channel(self, stream_id, lines)
        follower = Follower(channel, start, self.pace.queue_frames)
        channel.members.add(follower)
        self.followers += 1
        try:
            await channel.open()
        except BaseException:
            follower.close()
            raise
        return follower

    async def close(self) -> None:
        """End every follower and channel; may be called twice."""
        self._closed = True
        if self._look:
            self._look.cancel()
        channels = [channel for channels in self._channels.values() for channel in channels.values()]
        pumps = [channel.stop() for channel in channels]
        await asyncio.gather(*(pump for pump in pumps if pump), return_exceptions=True)

    def left(self, channel: Channel, follower: Follower) -> None:
        """A follower goes; the last one takes its channel along."""
        if follower not in channel.members:
            return
        channel.members.discard(follower)
        channel.live.pop(follower, None)
        self.followers -= 1
        if not channel.members:
            channel.stop()
            self._waiting.discard(channel)
            channels = self._channels.get(channel.stream_id, {})
            if channels.get(channel.lines) is channel:
                del channels[channel.lines]
                if not channels:
                    del self._channels[channel.stream_id]

    async def next_stream(self, channel: Channel, name: StreamName) -> str | None:
        """Id of the next generation of a file; None while there is none: the channel is told of it later."""
        for generation in await self.store.generations(name.job, name.task, name.path):
            if generation.generation > name.generation:
                stream = await self.store.find(StreamName(name.job, name.task, name.path, generation.generation))
                if stream:
                    self._waiting.discard(channel)
                    return stream.id
        if channel.members:
            self._waiting.add(channel)
        return None

    def _committed(self, events: Sequence[Committed]) -> None:
        if not self._channels:
            return
        for event in events:
            for channel in self._channels.get(event.stream_id, {}).values():
                channel.committed(event)
        if self._waiting and self._look is None:
            self._look = asyncio.get_running_loop().call_later(NEXT_STREAM_LOOK_SECONDS, self._look_for_next)

    def _look_for_next(self) -> None:
        self._look = None
        for channel in self._waiting:
            channel.wake()


class Channel:
    """
    One stream in one view, and whoever follows it.

    Attributes:
        through: last line handed out, hidden ones too. Only the pump moves it.
        complete: lines of the stream that are ended, as far as is known.
        live: followers that take the shared frames; the others still read history.
    """

    def __init__(self, hub: Hub, stream_id: str, lines: Lines) -> None:
        self.hub, self.stream_id, self.lines = hub, stream_id, lines
        self.members: set[Follower] = set()
        self.live: dict[Follower, None] = {}  # in order of joining
        self.through = 0
        self.complete = 0
        self._name: StreamName | None = None
        self._sealed = False
        self._partial: Frame | None = None  # as shown last
        self._seal: Frame | None = None
        self._due = asyncio.Event()
        self._opening = asyncio.Lock()
        self._pump: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Learn where the stream stands; raises NotFound."""
        async with self._opening:
            if self._pump is not None:
                return
            stream = await self.hub.store.stream(self.stream_id)
            last = await self.hub.store.window(self.stream_id, WindowQuery(start=-1, limit=1))
            unfinished = bool(last.lines and last.lines[-1].get("partial"))
            # A commit may have come meanwhile; it knows better.
            self.complete = max(self.complete, last.total_lines - unfinished)
            self.through = self.complete
            self._sealed = self._sealed or stream.sealed
            self._name = stream.name
            self._pump = asyncio.create_task(self._run(), name=f"follow {self.stream_id}")

    def stop(self) -> asyncio.Task[None] | None:
        """End the pump and every follower; the task to wait for, if any."""
        for follower in list(self.members):
            follower.end()
        pump, self._pump = self._pump, None
        if pump:
            pump.cancel()
        return pump

    def committed(self, event: Committed) -> None:
        """The stream grew or was sealed."""
        self.complete = max(self.complete, event.lines)
        self._sealed = event.sealed
        self._due.set()

    def wake(self) -> None:
        """Look at the stream again soon."""
        self._due.set()

    def join(self, follower: Follower) -> None:
        """A follower that has all lines up to `through` takes the shared frames from here."""
        if self.live:
            if self._partial:
                follower.offer(self._partial)
            if self._seal:
                follower.offer(self._seal)
        else:
            self._partial = self._seal = None  # nobody was told of changes meanwhile
            self._due.set()
        self.live[follower] = None

    async def _run(self) -> None:
        loop, interval = asyncio.get_running_loop(), 1 / self.hub.pace.frames_per_second
        next_at = 0.0
        while True:
            await self._due.wait()
            delay = next_at - loop.time()
            if delay > 0:
                await asyncio.sleep(delay)
            self._due.clear()
            if not self.live:
                self.through = self.complete
                continue
            next_at = loop.time() + interval
            try:
                await self._publish()
            except NotFound:
                log.info("followed_stream_is_gone", extra={"stream": self.stream_id})
                for follower in list(self.members):
                    follower.end()
                return
            except LogsvcError as error:
                log.warning("follow_could_not_read", extra={"stream": self.stream_id, "code": error.code})
                next_at = loop.time() + RETRY_SECONDS
                self._due.set()
            except Exception:
                log.exception("follow_failed", extra={"stream": self.stream_id})
                next_at = loop.time() + RETRY_SECONDS
                self._due.set()

    async def _publish(self) -> None:
        self._skip_what_nobody_can_read()
        start = self.through + 1
        query = WindowQuery(start=start, limit=self.hub.pace.frame_lines, lines=self.lines)
        window = await self.hub.store.window(self.stream_id, query)
        # Lines past `complete` are unfinished, or ended by a commit that we shall be told of in a moment.
        through = min(window.through, self.complete)
        if through > self.through:
            self.through = through
            if self._partial and self._partial.first <= through:
                self._partial = None
            self._offer(lines_frame(start, through, _up_to(window.lines, through)))
        if self.through < self.complete:
            self._due.set()
            return
        self._show_partial(window.lines[-1] if window.lines else None)
        await self._show_seal()

    def _show_partial(self, last: Line | None) -> None:
        if last and last.get("partial") and last["n"] > self.through:
            frame = partial_frame(last)
            if self._partial is None or self._partial.text != frame.text:
                self._partial = frame
                self._offer(frame)
        elif self._partial:
            hidden, self._partial = self._partial, None
            if self.lines == "user":  # the platform's mark came in late: it is no user line any more
                self._offer(hidden_partial_frame(hidden.first))

    async def _show_seal(self) -> None:
        if not self._sealed:
            self._seal = None
            self.hub._waiting.discard(self)
            return
        assert self._name is not None
        if self._seal and self._seal.last:
            return
        next_stream = await self.hub.next_stream(self, self._name)
        if self._sealed and self.through >= self.complete:
            frame = sealed_frame(self.through, next_stream)
            if self._seal is None or self._seal.text != frame.text:
                self._seal = frame
                self._offer(frame)

    def _skip_what_nobody_can_read(self) -> None:
        if self.complete - self.through <= self.hub.pace.lag_lines:
            return
        first, through = self.through + 1, self.complete - self.hub.pace.frame_lines
        self.through = through
        log.info("followers_skipped", extra={"stream": self.stream_id, "lines": through - first + 1})
        self._offer(gap_frame(first, through))

    def _offer(self, frame: Frame) -> None:
        for follower in self.live:
            follower.offer(frame)


class Follower:
    """One connection: `async for text in follower.texts()`, then `close()`."""

    def __init__(self, channel: Channel, start: int, queue_frames: int) -> None:
        self._channel, self._start, self._bound = channel, start, queue_frames
        self._queue: deque[Frame] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._skip = 0  # lines up to here are known to the reader, though not yet to the channel
        self._ended = False
        self.finished = False  # nothing more will come: the stream has a next one
        self.withdrawn = False

    async def texts(self) -> AsyncIterator[str]:
        """JSON texts in order; ends when the stream has a next one, or the hub closes."""
        async for text in self._history():
            yield text
        loop, queue = asyncio.get_running_loop(), self._queue
        while not self._ended:
            while queue:
                frame = queue.popleft()
                yield frame.text
                if frame.last:
                    self.finished = True
                    return
            if not self._ended:
                self._waiter = loop.create_future()
                await self._waiter

    def offer(self, frame: Frame) -> None:
        """Queue a frame; never waits."""
        if self._skip:
            cut = frame.after(self._skip)
            if cut is None:
                return
            frame = cut
        queue = self._queue
        if queue and frame.replaces and queue[-1].replaces:
            queue[-1] = frame
        else:
            if len(queue) >= self._bound:
                self._drop_queue()
            queue.append(frame)
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    def end(self) -> None:
        """Let `texts` end."""
        self._ended = True
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    def withdraw(self) -> None:
        """Let `texts` end, because its reader may read no more."""
        self.withdrawn = True
        self.end()

    def close(self) -> None:
        """Leave the channel; may be called twice."""
        self.end()
        self._channel.hub.left(self._channel, self)

    async def _history(self) -> AsyncIterator[str]:
        channel, hub = self._channel, self._channel.hub
        at = max(self._start, 1) - 1  # the reader has everything up to here
        ask = self._start
        while not self._ended and at < channel.through:
            query = WindowQuery(start=ask, limit=hub.pace.frame_lines, lines=channel.lines)
            window = await hub.store.window(channel.stream_id, query)
            through = min(window.through, channel.through)
            if ask < 0 and window.lines and at < window.lines[0]["n"] - 1:
                at = min(window.lines[0]["n"] - 1, channel.through)
            if through > at:
                yield lines_frame(at + 1, through, _up_to(window.lines, through)).text
                at = through
            elif ask > 0:
                break  # the store knows less than the channel: expired meanwhile
            ask = at + 1
        # Nothing is awaited between the last look at `channel.through` and here.
        if at > channel.through:
            self._skip = at
        channel.join(self)

    def _drop_queue(self) -> None:
        lost = [frame for frame in self._queue if frame.through >= frame.first > 0 and not frame.replaces]
        kept = [frame for frame in self._queue if frame.is_seal][-1:]
        self._queue.clear()
        if lost:
            self._queue.append(gap_frame(lost[0].first, lost[-1].through))
        self._queue.extend(kept)


def _up_to(lines: list[Line], through: int) -> list[Line]:
    if not lines or lines[-1]["n"] <= through:
        return lines
    return [line for line in lines if line["n"] <= through]
