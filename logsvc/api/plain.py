"""The whole log as one page, for the browser's own search; streamed, whatever its size."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from html import escape
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from logsvc.api import html
from logsvc.api.params import choice, flag, parameters
from logsvc.api.services import API, Services, services
from logsvc.api.words import LANGUAGES, language
from logsvc.core.plain import plain
from logsvc.model.stream import Stream, ordinary_path

router = APIRouter(include_in_schema=False)

WARN_BYTES = 500_000_000  # as the manual; beyond it, browsers struggle
BLOCK_LINES = 200  # drawn as one; `plain.css` knows how high that is
BLOCK_CHARACTERS = 1 << 20  # of a block without enough line ends
UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
PLAIN = parameters(
    choice("lang", "Language of the words around the log.", *LANGUAGES),
    flag("open", "1: however big it is."),
)


@router.get("/plain/{stream}")
async def plain_page(request: Request, stream: str) -> Response:
    """The log as it is now; a log of more than 500 MB asks first."""
    given = PLAIN.read(request.scope["query_string"])
    lang = language(request.headers.get("accept-language", ""), given["lang"])
    held = services(request)
    found = await held.store.stream(stream)
    if found.size_bytes > WARN_BYTES and not given["open"]:
        return _too_big(found, lang)
    job = await held.jobs.record(found.name.job)
    title = f"{job.value['name'] or found.name.job} · {found.name.task}"
    return StreamingResponse(_page(held, found, title, lang), 200, html.HEADERS, "text/html")


async def _page(held: Services, stream: Stream, title: str, lang: str) -> AsyncIterator[str]:
    words = LANGUAGES[lang]
    name = str(stream.name).rpartition("/")[2]
    yield f"""{html.head(f"{title} · {name}", lang)}<header>
<h1>{escape(title)}</h1>
<p>{escape(name)} · {size(stream.size_bytes)}</p>
<nav>{html.link(_viewer(stream), words["viewer"])} {html.link(_raw(stream), words["download"])}</nav>
</header>
<main>
"""
    blocks = Blocks()
    async for text in plain(held.store.read(stream.id, 0, stream.size_bytes)):
        for block in await asyncio.to_thread(blocks.add, text):
            yield block
    yield blocks.last()
    more = "" if stream.sealed else f" {words['end_live']}"
    yield f"</main>\n<footer>{escape(words['end'] + more)}</footer>\n</body>\n</html>\n"


class Blocks:
    """Text -> `<pre>` blocks of as many lines each: what is off screen need not be laid out."""

    def __init__(self) -> None:
        self._held = ""

    def add(self, text: str) -> list[str]:
        """Blocks that are full now."""
        lines = (self._held + text).split("\n")
        full = (len(lines) - 1) // BLOCK_LINES * BLOCK_LINES
        blocks = [_block("\n".join(lines[i : i + BLOCK_LINES]) + "\n") for i in range(0, full, BLOCK_LINES)]
        self._held = "\n".join(lines[full:])
        if len(self._held) > BLOCK_CHARACTERS:
            blocks.append(_block(self._held))
            self._held = ""
        return blocks

    def last(self) -> str:
        """What is left at the end."""
        return _block(self._held) if self._held else ""


def size(count: int) -> str:
    """Bytes as the viewer writes them."""
    number = float(count)
    unit = 0
    while number >= 1024 and unit < len(UNITS) - 1:
        number /= 1024
        unit += 1
    digits = 0 if unit == 0 or number >= 100 else 1
    return f"{number:.{digits}f}".removesuffix(".0") + f" {UNITS[unit]}"


def _block(text: str) -> str:
    """HTML drops the first line end in a `pre`: it gets one to drop."""
    return f"<pre>\n{escape(text, quote=False)}</pre>"


def _too_big(stream: Stream, lang: str) -> Response:
    words = LANGUAGES[lang]
    links = [
        html.link(_viewer(stream), words["big_viewer"], main=True),
        html.link(_raw(stream), words["big_download"]),
        html.link(f"?{urlencode({'lang': lang, 'open': 1})}", words["big_open"]),
    ]
    what = words["big"].format(size=size(stream.size_bytes))
    return html.notice(what, words["big_how"], lang, more=f"<nav>{' '.join(links)}</nav>")


def _raw(stream: Stream) -> str:
    return f"{API}/streams/{stream.id}/raw?download=1"


def _viewer(stream: Stream) -> str:
    """The log's place in the viewer, as `js/models/address.js` writes it."""
    name = stream.name
    place = {"job": name.job, "task": name.task}
    if name.path != ordinary_path(name.job, name.task):
        place["file"] = name.path
    if name.generation:
        place["gen"] = str(name.generation)
    return f"/#{urlencode(place, safe='/')}"
