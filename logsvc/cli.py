"""The command line: arguments -> settings -> run. The only place that prints.

Exit status: 0 done or found, 1 not found or refused, 2 wrong use or broken.
"""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from logsvc.errors import BadInput, Forbidden, LogsvcError, NotFound, Unauthorized
from logsvc.model.stream import KINDS

app = typer.Typer(
    name="logsvc",
    help="Logs of machine-learning training jobs: stored once, live, whole and searchable.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # help as plain text, at once
    pretty_exceptions_enable=False,
)
grafana_app = typer.Typer(
    help="Dashboards and alerts for Grafana.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(grafana_app, name="grafana")
config_app = typer.Typer(
    help="The service's settings: what is wrong, what is in effect.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(config_app, name="config")
token_app = typer.Typer(
    help="Tokens of the service: who may send, read, administer.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(token_app, name="token")
# Not looked at by the command line: the service says what is wrong with it, and what to do.
DataDir = Annotated[
    Path | None,
    typer.Option(readable=False, help="Folder of the logs. $XDG_DATA_HOME/logsvc unless said otherwise."),
]
OfFolder = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        readable=False,
        help="Data folder that no service has open. The service at LOGSVC_SERVER is asked unless said.",
    ),
]
Config = Annotated[Path | None, typer.Option(help="TOML file with settings.")]
UserLines = Annotated[bool, typer.Option("--user-lines", help="Leave out what the platform wrote.")]
IgnoreCase = Annotated[bool, typer.Option("-i", "--ignore-case", help="In any case.")]
Word = Annotated[bool, typer.Option("-w", "--word", help="Whole words only.")]


def main() -> None:
    """Run a command; what goes wrong is one sentence, never a trace."""
    try:
        app()
    except (NotFound, Forbidden, Unauthorized) as error:
        _fail(error, 1)
    except LogsvcError as error:
        _fail(error, 2)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has enough
        sys.exit(0)
    except Exception as exc:
        if os.environ.get("LOGSVC_TRACE"):
            raise
        print(f"logsvc: this should not have happened: {exc!r}; LOGSVC_TRACE=1 shows where.", file=sys.stderr)
        sys.exit(2)


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; 127.0.0.1 unless said otherwise.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 8600 unless said otherwise.")] = None,
    data_dir: DataDir = None,
    store: Annotated[str | None, typer.Option(help="Where logs are kept: embedded.")] = None,
    config: Config = None,
) -> None:
    """Run the service."""
    from logsvc import logs
    from logsvc.serve import serve as run
    from logsvc.settings import read

    reading = read(config, host=host, port=port, data_dir=data_dir, store=store)
    logs.configure(reading.settings.log_format, reading.settings.log_level)
    logs.unknown_variables(reading.unknown)
    run(reading.settings, lambda address: print(f"viewer: {address}", flush=True))


