"""Imports point one way, and nobody but the composition root knows which store runs.

    cli > app > api > core > ports > model
          app > stores     > ports > model < collectors

Read from the source with `ast`, so that an import inside a function counts as much as one at the top.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]


class Layer(NamedTuple):
    """What the modules of a layer may import: of this project, and of others (None: anything)."""

    name: str
    modules: tuple[str, ...]
    ours: tuple[str, ...]
    foreign: frozenset[str] | None = None  # on top of the standard library
    forbidden: tuple[str, ...] = ()


# Names end at a dot: "logsvc.core" stands for it and everything below it. First match wins.
BASE = ("logsvc.model", "logsvc.errors")
SETTINGS = ("logsvc.settings", "logsvc.settings_sources", "logsvc.settings_docs", "logsvc.tls")
PURE_CORE = ("fastapi", "starlette", "uvicorn", "sqlite3", "boto3", "botocore", "opensearchpy")
LAYERS = (
    Layer("bare package", ("logsvc",), ours=(), foreign=frozenset(), forbidden=("*",)),
    Layer("errors", ("logsvc.errors",), ours=(), foreign=frozenset(), forbidden=("*",)),
    Layer("model", ("logsvc.model",), ours=BASE, foreign=frozenset()),
    Layer("ports", ("logsvc.ports",), ours=BASE, foreign=frozenset({"numpy"})),
    Layer("metrics", ("logsvc.metrics",), ours=BASE, foreign=frozenset({"prometheus_client"})),
    Layer("settings", SETTINGS, ours=(*BASE, *SETTINGS), foreign=frozenset({"pydantic", "pydantic_settings"})),
    Layer(
        "core",
        ("logsvc.core",),
        ours=(*BASE, "logsvc.ports", "logsvc.metrics", "logsvc.settings", "logsvc.core"),
        forbidden=PURE_CORE,
    ),
    Layer("one store", ("logsvc.stores.*",), ours=(*BASE, "logsvc.ports", "logsvc.settings", "{itself}", "{helpers}")),
    Layer("stores", ("logsvc.stores",), ours=(), foreign=frozenset()),
    Layer(
        "api",
        ("logsvc.api",),
        ours=(*BASE, "logsvc.ports", "logsvc.metrics", "logsvc.settings", "logsvc.core", "logsvc.api"),
    ),
    Layer("the rest of the service", ("logsvc",), ours=("logsvc", "collectors"), forbidden=("logsvc.stores",)),
    Layer("collectors", ("collectors",), ours=(*BASE, "collectors"), foreign=frozenset()),
)
KNOWS_THE_STORES = {"logsvc.app"}
# Single files beside the stores that read what any of them keeps: no store of their own.
STORE_HELPERS = ("logsvc.stores.needle", "logsvc.stores.readings", "logsvc.stores.memory_samples")
# Used where present, so each import stands inside a `try` that goes on without.
OPTIONAL_IN_COLLECTORS = {"psutil", "pynvml", "zstandard"}


class Import(NamedTuple):
    module: str  # absolute dotted name of what is imported
    line: int
    guarded: bool  # inside a `try` that catches ImportError


def offences(module: str, source: str, *, is_package: bool = False) -> list[str]:
    """
    What a module imports against the rules, one sentence each.

    Args:
        module: dotted name; it decides the layer.
        source: its text.
        is_package: whether it is an `__init__.py`; relative imports start there.
    """
    layer = layer_of(module, is_package=is_package)
    itself = ".".join(module.split(".")[:3])
    ours = [name for entry in layer.ours for name in expand(entry, itself)]
    wrong = []
    for found in imports(module, source, is_package=is_package):
        top = found.module.partition(".")[0]
        if top in ("logsvc", "collectors"):
            allowed = any(is_below(found.module, name) for name in ours) or found.module == module
            if is_below(found.module, "logsvc.stores") and "logsvc.stores" in layer.forbidden:
                allowed = module in KNOWS_THE_STORES
        elif top == "__future__":
            allowed = True
        elif top in sys.stdlib_module_names:
            allowed = "*" not in layer.forbidden and top not in layer.forbidden
        elif layer.name == "collectors" and top in OPTIONAL_IN_COLLECTORS:
            allowed = found.guarded
        else:
            allowed = (layer.foreign is None or top in layer.foreign) and top not in layer.forbidden
        if not allowed:
            wrong.append(f"{module}:{found.line}: {layer.name} may not import {found.module}")
    return wrong


def layer_of(module: str, *, is_package: bool) -> Layer:
    for layer in LAYERS:
        for pattern in layer.modules:
            if layer.name in ("bare package", "stores") and not (is_package and module == pattern):
                continue
            if fnmatchcase(module, pattern) or is_below(module, pattern):
                return layer
    raise AssertionError(f"{module} belongs to no layer: add one to LAYERS")


def expand(entry: str, itself: str) -> tuple[str, ...]:
    return {"{itself}": (itself,), "{helpers}": STORE_HELPERS}.get(entry, (entry,))


def is_below(module: str, name: str) -> bool:
    return module == name or module.startswith(name + ".")


def imports(module: str, source: str, *, is_package: bool) -> Iterator[Import]:
    """Everything imported at run time: blocks under TYPE_CHECKING are left out."""
    package = module if is_package else module.rpartition(".")[0]

    def walk(node: ast.AST, guarded: bool) -> Iterator[Import]:
        if isinstance(node, ast.If) and is_type_checking(node.test):
            for child in node.orelse:
                yield from walk(child, guarded)
            return
        if isinstance(node, ast.Try):
            inside = guarded or any(catches_import_error(handler) for handler in node.handlers)
            for child in node.body:
                yield from walk(child, inside)
            for child in [*node.handlers, *node.orelse, *node.finalbody]:
                yield from walk(child, guarded)
            return
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, guarded)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                base = ".".join([*parts[: len(parts) - node.level + 1], *([node.module] if node.module else [])])
            # `from logsvc import stores` imports logsvc.stores, not only logsvc.
            for alias in node.names:
                yield Import(full_name(base, alias.name), node.lineno, guarded)
        else:
            for child in ast.iter_child_nodes(node):
                yield from walk(child, guarded)

    yield from walk(ast.parse(source), False)


def full_name(base: str, name: str) -> str:
    """The submodule where there is one of that name, else what it is taken from."""
    folder = ROOT.joinpath(*base.split("."))
    whole_package = base in ("logsvc", "logsvc.stores", "collectors")
    if whole_package or (folder / f"{name}.py").is_file() or (folder / name).is_dir():
        return f"{base}.{name}"
    return base


def is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def catches_import_error(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    names = {node.id for node in caught if isinstance(node, ast.Name)}
    return bool(names & {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})


def our_modules() -> list[tuple[str, Path]]:
    found = []
    for top in ("logsvc", "collectors"):
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found.append((".".join(parts[:-1] if parts[-1] == "__init__" else parts), path))
    return found


@pytest.mark.parametrize(("module", "path"), our_modules(), ids=lambda value: value if isinstance(value, str) else "")
def test_imports_point_one_way(module: str, path: Path) -> None:
    assert offences(module, path.read_text("utf-8"), is_package=path.name == "__init__.py") == []


def test_there_is_something_to_check() -> None:
    """An empty walk would pass everything."""
    modules = {module for module, _ in our_modules()}
    assert {"logsvc", "logsvc.errors", "logsvc.ports", "logsvc.model.stream", "collectors"} <= modules


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("logsvc.errors", "import enum"),
        ("logsvc.model.line", "from logsvc.ports import LogStore"),
        ("logsvc.model.line", "import numpy"),
        ("logsvc.ports", "from logsvc.core.ingest import Ingest"),
        ("logsvc.core.ingest", "import sqlite3"),
        ("logsvc.core.ingest", "def f():\n    from fastapi import Request"),
        ("logsvc.core.ingest", "from starlette.websockets import WebSocket"),
        ("logsvc.core.ingest", "from logsvc.stores.memory import MemoryStore"),
        ("logsvc.core.ingest", "from logsvc.api import jobs"),
        ("logsvc.core.ingest", "from ..api import jobs"),
        ("logsvc.api.jobs", "from logsvc.stores.embedded.store import EmbeddedStore"),
        ("logsvc.api.jobs", "from logsvc.app import build_app"),
        ("logsvc.cli", "from logsvc.stores.embedded.store import EmbeddedStore"),
        ("logsvc.cli", "from logsvc import stores"),
        ("logsvc.stores.embedded.store", "from logsvc.stores.memory import MemoryStore"),
        ("logsvc.stores.embedded.store", "from logsvc.stores import memory"),
        ("logsvc.stores.embedded.store", "from ..opensearch import client"),
        ("logsvc.stores.embedded.store", "from logsvc.core.follow import Hub"),
        ("logsvc.stores.memory", "import logsvc.api.errors"),
        ("collectors.shipper", "import httpx2"),
        ("collectors.shipper", "from logsvc.core.ingest import Ingest"),
        ("collectors.shipper", "from logsvc.ports import LogStore"),
        ("collectors.samplers.host", "import psutil"),
        ("collectors.samplers.host", "try:\n    import psutil\nexcept OSError:\n    psutil = None"),
    ],
)
def test_an_offender_is_found(module: str, source: str) -> None:
    assert len(offences(module, source)) == 1


def test_a_package_that_is_not_bare_is_found() -> None:
    assert len(offences("logsvc", "from logsvc.app import build_app", is_package=True)) == 1
    assert len(offences("logsvc", "import os", is_package=True)) == 1
    assert len(offences("logsvc.stores", "from logsvc.stores.memory import MemoryStore", is_package=True)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("logsvc.errors", "from __future__ import annotations\nif TYPE_CHECKING:\n    from typing import Any"),
        ("logsvc.ports", "import typing\nif typing.TYPE_CHECKING:\n    from logsvc.core.follow import Hub"),
        ("logsvc.model.line", "import re\nfrom logsvc.errors import BadPath\nfrom .stream import Stream"),
        ("logsvc.core.search", "import numpy\nfrom logsvc.ports import LogStore\nfrom logsvc.core import window"),
        ("logsvc.stores.embedded.store", "import sqlite3\nfrom .writer import Writer\nfrom logsvc.ports import Clock"),
        ("logsvc.stores.embedded.store", "from logsvc.stores.needle import Needle"),
        ("logsvc.app", "from logsvc.stores.embedded.store import EmbeddedStore"),
        ("logsvc.api.jobs", "import fastapi\nfrom logsvc.core.ingest import Ingest"),
        ("collectors.samplers.host", "try:\n    import psutil\nexcept ImportError:\n    psutil = None"),
        ("collectors.shipper", "import http.client\nfrom logsvc.model.stream import Stream"),
    ],
)
def test_what_the_rules_allow_passes(module: str, source: str) -> None:
    assert offences(module, source) == []
