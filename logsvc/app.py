"""build_app(settings): picks the store, wires the core to it, opens and closes all of it.

Only this file knows which store runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.routing import WebSocketRoute

from logsvc.api import download, errors, health, ingest, jobs, pages, plain, samples, search, secrets, streams, tokens
from logsvc.api.auth import Gate
from logsvc.api.body import Bodies
from logsvc.api.error_pages import ErrorPages
from logsvc.api.errors import Catch
from logsvc.api.follow import Follow
from logsvc.api.rights import guarded
from logsvc.api.services import API, Services
from logsvc.api.timing import Timed
from logsvc.api.web_files import WebFiles
from logsvc.core.access import Access
from logsvc.core.auth import Tokens
from logsvc.core.clock import SystemClock
from logsvc.core.failures import Failures
from logsvc.core.follow import Hub, Pace
from logsvc.core.ingest import Ingest
from logsvc.core.job_metrics import JobMetrics
from logsvc.core.jobs import Jobs
from logsvc.core.journal import Journal
from logsvc.core.monitor import Monitor
from logsvc.core.notify import Notifier
from logsvc.core.samples import Report, Samples
from logsvc.core.sealing import Sealer
from logsvc.core.search import Search
from logsvc.core.tokens import TokenBook
from logsvc.core.utilization import Utilization
from logsvc.errors import CannotStart
from logsvc.metrics import Metrics
from logsvc.model.chunk import Chunk
from logsvc.ports import Clock, LogStore, RecordStore, SampleStore
from logsvc.settings import Settings

if TYPE_CHECKING:
    from logsvc.stores.embedded.doctor import Finding

DAY_SECONDS = 86_400


class Store(LogStore, RecordStore, SampleStore, Protocol):
    """What one technology gives: logs, records and samples together."""


@dataclass
class Service:
    """One service with everything it owns; `open` and `close` may be called twice."""

    settings: Settings
    services: Services
    sealer: Sealer
    notifier: Notifier | None
    _tasks: list[asyncio.Task[None]]
    _opened: bool = False

    async def open(self) -> None:
        """
        Open the store and start what runs beside the calls.

        Raises:
            CannotStart: one sentence that says what to do.
        """
        if self._opened:
            return
        await asyncio.to_thread(prepare_folder, self.settings.data_dir)
        await self.services.store.open()
        try:
            await self.services.tokens.open()
            values = await self.services.jobs.values()
            for value in values:
                self.sealer.known(value)
            await self.services.monitor.open(values)
            if self.notifier:
                await self.notifier.open()
        except BaseException:
            await self.services.store.close()
            raise
        self._tasks.append(asyncio.create_task(self.sealer.run(), name="sealer"))
        self._tasks.append(asyncio.create_task(self.services.monitor.run(), name="monitor"))
        self._tasks.append(asyncio.create_task(self.services.tokens.run(), name="tokens"))
        if self.notifier:
            self._tasks.append(asyncio.create_task(self.notifier.run(), name="notifier"))
        self._opened = True

    async def close(self) -> None:
        """Let followers go, end the tasks, close the store."""
        if not self._opened:
            return
        self._opened = False
        await self.services.hub.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        await self.services.monitor.close()
        await self.services.tokens.close()
        if self.notifier:
            await self.notifier.close()
        await self.services.store.close()


def build_app(settings: Settings, *, store: Store | None = None, clock: Clock | None = None) -> FastAPI:
    """
    The application; its lifespan opens and closes the `Service` in `app.state.service`.

    Args:
        store: used instead of the one that the settings name; opened and closed all the same.
    """
    clock = clock or SystemClock()
    service = _wired(settings, store or _chosen_store(settings, clock), clock)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await service.open()
        try:
            yield
        finally:
            await service.close()

    app = FastAPI(
        title="logsvc",
        summary="Logs of machine-learning training jobs: stored once, live, whole and searchable.",
        version=_version(),
        docs_url=None,
        redoc_url=None,
        openapi_url=pages.OPENAPI_URL,
        lifespan=lifespan,
        redirect_slashes=False,
    )
    app.state.service, app.state.services = service, service.services
    errors.install(app)
    held = service.services
    app.add_middleware(Gate, settings=settings, tokens=held.tokens, failures=held.failures)
    app.add_middleware(Catch)
    app.add_middleware(ErrorPages)
    app.add_middleware(Timed, metrics=service.services.metrics)
    # Routes lie flat, those that are asked most in front: nested routers cost a third of a small answer.
    for module in (streams, ingest, samples, search, jobs, download, secrets, tokens, health, plain, pages):
        app.router.routes.extend(module.router.routes)
    app.router.routes.append(WebSocketRoute(f"{API}/streams/{{id}}/follow", cast(Any, Follow())))
    app.mount("/static", WebFiles(pages.INDEX))
    app.router.routes[:] = [guarded(route, held.access) for route in app.router.routes]
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def prepare_folder(folder: Path) -> None:
    """
    Make the data folder, or see that it can be used.

    Raises:
        CannotStart: it is no folder, belongs to another user, or cannot be written.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError:
        raise CannotStart(f"The data folder {folder} is a file; name another one with --data-dir.") from None
    except OSError as exc:
        raise CannotStart(
            f"The data folder {folder} cannot be made ({exc.strerror}); name another one with --data-dir."
        ) from exc
    owner = folder.stat().st_uid
    if owner != os.geteuid():
        raise CannotStart(
            f"The data folder {folder} belongs to user {_user_name(owner)}, and the service runs as "
            f"{_user_name(os.geteuid())}; run it as the owner, or name another folder with --data-dir."
        )
    probe = folder / f".probe-{os.getpid()}"
    try:
        probe.touch()
        probe.unlink()
    except OSError as exc:
        raise CannotStart(
            f"The data folder {folder} cannot be written ({exc.strerror}); make it writable, or name another one "
            "with --data-dir."
        ) from exc


