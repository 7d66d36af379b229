"""What a command without an end prints in some seconds."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence

from collectors.samplers import Failed
from collectors.samplers.command import KILLED_SECONDS, PLAIN, helpers, kill_group

HEARD_BYTES = 256 << 10


def heard(
    command: Sequence[str], *, seconds: float, variables: Mapping[str, str], is_enough: Callable[[str], bool]
) -> str:
    """
    Its output to a terminal until then, or until it is enough; it is killed with all it has started.

    A terminal, since many a tool keeps what it prints into a file until there is much of it.

    Raises: Failed, where it cannot be started.
    """
    try:
        ours, theirs = os.openpty()
    except OSError as exc:
        raise Failed(f"{command[0]}: no terminal: {exc.strerror}") from exc
    try:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **PLAIN, **variables},
            start_new_session=True,
        )
    except OSError as exc:
        os.close(ours)
        raise Failed(f"{command[0]}: {exc.strerror}") from exc
    finally:
        os.close(theirs)
    helpers[process.pid] = process
    text, until = b"", time.monotonic() + seconds
    try:
        while len(text) < HEARD_BYTES:
            left = until - time.monotonic()
            if left <= 0 or not select.select([ours], [], [], left)[0]:
                break
            text += os.read(ours, 65536)
            if is_enough(_decoded(text)):
                break
    except OSError:  # EIO: nobody holds the other end any more
        pass
    finally:
        os.close(ours)
        kill_group(process)
        try:
            process.wait(KILLED_SECONDS)
            helpers.pop(process.pid, None)
        except subprocess.TimeoutExpired:
            pass  # held by the driver: it is no job's, and whoever asks next says that nothing answers
    return _decoded(text)


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "replace").replace("\r\n", "\n")
