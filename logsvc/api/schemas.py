"""How answers look, for `/docs`. Answers are not checked against this at run time; tests do it."""

from __future__ import annotations

from typing import Any

from logsvc.core.secret_kinds import KINDS

Schema = dict[str, Any]


def object_(**properties: Schema) -> Schema:
    """An object that has all of these fields; it may grow more."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def array(items: Schema) -> Schema:
    """A list."""
    return {"type": "array", "items": items}


def nullable(schema: Schema) -> Schema:
    """This, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


INTEGER: Schema = {"type": "integer"}
TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
MOMENT: Schema = {"type": "string", "format": "date-time"}
JOB_FORM = "^[A-Za-z0-9._-]{1,128}$"
TASK_FORM = "^[a-z]+-[0-9]+$"
LEVEL = nullable({"type": "string", "enum": ["error", "warning"]})
ERROR = object_(error=object_(code=TEXT, message=TEXT, detail={"type": "object"}))
LINE = object_(
    n=INTEGER,
    u=nullable(INTEGER),
    offset=INTEGER,
    text=TEXT,
    system=FLAG,
    level=LEVEL,
    received_at=MOMENT,
)
LINE["properties"].update(partial=FLAG, cut=FLAG, size_bytes=INTEGER)
LINES = object_(total_lines=INTEGER, total_user_lines=INTEGER, through=INTEGER, lines=array(LINE))
_SECRET_KIND: Schema = {"type": "string", "enum": list(KINDS)}
SECRETS = object_(
    total=INTEGER,
    by_kind=array(object_(kind=_SECRET_KIND, count=INTEGER)),
    places=array(object_(stream=TEXT, n=INTEGER, kind=_SECRET_KIND)),
    exact=FLAG,
    scanned_bytes=INTEGER,
)
SPANS = array({"type": "array", "items": INTEGER, "minItems": 2, "maxItems": 2})
BESIDE = object_(n=INTEGER, u=nullable(INTEGER), text=TEXT, system=FLAG, level=LEVEL)
MATCH = object_(n=INTEGER, u=nullable(INTEGER), text=TEXT, spans=SPANS, level=LEVEL)
for _shown in (BESIDE, MATCH):
    _shown["properties"].update(partial=FLAG, cut=FLAG, size_bytes=INTEGER)
