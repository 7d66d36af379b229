"""The collector as one file: what it holds, and that every Python it promises ships bytes verbatim with it."""

from __future__ import annotations

import os
import random
import shlex
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from processes import ServiceProcess

ROOT = Path(__file__).resolve().parents[2]
PYTHONS = ROOT / "build" / "pythons"
PROMISED = ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14")
FETCHED = ("3.9", "3.13", "3.14")  # by `make pythons`, which `make test` calls
BARE = ("-I", "-S")  # no environment, no site-packages: the file and the standard library
SAYS_ITS_MODULES = """
import importlib, pkgutil, sys
sys.path.insert(0, sys.argv[1])
import collectors
for found in pkgutil.walk_packages(collectors.__path__, "collectors."):
    if not found.name.endswith("__main__"):
        importlib.import_module(found.name)
for name, module in sys.modules.items():
    if name.split(".")[0] in ("collectors", "logsvc"):
        print(module.__file__)
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the file is made from, which nobody works on meanwhile."""
    folder = tmp_path_factory.mktemp("source")
    for name in ("collectors", "logsvc", "tools"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "web"))
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture(scope="module")
def pyz(source: Path) -> Path:
    """The file, made as users make it."""
    subprocess.run(["make", "-s", "logsvc-collector.pyz"], cwd=source, check=True)
    return source / "dist" / "logsvc-collector.pyz"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    started = ServiceProcess(tmp_path_factory.mktemp("service") / "data").start()
    yield started
    started.stop()


@pytest.fixture(scope="module", params=PROMISED)
def python(request: pytest.FixtureRequest) -> str:
    """Each Python promised that this machine has, or that could be fetched."""
    version = request.param
    if version == "{}.{}".format(*sys.version_info):
        return sys.executable
    for candidate in (PYTHONS / f"python{version}", shutil.which(f"python{version}")):
        if candidate and runs(candidate):
            return str(candidate)
    missing = PYTHONS / f"python{version}.missing"
    if version in FETCHED and not missing.exists():
        words = f"python{version} is not in {PYTHONS}: run `make pythons`"
        pytest.fail(words) if os.environ.get("LOGSVC_TESTED") else pytest.skip(words)
    pytest.skip(missing.read_text().strip() if version in FETCHED else f"there is no python{version} on this machine")


def runs(candidate: Path | str) -> bool:
    """True of an interpreter, false of a shim for one that is not installed."""
    try:
        return subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def collector(python: str, pyz: Path, service: ServiceProcess, tmp_path: Path, *words: str) -> list[str]:
    """The command line: `words` begin with watch or run."""
    token = tmp_path / "token"
    token.write_text(service.token)
    options = ["--server", f"http://127.0.0.1:{service.port}", "--token-file", str(token)]
    return [python, *BARE, str(pyz), words[0], *options, "--state-dir", str(tmp_path / "state"), *words[1:]]


def stored(service: ServiceProcess, job: str) -> dict[str, bytes]:
    """Bytes of each stream of a job, by path."""
    client = service.client()
    try:
        streams = client.get(f"/jobs/{job}/streams")["streams"]
        return {stream["path"]: client.raw(stream["id"]) for stream in streams}
    finally:
        client.close()


def test_watch_ships_a_folder(python: str, pyz: Path, service: ServiceProcess, tmp_path: Path) -> None:
    job = f"watch-{Path(python).name}"
    chance = random.Random(4)
    logs = tmp_path / "logs"
    files = {
        f"modelarts-job-{job}-worker-0.log": b"".join(b"step %d loss 0.%d\n" % (n, n) for n in range(20_000)),
        f"modelarts-job-{job}/other/worker-0/bytes.log": chance.randbytes(300_000),
        f"modelarts-job-{job}/other/worker-0/one.log": b"x",
    }
    for name, data in files.items():
        (logs / name).parent.mkdir(parents=True, exist_ok=True)
        (logs / name).write_bytes(data)

    subprocess.run(collector(python, pyz, service, tmp_path, "watch", "--once", str(logs)), check=True, timeout=60)

    assert stored(service, job) == files


def test_run_ships_the_output_of_a_command(python: str, pyz: Path, service: ServiceProcess, tmp_path: Path) -> None:
    job = f"run-{Path(python).name}"
    said = tmp_path / "said"
    said.write_bytes(random.Random(5).randbytes(100_000))
    words = ["run", "--job", job, "--no-service-lines", "--", "sh", "-c", f"cat '{said}'; exit 7"]

    done = subprocess.run(collector(python, pyz, service, tmp_path, *words), stdout=subprocess.PIPE, timeout=60)

    assert done.returncode == 7
    assert done.stdout == said.read_bytes()
    assert stored(service, job) == {f"modelarts-job-{job}-worker-0.log": said.read_bytes()}


