"""`logsvc-collector`: arguments -> settings -> watch or run."""

from __future__ import annotations

import argparse
import io
import json
import os
import shlex
import signal
import sys
import threading
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from collectors.agent import Agent
from collectors.progress import Progress
from collectors.run import RunOptions, run
from collectors.settings import (
    COMPRESSIONS,
    SERVER_DEFAULT,
    Settings,
    identity_from,
    metrics_port_from,
    named_folders,
    platform_folders,
    rank_table_file,
    sample_seconds_from,
    sample_source_from,
    state_folder,
)
from collectors.spool import DROP_OLDEST, POLICIES, RUNS, parse_size
from collectors.state import State
from collectors.status import ask, in_words, left_spools
from collectors.tailer.places import FIRST_TASK
from collectors.words import printable, size
from logsvc.errors import LogsvcError

DONE, REFUSED, BROKEN = 0, 1, 2
LAST_SECONDS = 5.0  # a stopped `watch` sends what it has seen, this long at most unless `--drain` says otherwise
LAST_READINGS_SECONDS = 1.0  # for those that wait, where the logs took all the time
SAME_ORDER_SECONDS = 0.1  # `timeout` signals a process and its group: that is one order, not two
ONCE_SECONDS = 600.0  # `watch --once` gives up where nothing moves for this long


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Entry point; returns the exit status."""
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        return int(given.handler(given))
    except LogsvcError as exc:
        say(exc.message)
        return BROKEN
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return BROKEN


def say(text: str) -> None:
    """One line for a person."""
    try:
        print(f"logsvc-collector: {text}", file=sys.stderr, flush=True)
    except (OSError, ValueError):
        pass  # nobody listens; the logs are sent all the same


def watch(given: argparse.Namespace) -> int:
    """Ship every log file found, now and later."""
    settings = _settings(given)
    folders = [Path(folder).absolute() for folder in given.folders] or platform_folders(os.environ)
    if given.once:
        missing = [str(folder) for folder in folders if not folder.exists()]
        if given.folders and missing:
            say(f"{missing[0]}: no such file or folder")
            return REFUSED
    last_seconds = LAST_SECONDS if given.drain is None else given.drain
    state = State(settings.state_dir)
    try:
        runs = settings.state_dir / RUNS  # what commands have left
        agent = Agent(settings, [*folders, runs], say, state=state, glog_dir=_glog_dir())
    except BaseException:
        state.close()
        raise

    order = _Order(agent, last_seconds)

    for caught in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(caught) is not signal.SIG_IGN or caught != signal.SIGHUP:  # nohup
            signal.signal(caught, order.take)
    signal.signal(signal.SIGALRM, order.expire)
    try:
        agent.show("watch")
        agent.progress = Progress(sys.stderr, say, settings.server, awaited=given.once)
        if given.once:
            return _watch_once(agent, order.stop, given.once_seconds)
        names = ", ".join(map(str, folders))
        say(f"watching {names}; sending to {settings.server}")
        agent.sample()
        agent.loop(order.stop)
        _last_round(agent, last_seconds, patient=given.drain is not None)
        return DONE
    except _Enough:
        say(_not_all_sent(agent, "stopped"))
        return REFUSED if given.once else DONE
    finally:
        order.close()
        agent.close()


def run_command(given: argparse.Namespace) -> int:
    """Run a command; its output becomes the ordinary log."""
    command = list(given.command)
    if command[:1] == ["--"]:
        command = command[1:]
    if not command:
        say("run: nothing to run; put the command behind --")
        return BROKEN
    settings = _settings(given)
    job, task = settings.identity.job, settings.identity.task or FIRST_TASK
    if job is None:
        job = str(uuid.uuid4())
        say(f"job {job}, {task}")
    identity = identity_from(job, task, os.environ)
    settings = Settings(**{**settings.__dict__, "identity": identity})
    folders = [Path(folder).absolute() for folder in given.watch] + named_folders(os.environ)
    options = RunOptions(
        command=command,
        job=job,
        task=task,
        folders=list(dict.fromkeys(folders)),
        glog_dir=_glog_dir(),
        name=given.name,
        set_status=given.set_status,
        service_lines=given.service_lines,
        drain_seconds=given.drain,
        pty=given.pty,
        spool_bytes=parse_size(given.spool_bytes),
        spool_policy=given.spool_policy,
    )
    return run(settings, options, say)


def status(given: argparse.Namespace) -> int:
    """What the collectors of a state folder are doing: 0 running and well and nothing is left behind, 1 not."""
    state_dir = state_folder(given.state_dir, os.environ)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names may be of any bytes
    reports, left = ask(state_dir), left_spools(state_dir)
    if given.json:
        print(json.dumps({"state_dir": os.fspath(state_dir), "collectors": reports, "left_spools": left}, indent=2))
    else:
        print("\n".join(map(in_words, reports)) or f"no collector runs on {printable(os.fspath(state_dir))}")
        for spool in left:
            print(
                f"left behind: {size(spool['bytes'])} of a run that has ended; send it with: "
                f"logsvc-collector watch --once {shlex.quote(spool['folder'])}"
            )
    return DONE if reports and not left and all(report["well"] for report in reports) else REFUSED


class _Enough(Exception):
    """The end was ordered twice, or a request still waits for its answer when the time for it is over."""


class _Order:
    """
    The order to end, by signals: the first ends the watching, the second the sending of what is left.

    Attributes:
        stop: set by the first.
    """

    def __init__(self, agent: Agent, seconds: float) -> None:
        self.stop = threading.Event()
        self._agent, self._seconds = agent, seconds
        self._first_at = 0.0
        self._open = True

    def take(self, signum: int, frame: object) -> None:
        now = self._agent.now()
        if not self.stop.is_set():
            self._first_at = now
            signal.setitimer(signal.ITIMER_REAL, self._seconds + 1)
            self.stop.set()
            self._agent.wake.set()
        elif now - self._first_at > SAME_ORDER_SECONDS:
            self.expire(signum, frame)

    def expire(self, signum: int, frame: object) -> None:
        if self._open:
            self.close()
            raise _Enough

    def close(self) -> None:
        """The end has come: no signal interrupts it; may be called twice."""
        self._open = False
        signal.setitimer(signal.ITIMER_REAL, 0)


def _watch_once(agent: Agent, stop: threading.Event, patience_seconds: float) -> int:
    """Send what is there and end: 0 when all of it is acknowledged, 1 when not."""
    agent.step()

    waiting = _Patience(agent, patience_seconds)
    agent.loop(stop, idle=lambda: agent.is_over() or waiting.is_over())
    if agent.is_done() and not agent.unread():
        say(f"all sent to {agent.client.server}")
        return DONE
    say(_not_all_sent(agent, "stopped" if stop.is_set() else "nothing was taken for too long"))
    return REFUSED


def _not_all_sent(agent: Agent, otherwise: str) -> str:
    """How much is left, and why."""
    reason = agent.problem or agent.unread() or otherwise
    return f"not all sent, {agent.tailer.pending()} bytes wait: {reason}"


class _Patience:
    """Over when nothing was acknowledged for some seconds."""

    def __init__(self, agent: Agent, seconds: float) -> None:
        self._agent, self._seconds = agent, seconds
        self._sent, self._since = agent.shipper.sent_bytes, agent.now()

    def is_over(self) -> bool:
        if self._agent.shipper.sent_bytes != self._sent:
            self._sent, self._since = self._agent.shipper.sent_bytes, self._agent.now()
        return self._agent.now() - self._since > self._seconds


def _last_round(agent: Agent, seconds: float, *, patient: bool) -> None:
    """What was written up to the stop goes too, if the service is there; who is patient waits for it."""
    deadline = agent.now() + seconds
    agent.tailer.scan_wanted = True
    never = threading.Event()

    def is_over() -> bool:
        hopeless = agent.problem is not None or agent.is_stuck()
        return agent.is_done() or agent.now() > deadline or (hopeless and not patient)

    agent.loop(never, idle=is_over)
    if not agent.is_done():
        say(_not_all_sent(agent, "not in time"))
    if agent.sampling:
        agent.sampling.close(max(LAST_READINGS_SECONDS, deadline - agent.now() if patient else 0.0))


def _settings(given: argparse.Namespace) -> Settings:
    environment = os.environ
    token_file = given.token_file or environment.get("LOGSVC_TOKEN_FILE")
    return Settings(
        server=given.server or environment.get("LOGSVC_SERVER") or SERVER_DEFAULT,
        token_file=Path(token_file).expanduser() if token_file else None,  # a start command may have no shell
        token=environment.get("LOGSVC_TOKEN") or None,
        ca_file=Path(given.ca_file) if given.ca_file else None,
        state_dir=state_folder(given.state_dir, environment),
        identity=identity_from(given.job, given.task, environment),
        compress=given.compress,
        rank_table=rank_table_file(environment),
        metrics_port=metrics_port_from(given.metrics_port, environment),
        sample_seconds=sample_seconds_from(given.sample_seconds, environment),
        sample_from=sample_source_from(given.sample_from, environment),
    )


def _glog_dir() -> Optional[Path]:
    folder = os.environ.get("GLOG_log_dir")  # noqa: SIM112 (its real name)
    return Path(folder).absolute() if folder else None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="logsvc-collector", description="Ships log files to a logsvc service: every byte, once, in order."
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and end")
    commands = parser.add_subparsers(metavar="watch | run | status", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--server", metavar="URL", help=f"the service (LOGSVC_SERVER; {SERVER_DEFAULT})")
    common.add_argument("--token-file", metavar="F", help="file with the token (LOGSVC_TOKEN_FILE; or LOGSVC_TOKEN)")
    common.add_argument("--ca-file", metavar="F", help="PEM certificates to trust instead of the system's")
    common.add_argument("--job", metavar="J", help="job id, where file names do not say it (MA_VJ_NAME)")
    common.add_argument("--task", metavar="T", help="task, where file names do not say it (VC_TASK_INDEX; worker-0)")
    common.add_argument("--state-dir", metavar="S", help="checkpoint, lock, spools ($XDG_STATE_HOME/logsvc-collector)")
    common.add_argument("--compress", choices=COMPRESSIONS, default="auto", help="of what is sent (auto)")
    common.add_argument(
        "--metrics-port",
        type=int,
        metavar="N",
        help="serve /metrics and /healthz on 127.0.0.1 (LOGSVC_COLLECTOR_METRICS_PORT; 0: not)",
    )
    common.add_argument(
        "--sample-seconds",
        type=float,
        metavar="N",
        help="sample cards, processes, memory so often, 0: not (LOGSVC_COLLECTOR_SAMPLE_SECONDS; 5 if there is a card)",
    )
    common.add_argument(
        "--sample-from",
        metavar="SOURCE",
        help="read cards from an exporter's URL or a file of readings (LOGSVC_COLLECTOR_SAMPLE_FROM; auto)",
    )

    watcher = commands.add_parser("watch", parents=[common], help="ship every log file found, now and later")
    watcher.add_argument("folders", nargs="*", metavar="DIR", help="folders or files; else the platform's own")
    watcher.add_argument("--once", action="store_true", help="ship what is there, then end: 0 all sent, 1 not")
    watcher.add_argument(
        "--once-seconds",
        type=float,
        default=ONCE_SECONDS,
        metavar="N",
        help="--once gives up after so long without progress",
    )
    watcher.add_argument(
        "--drain",
        type=float,
        metavar="SECONDS",
        help="when stopped, wait so long for a service that is away as well (5 for one that answers)",
    )
    watcher.set_defaults(handler=watch)

    runner = commands.add_parser(
        "run", parents=[common], help="run a command; its output becomes the ordinary log; exits with its status"
    )
    runner.add_argument("--watch", action="append", default=[], metavar="DIR", help="ship the log files in DIR too")
    runner.add_argument("--name", metavar="N", help="name of the job, should this command make it")
    runner.add_argument(
        "--set-status",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="tell the service when the job runs and how it ended (for jobs that a collector made)",
    )
    runner.add_argument(
        "--service-lines",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="write lines of the collector's own at start and end (yes)",
    )
    runner.add_argument(
        "--drain", type=float, default=60.0, metavar="SECONDS", help="wait at the end for the service, at most (60)"
    )
    runner.add_argument("--pty", action="store_true", help="give the command a terminal (progress bars, colours)")
    runner.add_argument(
        "--spool-bytes", default="4G", metavar="N", help="what waits on disk for the service, at most: 512M, 4G (4G)"
    )
    runner.add_argument(
        "--spool-policy",
        choices=POLICIES,
        default=DROP_OLDEST,
        help="when the spool is full: lose the oldest lines, marked in the log, or make the command wait (drop-oldest)",
    )
    runner.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND…")
    runner.set_defaults(handler=run_command)

    teller = commands.add_parser("status", help="what the collectors here are doing: 0 running and well, 1 not")
    teller.add_argument("--state-dir", metavar="S", help="theirs ($XDG_STATE_HOME/logsvc-collector)")
    teller.add_argument("--json", action="store_true", help="for programs")
    teller.set_defaults(handler=status)
    return parser


class _Version(argparse.Action):
    """Says what is installed, or what the single file was made from; looked up only when asked."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"{parser.prog} {version('logsvc')}")
        except PackageNotFoundError:  # straight from a source folder
            print(f"{parser.prog} 0")
        parser.exit()


if __name__ == "__main__":
    sys.exit(main())
