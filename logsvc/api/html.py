"""Pages that the service writes itself: full text of a log, and errors for people.

They hold no script of their own and need none; `theme.js` puts on the colours that the reader chose.
"""

from __future__ import annotations

from html import escape

from starlette.responses import HTMLResponse

from logsvc.api.auth import VIEWER_POLICY
from logsvc.api.words import LANGUAGES

HEADERS = {"Content-Security-Policy": VIEWER_POLICY, "Cache-Control": "no-store"}


def head(title: str, lang: str) -> str:
    """Everything before the body's content."""
    return f"""<!doctype html>
<html lang="{lang}">
<head>
<meta charset="utf-8">
<title>{escape(title)}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="/static/favicon.svg" type="image/svg+xml">
<script src="/static/js/theme.js"></script>
<link rel="stylesheet" href="/static/css/tokens.css">
<link rel="stylesheet" href="/static/css/plain.css">
</head>
<body>
"""


def notice(what: str, how: str, lang: str, *, status: int = 200, more: str = "") -> HTMLResponse:
    """
    A page that says one thing.

    Args:
        more: HTML below it.
    """
    app = LANGUAGES[lang]["app"]
    body = f"""<main class="notice">
<h1>{escape(what)}</h1>
<p>{escape(how)}</p>
{more}
</main>
</body>
</html>
"""
    return HTMLResponse(head(f"{what} · {app}", lang) + body, status, HEADERS)


def link(href: str, text: str, *, main: bool = False) -> str:
    """A link, drawn as a button where it stands in a notice."""
    class_ = ' class="main"' if main else ""
    return f'<a{class_} href="{escape(href)}">{escape(text)}</a>'
