"""The page's own files: an address that names their version may be kept for good, any other is asked for again.

The version is in the path (`/static/v-1a2b3c4d5e6f/js/main.js`), so that the relative imports of the modules
name it too: a second visit asks for no file, a new version for all of them. Files are served as they lie; an
edit is another version.
"""

from __future__ import annotations

import hashlib
import re
from mimetypes import guess_type
from pathlib import Path, PurePosixPath
from stat import S_ISREG

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from logsvc.errors import NotFound

WEB = Path(__file__).parent.parent / "web"
YEAR_SECONDS = 31_536_000
_VERSIONED = re.compile(r"v-([0-9a-f]{12})/(.+)")
_IMPORT = re.compile(r"""^(?:import|export)\b(?:[^'";]*?\bfrom)?\s*['"](\.{1,2}/[^'"]+)['"]""", re.MULTILINE)


class Index:
    """The page: every address in it names the version, every module stands in it, so that all load at once."""

    def __init__(self) -> None:
        self.version = ""
        self._html = ""

    def html(self) -> str:
        """
        The page as it is to be sent.

        Raises: NotFound: it is not part of this installation.
        """
        now = _version()
        if now != self.version:
            try:
                html = (WEB / "index.html").read_text("utf-8")
            except OSError as exc:
                raise NotFound("The viewer's page is not part of this installation.") from exc
            links = "".join(
                f'    <link rel="modulepreload" href="static/{name}" />\n' for name in modules("js/main.js")
            )
            html = html.replace("  </head>", f"{links}  </head>")
            self._html, self.version = html.replace('"static/', f'"static/v-{now}/'), now
        return self._html


class WebFiles(StaticFiles):
    """Below `/static`; `index` knows which version is the newest."""

    def __init__(self, index: Index) -> None:
        super().__init__(directory=WEB, check_dir=False)
        self._index = index
        self._held: dict[str, tuple[str, bytes]] = {}  # path -> (version, bytes)

    async def get_response(self, path: str, scope: Scope) -> Response:
        found = _VERSIONED.fullmatch(path)
        current = found is not None and found[1] == self._index.version
        cached = f"max-age={YEAR_SECONDS}, immutable" if current else "no-cache"
        if found and current and scope["method"] == "GET" and (body := self._body(found[2])) is not None:
            return Response(body, headers={"Cache-Control": cached}, media_type=guess_type(found[2])[0])
        response = await super().get_response(found[2] if found else path, scope)
        response.headers["Cache-Control"] = cached
        return response

    def _body(self, name: str) -> bytes | None:
        """A file of the present version; from memory, because a first visit asks for a hundred of them at once."""
        version, body = self._held.get(name, ("", b""))
        if version == self._index.version:
            return body
        full, stat = self.lookup_path(name)
        if stat is None or not S_ISREG(stat.st_mode):
            return None
        self._held[name] = (self._index.version, Path(full).read_bytes())
        return self._held[name][1]


def _version() -> str:
    """Twelve hexadecimal digits that are others after any change of the files."""
    digest = hashlib.sha256()
    for path in sorted(WEB.rglob("*")):
        if path.is_file():
            stat = path.stat()
            digest.update(f"{path}\0{stat.st_mtime_ns}\0{stat.st_size}\0".encode())
    return digest.hexdigest()[:12]


def modules(first: str) -> list[str]:
    """A module and all that it imports, however far, in that order; paths below `web/`."""
    found: dict[str, None] = {}

    def visit(name: str) -> None:
        found[name] = None
        for imported in _IMPORT.findall((WEB / name).read_text("utf-8")):
            target = _joined(PurePosixPath(name).parent, imported)
            if target not in found:
                visit(target)

    visit(first)
    return list(found)


def _joined(folder: PurePosixPath, relative: str) -> str:
    parts = list(folder.parts)
    for part in relative.split("/"):
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)