SAMPLES = """
import sys
sys.path.insert(0, sys.argv[1])
sys.executable = sys.argv[2]  # one that was unpacked needs the libraries beside it
from collectors.samplers.child import Child
from collectors.samplers.host import Host
from collectors.samplers.nvidia import Nvidia
from collectors.samplers.processes import Processes
child = Child("collectors.samplers.mounts:filler")
used, total, read_only = child.ask("/dev/shm")
assert 0 <= used <= total and read_only is False
child.kill()
host = Host(Processes(command=None, job="nobody", task=None))
host.open()
assert host.sample()[0].memory_total_bytes > 0
child = Child("collectors.samplers.child:answering collectors.samplers.nvidia:sampler")
child.ask("open")
print(child.ask("sample"))
child.kill()
"""


def test_samplers_and_their_children_come_out_of_the_file(python: str, pyz: Path, tmp_path: Path) -> None:
    program = tmp_path / "nvidia-smi"
    cells = "0, GPU-a, 5 %, 1 MiB, 2 MiB, 3.50 W, 4"
    head = "index, uuid, utilization.gpu [%], memory.used [MiB], memory.total [MiB], power.draw [W], temperature.gpu"
    program.write_text(
        f"#!/bin/sh\ncase $1 in --query-gpu*) echo '{head}'; echo '{cells}';; *) echo gpu_uuid, pid;; esac\n"
    )
    program.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = [python, *BARE, "-c", SAMPLES, str(pyz), python]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True, timeout=60, check=True
    )
    assert "['0', 'gpu', 5.0, 1048576.0, 2097152.0, 3.5, 4.0" in done.stdout


@pytest.mark.parametrize("name", ["logsvc-collector.service", "kubernetes-daemonset.yaml", "kubernetes-sidecar.yaml"])
def test_the_commands_of_the_examples_ship(name: str, pyz: Path, service: ServiceProcess, tmp_path: Path) -> None:
    """With folders of this test in the place of theirs."""
    logs, state, credentials = (tmp_path / folder for folder in ("logs", "state", "credentials"))
    for folder in (logs, state, credentials):
        folder.mkdir()
    (credentials / "token").write_text(service.token)
    job = f"example-{Path(name).stem}"
    (logs / f"modelarts-job-{job}-worker-0.log").write_bytes(b"epoch 1\n")
    here = {
        "/usr/bin/python3": sys.executable,
        "python3": sys.executable,
        "/opt/logsvc/logsvc-collector.pyz": str(pyz),
        "/run/secrets/logsvc/token": str(credentials / "token"),
        "/var/lib/logsvc-collector": str(state),
        "/var/log/training": str(logs),
        "/logs": str(logs),
        "https://logs.example:8600": f"http://127.0.0.1:{service.port}",
        "${CREDENTIALS_DIRECTORY}/token": str(credentials / "token"),
        "${STATE_DIRECTORY}": str(state),
        "$FOLDERS": str(logs),
    }
    command = []
    for word in command_of(ROOT / "deploy" / name):
        option, equals, value = word.partition("=")
        command.append(option + equals + here.get(value, value) if equals else here.get(word, word))

    environment = {"LOGSVC_SERVER": f"http://127.0.0.1:{service.port}", "HOME": "/nonexistent"}
    subprocess.run([*command, "--once"], check=True, env=environment, timeout=60)

    assert stored(service, job) == {f"modelarts-job-{job}-worker-0.log": b"epoch 1\n"}
    assert [path.name for path in tmp_path.iterdir() if path not in (logs, state, credentials)] == []


def command_of(example: Path) -> list[str]:
    """What systemd or Kubernetes would start."""
    text = example.read_text()
    if example.suffix == ".service":
        [line] = [line for line in text.replace("\\\n", "").splitlines() if line.startswith("ExecStart=")]
        return shlex.split(line.removeprefix("ExecStart="))
    pod = yaml.safe_load(text)["spec"]["template"]["spec"]
    [collector] = [each for each in pod.get("initContainers", []) + pod["containers"] if each["name"] == "collector"]
    return [*collector["command"], *collector["args"]]


TRAIN = "import shutil, sys; print(sys.prefix, shutil.which('tool-of-the-environment') is not None)"
TRAIN_UNTIL_TERM = """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
print("training", flush=True)
signal.sigwait([signal.SIGTERM])
print("saved")
raise SystemExit(3)
"""
# As conda does: the environment's programs first, for a command that it waits for.
CONDA = """#!/bin/sh
[ "$1 $2 $3" = "run --no-capture-output -p" ] || exit 2
PATH=$4/bin:$PATH
shift 4
"$@"
"""


@pytest.fixture(scope="module")
def env_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `envs/<name>` of a conda installation looks like: a Python with a prefix of its own, and tools."""
    folder = tmp_path_factory.mktemp("envs") / "training"
    venv.create(folder, symlinks=True)
    for program, text in (("tool-of-the-environment", "#!/bin/sh\n"), ("fake-conda", CONDA)):
        (folder / "bin" / program).write_text(text)
        (folder / "bin" / program).chmod(0o755)
    return folder


FORMS = {
    "absolute": ["{env}/bin/python", "train.py"],
    "path": ["sh", "-c", 'PATH="{env}/bin:$PATH" exec python train.py'],
    "activate": ["sh", "-c", ". {env}/bin/activate && exec python train.py"],
    "conda": ["{env}/bin/fake-conda", "run", "--no-capture-output", "-p", "{env}", "python", "train.py"],
}


def start_command(form: str, env_folder: Path) -> list[str]:
    """What stands behind `run`'s options."""
    return ["--", *(word.format(env=env_folder) for word in FORMS[form])]


