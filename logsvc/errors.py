"""Every error that a user of logsvc may meet, each with a code that never changes.

The code is public interface (`docs/http-api.md`); `logsvc/api/errors.py` holds the one table
code -> HTTP status. This module imports nothing at run time, so that collectors may use it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class LogsvcError(Exception):
    """Root of the tree. `detail` is what a program may act on; the message is for a person."""

    code = "internal"

    def __init__(self, message: str, **detail: Any) -> None:
        super().__init__(message)
        self.message = message
        self.detail: dict[str, Any] = detail


# What was asked is malformed: asking again changes nothing.


class BadInput(LogsvcError):
    """A parameter is missing, has the wrong type, or lies outside its range."""

    code = "bad_input"


class BadPath(BadInput):
    """A stream's path is none of the kinds that the contract names."""

    code = "bad_path"


class BadPattern(BadInput):
    """A search pattern that RE2 refuses."""

    code = "bad_pattern"


class BadBody(BadInput):
    """A request's body is not what its headers say: broken compression, framing or JSON."""

    code = "bad_body"


class ArchiveRequired(BadInput):
    """An Ascend job was put without a place to archive its logs to."""

    code = "archive_required"


class TooLarge(LogsvcError):
    """A body, packed or unfolded, is over its limit (`detail.limit_bytes`)."""

    code = "too_large"


class UnknownEncoding(LogsvcError):
    """A `Content-Encoding` other than zstd, gzip or identity."""

    code = "unknown_encoding"


# Who asks.


class Unauthorized(LogsvcError):
    """No token, or one that nobody knows."""

    code = "unauthorized"


class Forbidden(LogsvcError):
    """A known token without the right, or a page from another origin."""

    code = "forbidden"


# What is asked for.


class NotFound(LogsvcError):
    """No such job, stream or page."""

    code = "not_found"


class Expired(LogsvcError):
    """The job's logs were kept their time and are gone; stop sending."""

    code = "expired"


# What the state of a stream or a record does not allow.


class Conflict(LogsvcError):
    """Somebody else changed it first."""

    code = "conflict"


class OffsetGap(Conflict):
    """A chunk starts past the end of its stream; resend from `detail.expected`."""

    code = "offset_gap"

    def __init__(self, stream: object, *, expected: int, got: int) -> None:
        super().__init__(
            f"{stream}: chunk at byte {got}, but the stream ends at byte {expected}; resend from there",
            expected=expected,
            got=got,
        )
        self.expected, self.got = expected, got


class ContentConflict(Conflict):
    """Resent bytes differ from those held: the file is another generation."""

    code = "content_conflict"

    def __init__(self, stream: object, *, offset: int) -> None:
        super().__init__(
            f"{stream}: the bytes sent differ from those held at byte {offset}; the file was replaced, "
            "send it as the next generation",
            offset=offset,
        )
        self.offset = offset


# What the service cannot do just now; `detail.retry_after_seconds` says when to ask again.


class TooManyRequests(LogsvcError):
    """A bound on this caller's requests is reached."""

    code = "too_many_requests"


class StoreUnavailable(LogsvcError):
    """The store cannot answer or cannot make bytes durable; nothing was acknowledged."""

    code = "store_unavailable"

    def __init__(self, message: str, *, retry_after_seconds: int = 2) -> None:
        super().__init__(message, retry_after_seconds=retry_after_seconds)


class DiskFull(StoreUnavailable):
    """No room for more bytes; what is held can still be read."""

    code = "disk_full"

    def __init__(self, message: str, *, retry_after_seconds: int = 30) -> None:
        super().__init__(message, retry_after_seconds=retry_after_seconds)


# What an operator must mend before the service starts.


class CannotStart(LogsvcError):
    """Settings, data folder or surroundings do not allow a start; the message says what to do."""

    code = "cannot_start"
