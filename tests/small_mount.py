"""An overlay of a test's own, for tests that are root's: a lower layer that is written to below the mount."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Overlay:
    """
    A lower folder, mounted with a layer above it on a small disk.

    Attributes:
        lower: what is there before anything is written.
        folder: the mount.
    """

    def __init__(self, base: Path) -> None:
        self.lower, self.folder, self._upper = base / "lower", base / "merged", base / "upper"
        for folder in (self.lower, self.folder, self._upper):
            folder.mkdir(parents=True)

    def mount(self) -> None:
        """Mount it, again after `unmount`: with other device and inode numbers for what was copied up."""
        if not os.path.ismount(self._upper):  # on such a layer an overlay does not keep where a file has come from
            _run("mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(self._upper))
            (self._upper / "files").mkdir()
            (self._upper / "work").mkdir()
        layers = f"lowerdir={self.lower},upperdir={self._upper}/files,workdir={self._upper}/work"
        _run("mount", "-t", "overlay", "-o", layers, "overlay", str(self.folder))

    def unmount(self) -> None:
        """Take it away, also from under those who have files of it open."""
        _run("umount", "-l", str(self.folder))

    def close(self) -> None:
        """Leave nothing mounted; may be called twice."""
        for folder in (self.folder, self._upper):
            if os.path.ismount(folder):
                _run("umount", "-l", str(folder))


@contextmanager
def overlay(base: Path) -> Iterator[Overlay]:
    """An overlay, not mounted yet."""
    made = Overlay(base)
    try:
        yield made
    finally:
        made.close()


def why_no_overlays(base: Path) -> str:
    """Why this machine lets nobody mount one here; empty where it does."""
    if os.geteuid() != 0:
        return "only root may mount an overlay that its own processes see"
    with overlay(base) as made:
        try:
            made.mount()
        except subprocess.CalledProcessError as exc:
            return f"no overlay can be mounted: {exc.stderr.decode().strip()}"
    return ""


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
