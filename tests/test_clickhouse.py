"""ClickHouse reads the tables, and through the views as those of the Collector's ClickHouse exporter."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from catalogs import exporting, reading
from catalogs.s3 import ACCESS_KEY_ID, SECRET_ACCESS_KEY
from clickhouse import session
from clickhouse.session import ClickHouse, Failed
from o2i import compare, corpus, expect, readers
from o2i.collector import REPOSITORY, Collector, settings
from o2i.corpus.build import attributes, resource, scope
from o2i.otlp import REQUEST
from o2i.readers import rows_of
from o2i.tables import TABLES

VIEWS = REPOSITORY / "examples" / "queries" / "clickhouse-views.sql"
QUERIES = REPOSITORY / "examples" / "queries" / "from-clickhouse.sql"
PAGE = REPOSITORY / "docs" / "from-clickhouse.md"
CLICKHOUSE = Path(__file__).parent / "clickhouse"
CORPUS = ("logs", "traces", "metrics")
TRACE = "391dae938234560b16bb63f51501cb6f"
# What the queries in the exporter's README ask for.
SERVICE = resource({"service.name": "clickhouse-exporter"})
SECOND = 10**9


def telemetry(now: int) -> list:
    """Telemetry that each query of the exporter's README finds something of."""
    scoped = {"scope": scope("shop", dropped=3)}
    logs = [
        {
            "trace_id": bytes.fromhex(TRACE), "severity_text": "INFO", "body": {"string_value": "GET http://shop"},
            "attributes": attributes({"container_name": "/example_flog_1", "env": "dev"}),
        },
        {"body": {"string_value": '{"bytes": 1500.5}'}, "attributes": attributes({"nothing": None})},
    ]  # fmt: skip
    root, child = b"\1" * 8, b"\2" * 8
    spans = [
        {"span_id": root, "name": "GET /", "kind": 2, "end_time_unix_nano": now + 2 * SECOND},
        {
            "span_id": child, "parent_span_id": root, "name": "charge", "kind": 3, "end_time_unix_nano": now + 5,
            "status": {"code": 2, "message": "refused"},
            "attributes": attributes({"peer.service": "telemetrygen-server"}),
            "events": [{"name": "exception", "time_unix_nano": now}, {"name": "retry", "time_unix_nano": now}],
            "links": [{"trace_id": bytes.fromhex(TRACE), "span_id": root}],
        },
        {"trace_id": b"", "span_id": b"\3" * 8, "parent_span_id": root, "name": "without a trace"},
    ]  # fmt: skip
    pairs = [("service_name", "featureflagservice"), ("b", "2")]
    points = [
        {"as_int": 10, "attributes": attributes(dict(pairs))},
        {"as_int": 15, "attributes": attributes(dict(reversed(pairs)))},
        {"flags": 1, "attributes": attributes({"without": "a value"})},
    ]
    points = [{**point, "time_unix_nano": now + number * SECOND} for number, point in enumerate(points)]
    # Two points of one second.
    whole = now - now % SECOND
    halves = [{"time_unix_nano": time, "start_time_unix_nano": time, "as_int": 1} for time in (whole, whole + SECOND // 2)]
    histogram = {"time_unix_nano": now, "count": 2, "sum": 3.0, "bucket_counts": [2]}
    metrics = [
        {"name": "calls", "sum": {"data_points": points, "is_monotonic": True, "aggregation_temporality": 2}},
        {"name": "cpu", "gauge": {"data_points": halves}},
        {"name": "time", "histogram": {"data_points": [histogram], "aggregation_temporality": 1}},
    ]
    logs = [{**record, "time_unix_nano": now} for record in logs]
    spans = [{"trace_id": bytes.fromhex(TRACE), **span, "start_time_unix_nano": now} for span in spans]
    return [
        REQUEST["logs"](resource_logs=[{"resource": SERVICE, "scope_logs": [{**scoped, "log_records": logs}]}]),
        REQUEST["traces"](resource_spans=[{"resource": SERVICE, "scope_spans": [{**scoped, "spans": spans}]}]),
        REQUEST["metrics"](resource_metrics=[{"resource": SERVICE, "scope_metrics": [{**scoped, "metrics": metrics}]}]),
    ]


def store(folder: Path, requests: list) -> Path:
    """The warehouse of a Collector that was sent these requests."""
    warehouse = folder / "warehouse"
    with Collector(folder / "collector", {"iceberg": settings(warehouse)}) as collector:
        with collector.client() as client:
            for request in requests:
                client.send(request)
        readers.wait_for_rows(warehouse, {table: len(rows) for table, rows in expect.merge(requests).items()})
    return warehouse


@pytest.fixture(scope="module")
def fixed(tmp_path_factory) -> Path:
    """A warehouse with the corpus."""
    payloads = [(signal, corpus.fixture(signal).payload) for signal in CORPUS]
    return store(tmp_path_factory.mktemp("fixed"), [REQUEST[signal].FromString(payload) for signal, payload in payloads])


@pytest.fixture(scope="module")
def views(tmp_path_factory):
    """ClickHouse with the views over the telemetry."""
    folder = tmp_path_factory.mktemp("views")
    warehouse = store(folder, telemetry(time.time_ns()))
    with ClickHouse(folder) as clickhouse:
        clickhouse.attach(warehouse)
        existing = [view for view in VIEWS.read_text().split("\n\n") if not re.search("summary|exponential", view)]
        clickhouse.query("\n\n".join(existing) + "; USE otel")
        yield clickhouse


@pytest.mark.parametrize("table", TABLES)
def test_clickhouse_reads_what_pyiceberg_reads(table, fixed, tmp_path):
    file = tmp_path / "rows.parquet"
    with ClickHouse(fixed) as clickhouse:
        clickhouse.attach(fixed)
        settings = "SETTINGS output_format_parquet_string_as_string = 1"
        clickhouse.query(f"SELECT * FROM lake.{table} INTO OUTFILE '{file}' FORMAT Parquet {settings}")
    wanted = [_empty_as_null(row) for row in readers.read_pyiceberg(readers.load(fixed, table))]
    found = [_empty_as_null(row) for row in rows_of(pq.read_table(file))]
    assert len(wanted) > 0
    difference = compare.difference(wanted, found)
    assert not difference, difference


def test_the_views_can_be_made_again(fixed):
    with ClickHouse(fixed) as clickhouse:
        clickhouse.attach(fixed)
        for _ in range(2):
            clickhouse.query(VIEWS.read_text())
        for table in TABLES:
            count = readers.row_count(readers.load(fixed, table))
            assert clickhouse.query(f"SELECT count() AS found FROM otel.otel_{table}") == [{"found": count}], table
        for table in (table for table in TABLES if table.startswith("metrics")):
            types = "toTypeName(TimeUnix) AS time, toTypeName(StartTimeUnix) AS start"
            expected = [{"time": "DateTime('UTC')", "start": "Nullable(DateTime('UTC'))"}]
            assert clickhouse.query(f"SELECT DISTINCT {types} FROM otel.otel_{table}") == expected, table


def test_the_views_over_a_catalog_show_what_was_just_stored(lake, namespace, tmp_path):
    [replace] = re.findall(r"^-- +(sed .*)$", VIEWS.read_text(), re.MULTILINE)
    replaced = subprocess.run(replace, shell=True, cwd=VIEWS.parent, capture_output=True, text=True, check=True).stdout
    bucket = f"{lake.s3.endpoint}/{lake.catalog.warehouse.removeprefix('s3://')}"
    counts = {table: len(rows) for signal in CORPUS for table, rows in corpus.fixture(signal).rows.items()}
    exporter = exporting.settings(lake.catalog.settings(namespace=namespace), lake.s3.settings())
    with Collector(tmp_path / "collector", {"iceberg": exporter}) as collector, ClickHouse(tmp_path) as clickhouse:
        clickhouse.query(f"""
            SET allow_database_iceberg = 1;
            CREATE DATABASE lake ENGINE = DataLakeCatalog('{lake.catalog.uri}', '{ACCESS_KEY_ID}', '{SECRET_ACCESS_KEY}')
            SETTINGS catalog_type = 'rest', warehouse = 'lake', storage_endpoint = '{bucket}'""")
        for times in (1, 2):
            with collector.client() as client:
                for signal in CORPUS:
                    client.send(corpus.fixture(signal).payload, "grpc", signal)
            wanted = {table: count * times for table, count in counts.items()}
            reading.wait_for_rows(lake.catalog.client(), wanted, namespace)
            if times == 1:
                clickhouse.query(replaced.replace("FROM lake.`otel.", f"FROM lake.`{namespace}."))
            for table, count in wanted.items():
                assert clickhouse.query(f"SELECT count() AS found FROM otel.otel_{table}") == [{"found": count}], table


def test_the_queries_of_the_exporters_readme_find_rows(views):
    text = (CLICKHOUSE / "exporter-readme.sql").read_text()
    statements = [statement for statement in map(str.strip, text.split(";")) if statement]
    assert len(statements) == 14
    for statement in statements:
        assert views.query(statement), f"nothing found by {statement}"


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("SELECT SpanName FROM otel_traces WHERE ParentSpanId = ''", [{"SpanName": "GET /"}]),
        ("SELECT count() AS n FROM otel_logs WHERE TraceId = ''", [{"n": 1}]),
        ("SELECT count() AS n FROM otel_logs WHERE LogAttributes['env'] != 'prod'", [{"n": 2}]),
        ("SELECT count() AS n FROM otel_logs WHERE SeverityText NOT IN ('INFO')", [{"n": 1}]),
        ("SELECT LogAttributes['nothing'] AS text FROM otel_logs WHERE TraceId = ''", [{"text": ""}]),
        ("SELECT DISTINCT ScopeDroppedAttrCount AS n FROM otel_metrics_gauge", [{"n": 3}]),
        ("SELECT DISTINCT AggregationTemporality AS n FROM otel_metrics_sum", [{"n": 2}]),
        ("SELECT AggregationTemporality AS n, Sum, Min FROM otel_metrics_histogram", [{"n": 1, "Sum": 3, "Min": 0}]),
        ("SELECT avg(Value) AS mean FROM otel_metrics_sum", [{"mean": 25 / 3}]),
        (
            "SELECT Attributes, count() AS n FROM otel_metrics_sum GROUP BY Attributes ORDER BY n",
            [
                {"Attributes": {"without": "a value"}, "n": 1},
                {"Attributes": {"b": "2", "service_name": "featureflagservice"}, "n": 2},
            ],
        ),
        (
            "SELECT Events.Name AS names, Links.SpanId AS links FROM otel_traces WHERE has(Events.Name, 'exception')",
            [{"names": ["exception", "retry"], "links": ["01" * 8]}],
        ),
        ("SELECT e.Name AS name FROM otel_traces ARRAY JOIN Events AS e", [{"name": "exception"}, {"name": "retry"}]),
        ("SELECT count() AS n FROM otel_metrics_gauge GROUP BY TimeUnix, StartTimeUnix", [{"n": 2}]),
        ("SELECT count() AS n FROM otel_traces WHERE TraceId = ''", [{"n": 1}]),
        ("SELECT TraceId FROM otel_traces_trace_id_ts", [{"TraceId": TRACE}]),
        (f"SELECT Start = End AS at_once FROM otel_traces_trace_id_ts WHERE TraceId = '{TRACE}'", [{"at_once": 1}]),
    ],
)
def test_the_views_have_the_exporters_values(query, rows, views):
    assert views.query(query) == rows


