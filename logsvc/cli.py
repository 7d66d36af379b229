"""The command line: arguments -> settings -> run. The only place that prints.

Exit status: 0 done or found, 1 not found or refused, 2 wrong use or broken.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from logsvc.errors import Forbidden, LogsvcError, NotFound, Unauthorized

if TYPE_CHECKING:
    from rich.text import Text

app = typer.Typer(
    name="logsvc",
    help="Logs of machine-learning training jobs: stored once, live, whole and searchable.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
# Not looked at by the command line, which would say what is wrong in a box: the service says it in a sentence.
DataDir = Annotated[
    Path | None,
    typer.Option(readable=False, help="Folder of the logs. $XDG_DATA_HOME/logsvc unless said otherwise."),
]
SEARCH_PAGE = 500


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
    config: Annotated[Path | None, typer.Option(help="TOML file with settings.")] = None,
) -> None:
    """Run the service."""
    from logsvc import logs
    from logsvc.serve import serve as run
    from logsvc.settings import Settings

    settings = Settings.load(config, host=host, port=port, data_dir=data_dir, store=store)
    logs.configure(settings.log_format, settings.log_level)
    run(settings, lambda address: print(f"viewer: {address}", flush=True))


@app.command()
def follow(
    job: Annotated[str, typer.Argument(help="The job's id.")],
    task: Annotated[str | None, typer.Option(help="The task; the first one unless said otherwise.")] = None,
    user_lines: Annotated[bool, typer.Option("--user-lines", help="Leave out what the platform wrote.")] = False,
    start: Annotated[int, typer.Option("--from", help="First line, from 1; -L starts with the last L lines.")] = -10,
) -> None:
    """Lines of a task's log to the terminal, as they come."""
    client = _client()
    stream = _task_log(client, job, task)
    shown = "user" if user_lines else "all"
    asyncio.run(_follow(client, stream, start, shown))


@app.command()
def search(
    text: Annotated[str, typer.Argument(help="What to find.")],
    job: Annotated[str | None, typer.Option(help="Search this job only.")] = None,
    regex: Annotated[bool, typer.Option("--regex", help="TEXT is a pattern in RE2 syntax.")] = False,
    ignore_case: Annotated[bool, typer.Option("--ignore-case", help="In any case.")] = False,
    user_lines: Annotated[bool, typer.Option("--user-lines", help="Leave out what the platform wrote.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a match.")] = False,
) -> None:
    """Matching lines of one job or of all, like grep: exit status 0 found, 1 not found, 2 error."""
    import orjson
    from rich.console import Console

    client = _client()
    console = Console(highlight=False, soft_wrap=True)
    found = False
    cursor = None
    while True:
        try:
            page = client.get(
                "/search",
                q=text,
                job=job,
                regex=int(regex),
                ignore_case=int(ignore_case),
                lines="user" if user_lines else "all",
                limit=SEARCH_PAGE,
                count="none",
                cursor=cursor,
            )
        except LogsvcError as error:
            _fail(error, 2)
        for match in page["matches"]:
            found = True
            if json:
                sys.stdout.write(orjson.dumps(match).decode() + "\n")
            elif console.is_terminal:
                console.print(_marked(match))
            else:
                sys.stdout.write(f"{match['path']}:{match['n']}:{match['text']}\n")
        cursor = page["cursor"]
        if cursor is None:
            break
    if not page["exact"]:
        print("The time limit ended the search early; there may be more.", file=sys.stderr)
    raise typer.Exit(0 if found else 1)


@app.command()
def download(
    job: Annotated[str, typer.Argument(help="The job's id.")],
    task: Annotated[list[str] | None, typer.Option(help="Only files of this task; may be repeated.")] = None,
    output: Annotated[Path | None, typer.Option("-o", help="File to write; `-` is standard output.")] = None,
) -> None:
    """A job's log files, verbatim; a zip when there are several."""
    client = _client()
    streams = client.get(f"/jobs/{job}/streams")["streams"]
    if task:
        streams = [stream for stream in streams if stream["task"] in task]
    if not streams:
        raise NotFound(f"Job {job} has no log files{' of these tasks' if task else ''}.")
    if len(streams) == 1:
        name = streams[0]["path"].rpartition("/")[2]
        pieces = client.stream(f"/streams/{streams[0]['id']}/raw")
    else:
        name = f"modelarts-job-{job}.zip"
        pieces = client.stream(f"/jobs/{job}/download", task=task or None)
    if output is not None and str(output) == "-":
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        return
    target = output or Path(name)
    partial = target.with_name(target.name + ".part")
    try:
        with open(partial, "wb") as file:
            for piece in pieces:
                file.write(piece)
        partial.replace(target)
    except OSError as exc:
        raise LogsvcError(f"{target} cannot be written: {exc.strerror}.") from exc
    finally:
        partial.unlink(missing_ok=True)
    print(target)


@app.command()
def doctor(data_dir: DataDir = None) -> None:
    """Check a data folder: every checksum of the logs and the sums of the catalog."""
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


def _client() -> Any:
    from logsvc.client import Client

    return Client.from_environment()


def _task_log(client: Any, job: str, task: str | None) -> str:
    """Id of the newest generation of a task's own log."""
    streams = client.get(f"/jobs/{job}/streams")["streams"]
    own = [one for one in streams if one["kind"] == "ordinary" and task in (None, one["task"])]
    if not own:
        raise NotFound(f"Job {job} has no log{f' of task {task}' if task else ''} yet.")
    first = [one for one in own if one["task"] == own[0]["task"]]
    return str(max(first, key=lambda one: one["generation"])["id"])


async def _follow(client: Any, stream: str | None, start: int, shown: str) -> None:
    """Print lines until the stream ends; a next generation is followed in turn."""
    while stream is not None:
        current, stream = stream, None
        unfinished = ""
        async for message in client.follow(current, start=start, lines=shown):
            for line in message.get("lines", ()):
                text = line["text"]
                # What was shown of the line while it grew is not shown again.
                sys.stdout.write((text[len(unfinished) :] if text.startswith(unfinished) else f"\n{text}") + "\n")
                unfinished = ""
            if "partial" in message:
                text = message["partial"]["text"]
                if text.startswith(unfinished):
                    sys.stdout.write(text[len(unfinished) :])
                    unfinished = text
            if "gap" in message:
                gap = message["gap"]
                await asyncio.to_thread(_print_missed, client, current, gap["first_line"], gap["count"], shown)
                unfinished = ""
            if message.get("sealed"):
                stream = message["next_stream"]
            sys.stdout.flush()
        start = 1


def _print_missed(client: Any, stream: str, first: int, count: int, shown: str) -> None:
    """Lines that came faster than this terminal took them, from history."""
    through = first + count - 1
    while first <= through:
        window = client.get(f"/streams/{stream}/lines", **{"from": first, "limit": 5000, "lines": shown})
        for line in window["lines"]:
            if line["n"] <= through:
                sys.stdout.write(line["text"] + "\n")
        if window["through"] < first:
            return
        first = window["through"] + 1


def _marked(match: dict[str, Any]) -> Text:
    from rich.text import Text

    line = Text.assemble((f"{match['path']}:", "magenta"), (f"{match['n']}:", "green"))
    body = Text(match["text"])
    for begin, end in match["spans"]:
        body.stylize("bold red", begin, end)
    return line.append_text(body)


def _fail(error: LogsvcError, status: int) -> NoReturn:
    print(f"logsvc: {error.message}", file=sys.stderr)
    sys.exit(status)
