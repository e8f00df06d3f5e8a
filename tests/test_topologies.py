"""docs/pipelines.md: what is before and beside the exporter, with the settings that the page shows."""

from __future__ import annotations

import hashlib
import itertools
import re
import threading
import time
from pathlib import Path

import pytest
import yaml

from o2i import numbered, pages, readers
from o2i.collector import REPOSITORY, Collector, free_ports, settings
from o2i.corpus.build import SPAN_A, TRACE_A, attributes, value
from o2i.otlp import REQUEST, Refused
from test_components import validate

SECONDS_MAX = 60


def shown(component: str) -> dict:
    """The page's block with the settings of this component."""
    return yaml.safe_load(pages.block_with(REPOSITORY / "docs" / "pipelines.md", "yaml", f"  {component}:\n"))


@pytest.mark.parametrize("component", ["file_log", "kafka", "filter", "tail_sampling", "transform", "otlp_http/other"])
def test_the_shown_settings_are_valid(component, tmp_path):
    config = shown(component)
    if any("otlp" in pipeline["receivers"] for pipeline in config["service"]["pipelines"].values()):
        config["receivers"] = {"otlp": {"protocols": {"grpc": {"endpoint": "127.0.0.1:4317"}}}}
    config.setdefault("exporters", {"iceberg": None})
    for storage in config.get("extensions", {}).values():
        storage["directory"] = str(tmp_path)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    done = validate("--config", str(tmp_path / "config.yaml"))
    assert done.returncode == 0, done.stderr


# Files


class Writer:
    """Appends numbered lines to a file until the block ends."""

    def __init__(self, path: Path):
        self.path = path
        self.written = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with self.path.open("a") as file:
            for number in itertools.count():
                if self._stop.wait(0.001):
                    return
                file.write(f"{number}\n")
                file.flush()
                self.written = number + 1

    def wait_for_more(self, lines: int) -> None:
        """Waits until this many more lines are written."""
        wait_until(lambda wanted=self.written + lines: self.written >= wanted)


def test_every_line_of_a_file_is_stored_once_over_stops(tmp_path, warehouse):
    config = shown("file_log")
    config["extensions"]["file_storage"]["directory"] = str(tmp_path / "queue")
    config["receivers"]["file_log"]["include"] = [str(tmp_path / "*.log")]
    exporter = config["exporters"]["iceberg"]
    # A stop comes while a batch fills.
    exporter["sending_queue"]["batch"] = {"flush_timeout": "2s"}
    exporter["catalog"] = {"warehouse": str(warehouse)}

    def as_shown(rendered: dict) -> None:
        for section in ("extensions", "receivers"):
            rendered[section] |= config[section]
        rendered["service"]["extensions"] += config["service"]["extensions"]
        rendered["service"]["pipelines"] = config["service"]["pipelines"]

    collector = Collector(tmp_path / "collector", config["exporters"], change=as_shown)
    with Writer(tmp_path / "app.log") as writer:
        for _ in range(3):
            with collector:
                writer.wait_for_more(500)
    with collector:
        numbered.wait_until_stored(warehouse, range(writer.written))
    numbered.once(warehouse, range(writer.written))


# Other exporters


def beside(tmp_path: Path, warehouse: Path, change) -> Collector:
    """A Collector with the page's other exporter, whose destination is down and whose queue holds one request."""
    other = shown("otlp_http/other")["exporters"]["otlp_http/other"]
    [port] = free_ports(1)
    other["endpoint"] = f"http://127.0.0.1:{port}"
    other["sending_queue"] = {"sizer": "requests", "queue_size": 1}
    return Collector(tmp_path / "collector", {"iceberg": settings(warehouse), "otlp_http/other": other}, change=change)


def test_an_exporter_that_refuses_beside_ours_makes_clients_send_again(tmp_path, warehouse):
    """Why the page asks for a pipeline of its own."""
    with beside(tmp_path, warehouse, lambda config: None) as collector, collector.client() as client:
        client.send(numbered.request(range(10)))
        for _ in range(2):
            with pytest.raises(Refused):
                client.send(numbered.request(range(10, 20)))
        wait_until(lambda: sum(numbered.stored(warehouse).values()) == 30)
    assert numbered.stored(warehouse) == {**dict.fromkeys(range(10), 1), **dict.fromkeys(range(10, 20), 2)}


def test_an_exporter_in_a_pipeline_of_its_own_does_not_make_clients_send_again(tmp_path, warehouse):
    def as_shown(config: dict) -> None:
        block = shown("otlp_http/other")
        config["processors"] = block["processors"]
        config["service"]["pipelines"] = block["service"]["pipelines"]

    with beside(tmp_path, warehouse, as_shown) as collector, collector.client() as client:
        numbers = itertools.count()

        def refused_once_more() -> bool:
            number = next(numbers)
            client.send(numbered.request(range(number, number + 1)))
            return "Sender failed" in collector.log()

        wait_until(refused_once_more)
        # What comes while the other exporter refuses is acknowledged, too.
        for _ in range(10):
            refused_once_more()
        sent = next(numbers)
        numbered.wait_until_stored(warehouse, range(sent))
    numbered.once(warehouse, range(sent))


