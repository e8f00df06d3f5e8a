"""The example queries run on tables that a real Collector wrote, and find something."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from catalogs.reading import rows_hash
from o2i import expect, readers
from o2i.collector import REPOSITORY, Collector, settings
from o2i.corpus.build import attributes
from o2i.tables import TABLES
from o2i.workload import Shop
from spark.session import Spark

QUERIES = REPOSITORY / "examples" / "queries"
# Queries for a value that this telemetry does not have.
MAY_FIND_NOTHING = ("TRY_CAST", "1 * 1e9")
# The trace of the examples.
TRACE = "391dae938234560b16bb63f51501cb6f"
# A counter that restarts before its last point: its values, and the growth that the examples find.
COUNTED, GROWTH = (10, 15, 4), [None, 5.0, 4.0]


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory):
    """Tables with the telemetry of the demo's shop."""
    folder = tmp_path_factory.mktemp("examples")
    shop = Shop(time.time_ns())
    requests = [*shop.traces(5_000), *shop.logs(5_000), *shop.metrics(500), _counter(time.time_ns())]
    with Collector(folder / "collector", {"iceberg": settings(folder / "warehouse", "1s")}) as collector:
        with collector.client() as client:
            for request in requests:
                client.send(request)
        counts = {table: len(rows) for table, rows in expect.merge(requests).items()}
        readers.wait_for_rows(folder / "warehouse", counts)
    return folder / "warehouse"


@pytest.mark.parametrize("name", ["duckdb.sql", "from-clickhouse.sql"])
def test_sql_examples_find_something(name, warehouse):
    with readers.connect_duckdb(warehouse) as duckdb:
        statements = duckdb.extract_statements((QUERIES / name).read_text())
        assert len(statements) > 5
        [(trace,)] = duckdb.execute("SELECT min(TraceId) FROM traces").fetchall()
        for statement in statements:
            found = duckdb.execute(statement.query.replace(TRACE, trace)).to_arrow_table()
            if not any(part in statement.query for part in MAY_FIND_NOTHING):
                assert found.num_rows > 0, f"nothing found by {statement.query}"


def test_the_growth_of_a_counter_is_found_whatever_the_order_of_its_attributes(warehouse):
    with readers.connect_duckdb(warehouse) as duckdb:
        statements = duckdb.extract_statements((QUERIES / "duckdb.sql").read_text())
        [growth] = [statement.query.rstrip(";\n ") for statement in statements if "AS growth" in statement.query]
        found = duckdb.sql(f"SELECT growth FROM ({growth}) WHERE MetricName = 'orders' ORDER BY TimeUnix").fetchall()
    assert [row[0] for row in found] == GROWTH


def test_the_printed_views_show_all_rows_and_can_be_made_again(warehouse):
    command = [sys.executable, QUERIES / "duckdb_views.py", warehouse]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    with readers.connect_duckdb() as duckdb:
        for _ in range(2):
            duckdb.execute(printed)
        for table in TABLES:
            rows = readers.read_duckdb(readers.load(warehouse, table))
            assert duckdb.execute(f"SELECT count(*) FROM {table}").fetchone() == (len(rows),), table


def test_the_printed_views_take_any_name_of_a_table_and_any_place(tmp_path):
    """A name that is no identifier, one that is a keyword, and a quote in the path."""
    warehouse, shop = tmp_path / "the shop's", Shop(time.time_ns())
    requests, names = [*shop.traces(100), *shop.logs(100)], {"logs": "otel-logs", "traces": "order"}
    with Collector(tmp_path / "collector", {"iceberg": settings(warehouse, tables={"names": names})}) as collector:
        with collector.client() as client:
            for request in requests:
                client.send(request)
        counts = {names[table]: len(rows) for table, rows in expect.merge(requests).items() if rows}
        readers.wait_for_rows(warehouse, counts)
    command = [sys.executable, QUERIES / "duckdb_views.py", warehouse]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    with readers.connect_duckdb() as duckdb:
        duckdb.execute(printed)
        assert {name: duckdb.execute(f'SELECT count(*) FROM "{name}"').fetchone() for name in counts} == {
            name: (count,) for name, count in counts.items()
        }


def test_the_views_need_a_catalog_with_tables_and_make_none(warehouse, tmp_path):
    def printed(*arguments) -> subprocess.CompletedProcess:
        return subprocess.run([sys.executable, QUERIES / "duckdb_views.py", *arguments], capture_output=True, text=True, timeout=60)

    done = printed(tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"no catalog.db in {tmp_path}\n")
    assert not list(tmp_path.iterdir()), "a catalog was made"
    done = printed(warehouse, "none.of.these")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "no tables in none.of.these yet; wait for a flush\n")
    assert printed(warehouse, "otel").stdout == printed(warehouse).stdout != ""


def test_the_pyiceberg_example_prints_errors_of_the_service(warehouse):
    def printed_for(service: str) -> list[str]:
        command = [sys.executable, QUERIES / "pyiceberg_logs.py", warehouse, service]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()

    printed = printed_for("payment")
    rows = readers.read_duckdb(readers.load(warehouse, "logs"))
    assert len(printed) == sum(row["ServiceName"] == "payment" and row["SeverityNumber"] >= 17 for row in rows)
    assert all("failed after" in line for line in printed)
    assert printed_for("nobody's") == []


def test_the_spark_example_finds_something_and_its_upkeep_changes_no_row(warehouse):
    text = "\n".join(line for line in (QUERIES / "spark.sql").read_text().splitlines() if not line.startswith("--"))
    spark = Spark.documented(warehouse.parent)
    rows = {table: rows_hash(readers.read_duckdb(readers.load(warehouse, table))) for table in TABLES}
    statements = [statement for statement in map(str.strip, text.split(";")) if statement]
    assert len(statements) > 5
    for statement in statements:
        found = spark.sql(statement)
        if "AS growth" in statement:
            orders = [row for row in found if row["MetricName"] == "orders"]
            assert [row["growth"] for row in sorted(orders, key=lambda row: row["TimeUnix"])] == GROWTH
        assert found or "remove_orphan_files" in statement, f"nothing found by {statement}"
    for table, before in rows.items():
        assert rows_hash(readers.read_duckdb(readers.load(warehouse, table))) == before, table


def _counter(now: int) -> ExportMetricsServiceRequest:
    """A cumulative counter whose attributes come in another order at each point."""
    pairs = [("shop", "here"), ("currency", "EUR"), ("kind", "gift")]
    points = [
        {
            "time_unix_nano": now + number * 10**9,
            "as_int": value,
            "attributes": attributes(dict(pairs[number:] + pairs[:number])),
        }
        for number, value in enumerate(COUNTED)
    ]
    metric = {"name": "orders", "sum": {"data_points": points, "is_monotonic": True, "aggregation_temporality": 2}}
    return ExportMetricsServiceRequest(resource_metrics=[{"scope_metrics": [{"metrics": [metric]}]}])
