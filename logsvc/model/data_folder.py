"""Where the data folder is, and the first admin token in it: what commands need to know without the service."""

from __future__ import annotations

import os
from pathlib import Path

TOKEN_FILE = "admin.token"


def default_data_dir() -> Path:
    """`$XDG_DATA_HOME/logsvc`, or where that is when it is not set."""
    base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(base).expanduser() / "logsvc"
