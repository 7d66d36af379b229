"""Download: a job's files as one zip."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import StreamingResponse

from logsvc.api import schemas
from logsvc.api.params import parameters, text
from logsvc.api.services import API, services
from logsvc.core.download import zipped
from logsvc.errors import NotFound
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
async def download_job(request: Request, job: str) -> StreamingResponse:
    """
    Verbatim files under the paths of a log archive, as they were when the download began: what `stream`
    and `task` name, together; everything where neither is given.
    """
    given = DOWNLOAD.read(request.scope["query_string"])
    held = services(request)
    await held.jobs.record(job)
    streams = _chosen(await held.store.streams(job), job, ids=set(given["stream"]), tasks=set(given["task"]))
    headers = {"Content-Disposition": f'attachment; filename="modelarts-job-{job}.zip"'}
    return StreamingResponse(zipped(held.store, streams), 200, headers, "application/zip")


def _chosen(streams: list[Stream], job: str, *, ids: set[str], tasks: set[str]) -> list[Stream]:
    """Raises: NotFound: something was named that the job does not have."""
    if missing := sorted(ids - {stream.id for stream in streams}):
        raise NotFound(f"Job {job} has no stream {missing[0]!a}.")
    if missing := sorted(tasks - {stream.name.task for stream in streams}):
        raise NotFound(f"Job {job} has no logs of task {missing[0]!a}.")
    if not ids and not tasks:
        return streams
    return [stream for stream in streams if stream.id in ids or stream.name.task in tasks]