@app.command()
def follow(
    job: Annotated[str, typer.Argument(help="The job's id.")],
    task: Annotated[list[str] | None, typer.Option(help="Only this task; may be repeated. All unless said.")] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(help=f"Logs of this kind ({', '.join(KINDS)}); may be repeated. The tasks' own unless said."),
    ] = None,
    rank: Annotated[list[int] | None, typer.Option(help="Logs of the process of this rank; may be repeated.")] = None,
    user_lines: UserLines = False,
    start: Annotated[int, typer.Option("--from", help="First line, from 1; -L starts with the last L lines.")] = -10,
    since: Annotated[
        str | None, typer.Option(help="Start at the first line received then: 2h, 1d12h, '2026-11-20 12:00'.")
    ] = None,
    grep: Annotated[str | None, typer.Option(help="Only lines with this text, marked.")] = None,
    regex: Annotated[bool, typer.Option("-e", "--regex", help="The text of --grep is a pattern.")] = False,
    ignore_case: IgnoreCase = False,
    word: Word = False,
    timestamps: Annotated[bool, typer.Option("-t", "--timestamps", help="When each line was received.")] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="End with the last line there is now.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """
    Lines of a job as they come, until it has ended.

    Several tasks come together, each line with its task. After a lost connection no line is missing or repeated.
    """
    from logsvc.commands.follow import Following, Wanted
    from logsvc.commands.printer import Look, Printer, pattern
    from logsvc.commands.terminal import Terminal, quietly

    only = None if grep is None else pattern(grep, regex=regex, ignore_case=ignore_case, word=word)
    wanted = Wanted(
        job,
        frozenset(task or ()),
        _kinds(kind),
        frozenset(rank or ()),
        "user" if user_lines else "all",
        start,
        _moment(since),
    )
    printer = Printer(Terminal(), Look(json, timestamps, only))
    following = Following(_client(), wanted, printer)
    with quietly():
        try:
            asyncio.run(following.print_held() if no_wait else following.run())
        finally:
            printer.end_line()


@app.command()
def search(
    text: Annotated[str | None, typer.Argument(help="What to find; not needed with --level.")] = None,
    job: Annotated[list[str] | None, typer.Option(help="Only this job; may be repeated. All unless said.")] = None,
    task: Annotated[list[str] | None, typer.Option(help="Only this task; may be repeated.")] = None,
    kind: Annotated[list[str] | None, typer.Option(help=f"Only logs of this kind ({', '.join(KINDS)}).")] = None,
    rank: Annotated[list[int] | None, typer.Option(help="Only logs of the process of this rank.")] = None,
    mine: Annotated[bool, typer.Option("--mine", help="Only my jobs.")] = False,
    level: Annotated[list[str] | None, typer.Option(help="Only lines of this level: error, warning.")] = None,
    since: Annotated[str | None, typer.Option(help="Only lines received since: 2h, '2026-11-20 12:00'.")] = None,
    until: Annotated[str | None, typer.Option(help="Only lines received before.")] = None,
    regex: Annotated[bool, typer.Option("-e", "--regex", help="TEXT is a pattern in RE2 syntax.")] = False,
    ignore_case: IgnoreCase = False,
    word: Word = False,
    user_lines: UserLines = False,
    proc: Annotated[
        bool, typer.Option("--proc", help="Also process logs that say the same as a task's log that is searched.")
    ] = False,
    after: Annotated[int, typer.Option("-A", "--after", help="Lines shown behind each match.", min=0, max=20)] = 0,
    before: Annotated[int, typer.Option("-B", "--before", help="Lines shown before it.", min=0, max=20)] = 0,
    context: Annotated[int, typer.Option("-C", "--context", help="Lines shown on both sides.", min=0, max=20)] = 0,
    count: Annotated[bool, typer.Option("-c", "--count", help="How many lines of each log match.")] = False,
    limit: Annotated[int | None, typer.Option("-m", "--limit", help="Matches shown at most.", min=1)] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a match.")] = False,
) -> None:
    """
    Matching lines of all jobs or some, like grep.

    Exit status: 0 found, 1 not found, 2 error.
    """
    from logsvc.commands.search import Wanted
    from logsvc.commands.search import search as run
    from logsvc.commands.terminal import Terminal, quietly

    try:
        if text is None and not level:
            raise BadInput("Say what to find: a text, or --level error.")
        query = {
            "q": "^" if text is None else text,
            "regex": int(regex or text is None),
            "ignore_case": int(ignore_case),
            "word": int(word and text is not None),
            "lines": "user" if user_lines else "all",
            "level": ",".join(level) if level else None,
            "since": _moment(since),
            "until": _moment(until),
            "job": job or None,
            "task": task or None,
            "kind": ",".join(sorted(_kinds(kind))) or None,
            "rank": rank or None,
            "owner": "me" if mine else None,
            "proc": int(proc),
        }
        wanted = Wanted(query, before or context, after or context, count, limit, json)
        terminal = Terminal()
        with quietly():
            outcome = run(_client(), wanted, terminal)
    except LogsvcError as error:
        _fail(error, 2)
    if terminal.told:
        terminal.say(outcome.said)
    if not outcome.exact:
        terminal.say("the time limit ended the search early; there may be more")
    raise typer.Exit(0 if outcome.found else 1 if outcome.exact else 2)


@app.command()
def download(
    job: Annotated[str, typer.Argument(help="The job's id.")],
    task: Annotated[list[str] | None, typer.Option(help="Only files of this task; may be repeated.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File to write, or folder; `-` is standard output.")
    ] = None,
) -> None:
    """
    A job's log files, verbatim; a zip when there are several.

    What was cut is kept beside the file as .part: the same command goes on from there. All is checked by SHA-256.
    """
    from logsvc.commands.download import Download, Wanted
    from logsvc.commands.progress import progress
    from logsvc.commands.terminal import Terminal, quietly

    terminal = Terminal()
    with quietly(), progress(terminal) as watcher:
        written = Download(_client(), watcher).run(Wanted(job, tuple(task or ()), output))
    if written:
        print(terminal.shown(str(written)))


@app.command()
def doctor(data_dir: DataDir = None) -> None:
    """Check a data folder: all checksums and the catalog's sums."""
    from rich.console import Console

    from logsvc.app import examine
    from logsvc.settings import Settings

    folder = Settings.load(data_dir=data_dir).data_dir
    if not folder.is_dir():
        raise NotFound(f"There is no data folder {folder}.")
    console = Console(stderr=True)
    with console.status("Checking…") as status:
        findings = examine(folder, lambda done, total: status.update(f"Checking… {done} of {total}"))
    for finding in findings:
        print(f"{finding.severity}: {finding.place}: {finding.message}")
    if not findings:
        print(f"{folder}: nothing is wrong.")
    raise typer.Exit(1 if any(finding.severity == "error" for finding in findings) else 0)


