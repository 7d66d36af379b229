r"""What a secret looks like: one table of kinds, each with the form that its maker documents.

RE2 alone reads log text here, over bytes and never across a line's end, so that the time is linear in
the text whatever somebody prints. Each form has a *hint*: a short pattern that every text of this form
holds, and that few other lines do. All hints together are one automaton, which clean log passes once.

What only looks like a secret stays out: digests, UUIDs, commits, dumps of numbers, images in base64
have neither a maker's prefix nor a name beside them that says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import re2

from logsvc.core.secret_values import is_mail, is_mixed, is_named_secret, is_password, is_secret_key, is_told_password

# The first of them names a secret that has the form of several.
KINDS = (
    "private_key",  # PEM and OpenPGP blocks, over several lines or in one
    "signed_url",  # OBS, S3 and others: the query of a URL that is signed
    "url_password",  # scheme://user:password@host
    "jwt",  # RFC 7519: three parts, the first two of them JSON in base64url
    "github_token",
    "gitlab_token",
    "hugging_face_token",
    "slack_token",
    "openai_key",
    "aws_key",  # access key by its prefix; secret key near one, or by its name
    "huawei_key",  # AK/SK: 20 capitals and digits, 40 letters and digits; near each other, or by their names
    "bearer",  # what an Authorization or X-Auth-Token header holds
    "password",  # password=…, --token …, "api_key": "…"
    "email",
)


@dataclass(frozen=True)
class Form:
    """
    One form of a kind.

    Attributes:
        hint: holds in every line that has this form.
        regexp: its groups are the secret, those of them that took part.
        check: whether such bytes are a secret after all.
    """

    kind: str
    hint: bytes
    regexp: Any
    check: Callable[[bytes], bool]


def options() -> Any:
    """Of every automaton here."""
    made = re2.Options()
    made.encoding = re2.Options.Encoding.LATIN1  # any bytes: log text may be broken UTF-8
    made.log_errors = False
    return made


def compiled(pattern: bytes) -> Any:
    """RE2 over any bytes."""
    return re2.compile(pattern, options())


def _any(value: bytes) -> bool:
    return bool(value)


def _form(kind: str, hint: bytes, pattern: bytes, check: Callable[[bytes], bool] = _any) -> Form:
    return Form(kind, hint, compiled(pattern), check)


# Found by a store, too: what it means is `secrets.key_marks`.
KEY_MARK = "-----(?:BEGIN|END) (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
KEY_BEGIN = rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
KEY_END = rb"-----END (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
# Behind a name: the quote that closes it, a separator, the value with its own quotes. JSON inside of JSON has `\"`.
_TO = rb"""\\*["']?[ \t]*(?::=|=>|=)[ \t]*[rbuf]?"""
_TELLS = rb"""\\*["']?[ \t]*:[ \t]*[rbuf]?"""
_IS = rb"""\\*["']?[ \t]*(?::=|=>|=|:)[ \t]*[rbuf]?"""
_QUOTED = rb"""\\*"([^"\n]+)|\\*'([^'\n]+)"""
_BARE = rb"""([^\s"'`,;&]+)"""
_VALUE = rb"(?:" + _QUOTED + rb"|" + _BARE + rb")"
# A value that is long enough behind a name that stands for other things too: `pad_token: 0` is worth no look.
_LONG = rb"""(?:\\*["'][^"'\n]{8}|[^\s"'`,;&]{8})"""
_STRONG = rb"(?i:pass[_-]?word|passwd|pass[_-]?phrase|pwd)"
_NAMED = (
    rb"(?i:secret|(?:secret|private|api|app|access|auth|encryption)[_-]?key|token|credentials?"
    rb"|(?:secret|private|api|app|access|auth)[_-]?(?:token|secret))"
)
_ACCESS_NAME = rb"(?i:(?:^|[^a-z0-9])ak|access_?key(?:_?id)?)"
_SECRET_NAME = rb"(?i:(?:^|[^a-z0-9])sk|secret_?access_?key|secret_?key|access_?key_?secret)"
_SIGNED = rb"(?i:[?&](?:x-(?:obs|amz|goog)-)?(?:signature|security-token|sig)=)"
_ADDRESS = rb"""[^\s"'<>]"""
_AWS_ID = rb"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}"
_NO_KEY = rb"[^A-Za-z0-9/+=_-]"
_GITLAB = rb"gl(?:pat|ptt|rt|cbt|dt|ft|imt|soat|agent|oas|ffct)-"

FORMS = (
    _form(
        "private_key",
        KEY_BEGIN,
        rb"(" + KEY_BEGIN + rb"(?:[^\n]*?[A-Za-z0-9+/]{16}[^\n]*?" + KEY_END + rb"|"
        rb"""(?:[ \t\r"',;]|\\[rn])*$|(?:[ \t]|\\+[rn])*[A-Za-z0-9+/=]{16}[^\n]*))""",
    ),
    _form(
        "signed_url",
        _SIGNED,
        rb"""://[^\s"'<>?]+\?(""" + _ADDRESS + rb"*?(?i:(?:x-(?:obs|amz|goog)-)?(?:signature|security-token|sig)=)"
        rb"[A-Za-z0-9%/+=_-]{16}" + _ADDRESS + rb"*)",
    ),
    _form(
        "url_password",
        rb"""://[^\s"'<>/@:]*:[^\s"'<>/]+@""",
        rb"""://[^\s"'<>/@:]*:([^\s"'<>/]+)@""",
        is_password,
    ),
    _form("jwt", rb"eyJ[A-Za-z0-9_-]{8}", rb"(eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_.-]*)"),
    _form("github_token", rb"gh[pousr]_[A-Za-z0-9]{36}", rb"(gh[pousr]_[A-Za-z0-9]{36,})"),
    _form("github_token", rb"github_pat_[A-Za-z0-9]{22}_", rb"(github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{40,})"),
    _form("gitlab_token", _GITLAB, rb"(" + _GITLAB + rb"[A-Za-z0-9_-]{20,}(?:\.[A-Za-z0-9]{2}\.[A-Za-z0-9]{9})?)"),
    _form("hugging_face_token", rb"\b(?:hf|api_org)_[A-Za-z0-9]{34}", rb"\b((?:hf|api_org)_[A-Za-z0-9]{34,})"),
    _form("slack_token", rb"\bxox[a-z]-[A-Za-z0-9]", rb"\b(xox[abeoprs]-[A-Za-z0-9-]{10,})", is_mixed),
    _form("slack_token", rb"\bxapp-[0-9]-", rb"\b(xapp-[0-9]-[A-Za-z0-9-]{20,})"),
    _form(
        "slack_token",
        rb"hooks\.slack\.com/services/",
        rb"hooks\.slack\.com/services/(T[A-Z0-9]+/B[A-Z0-9]+/[A-Za-z0-9]+)",
    ),
    _form("openai_key", rb"\bsk-[A-Za-z0-9_-]{20}", rb"\b(sk-[A-Za-z0-9_-]{20,})", is_mixed),
    _form("aws_key", rb"\b" + _AWS_ID, rb"\b(" + _AWS_ID + rb")\b"),
    _form(
        "aws_key",
        rb"(?i:aws_?secret)",
        rb"(?i:aws_?secret_?(?:access_?)?key)" + _IS + rb"""\\*["']?([A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+=]|$)""",
        is_secret_key,
    ),
    _form(
        "huawei_key",
        _ACCESS_NAME + _IS,
        _ACCESS_NAME + _IS + rb"""\\*["']?([A-Z0-9]{20})(?:[^A-Za-z0-9]|$)""",
        is_mixed,
    ),
    _form(
        "huawei_key",
        _SECRET_NAME + _IS,
        _SECRET_NAME + _IS + rb"""\\*["']?([A-Za-z0-9]{40})(?:[^A-Za-z0-9/+=]|$)""",
        is_secret_key,
    ),
    _form(
        "bearer",
        rb"(?i:authorization)" + _IS,
        rb"(?i:authorization)" + _IS + rb"""\\*["']?(?i:bearer|basic|token|apikey)[ \t]+([^\s"'`,;\\]+)""",
        is_password,
    ),
    _form(
        "bearer", rb"(?i:x-(?:auth|subject)-token)" + _IS, rb"(?i:x-(?:auth|subject)-token)" + _IS + _VALUE, is_password
    ),
    _form("bearer", rb"(?i:bearer)[ \t]+[A-Za-z0-9]", rb"\b(?i:bearer)[ \t]+([A-Za-z0-9._~+/=-]{16,})", is_mixed),
    _form("password", _STRONG + _TO, _STRONG + _TO + _VALUE, is_password),
    _form("password", _STRONG + _TELLS, _STRONG + _TELLS + rb"(?:" + _QUOTED + rb")", is_password),
    _form("password", _STRONG + _TELLS, _STRONG + _TELLS + _BARE, is_told_password),
    _form("password", _NAMED + _IS + _LONG, _NAMED + _IS + _VALUE, is_named_secret),
    _form(
        "password",
        rb"--?[A-Za-z0-9_-]*" + _STRONG + rb"[ \t]",
        rb"--?[A-Za-z0-9_-]*" + _STRONG + rb"[ \t]+" + _VALUE,
        is_password,
    ),
    _form(
        "password",
        rb"--?[A-Za-z0-9_-]*" + _NAMED + rb"[ \t]+" + _LONG,
        rb"--?[A-Za-z0-9_-]*" + _NAMED + rb"[ \t]+" + _VALUE,
        is_named_secret,
    ),
    _form(
        "email",
        rb"[A-Za-z0-9]@[A-Za-z0-9]",
        rb"([A-Za-z0-9][A-Za-z0-9._%+-]*@(?:[A-Za-z0-9][A-Za-z0-9-]*\.)+[A-Za-z]{2,24})\b",
        is_mail,
    ),
)


@dataclass(frozen=True)
class Pair:
    """Two keys that are known by standing near each other, in either order."""

    kind: str
    hint: bytes
    id: Any
    key: Any


PAIRS = (
    Pair(
        "aws_key",
        rb"\b" + _AWS_ID,
        compiled(rb"\b(" + _AWS_ID + rb")\b"),
        compiled(rb"(?:^|[^A-Za-z0-9/+])([A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+=]|$)"),
    ),
    Pair(
        "huawei_key",
        rb"\b[A-Z0-9]{20}\b",
        compiled(rb"(?:^|[^A-Za-z0-9/+=])([A-Z0-9]{20})(?:[^A-Za-z0-9/+=]|$)"),
        compiled(rb"(?:^|[^A-Za-z0-9/+])([A-Za-z0-9]{40})(?:[^A-Za-z0-9/+=]|$)"),
    ),
)
HINTS = tuple(dict.fromkeys([*(form.hint for form in FORMS), *(pair.hint for pair in PAIRS)]))

# What may become a secret when its line goes on; the one group that took part is it.
UNFINISHED = (
    rb"(?:\b((?:gh[pousr]_|github_pat_|hf_|api_org_|gl[a-z]{2,5}-|xox[a-z]-|xapp-|sk-|eyJ|AKIA|ASIA|ABIA|ACCA)[^\s]*)"
    rb"|(?:" + rb"|".join((_STRONG, _NAMED, _ACCESS_NAME, _SECRET_NAME)) + rb")" + _IS + rb"""\\*["']?([^\s]+)"""
    rb"|--?[A-Za-z0-9_-]*(?:" + _STRONG + rb"|" + _NAMED + rb")[ \t]+([^\s]+)"
    rb"|(?i:bearer|basic)[ \t]+([^\s]+)"
    rb"|(?i:x-(?:auth|subject)-token)" + _IS + rb"([^\s]+)"
    rb"|://[^\s/@:]*:([^\s/]+)"
    rb"|\?([^\s]*" + _SIGNED[:-1].replace(rb"[?&]", rb"") + rb")[^\s]*)"
    rb"|([A-Za-z0-9._%+-]+@[^\s]*)"
    rb"|([A-Za-z0-9/+]{20,}))$"
)
