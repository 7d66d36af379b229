"""Readings in, and how the cards of a job were used."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from logsvc.api import schemas
from logsvc.api.params import choice, choices, integer, moment, parameters, text
from logsvc.api.report import (
    BOUNDS,
    LISTS,
    MAX_DEVICE,
    MAX_HANG_MINUTES,
    MAX_MOUNT,
    MAX_PID,
    MAX_SAMPLERS,
    MAX_SAMPLES,
    STATES,
    read_report,
)
from logsvc.api.services import API, principal, services
from logsvc.core.utilization import ChartQuery
from logsvc.model.sample import DEVICE_KINDS, READINGS

router = APIRouter(prefix=API, tags=["samples"])


def _reading(name: str) -> schemas.Schema:
    """A number within its bounds; null and -1 say that there is none."""
    low, high = BOUNDS[name]
    return {"type": ["number", "null"], "minimum": min(low, -1), "maximum": high}


def _list(of: str, /, **named: schemas.Schema) -> schemas.Schema:
    item = schemas.object_(at=schemas.MOMENT, **named)
    item["properties"].update((name, _reading(name)) for name in READINGS[of] if name in BOUNDS)
    return {"type": ["array", "null"], "items": item, "maxItems": MAX_SAMPLES}


_MOUNTS = _list("mount", path={"type": "string", "pattern": "^/[^\\x00]*$", "maxLength": MAX_MOUNT})
_MOUNTS["items"]["properties"]["read_only"] = schemas.nullable(schemas.FLAG)
_DEVICE: schemas.Schema = {
    "anyOf": [
        {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,64}$"},
        {"type": "integer", "minimum": 0, "maximum": MAX_DEVICE},
    ]
}
_SAMPLER = schemas.object_(
    name={"type": "string", "pattern": "^[a-z0-9_-]{1,32}$"},
    state={"type": "string", "enum": list(STATES)},
)
_SAMPLER["properties"]["reason"] = schemas.nullable(schemas.TEXT)
REPORT = schemas.object_(
    job={"type": "string", "pattern": schemas.JOB_FORM}, task={"type": "string", "pattern": schemas.TASK_FORM}
)
REPORT["properties"].update(
    samples=_list("gpu", device=_DEVICE, kind={"type": "string", "enum": list(DEVICE_KINDS)}),
    process_io=_list("process", pid={"type": "integer", "minimum": 1, "maximum": MAX_PID}),
    host=_list("host"),
    mounts=_MOUNTS,
    samplers={"type": ["array", "null"], "items": _SAMPLER, "maxItems": MAX_SAMPLERS},
    hang_detect_minutes=schemas.nullable({"type": "number", "exclusiveMinimum": 0, "maximum": MAX_HANG_MINUTES}),
)
assert set(LISTS) < set(REPORT["properties"])
CHART = parameters(
    moment("from", "Start; the job's first moment unless said."),
    moment("to", "End; the job's end, or now."),
    integer("points", "Buckets at most; fewer where the answer would be too large.", low=1, high=2000, default=300),
    choice("by", "One series for each card, each task, or the job.", "device", "task", "job", default="device"),
    text("task", "Of this task; may be repeated.", longest=64, many=True, form=schemas.TASK_FORM),
    text("device", "Of this card; may be repeated.", longest=64, many=True),
    choices("readings", "Which readings, with commas between; `utilization_percent` unless said.", *READINGS["gpu"]),
)


@router.post(
    "/samples",
    status_code=204,
    responses=schemas.empty(400, 413, 415, 422, 507),
    openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": REPORT}}}},
    summary="Store readings of a task",
)
async def post_samples(request: Request) -> Response:
    """
    Answers once the readings are durable. Sent twice they are held once.

    Every reading is optional: null, -1 and a bare NaN are "no reading", which is never zero.
    """
    held = services(request)
    async with held.bodies.unfolded(request) as body:
        report = read_report(body, held.clock.now())
    await held.access.write_job(principal(request), report.job)
    await held.samples.accept(report, owner=principal(request).owner)
    return Response(status_code=204)


@router.get(
    "/jobs/{job}/utilization",
    responses=schemas.answers(schemas.UTILIZATION, 404, 422),
    openapi_extra=CHART.openapi(),
    summary="How a job's cards were used",
)
async def get_utilization(request: Request, job: str) -> Response:
    """
    Each reading in equal buckets: least, mean, largest; null where there was none. Means are exact and of the whole
    job, whatever part is asked for.
    """
    given = CHART.read(request.scope["query_string"])
    asked: set[str] = given["readings"] or {"utilization_percent"}
    query = ChartQuery(
        start=given["from"],
        end=given["to"],
        points=given["points"],
        by=given["by"],
        tasks=frozenset(given["task"]),
        devices=frozenset(given["device"]),
        readings=tuple(name for name in READINGS["gpu"] if name in asked),
    )
    chart: dict[str, Any] = await services(request).utilization.chart(job, query)
    return Response(orjson.dumps(chart, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json")
