"""A TCP proxy before the service, which treats WebSockets as bad networks and old proxies do."""

from __future__ import annotations

import contextlib
import json
import socket
import threading

PIECE = 64 * 1024


class Proxy:
    """
    Passes connections on to a port of this machine.

    Attributes:
        sockets: what becomes of WebSockets: "pass", "refuse" (502 instead of the upgrade),
            "hold" (opened, then nothing of what the service sends comes through).
        instead: status and error code that every request is answered with, instead of passing it on.
        down: no connection is taken, and none of those that were is kept.
        upgrades: WebSockets asked for.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.sockets = "pass"
        self.instead: tuple[str, str] | None = None
        self.down = False
        self.upgrades = 0
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._frozen: set[tuple[socket.socket, socket.socket]] = set()
        self._reading = threading.Event()
        self._reading.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def cut(self, *, stay_down: bool = False) -> None:
        """End every connection, as a network that goes away does."""
        self.down = stay_down
        for pair in list(self._pairs):
            close(*pair)

    def freeze(self) -> None:
        """From now on nothing comes through the WebSockets that there are; they look alive."""
        self._frozen |= self._pairs

    def pause(self) -> None:
        """Read nothing of what the service sends through WebSockets, until `resume`."""
        self._reading.clear()

    def resume(self) -> None:
        """Read on."""
        self._reading.set()

    def close(self) -> None:
        """Stop."""
        self._listener.close()
        self.cut(stay_down=True)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.down:
                client.close()
                continue
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            head = client.recv(PIECE)
            upgrade = b"upgrade: websocket" in head.lower()
            self.upgrades += upgrade
            refusal = self.instead or (("502 Bad Gateway", "proxy") if upgrade and self.sockets == "refuse" else None)
            if refusal:
                client.sendall(answer(*refusal))
                client.close()
                return
            service = socket.create_connection(("127.0.0.1", self.target))
            pair = (client, service)
            self._pairs.add(pair)
            service.sendall(head)
            threading.Thread(target=self._pump, args=(client, service, False, pair), daemon=True).start()
            self._pump(service, client, upgrade, pair)
            return
        client.close()

    def _pump(
        self, source: socket.socket, target: socket.socket, upgrade: bool, pair: tuple[socket.socket, socket.socket]
    ) -> None:
        opened = False
        with contextlib.suppress(OSError):
            while data := source.recv(PIECE):
                if upgrade:
                    self._reading.wait()
                if pair in self._frozen and upgrade:
                    continue
                if upgrade and self.sockets == "hold":
                    if opened:
                        continue
                    data = data[: data.index(b"\r\n\r\n") + 4]
                opened = True
                target.sendall(data)
        close(*pair)
        self._pairs.discard(pair)


def answer(status: str, code: str) -> bytes:
    """An error as the service says it."""
    body = json.dumps({"error": {"code": code, "message": status, "detail": None}}).encode()
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (status.encode(), len(body), body)


def close(*sockets: socket.socket) -> None:
    """Both directions at once, also where another thread waits for bytes."""
    for one in sockets:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()
