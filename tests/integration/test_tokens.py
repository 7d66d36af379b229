"""Tokens over their life: made, used, expired, revoked; and many wrong ones from one address."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosedError

from builders import HandClock
from logsvc.core.failures import AT_ONCE, Failures
from logsvc.core.tokens import Wanted, hashed
from logsvc.errors import BadInput, TooManyRequests
from logsvc.ports import Clock
from logsvc.stores.memory import MemoryStore
from serving import Served, in_process, on_loopback

JOBS = "/api/v1/jobs"
TOKENS = "/api/v1/tokens"


class CountingStore(MemoryStore):
    """Counts looks at and changes of tokens."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.looks = self.changes = 0

    async def get(self, kind: str, id: str) -> Any:
        self.looks += kind == "token"
        return await super().get(kind, id)

    async def put(self, kind: str, id: str, value: dict[str, Any], *, expected: int | None = None) -> Any:
        self.changes += kind == "token"
        return await super().put(kind, id, value, expected=expected)


@pytest.fixture
def store(clock: HandClock) -> CountingStore:
    return CountingStore(clock)


@pytest.fixture
async def served(tmp_path: Path, clock: HandClock, store: CountingStore) -> AsyncIterator[Served]:
    async with in_process(tmp_path / "data", clock=clock, store=store) as served:
        yield served


async def a_token(served: Served, **asked: Any) -> dict[str, Any]:
    """A new token as the API shows it, once."""
    response = await served.http.post(TOKENS, json={"role": "viewer", **asked})
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    return made


async def status(served: Served, token: str, **headers: str) -> int:
    """Of a list of jobs, asked for with this token."""
    response = await served.http.get(JOBS, headers={"Authorization": f"Bearer {token}", **headers})
    return int(response.status_code)


async def test_a_token_is_shown_once_and_kept_as_a_hash(served: Served, store: MemoryStore) -> None:
    made = await a_token(served, owner="li", days=1)
    assert (made["jobs"], made["expires_at"]) == (None, "2026-11-21T12:00:00.000Z")
    records = await store.list("token")
    assert hashed(made["token"]) in {record.id for record in records}
    assert made["token"] not in str(records)
    listed = (await served.http.get(TOKENS)).json()["tokens"]
    assert len(listed) == 2
    assert made["token"] not in str(listed)


async def test_a_token_ends_when_it_was_said_to(served: Served, clock: HandClock) -> None:
    """To the second, though it was looked up just before."""
    token = (await a_token(served, days=1))["token"]
    clock.move(86_399)
    assert await status(served, token) == 200
    clock.move(0.9)
    assert await status(served, token) == 200
    clock.move(0.2)
    assert await status(served, token) == 401


async def test_a_revoked_token_is_refused_at_once_and_so_is_its_session(served: Served, store: CountingStore) -> None:
    made = await a_token(served)
    tokens = served.service.services.tokens
    cookie = f"{tokens.cookie_name}={tokens.session(made['token'])}"
    assert await status(served, made["token"]) == 200
    del served.http.headers["Authorization"]
    assert (await served.http.get(JOBS, headers={"Cookie": cookie})).status_code == 200
    admin = {"Authorization": f"Bearer {served.token}"}
    assert (await served.http.delete(f"{TOKENS}/{made['id']}", headers=admin)).status_code == 204
    assert await status(served, made["token"]) == 401
    assert (await served.http.get(JOBS, headers={"Cookie": cookie})).status_code == 401
    assert (await served.http.delete(f"{TOKENS}/{made['id']}", headers=admin)).status_code == 404
    tokens.book.used(hashed(made["token"]))  # by a call that was on its way
    await tokens.book.write_uses()
    assert len(await store.list("token")) == 1, "the last use brought it back"


async def test_one_that_another_process_revoked_is_refused_within_seconds(
    served: Served, clock: HandClock, store: MemoryStore
) -> None:
    token = (await a_token(served))["token"]
    assert await status(served, token) == 200
    await store.delete("token", hashed(token))
    clock.move(5.1)
    assert await status(served, token) == 401


