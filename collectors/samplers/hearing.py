"""What a command without an end prints in some seconds."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Mapping, Sequence

from collectors.samplers import Failed
from collectors.samplers.command import KILLED_SECONDS, OUTPUT_BYTES, PLAIN, helpers, kill_group


def heard(command: Sequence[str], *, seconds: float, variables: Mapping[str, str]) -> str:
    """
    Its output to a terminal until then; it is killed with all it has started.

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
    helpers.add(process.pid)
    text, until = b"", time.monotonic() + seconds
    try:
        while len(text) < OUTPUT_BYTES and select.select([ours], [], [], max(0.0, until - time.monotonic()))[0]:
            piece = os.read(ours, 65536)
            text += piece
    except OSError:  # EIO: nobody holds the other end any more
        pass
    finally:
        os.close(ours)
        kill_group(process)
        try:
            process.wait(KILLED_SECONDS)
            helpers.discard(process.pid)
        except subprocess.TimeoutExpired:
            pass  # held by the driver: it is no job's, and whoever asks next says that nothing answers
    return text.decode("utf-8", "replace").replace("\r\n", "\n")
