"""Query parameters, declared once: read by hand (a log pane asks often) and shown in `/docs`.

Every value that is malformed or out of range is a 422 that names its parameter. Parameters that a
call does not know are passed over, so that newer clients may talk to older services.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

from logsvc.errors import BadInput
from logsvc.model.chunk import MAX_OFFSET

MAX_PARAMETERS = 200
_INTEGER = re.compile(r"-?[0-9]{1,19}")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+ -]\d\d:\d\d)")

Read = Callable[[str, str], Any]  # name and text -> value


@dataclass(frozen=True)
class Parameter:
    """One parameter: how to read it, what to say of it."""

    name: str
    doc: str
    read: Read
    schema: dict[str, Any]
    default: Any = None
    required: bool = False
    many: bool = False  # may be repeated; the value is a list

    def openapi(self) -> dict[str, Any]:
        schema = dict(self.schema)
        if self.default is not None and not self.many:
            schema["default"] = self.default
        if self.many:
            schema = {"type": "array", "items": schema}
        return {
            "name": self.name,
            "in": "query",
            "required": self.required,
            "description": self.doc,
            "schema": schema,
        }


@dataclass(frozen=True)
class Parameters:
    """All parameters of a call."""

    all: tuple[Parameter, ...]
    most: int = MAX_PARAMETERS

    def openapi(self, **more: Any) -> dict[str, Any]:
        """For `openapi_extra`."""
        return {"parameters": [one.openapi() for one in self.all], **more}

    def read(self, query_string: bytes) -> dict[str, Any]:
        """
        Values by name, defaults where nothing was given.

        Raises: BadInput.
        """
        try:
            pairs = parse_qsl(
                query_string.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=self.most
            )
        except UnicodeDecodeError as exc:
            raise BadInput("The query is not UTF-8 in percent-encoding.", parameter=None) from exc
        except ValueError as exc:
            raise BadInput(f"The query has more than {self.most} parameters.", parameter=None) from exc
        given: dict[str, list[str]] = {}
        for name, text in pairs:
            given.setdefault(name, []).append(text)
        return {one.name: _value(one, given.get(one.name)) for one in self.all}


def parameters(*declared: Parameter, most: int = MAX_PARAMETERS) -> Parameters:
    """The parameters of a call, and how many values it takes at most."""
    return Parameters(declared, most)


def integer(
    name: str,
    doc: str,
    *,
    low: int,
    high: int,
    default: int | None = None,
    required: bool = False,
    many: bool = False,
) -> Parameter:
    """A whole number."""

    def read(name: str, text: str) -> int:
        if not _INTEGER.fullmatch(text) or not low <= int(text) <= high:
            raise BadInput(f"{name} must be a whole number from {low} to {high}, not {text[:40]!a}.", parameter=name)
        return int(text)

    schema = {"type": "integer", "minimum": low, "maximum": high}
    return Parameter(name, doc, read, schema, default, required, many)


def line_start(name: str, doc: str) -> Parameter:
    """A line number from 1, or -L for the last L lines."""

    def read(name: str, text: str) -> int:
        if not _INTEGER.fullmatch(text) or not 1 <= abs(int(text)) <= MAX_OFFSET:
            raise BadInput(
                f"{name} must be a line number from 1, or -L for the last L lines, not {text[:40]!a}.", parameter=name
            )
        return int(text)

    schema = {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "integer", "maximum": -1}]}
    return Parameter(name, doc, read, schema, 1)


def text(
    name: str,
    doc: str,
    *,
    required: bool = False,
    longest: int = 1024,
    many: bool = False,
    form: str | None = None,
    shown_longest: int | None = None,
) -> Parameter:
    """Any text that is not empty; `form` and `shown_longest` say more of it in the schema."""

    def read(name: str, value: str) -> str:
        if not 1 <= len(value) <= longest:
            raise BadInput(f"{name} must have 1 to {longest} characters, not {len(value)}.", parameter=name)
        return value

    schema: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": shown_longest or longest}
    if form:
        schema["pattern"] = form
    return Parameter(name, doc, read, schema, None, required, many)


def choice(name: str, doc: str, *values: str, default: str | None = None) -> Parameter:
    """One of some words."""

    def read(name: str, text: str) -> str:
        if text not in values:
            raise BadInput(f"{name} must be one of {', '.join(values)}, not {text[:40]!a}.", parameter=name)
        return text

    return Parameter(name, doc, read, {"type": "string", "enum": list(values)}, default)


def choices(name: str, doc: str, *values: str) -> Parameter:
    """Some of some words, with commas between; a frozenset, empty where nothing was given."""

    def read(name: str, text: str) -> frozenset[str]:
        words = text.split(",")
        if not set(words) <= set(values):
            raise BadInput(
                f"{name} must be some of {', '.join(values)}, with commas between, not {text[:80]!a}.", parameter=name
            )
        return frozenset(words)

    word = "|".join(values)
    schema = {"type": "string", "pattern": f"^({word})(,({word}))*$"}
    return Parameter(name, doc, read, schema)


def flag(name: str, doc: str) -> Parameter:
    """0 or 1."""

    def read(name: str, text: str) -> bool:
        if text not in ("0", "1"):
            raise BadInput(f"{name} must be 0 or 1, not {text[:40]!a}.", parameter=name)
        return text == "1"

    return Parameter(name, doc, read, {"type": "integer", "enum": [0, 1]}, 0)


def moment(name: str, doc: str) -> Parameter:
    """A time in RFC 3339 with its zone; Unix seconds."""
    return Parameter(name, doc, read_time, {"type": "string", "format": "date-time"})


def read_time(name: str, text: str) -> float:
    """Unix seconds of an RFC 3339 time; a `+` that a query turned into a space is understood."""
    try:
        if not _TIME.fullmatch(text):
            raise ValueError
        return datetime.fromisoformat(f"{text[:10]}T{text[11:].replace(' ', '+').upper()}").timestamp()
    except (ValueError, OverflowError) as exc:
        raise BadInput(
            f"{name} must be a time with its zone, as in 2026-11-20T12:00:00Z, not {text[:40]!a}.", parameter=name
        ) from exc


def _value(parameter: Parameter, given: list[str] | None) -> Any:
    name = parameter.name
    if given is None:
        if parameter.required:
            raise BadInput(f"{name} is missing.", parameter=name)
        return [] if parameter.many else parameter.default
    if parameter.many:
        return [parameter.read(name, text) for text in given]
    if len(given) > 1:
        raise BadInput(f"{name} was given {len(given)} times; give it once.", parameter=name)
    return parameter.read(name, given[0])
