"""An outage of the destination is visible in the log's warnings and in the metrics."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from o2i import numbered
from o2i.collector import Collector, free_ports, total

OPERATIONS = Path(__file__).parents[1] / "docs" / "operations.md"


def unreachable(**retry) -> tuple[int, dict]:
    """A free port, and an exporter whose catalog is configured at that port."""
    [port] = free_ports(1)
    return port, {
        "catalog": {"type": "rest", "uri": f"http://127.0.0.1:{port}"},
        "retry_on_failure": retry,
        "sending_queue": {"batch": {"flush_timeout": "100ms"}},
    }


def test_an_outage_is_warned_of_and_counted(tmp_path):
    """The Collector logs from level warn on, as many do, which hides exporterhelper's own lines."""
    port, exporter = unreachable(initial_interval="100ms", max_interval="100ms")

    def quieter(config: dict) -> None:
        config["service"]["telemetry"]["logs"] = {"level": "warn"}

    with Collector(tmp_path, {"iceberg": exporter}, own_metrics=True, change=quieter) as collector:
        before = collector.own_metrics()
        assert 'code="catalog"' in before and total(before, "failed_attempts", "logs") == 0, before
        with collector.client() as client:
            client.send(numbered.request(range(10)), "grpc")
        text = collector.own_metrics_when(lambda text: total(text, "failed_attempts", "logs", 'code="catalog"') >= 3)
        assert total(text, "failed_attempts", "traces") == 0, text
        [warning] = [line for line in collector.log().splitlines() if "Exports are failing" in line]
        assert "\twarn\t" in warning and f"127.0.0.1:{port}" in warning and '"failed_attempts": 1' in warning, warning


def test_the_documented_alerts_name_metrics_that_are_there(tmp_path):
    [rules] = [text for text in re.findall(r"```yaml\n(.*?)```", OPERATIONS.read_text(), re.DOTALL) if text.startswith("groups:")]
    [group] = yaml.safe_load(rules)["groups"]
    named = {name for rule in group["rules"] for name in re.findall(r"otelcol_\w+", rule["expr"])}
    assert len(named) > 8, named
    _, exporter = unreachable(enabled=False)
    with Collector(tmp_path, {"iceberg": exporter}, own_metrics=True) as collector:
        with collector.client() as client:
            client.send(numbered.request(range(10)), "grpc")
        # The Collector's failure counters do not exist before the first failure.
        text = collector.own_metrics_when(lambda text: "otelcol_exporter_send_failed_" in text)
    there = set(re.findall(r"^(otelcol_\w+)\{", text, re.MULTILINE))
    assert re.search(r'^otelcol_exporter_send_failed_log_records\{.*exporter="iceberg".*\} 10$', text, re.MULTILINE), text
    missing = {name for name in named if not any(one.startswith(name) if name.endswith("_") else one == name for one in there)}
    assert not missing, f"{missing} are not in\n{text}"
