"""Who comes in, by token, by cookie, from which page; and the one form of every error."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from builders import HandClock
from logsvc.api import errors as api_errors
from logsvc.api import web_files
from logsvc.errors import DiskFull, LogsvcError, StoreUnavailable
from logsvc.model.query import WindowQuery
from logsvc.stores.memory import MemoryStore
from serving import LOG, Served, in_process


@pytest.fixture
async def served(tmp_path: Path, clock: HandClock) -> AsyncIterator[Served]:
    async with in_process(tmp_path / "data", clock=clock) as served:
        yield served


def anonymous(served: Served, **more: Any) -> httpx2.AsyncClient:
    """A client without the token."""
    transport = httpx2.ASGITransport(app=served.app, raise_app_exceptions=False)
    return httpx2.AsyncClient(transport=transport, base_url="http://localhost", **more)


def code(response: httpx2.Response) -> str:
    body = response.json()
    assert set(body["error"]) == {"code", "message", "detail"}
    assert response.headers["content-type"] == "application/json"
    return str(body["error"]["code"])


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/jobs",
        "/api/v1/jobs/x",
        "/api/v1/search?q=x",
        "/api/v1/openapi.json",
        "/api/v1/streams/1/raw",
        "/api/v2/anything",
        "/docs",
        "/metrics",
        "/none",
        "/static",
    ],
)
async def test_everything_but_health_and_the_page_needs_a_token(served: Served, path: str) -> None:
    async with anonymous(served) as http:
        for headers in (
            {},
            {"Authorization": "Bearer x"},
            {"Authorization": "Bearer"},
            {"Authorization": "Basic eDp5"},
        ):
            response = await http.get(path, headers=headers)
            assert (response.status_code, code(response)) == (401, "unauthorized")
            assert response.headers["www-authenticate"].startswith("Bearer")
        assert (await http.post("/api/v1/chunks", params={**LOG, "offset": 0})).status_code == 401
        for path in ("/healthz", "/readyz"):
            assert (await http.get(path)).json() == {"status": "ok"}
        assert (await http.get("/static/docs-init.js")).status_code == 200


async def test_the_printed_address_logs_in(served: Served) -> None:
    async with anonymous(served) as http:
        page = await http.get("/")
        assert (page.status_code, "set-cookie" in page.headers) == (200, False)
        assert (await http.get("/?token=wrong")).status_code == 401
        assert "set-cookie" not in (await http.get("/?token=wrong")).headers
        assert (await http.get("/api/v1/jobs")).status_code == 401
        page = await http.get(f"/?token={served.token}")
        assert page.status_code == 200
        cookie = page.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()
        assert "secure" not in cookie.lower()
        assert served.token not in cookie
        assert served.token not in page.text
        assert (await http.get("/api/v1/jobs")).status_code == 200
        assert (await http.get("/docs")).status_code == 200


async def test_the_cookie_is_secure_behind_https(tmp_path: Path) -> None:
    async with (
        in_process(tmp_path / "data", public_url="https://logs.example.com") as served,
        anonymous(served) as http,
    ):
        assert "secure" in (await http.get(f"/?token={served.token}")).headers["set-cookie"].lower()


async def test_changes_by_cookie_need_the_own_origin(served: Served) -> None:
    tokens = served.service.services.tokens
    cookie = {"Cookie": f"{tokens.cookie_name}={tokens.session(served.token)}"}
    async with anonymous(served, headers=cookie) as http:
        assert (await http.put("/api/v1/jobs/j", json={})).status_code == 403
        for origin in ("http://evil.example", "null", "http://localhost:81"):
            response = await http.put("/api/v1/jobs/j", json={}, headers={"Origin": origin})
            assert (response.status_code, code(response)) == (403, "forbidden")
        response = await http.put("/api/v1/jobs/j", json={}, headers={"Origin": "http://localhost"})
        assert response.status_code == 200
        assert (await http.get("/api/v1/jobs/j", headers={"Origin": "http://evil.example"})).status_code == 200


async def test_forged_and_old_sessions(served: Served) -> None:
    tokens = served.service.services.tokens
    session = tokens.session(served.token)
    async with anonymous(served) as http:
        for value in ("", "x", session[:-2], session + "x", "x" + session, '"', "%00"):
            response = await http.get("/api/v1/jobs", headers={"Cookie": f"{tokens.cookie_name}={value}"})
            assert response.status_code == 401, value


async def test_the_token_survives_restarts_and_a_new_one_ends_sessions(tmp_path: Path, clock: HandClock) -> None:
    store = MemoryStore(clock)
    folder = tmp_path / "data"
    async with in_process(folder, store=store, clock=clock) as served:
        token = served.token
        session = served.service.services.tokens.session(token)
    file = folder / "admin.token"
    assert file.read_text().strip() == token
    assert file.stat().st_mode & 0o777 == 0o600
    assert (folder / "session.key").stat().st_mode & 0o777 == 0o600
    held = await store.list("token")
    assert len(held) == 1
    assert token not in str(held)
    file.chmod(0o644)
    async with in_process(folder, store=store, clock=clock) as served:
        assert served.token == token
        assert file.stat().st_mode & 0o777 == 0o600
        cookie = {"Cookie": f"{served.service.services.tokens.cookie_name}={session}"}
        async with anonymous(served) as http:
            assert (await http.get("/api/v1/jobs", headers=cookie)).status_code == 200
    file.unlink()
    async with in_process(folder, store=store, clock=clock) as served:
        assert served.token != token
        async with anonymous(served) as http:
            assert (await http.get("/api/v1/jobs", headers=cookie)).status_code == 401
            assert (await http.get("/api/v1/jobs", headers={"Authorization": f"Bearer {token}"})).status_code == 401


async def test_without_authentication_only_the_own_name_and_page(tmp_path: Path) -> None:
    """No cookie protects the service then: a foreign page must not reach it, nor a name made to point here."""
    async with in_process(tmp_path / "data", auth=False) as served, anonymous(served) as http:
        assert (await http.get("/api/v1/jobs")).status_code == 200
        assert (await http.put("/api/v1/jobs/j", json={})).status_code == 200
        assert (await http.put("/api/v1/jobs/j", json={}, headers={"Origin": "http://evil.example"})).status_code == 403
        assert (await http.get("/api/v1/jobs", headers={"Host": "evil.example"})).status_code == 403


async def test_pages_are_guarded(served: Served) -> None:
    for path in ("/", "/docs"):
        page = await served.http.get(path)
        policy = page.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "script-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert page.headers["x-content-type-options"] == "nosniff"
        assert page.headers["referrer-policy"] == "no-referrer"
        assert "<script>" not in page.text
        assert "//cdn" not in page.text
    script = await served.http.get("/static/docs-init.js")
    assert script.headers["cache-control"] == "no-cache"
    again = await served.http.get("/static/docs-init.js", headers={"If-None-Match": script.headers["etag"]})
    assert again.status_code == 304
    paths = (
        "../settings.py",
        "%2e%2e/settings.py",
        "none.js",
        "",
        "v-0123456789ab/../../settings.py",
        "v-0123456789ab/x",
    )
    for path in (f"/static/{path}" for path in paths):
        response = await served.http.get(path)
        assert (response.status_code, code(response)) == (404, "not_found"), path


async def test_files_that_name_their_version_are_kept_for_good(served: Served) -> None:
    def main_script(page: str) -> str:
        found = re.search(r'<script type="module" src="(static/v-[0-9a-f]{12}/js/main.js)"', page)
        assert found
        return "/" + found[1]

    page = (await served.http.get("/")).text
    script = main_script(page)
    assert "immutable" in (await served.http.get(script)).headers["cache-control"]
    preloaded = re.findall(r'<link rel="modulepreload" href="(static/[^"]+)"', page)
    assert len(preloaded) > 30
    assert {(await served.http.get(f"/{one}")).status_code for one in preloaded} == {200}
    # A page from before an upgrade gets the files of now, and keeps none of them.
    old = re.sub(r"v-[0-9a-f]{12}", "v-0123456789ab", script)
    assert (await served.http.get(old)).headers["cache-control"] == "no-cache"


def test_an_edited_file_is_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_files, "WEB", tmp_path)
    (tmp_path / "js").mkdir()
    (tmp_path / "index.html").write_text('<html>\n  <head>\n  </head><script src="static/js/main.js">')
    (tmp_path / "js" / "main.js").write_text(
        "import {\n  a,\n} from './a.js'\nexport * from './b.js'\nimport './c.js'\n"
    )
    for name in "abc":
        (tmp_path / "js" / f"{name}.js").write_text("import '../js/main.js'\n// import x from './none.js'\n")
    index = web_files.Index()
    first = index.html()
    assert re.findall(r"modulepreload.*/(\w+)\.js", first) == ["main", "a", "b", "c"]
    assert index.html() == first
    (tmp_path / "js" / "a.js").write_text("export const a = 12345\n")
    assert index.html() != first


async def test_docs_need_no_internet(served: Served) -> None:
    page = (await served.http.get("/docs")).text
    for address in ("/static/vendor/swagger-ui/swagger-ui.css", "/static/vendor/swagger-ui/swagger-ui-bundle.js"):
        assert address in page
        assert (await served.http.get(address)).status_code == 200
    described = (await served.http.get("/api/v1/openapi.json")).json()
    assert "/api/v1/chunks" in described["paths"]


async def test_unknown_addresses_and_methods(served: Served) -> None:
    response = await served.http.get("/api/v1/none")
    assert (response.status_code, code(response)) == (404, "not_found")
    response = await served.http.delete("/api/v1/jobs/j")
    assert (response.status_code, code(response)) == (405, "method_not_allowed")
    assert response.headers["allow"] == "GET, PUT"
    response = await served.http.request("PURGE", "/api/v1/chunks")
    assert (response.status_code, response.headers["allow"]) == (405, "GET, POST")


class FailingStore(MemoryStore):
    """Fails with whatever it is told."""

    failure: Exception | None = None

    async def window(self, stream_id: str, query: WindowQuery) -> Any:
        assert self.failure
        raise self.failure


async def test_what_nobody_foresaw_is_logged_once_and_not_shown(
    tmp_path: Path, clock: HandClock, caplog: pytest.LogCaptureFixture
) -> None:
    store = FailingStore(clock)
    async with in_process(tmp_path / "data", store=store, clock=clock) as served:
        store.failure = RuntimeError("secret detail")
        response = await served.http.get("/api/v1/streams/1/lines")
        assert (response.status_code, code(response)) == (500, "internal")
        assert "secret" not in response.text
        assert "Traceback" not in response.text
        request_id = response.json()["error"]["detail"]["request_id"]
        logged = [record for record in caplog.records if record.levelno >= logging.ERROR]
        assert len(logged) == 1
        assert getattr(logged[0], "request_id", None) == request_id
        assert logged[0].exc_info

        store.failure = DiskFull("The disk is full.")
        response = await served.http.get("/api/v1/streams/1/lines")
        assert (response.status_code, code(response), response.headers["retry-after"]) == (507, "disk_full", "30")
        store.failure = StoreUnavailable("Later.", retry_after_seconds=7)
        response = await served.http.get("/api/v1/streams/1/lines")
        assert (response.status_code, response.headers["retry-after"]) == (503, "7")


def test_every_code_has_a_status_and_is_documented() -> None:
    def codes(kind: type[LogsvcError]) -> set[str]:
        return {kind.code}.union(*(codes(below) for below in kind.__subclasses__()))

    told = codes(LogsvcError) - {"cannot_start"}
    assert told <= set(api_errors.STATUS)
    documented = (Path(__file__).parents[2] / "docs" / "http-api.md").read_text()
    for one, status in api_errors.STATUS.items():
        assert f"| `{one}` | {status} |" in documented, one
