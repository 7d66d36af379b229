"""The page's pure helpers, tested by Node."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import logsvc


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")
def test_helpers_in_node() -> None:
    web = Path(logsvc.__file__).parent / "web"
    tests = sorted(str(path) for path in Path(__file__).parent.glob("*.test.mjs"))
    done = subprocess.run(
        ["node", "--no-warnings", "--test", *tests],
        env={**os.environ, "LOGSVC_WEB": web.as_uri()},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