MATCH["properties"].update(before=array(BESIDE), after=array(BESIDE))
MATCHES = object_(
    total=nullable(INTEGER),
    exact=FLAG,
    scanned_bytes=INTEGER,
    matches=array(MATCH),
    next=nullable(INTEGER),
    preceding=nullable(INTEGER),
)
OVERVIEW = object_(
    lines={"type": "string", "enum": ["all", "user"]},
    rows=INTEGER,
    errors=array(INTEGER),
    warnings=array(INTEGER),
    matches=nullable(array(INTEGER)),
    exact=FLAG,
)
_OF = {
    "stream": TEXT,
    "job": TEXT,
    "task": TEXT,
    "kind": TEXT,
    "rank": nullable(INTEGER),
    "path": TEXT,
    "generation": INTEGER,
}
SEARCH = object_(
    matches=array({"allOf": [object_(**_OF), MATCH]}),
    totals=array(object_(**_OF, total=INTEGER)),
    exact=FLAG,
    searched_streams=INTEGER,
    left_out_streams=INTEGER,
    left_out=array(TEXT),
    cursor=nullable(TEXT),
)
STREAM = object_(
    id=TEXT,
    job=TEXT,
    task=TEXT,
    kind=TEXT,
    rank=nullable(INTEGER),
    device=nullable(INTEGER),
    path=TEXT,
    generation=INTEGER,
    size_bytes=INTEGER,
    lines=INTEGER,
    user_lines=INTEGER,
    sealed=FLAG,
    last_chunk_at=MOMENT,
)
STREAMS = object_(streams=array(STREAM))
SHA256 = object_(stream=TEXT, start=INTEGER, end=INTEGER, sha256=TEXT)
NUMBER: Schema = {"type": "number"}
STATE: Schema = {"type": "string", "enum": ["measured", "stale", "no_data", "none"]}
FINDING = object_(
    name=TEXT,
    since=MOMENT,
    reason=TEXT,
    advice=TEXT,
    numbers={"type": "object", "additionalProperties": NUMBER},
    tasks=array(TEXT),
    devices=array(object_(task=TEXT, device=TEXT)),
    to=nullable(MOMENT),
    lines=array(object_(stream=TEXT, n=INTEGER)),
    **{"from": nullable(MOMENT)},
)
EVENT = object_(at=MOMENT, name=TEXT, change={"type": "string", "enum": ["raised", "cleared"]}, reason=TEXT)
HANG = object_(
    stage={"type": "integer", "minimum": 0, "maximum": 2},
    io_still_seconds=NUMBER,
    cycles=INTEGER,
    variance=nullable(NUMBER),
    median_percent=nullable(NUMBER),
    since=MOMENT,
    reason=TEXT,
)
SAMPLER = object_(
    task=TEXT,
    name=TEXT,
    state={"type": "string", "enum": ["ok", "failed", "hung", "absent"]},
    reason=TEXT,
    at=MOMENT,
)
JOB = object_(
    id=TEXT,
    name=nullable(TEXT),
    type=nullable(TEXT),
    status={"type": "string", "enum": ["pending", "running", "succeeded", "failed", "stopped"]},
    owner=nullable(TEXT),
    algorithm=nullable(TEXT),
    resource_pool=nullable(TEXT),
    engine=nullable(TEXT),
    accelerator=nullable(TEXT),
    task_count=nullable(INTEGER),
    archive_url=nullable(TEXT),
    created_at=nullable(MOMENT),
    ended_at=nullable(MOMENT),
    labels={"type": "object", "additionalProperties": TEXT},
    tasks=array(TEXT),
    flags=array(TEXT),
    findings=array(FINDING),
    mean_utilization_percent=nullable(NUMBER),
    utilization_state=STATE,
    utilization_sparkline_percent=nullable(array(nullable(NUMBER))),
    log_bytes=INTEGER,
    last_chunk_at=nullable(MOMENT),
    expires_at=nullable(MOMENT),
)
JOBS = object_(jobs=array(JOB), next=nullable(TEXT))
ONE_JOB: Schema = {"allOf": [JOB, object_(hang=nullable(HANG), events=array(EVENT), samplers=array(SAMPLER))]}
_BUCKETS = object_(min=array(nullable(NUMBER)), mean=array(nullable(NUMBER)), max=array(nullable(NUMBER)))
_MEAN = {"mean_percent": NUMBER, "readings": INTEGER}
UTILIZATION = object_(
    job=TEXT,
    to=MOMENT,
    bucket_seconds=NUMBER,
    state=STATE,
    series=array(
        object_(
            task=nullable(TEXT),
            device=nullable(TEXT),
            kind=TEXT,
            readings={"type": "object", "additionalProperties": _BUCKETS},
        )
    ),
    means=object_(
        mean_utilization_percent=nullable(NUMBER),
        job_percent=nullable(NUMBER),
        tasks=array(object_(task=TEXT, **_MEAN)),
        devices=array(object_(task=TEXT, device=TEXT, kind=TEXT, **_MEAN)),
    ),
    log_lines=nullable(array(INTEGER)),
    events=array(EVENT),
    **{"from": MOMENT},
)
APPENDED = object_(stream=nullable(TEXT), next_offset=INTEGER)
BATCH = object_(results=array({"anyOf": [APPENDED, ERROR]}))
GENERATION = object_(
    generation=INTEGER,
    next_offset=INTEGER,
    head_bytes=INTEGER,
    head_sha256=TEXT,
    tail_bytes=INTEGER,
    tail_sha256=TEXT,
    sealed=FLAG,
)
OFFSETS = object_(streams=array(object_(generations=array(GENERATION))))
TOKEN = object_(
    id=TEXT,
    role={"type": "string", "enum": ["ingest", "viewer", "admin"]},
    owner=TEXT,
    jobs=nullable(array(TEXT)),
    created_at=MOMENT,
    expires_at=nullable(MOMENT),
    last_used_at=nullable(MOMENT),
    first=FLAG,
)
TOKENS = object_(tokens=array(TOKEN))
NEW_TOKEN: Schema = {"allOf": [object_(token=TEXT), TOKEN]}

_ERROR_TEXTS = {
    400: "The body is not what its headers say.",
    401: "No token, or one that nobody knows.",
    403: "A token without the right, or a page from another origin.",
    404: "There is no such thing.",
    409: "What is held does not allow it: `offset_gap`, `content_conflict` or `conflict`.",
    413: "Too large.",
    415: "An unknown Content-Encoding.",
    416: "The range starts past the end.",
    422: "A parameter is missing or wrong.",
    429: "Too many requests at once, or too many wrong tokens from one address.",
    503: "The store cannot answer just now.",
    507: "The disk is full.",
}


def answers(schema: Schema | None, *errors: int, media: str = "application/json") -> dict[int | str, dict[str, Any]]:
    """The answers of a call, for `responses`: its own, and the errors besides those that every call has."""
    content = {media: {"schema": schema or {"type": "string", "format": "binary"}}}
    return {200: {"description": "Done.", "content": content}, **_refusals(*errors)}


def made(schema: Schema, *errors: int) -> dict[int | str, dict[str, Any]]:
    """The answers of a call that makes something; as `answers` otherwise."""
    return {201: {"description": "Made.", "content": {"application/json": {"schema": schema}}}, **_refusals(*errors)}


def empty(*errors: int) -> dict[int | str, dict[str, Any]]:
    """The answers of a call that has nothing to say; as `answers` otherwise."""
    return {204: {"description": "Done."}, **_refusals(*errors)}


def _refusals(*errors: int) -> dict[int | str, dict[str, Any]]:
    return {
        status: {"description": _ERROR_TEXTS[status], "content": {"application/json": {"schema": ERROR}}}
        for status in (401, 403, 429, *errors, 503)
    }
