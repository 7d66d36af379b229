#!/usr/bin/env python3
"""Vendored web libraries: fetch the pinned npm packages again, check them, lay them under web/vendor.

    python3 tools/vendor.py            writes logsvc/web/vendor/ and tests/web/vendor/
    python3 tools/vendor.py --check    compares what lies there with their READMEs; asks nobody

The service runs where there is no internet, so the page loads nothing from elsewhere. To move to a
new version, change the packages below and run this; the table of each `README.md` is written along.
`npm pack` verifies each package against the registry's own checksum.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent


class Package(NamedTuple):
    """One npm package, and which of its files go where below `vendor/`."""

    name: str
    version: str
    licence: str
    files: dict[str, str]  # path in the package -> path below vendor/


class Shelf(NamedTuple):
    """A folder of vendored files; its README is `head` and a table of them."""

    folder: Path
    head: str
    packages: tuple[Package, ...]


PAGE_PACKAGES = (
    Package(
        "htm",
        "3.1.1",
        "Apache-2.0",
        {
            "preact/standalone.module.js": "htm/preact/standalone.module.js",
            "LICENSE": "htm/LICENSE",
        },
    ),
    # Preact itself is inside htm's standalone module; only its licence is taken from here.
    Package("preact", "10.29.8", "MIT", {"LICENSE": "htm/preact/LICENSE-preact"}),
    Package(
        "uplot",
        "1.6.32",
        "MIT",
        {
            "dist/uPlot.esm.js": "uplot/uPlot.esm.js",
            "dist/uPlot.min.css": "uplot/uPlot.min.css",
            "LICENSE": "uplot/LICENSE",
        },
    ),
    Package(
        "swagger-ui-dist",
        "5.35.0",
        "Apache-2.0",
        {
            "swagger-ui-bundle.js": "swagger-ui/swagger-ui-bundle.js",
            "swagger-ui-bundle.js.LICENSE.txt": "swagger-ui/swagger-ui-bundle.js.LICENSE.txt",
            "swagger-ui.css": "swagger-ui/swagger-ui.css",
            "LICENSE": "swagger-ui/LICENSE",
            "NOTICE": "swagger-ui/NOTICE",
        },
    ),
)

TEST_PACKAGES = (
    Package(
        "axe-core",
        "4.14.1",
        "MPL-2.0",
        {"axe.min.js": "axe-core/axe.min.js", "LICENSE": "axe-core/LICENSE"},
    ),
)

PAGE_HEAD = """\
# Vendored web libraries

Taken unchanged from the npm registry, but for the source-map comment at the end of a file (the maps are not
shipped). Do not edit: change `tools/vendor.py` and run it. `python3 tools/vendor.py --check` compares the
files with this table.

`htm/preact/standalone.module.js` is one ES module with everything in it: htm (`html`), Preact 10 (`h`,
`render`, `Component`, `createContext`) and Preact's hooks (`useState`, `useEffect`, …). uPlot draws the chart of a
job. Swagger UI draws `/docs`.

| file | package | version | licence | SHA-256 |
| --- | --- | --- | --- | --- |
"""

TEST_HEAD = """\
# Vendored for the tests of the page

Taken unchanged from the npm registry by `tools/vendor.py`; not part of what is installed. axe-core finds
faults of accessibility (`test_accessibility.py`).

| file | package | version | licence | SHA-256 |
| --- | --- | --- | --- | --- |
"""

SHELVES = (
    Shelf(ROOT / "logsvc" / "web" / "vendor", PAGE_HEAD, PAGE_PACKAGES),
    Shelf(ROOT / "tests" / "web" / "vendor", TEST_HEAD, TEST_PACKAGES),
)

SOURCE_MAP = re.compile(rb"\s*(?://[#@] ?sourceMappingURL=\S+|/\*[#@] ?sourceMappingURL=[^*]+\*/)\s*\Z")
ROW = re.compile(r"^\| `([^`]+)` \|.*\| `([0-9a-f]{64})` \|$", re.MULTILINE)


def main() -> int:
    """Exit status: 0 all is well, 1 a file differs, 2 a package could not be had."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with README.md instead of fetching")
    if parser.parse_args().check:
        wrong = [line for shelf in SHELVES for line in differing(shelf.folder)]
        for line in wrong:
            print(line, file=sys.stderr)
        return 1 if wrong else 0
    try:
        for shelf in SHELVES:
            fetch(shelf)
    except (OSError, subprocess.CalledProcessError) as exc:
        print(f"vendor: a package could not be had: {exc}", file=sys.stderr)
        return 2
    return 0


def differing(vendor: Path) -> list[str]:
    """One sentence for each file that is missing, changed, or not in the README's table."""
    expected = dict(ROW.findall((vendor / "README.md").read_text("utf-8")))
    present = {p.relative_to(vendor).as_posix() for p in vendor.rglob("*") if p.is_file()} - {"README.md"}
    wrong = [f"{vendor / name}: not in the table of its README.md" for name in sorted(present - expected.keys())]
    for name, digest in expected.items():
        if name not in present:
            wrong.append(f"{vendor / name}: missing")
        elif hashlib.sha256((vendor / name).read_bytes()).hexdigest() != digest:
            wrong.append(f"{vendor / name}: its SHA-256 is not the one in README.md")
    return wrong


def fetch(shelf: Shelf) -> None:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for package in shelf.packages:
            spec = f"{package.name}@{package.version}"
            packed = subprocess.run(
                ["npm", "pack", "--silent", spec], cwd=folder, check=True, stdout=subprocess.PIPE, text=True
            )
            with tarfile.open(Path(folder) / packed.stdout.split()[-1]) as tar:
                for source, target in package.files.items():
                    member = tar.extractfile(f"package/{source}")
                    if member is None:
                        raise OSError(f"{spec} has no file {source}")
                    data = without_source_map(member.read())
                    path = shelf.folder / target
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(data)
                    digest = hashlib.sha256(data).hexdigest()
                    rows.append(
                        f"| `{target}` | {package.name} | {package.version} | {package.licence} | `{digest}` |\n"
                    )
    (shelf.folder / "README.md").write_text(shelf.head + "".join(rows), "utf-8")


def without_source_map(data: bytes) -> bytes:
    found = SOURCE_MAP.search(data)
    return data[: found.start()] + b"\n" if found else data


if __name__ == "__main__":
    sys.exit(main())
