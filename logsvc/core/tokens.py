"""The tokens that there are: made and shown once, kept as hashes, listed, revoked.

One record of kind "token" each; its id is the SHA-256 of the token, in hex.
"""

from __future__ import annotations

import getpass
import hashlib
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from logsvc.core.access import ALL_JOBS, ROLES, Principal, checked_patterns
from logsvc.core.clock import rfc3339
from logsvc.core.kept_secret import new_secret
from logsvc.errors import BadInput, Conflict, NotFound
from logsvc.model.query import Record
from logsvc.ports import Clock, RecordStore

TOKEN_KIND = "token"
DAY_SECONDS = 86_400
MAX_DAYS = 3650
MAX_OWNER = 256  # characters
ID_CHARACTERS = 12  # of the hash, where people name a token
LIST_RECORDS = 1000

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wanted:
    """
    A token to be made.

    Attributes:
        owner: whose it is; None: the user's who runs the service.
        jobs: patterns of job ids; None: the owner's jobs, and for an `ingest` token without an owner every job.
        days: how long it is good; None: until it is revoked.
    """

    role: str
    owner: str | None = None
    jobs: Sequence[str] | None = None
    days: float | None = None


class TokenBook:
    """
    Makes, lists and revokes tokens.

    Attributes:
        revoked: called with the hash of each token that is revoked here.
    """

    def __init__(self, records: RecordStore, clock: Clock) -> None:
        self._records, self._clock = records, clock
        self._used: dict[str, float] = {}  # Unix seconds, not written yet
        self.revoked: Callable[[str], None] = lambda token_hash: None

    async def make(self, wanted: Wanted) -> dict[str, Any]:
        """
        A new token in its public form, with the secret itself as `token`: it cannot be shown again.

        Raises: BadInput.
        """
        value = self._value(wanted)
        token = new_secret()
        record = await self._records.put(TOKEN_KIND, hashed(token), value, expected=0)
        shown = self._shown(record)
        log.info("token_made", extra={"token_id": shown["id"], "role": shown["role"], "owner": shown["owner"]})
        return {"token": token, **shown}

    async def all(self) -> list[dict[str, Any]]:
        """All tokens in their public form, by the time they were made; never the secrets."""
        return sorted(map(self._shown, await self._records_held()), key=lambda one: (one["created_at"], one["id"]))

    async def revoke(self, id: str) -> None:
        """
        Withdraw a token: from now on nobody knows it.

        Raises:
            NotFound: there is none of this id.
            Conflict: it is the first admin token, whose file would bring it back.
        """
        for record in await self._records_held():
            if record.id[:ID_CHARACTERS] == id:
                if record.value.get("first"):
                    raise Conflict(
                        "This is the first admin token; to withdraw it, remove admin.token from the data folder and "
                        "restart the service: a new one is made."
                    )
                await self._records.delete(TOKEN_KIND, record.id)
                self._used.pop(record.id, None)
                self.revoked(record.id)
                log.info("token_revoked", extra={"token_id": id})
                return
        raise NotFound(f"There is no token {id[:40]!a}.")

    async def keep_first(self, token: str) -> None:
        """Make the record of the first admin token, and forget those that its file held before."""
        wanted = hashed(token)
        for record in await self._records_held():
            if record.value.get("first") and record.id != wanted:
                await self._records.delete(TOKEN_KIND, record.id)
        if await self._records.get(TOKEN_KIND, wanted) is None:
            value = {**self._value(Wanted("admin")), "first": True}
            await self._records.put(TOKEN_KIND, wanted, value)

    def used(self, token_hash: str) -> None:
        """A token was used now; written later, with others."""
        self._used[token_hash] = self._clock.now()

    async def write_uses(self) -> None:
        """Write when tokens were used last."""
        uses, self._used = self._used, {}
        for token_hash, at in uses.items():
            record = await self._records.get(TOKEN_KIND, token_hash)
            if record is None:
                continue
            try:
                value = {**record.value, "last_used_at": at}
                await self._records.put(TOKEN_KIND, token_hash, value, expected=record.version)
            except Conflict:
                continue  # revoked meanwhile; or somebody else wrote it

    def _value(self, wanted: Wanted) -> dict[str, Any]:
        if wanted.role not in ROLES:
            raise BadInput(f"role must be one of {', '.join(ROLES)}, not {wanted.role[:40]!a}.", parameter="role")
        if wanted.owner is not None and not (1 <= len(wanted.owner) <= MAX_OWNER and wanted.owner.isprintable()):
            raise BadInput(f"owner must have 1 to {MAX_OWNER} printable characters.", parameter="owner")
        if wanted.days is not None and not 0 < wanted.days <= MAX_DAYS:
            raise BadInput(f"days must be above 0 and at most {MAX_DAYS}.", parameter="days")
        jobs: tuple[str, ...] | None = None if wanted.jobs is None else checked_patterns(wanted.jobs)
        if wanted.role == "admin":
            if jobs not in (None, ALL_JOBS):
                raise BadInput("A token of the role admin is for all jobs.", parameter="jobs")
            jobs = ALL_JOBS
        elif wanted.role == "ingest" and jobs is None and wanted.owner is None:
            jobs = ALL_JOBS
        now = self._clock.now()
        value: dict[str, Any] = {
            "role": wanted.role,
            "owner": wanted.owner or operating_user(),
            "jobs": None if jobs is None else list(jobs),
            "created_at": rfc3339(now),
        }
        if wanted.days is not None:
            value["expires_at"] = now + wanted.days * DAY_SECONDS
        return value

    def _shown(self, record: Record) -> dict[str, Any]:
        value = record.value
        return {
            "id": record.id[:ID_CHARACTERS],
            "role": value["role"],
            "owner": value["owner"],
            "jobs": None if (jobs := principal_of(record).jobs) is None else list(jobs),
            "created_at": value["created_at"],
            "expires_at": rfc3339(value.get("expires_at")),
            "last_used_at": rfc3339(self._used.get(record.id, value.get("last_used_at"))),
            "first": bool(value.get("first")),
        }

    async def _records_held(self) -> list[Record]:
        found: list[Record] = []
        while True:
            records = await self._records.list(TOKEN_KIND, after=found[-1].id if found else "", limit=LIST_RECORDS)
            found += records
            if len(records) < LIST_RECORDS:
                return found


def principal_of(record: Record) -> Principal:
    """Whoever the token of this record speaks for."""
    value = record.value
    # The first admin tokens were written before there were scopes.
    jobs = value.get("jobs", ALL_JOBS)
    return Principal(value["owner"], value["role"], None if jobs is None else tuple(jobs), record.id)


def hashed(token: str) -> str:
    """SHA-256 of a token, in hex. Tokens are 256 random bits: nothing slower is needed."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def operating_user() -> str:
    """Name of the user who runs the service: the owner of what no token claims."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"