async def test_what_a_withdrawn_token_follows_ends(tmp_path: Path, clock: HandClock) -> None:
    async with on_loopback(tmp_path / "data", clock=clock) as served:
        stream = await served.write(b"one\n")
        for how in ("revoked", "expired"):
            made = await a_token(served, role="admin", days=1)
            headers = {"Authorization": f"Bearer {made['token']}"}
            async with served.follow(stream, headers=headers) as socket, served.follow(stream) as other:
                for follower in (socket, other):
                    await asyncio.wait_for(follower.recv(), 10)
                if how == "revoked":
                    await served.http.delete(f"{TOKENS}/{made['id']}")
                else:
                    clock.move(86_401)
                    await served.service.services.tokens.look()
                with pytest.raises(ConnectionClosedError) as closed:
                    while True:
                        await asyncio.wait_for(socket.recv(), 10)
                assert closed.value.rcvd and closed.value.rcvd.code == 1008
                await other.ping()


async def test_the_last_use_is_written_seldom(served: Served, clock: HandClock, store: CountingStore) -> None:
    """A request neither waits for it nor causes it; and few requests look a token up at all."""
    made = await a_token(served)
    looks, changes = store.looks, store.changes
    for _ in range(20):
        assert await status(served, made["token"]) == 200
    assert (store.looks - looks, store.changes - changes) == (1, 0)
    [shown] = [one for one in await served.service.services.tokens.book.all() if one["id"] == made["id"]]
    assert shown["last_used_at"] == "2026-11-20T12:00:00.000Z"
    await served.service.services.tokens.book.write_uses()
    record = await store.get("token", hashed(made["token"]))
    assert record.value["last_used_at"] == clock.now()


async def test_many_wrong_tokens_are_told_to_wait_and_a_good_one_is_not(served: Served, clock: HandClock) -> None:
    answers = [await status(served, f"wrong-{n}") for n in range(AT_ONCE + 2)]
    assert answers == [401] * AT_ONCE + [429] * 2
    response = await served.http.get(JOBS, headers={"Authorization": "Bearer wrong"})
    assert response.json()["error"]["code"] == "too_many_requests"
    assert 1 <= int(response.headers["retry-after"]) <= 2
    assert (await served.http.get("/?token=wrong")).status_code == 429
    assert await status(served, served.token) == 200
    clock.move(int(response.headers["retry-after"]))
    assert await status(served, "wrong") == 401


def test_failures_are_counted_by_address(clock: HandClock) -> None:
    """Of IPv6, by the network that one person has."""
    failures = Failures(clock)
    for _ in range(AT_ONCE):
        failures.count("2001:db8::1")
    with pytest.raises(TooManyRequests):
        failures.count("2001:db8::ffff:1")
    failures.count("2001:db8:0:1::1")
    failures.count("192.0.2.1")
    failures.count("")


async def test_what_a_token_cannot_be(served: Served) -> None:
    for asked in (
        {"role": "root"},
        {"role": None},
        {"jobs": []},
        {"jobs": ["a/b"]},
        {"jobs": ["x" * 129]},
        {"jobs": ["*"] * 101},
        {"days": 0},
        {"days": -1},
        {"days": 1e9},
        {"owner": ""},
        {"owner": "a\x1b[31m"},
        {"role": "admin", "jobs": ["a"]},
        {"first": True},
    ):
        response = await served.http.post(TOKENS, json={"role": "viewer", **asked})
        assert response.status_code == 422, asked
    assert len((await served.http.get(TOKENS)).json()["tokens"]) == 1
    with pytest.raises(BadInput):
        await served.service.services.tokens.book.make(Wanted("viewer", days=float("nan")))


async def test_the_first_token_is_not_revoked_by_a_call(served: Served) -> None:
    [first] = (await served.http.get(TOKENS)).json()["tokens"]
    response = await served.http.delete(f"{TOKENS}/{first['id']}")
    assert (response.status_code, response.json()["error"]["code"]) == (409, "conflict")
    assert await status(served, served.token) == 200
