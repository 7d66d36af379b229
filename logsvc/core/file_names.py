"""The names that streams have as files, in a zip or a folder: those of an archive, and never outside it.

Whoever may send logs chooses the last parts of a path. What such a name could do on any system that unpacks it,
Windows included, is taken out here; every other name stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from logsvc.model.stream import StreamName, archived_path

_ONLY_DOTS = re.compile(r"[. ]+")  # `..`, and what Windows makes of `.. `
_DRIVE = re.compile(r".:", re.DOTALL)  # whatever stands before it, to be sure


def file_names(streams: Sequence[tuple[str, StreamName]]) -> list[str]:
    """
    A relative path for each stream, no two alike and none a folder of another.

    Args:
        streams: id and name of each. Of two that would have one name, the later gets `.stream-<id>` behind it.
    """
    wanted = [_inside(archived_path(name)) for _, name in streams]
    folders = {"/".join(parts[:depth]) for parts in (path.split("/") for path in wanted) for depth in range(len(parts))}
    given: dict[str, None] = {}
    for (id, _), path in zip(streams, wanted, strict=True):
        while path in given or path in folders:
            path = f"{path}.stream-{id}"
        given[path] = None
    return list(given)


def _inside(path: str) -> str:
    path = path.encode("utf-8", "replace").decode("utf-8").replace("\\", "_").replace("\0", "_")
    parts = [_ONLY_DOTS.sub("_", part) if _ONLY_DOTS.fullmatch(part) else part for part in path.split("/") if part]
    if parts and _DRIVE.match(parts[0]):
        parts[0] = f"{parts[0][0]}_{parts[0][2:]}"
    return "/".join(parts) or "_"
