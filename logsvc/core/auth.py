"""Who asks: tokens, kept only as hashes, and the browser's session.

The first admin token is made with the data folder and lies in it, readable by its owner alone,
so that whoever runs the service can log in again after each restart.
"""

from __future__ import annotations

import getpass
import hashlib
import hmac
import logging
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from itsdangerous import BadSignature, URLSafeTimedSerializer

from logsvc.core.clock import rfc3339
from logsvc.errors import CannotStart
from logsvc.model.data_folder import TOKEN_FILE
from logsvc.ports import Clock, RecordStore

TOKEN_KIND = "token"
KEY_FILE = "session.key"
TOKEN_BYTES = 32
KNOWN_SECONDS = 5.0  # a token is looked up again after this: bounds how long a withdrawn one still works
KNOWN_TOKENS = 10_000

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Principal:
    """Whoever a token speaks for."""

    owner: str
    role: Literal["admin"]


class Tokens:
    """
    Tokens by hash, and sessions that stand for one.

    Args:
        records: holds kind "token"; the id is the SHA-256 of the token, in hex.
        folder: holds the first admin token and the key that signs sessions.
        session_seconds: life of a session.
    """

    def __init__(self, records: RecordStore, clock: Clock, folder: Path, *, session_seconds: int) -> None:
        self._records, self._clock, self._folder = records, clock, folder
        self._session_seconds = session_seconds
        self._known: dict[str, tuple[Principal | None, float]] = {}
        self._sessions: URLSafeTimedSerializer | None = None
        self.admin_token = ""
        self.cookie_name = "logsvc_session"

    async def open(self) -> None:
        """
        Read or make the admin token and the key.

        Raises:
            CannotStart: the folder does not take them.
        """
        self.admin_token = _kept_secret(self._folder / TOKEN_FILE)
        key = _kept_secret(self._folder / KEY_FILE)
        self._sessions = URLSafeTimedSerializer(
            key, salt="logsvc session", signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"}
        )
        # Cookies do not know ports: two services on one host must not log each other out.
        self.cookie_name = f"logsvc_session_{hashed(key)[:8]}"
        await self._remember_first()

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

    async def _by_hash(self, token_hash: str) -> Principal | None:
        now = self._clock.monotonic()
        known = self._known.get(token_hash)
        if known and known[1] > now:
            return known[0]
        record = await self._records.get(TOKEN_KIND, token_hash)
        principal = None
        if record and hmac.compare_digest(record.id, token_hash):
            principal = Principal(record.value["owner"], "admin")
        if len(self._known) >= KNOWN_TOKENS:
            self._known.clear()
        self._known[token_hash] = (principal, now + KNOWN_SECONDS)
        return principal

    async def _remember_first(self) -> None:
        """Make the record of the admin token, and forget those that its file held before."""
        wanted = hashed(self.admin_token)
        for record in await self._records.list(TOKEN_KIND):
            if record.value.get("first") and record.id != wanted:
                await self._records.delete(TOKEN_KIND, record.id)
        if await self._records.get(TOKEN_KIND, wanted) is None:
            value = {
                "role": "admin",
                "owner": operating_user(),
                "first": True,
                "created_at": rfc3339(self._clock.now()),
            }
            await self._records.put(TOKEN_KIND, wanted, value)


def hashed(token: str) -> str:
    """SHA-256 of a token, in hex. Tokens are 256 random bits: nothing slower is needed."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def operating_user() -> str:
    """Name of the user who runs the service: the owner of what no token claims."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"


def _kept_secret(path: Path) -> str:
    """The secret of a file, made at the first call; only its owner may read it."""
    try:
        if not path.exists():
            temporary = path.with_name(path.name + ".new")
            temporary.unlink(missing_ok=True)
            with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(TOKEN_BYTES) + "\n")
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
            log.warning("secret_was_readable_by_others", extra={"file": path.name})
        secret = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise CannotStart(
            f"The file {path} cannot be used ({exc}): let the user who runs the service read and write it, "
            "or remove it."
        ) from exc
    if len(secret) < 16:
        raise CannotStart(f"The file {path} holds no token of 16 characters or more: remove it for a new one.")
    return secret
