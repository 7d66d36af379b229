"""Secrets in a job's logs: how many, of which kinds, on which lines. Never what they are."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from logsvc.api import schemas
from logsvc.api.download import DOWNLOAD, chosen
from logsvc.api.errors import JSON
from logsvc.api.search import in_turn
from logsvc.api.services import API, Services, services
from logsvc.core.secret_kinds import KINDS
from logsvc.core.secret_scan import scan
from logsvc.model.stream import Stream

router = APIRouter(prefix=API, tags=["secrets"])


@router.get(
    "/jobs/{job}/secrets",
    responses=schemas.answers(schemas.SECRETS, 404, 422, 429),
    openapi_extra=DOWNLOAD.openapi(),
    summary="Secrets in a job's logs",
)
async def job_secrets(request: Request, job: str) -> JSON:
    """
    Keys, tokens, passwords and e-mail addresses in what `stream` and `task` name together, in everything where
    neither is given: for a warning before it is shared. The answer never holds a secret's text.

    Past the time limit of a search the answer is what was found until then, `exact` false.
    """
    given = DOWNLOAD.read(request.scope["query_string"])
    held = services(request)
    await held.jobs.record(job)
    streams = chosen(await held.store.streams(job), job, ids=set(given["stream"]), tasks=set(given["task"]))
    return JSON(await in_turn(request, _scanned(held, streams)))


async def _scanned(held: Services, streams: list[Stream]) -> dict[str, Any]:
    found = await scan(held.store, streams, held.clock, time_limit_seconds=held.settings.search_time_limit_seconds)
    return {
        "total": found.counts.total(),
        "by_kind": [{"kind": kind, "count": found.counts[kind]} for kind in KINDS if found.counts[kind]],
        "places": [{"stream": place.stream_id, "n": place.n, "kind": place.kind} for place in found.places],
        "exact": found.exact,
        "scanned_bytes": found.scanned_bytes,
    }