def test_a_word_is_found_where_has_token_finds_it(views):
    [row] = re.findall(r"^\| `hasToken.*$", PAGE.read_text(), re.MULTILINE)
    condition = re.findall(r"`([^`]*)`", row)[1].replace(r"\|", "|")
    assert f"\nWHERE {condition.replace('http', 'upstream')}\n" in QUERIES.read_text()
    in_ascii = ("http", "GET http://shop", "no_http_here", "(http)", "https", "xhttp", "http2", "ftp")
    for body in (*in_ascii, "éhttp", "httpé", "é http", "http 日本", "日http", "http\N{NO-BREAK SPACE}", "\x7fhttp"):
        [found] = views.query(f"SELECT hasToken('{body}', 'http') AS found")
        assert duckdb.execute(f"SELECT {condition} FROM (SELECT ? AS Body)", [body]).fetchone() == (bool(found["found"]),), body


def test_rows_of_the_exporters_own_table_can_be_appended(tmp_path, monkeypatch):
    [select] = re.findall(r"```sql\n(-- In ClickHouse, for one day.*?)```", PAGE.read_text(), re.DOTALL)
    [append] = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    warehouse = store(tmp_path, telemetry(time.time_ns())[1:2])
    before = readers.read_duckdb(readers.load(warehouse, "traces"))
    with ClickHouse(tmp_path) as clickhouse:
        clickhouse.query("CREATE DATABASE otel")
        clickhouse.query((CLICKHOUSE / "exporter-traces.sql").read_text())
        start = 1_793_527_202 * 10**9  # 2026-11-01 10:00:02, when the last two spans start
        clickhouse.query(f"""INSERT INTO otel.otel_traces VALUES
            ('2026-10-31 23:59:59', '{TRACE}', '{"aa" * 8}', '', '', 'before', 'Server', 'shop', {{}}, '', '', {{}},
             1, 'Unset', '', [], [], [], [], [], [], []),
            ('2026-11-01 10:00:00.123456789', '{TRACE}', '{"aa" * 8}', '', '', 'GET /', 'Server', 'shop',
             {{'service.name': 'shop'}}, '', '', {{}}, 7, 'Unset', '', [], [], [], [], [], [], []),
            ('2026-11-01 10:00:01', '{TRACE}', '{"bb" * 8}', '{"aa" * 8}', 'k=v', 'charge', 'Client', 'shop', {{}},
             'library', '1.0', {{'k': 'v'}}, 5, 'Error', 'refused', ['2026-11-01 10:00:01.5', '1970-01-01 00:00:00'],
             ['exception', ''], [{{'exception.type': 'E'}}, {{}}], ['{TRACE}', ''], ['{"cc" * 8}', ''], ['', 'k=v'],
             [{{}}, {{}}]),
            ('2026-11-01 10:00:02', '{TRACE}', '{"dd" * 8}', '', '', 'without an end', 'Server', 'shop', {{}}, '', '', {{}},
             {2**64 - start}, 'Unset', '', [], [], [], [], [], [], []),
            ('2026-11-01 10:00:02', '{TRACE}', '{"ee" * 8}', '', '', 'ends before', 'Server', 'shop', {{}}, '', '', {{}},
             {2**64 - 3}, 'Unset', '', [], [], [], [], [], [], [])""")
        clickhouse.query(select)
    monkeypatch.chdir(tmp_path)
    catalog = readers.catalog(warehouse)
    exec(append, {"catalog": catalog})
    catalog.engine.dispose()
    added = [row for row in readers.read_duckdb(readers.load(warehouse, "traces")) if row not in before]
    ten = 1_793_527_200 * 10**6  # 2026-11-01 10:00
    absent = dict.fromkeys(TABLES["traces"])
    shared = {**absent, "TraceId": TRACE, "ServiceName": "shop", "SpanAttributes": {}, "ResourceAttributes": {}}
    last = {
        **shared, "Timestamp": ten + 2 * 10**6, "SpanKind": "Server", "StatusCode": "Unset", "Events": [], "Links": [],
    }  # fmt: skip
    assert sorted(added, key=lambda row: row["SpanId"]) == [
        {
            **shared, "Timestamp": ten + 123456, "Duration": 7, "SpanId": "aa" * 8, "SpanName": "GET /",
            "SpanKind": "Server", "StatusCode": "Unset", "ResourceAttributes": {"service.name": "shop"}, "Events": [],
            "Links": [],
        },
        {
            **shared, "Timestamp": ten + 10**6, "Duration": 5, "SpanId": "bb" * 8, "ParentSpanId": "aa" * 8,
            "TraceState": "k=v", "SpanName": "charge", "SpanKind": "Client", "StatusCode": "Error",
            "StatusMessage": "refused", "SpanAttributes": {"k": "v"}, "ScopeName": "library", "ScopeVersion": "1.0",
            "Events": [
                {
                    "Timestamp": ten + 1_500_000, "Name": "exception", "Attributes": {"exception.type": "E"},
                    "DroppedAttributesCount": None,
                },
                {"Timestamp": None, "Name": None, "Attributes": {}, "DroppedAttributesCount": None},
            ],
            "Links": [
                {
                    "TraceId": TRACE, "SpanId": "cc" * 8, "TraceState": None, "TraceFlags": None, "Attributes": {},
                    "DroppedAttributesCount": None,
                },
                {
                    "TraceId": None, "SpanId": None, "TraceState": "k=v", "TraceFlags": None, "Attributes": {},
                    "DroppedAttributesCount": None,
                },
            ],
        },
        {**last, "SpanId": "dd" * 8, "SpanName": "without an end"},
        {**last, "SpanId": "ee" * 8, "SpanName": "ends before", "Duration": -3},
    ]  # fmt: skip


def test_one_that_does_not_answer_is_ended(tmp_path, monkeypatch):
    with ClickHouse(tmp_path) as clickhouse:
        assert clickhouse.query("SELECT 1 AS n") == [{"n": 1}]
        monkeypatch.setattr(session, "ANSWER_SECONDS_MAX", 0.2)
        for statement in ("SELECT sleep(3)", "SELECT 2"):
            with pytest.raises(Failed, match=re.escape(f"ClickHouse ended: -9\nin {statement}")):
                clickhouse.query(statement)


def _empty_as_null(value):
    """Null for each empty map and list: ClickHouse has no null maps and lists."""
    if isinstance(value, dict):
        return {key: _empty_as_null(inner) for key, inner in value.items()} or None
    if isinstance(value, list):
        return [_empty_as_null(inner) for inner in value] or None
    return value
