"""Is this value a secret, or a digest, a number, a placeholder, a piece of code? Bytes in, yes or no."""

from __future__ import annotations

MASK = "██████"  # one form for all: it tells nothing of what it hides, not even how long that was
MASK_BYTES = MASK.encode()

_NOTHING = frozenset(
    (b"none", b"null", b"nil", b"true", b"false", b"undefined", b"required", b"optional", b"redacted", b"hidden")
)
_STAND_INS = (MASK_BYTES, "•".encode(), "…".encode(), b"...")
_BRACKETS = ((b"<", b">"), (b"[", b"]"), (b"{", b"}"), (b"${", b"}"), (b"$(", b")"), (b"%", b"%"), (b"%(", b")s"))
_CODE_WORDS = (b"pass", b"pwd", b"token", b"secret", b"key", b"cred", b"environ", b"config", b"args", b"self")
_NAME_BYTES = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_.")
_PATH_BYTES = _NAME_BYTES | frozenset(b"0123456789-/~")
_FILE_ENDINGS = frozenset(
    b"png jpg jpeg gif svg webp py pyc so js ts css html json yaml yml toml txt log gz zip md service socket target "
    b"timer mount slice scope device local localdomain internal plt got".split()
)
MIN_PASSWORD_BYTES = 3
MIN_NAMED_BYTES = 8


def is_password(value: bytes) -> bool:
    """What somebody would give as a password, and not a stand-in for one nor an expression of a program."""
    if len(value) < MIN_PASSWORD_BYTES or value.startswith(_STAND_INS):
        return False
    folded = value.lower()
    if folded in _NOTHING or len(set(folded)) == 1:  # "****", "xxxx"
        return False
    if any(value.startswith(begin) and value.endswith(end) for begin, end in _BRACKETS):
        return False
    if value.startswith(b"$") and value[1:].replace(b"_", b"").isalnum() and value.upper() == value:  # $DB_PASSWORD
        return False
    if (b"(" in value and value.endswith((b"(", b")"))) or _is_path(value):  # getpass(), os.getenv(…; PWD=/home/work
        return False
    return not (set(value) <= _NAME_BYTES and any(word in folded for word in _CODE_WORDS) and _is_reference(folded))


def is_named_secret(value: bytes) -> bool:
    """What stands behind a name such as `token`, which also names the words that a model reads."""
    return len(value) >= MIN_NAMED_BYTES and is_password(value) and is_mixed(value)


def is_told_password(value: bytes) -> bool:
    """What stands behind `password: ` without quotes, where prose may stand as well."""
    return is_password(value) and has_letter(value) and not value.isalpha() and not _is_word(value)


def is_mixed(value: bytes) -> bool:
    """It holds a letter and a digit."""
    return has_letter(value) and any(48 <= byte <= 57 for byte in value)


def is_secret_key(value: bytes) -> bool:
    """40 characters with capitals, small letters and digits: no digest in hexadecimal, which has one case."""
    return is_mixed(value) and value.lower() != value != value.upper()


def is_mail(value: bytes) -> bool:
    """`name@host.tld`, and neither a file (icon@2x.png) nor the user of a repository (git@github.com:…)."""
    local, _, host = value.rpartition(b"@")
    ending = host.rpartition(b".")[2].lower()
    return local != b"git" and ending not in _FILE_ENDINGS


def has_letter(value: bytes) -> bool:
    """An ASCII letter."""
    return value.lower() != value.upper()


def _is_word(value: bytes) -> bool:
    """A word of prose with what may stand behind it."""
    return value.rstrip(b".,:!?").replace(b"-", b"").replace(b"'", b"").isalpha()


def _is_path(value: bytes) -> bool:
    return value.startswith((b"/", b"~/", b"./")) and set(value) <= _PATH_BYTES


def _is_reference(folded: bytes) -> bool:
    """`self.password`, `args.db_pwd`, or a bare name that is one of the words themselves."""
    return b"." in folded or folded.strip(b"_") in (
        b"password", b"passwd", b"pwd", b"token", b"secret", b"api_key", b"apikey", b"key", b"passphrase", b"pass_word",
        b"credentials", b"credential", b"db_password", b"secret_key", b"access_key", b"auth_token", b"access_token",
    )  # fmt: skip
