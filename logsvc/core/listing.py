"""Which jobs a list shows, in which order, and where its next page starts."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from logsvc.errors import BadInput

SORTS = ("created_at", "ended_at", "name", "owner", "status", "type", "id")
_TIMES = ("created_at", "ended_at")


@dataclass(frozen=True)
class JobQuery:
    """
    Filters of a list; None or empty: any.

    Attributes:
        q: part of the id or the name, in any case.
        id, name, algorithm: part of it, in any case.
        owner, type, resource_pool: the whole of it.
        statuses: any of these.
        created_after, created_before: Unix seconds; at or after, and before.
        flag: name of something that is wrong with the job now; records do not hold it, so `core.jobs` looks.
        sort: one of `SORTS`; `descending`: largest first.
        cursor: `next` of the page before.
    """

    q: str | None = None
    id: str | None = None
    name: str | None = None
    algorithm: str | None = None
    owner: str | None = None
    type: str | None = None
    resource_pool: str | None = None
    statuses: frozenset[str] = frozenset()
    created_after: float | None = None
    created_before: float | None = None
    flag: str | None = None
    sort: str = "created_at"
    descending: bool = True
    limit: int = 50
    cursor: str | None = None

    def admits(self, value: dict[str, Any]) -> bool:
        """True for the record of a job that the list shows."""
        for name in ("id", "name", "algorithm"):
            part = getattr(self, name)
            if part is not None and part.casefold() not in str(value.get(name) or "").casefold():
                return False
        for name in ("owner", "type", "resource_pool"):
            whole = getattr(self, name)
            if whole is not None and value.get(name) != whole:
                return False
        if self.q is not None:
            part = self.q.casefold()
            if part not in value["id"].casefold() and part not in str(value.get("name") or "").casefold():
                return False
        created = value.get("created_at") or 0
        return (
            (not self.statuses or value.get("status") in self.statuses)
            and (self.created_after is None or created >= self.created_after)
            and (self.created_before is None or created < self.created_before)
        )


@dataclass(frozen=True)
class Page:
    """Records of a page; `next` is the cursor of the one behind it."""

    values: list[dict[str, Any]]
    next: str | None


def page_of(values: Iterable[dict[str, Any]], query: JobQuery) -> Page:
    """
    The page that a query asks for.

    Raises:
        BadInput: the cursor is of another list.
    """
    keyed = sorted(
        ((_key(value, query.sort), value["id"], value) for value in values if query.admits(value)),
        key=lambda one: one[:2],
        reverse=query.descending,
    )
    if query.cursor is not None:
        place = _read_cursor(query)
        keyed = [one for one in keyed if (one[:2] < place if query.descending else one[:2] > place)]
    page = keyed[: query.limit]
    more = len(keyed) > len(page) and page
    return Page([value for _, _, value in page], write_cursor([query.sort, *page[-1][:2]]) if more else None)


def write_cursor(place: list[Any]) -> str:
    """An opaque text for a place."""
    return base64.urlsafe_b64encode(orjson.dumps(place)).rstrip(b"=").decode()


def read_cursor(cursor: str, *types: type) -> list[Any]:
    """
    The place behind a cursor, its parts of the types given.

    Raises:
        BadInput: the text is none of ours.
    """
    foreign = BadInput("The cursor is not one that an earlier page gave; start without one.", parameter="cursor")
    try:
        place = orjson.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, UnicodeEncodeError) as exc:
        raise foreign from exc
    if not isinstance(place, list) or len(place) != len(types):
        raise foreign
    for part, kind in zip(place, types, strict=True):
        if not isinstance(part, kind) or isinstance(part, bool):
            raise foreign
    return place


def _read_cursor(query: JobQuery) -> tuple[Any, str]:
    sort, key, id = read_cursor(query.cursor or "", str, object, str)
    if sort != query.sort or not isinstance(key, (int, float) if sort in _TIMES else str):
        raise BadInput("The cursor belongs to a list with another order; start without one.", parameter="cursor")
    return key, id


def _key(value: dict[str, Any], sort: str) -> Any:
    if sort in _TIMES:
        return float(value.get(sort) or 0)
    return str(value.get(sort) or "")
