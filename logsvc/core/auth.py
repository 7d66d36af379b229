"""Who asks: tokens, kept only as hashes, and the browser's session.

The first admin token is made with the data folder and lies in it, readable by its owner alone,
so that whoever runs the service can log in again after each restart. The others are in `core.tokens`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

from itsdangerous import BadSignature, URLSafeTimedSerializer

from logsvc.core.access import Principal
from logsvc.core.kept_secret import kept_secret
from logsvc.core.tokens import TOKEN_KIND, TokenBook, hashed, principal_of
from logsvc.errors import LogsvcError
from logsvc.model.data_folder import TOKEN_FILE
from logsvc.ports import Clock, RecordStore

KEY_FILE = "session.key"
KNOWN_SECONDS = 5.0  # a token is looked up again after this: bounds how long a withdrawn one still works
KNOWN_TOKENS = 10_000
USE_SECONDS = 600.0  # time between two writes of when tokens were used last

log = logging.getLogger(__name__)


class Tokens:
    """
    Whom a token speaks for, and sessions that stand for one.

    Args:
        book: the tokens that there are.
        folder: holds the first admin token and the key that signs sessions.
        session_seconds: life of a session.
    """

    def __init__(
        self, records: RecordStore, book: TokenBook, clock: Clock, folder: Path, *, session_seconds: int
    ) -> None:
        self._records, self._clock, self._folder = records, clock, folder
        self._session_seconds = session_seconds
        self._known: dict[str, tuple[Principal | None, float]] = {}
        self._watching: dict[str, set[Callable[[], None]]] = {}  # by token: what to call when it is withdrawn
        self._withdrawn = 0  # so many were revoked here
        self._sessions: URLSafeTimedSerializer | None = None
        self.book = book
        book.revoked = self._forget
        self.admin_token = ""
        self.cookie_name = "logsvc_session"

    async def open(self) -> None:
        """
        Read or make the admin token and the key.

        Raises:
            CannotStart: the folder does not take them.
        """
        self.admin_token = kept_secret(self._folder / TOKEN_FILE)
        key = kept_secret(self._folder / KEY_FILE)
        self._sessions = URLSafeTimedSerializer(
            key, salt="logsvc session", signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"}
        )
        # Cookies do not know ports: two services on one host must not log each other out.
        self.cookie_name = f"logsvc_session_{hashed(key)[:8]}"
        await self.book.keep_first(self.admin_token)

    async def by_token(self, token: str) -> Principal | None:
        """Whoever this token speaks for; None where nobody knows it."""
        return await self._by_hash(hashed(token)) if token else None

    def session(self, token: str) -> str:
        """A session for a good token: what a cookie holds. It dies with its token."""
        assert self._sessions is not None
        value = self._sessions.dumps(hashed(token))
        return value.decode() if isinstance(value, bytes) else value

    async def by_session(self, session: str) -> Principal | None:
        """Whoever this session speaks for; None where it is forged, too old, or its token is gone."""
        assert self._sessions is not None
        try:
            token_hash = self._sessions.loads(session, max_age=self._session_seconds)
        except BadSignature:
            return None
        return await self._by_hash(token_hash) if isinstance(token_hash, str) else None

    @contextlib.contextmanager
    def until_withdrawn(self, who: Principal, end: Callable[[], None]) -> Iterator[None]:
        """Call `end` when the token is revoked or expires while this is open: for what lasts longer than a call."""
        held = self._watching.setdefault(who.token, set())
        held.add(end)
        try:
            yield
        finally:
            held.discard(end)
            if not held and self._watching.get(who.token) is held:
                del self._watching[who.token]

    async def run(self) -> None:
        """End what withdrawn tokens have open, and write down what was used; for ever."""
        written = self._clock.monotonic()
        while True:
            await asyncio.sleep(KNOWN_SECONDS)
            try:
                await self.look()
                if self._clock.monotonic() - written >= USE_SECONDS:
                    written = self._clock.monotonic()
                    await self.book.write_uses()
            except LogsvcError as error:
                log.warning("tokens_put_off", extra={"code": error.code, "reason": error.message})
            except Exception:
                log.exception("tokens_failed")

    async def close(self) -> None:
        """Write down what was used; may be called twice."""
        with contextlib.suppress(LogsvcError):
            await self.book.write_uses()

    async def look(self) -> None:
        """End what withdrawn tokens have open."""
        for token in [token for token in self._watching if token]:
            if await self._by_hash(token) is None:
                self._forget(token)

    async def _by_hash(self, token_hash: str) -> Principal | None:
        now = self._clock.monotonic()
        known = self._known.get(token_hash)
        if known and known[1] > now:
            return known[0]
        withdrawn = self._withdrawn
        record = await self._records.get(TOKEN_KIND, token_hash)
        principal, good_for = None, KNOWN_SECONDS
        if record and hmac.compare_digest(record.id, token_hash):
            left = record.value.get("expires_at", float("inf")) - self._clock.now()
            if left > 0:
                principal, good_for = principal_of(record), min(left, KNOWN_SECONDS)
                self.book.used(token_hash)
        if len(self._known) >= KNOWN_TOKENS:
            self._known.clear()
        if withdrawn == self._withdrawn:  # else it may be this one, read just before
            self._known[token_hash] = (principal, now + good_for)
        return principal

    def _forget(self, token_hash: str) -> None:
        self._withdrawn += 1
        self._known.pop(token_hash, None)
        for end in list(self._watching.get(token_hash, ())):
            end()
