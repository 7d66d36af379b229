"""Streams: those of a job, their lines, their bytes."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from starlette.responses import Response

from logsvc.api import schemas
from logsvc.api.errors import JSON, RangeNotSatisfiable, error_response
from logsvc.api.params import choice, flag, integer, line_start, moment, parameters
from logsvc.api.services import API, services
from logsvc.api.streaming import Streamed
from logsvc.core import window
from logsvc.core.clock import rfc3339
from logsvc.errors import BadInput
from logsvc.model.chunk import MAX_OFFSET
from logsvc.model.query import WindowQuery
from logsvc.model.stream import Stream

router = APIRouter(prefix=API, tags=["streams"])

MAX_LINES = 5000
_TAG = re.compile(r'"([^"]*)-([0-9]{1,19})"')
_RANGE = re.compile(r"\s*bytes\s*=\s*([0-9]{0,19})\s*-\s*([0-9]{0,19})\s*")


@router.get("/jobs/{job}/streams", responses=schemas.answers(schemas.STREAMS, 404), summary="Streams of a job")
async def job_streams(request: Request, job: str) -> JSON:
    """Every generation of every log file of the job, by kind, task, path and generation."""
    held = services(request)
    streams = await held.store.streams(job)
    if not streams:
        await held.jobs.record(job)  # a job without logs yet, or none at all
    return JSON({"streams": [shown(stream) for stream in streams]})


LINES = parameters(
    line_start("from", "First line, from 1; `-L` gives the last L lines of those asked for."),
    integer(
        "user_from", "Start at this user line (the platform's own lines left out) instead.", low=1, high=MAX_OFFSET
    ),
    moment("received_from", "Start at the first line received at or after this time instead."),
    integer("limit", "Lines given at most.", low=1, high=MAX_LINES, default=500),
    choice("lines", "All lines, or user lines only.", "all", "user", default="all"),
)


@router.get(
    "/streams/{id}/lines",
    responses=schemas.answers(schemas.LINES, 404, 422),
    openapi_extra=LINES.openapi(),
    summary="Lines around a place",
)
async def stream_lines(request: Request, id: str) -> JSON:
    """
    Contiguous lines. Fewer than `limit` at the end of the log, or past 8 MiB of text; then `through` + 1
    is where to go on.
    """
    query_string = request.scope["query_string"]
    given = LINES.read(query_string)
    starts = [name for name in ("user_from", "received_from") if given[name] is not None]
    if len(starts) + (given["from"] != 1) > 1:
        raise BadInput("Give one of from, user_from and received_from.", parameter=starts[0])
    query = WindowQuery(
        start=given["from"],
        user_start=given["user_from"],
        received_from=given["received_from"],
        limit=given["limit"],
        lines=given["lines"],
    )
    return JSON(await window.lines(services(request).store, id, query))


RAW = parameters(flag("download", "1: save as a file instead of showing it."))


@router.api_route(
    "/streams/{id}/raw",
    methods=["GET"],
    responses={
        **schemas.answers(None, 404, 416, 422, media="text/plain"),
        206: {"description": "A part.", "content": {"text/plain": {"schema": {"type": "string"}}}},
    },
    openapi_extra=RAW.openapi(),
    summary="Bytes, verbatim",
)
@router.api_route("/streams/{id}/raw", methods=["HEAD"], include_in_schema=False)
async def stream_raw(request: Request, id: str) -> Response:
    """
    The stored bytes. One range (`bytes=a-b`, `a-`, `-n`) gives a 206, also with `If-Range`; several ranges,
    or a header that is not understood, give the whole.
    """
    download = RAW.read(request.scope["query_string"])["download"]
    store = services(request).store
    stream = await store.stream(id)
    size = stream.size_bytes
    headers = {
        "Accept-Ranges": "bytes",
        "ETag": _tag(stream),
        "Last-Modified": _http_date(stream.last_chunk_at),
        "Content-Disposition": _disposition(stream, download=bool(download)),
    }
    start, end, status = 0, size, 200
    wanted = request.headers.get("range")
    if wanted is not None and _still_holds(request.headers.get("if-range"), stream):
        part = byte_range(wanted, size)
        if part is not None:
            start, end = part
            if start >= end:
                error = RangeNotSatisfiable(
                    f"The log ends at byte {size}, the range starts behind it.", size_bytes=size
                )
                return error_response(error, {"Content-Range": f"bytes */{size}", "Accept-Ranges": "bytes"})
            status = 206
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    headers["Content-Length"] = str(end - start)
    media = "text/plain; charset=utf-8"
    if request.method == "HEAD":
        return Response(None, status, headers, media)
    return Streamed(store.read(stream.id, start, end), status, headers, media)


def byte_range(header: str, size: int) -> tuple[int, int] | None:
    """[start, end) of a `Range` header with one range; start >= end: not satisfiable; None: to be passed over."""
    found = _RANGE.fullmatch(header)
    if not found or found[1] == found[2] == "":
        return None
    if found[1] == "":
        return (max(size - int(found[2]), 0), size) if int(found[2]) else (size, size)
    start, end = int(found[1]), int(found[2]) + 1 if found[2] else size
    if found[2] and end <= start:
        return None  # malformed, by the RFC
    return start, min(end, size)


def shown(stream: Stream) -> dict[str, Any]:
    """The public form of a stream."""
    name = stream.name
    return {
        "id": stream.id,
        "job": name.job,
        "task": name.task,
        "kind": stream.kind,
        "rank": stream.rank,
        "device": stream.device,
        "path": name.path,
        "generation": name.generation,
        "size_bytes": stream.size_bytes,
        "lines": stream.lines,
        "user_lines": stream.user_lines,
        "sealed": stream.sealed,
        "last_chunk_at": rfc3339(stream.last_chunk_at),
    }


def _tag(stream: Stream) -> str:
    """Which stream, also where a new data folder counts its ids from the start again, and how much of it."""
    return f'"{stream.id}-{int(stream.created_at * 1000):x}-{stream.size_bytes}"'


def _still_holds(if_range: str | None, stream: Stream) -> bool:
    """A log only grows: what was read of it before is still its beginning. Of another stream nothing is."""
    if if_range is None:
        return True
    held, told = _TAG.fullmatch(_tag(stream)), _TAG.fullmatch(if_range)
    return held is not None and told is not None and held[1] == told[1] and int(told[2]) <= stream.size_bytes


def _disposition(stream: Stream, *, download: bool) -> str:
    name = str(stream.name).rpartition("/")[2]
    return f"{'attachment' if download else 'inline'}; filename*=utf-8''{quote(name)}"


def _http_date(seconds: float) -> str:
    from email.utils import formatdate

    return formatdate(seconds, usegmt=True)
