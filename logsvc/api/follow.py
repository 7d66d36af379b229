"""Follow: a WebSocket with the lines of a stream, first those that are there, then each as it is committed."""

from __future__ import annotations

import asyncio
import logging

from starlette.types import Receive, Scope, Send

from logsvc.api.errors import refuse
from logsvc.api.params import choice, line_start, parameters
from logsvc.api.services import Services
from logsvc.core.follow import Follower
from logsvc.errors import LogsvcError

FOLLOW = parameters(
    line_start("from", "First line, from 1; `-L` starts with the last L lines."),
    choice("lines", "All lines, or user lines only.", "all", "user", default="all"),
)
DONE, GOING_AWAY, BROKEN, WITHDRAWN = 1000, 1012, 1011, 1008

log = logging.getLogger(__name__)


class Follow:
    """
    ASGI: raw, because a thousand followers get ten frames a second each.

    Refused with an HTTP answer before the upgrade: 401 and 403 by the gate, 404 and 422 here.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        held: Services = scope["app"].state.services
        try:
            given = FOLLOW.read(scope["query_string"])
            follower = await held.hub.follow(scope["path_params"]["id"], given["lines"], given["from"])
        except LogsvcError as error:
            await refuse(error, scope, receive, send)
            return
        try:
            await receive()  # websocket.connect
            await send({"type": "websocket.accept", "subprotocol": None, "headers": []})
            writing = asyncio.create_task(_write(follower, send))
            try:
                with held.tokens.until_withdrawn(scope["state"]["principal"], follower.withdraw):
                    while (await receive())["type"] != "websocket.disconnect":
                        pass  # a follower has nothing to say
            finally:
                follower.end()
                writing.cancel()
                await asyncio.gather(writing, return_exceptions=True)
        except OSError:
            pass  # gone before the upgrade was done
        finally:
            follower.close()


async def _write(follower: Follower, send: Send) -> None:
    code = GOING_AWAY
    try:
        async for text in follower.texts():
            await send({"type": "websocket.send", "text": text})
        if follower.finished:
            code = DONE
        elif follower.withdrawn:
            code = WITHDRAWN
    except OSError:
        return  # the reader went
    except LogsvcError as error:
        log.info("follower_broken_off", extra={"code": error.code})
        code = BROKEN
    except Exception:
        log.exception("follower_failed")
        code = BROKEN
    try:
        await send({"type": "websocket.close", "code": code})
    except (OSError, RuntimeError):
        pass  # closed meanwhile