@pytest.mark.parametrize("form", FORMS)
def test_start_commands_use_the_python_of_their_environment(
    form: str, pyz: Path, service: ServiceProcess, env_folder: Path, tmp_path: Path
) -> None:
    """The collector's own Python is another, and nothing of it is handed down."""
    (tmp_path / "train.py").write_text(TRAIN)
    words = ["run", "--job", form, "--no-service-lines", *start_command(form, env_folder)]

    subprocess.run(collector(sys.executable, pyz, service, tmp_path, *words), check=True, cwd=tmp_path, timeout=60)

    said = f"{env_folder} {form != 'absolute'}\n".encode()
    assert stored(service, form) == {f"modelarts-job-{form}-worker-0.log": said}


@pytest.mark.parametrize("form", ["absolute", "path", "activate"])
def test_start_commands_let_the_training_end_in_order(
    form: str, pyz: Path, service: ServiceProcess, env_folder: Path, tmp_path: Path
) -> None:
    """TERM reaches the training itself: it may still save a checkpoint."""
    job = f"ends-{form}"
    (tmp_path / "train.py").write_text(TRAIN_UNTIL_TERM)
    words = ["run", "--job", job, "--no-service-lines", *start_command(form, env_folder)]
    command = collector(sys.executable, pyz, service, tmp_path, *words)

    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline() == b"training\n"
        process.terminate()
        assert process.wait(60) == 3

    assert stored(service, job) == {f"modelarts-job-{job}-worker-0.log": b"training\nsaved\n"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user with one right of root's")
def test_one_right_is_enough_to_read_the_logs_of_others(pyz: Path, service: ServiceProcess, tmp_path: Path) -> None:
    """As in the unit and in the DaemonSet: CAP_DAC_READ_SEARCH and nothing else."""
    log = tmp_path / "modelarts-job-rights-worker-0.log"
    log.write_bytes(b"epoch 1\n")
    log.chmod(0o600)
    state = tmp_path / "state"
    state.mkdir(0o700)
    os.chown(state, 65534, 65534)
    rights = [f"--{kind}-caps=-all,+dac_read_search" for kind in ("inh", "ambient")]
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"]
    nobody += [*rights, "--bounding-set=-all,+dac_read_search"]

    subprocess.run(
        [*nobody, *collector(sys.executable, pyz, service, tmp_path, "watch", "--once", str(log))],
        check=True,
        timeout=60,
    )

    assert stored(service, "rights") == {log.name: b"epoch 1\n"}


def test_it_holds_what_the_collector_imports_and_nothing_else(pyz: Path, source: Path) -> None:
    said = subprocess.run([sys.executable, *BARE, "-c", SAYS_ITS_MODULES, source], check=True, stdout=subprocess.PIPE)
    imported = {Path(line).relative_to(source).as_posix() for line in said.stdout.decode().splitlines()}
    assert "collectors/cli.py" in imported

    with zipfile.ZipFile(pyz) as archive:
        assert archive.namelist() == sorted({*imported, "__main__.py", f"logsvc-{version()}.dist-info/METADATA"})
        assert [name for name in imported if archive.read(name) != (source / name).read_bytes()] == []


def test_a_configmap_can_hold_it(pyz: Path) -> None:
    """At most 1 MiB, and the bytes go in base64."""
    assert pyz.stat().st_size < 700_000


def test_it_says_its_version(pyz: Path) -> None:
    """Started as a program, the way that its first line says."""
    environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    said = subprocess.run([pyz, "--version"], check=True, stdout=subprocess.PIPE, env=environment, cwd="/")
    assert said.stdout.decode() == f"logsvc-collector {version()}\n"


def test_a_python_that_is_too_old_is_told_so(pyz: Path) -> None:
    """Not with a syntax error: images with Python 3.7 are still in use."""
    old = "import runpy, sys; sys.version_info = (3, 7, 16); runpy.run_path(sys.argv[1], run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", old, pyz], stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert done.stderr == b"logsvc-collector: Python 3.9 or newer is needed, this is 3.7\n"


def test_the_same_source_makes_the_same_bytes(python: str, pyz: Path, source: Path, tmp_path: Path) -> None:
    """In another folder, with other times and modes, by another Python."""
    copy = shutil.copytree(source, tmp_path / "copy")
    for path in copy.rglob("*.py"):
        path.chmod(0o600)
        os.utime(path, (1e9, 1e9))

    subprocess.run([python, copy / "tools" / "pyz.py", tmp_path / "again.pyz"], check=True)

    assert (tmp_path / "again.pyz").read_bytes() == pyz.read_bytes()


def version() -> str:
    """As pyproject.toml says it."""
    [line] = [line for line in (ROOT / "pyproject.toml").read_text().splitlines() if line.startswith("version = ")]
    return line.split('"')[1]
