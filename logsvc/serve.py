"""Runs the service until it is told to stop: one loop, one process, and sentences instead of traces."""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import socket
import ssl
from collections.abc import Callable

import uvicorn
import uvloop

from logsvc.app import Service, build_app
from logsvc.errors import CannotStart
from logsvc.settings import Settings
from logsvc.tls import load, server_context

log = logging.getLogger(__name__)
MAX_MESSAGE_BYTES = 64 * 1024  # of a WebSocket, inwards: followers have nothing to say
KEEP_ALIVE_SECONDS = 75  # of an idle connection; a collector sends samples every few seconds


def serve(settings: Settings, ready: Callable[[str], None]) -> None:
    """
    Serve until SIGINT or SIGTERM.

    Args:
        ready: called with the viewer's address once requests are answered.

    Raises:
        CannotStart: one sentence that says what to do.
    """
    listening = listen(settings.host, settings.port)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings, listening, ready))
    finally:
        listening.close()


def listen(host: str, port: int) -> socket.socket:
    """
    A bound socket.

    Raises:
        CannotStart: the port is taken, or the address is not this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as exc:
        raise CannotStart(f"The address {host} is none that can be listened on: {exc.strerror}.") from exc
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(2048)
    except OSError as exc:
        listening.close()
        if exc.errno == errno.EADDRINUSE:
            raise CannotStart(
                f"Port {port} of {host} is taken, perhaps by another logsvc: stop it, or choose another with --port."
            ) from exc
        raise CannotStart(
            f"Port {port} of {host} cannot be listened on ({exc.strerror}); choose others with --host and --port."
        ) from exc
    listening.set_inheritable(True)
    return listening


def viewer_url(settings: Settings, listening: socket.socket, token: str) -> str:
    """The address that opens the viewer logged in."""
    host, port = listening.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    scheme = "https" if settings.tls_certificate else "http"
    base = settings.public_url or f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
    return f"{base}/?token={token}" if settings.auth else f"{base}/"


async def _serve(settings: Settings, listening: socket.socket, ready: Callable[[str], None]) -> None:
    app = build_app(settings)
    service: Service = app.state.service
    await service.open()  # before uvicorn, whose own errors come with a trace
    try:
        config = uvicorn.Config(
            app,
            loop="none",
            http="httptools",
            ws="websockets-sansio",
            ws_per_message_deflate=False,
            ws_max_size=MAX_MESSAGE_BYTES,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=settings.shutdown_grace_seconds,
            ssl_context_factory=_certified(settings),
        )
        server = _Server(config, lambda: ready(viewer_url(settings, listening, service.services.tokens.admin_token)))
        # uvicorn raises the signal again once it has stopped; a stop that was asked for is no failure.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        told = {"host": settings.host, "port": listening.getsockname()[1], "tls": settings.tls_certificate is not None}
        log.info("serving", extra={**told, "store": settings.store})
        await server.serve([listening])
    finally:
        await service.close()
    log.info("stopped")


def _certified(settings: Settings) -> Callable[[uvicorn.Config, object], ssl.SSLContext] | None:
    """What makes the context of TLS, and reads its certificate again on each SIGHUP; None without a certificate."""
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is None:
        return None
    context = server_context(certificate, key)

    def renew() -> None:
        try:
            load(context, certificate, key)
        except CannotStart as exc:
            log.error("certificate_not_read", extra={"reason": exc.message})
        else:
            log.info("certificate_read_again")

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, renew)
    return lambda *_: context


class _Server(uvicorn.Server):
    """Tells when it is ready."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()
