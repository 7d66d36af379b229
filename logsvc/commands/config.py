"""What `logsvc config` prints: the settings as they are in effect, and what is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from logsvc.settings import Reading, Settings
from logsvc.settings_sources import Place, secrets_of

NOT_SHOWN = "(not shown)"


def toml(reading: Reading) -> Iterator[str]:
    """
    Lines of TOML, each with where its value comes from; what is not set, and secrets, as comments.

    Raises:
        CannotStart: there are mistakes.
    """
    for name, value, place, secret in _rows(reading):
        if value is None:
            yield f"# {name} is not set"
        else:
            line = f"{name} = {_toml(value)}"
            yield f"{'# ' + line if secret else line:<48}  # {place.name}"


def as_json(reading: Reading) -> str:
    """
    The same for programs.

    Raises:
        CannotStart: there are mistakes.
    """
    settings = [
        {"name": name, "value": value, "source": place.source, "place": place.name, "secret": secret}
        for name, value, place, secret in _rows(reading)
    ]
    return json.dumps({"settings": settings, "warnings": [str(one) for one in reading.unknown]}, ensure_ascii=False)


def _rows(reading: Reading) -> Iterator[tuple[str, Any, Place, bool]]:
    settings, secrets = reading.settings, secrets_of(Settings)
    plain = settings.model_dump(mode="json")
    for name in Settings.model_fields:
        secret = name in secrets
        # A secret's own text never comes near here.
        value = (NOT_SHOWN if getattr(settings, name) else None) if secret else plain[name]
        yield name, value, reading.places[name], secret


def _toml(value: Any) -> str:
    """Strings, numbers, truths and lists of them look in TOML as in JSON."""
    return json.dumps(value, ensure_ascii=False)
