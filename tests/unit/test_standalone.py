"""The project stands alone: it needs nothing of the place where it is built, and its page nothing of the internet."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Put together here, so that this file does not offend.
OUTSIDE = ["../" + "shared", "/work/" + "shared", "/root/" + "."]
HOSTS = [
    *("unp" + "kg.com", "jsde" + "livr", "cdn" + "js.", "google" + "apis.com", "esm" + ".sh", "sky" + "pack.dev"),
    *("py" + "pi.org", "python" + "hosted.org", "npm" + "js.org", "npm" + "js.com", "deb." + "debian.org"),
    *("maven." + "apache.org", "repo1." + "maven"),
]
# Taken as they are from others: a link in a captured log or in a library's comment loads nothing.
FOREIGN = ("tests/samples/", "logsvc/web/vendor/", "tests/web/vendor/")
# What makes a browser ask somebody: an attribute, a module, a stylesheet's url().
LOADS = re.compile(
    r"""(?:\b(?:src|srcset|href|action)\s*=\s*["']?|\bfrom\s*["']|\bimport\s*\(?\s*["']|@import\s*["']|url\(\s*["']?)"""
    r"""(?:https?:)?//(?!www\.w3\.org/)""",
    re.IGNORECASE,
)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def project_files() -> list[str]:
    """Tracked files; outside of a git checkout, every file that is not made by a build."""
    if (ROOT / ".git").exists():
        listed = subprocess.run(
            ["git", "-c", "safe.directory=*", "ls-files", "-z"], cwd=ROOT, check=True, stdout=subprocess.PIPE
        )
        names = listed.stdout.decode().split("\0")
    else:
        names = [p.relative_to(ROOT).as_posix() for top in ("logsvc", "collectors", "docs") for p in walk(ROOT / top)]
    return sorted(name for name in names if name and (ROOT / name).is_file())


def walk(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]


def our_text(*, suffixes: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    """Name and text of what we wrote ourselves."""
    found = []
    for name in project_files():
        if name.startswith(FOREIGN) or (suffixes and not name.endswith(suffixes)):
            continue
        data = (ROOT / name).read_bytes()
        if b"\0" not in data:
            found.append((name, data.decode("utf-8")))
    return found


@pytest.mark.parametrize("word", [*OUTSIDE, *HOSTS])
def test_no_file_names_the_place_where_it_was_made(word: str) -> None:
    assert [name for name, text in our_text() if word in text] == []


def test_the_page_loads_nothing_from_elsewhere() -> None:
    """Clusters are air-gapped."""
    found = [
        f"{name}: {match.group()}"
        for name, text in our_text(suffixes=(".html", ".css", ".js"))
        for match in LOADS.finditer(text)
    ]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://example.org/a.js">',
        "<link href='//example.org/a.css'>",
        "import { h } from 'https://example.org/preact.js'",
        'await import("https://example.org/x.js")',
        "background: url(https://example.org/a.png)",
    ],
)
def test_a_load_from_elsewhere_is_found(text: str) -> None:
    assert LOADS.search(text)


def test_vendored_libraries_are_the_pinned_ones() -> None:
    done = subprocess.run(
        [sys.executable, "tools/vendor.py", "--check"], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_links_between_pages_lead_somewhere() -> None:
    dead = []
    for name, text in our_text(suffixes=(".md",)):
        for target in LINK.findall(text):
            path = unquote(target.partition("#")[0])
            elsewhere = not path or "://" in path or path.startswith("mailto:")
            if not elsewhere and not (ROOT / name).parent.joinpath(path).exists():
                dead.append(f"{name}: {target}")
    assert dead == []


def test_the_locks_name_no_index() -> None:
    """Whoever installs decides where from; the hashes decide what."""
    for name in ("requirements.lock", "requirements-dev.lock"):
        lines = (ROOT / name).read_text("utf-8").splitlines()
        assert [line for line in lines if line.startswith("-") or "://" in line] == []
        pinned = [line for line in lines if re.match(r"[a-z0-9]", line)]
        assert pinned
        assert [line for line in pinned if "==" not in line or not line.endswith("\\")] == []


@pytest.mark.skipif(os.environ.get("LOGSVC_TESTED") != "wheel", reason="make test runs on the built wheel")
def test_the_wheel_is_tested_and_not_the_source_beside_it() -> None:
    for name in ("logsvc", "collectors"):
        spec = find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        assert "site-packages" in Path(spec.origin).parts

    inside = Path(str(find_spec("logsvc").origin)).parent  # type: ignore[union-attr]
    source = ROOT / "logsvc"
    missing = {p.relative_to(source) for p in walk(source)} - {p.relative_to(inside) for p in walk(inside)}
    assert missing == set()
