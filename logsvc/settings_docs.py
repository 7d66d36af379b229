"""`docs/settings.md`, made from the settings themselves."""

from __future__ import annotations

from pydantic.fields import FieldInfo

from logsvc.settings import MIB, Settings
from logsvc.settings_sources import FILE, PREFIX, secrets_of


def markdown() -> str:
    """`docs/settings.md`."""
    secrets, rows = secrets_of(Settings), []
    for name, info in Settings.model_fields.items():
        told = f"{info.description} Never shown." if name in secrets else info.description
        rows.append(f"| `{name}` | `{PREFIX}{name.upper()}` | {_shown_default(name, info)} | {told} |")
        if name in secrets:
            file = name + FILE
            rows.append(f"| `{file}` | `{PREFIX}{file.upper()}` | none | File that holds `{name}`; give one of them. |")
    return "\n".join([_HEAD, *rows, "", _TAIL])


def _shown_default(name: str, info: FieldInfo) -> str:
    if name == "data_dir":
        return "`$XDG_DATA_HOME/logsvc`"
    value = info.default
    if value is None:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`{','.join(value)}`"
    if name.endswith("_bytes") and value % MIB == 0:
        return f"`{value}` ({value // MIB} MiB)"
    return f"`{value}`"


_HEAD = """\
# Settings

Every option of `logsvc serve`. Each is read from, in this order: the argument of the command where there is one
(`--port`), the environment variable, the TOML file given by `--config`, the default. The unit is in the name.

| setting | variable | default | what it does |
| --- | --- | --- | --- |"""

_TAIL = """\
A settings file holds the same names:

```toml
port = 8600
data_dir = "/var/lib/logsvc"
retention_days = 30
```

Give secrets by file: a variable is seen by whoever may see the process. White space around a secret is dropped.

A name in the settings file that is no setting, or a value outside its range, stops the start with a sentence that names
it and the nearest there is. An unknown variable `LOGSVC_…` is only warned of in the service's log (`unknown_variable`):
others put such names into an environment, as Kubernetes does for a Service named logsvc.

```
logsvc config check --config /etc/logsvc.toml   # every mistake at once, a sentence each; exit status 2 if there is one
logsvc config show --config /etc/logsvc.toml    # every setting, its value, where it comes from; no secrets
```

`check` also reads the files of secrets and certificates. `show` prints TOML; with `--json` an object with `settings`
(each with `name`, `value`, `source`, `place`, `secret`) and `warnings`.

The clients (`logsvc follow`, `search`, `download`) read `LOGSVC_SERVER` (`http://127.0.0.1:8600` by default), and
`LOGSVC_TOKEN` or `LOGSVC_TOKEN_FILE`. Without either they use the first admin token of the data folder, if this user
may read it. `LOGSVC_TRACE=1` shows where a command failed that should not have.
"""
