"""Download: a job's files as one zip, and sums to check what was read."""

from __future__ import annotations

from fastapi import APIRouter, Request

from logsvc.api import schemas
from logsvc.api.errors import JSON
from logsvc.api.params import integer, parameters, text
from logsvc.api.services import API, services, while_connected
from logsvc.api.streaming import Streamed
from logsvc.core.download import sha256, zipped
from logsvc.errors import BadInput, NotFound
from logsvc.model.chunk import MAX_OFFSET
from logsvc.model.stream import Stream

router = APIRouter(prefix=API, tags=["download"])

MOST_CHOSEN = 5000  # streams and tasks in one address
DOWNLOAD = parameters(
    text("stream", "These streams; may be repeated.", longest=128, many=True),
    text("task", "All streams of these tasks; may be repeated.", longest=64, many=True, form=schemas.TASK_FORM),
    most=MOST_CHOSEN,
)


@router.get(
    "/jobs/{job}/download",
    responses=schemas.answers(None, 404, 422, media="application/zip"),
    openapi_extra=DOWNLOAD.openapi(),
    summary="A job's files as a zip",
)
async def download_job(request: Request, job: str) -> Streamed:
    """
    Verbatim files under the paths of a log archive, as they were when the download began: what `stream`
    and `task` name, together; everything where neither is given. Last comes `manifest.sha256`.
    """
    given = DOWNLOAD.read(request.scope["query_string"])
    held = services(request)
    await held.jobs.record(job)
    streams = chosen(await held.store.streams(job), job, ids=set(given["stream"]), tasks=set(given["task"]))
    headers = {"Content-Disposition": f'attachment; filename="modelarts-job-{job}.zip"'}
    return Streamed(zipped(held.store, job, streams, held.clock.now()), 200, headers, "application/zip")


SPAN = parameters(
    integer("start", "First byte, from 0.", low=0, high=MAX_OFFSET, default=0),
    integer(
        "end",
        "The byte behind the last one; the log's end where that comes first, or unless said.",
        low=0,
        high=MAX_OFFSET,
    ),
)


@router.get(
    "/streams/{id}/sha256",
    responses=schemas.answers(schemas.SHA256, 404, 422),
    openapi_extra=SPAN.openapi(),
    summary="SHA-256 of a part",
)
async def stream_sha256(request: Request, id: str) -> JSON:
    """What a reader checks its copy by. A log only grows, so that the sum of a part stays."""
    given = SPAN.read(request.scope["query_string"])
    store = services(request).store
    stream = await store.stream(id)
    start, end = given["start"], stream.size_bytes
    if given["end"] is not None:
        end = min(end, given["end"])
    if start > end:
        raise BadInput(f"start must be at most {end}, where this part ends.", parameter="start")
    sum_ = await while_connected(request, sha256(store, stream.id, start, end))
    return JSON({"stream": stream.id, "start": start, "end": end, "sha256": sum_})


def chosen(streams: list[Stream], job: str, *, ids: set[str], tasks: set[str]) -> list[Stream]:
    """Raises: NotFound: something was named that the job does not have."""
    if missing := sorted(ids - {stream.id for stream in streams}):
        raise NotFound(f"Job {job} has no stream {missing[0]!a}.")
    if missing := sorted(tasks - {stream.name.task for stream in streams}):
        raise NotFound(f"Job {job} has no logs of task {missing[0]!a}.")
    if not ids and not tasks:
        return streams
    return [stream for stream in streams if stream.id in ids or stream.name.task in tasks]
