"""No two files of `tests/web` name the same job: they share one service, and one would see the other's lines."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

WEB = Path(__file__).resolve().parents[1] / "web"
OTHER_SERVICES = {"fresh_service"}
READS = {"open"}  # a page, or a file


def takes_a_job(sources: dict[str, ast.Module]) -> dict[str, int]:
    """Functions and methods with a parameter `job`, and its place in a call."""
    found = {}
    for tree in sources.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                names = [one.arg for one in node.args.args if one.arg != "self"]
                if "job" in names and node.name not in READS:
                    found[node.name] = names.index("job")
    return found


def jobs_of(tree: ast.Module, takers: dict[str, int]) -> Iterator[str]:
    """Names of jobs in calls; of an f-string what stands before its first value, and a `*`."""
    constants = {
        node.targets[0].id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name | ast.Attribute):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
        used = {one.id for part in (node.func, *node.args) for one in ast.walk(part) if isinstance(one, ast.Name)}
        if name not in takers or used & OTHER_SERVICES:
            continue
        given: ast.expr | None = next((one.value for one in node.keywords if one.arg == "job"), None)
        if given is None and len(node.args) > takers[name]:
            given = node.args[takers[name]]
        if isinstance(given, ast.Name):
            given = constants.get(given.id)
        if isinstance(given, ast.Constant) and isinstance(given.value, str) and given.value:
            yield given.value
        elif isinstance(given, ast.JoinedStr) and isinstance(given.values[0], ast.Constant):
            yield f"{given.values[0].value}*"


def meet(one: str, other: str) -> bool:
    """Whether both may name the same job."""
    if one.endswith("*") and other.endswith("*"):
        return one[:-1].startswith(other[:-1]) or other[:-1].startswith(one[:-1])
    if one.endswith("*"):
        return other.startswith(one[:-1])
    return meet(other, one) if other.endswith("*") else one == other


def shared(sources: dict[str, ast.Module]) -> list[str]:
    takers = takes_a_job(sources)
    named = {file: sorted(set(jobs_of(tree, takers))) for file, tree in sources.items()}
    return [
        f"{first} and {second} both name a job {a!r}" + (f" ({b!r})" if b != a else "")
        for first, second in combinations(named, 2)
        for a in named[first]
        for b in named[second]
        if meet(a, b)
    ]


def test_no_two_files_name_the_same_job() -> None:
    sources = {path.name: ast.parse(path.read_text()) for path in sorted(WEB.glob("*.py"))}
    names = [name for tree in sources.values() for name in jobs_of(tree, takes_a_job(sources))]
    assert len(set(names)) > 80  # they are found at all
    assert shared(sources) == []


def test_such_names_are_found() -> None:
    one = (
        "def fill(service, job): ...\ndef test_a(service):\n    service.append('hay', '')\n    fill(service, 'straw')\n"
    )
    for other in (
        "def test_b(service):\n    service.append('hay', '')\n",
        "JOB = 'straw'\ndef test_b(service):\n    service.append(job=JOB)\n",
        "def test_b(service):\n    service.describe(f'ha{1}')\n",
    ):
        service = "class Service:\n    def append(self, job, data): ...\n    def describe(self, job): ...\n"
        sources = {"service.py": ast.parse(service), "one.py": ast.parse(one), "other.py": ast.parse(other)}
        assert len(shared(sources)) == 1
    alone = "def test_c(fresh_service):\n    fresh_service.append('hay', '')\n"
    assert shared({"service.py": ast.parse(service), "one.py": ast.parse(one), "alone.py": ast.parse(alone)}) == []
