"""The shipped binary: linked libraries, notices, the example configuration, its own metrics, third-party clients."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time

import pytest
import yaml

from o2i import clients, corpus, readers
from o2i.collector import REPOSITORY, START_SECONDS_MAX, Collector, binary, free_ports, settings, total

LIBC_FAMILY = {
    "linux-vdso", "libc", "libm", "libdl", "libpthread", "librt", "libgcc_s", "libresolv", "ld-linux-x86-64",
    "ld-linux-aarch64",
}  # fmt: skip


def test_the_collector_links_only_the_c_library():
    linked = subprocess.run(["ldd", binary()], capture_output=True, text=True, check=True).stdout
    names = {re.sub(r"\.so.*", "", line.split()[0].rsplit("/", 1)[-1]) for line in linked.splitlines()}
    assert names <= LIBC_FAMILY, f"linked beyond the C library: {sorted(names - LIBC_FAMILY)}"


# What `make collector` writes beside the program.
DIST = REPOSITORY / "dist"


@pytest.fixture(scope="module")
def notices() -> str:
    return (DIST / "THIRD-PARTY-NOTICES.txt").read_text()


@pytest.fixture(scope="module")
def listed(notices) -> dict[str, str]:
    """The licence of each part that the notices list."""
    return dict(line.split(": ", 1) for line in notices.partition("\n\n")[2].partition("\n\n")[0].splitlines())


def test_the_notices_have_the_texts_that_licences_ask_for(notices, listed):
    [ring] = [part for part in listed if part.startswith("ring ")]
    assert listed[ring] == "Apache-2.0 AND ISC"
    assert f"\n{ring} (LICENSE-other-bits)\n" in notices and f"\n{ring} (third_party/fiat/LICENSE)\n" in notices
    [roots] = [part for part in listed if part.startswith("webpki-roots ")]
    assert listed[roots] == "CDLA-Permissive-2.0"
    assert "Community Data License Agreement" in notices
    lru = [part for part in listed if part.startswith("github.com/hashicorp/golang-lru")]
    assert lru and all("MPL-2.0" in listed[part] for part in lru)
    # It asks to say where the source is, too.
    assert "Mozilla Public License, version 2.0" in notices
    assert "https://proxy.golang.org/<module>/@v/<version>.zip" in notices
    # Code that a module includes from elsewhere has a licence of its own.
    assert re.search(r"^github\.com/klauspost/compress v\S+ \(zstd/internal/xxhash/LICENSE\.txt\)$", notices, re.MULTILINE)
    assert "Copyrights in the Rust Standard Library are retained by their contributors." in notices
    assert "Copyright 2009 The Go Authors." in notices
    assert (DIST / "LICENSE").read_bytes() == (REPOSITORY / "LICENSE").read_bytes()


def test_the_notices_are_those_of_the_program(listed):
    """Go writes its modules into a program, and Rust the paths of source files, for messages of panics."""
    done = subprocess.run(["go", "version", "-m", binary()], capture_output=True, text=True, check=True, timeout=60)
    dependencies = [line.split("\t")[2:4] for line in done.stdout.splitlines() if line.startswith("\tdep\t")]
    modules = {f"{path} {version}" for path, version in dependencies if not path.startswith("github.com/otlp2iceberg/")}
    assert len(modules) > 100
    assert modules <= listed.keys(), sorted(modules - listed.keys())
    assert f"Go {done.stdout.splitlines()[0].rpartition(': go')[2].split()[0]}" in listed
    paths = re.findall(rb"registry/src/[^/]+/([\w.+-]+?)-(\d+\.\d+\.\d+[\w.+-]*)/", binary().read_bytes())
    crates = {f"{name.decode()} {version.decode()}" for name, version in paths}
    assert len(crates) > 50
    assert crates <= listed.keys(), sorted(crates - listed.keys())


def test_the_list_for_scanners_has_the_parts_of_the_notices(listed):
    bill = json.loads((DIST / "otelcol-iceberg.cdx.json").read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    version = re.search(r'^version = "(.*)"$', (REPOSITORY / "Cargo.toml").read_text(), re.MULTILINE)[1]
    program = bill["metadata"]["component"]
    assert (program["name"], program["version"]) == ("otelcol-iceberg", version)
    names = {"stdlib": "Go"}
    found = {f"{names.get(one['name'], one['name'])} {one['version']}" for one in bill["components"]}
    assert found == listed.keys()
    assert len(bill["components"]) == len(listed)


def test_the_guide_lists_the_components():
    page = (REPOSITORY / "docs" / "pipelines.md").read_text().partition("## Components")[2].partition("\n## ")[0]
    listed = {kind: re.findall(r"`(\w+)`", names) for kind, names in re.findall(r"^\| (\w+) \| (`.*`) \|$", page, re.MULTILINE)}
    done = subprocess.run([binary(), "components"], capture_output=True, text=True, check=True, timeout=30)
    output = yaml.safe_load(done.stdout)
    assert listed == {kind: [one["name"] for one in output[kind]] for kind in ("receivers", "processors", "exporters", "extensions")}
    assert not output["connectors"]


@pytest.mark.parametrize("over", ["grpc", "http"])
def test_what_the_python_sdk_sends_is_stored(over, tmp_path, warehouse):
    with Collector(tmp_path / "collector", {"iceberg": settings(warehouse)}) as collector:
        sent = clients.send_with_sdk(collector, logs=30, spans=20, points=7, over=over)
        readers.wait_for_rows(warehouse, sent)
    tables = {name: readers.read_duckdb(readers.load(warehouse, name)) for name in sent}
    assert {name: len(rows) for name, rows in tables.items()} == sent
    bodies = {row["Body"] for row in tables["logs"]}
    assert {"message 0", '{"message":"structured","number":1}'} <= bodies
    assert {row["ServiceName"] for rows in tables.values() for row in rows} == {clients.SDK_SERVICE}
    assert {row["ResourceAttributes"]["process.tags"] for row in tables["traces"]} == {'["a","b"]'}
    spans = {int(row["SpanAttributes"]["number"]): row for row in tables["traces"]}
    assert [spans[n]["StatusCode"] for n in (0, 1, 10)] == ["Error", "Unset", "Error"]
    assert spans[3]["Links"][0]["SpanId"] == spans[2]["SpanId"]
    assert sorted(row["Value"] for row in tables["metrics_gauge"]) == [n + 0.5 for n in range(7)]
    assert sorted(row["ValueInt"] for row in tables["metrics_sum"]) == list(range(7))
    assert {row["AggregationTemporality"] for row in tables["metrics_sum"]} == {"Cumulative"}
    assert sorted(row["Sum"] for row in tables["metrics_histogram"]) == [float(n) for n in range(7)]
    assert all(len(row["BucketCounts"]) == len(row["ExplicitBounds"]) + 1 for row in tables["metrics_histogram"])
    assert sum(row["ZeroCount"] for row in tables["metrics_exponential_histogram"]) == 1


@pytest.mark.parametrize("over", ["grpc", "http"])
def test_what_telemetrygen_sends_is_stored(over, tmp_path, warehouse):
    with Collector(tmp_path / "collector", {"iceberg": settings(warehouse)}) as collector:
        sent = clients.send_with_telemetrygen(collector, logs=25, traces=10, points=5, over=over)
        readers.wait_for_rows(warehouse, sent)
    tables = {name: readers.read_duckdb(readers.load(warehouse, name)) for name in sent}
    assert {name: len(rows) for name, rows in tables.items()} == sent
    assert {row["ServiceName"] for rows in tables.values() for row in rows} == {clients.TELEMETRYGEN_SERVICE}
    assert {row["LogAttributes"]["log.number"] for row in tables["logs"]} == {"7"}
    parents = {row["SpanId"] for row in tables["traces"] if row["ParentSpanId"] is None}
    assert sum(row["ParentSpanId"] in parents for row in tables["traces"]) == 10


def test_its_own_metrics_count_rows_rejected_and_repaired(tmp_path, warehouse):
    fixtures = [corpus.fixture(name) for name in ("logs", "traces", "metrics", "logs_invalid_utf8", "logs_nesting")]
    rows = {"logs": 0, "traces": 0, "metrics": 0}
    for one in fixtures:
        rows[one.signal] += sum(len(of_table) for of_table in one.rows.values())
    with Collector(tmp_path / "collector", {"iceberg": settings(warehouse)}, own_metrics=True) as collector:
        with collector.client() as client:
            for one in fixtures:
                client.send(one.payload, "grpc", one.signal)
        counts = {table: 0 for one in fixtures for table in one.rows}
        for one in fixtures:
            for table, of_table in one.rows.items():
                counts[table] += len(of_table)
        readers.wait_for_rows(warehouse, counts)
        text = collector.own_metrics_when(lambda text: total(text, "rows", "metrics") >= rows["metrics"])
    assert {signal: total(text, "rows", signal) for signal in rows} == rows
    # Two metrics without data, five histogram points, four exponential ones and one summary point.
    assert total(text, "rejected", "metrics") == 12
    assert total(text, "repaired", "logs", 'reason="invalid_utf8"') == 7
    assert total(text, "repaired", "logs", 'reason="nesting"') == 4
    for name in ("commits", "files", "file_bytes"):
        assert total(text, name, "logs") > 0, name


def test_the_example_configuration_starts_and_stores(tmp_path):
    example = yaml.safe_load((REPOSITORY / "examples" / "collector" / "local.yaml").read_text())
    one = corpus.fixture("traces")

    def as_the_example(config: dict) -> None:
        ours = dict(config)
        config.clear()
        config.update(example)
        config["receivers"]["otlp"] = ours["receivers"]["otlp"]
        config.setdefault("extensions", {}).update(ours["extensions"])
        config["service"]["extensions"] = sorted({*config["service"].get("extensions", []), *ours["extensions"]})
        config["service"].setdefault("telemetry", {})["metrics"] = {"level": "none"}

    with Collector(tmp_path, {"iceberg": None}, change=as_the_example) as collector:
        with collector.client() as client:
            client.send(one.payload, "grpc", "traces")
        assert collector.stop() == 0
    assert readers.row_count(readers.load(tmp_path / "warehouse", "traces")) == len(one.rows["traces"])


@pytest.mark.parametrize("name", ["local.yaml", "durable.yaml"])
def test_every_port_of_the_examples_can_be_moved_by_the_environment(name, tmp_path):
    variables = ("O2I_GRPC_PORT", "O2I_HTTP_PORT", "O2I_HEALTH_PORT", "O2I_METRICS_PORT")
    ports = dict(zip(variables, free_ports(len(variables)), strict=True))
    log = tmp_path / "log"
    with log.open("wb") as output, subprocess.Popen(
        [binary(), "--config", REPOSITORY / "examples" / "collector" / name],
        cwd=tmp_path,
        env={**os.environ, **{variable: str(port) for variable, port in ports.items()}},
        stdout=output,
        stderr=subprocess.STDOUT,
    ) as process:
        try:
            deadline = time.monotonic() + START_SECONDS_MAX
            while closed := [variable for variable, port in ports.items() if not _listens(port)]:
                assert process.poll() is None and time.monotonic() < deadline, (closed, log.read_text())
                time.sleep(0.1)
        finally:
            process.terminate()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
