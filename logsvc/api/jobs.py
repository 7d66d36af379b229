"""Jobs: describe, look at, list."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator

from logsvc.api import schemas
from logsvc.api.errors import JSON, invalid
from logsvc.api.params import choice, choices, integer, moment, parameters, read_time, text
from logsvc.api.services import API, principal, services
from logsvc.core.listing import SORTS, JobQuery
from logsvc.errors import BadInput, TooLarge
from logsvc.model.job import STATUSES

router = APIRouter(prefix=API, tags=["jobs"])

Text = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Labels = dict[Annotated[str, StringConstraints(min_length=1, max_length=128)], Annotated[str, Field(max_length=1024)]]
MAX_LABELS = 64
MAX_DESCRIPTION_BYTES = 256 * 1024
_TIME_SCHEMA: dict[str, Any] = {"type": "string", "format": "date-time"}


class JobPut(BaseModel):
    """What may be said of a job; what is left out stays, null clears."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Text = Field(default="", description="The job's id by default.")
    type: Text | None = None
    status: Literal["pending", "running", "succeeded", "failed", "stopped"] = "running"
    owner: Text | None = None
    algorithm: Text | None = None
    resource_pool: Text | None = None
    engine: Text | None = None
    accelerator: Literal["ascend", "nvidia", "none"] | None = None
    task_count: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    archive_url: Annotated[str, Field(max_length=1024, pattern=r"^(obs|s3|file)://[^\s\x00-\x1f]+$")] | None = None
    created_at: str = Field(default="", json_schema_extra=_TIME_SCHEMA)
    ended_at: str | None = Field(default=None, json_schema_extra={"anyOf": [_TIME_SCHEMA, {"type": "null"}]})
    labels: Annotated[Labels, Field(max_length=MAX_LABELS)] | None = None

    @field_validator("created_at", "ended_at")
    @classmethod
    def _is_time(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                read_time("it", value)
            except BadInput as error:
                raise ValueError(error.message) from error
        return value

    def given(self) -> dict[str, Any]:
        """What was said, times as Unix seconds."""
        held = self.model_dump(exclude_unset=True)
        for name in ("created_at", "ended_at"):
            if held.get(name) is not None:
                held[name] = read_time(name, held[name])
        return held


@router.put(
    "/jobs/{job}",
    responses=schemas.answers(schemas.ONE_JOB, 400, 409, 413, 415, 422, 507),
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/json": {"schema": JobPut.model_json_schema()}}}
    },
    summary="Describe a job",
)
async def put_job(request: Request, job: str) -> JSON:
    """
    Says what is known of a job and makes it where it is new; what is not given stays as it is.

    A `status` that ends the job without `ended_at` ends it now. An Ascend job needs `archive_url`.
    """
    held = services(request)
    async with held.bodies.unfolded(request) as body:
        if len(body) > MAX_DESCRIPTION_BYTES:
            raise TooLarge(
                f"A job's description has {MAX_DESCRIPTION_BYTES} bytes at most.", limit_bytes=MAX_DESCRIPTION_BYTES
            )
        try:
            said = JobPut.model_validate_json(body)
        except ValidationError as exc:
            raise invalid(exc.errors(include_url=False, include_context=False, include_input=False)) from exc
    given = said.given()
    held.access.describe_job(principal(request), given)
    return JSON(await held.jobs.put(job, given, owner=principal(request).owner))


LIST = parameters(
    text("q", "Part of the id or the name, in any case."),
    text("id", "Part of the id, in any case."),
    text("owner", "The owner; `me` is whoever the token belongs to."),
    text("name", "Part of the name, in any case."),
    text("type", "The type."),
    choices("status", "Any of these, with commas between.", *STATUSES),
    text("algorithm", "Part of the algorithm's name, in any case."),
    text("resource_pool", "The resource pool."),
    moment("created_after", "Made at or after this time."),
    moment("created_before", "Made before this time."),
    text("flag", "Name of what is wrong with the job now: `low_utilization`, `hung`."),
    choice("sort", "Order; `-` in front: largest first.", *SORTS, *(f"-{one}" for one in SORTS), default="-created_at"),
    integer("limit", "Jobs on a page.", low=1, high=500, default=50),
    text("cursor", "`next` of the page before."),
)


@router.get("/jobs", responses=schemas.answers(schemas.JOBS, 422), openapi_extra=LIST.openapi(), summary="List jobs")
async def list_jobs(request: Request) -> JSON:
    """Jobs that all filters admit, newest first unless `sort` says otherwise."""
    given = LIST.read(request.scope["query_string"])
    sort: str = given["sort"]
    query = JobQuery(
        q=given["q"],
        id=given["id"],
        name=given["name"],
        algorithm=given["algorithm"],
        owner=principal(request).owner if given["owner"] == "me" else given["owner"],
        type=given["type"],
        resource_pool=given["resource_pool"],
        statuses=given["status"] or frozenset(),
        created_after=given["created_after"],
        created_before=given["created_before"],
        flag=given["flag"],
        sort=sort.removeprefix("-"),
        descending=sort.startswith("-"),
        limit=given["limit"],
        cursor=given["cursor"],
    )
    return JSON(await services(request).jobs.page(query, principal(request).sees))


@router.get("/jobs/{job}", responses=schemas.answers(schemas.ONE_JOB, 404), summary="One job")
async def get_job(request: Request, job: str) -> JSON:
    """What was put, and what the logs and the readings of its cards tell."""
    return JSON(await services(request).jobs.get(job))
