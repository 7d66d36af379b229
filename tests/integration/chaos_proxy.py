"""A proxy before the service that fails where it is told to, and counts what struck.

A fault is a function of one exchange: it says how far the request goes, how far the answer comes,
and what happens then. Faults wait in a queue; each is for one request.
"""

from __future__ import annotations

import re
import socket
import struct
import threading
from collections import Counter, deque
from collections.abc import Callable

READ_BYTES = 1 << 16
WINDOW_BYTES = 1 << 17  # of a connection: a larger body is still being sent when its first bytes are judged
SECONDS = 60.0

SENDS = r"POST /api/v1/(chunks|batch)\b"  # requests that carry bytes of streams


class Exchange:
    """One request on its way to the service, and its answer on the way back; both only as far as asked."""

    def __init__(self, proxy: ChaosProxy, client: socket.socket, head: bytes) -> None:
        self.line = head.partition(b"\r\n")[0].decode("latin-1")
        self.request_bytes = len(head) + _length(head)
        self._proxy, self._client = proxy, client
        self._taken = 0

    def take(self, size_bytes: int) -> bytes:
        """So many further bytes of the request."""
        wanted = min(size_bytes, self.request_bytes - self._taken)
        self._taken += wanted
        return _read(self._client, wanted)

    def ask(self, request: bytes) -> bytes:
        """The service's answer to these bytes; none where the request is not whole or nobody answers."""
        try:
            with socket.create_connection(("127.0.0.1", self._proxy.service_port), SECONDS) as service:
                service.sendall(request)
                return _answer(service) if len(request) == self.request_bytes else b""
        except OSError:
            return b""

    def give(self, data: bytes) -> None:
        """Bytes to the collector."""
        self._client.sendall(data)

    def reset(self) -> None:
        """RST, not FIN."""
        self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._client.close()

    def close(self) -> None:
        """FIN."""
        self._client.close()

    def hold(self) -> None:
        """Nothing happens, until the collector gives up: then it comes again on another connection."""
        self._proxy.wait_for_another(self._client)
        self._client.close()


Fault = Callable[[Exchange], str]  # returns its name, for the count; raises Missed where it could not strike
End = Callable[[Exchange], object]


class Missed(Exception):
    """The request or the answer was not one for this fault; it waits for the next."""


def cut_request(at: float, end: End) -> Fault:
    """
    The request's first bytes reach the service, then it ends.

    Args:
        at: how many bytes (int), or which share of them (float).
    """

    def strike(exchange: Exchange) -> str:
        place = _place(at, exchange.request_bytes)
        exchange.ask(exchange.take(place))
        end(exchange)
        exchange.close()
        return f"request cut at {place}"

    return strike


def cut_answer(at: float, end: End) -> Fault:
    """The service stores the bytes and says so; the collector gets the first bytes of that, then it ends."""

    def strike(exchange: Exchange) -> str:
        answer = exchange.ask(exchange.take(exchange.request_bytes))
        if not answer.startswith(b"HTTP/1.1 200 ") or b'"next_offset"' not in answer or b'"error"' in answer:
            exchange.give(answer)
            raise Missed(answer)
        place = _place(at, len(answer))
        exchange.give(answer[:place])
        end(exchange)
        exchange.close()
        return f"answer cut at {place}"

    return strike


def hole(*, reads: bool) -> Fault:
    """Accepts, never answers; with `reads` the service has stored what it was sent."""

    def strike(exchange: Exchange) -> str:
        if reads:
            exchange.ask(exchange.take(exchange.request_bytes))
        exchange.hold()
        return "hole that reads" if reads else "hole"

    return strike


def answer_instead(answer: bytes, *, stored: bool) -> Fault:
    """Something else answers; with `stored` after the service has stored what it was sent."""

    def strike(exchange: Exchange) -> str:
        request = exchange.take(exchange.request_bytes)
        if stored:
            exchange.ask(request)
        exchange.give(answer)
        return "answered"

    return strike


