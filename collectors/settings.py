"""Every option of the collector once: name, unit, default, variable."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from collectors.samplers.exporter import check_url
from logsvc.errors import BadInput
from logsvc.model.stream import check_job, check_task

SERVER_DEFAULT = "http://127.0.0.1:8600"
PLATFORM_LOGS = "/home/ma-user/modelarts/log"
CANN_LOGS = "~/ascend/log"
COMPRESSIONS = ("auto", "zstd", "gzip", "none")


@dataclass(frozen=True)
class Identity:
    """
    Whose log files these are, as far as flags and environment say.

    Attributes:
        job: job id; None: only file names can tell.
        task: task; None: file names, or `worker-0`.
        rank: the process's rank, for files whose folder names none.
    """

    job: Optional[str] = None
    task: Optional[str] = None
    rank: Optional[int] = None


@dataclass(frozen=True)
class Settings:
    """
    What a collector needs to know; frozen.

    Attributes:
        server: URL of the service (`--server`, LOGSVC_SERVER).
        token_file: file that holds the token (`--token-file`, LOGSVC_TOKEN_FILE).
        token: the token itself (LOGSVC_TOKEN), where there is no file.
        ca_file: PEM certificates to trust instead of the system's (`--ca-file`).
        state_dir: checkpoint, lock and spools (`--state-dir`, XDG_STATE_HOME).
        identity: job, task and rank.
        compress: of bodies: auto, zstd, gzip, none. auto: none to this machine itself, else
            zstd where it can be imported, else gzip.
        metrics_port: of `/metrics` on 127.0.0.1 (`--metrics-port`, LOGSVC_COLLECTOR_METRICS_PORT); 0: none.
        rank_table: file with the job's rank table (RANK_TABLE_FILE); it may appear later.
        sample_seconds: between two samples of cards (`--sample-seconds`, LOGSVC_COLLECTOR_SAMPLE_SECONDS); 0: none;
            None: 5, and nothing is sampled where there is no card.
        sample_from: where cards are read (`--sample-from`, LOGSVC_COLLECTOR_SAMPLE_FROM): auto, the URL of an
            exporter, or a file of readings.
        rest_seconds: between two looks at the folders while nothing comes.
        busy_seconds: between two looks at files that grow.
    """

    server: str
    token_file: Optional[Path] = None
    token: Optional[str] = None
    ca_file: Optional[Path] = None
    state_dir: Path = Path()
    identity: Identity = Identity()
    compress: str = "auto"
    rank_table: Optional[Path] = None
    metrics_port: int = 0
    sample_seconds: Optional[float] = None
    sample_from: str = "auto"
    rest_seconds: float = 1.0
    busy_seconds: float = 0.1


def identity_from(job: Optional[str], task: Optional[str], environment: Mapping[str, str]) -> Identity:
    """
    Flags first, then what the platform puts into a container.

    Raises:
        BadInput: a flag is no job or task. An odd environment is passed over in silence.

    Source: training manual, environment variables of a training container.
    """
    if job is not None:
        check_job(job)
    else:
        job = _job_of(environment.get("MA_VJ_NAME", ""))
    if task is not None:
        check_task(task)
    else:
        index = environment.get("VC_TASK_INDEX", "")
        task = f"worker-{int(index)}" if re.fullmatch(r"[0-9]{1,9}", index) else None
    rank = environment.get("RANK_ID", "")
    return Identity(job, task, int(rank) if re.fullmatch(r"[0-9]{1,9}", rank) else None)


def metrics_port_from(flag: Optional[int], environment: Mapping[str, str]) -> int:
    """
    Where `/metrics` is served; 0: nowhere.

    Raises:
        BadInput: that is no port.
    """
    text = environment.get("LOGSVC_COLLECTOR_METRICS_PORT") or "0" if flag is None else str(flag)
    if not re.fullmatch(r"[0-9]{1,5}", text) or int(text) > 65535:
        raise BadInput(f"metrics port {text!r} is not a number from 0 to 65535")
    return int(text)


def sample_seconds_from(flag: Optional[float], environment: Mapping[str, str]) -> Optional[float]:
    """
    Between two samples; 0: none are taken; None: nobody has said.

    Raises:
        BadInput: it is neither 0 nor 1 to 3600.
    """
    text = environment.get("LOGSVC_COLLECTOR_SAMPLE_SECONDS", "") if flag is None else str(flag)
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if seconds != 0 and not 1 <= seconds <= 3600:
        raise BadInput(f"sample seconds {text!r} are neither 0 nor 1 to 3600")
    return seconds


def sample_source_from(flag: Optional[str], environment: Mapping[str, str]) -> str:
    """
    Where cards are read: `auto`, the whole URL of an exporter's page, or a file of readings.

    Raises:
        BadInput: a URL that is none, or that holds a password.
    """
    text = flag or environment.get("LOGSVC_COLLECTOR_SAMPLE_FROM") or "auto"
    if "://" not in text:
        return text
    try:
        return check_url(text)
    except ValueError as exc:
        raise BadInput(str(exc)) from exc


def state_folder(flag: Optional[str], environment: Mapping[str, str]) -> Path:
    """Where the state lies unless a flag says otherwise: `$XDG_STATE_HOME/logsvc-collector`."""
    if flag:
        return Path(flag).absolute()
    base = environment.get("XDG_STATE_HOME", "")
    if not os.path.isabs(base):
        base = os.path.expanduser("~/.local/state")
    return Path(base) / "logsvc-collector"


def platform_folders(environment: Mapping[str, str]) -> list[Path]:
    """Where log files lie on a node, for `watch` without a folder; they may appear later."""
    return _folders(*_named(environment), PLATFORM_LOGS, CANN_LOGS)


def named_folders(environment: Mapping[str, str]) -> list[Path]:
    """Where programs of this environment log, for `run`; in a container of the platform CANN's own too."""
    return _folders(*_named(environment), *([CANN_LOGS] if environment.get("MA_VJ_NAME") else []))


def rank_table_file(environment: Mapping[str, str]) -> Path:
    """Where the rank table of this container's job lies: RANK_TABLE_FILE, else where the platform mounts it."""
    return Path(environment.get("RANK_TABLE_FILE") or "/user/config/jobstart_hccl.json")


def _named(environment: Mapping[str, str]) -> list[str]:
    return [environment.get(name, "") for name in ("MA_LOG_DIR", "ASCEND_PROCESS_LOG_PATH", "GLOG_log_dir")]


def _folders(*names: str) -> list[Path]:
    """Each once, as absolute paths."""
    return list(dict.fromkeys(Path(os.path.expanduser(name)).absolute() for name in names if name))


def _job_of(name: str) -> Optional[str]:
    """`ma-job-<job>`, `modelarts-job-<job>` or the bare id; None where it is none."""
    for prefix in ("modelarts-job-", "ma-job-"):
        if name.startswith(prefix):
            name = name[len(prefix) :]
            break
    try:
        return check_job(name)
    except BadInput:
        return None
