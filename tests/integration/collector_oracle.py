"""A service in dictionaries: bytes at offsets as the contract says, with faults on demand."""

from __future__ import annotations

import gzip
import hashlib
import json
import struct
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Optional
from urllib.parse import parse_qs, urlsplit

TOKEN = "oracle-token"
Name = tuple[str, str, str, int]  # job, task, path, generation
Fault = Callable[[str, str], Optional[tuple[int, dict[str, str], bytes]]]


class Oracle:
    """
    What a service holds.

    Attributes:
        held: bytes of each generation.
        sealed: those declared complete.
        jobs: what was put.
        fault: asked before each request; an answer given here replaces the real one.
        lose_answers: so many answers to chunks and batches are dropped after the bytes were taken.
        resent_bytes: bytes that were held already when they came.
    """

    def __init__(self) -> None:
        self.held: dict[Name, bytearray] = {}
        self.sealed: set[Name] = set()
        self.jobs: dict[str, dict[str, Any]] = {}
        self.expired: set[str] = set()
        self.token = TOKEN
        self.fault: Optional[Fault] = None
        self.lose_answers = 0
        self.resent_bytes = 0
        self.requests: list[str] = []
        self.limit_bytes = 64 << 20
        self.changed = threading.Condition()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.oracle = self
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def wait(self, condition: Callable[[], bool], seconds: float = 20.0) -> None:
        """Until the condition holds; fails after so many seconds."""
        with self.changed:
            assert self.changed.wait_for(condition, seconds), self.summary()

    def content(self, path: str) -> dict[int, bytes]:
        """Bytes of all generations of a path."""
        return {name[3]: bytes(data) for name, data in sorted(self.held.items()) if name[2] == path}

    def summary(self) -> str:
        """For a failed test."""
        held = {f"{name[2]}#{name[3]}": (len(data), name in self.sealed) for name, data in self.held.items()}
        return f"held {held}, last requests {self.requests[-8:]}"

    def append(self, name: Name, offset: int, data: bytes, final: bool) -> dict[str, Any]:
        """One chunk, as the contract says."""
        if name[0] in self.expired:
            return _error("expired", "the job's logs are gone")
        held = self.held.get(name, bytearray())
        if offset > len(held):
            return _error("offset_gap", "past the end", expected=len(held))
        overlap = min(len(held) - offset, len(data))
        self.resent_bytes += overlap
        if held[offset : offset + overlap] != data[:overlap]:
            return _error("content_conflict", "other bytes are held", offset=offset)
        if data or final:
            held += data[overlap:]
            self.held[name] = held
        if final:
            self.sealed.add(name)
        return {"stream": "|".join(map(str, name)), "next_offset": len(held)}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    oracle: Oracle


def _error(code: str, message: str, **detail: Any) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "detail": detail}}


_STATUS = {"offset_gap": 409, "content_conflict": 409, "expired": 410, "too_large": 413, "unauthorized": 401}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *args: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_PUT = do_GET

    def _serve(self) -> None:
        oracle = self.server.oracle
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:
            return
        parts = urlsplit(self.path)
        with oracle.changed:
            oracle.requests.append(f"{self.command} {parts.path}")
            given = oracle.fault(self.command, parts.path) if oracle.fault else None
            if given:
                status, headers, answer = given
            else:
                status, headers = 200, {}
                document = self._answer(oracle, parts.path.removeprefix("/api/v1"), parse_qs(parts.query), body)
                if "error" in document:
                    status = _STATUS.get(document["error"]["code"], 404)
                answer = json.dumps(document).encode()
            oracle.changed.notify_all()
            lose = oracle.lose_answers > 0 and parts.path.endswith(("/chunks", "/batch"))
            oracle.lose_answers -= lose
        if lose:
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in {"Content-Length": str(len(answer)), "Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer)

    def _answer(self, oracle: Oracle, path: str, query: dict[str, list[str]], body: bytes) -> dict[str, Any]:
        if self.headers.get("Authorization") != f"Bearer {oracle.token}":
            return _error("unauthorized", "who are you?")
        if len(body) > oracle.limit_bytes:
            return _error("too_large", "too large", limit_bytes=oracle.limit_bytes)
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if path == "/chunks":
            name = (query["job"][0], query["task"][0], query["path"][0], int(query["generation"][0]))
            return oracle.append(name, int(query["offset"][0]), body, "final" in query)
        if path == "/batch":
            results, at = [], 0
            while at < len(body):
                (size,) = struct.unpack_from("<I", body, at)
                head = json.loads(body[at + 4 : at + 4 + size])
                at += 4 + size
                name = (head["job"], head["task"], head["path"], head["generation"])
                results.append(oracle.append(name, head["offset"], body[at : at + head["length"]], head["final"]))
                at += head["length"]
            return {"results": results}
        if path == "/offsets":
            return {"streams": [self._generations(oracle, asked) for asked in json.loads(body)["streams"]]}
        job = path.split("/")[2] if path.startswith("/jobs/") else ""
        if self.command == "PUT" and job:
            oracle.jobs.setdefault(job, {"id": job, "status": "running"}).update(json.loads(body))
            return oracle.jobs[job]
        if path.endswith("/streams"):
            ordinary = [name for name in oracle.held if name[0] == job and name[2].endswith(f"{name[1]}.log")]
            return {
                "streams": [
                    {
                        "kind": "ordinary",
                        "task": name[1],
                        "path": name[2],
                        "generation": name[3],
                        "sealed": name in oracle.sealed,
                    }
                    for name in ordinary
                ]
            }
        if job in oracle.jobs or any(name[0] == job for name in oracle.held):
            return oracle.jobs.get(job, {"id": job, "status": "running"})
        return _error("not_found", "no such job")

    @staticmethod
    def _generations(oracle: Oracle, asked: dict[str, str]) -> dict[str, Any]:
        place = (asked["job"], asked["task"], asked["path"])
        return {
            "generations": [
                {
                    "generation": name[3],
                    "next_offset": len(data),
                    "head_bytes": min(len(data), 1024),
                    "head_sha256": hashlib.sha256(data[:1024]).hexdigest(),
                    "tail_bytes": min(len(data), 1024),
                    "tail_sha256": hashlib.sha256(data[-1024:]).hexdigest(),
                    "sealed": name in oracle.sealed,
                }
                for name, data in sorted(oracle.held.items())
                if name[:3] == place
            ]
        }
