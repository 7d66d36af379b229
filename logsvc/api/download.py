"""Download: a job's files as one zip."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import StreamingResponse

from logsvc.api import schemas
from logsvc.api.params import parameters, text
from logsvc.api.services import API, services
from logsvc.core.download import zipped
from logsvc.errors import NotFound

router = APIRouter(prefix=API, tags=["download"])

DOWNLOAD = parameters(
    text("stream", "Only these streams; may be repeated. All unless said.", longest=128, many=True),
    text("task", "Only streams of these tasks; may be repeated.", longest=64, many=True, form=schemas.TASK_FORM),
)


@router.get(
    "/jobs/{job}/download",
    responses=schemas.answers(None, 404, 422, media="application/zip"),
    openapi_extra=DOWNLOAD.openapi(),
    summary="A job's files as a zip",
)
async def download_job(request: Request, job: str) -> StreamingResponse:
    """Verbatim files under the paths of a log archive, as they were when the download began."""
    given = DOWNLOAD.read(request.scope["query_string"])
    held = services(request)
    await held.jobs.record(job)
    streams = await held.store.streams(job)
    if given["stream"]:
        missing = set(given["stream"]) - {stream.id for stream in streams}
        if missing:
            raise NotFound(f"Job {job} has no stream {sorted(missing)[0]!a}.")
        streams = [stream for stream in streams if stream.id in given["stream"]]
    if given["task"]:
        streams = [stream for stream in streams if stream.name.task in given["task"]]
    headers = {"Content-Disposition": f'attachment; filename="modelarts-job-{job}.zip"'}
    return StreamingResponse(zipped(held.store, streams), 200, headers, "application/zip")