def _wired(settings: Settings, store: Store, clock: Clock) -> Service:
    sealer = Sealer(store, clock, after_seconds=settings.seal_after_end_seconds)
    pace = Pace(
        settings.follow_frames_per_second,
        settings.follow_frame_lines,
        settings.follow_queue_frames,
        settings.follow_lag_lines,
    )
    hub = Hub(store, pace)
    metrics = Metrics(followers=lambda: hub.followers, store_folder=settings.data_dir, version=_version())
    notifier = _notifier(settings, store, clock, metrics)
    journal = Journal(store, notifier.tell if notifier else None)
    monitor = Monitor(store, store, store, clock, journal, settings)
    metrics.add(JobMetrics(monitor, clock, settings))

    access = Access(store, store, clock)

    def accepted(report: Report, new: int) -> None:
        metrics.samples.inc(new)
        monitor.sampled(report, new)

    def changed(value: dict[str, Any]) -> None:
        access.changed(value)
        sealer.known(value)
        monitor.described(value)

    jobs = Jobs(
        store,
        store,
        clock,
        monitor,
        retention_days=settings.retention_days,
        require_archive_for_ascend=settings.require_archive_for_ascend,
        changed=changed,
    )

    def acknowledged(chunks: Sequence[Chunk]) -> None:
        metrics.acknowledged(chunks)
        monitor.logged(chunks)
        for job in {chunk.stream.job for chunk in chunks}:
            sealer.touched(job)

    return Service(
        settings,
        Services(
            settings=settings,
            clock=clock,
            store=store,
            tokens=Tokens(
                store,
                TokenBook(store, clock),
                clock,
                settings.data_dir,
                session_seconds=settings.session_days * DAY_SECONDS,
            ),
            access=access,
            failures=Failures(clock),
            ingest=Ingest(store, acknowledged),
            samples=Samples(store, store, clock, accepted),
            monitor=monitor,
            utilization=Utilization(jobs, store, monitor, clock),
            jobs=jobs,
            search=Search(store),
            hub=hub,
            bodies=Bodies(max_body_bytes=settings.max_body_bytes, max_bodies_bytes=settings.max_bodies_bytes),
            metrics=metrics,
            searches=asyncio.Semaphore(settings.max_searches),
        ),
        sealer,
        notifier,
        [],
    )


def _notifier(settings: Settings, records: RecordStore, clock: Clock, metrics: Metrics) -> Notifier | None:
    """Raises CannotStart where the webhook is set and cannot be used."""
    if settings.webhook_url is None or settings.webhook_secret is None:
        return None
    from logsvc.webhook import HttpWebhook, viewer_of  # an HTTP client takes its time to load

    url = settings.webhook_url.get_secret_value()
    webhook = HttpWebhook(url, timeout_seconds=settings.webhook_timeout_seconds, version=_version())
    return Notifier(
        records,
        clock,
        webhook,
        secret=settings.webhook_secret.get_secret_value(),
        flags=settings.webhook_events,
        grace_seconds={"low_utilization": settings.webhook_grace_minutes * 60},
        keep_seconds=settings.webhook_retry_hours * 3600,
        viewer=viewer_of(settings),
        count=lambda result: metrics.webhook_deliveries.labels(result).inc(),
    )


def _chosen_store(settings: Settings, clock: Clock) -> Store:
    from logsvc.stores.embedded.store import EmbeddedStore

    return EmbeddedStore(settings.data_dir, clock=clock)


@contextlib.asynccontextmanager
async def tokens_of(data_dir: Path) -> AsyncIterator[TokenBook]:
    """
    The tokens of a data folder that no service has open; see `logsvc token`.

    Raises:
        CannotStart: a service has it open, or it cannot be used.
    """
    prepare_folder(data_dir)
    clock = SystemClock()
    store = _chosen_store(Settings.load(data_dir=data_dir), clock)
    await store.open()
    try:
        yield TokenBook(store, clock)
    finally:
        await store.close()


def examine(data_dir: Path, progress: Callable[[int, int], None]) -> list[Finding]:
    """What is wrong with a data folder; see `logsvc doctor`."""
    from logsvc.stores.embedded.doctor import check

    return check(data_dir, progress)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("logsvc")
    except PackageNotFoundError:
        return "0"


def _user_name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The description with the token that every call but health needs."""
    if app.openapi_schema is None:
        described = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
        described.setdefault("components", {})["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        described["security"] = [{"token": []}]
        for operations in described["paths"].values():
            for operation in operations.values():
                # FastAPI adds its own form of a 422; ours is another.
                held = operation["responses"].get("422")
                if held and "HTTPValidationError" in str(held):
                    del operation["responses"]["422"]
        app.openapi_schema = described
    return app.openapi_schema