def test_refused_records_are_counted_as_the_alert_says(tmp_path):
    page = (REPOSITORY / "docs" / "operations.md").read_text()
    [names] = set(re.findall(r'__name__=~"(otelcol_\(receiver_refused[^"]*)"', page))
    [port] = free_ports(1)
    exporter = {
        "catalog": {"type": "rest", "uri": f"http://127.0.0.1:{port}"},
        "sending_queue": {"sizer": "requests", "queue_size": 1, "block_on_overflow": False, "batch": {"flush_timeout": "1h"}},
    }
    with Collector(tmp_path, {"iceberg": exporter}, own_metrics=True) as collector, collector.client() as client:
        client.send(numbered.request(range(1)))
        with pytest.raises(Refused):
            client.send(numbered.request(range(10)))
        text = collector.own_metrics_when(lambda text: "otelcol_exporter_enqueue_failed_" in text)
    counted = re.findall(rf"^({names})\{{([^}}]*)\}} (\d+)$", text, re.MULTILINE)
    found = {(name, re.search(r'(?:receiver|exporter)="(\w+)"', labels)[1], int(count)) for name, _, labels, count in counted}
    assert {one for one in found if one[2]} == {
        ("otelcol_receiver_refused_log_records", "otlp", 10),
        ("otelcol_exporter_enqueue_failed_log_records", "iceberg", 10),
    }, text


# Personal data


def test_personal_data_is_deleted_masked_and_replaced_as_shown(tmp_path, warehouse, monkeypatch):
    monkeypatch.setenv("PSEUDONYM_KEY", "secret")
    block = shown("transform")

    def as_shown(config: dict) -> None:
        config["processors"] = block["processors"]
        config["service"]["pipelines"] = block["service"]["pipelines"]

    now = time.time_ns()
    # Ids are numbers as often as texts.
    people = [attributes({"user.id": of, "user.email": "jane@example.com"}) for of in ("42", 42)]
    mails = [{"body": value("from jane@example.com, to bob@example.org."), "attributes": of} for of in people]
    logs = [*mails, {"body": value("nobody"), "attributes": attributes({"env": "dev"})}]
    mail = {"name": "mail", "attributes": attributes({"exception.message": "no such box: jane@example.com", "tries": 3})}
    # Statements about events run once for each event, those about spans once for each span.
    spans = [
        {"trace_id": TRACE_A, "span_id": SPAN_A, "start_time_unix_nano": now, "attributes": people[0], "events": events}
        for events in ([], [mail], [mail, {"name": "other"}])
    ]
    point = {"time_unix_nano": now, "as_int": 1, "attributes": attributes({"user.id": "42", "shop": "here"})}
    gauge = {"name": "cart", "gauge": {"data_points": [point]}}
    with Collector(tmp_path / "collector", {"iceberg": settings(warehouse)}, change=as_shown) as collector:
        with collector.client() as client:
            client.send(REQUEST["logs"](resource_logs=[{"scope_logs": [{"log_records": logs}]}]))
            client.send(REQUEST["traces"](resource_spans=[{"scope_spans": [{"spans": spans}]}]))
            client.send(REQUEST["metrics"](resource_metrics=[{"scope_metrics": [{"metrics": [gauge]}]}]))
        readers.wait_for_rows(warehouse, {"logs": 3, "traces": 3, "metrics_gauge": 1})
    rows = {name: readers.read_duckdb(readers.load(warehouse, name)) for name in ("logs", "traces", "metrics_gauge")}
    pseudonym = {"user.id": hashlib.sha256(b"secret42").hexdigest()}
    found: dict[str, list] = {}
    for row in rows["logs"]:
        found.setdefault(row["Body"], []).append(row["LogAttributes"])
    assert found == {"from ***, to ***.": [pseudonym] * 2, "nobody": [{"env": "dev"}]}
    assert [row["SpanAttributes"] for row in rows["traces"]] == [pseudonym] * 3
    events = [event["Attributes"] for row in rows["traces"] for event in row["Events"] or []]
    masked = {"exception.message": "no such box: ***", "tries": "3"}
    assert [event for event in events if event] == [masked, masked]
    assert [row["Attributes"] for row in rows["metrics_gauge"]] == [{"shop": "here"}]


# Several exporters


def test_the_memory_of_several_exporters_adds_up():
    guide = (REPOSITORY / "docs" / "deployment.md").read_text()
    one, several = (parts_of(guide.partition(f"### {title}")[2].partition("\n#")[0]) for title in ("Memory", "Several exporters"))
    shared = [megabytes for part, megabytes in one.items() if part.startswith(("Go's heap", "pages of the program", "released"))]
    assert len(shared) == 3
    assert f"{one['together'] - sum(shared)} MiB for each" in guide
    four = several.pop("four of them, with the parts that they share")
    each = several.pop("together")
    assert sum(several.values()) == each
    assert four == 4 * each + sum(shared) < 2048


def parts_of(section: str) -> dict[str, int]:
    """The rows of a table of memory, in MiB."""
    rows = re.findall(r"^\| ([^|]+) \| ([\d,]+) \|", section, re.MULTILINE)
    return {part: int(number.replace(",", "")) for part, number in rows}


def wait_until(ready) -> None:
    """Waits until `ready()` holds."""
    deadline = time.monotonic() + SECONDS_MAX
    while not ready():
        assert time.monotonic() < deadline, f"not so within {SECONDS_MAX} s"
        time.sleep(0.02)
