"""Chunks in: one at a time, or many small ones in a batch; and where their streams end."""

from __future__ import annotations

import hashlib
import struct
from typing import Any

import orjson
from fastapi import APIRouter, Request

from logsvc.api import schemas
from logsvc.api.errors import JSON, error_body
from logsvc.api.params import flag, integer, parameters, text
from logsvc.api.services import API, principal, services
from logsvc.core.ingest import MAX_GENERATION, checked_chunk, stream_name
from logsvc.errors import BadBody, BadInput, LogsvcError
from logsvc.model.chunk import MAX_OFFSET, Appended, Chunk
from logsvc.model.stream import MAX_PATH_BYTES, MAX_RANK

router = APIRouter(prefix=API, tags=["ingest"])

MAX_OFFSETS = 10_000
_LENGTH = struct.Struct("<I")
_NAME = (
    text("job", "The job's id.", required=True, longest=128, form=schemas.JOB_FORM),
    text("task", "The task, as in worker-0.", required=True, longest=64, form=schemas.TASK_FORM),
    text("path", "The file's place in a log archive.", required=True, longest=16_384, shown_longest=MAX_PATH_BYTES),
    integer("generation", "Which generation of the file.", low=0, high=MAX_GENERATION, default=0),
)
CHUNK = parameters(
    *_NAME,
    integer("offset", "Place of the first byte in the file.", low=0, high=MAX_OFFSET, required=True),
    flag("final", "1: nothing follows; seals the stream."),
    integer("rank", "The process's rank, where the path does not say it.", low=0, high=MAX_RANK),
)
PLACE = parameters(*_NAME)
_BYTES = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}


@router.post(
    "/chunks",
    responses=schemas.answers(schemas.APPENDED, 400, 409, 413, 415, 422, 507),
    openapi_extra=CHUNK.openapi(requestBody={"content": _BYTES}),
    summary="Store bytes of a file",
)
async def post_chunk(request: Request) -> JSON:
    """
    Answers once the bytes are durable. The body is raw, `Content-Encoding` zstd, gzip or none.

    Bytes that are held already are compared and not stored again, so that sending twice is safe.
    """
    given = CHUNK.read(request.scope["query_string"])
    name = stream_name(given["job"], given["task"], given["path"], given["generation"])
    held = services(request)
    await held.access.write_job(principal(request), name.job)
    async with held.bodies.unfolded(request) as data:
        chunk = checked_chunk(
            name,
            given["offset"],
            data,
            final=bool(given["final"]),
            owner=principal(request).owner,
            rank=given["rank"],
        )
        return JSON(_shown(await held.ingest.chunk(chunk)))


@router.get(
    "/chunks",
    responses=schemas.answers(schemas.APPENDED, 422),
    openapi_extra=PLACE.openapi(),
    summary="Where a stream ends",
)
async def get_chunks(request: Request) -> JSON:
    """The offset to go on from; 0 and no stream where nothing is held."""
    given = PLACE.read(request.scope["query_string"])
    name = stream_name(given["job"], given["task"], given["path"], given["generation"])
    held = services(request)
    if not await held.access.writable(principal(request), name.job):
        return JSON({"stream": None, "next_offset": 0})
    stream_id, next_offset = await held.ingest.next_offset(name)
    return JSON({"stream": stream_id, "next_offset": next_offset})


@router.post(
    "/batch",
    responses=schemas.answers(schemas.BATCH, 400, 413, 415, 507),
    openapi_extra={"requestBody": {"content": _BYTES}},
    summary="Store many small chunks at once",
)
async def post_batch(request: Request) -> JSON:
    """
    Frames, each: the length of its JSON (32 bits, little-endian), the JSON `{"job","task","path","generation",
    "offset","length","final","rank"}`, and `length` raw bytes. All that is accepted is durable in one commit; a frame
    that is refused has its error at its place.
    """
    held = services(request)
    async with held.bodies.unfolded(request) as body:
        who = principal(request)
        results = await held.ingest.chunks(await held.access.only_own(who, frames(body, who.owner)))
    for one in results:
        if isinstance(one, LogsvcError):
            held.metrics.ingest_errors.labels(one.code).inc()
    return JSON({"results": [error_body(one) if isinstance(one, LogsvcError) else _shown(one) for one in results]})


