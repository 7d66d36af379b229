"""Where values of settings come from: arguments, environment, file; secrets also out of files of their own.

Nothing is judged here but names: what no setting is called is told with the nearest that there is. Of the
environment it is a warning, since others put names there too (Kubernetes does, for a Service named logsvc);
in the settings file, which is ours alone, it is a mistake.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource

PREFIX = "LOGSVC_"
FILE = "_file"  # `<secret>_file` names a file that holds the secret
# Of the commands that ask a service, and of all commands.
OTHER_VARIABLES = frozenset({"server", "token", "token_file", "grafana_token", "trace"})
# Of the collector, the demo and the tests; and what Kubernetes sets for a Service named logsvc.
OTHER_BEGINNINGS = ("collector_", "demo_", "test", "service_", "port_")


class Place(NamedTuple):
    """Where a value was given."""

    source: Literal["argument", "environment", "file", "default"]
    name: str  # for a person: `--port`, `LOGSVC_PORT`, `port in /etc/logsvc.toml`


DEFAULT = Place("default", "default")


class Mistake(NamedTuple):
    """A sentence, and the settings that it is about."""

    names: frozenset[str]
    sentence: str


class UnknownVariable(NamedTuple):
    """A variable of the environment that looks like a setting and is none."""

    name: str
    nearest: str | None

    def __str__(self) -> str:
        return f"The variable {self.name} is no setting and changes nothing{_perhaps(self.nearest)}."


@dataclass
class Gathered:
    """Values as they were given, unjudged, and what is wrong with their names and files."""

    values: dict[str, Any] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)
    unknown: list[UnknownVariable] = field(default_factory=list)


def gather(model: type[BaseSettings], config: Path | None, arguments: Mapping[str, Any]) -> Gathered:
    """
    The first value of each setting: argument, then variable, then file.

    Args:
        config: the settings file, TOML.
        arguments: by name of the setting; None where one was not given.
    """
    found = Gathered()
    known = {*model.model_fields, *(name + FILE for name in secrets_of(model))}
    given = {name: value for name, value in arguments.items() if value is not None}
    _take(found, model, given, {name: Place("argument", "--" + name.replace("_", "-")) for name in given})

    variables = _variables(model)
    for name in sorted(variables.keys() - known):
        if name not in OTHER_VARIABLES and not name.startswith(OTHER_BEGINNINGS):
            near = nearest(name, known)
            found.unknown.append(UnknownVariable(_variable(name), _variable(near) if near else None))
    held = {name: value for name, value in variables.items() if name in known}
    _take(found, model, held, {name: Place("environment", _variable(name)) for name in held})

    if config is not None:
        held, mistake = _read(config)
        if mistake:
            found.mistakes.append(Mistake(frozenset(), mistake))
        for name in sorted(held.keys() - known):
            sentence = f"`{name}` in {config} is no setting{_perhaps(nearest(name, known))}."
            found.mistakes.append(Mistake(frozenset(), sentence))
        held = {name: value for name, value in held.items() if name in known}
        _take(found, model, held, {name: Place("file", f"{name} in {config}") for name in held})
    return found


def secrets_of(model: type[BaseSettings]) -> tuple[str, ...]:
    """Settings that are never shown, and that may lie in a file of their own."""
    return tuple(name for name, info in model.model_fields.items() if _is_secret(info))


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The name that was meant, most likely; None where nothing is near."""
    return next(iter(get_close_matches(name.lower(), sorted(known), 1, 0.6)), None)


def _take(found: Gathered, model: type[BaseSettings], held: Mapping[str, Any], places: Mapping[str, Place]) -> None:
    """Values of one source, for settings that none before it gave."""
    before = frozenset(found.places)
    for name, value in held.items():
        if name in model.model_fields and name not in before:
            found.values[name], found.places[name] = value, places[name]
    for name, value in held.items():
        secret = name.removesuffix(FILE)
        if name in model.model_fields or secret in before or not value:  # empty: passed on, and not set
            continue
        if held.get(secret):
            sentence = f"Both {places[secret].name} and {places[name].name} are given: give one of them."
            found.mistakes.append(Mistake(frozenset({secret}), sentence))
            continue
        found.places[secret] = places[name]
        try:
            found.values[secret] = Path(str(value)).expanduser().read_text(encoding="utf-8").strip()
        except (OSError, ValueError, RuntimeError) as exc:  # not text, NUL in a name, `~name` of nobody
            reason = "it is not text" if isinstance(exc, UnicodeDecodeError) else getattr(exc, "strerror", None) or exc
            sentence = f"The file {value!s:.200} of {places[name].name} cannot be read: {reason}."
            found.mistakes.append(Mistake(frozenset({secret}), sentence))


def _variables(model: type[BaseSettings]) -> dict[str, str]:
    """Our variables, by name in small letters without the prefix."""
    prefix = PREFIX.lower()
    return {
        name.removeprefix(prefix): value
        for name, value in EnvSettingsSource(model).env_vars.items()
        if name.startswith(prefix) and value is not None
    }


def _variable(name: str) -> str:
    return PREFIX + name.upper()


def _read(config: Path) -> tuple[dict[str, Any], str | None]:
    """What a settings file holds, or a sentence on why it cannot be read."""
    try:
        return tomllib.loads(config.read_text(encoding="utf-8")), None
    except OSError as exc:
        return {}, f"The settings file {config} cannot be read: {exc.strerror}."
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        return {}, f"The settings file {config} is not TOML: {exc}."


def _perhaps(near: str | None) -> str:
    return f"; the nearest is {near}" if near else ""


def _is_secret(info: FieldInfo) -> bool:
    return SecretStr in (info.annotation, *get_args(info.annotation))
