"""The alerts fire on their symptoms, and alerts, dashboard and page agree with the metrics."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

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


COUNTED = {
    'order_sync_orders_received_total{instance="%s"}': "0+60x130",
    'order_sync_orders_ended_total{instance="%s",status="delivered",carrier="borzo"}': "0+60x130",
    'order_sync_orders_ended_total{instance="%s",status="delivered",carrier="cervo"}': "0+120x130",
    'order_sync_orders_rejected_total{instance="%s",reason="no_courier"}': "0+1x130",
    'order_sync_callbacks_total{instance="%s",answer="401",carrier="borzo"}': "0+60x130",
    'order_sync_dead_letters{instance="%s"}': "3x130",
}
"""What each of two web processes exports."""
SHOWN = {
    "Orders received per minute": [("{}", 60)],
    "Deliveries ended per minute": [('{status="delivered"}', 180)],
    "Callbacks per minute": [('{carrier="borzo", answer="401"}', 120)],
    "Dead letters": [("{}", 3)],
}
"""What the dashboard shows of both together."""
FIRED = {
    "OrdersRejected": {"reason": "no_courier"},
    "CallbacksRefused": {"answer": "401", "carrier": "borzo"},
    "DeadLetters": {},
}


def test_nothing_is_counted_twice_and_each_alert_is_one_when_there_are_two_web_processes(tmp_path: Path) -> None:
    panels = {each["title"]: each["targets"][0]["expr"] for each in json.loads(DASHBOARD.read_text())["panels"]}
    rules = {each["alert"]: each for each in YAML(typ="safe").load(ALERTS)["groups"][0]["rules"]}
    series = [
        {"series": name % web, "values": values} for name, values in COUNTED.items() for web in ("web-1", "web-2")
    ]
    shown = [
        {
            "expr": panels[title],
            "eval_time": "1h",
            "exp_samples": [{"labels": labels, "value": value} for labels, value in samples],
        }
        for title, samples in SHOWN.items()
    ]
    fired = [
        {
            "eval_time": "1h",
            "alertname": name,
            "exp_alerts": [
                {"exp_labels": {**rules[name]["labels"], **labels}, "exp_annotations": rules[name]["annotations"]}
            ],
        }
        for name, labels in FIRED.items()
    ]
    tested = {"interval": "1m", "input_series": series, "promql_expr_test": shown, "alert_rule_test": fired}
    document = tmp_path / "two.test.yaml"
    document.write_text(json.dumps({"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": [tested]}))
    assert "SUCCESS" in promtool("test", "rules", str(document))


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
