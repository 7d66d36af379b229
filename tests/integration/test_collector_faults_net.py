"""Exactly once over a network that fails: at any byte, without an end, with answers of somebody else."""

from __future__ import annotations

import random

import pytest

from integration.chaos_proxy import Exchange, answer_instead, cut_answer, cut_request, hole
from integration.collector_oracle import Oracle
from integration.fault_rig import Rig

pytestmark = pytest.mark.slow

TIMES = 100


def test_resets_at_a_hundred_places_of_a_request(rig: Rig) -> None:
    """Head, frame heads and bytes; some in a row, so that the attempt after a failure fails too."""
    chance = random.Random(44)
    journal = rig.journal(44, "a.log", "b.log", "c.log")
    places: list[float] = [*range(0, 400, 8), *(chance.random() for _ in range(60))]
    chance.shuffle(places)
    rig.start()
    while places:
        journal.write(40)
        for _ in range(min(len(places), chance.randint(1, 8))):
            rig.proxy.add(cut_request(places.pop(), Exchange.reset))
        rig.proxy.wait()
    assert len(rig.proxy.struck) >= TIMES, "different places"
    rig.settle(journal)


def test_resets_in_the_middle_of_a_large_body(rig: Rig) -> None:
    """While the collector is still sending it."""
    journal = rig.journal(45, "a.log")
    journal.write_bytes("a.log", b"".join(b"line %d of many\n" % number for number in range(800_000)))
    for place in (1_000, 70_000, 0.2, 0.5, 0.8, 0.999):
        rig.proxy.add(cut_request(place, Exchange.reset), on="POST /api/v1/chunks")
    rig.start()
    rig.proxy.wait()
    assert sum(rig.proxy.struck.values()) == 6
    rig.settle(journal)


def test_resets_at_a_hundred_places_of_an_answer(rig: Rig) -> None:
    """The bytes are stored; what the collector hears of it ends anywhere."""
    chance = random.Random(46)
    journal = rig.journal(46, "a.log", "b.log", "c.log")
    places = list(range(2, 2 + 2 * TIMES, 2))
    chance.shuffle(places)
    rig.start()
    while places:
        journal.write()
        for _ in range(min(len(places), chance.randint(1, 8))):
            rig.proxy.add(cut_answer(places.pop(), Exchange.reset))
        rig.proxy.wait()
    assert len(rig.proxy.struck) == TIMES, "different places"
    rig.settle(journal)


def test_black_holes(rig: Rig) -> None:
    """Something accepts and never answers: with the bytes stored, and without."""
    journal = rig.journal(47, "a.log", "b.log")
    for reads in (True, False):
        journal.write()
        rig.proxy.add(hole(reads=reads), on="POST /api/v1/offsets")
        rig.proxy.add(hole(reads=reads), on="POST /api/v1/batch")
        rig.start()
        rig.proxy.wait()
        journal.write_bytes("a.log", b"".join(b"%s line %d\n" % (b"ab"[reads:], number) for number in range(300_000)))
        rig.proxy.add(hole(reads=reads), on="POST /api/v1/chunks")
        rig.proxy.wait()
        rig.kill()
    rig.start()
    assert rig.proxy.struck == {"hole that reads": 3, "hole": 3}
    rig.settle(journal)


def said(status: str, *headers: str, body: str = "<html><h1>sorry</h1></html>") -> bytes:
    """An answer that is none of the service's."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", body]
    return "\r\n".join(lines).encode()


NO_ANSWERS = (
    said("502 Bad Gateway"),
    said("502 Bad Gateway", "Connection: close"),
    said("503 Service Unavailable", "Retry-After: 0"),
    said("503 Service Unavailable", "Retry-After: Fri, 31 Dec 1999 23:59:59 GMT"),
    said("503 Service Unavailable", "Retry-After: -1", body=""),
    said("504 Gateway Time-out", "Content-Type: text/html"),
    said("500 Internal Server Error", body='{"error": {"code": "internal", "message": "oh", "detail": {}}}'),
    said("500 Internal Server Error", body='{"error": "Internal Server Error"}'),
    said("404 Not Found", body='{"error": {"code": 404, "message": "no such route", "status": "NOT_FOUND"}}'),
    said("400 Bad Request", body='{"error": "Bad Request"}'),
    said("413 Payload Too Large", body='{"error": null}'),
    said("429 Too Many Requests", "Retry-After: 0"),
    said("408 Request Timeout", "Connection: close"),
    said("404 Not Found"),
    said("404 Not Found", body='{"detail": "Not Found"}'),
    said("200 OK", "Content-Type: text/html"),
    said("200 OK", body=""),
    said("200 OK", body="{}"),
    said("200 OK", body="[]"),
    said("200 OK", body="null"),
    said("200 OK", body='{"results": []}'),
    said("200 OK", body='{"results": [{"stream": "s", "next_offset": "9"}]}'),
    said("200 OK", body='{"results": [{"stream": "s"}], "next_offset": true}'),
    said("200 OK", body='{"results": {"next_offset": 9}}'),
    said("200 OK", body='{"results": ["ok", "ok", "ok"]}'),
    said("200 OK", body='{"streams": [{"generations": 3}]}'),
    said("200 OK", body='{"streams": [{"generations": [{"generation": "0"}]}]}'),
    said("200 OK", body='{"streams": [{}]}'),
    said("200 OK", body='{"results": [{"error": "no"}]}'),
    said("200 OK", body="[" * 100_000),
    said("204 No Content", body=""),
    b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
    b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"results": [',
)


def test_answers_that_are_none(rig: Rig) -> None:
    """Of gateways, portals and other programs; the bytes may have been stored all the same."""
    journal = rig.journal(48, "a.log")
    for answer in NO_ANSWERS:
        journal.write()
        rig.proxy.add(answer_instead(answer, stored=False), on="POST /api/v1/offsets")
        rig.proxy.add(answer_instead(answer, stored=False))
        rig.proxy.add(answer_instead(answer, stored=True))
        rig.start()
        rig.proxy.wait()
        rig.kill()
    assert rig.proxy.struck == {"answered": 3 * len(NO_ANSWERS)}
    rig.start()
    rig.settle(journal)


def test_redirects_are_not_followed(rig: Rig) -> None:
    """Neither the bytes nor the token go to where somebody else points."""
    elsewhere = Oracle()
    journal = rig.journal(49, "a.log")
    rig.start()
    for status in ("301 Moved", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"):
        journal.write()
        for stored in (False, True):
            answer = said(status, f"Location: {elsewhere.url}/api/v1/batch")
            rig.proxy.add(answer_instead(answer, stored=stored))
        rig.proxy.wait()
    assert rig.proxy.struck == {"answered": 10}
    rig.settle(journal)
    elsewhere.close()
    assert elsewhere.requests == []