class ChaosProxy:
    """
    Passes requests to `service_port`, and spoils those that a fault was added for.

    Attributes:
        struck: how often each fault struck, by its name.
        passed: requests that went through whole, by their path.
        unanswered: requests without a fault that the service did not answer.
    """

    def __init__(self, service_port: int) -> None:
        self.service_port = service_port
        self.struck: Counter[str] = Counter()
        self.passed: Counter[str] = Counter()
        self.unanswered = 0
        self._queue: deque[tuple[re.Pattern[str], Fault]] = deque()
        self._striking = 0
        self._changed = threading.Condition()
        self._connections: dict[socket.socket, int] = {}  # each with its number
        self._accepted = 0
        self._closed = False
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW_BYTES)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(64)
        self.port = int(self._listener.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def add(self, fault: Fault, on: str = SENDS) -> None:
        """For the next request with this pattern in its first line, once the faults before it have struck."""
        with self._changed:
            self._queue.append((re.compile(on), fault))

    def wait(self, seconds: float = SECONDS) -> None:
        """Until all faults have struck."""
        with self._changed:
            done = self._changed.wait_for(lambda: not self._queue and not self._striking, seconds)
            assert done, f"{len(self._queue)} faults have not struck; struck {self.struck}, passed {self.passed}"

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Until `passed`, `struck` or `unanswered` are so."""
        with self._changed:
            assert self._changed.wait_for(condition, SECONDS), (self.struck, self.passed, self.unanswered)

    def wait_for_another(self, connection: socket.socket) -> None:
        """Until somebody connects after this one did."""
        with self._changed:
            number = self._connections[connection]
            self._changed.wait_for(lambda: self._accepted > number or self._closed, SECONDS)

    def close(self) -> None:
        """End all connections; may be called twice."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            for connection in (self._listener, *self._connections):
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass  # not connected any more
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._changed:
                if self._closed:
                    client.close()
                    return
                self._accepted += 1
                self._connections[client] = self._accepted
                self._changed.notify_all()
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while head := _peek_head(client):
                exchange = Exchange(self, client, head)
                with self._changed:
                    due = self._queue.popleft() if self._queue and self._queue[0][0].search(exchange.line) else None
                    self._striking += due is not None
                if due is None:
                    self._pass(exchange)
                else:
                    self._strike(exchange, due)
        except OSError:
            pass  # the collector is gone, or this exchange has ended its connection
        finally:
            with self._changed:
                del self._connections[client]
            client.close()

    def _pass(self, exchange: Exchange) -> None:
        answer = exchange.ask(exchange.take(exchange.request_bytes))
        if not answer:
            with self._changed:
                self.unanswered += 1
                self._changed.notify_all()
            exchange.reset()
            raise ConnectionResetError("nobody answers behind this proxy")
        with self._changed:
            self.passed[exchange.line.split()[1].partition("?")[0]] += 1
            self._changed.notify_all()
        exchange.give(answer)

    def _strike(self, exchange: Exchange, due: tuple[re.Pattern[str], Fault]) -> None:
        name = None
        try:
            name = due[1](exchange)
        except Missed:
            pass
        finally:
            with self._changed:
                self._striking -= 1
                if name is None:
                    self._queue.appendleft(due)
                else:
                    self.struck[name] += 1
                self._changed.notify_all()


def _place(at: float, size: int) -> int:
    """An int is a place; a float is a share of the size."""
    return min(size, at if isinstance(at, int) else int(at * size))


def _length(head: bytes) -> int:
    found = re.search(rb"(?i)\r\ncontent-length: *([0-9]+)", head)
    return int(found[1]) if found else 0


def _peek_head(client: socket.socket) -> bytes:
    """The next request's head, left where it is; empty where there is none."""
    while True:
        data = client.recv(READ_BYTES, socket.MSG_PEEK)
        head, end, _ = data.partition(b"\r\n\r\n")
        if end:
            return head + end
        if len(client.recv(len(data) + 1, socket.MSG_PEEK | socket.MSG_WAITALL)) == len(data):
            return b""  # over


def _read(connection: socket.socket, size: int) -> bytes:
    """Exactly so many bytes; raises ConnectionError where there are fewer."""
    parts: list[bytes] = []
    while size > 0:
        data = connection.recv(min(size, READ_BYTES))
        if not data:
            raise ConnectionResetError("hung up in the middle")
        parts.append(data)
        size -= len(data)
    return b"".join(parts)


def _answer(service: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        more = service.recv(READ_BYTES)
        if not more:
            raise ConnectionResetError("no answer")
        data += more
    head = data.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    return data + _read(service, len(head) + _length(head) - len(data))