@app.command()
def demo(
    port: Annotated[int | None, typer.Option(help="Port of the service; 8600, or a free one if that is taken.")] = None,
    seconds: Annotated[float | None, typer.Option("--for", help="End by itself after this time.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Service, collector, and a small real training run to watch."""
    from logsvc.demo import run

    raise typer.Exit(run(port, seconds, data_dir) or 0)


@config_app.command()
def check(config: Config = None) -> None:
    """
    Tell every mistake in the settings at once.

    Looks at the environment, the settings file, and the files of secrets and certificates. Exit status: 0 the service
    takes them, 2 there is a mistake.
    """
    from logsvc.settings import read

    reading = read(config)
    for told in reading.unknown:
        print(f"warning: {told}")
    for mistake in reading.mistakes:
        print(f"error: {mistake}")
    if reading.mistakes:
        raise typer.Exit(2)
    print("No mistake was found.")


@config_app.command()
def show(
    config: Config = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """
    All settings with their values and where each comes from.

    Secrets are not shown.
    """
    from logsvc.commands.config import as_json, toml
    from logsvc.settings import read

    reading = read(config)
    if json:
        print(as_json(reading))
        return
    for line in toml(reading):
        print(line)
    for told in reading.unknown:
        print(f"# {told}")


@token_app.command()
def create(
    role: Annotated[str, typer.Option(help="What it may do: ingest, viewer, admin.")],
    owner: Annotated[str | None, typer.Option(help="Whose it is; the user's who runs the service unless said.")] = None,
    jobs: Annotated[
        list[str] | None,
        typer.Option(
            help="Pattern of the ids of the jobs that it is for ('resnet-*', '*' for all); may be repeated. The "
            "owner's unless said; an ingest token without an owner is for all."
        ),
    ] = None,
    days: Annotated[float | None, typer.Option(help="How long it is good; until it is revoked unless said.")] = None,
    data_dir: OfFolder = None,
) -> None:
    """Make a token and print it. It is not shown again."""
    from logsvc.commands.token import tokens
    from logsvc.core.tokens import Wanted

    print(tokens(data_dir).make(Wanted(role, owner, jobs or None, days))["token"])


@token_app.command("list")
def list_tokens(
    data_dir: OfFolder = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a token.")] = False,
) -> None:
    """All tokens: their ids, not themselves."""
    from json import dumps

    from logsvc.commands.token import table, tokens

    held = tokens(data_dir).all()
    for line in map(dumps, held) if json else table(held):
        print(line)


@token_app.command()
def revoke(
    id: Annotated[str, typer.Argument(help="The token's id, from `logsvc token list`.")],
    data_dir: OfFolder = None,
) -> None:
    """Withdraw a token: from now on nobody knows it."""
    from logsvc.commands.token import tokens

    tokens(data_dir).revoke(id)
    print(f"revoked {id}")


@grafana_app.command()
def push(
    url: Annotated[str, typer.Option(help="Grafana's address, as its own pages begin with.")],
    token_file: Annotated[
        Path | None, typer.Option(help="File with a service account's token; LOGSVC_GRAFANA_TOKEN unless said.")
    ] = None,
    datasource_url: Annotated[
        str | None,
        typer.Option(help="Where Grafana reaches Prometheus; the Prometheus that Grafana has unless said otherwise."),
    ] = None,
    folder: Annotated[
        str, typer.Option(help="Folder of the dashboards and rules, made where it is missing.")
    ] = "logsvc",
    viewer: Annotated[str | None, typer.Option(help="Address of logsvc for readers, for links to its logs.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing, say what would be.")] = False,
) -> None:
    """
    Dashboards and alert rules into a Grafana.

    Twice changes nothing. What people have changed in these dashboards and rules goes; what they added stays.
    """
    from logsvc.commands.grafana import Wanted, token_of
    from logsvc.commands.grafana import push as run
    from logsvc.commands.grafana_api import Grafana

    with Grafana(url, token_of(token_file)) as grafana:
        changed = 0
        for change in run(grafana, Wanted(folder, datasource_url, viewer, dry_run)):
            changed += change.done != "unchanged"
            print(f"{change.done:9}  {change.what}: {change.name}", flush=True)
    if dry_run:
        print("nothing was changed: --dry-run" if changed else "nothing would be changed")
    elif not changed:
        print("nothing was changed")


def _client() -> Any:
    from logsvc.client import Client

    return Client.from_environment()


def _kinds(given: list[str] | None) -> frozenset[str]:
    unknown = set(given or ()) - set(KINDS)
    if unknown:
        raise BadInput(f"There is no kind {sorted(unknown)[0]!a}; kinds are {', '.join(KINDS)}.")
    return frozenset(given or ())


def _moment(text: str | None) -> str | None:
    from logsvc.commands.times import moment

    return None if text is None else moment(text, now=datetime.now().astimezone())


def _fail(error: LogsvcError, status: int) -> NoReturn:
    print(f"logsvc: {error.message}", file=sys.stderr)
    sys.exit(status)
