"""`logsvc token`: tokens of a running service, or of a data folder that no service has open."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from logsvc.client import Client
from logsvc.core.tokens import Wanted
from logsvc.errors import NotFound

COLUMNS = ("ID", "ROLE", "OWNER", "JOBS", "EXPIRES", "LAST USED")


@dataclass(frozen=True)
class Service:
    """Tokens of a running service."""

    client: Client

    def make(self, wanted: Wanted) -> dict[str, Any]:
        """A new token, with its secret as `token`."""
        asked = {
            "role": wanted.role,
            "owner": wanted.owner,
            "jobs": None if wanted.jobs is None else list(wanted.jobs),
            "days": wanted.days,
        }
        return dict(self.client.change("POST", "/tokens", asked))

    def all(self) -> list[dict[str, Any]]:
        """Every token."""
        return list(self.client.get("/tokens")["tokens"])

    def revoke(self, id: str) -> None:
        """Withdraw one."""
        self.client.change("DELETE", f"/tokens/{id}")


@dataclass(frozen=True)
class Folder:
    """Tokens of a data folder; raises CannotStart while a service has it open."""

    folder: Path

    def make(self, wanted: Wanted) -> dict[str, Any]:
        """A new token, with its secret as `token`; the folder is made where it is missing."""

        async def run() -> dict[str, Any]:
            from logsvc.app import tokens_of

            async with tokens_of(self.folder) as book:
                return await book.make(wanted)

        return asyncio.run(run())

    def all(self) -> list[dict[str, Any]]:
        """Every token; raises NotFound where there is no such folder."""

        async def run() -> list[dict[str, Any]]:
            from logsvc.app import tokens_of

            async with tokens_of(self._there()) as book:
                return await book.all()

        return asyncio.run(run())

    def revoke(self, id: str) -> None:
        """Withdraw one; raises NotFound where there is no such folder or token."""

        async def run() -> None:
            from logsvc.app import tokens_of

            async with tokens_of(self._there()) as book:
                await book.revoke(id)

        asyncio.run(run())

    def _there(self) -> Path:
        if not self.folder.is_dir():
            raise NotFound(f"There is no data folder {self.folder}.")
        return self.folder


def tokens(data_dir: Path | None) -> Service | Folder:
    """Those of the folder where one is named, else of the service at LOGSVC_SERVER."""
    return Folder(data_dir) if data_dir is not None else Service(Client.from_environment())


def table(held: Sequence[dict[str, Any]]) -> list[str]:
    """Lines that list tokens. Owners are printable, and patterns of few characters: the service takes no others."""
    rows = [COLUMNS, *map(_row, held)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    jobs = "the owner's" if one["jobs"] is None else "all" if one["jobs"] == ["*"] else ",".join(one["jobs"])
    return (
        one["id"],
        f"{one['role']} (first)" if one["first"] else one["role"],
        one["owner"],
        jobs,
        _day(one["expires_at"]) or "never",
        _day(one["last_used_at"]) or "not yet",
    )


def _day(moment: str | None) -> str:
    """`2026-11-20 12:00Z`."""
    return f"{moment[:10]} {moment[11:16]}Z" if moment else ""
