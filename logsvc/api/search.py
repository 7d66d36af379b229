"""Search: one stream with a count, or many streams a page at a time."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from fastapi import APIRouter, Request

from logsvc.api import schemas
from logsvc.api.errors import JSON
from logsvc.api.params import Parameter, choice, choices, flag, integer, moment, parameters, text
from logsvc.api.services import API, principal, services, while_connected
from logsvc.core.search import Scope
from logsvc.errors import BadInput, BadPattern, TooManyRequests
from logsvc.model.chunk import MAX_OFFSET
from logsvc.model.query import LEVELS, SearchQuery
from logsvc.model.stream import KINDS, check_job, check_task

router = APIRouter(prefix=API, tags=["search"])

MAX_TEXT_CHARACTERS = 4096  # twelve bytes each in an address, which has 64 KiB
READ_CHARACTERS = 16_384
MAX_MATCHES = 1000
MAX_BUCKETS = 2000
MAX_CONTEXT = 20  # lines on each side
MAX_RANK = 2**31 - 1
MAX_WAITING_SEARCHES = 64


def _needle(*, required: bool) -> Parameter:
    doc = "What to find; never trimmed."
    return text("q", doc, required=required, longest=READ_CHARACTERS, shown_longest=MAX_TEXT_CHARACTERS)


_HOW = (
    flag("regex", "1: `q` is a pattern in RE2 syntax."),
    flag("ignore_case", "1: in any case."),
    flag("word", "1: whole words: no character beside what is found is one of `0-9 A-Z a-z _`."),
    choice("lines", "All lines, or user lines only.", "all", "user", default="all"),
    choices("level", "Only lines of these levels, with a comma between.", *LEVELS),
    moment("since", "Only lines received at or after this time."),
    moment("until", "Only lines received before this time."),
)
_COMMON = (
    _needle(required=True),
    *_HOW,
    integer("limit", "Matches given at most; 0 only counts.", low=0, high=MAX_MATCHES, default=100),
    integer("context", "Lines given before and behind each match.", low=0, high=MAX_CONTEXT, default=0),
)
MATCHES = parameters(
    *_COMMON,
    integer("after", "Only on lines with a greater number, in order.", low=0, high=MAX_OFFSET),
    integer("before", "Only on lines with a smaller number, the nearest first.", low=1, high=MAX_OFFSET),
    choice("count", "`exact`: count over the whole stream; `none`: only find.", "exact", "none", default="exact"),
)
OVERVIEW = parameters(
    integer("buckets", "Buckets at most.", low=1, high=MAX_BUCKETS, default=500),
    _needle(required=False),
    *_HOW,
)
SEARCH = parameters(
    *_COMMON,
    text(
        "job",
        "Search this job's streams; may be repeated. All jobs unless said.",
        longest=128,
        many=True,
        form=schemas.JOB_FORM,
    ),
    choices("kind", "Only streams of these kinds, with commas between.", *KINDS),
    text("task", "Only streams of this task; may be repeated.", longest=64, many=True, form=schemas.TASK_FORM),
    integer("rank", "Only streams of the process of this rank; may be repeated.", low=0, high=MAX_RANK, many=True),
    text("owner", "Only jobs of this owner; `me` is whoever the token belongs to."),
    flag("proc", "1: also process logs that say the same as a task's log that is searched."),
    choice("count", "`exact` or `none`; with a cursor `none` unless said.", "exact", "none"),
    text("cursor", "`cursor` of the page before."),
)


@router.get(
    "/streams/{id}/matches",
    responses=schemas.answers(schemas.MATCHES, 404, 422, 429),
    openapi_extra=MATCHES.openapi(),
    summary="Search one stream",
)
async def stream_matches(request: Request, id: str) -> JSON:
    """
    Matching lines and how many there are in the whole stream, wherever the page stands.

    Past the time limit the answer is what was found until then, `exact` false.
    """
    given = MATCHES.read(request.scope["query_string"])
    if given["after"] is not None and given["before"] is not None:
        raise BadInput("Give after or before, not both.", parameter="before")
    held = services(request)
    query = _query(given, held.settings.search_time_limit_seconds, count=given["count"] == "exact")
    return JSON(await in_turn(request, held.search.stream(id, query, given["context"])))


@router.get(
    "/streams/{id}/overview",
    responses=schemas.answers(schemas.OVERVIEW, 404, 422, 429),
    openapi_extra=OVERVIEW.openapi(),
    summary="Where a stream has errors, warnings and matches",
)
async def stream_overview(request: Request, id: str) -> JSON:
    """
    How many error lines, warning lines and matching lines are in each part of the whole stream.

    The three lists have one length, n; their entry i is of the rows (lines, or user lines, counted from 0) from
    floor(i * `rows` / n) to floor((i + 1) * `rows` / n) - 1. `matches` is null without `q`.
    """
    given = OVERVIEW.read(request.scope["query_string"])
    held = services(request)
    query = None
    if given["q"] is not None:
        query = _query({**given, "limit": 0}, held.settings.search_time_limit_seconds, count=True)
    work = held.search.overview(id, buckets=given["buckets"], lines=given["lines"], query=query)
    return JSON(await (in_turn(request, work) if query else while_connected(request, work)))


@router.get(
    "/search",
    responses=schemas.answers(schemas.SEARCH, 422, 429),
    openapi_extra=SEARCH.openapi(),
    summary="Search many streams",
)
async def search_streams(request: Request) -> JSON:
    """
    Matches over many streams, the newest stream first, then by line.

    Process logs are left out where the log of their task is searched, which holds the same lines; `left_out`
    names the first 1,000 of them, `left_out_streams` says how many there are. Counts come with the first page.
    """
    given = SEARCH.read(request.scope["query_string"])
    scope = Scope(
        jobs=await _jobs(request, [check_job(job) for job in given["job"]], given["owner"]),
        kinds=given["kind"] or frozenset(),
        tasks=frozenset(check_task(task) for task in given["task"]),
        ranks=frozenset(given["rank"]),
        proc=bool(given["proc"]),
    )
    counted = given["count"] == "exact" or (given["count"] is None and given["cursor"] is None)
    held = services(request)
    query = _query(given, held.settings.search_time_limit_seconds, count=counted)
    return JSON(await in_turn(request, held.search.streams(scope, query, given["cursor"], given["context"])))


async def _jobs(request: Request, named: list[str], owner: str | None) -> list[str] | None:
    """Jobs to search; None: all."""
    who = principal(request)
    if owner is None and who.everything:
        return named or None
    wanted = who.owner if owner == "me" else owner
    seen = await services(request).jobs.chosen(
        lambda value: who.sees(value) and (wanted is None or value.get("owner") == wanted)
    )
    return [job for job in seen if not named or job in named]


def _query(given: dict[str, Any], time_limit_seconds: float, *, count: bool) -> SearchQuery:
    if len(given["q"]) > MAX_TEXT_CHARACTERS:
        kind = BadPattern if given["regex"] else BadInput
        raise kind(f"q has {len(given['q'])} characters, at most {MAX_TEXT_CHARACTERS} are taken.", parameter="q")
    return SearchQuery(
        text=given["q"],
        regex=bool(given["regex"]),
        ignore_case=bool(given["ignore_case"]),
        word=bool(given["word"]),
        lines=given["lines"],
        levels=given["level"] or frozenset(),
        since=given["since"],
        until=given["until"],
        after=given.get("after"),
        before=given.get("before"),
        limit=given["limit"],
        count=count,
        time_limit_seconds=time_limit_seconds,
    )


async def in_turn(request: Request, work: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    """
    Run a search in its turn, as long as somebody waits for it.

    Raises: TooManyRequests.
    """
    searches = services(request).searches
    waiting = getattr(searches, "_waiters", None) or ()
    if len(waiting) >= MAX_WAITING_SEARCHES:
        close = getattr(work, "close", None)
        if close:
            close()
        raise TooManyRequests("Many searches are waiting already; search again in a moment.", retry_after_seconds=2)

    async def turn() -> dict[str, Any]:
        async with searches:
            return await work

    return await while_connected(request, turn())
