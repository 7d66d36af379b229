"""The examples in deploy/: what they promise about rights, folders, tokens and time; systemd accepts its unit."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
UNIT = DEPLOY / "logsvc-collector.service"
EXAMPLES = ("kubernetes-daemonset.yaml", "kubernetes-sidecar.yaml")
EXPOSURE = 20  # of 100, as systemd-analyze counts what a service may do; "OK" ends at 50


class Example:
    """A Kubernetes example, and the collector's container in it."""

    def __init__(self, name: str) -> None:
        self.whole: dict[str, Any] = yaml.safe_load((DEPLOY / name).read_text())
        self.pod: dict[str, Any] = self.whole["spec"]["template"]["spec"]
        containers = [*self.pod.get("initContainers", []), *self.pod["containers"]]
        [self.collector] = [container for container in containers if container["name"] == "collector"]
        self.options = dict(word[2:].split("=", 1) for word in self.collector["args"] if word.startswith("--"))
        self.folders = [word for word in self.collector["args"][1:] if not word.startswith("--")]
        self.volumes = {volume["name"]: volume for volume in self.pod["volumes"]}

    def mount(self, path: str) -> dict[str, Any]:
        """The mount that a path lies in."""
        [mount] = [
            mount
            for mount in self.collector["volumeMounts"]
            if path == mount["mountPath"] or path.startswith(mount["mountPath"] + "/")
        ]
        return mount

    def volume(self, path: str) -> dict[str, Any]:
        """The volume that a path lies in."""
        return self.volumes[self.mount(path)["name"]]


@pytest.fixture(params=EXAMPLES)
def example(request: pytest.FixtureRequest) -> Example:
    return Example(request.param)


def test_it_reads_logs_and_writes_nothing_but_its_state(example: Example) -> None:
    assert example.folders
    assert all(example.mount(folder)["readOnly"] for folder in example.folders)
    writable = [mount["mountPath"] for mount in example.collector["volumeMounts"] if not mount.get("readOnly")]
    assert writable == [example.options["state-dir"]]
    assert example.collector["securityContext"]["readOnlyRootFilesystem"] is True


def test_the_token_is_a_file_from_a_secret(example: Example) -> None:
    """An environment is shown by `kubectl describe`, inherited by children, and never renewed."""
    path = example.options["token-file"]
    assert example.mount(path)["readOnly"]
    secret = example.volume(path)["secret"]
    assert secret["defaultMode"] & 0o007 == 0
    assert "subPath" not in example.mount(path)  # or it would never be renewed
    assert not [variable for variable in example.collector.get("env", []) if "TOKEN" in variable["name"]]


def test_the_program_comes_from_a_configmap(example: Example) -> None:
    python, *_, program = example.collector["command"]
    assert (python, Path(program).name) == ("python3", "logsvc-collector.pyz")
    assert example.volume(program)["configMap"]["name"] == "logsvc-collector"


def test_it_costs_little_and_may_little(example: Example) -> None:
    resources, rights = example.collector["resources"], example.collector["securityContext"]
    assert resources["requests"].keys() == {"cpu", "memory"} and "memory" in resources["limits"]
    assert rights["capabilities"]["drop"] == ["ALL"]
    assert rights["allowPrivilegeEscalation"] is False
    assert rights["seccompProfile"] == {"type": "RuntimeDefault"}
    assert example.pod["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & example.pod.keys()


def test_the_pod_waits_until_the_collector_has_drained(example: Example) -> None:
    assert int(example.options["drain"]) + 2 < example.pod["terminationGracePeriodSeconds"]


def test_every_mount_has_its_volume_and_every_volume_its_mount(example: Example) -> None:
    containers = [*example.pod.get("initContainers", []), *example.pod["containers"]]
    assert {mount["name"] for each in containers for mount in each["volumeMounts"]} == example.volumes.keys()


def test_on_each_node_one_collector_at_a_time_with_its_state_on_the_node() -> None:
    example = Example("kubernetes-daemonset.yaml")
    spec = example.whole["spec"]
    assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]
    assert spec["updateStrategy"]["rollingUpdate"]["maxSurge"] == 0
    assert {"operator": "Exists"} in example.pod["tolerations"]
    [folder] = example.folders
    assert example.volume(folder)["hostPath"]["path"] == folder  # the same name on the node: less to mistake
    assert "hostPath" in example.volume(example.options["state-dir"])
    rights = example.collector["securityContext"]
    assert (rights["runAsUser"], rights["capabilities"]["add"]) == (0, ["DAC_READ_SEARCH"])


def test_beside_the_training_the_collector_starts_first_and_knows_the_job() -> None:
    example = Example("kubernetes-sidecar.yaml")
    assert example.collector in example.pod["initContainers"] and example.collector["restartPolicy"] == "Always"
    [training] = example.pod["containers"]
    [folder] = example.folders
    assert {mount["name"]: mount["mountPath"] for mount in training["volumeMounts"]} == {"logs": folder}
    assert [variable["name"] for variable in example.collector["env"]] == ["MA_VJ_NAME", "VC_TASK_INDEX"]
    assert training["env"] == example.collector["env"]
    assert f"{folder}/modelarts-job-$MA_VJ_NAME-worker-$VC_TASK_INDEX.log" in training["args"][0]
    assert "capabilities" not in example.pod["securityContext"] and example.pod["securityContext"]["runAsNonRoot"]


def test_the_unit_gives_the_collector_time_to_drain() -> None:
    text = UNIT.read_text()
    drain, stop = re.search(r"--drain (\d+)", text), re.search(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
    assert drain and stop and int(drain[1]) + 2 < int(stop[1])


def test_the_unit_takes_what_its_environment_file_sets() -> None:
    assert re.findall(r"^(\w+)=", (DEPLOY / "collector.env").read_text(), re.MULTILINE) == ["LOGSVC_SERVER", "FOLDERS"]
    assert re.search(r" \$FOLDERS$", UNIT.read_text(), re.MULTILINE)


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with programs that this machine has."""
    if not shutil.which("systemd-analyze"):
        words = "systemd-analyze is missing: apt-get install systemd"
        pytest.fail(words) if os.environ.get("LOGSVC_TESTED") else pytest.skip(words)
    installed = tmp_path / UNIT.name
    installed.write_text(UNIT.read_text().replace("/usr/bin/python3", sys.executable))
    return installed


def test_systemd_accepts_the_unit(unit: Path) -> None:
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_systemd_finds_the_unit_hardened(unit: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE}", "--no-pager", unit]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-500:] + done.stderr


@pytest.mark.parametrize("name", [UNIT.name, *EXAMPLES])
def test_how_to_install_names_files_that_are_there(name: str) -> None:
    """What the comment at the top says to use."""
    comment = "".join(re.findall(r"^#.*\n", (DEPLOY / name).read_text(), re.MULTILINE))
    named = re.findall(r"[\w-]+\.(?:service|env|yaml)\b", comment)
    assert named
    assert [other for other in named if not (DEPLOY / other).is_file()] == []
