"""`docs/http-api.md` names every call, every parameter and every field that the service has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builders import HandClock
from logsvc.app import build_app
from logsvc.settings import Settings
from logsvc.stores.memory import MemoryStore

DOCS = (Path(__file__).parents[2] / "docs" / "http-api.md").read_text("utf-8")
WORDS = {word for code in re.findall(r"`[^`]+`|```.*?```", DOCS, re.DOTALL) for word in re.findall(r"\w+", code)}
API = build_app(Settings(data_dir=Path("unused")), store=MemoryStore(HandClock()), clock=HandClock()).openapi()
CALLS = [(method, path, call) for path, calls in API["paths"].items() for method, call in calls.items()]


def fields(schema: dict[str, Any]) -> Iterator[str]:
    """Names of all fields of an answer."""
    for name, inner in schema.get("properties", {}).items():
        yield name
        yield from fields(inner)
    for inner in [schema.get("items", {}), *schema.get("anyOf", []), *schema.get("allOf", [])]:
        if inner:
            yield from fields(inner)


@pytest.mark.parametrize(("method", "path", "call"), CALLS, ids=lambda value: value if isinstance(value, str) else "")
def test_each_call_is_documented(method: str, path: str, call: dict[str, Any]) -> None:
    short = path.removeprefix("/api/v1")
    assert f"`{method.upper()} {short}" in DOCS or f"`{short}`" in DOCS
    asked = {parameter["name"] for parameter in call.get("parameters", []) if parameter["in"] == "query"}
    assert asked - WORDS == set()
    answer = call["responses"].get("200", {}).get("content", {}).get("application/json", {}).get("schema", {})
    assert set(fields(answer)) - WORDS == set()


def test_there_is_something_to_check() -> None:
    search = next(call for method, path, call in CALLS if path.endswith("/search"))
    assert {"q", "word", "context", "rank", "owner", "proc"} <= {one["name"] for one in search["parameters"]}
    answer = search["responses"]["200"]["content"]["application/json"]["schema"]
    assert {"left_out_streams", "spans", "before", "cursor"} <= set(fields(answer))
    assert "nowhere" not in WORDS and len(CALLS) > 15
