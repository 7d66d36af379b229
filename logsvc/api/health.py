"""Health and metrics, at the root."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from logsvc.api import schemas
from logsvc.api.errors import JSON
from logsvc.api.services import services
from logsvc.metrics import CONTENT_TYPE

router = APIRouter(tags=["health"])
_STATUS = {"application/json": {"schema": schemas.object_(status=schemas.TEXT)}}
_ERROR = {"application/json": {"schema": schemas.ERROR}}
_OK: dict[int | str, dict[str, Any]] = {200: {"description": "Well.", "content": _STATUS}}
_READY: dict[int | str, dict[str, Any]] = {503: {"description": "Not yet.", "content": _ERROR}}


@router.get("/healthz", responses=_OK, openapi_extra={"security": []}, summary="The process is alive")
async def healthz(request: Request) -> JSON:
    """Needs no token."""
    return JSON({"status": "ok"})


@router.get("/readyz", responses={**_OK, **_READY}, openapi_extra={"security": []}, summary="The store answers")
async def readyz(request: Request) -> JSON:
    """Needs no token."""
    await services(request).store.job_totals(["readyz"])
    return JSON({"status": "ok"})


@router.get(
    "/metrics",
    responses=schemas.answers({"type": "string"}, media="text/plain"),
    summary="For Prometheus",
)
async def metrics(request: Request) -> Response:
    """Needs any token."""
    return Response(await services(request).metrics.exposition(), media_type=CONTENT_TYPE)
