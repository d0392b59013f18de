"""The alerts fire on their symptoms, and alerts, dashboard and page agree with the metrics."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.web.test_metrics import EXIST

ROOT = Path(__file__).resolve().parents[2]
ALERTS, DASHBOARD, PAGE = (ROOT / each for each in ("deploy/alerts.yaml", "deploy/grafana.json", "docs/operating.md"))


def promtool(*arguments: str) -> str:
    """Run promtool, which Debian has in its package `prometheus`; return what it wrote."""
    program = shutil.which("promtool")
    if program is None and os.environ.get("CI"):
        pytest.fail("promtool was not found (apt-get install prometheus)", pytrace=False)
    if program is None:
        pytest.skip("promtool was not found (apt-get install prometheus)")
    done = subprocess.run([program, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_alert_fires_on_its_symptom_and_none_while_all_is_well() -> None:
    promtool("check", "rules", "deploy/alerts.yaml")
    assert "SUCCESS" in promtool("test", "rules", "tests/deploy/alerts.test.yaml")


def test_the_tested_queries_are_those_of_the_dashboard() -> None:
    shown = [target["expr"] for panel in json.loads(DASHBOARD.read_text())["panels"] for target in panel["targets"]]
    tested = re.findall(r"expr: '(.+)'$", (ROOT / "tests/deploy/alerts.test.yaml").read_text(), re.MULTILINE)
    assert tested
    assert set(tested) <= set(shown)


def test_every_alert_has_a_unit_test_and_a_paragraph() -> None:
    alerts = re.findall(r"- alert: (\w+)", ALERTS.read_text())
    links = re.findall(r"operating\.md#(\w+)", ALERTS.read_text())
    tested = re.findall(r"name: (\w+) fires$", (ROOT / "tests/deploy/alerts.test.yaml").read_text(), re.MULTILINE)
    assert (tested, links, re.findall(r"^### (\w+)$", PAGE.read_text(), re.MULTILINE)) == (
        alerts,
        list(map(str.lower, alerts)),
        alerts,
    )


@pytest.mark.parametrize("path", [ALERTS, DASHBOARD], ids=lambda path: path.name)
def test_alerts_and_dashboard_use_only_series_that_exist(path: Path) -> None:
    assert set(re.findall(r"order_sync_\w+", path.read_text())) <= EXIST.keys()


def test_the_page_lists_every_metric() -> None:
    metrics = PAGE.read_text().partition("## Metrics")[2]
    assert set(re.findall(r"`(order_sync_\w+)", metrics)) == EXIST.keys()
