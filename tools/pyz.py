#!/usr/bin/env python3
"""The collector as one file that any Python from 3.9 on runs: collectors/* and what it imports of logsvc.

    python3 tools/pyz.py dist/logsvc-collector.pyz

The same source gives the same bytes: files in order of their names, one fixed time, stored and not compressed
(whose bytes would depend on the zlib at hand).
"""

from __future__ import annotations

import argparse
import re
import sys
import zipfile
from modulefinder import ModuleFinder
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHEBANG = b"#!/usr/bin/env python3\n"
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip can name
# Read by Pythons that are too old as well, so it comes before any import of ours.
MAIN = """\
import sys

if sys.version_info < (3, 9):
    sys.exit("logsvc-collector: Python 3.9 or newer is needed, this is %d.%d" % sys.version_info[:2])

from collectors.cli import main

sys.exit(main())
"""


def main() -> int:
    """Exit status: 0 written."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", type=Path)
    target: Path = parser.parse_args().target
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        file.write(SHEBANG)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name, data in sorted(content().items()):
                archive.writestr(zipfile.ZipInfo(name, LONG_AGO), data)
    target.chmod(0o755)
    return 0


def content() -> dict[str, bytes]:
    """Every file of the archive, by its name there."""
    files = {name: (ROOT / name).read_bytes() for name in imported()}
    version = re.search(r'^version = "([^"]+)"$', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    assert version, "pyproject.toml names no version"
    # What importlib.metadata reads, as for an installed package: `--version` asks it.
    metadata = f"Metadata-Version: 2.1\nName: logsvc\nVersion: {version[1]}\n"
    files[f"logsvc-{version[1]}.dist-info/METADATA"] = metadata.encode()
    files["__main__.py"] = MAIN.encode()
    return files


def imported() -> set[str]:
    """Paths of all modules of the collector and of those of ours that they import, at the top or in a function."""
    finder = ModuleFinder(path=[str(ROOT)])
    for path in (ROOT / "collectors").rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        finder.import_hook(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    files = {Path(module.__file__).relative_to(ROOT) for module in finder.modules.values() if module.__file__}
    return {path.as_posix() for path in files} - {"collectors/__main__.py"}


if __name__ == "__main__":
    sys.exit(main())
