"""A small disk of a test's own: a tmpfs that one process alone sees, also where the user is not root."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path


def small_disk(folder: Path, size: int) -> tuple[str, ...]:
    """Command that mounts it at `folder` for the command that follows."""
    mount = f'mount -t tmpfs -o size={size},mode=0700 tmpfs "$0" && exec "$@"'
    return ("unshare", "--map-root-user", "--mount", "sh", "-c", mount, str(folder))


def small_disks_are_allowed() -> bool:
    """Whether this machine lets a process mount one."""
    if shutil.which("unshare") is None:
        return False
    probe = subprocess.run([*small_disk(Path("/tmp"), 1 << 20), "true"], capture_output=True, check=False)
    return probe.returncode == 0