@router.post(
    "/offsets",
    responses=schemas.answers(schemas.OFFSETS, 400, 413, 415, 422),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": schemas.object_(
                        streams=schemas.array(schemas.object_(job=schemas.TEXT, task=schemas.TEXT, path=schemas.TEXT))
                    )
                }
            },
        }
    },
    summary="What is held of many files",
)
async def post_offsets(request: Request) -> JSON:
    """For each file all generations held, with checksums of their first and last 1,024 bytes at most."""
    held = services(request)
    async with held.bodies.unfolded(request) as body:
        answers = []
        for number, (job, task, path) in enumerate(_asked(body)):
            try:
                generations = await held.ingest.generations(job, task, path)
                if not await held.access.writable(principal(request), job):
                    generations = []
            except BadInput as error:
                error.detail["parameter"] = f"streams[{number}]"
                raise
            answers.append(
                {
                    "generations": [
                        {
                            "generation": one.generation,
                            "next_offset": one.next_offset,
                            "head_bytes": len(one.head),
                            "head_sha256": hashlib.sha256(one.head).hexdigest(),
                            "tail_bytes": len(one.tail),
                            "tail_sha256": hashlib.sha256(one.tail).hexdigest(),
                            "sealed": one.sealed,
                        }
                        for one in generations
                    ]
                }
            )
    return JSON({"streams": answers})


def frames(body: bytes, owner: str | None) -> list[Chunk | LogsvcError]:
    """
    Chunks of a batch; a frame that is refused is its error.

    Raises:
        BadBody: it cannot be told where the frames begin and end.
    """
    found: list[Chunk | LogsvcError] = []
    at, end = 0, len(body)
    while at < end:
        number = len(found)
        if at + 4 > end:
            raise _misframed(number, "its length is cut off")
        head_end = at + 4 + _LENGTH.unpack_from(body, at)[0]
        if head_end > end:
            raise _misframed(number, "its JSON goes past the end of the body")
        try:
            head = orjson.loads(body[at + 4 : head_end])
        except ValueError as exc:
            raise _misframed(number, f"its JSON is malformed: {exc}") from exc
        length = head.get("length") if isinstance(head, dict) else None
        if type(length) is not int or length < 0:
            raise _misframed(number, "its JSON has no length")
        at = head_end + length
        if at > end:
            raise _misframed(number, "its bytes go past the end of the body")
        try:
            found.append(_chunk(head, body[head_end:at], owner))
        except LogsvcError as error:
            found.append(error)
    return found


def _chunk(head: dict[str, Any], data: bytes, owner: str | None) -> Chunk:
    generation, offset, final = head.get("generation", 0), head.get("offset"), head.get("final", False)
    rank = head.get("rank")
    for part in ("job", "task", "path"):
        if type(head.get(part)) is not str:
            raise BadInput(f"{part} must be a text.", parameter=part)
    if type(generation) is not int:
        raise BadInput("generation must be a whole number.", parameter="generation")
    if type(offset) is not int:
        raise BadInput("offset must be a whole number.", parameter="offset")
    if final not in (True, False, None):
        raise BadInput("final must be true or false.", parameter="final")
    if rank is not None and type(rank) is not int:
        raise BadInput("rank must be a whole number.", parameter="rank")
    name = stream_name(head["job"], head["task"], head["path"], generation)
    return checked_chunk(name, offset, data, final=bool(final), owner=owner, rank=rank)


def _misframed(number: int, why: str) -> BadBody:
    return BadBody(f"Frame {number} of the batch is malformed: {why}. Nothing of the batch was stored.", frame=number)


def _asked(body: bytes) -> list[tuple[str, str, str]]:
    try:
        asked = orjson.loads(body)
    except ValueError as exc:
        raise BadBody(f"The body is not JSON: {exc}.") from exc
    streams = asked.get("streams") if isinstance(asked, dict) else None
    if not isinstance(streams, list) or len(streams) > MAX_OFFSETS:
        raise BadInput(f"streams must be a list of at most {MAX_OFFSETS} files.", parameter="streams")
    found = []
    for number, one in enumerate(streams):
        held = one if isinstance(one, dict) else {}
        names = [held[name] for name in ("job", "task", "path") if isinstance(held.get(name), str)]
        if len(names) != 3:
            raise BadInput(
                f"streams[{number}] must have job, task and path, each a text.", parameter=f"streams[{number}]"
            )
        found.append((names[0], names[1], names[2]))
    return found


def _shown(appended: Appended) -> dict[str, Any]:
    return {"stream": appended.stream_id or None, "next_offset": appended.next_offset}
