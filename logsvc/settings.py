"""Every option of the service once: name with its unit, default, what it does.

Each is read, in this order, from an argument, from `LOGSVC_<NAME>`, from the TOML file given by
`--config`, and falls back on its default. A secret (`SecretStr`) is never shown, and may lie in a file that
`<name>_file` or `LOGSVC_<NAME>_FILE` names. Settings are frozen and passed in; nothing is global.
`docs/settings.md` is made from this file (`python -m logsvc.settings`) and a test keeps it so.
"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, get_origin
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from logsvc.errors import CannotStart
from logsvc.model.data_folder import default_data_dir
from logsvc.settings_sources import DEFAULT, PREFIX, Mistake, Place, UnknownVariable, gather, secrets_of
from logsvc.tls import server_context

MIB = 1 << 20
SECRET_LENGTH = 16  # characters at least of what signs


class Settings(BaseSettings):
    """The service's options."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", validate_default=False)

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8600, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    data_dir: Path = Field(
        default_factory=default_data_dir,
        description="Folder of the logs, the catalog and the first admin token. `$XDG_DATA_HOME/logsvc` by default.",
    )
    store: Literal["embedded"] = Field("embedded", description="Where logs are kept: `embedded`, in `data_dir`.")
    public_url: str | None = Field(
        None,
        description="Address that browsers use, where a proxy stands in front: `https://logs.example.com`. "
        "Its origin is accepted besides the request's own, and its scheme decides whether cookies are `Secure`.",
    )
    auth: bool = Field(True, description="Ask for a token. Without it the service answers on a loopback address only.")
    tls_certificate: Path | None = Field(
        None,
        description="File with the certificate (PEM, then those that signed it): the service speaks TLS. "
        "Read again on SIGHUP.",
    )
    tls_key: Path | None = Field(
        None, description="File with the certificate's key, not encrypted; unless it lies in `tls_certificate` too."
    )
    session_days: int = Field(30, ge=1, le=365, description="Days that a browser stays logged in.")
    max_body_bytes: int = Field(
        64 * MIB, ge=1024, le=1024 * MIB, description="Largest body of a request, packed and unfolded."
    )
    max_bodies_bytes: int = Field(
        160 * MIB,
        ge=1024,
        description="Bodies held in memory together, over all requests; further requests wait their turn.",
    )
    search_time_limit_seconds: float = Field(
        30.0, gt=0, le=3600, description="Time after which a search answers with what it has, `exact: false`."
    )
    max_searches: int = Field(
        8, ge=1, le=1024, description="Searches that run at once; further ones wait, and past 64 are told to come back."
    )
    retention_days: int = Field(30, ge=1, description="Days that a job's logs are kept after its end.")
    require_archive_for_ascend: bool = Field(
        True, description="Refuse to describe an Ascend job without an `archive_url`. Its chunks are never refused."
    )
    seal_after_end_seconds: float = Field(
        60.0, ge=0, description="Time from a job's end until its streams are sealed, when nothing more came."
    )
    follow_frames_per_second: float = Field(
        10.0, gt=0, le=100, description="Frames a second at most to one follower; lines that come faster share a frame."
    )
    follow_frame_lines: int = Field(5000, ge=1, le=5000, description="Lines in one frame at most.")
    follow_queue_frames: int = Field(
        64, ge=2, le=4096, description="Frames that wait for one slow follower; beyond them it gets a gap mark."
    )
    follow_lag_lines: int = Field(
        100_000, ge=1000, description="Lines that a stream may run ahead of its followers before a gap mark skips them."
    )
    sample_stale_seconds: float = Field(
        60.0, ge=1, le=3600, description="Age from which a card's last sample says nothing of now any more."
    )
    findings_interval_seconds: float = Field(
        60.0, ge=1, le=3600, description="Time between two looks of the rules on low use at a job."
    )
    metrics_max_jobs: int = Field(
        500, ge=0, le=100_000, description="Jobs that `/metrics` tells of at most, the newest of those that run first."
    )
    metrics_max_cards: int = Field(
        4096, ge=0, le=1_000_000, description="Cards of jobs that `/metrics` has series of at most."
    )
    low_utilization_percent: float = Field(
        50.0, ge=0, le=100, description="A job whose mean utilization of worker-0 lies below is flagged."
    )
    findings_window_minutes: float = Field(
        120.0, ge=30, le=1440, description="How far back the rules on low use look at single samples."
    )
    recent_window_minutes: float = Field(
        15.0,
        ge=0.25,
        le=1440,
        description="What counts as recent, for cards and workers compared and for recent low use.",
    )
    idle_percent: float = Field(5.0, ge=0, le=100, description="Utilization below which a card idles.")
    long_idle_minutes: float = Field(
        10.0, ge=1, le=1440, description="Time that all cards of a job must idle at once to be a finding."
    )
    never_used_minutes: float = Field(
        10.0, ge=1, le=1440, description="Time that a card must be watched without ever being above zero."
    )
    uneven_points: float = Field(
        30.0,
        gt=0,
        le=100,
        description="How far a card or a worker must lie below the others, in points of utilization.",
    )
    orphan_memory_percent: float = Field(
        20.0, gt=0, le=100, description="Share of a card's memory that counts as held, when no process is on the card."
    )
    orphan_memory_minutes: float = Field(10.0, ge=1, le=1440, description="Time that it must be held.")
    sawtooth_points: float = Field(
        30.0,
        gt=0,
        le=100,
        description="Height from which a regular up and down is a finding, in points of utilization.",
    )
    sawtooth_correlation: float = Field(
        0.5, gt=0, lt=1, description="How alike the series must be to itself one period later (autocorrelation)."
    )
    sawtooth_max_seconds: float = Field(300.0, ge=10, le=3600, description="Longest period looked for.")
    checkpoint_near_seconds: float = Field(
        10.0, ge=0, le=300, description="Time between a line about a checkpoint and the dip that it explains."
    )
    checkpoint_lost_percent: float = Field(
        5.0, ge=0, le=100, description="Share of the cards' work that dips at checkpoints must cost to be a finding."
    )
    hang_detect_minutes: float = Field(
        30.0,
        ge=1,
        le=10080,
        description="Time without IO of any process after which a job is looked at as one that "
        "hangs. `MA_HANG_DETECT_TIME` of the job's container goes before it.",
    )
    hang_cycles: int = Field(
        3, ge=1, le=1000, description="Looks in a row that must find no IO, besides the time of `hang_detect_minutes`."
    )
    hang_gap_seconds: float = Field(
        180.0,
        ge=1,
        le=86400,
        description="IO counters that were missing for longer count as moved when they come back.",
    )
    hang_window_minutes: float = Field(
        5.0, ge=0.5, le=1440, description="Window over which variance and median of utilization are compared."
    )
    hang_variance: float = Field(
        1.0,
        ge=0,
        le=2500,
        description="Variance of utilization over a window that still counts as none, points squared.",
    )
    hang_median_points: float = Field(
        1.0, ge=0, le=100, description="Change of the median between two windows that still counts as none, in points."
    )
    hang_cycle_seconds: float = Field(
        60.0, ge=1, le=3600, description="Time between two looks at whether a job hangs; at least a sampling interval."
    )
    webhook_url: SecretStr | None = Field(
        None,  # a secret: receivers know who posts by the address
        description="Where flags raised and cleared are posted to, `http://` or `https://`; see operations.md.",
    )
    webhook_secret: SecretStr | None = Field(
        None, min_length=SECRET_LENGTH, description=f"Signs what is posted there; {SECRET_LENGTH} characters or more."
    )
    webhook_events: tuple[Literal["low_utilization", "hung"], ...] = Field(
        ("low_utilization", "hung"), description="Flags that are posted, with commas between them."
    )
    webhook_grace_minutes: float = Field(
        30.0, ge=0, le=10080, description="How old a running job must be before its `low_utilization` is posted."
    )
    webhook_timeout_seconds: float = Field(10.0, gt=0, le=120, description="Time that one request may take.")
    webhook_retry_hours: float = Field(
        24.0, ge=0, le=720, description="How long an event is tried again that the receiver has not taken."
    )
    shutdown_grace_seconds: int = Field(5, ge=0, le=600, description="Time that requests have to end at a stop.")
    log_format: Literal["console", "json"] = Field("console", description="How the service writes its own log.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="What the service writes to its own log; `debug` shows each request, without its query."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """`read` gathers values from all sources, because it tells where each comes from."""
        return (init_settings,)

    @classmethod
    def load(cls, config: Path | None = None, **given: Any) -> Settings:
        """
        Settings from arguments (None: not given), the environment and a file.

        Raises:
            CannotStart: one sentence for every option that is wrong.
        """
        return read(config, **given).settings

    @property
    def https(self) -> bool:
        """Whether browsers come by TLS, to the service itself or to what stands in front of it."""
        return self.public_url.startswith("https://") if self.public_url else self.tls_certificate is not None

    @field_validator("public_url")
    @classmethod
    def _check_public_url(cls, value: str | None) -> str | None:
        if not value:
            return None
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.path not in ("", "/"):
            raise ValueError("it must be like https://logs.example.com, without a path")
        return f"{parts.scheme}://{parts.netloc}".lower()

    @field_validator("webhook_url")
    @classmethod
    def _check_webhook_url(cls, value: SecretStr | None) -> SecretStr | None:
        if not value:
            return None
        parts = urlsplit(value.get_secret_value())
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("it must be like https://hooks.example.com/logsvc")
        return value

    @field_validator("*", mode="before")
    @classmethod
    def _split(cls, value: Any, info: ValidationInfo) -> Any:
        """Variables and arguments hold lists as words with commas between them."""
        is_list = get_origin(cls.model_fields[str(info.field_name)].annotation) is tuple
        return (
            [part.strip() for part in value.split(",") if part.strip()] if is_list and isinstance(value, str) else value
        )

    @field_validator("data_dir", "tls_certificate", "tls_key")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        try:
            return value and value.expanduser().absolute()
        except RuntimeError as exc:  # `~name` of nobody
            raise ValueError(f"it cannot be found: {exc}") from exc

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        if wrong := list(self._conflicts()):
            raise _Conflicts(wrong)
        return self

    def _conflicts(self) -> Iterator[Mistake]:
        """What is right by itself and wrong together."""
        if self.webhook_url and not self.webhook_secret:
            sentence = "Webhooks are signed: give webhook_secret_file with webhook_url."
            yield Mistake(frozenset({"webhook_url", "webhook_secret"}), sentence)
        if not self.auth and not is_loopback(self.host):
            sentence = (
                f"Authentication is off, so the service may listen on a loopback address only, not on {self.host}: "
                "use --host 127.0.0.1, or turn authentication on."
            )
            yield Mistake(frozenset({"auth", "host"}), sentence)
        tls = frozenset({"tls_certificate", "tls_key"})
        if self.tls_certificate:
            try:
                server_context(self.tls_certificate, self.tls_key)
            except CannotStart as exc:
                yield Mistake(tls, exc.message)
        elif self.tls_key:
            yield Mistake(tls, "A tls_key goes with a tls_certificate: give both.")


@dataclass(frozen=True)
class Reading:
    """What was found where settings come from."""

    held: Settings | None  # None where there are mistakes
    places: dict[str, Place]  # of each setting
    mistakes: list[str]  # sentences
    unknown: list[UnknownVariable]

    @property
    def settings(self) -> Settings:
        """Raises CannotStart: one sentence for every mistake."""
        if self.held is None:
            raise CannotStart(" ".join(self.mistakes))
        return self.held


def read(config: Path | None = None, **given: Any) -> Reading:
    """Settings from arguments (None: not given), the environment and a file, and all that is wrong with them."""
    found = gather(Settings, config, given)
    places = {name: found.places.get(name, DEFAULT) for name in Settings.model_fields}
    mistakes, held, going_on = list(found.mistakes), None, True
    # What goes together is judged only where each is right by itself: so again, without those that are wrong.
    while going_on:
        faulty = frozenset(name for mistake in mistakes for name in mistake.names)
        held, wrong = _judged({name: value for name, value in found.values.items() if name not in faulty}, places)
        mistakes += [mistake for mistake in wrong if not mistake.names & faulty]
        going_on = any(len(mistake.names) == 1 for mistake in wrong)
    return Reading(None if mistakes else held, places, [mistake.sentence for mistake in mistakes], found.unknown)


def is_loopback(host: str) -> bool:
    """True for localhost and for addresses that only this machine can reach."""
    if host.lower() in ("localhost", "ip6-localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class _Conflicts(ValueError):
    def __init__(self, mistakes: list[Mistake]) -> None:
        super().__init__(" ".join(mistake.sentence for mistake in mistakes))
        self.mistakes = mistakes


def _judged(values: dict[str, Any], places: dict[str, Place]) -> tuple[Settings | None, list[Mistake]]:
    try:
        return Settings(**values), []
    except ValidationError as exc:
        wrong: list[Mistake] = []
        for error in exc.errors():
            together = error.get("ctx", {}).get("error")
            if isinstance(together, _Conflicts):
                wrong += together.mistakes
            else:
                wrong.append(_mistake(error, places))
        return None, wrong


def _mistake(error: Any, places: dict[str, Place]) -> Mistake:
    if not error["loc"]:
        return Mistake(frozenset(), error["msg"].removeprefix("Value error, "))
    name = str(error["loc"][0])
    message, given = error["msg"].removeprefix("Value error, "), ""
    if error["type"] in ("too_short", "string_too_short"):
        message = f"it has fewer than {error['ctx']['min_length']} characters"
    elif name not in secrets_of(Settings):
        given = f" It is {str(error['input'])[:80]!r}."
        if error["input"] is not None and str(error["input"]).startswith("tcp://"):
            given += " Kubernetes sets it for a Service of that name: `enableServiceLinks: false` turns that off."
    return Mistake(frozenset({name}), f"{places[name].name} is wrong: {message[0].lower()}{message[1:]}.{given}")


if __name__ == "__main__":
    from logsvc.settings_docs import markdown

    sys.stdout.write(markdown())
