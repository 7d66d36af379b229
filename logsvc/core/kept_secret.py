"""A secret in a file of its own: made once, the same after each restart, readable by its owner alone."""

from __future__ import annotations

import logging
import os
import secrets
from pathlib import Path

from logsvc.errors import CannotStart

SECRET_BYTES = 32
LEAST_CHARACTERS = 16

log = logging.getLogger(__name__)


def kept_secret(path: Path) -> str:
    """
    The secret of a file, made at the first call.

    Raises:
        CannotStart: the file can be neither read nor made, or holds something shorter.
    """
    try:
        if not path.exists():
            temporary = path.with_name(path.name + ".new")
            temporary.unlink(missing_ok=True)
            with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(new_secret() + "\n")
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
            log.warning("secret_was_readable_by_others", extra={"file": path.name})
        secret = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise CannotStart(
            f"The file {path} cannot be used ({exc}): let the user who runs the service read and write it, "
            "or remove it."
        ) from exc
    if len(secret) < LEAST_CHARACTERS:
        raise CannotStart(
            f"The file {path} holds no token of {LEAST_CHARACTERS} characters or more: remove it for a new one."
        )
    return secret


def new_secret() -> str:
    """256 random bits as text that may stand in an address."""
    return secrets.token_urlsafe(SECRET_BYTES)
