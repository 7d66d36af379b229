"""Tokens: made and shown once, listed, revoked; for administrators."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from starlette.responses import Response

from logsvc.api import schemas
from logsvc.api.errors import JSON, invalid
from logsvc.api.services import API, services
from logsvc.core.access import MAX_PATTERNS
from logsvc.core.tokens import MAX_DAYS, MAX_OWNER, Wanted
from logsvc.errors import TooLarge

router = APIRouter(prefix=API, tags=["tokens"])

MAX_BYTES = 64 * 1024
Pattern = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._*?-]{1,128}$")]


class TokenPost(BaseModel):
    """A token to be made."""

    model_config = ConfigDict(extra="forbid", strict=True)

    role: Literal["ingest", "viewer", "admin"]
    owner: Annotated[str, StringConstraints(min_length=1, max_length=MAX_OWNER)] | None = Field(
        default=None, description="Whose it is; the user's who runs the service, unless said."
    )
    jobs: Annotated[list[Pattern], Field(min_length=1, max_length=MAX_PATTERNS)] | None = Field(
        default=None, description="Patterns of the ids of the jobs that it is for; `*` is all."
    )
    days: Annotated[float, Field(gt=0, le=MAX_DAYS)] | None = Field(
        default=None, description="How long it is good; until it is revoked, unless said."
    )


@router.post(
    "/tokens",
    status_code=201,
    responses=schemas.made(schemas.NEW_TOKEN, 400, 413, 415, 422, 507),
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/json": {"schema": TokenPost.model_json_schema()}}}
    },
    summary="Make a token",
)
async def post_token(request: Request) -> JSON:
    """The answer is the only place where the token itself, `token`, is ever shown."""
    held = services(request)
    async with held.bodies.unfolded(request) as body:
        if len(body) > MAX_BYTES:
            raise TooLarge(f"This has {MAX_BYTES} bytes at most.", limit_bytes=MAX_BYTES)
        try:
            asked = TokenPost.model_validate_json(body)
        except ValidationError as exc:
            raise invalid(exc.errors(include_url=False, include_context=False, include_input=False)) from exc
    wanted = Wanted(asked.role, asked.owner, asked.jobs, asked.days)
    return JSON(await held.tokens.book.make(wanted), 201)


@router.get("/tokens", responses=schemas.answers(schemas.TOKENS), summary="List tokens")
async def list_tokens(request: Request) -> JSON:
    """All tokens by the time they were made, without the secrets."""
    return JSON({"tokens": await services(request).tokens.book.all()})


@router.delete("/tokens/{id}", status_code=204, responses=schemas.empty(404, 409), summary="Revoke a token")
async def delete_token(request: Request, id: str) -> Response:
    """From now on nobody knows it, and what it follows ends."""
    await services(request).tokens.book.revoke(id)
    return Response(status_code=204)
