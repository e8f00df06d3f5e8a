"""`tables.column_case: lower`: tables in lower case hold the same values, whichever reader reads them."""

from __future__ import annotations

import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from o2i import compare, corpus, readers
from o2i.collector import Collector, settings
from o2i.tables import SORT_COLUMNS, TABLES, TIME_COLUMN, in_lower_case

SIGNALS = ("logs", "traces", "metrics")
ROUTE = [{"attribute": "host.name", "from": "resource"}]
# Both names of a column are accepted, whatever the case of the table's.
PARTITIONS = ["day(Timestamp)", "bucket(4, servicename)"]


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> dict[str, tuple[Path, tuple[int, int]]]:
    """A warehouse of each case, filled with the corpus, and the time in which that happened."""
    return {case: fill(tmp_path_factory.mktemp(case), case) for case in ("pascal", "lower")}


def fill(folder: Path, case: str) -> tuple[Path, tuple[int, int]]:
    warehouse, begun = folder / "warehouse", time.time_ns() // 1000
    fixtures = [corpus.fixture(signal) for signal in SIGNALS]
    tables = {"column_case": case, "attribute_columns": ROUTE, "partition_by": PARTITIONS}
    own = settings(warehouse, flush_timeout="200ms", tables=tables)
    with Collector(folder / "collector", {"iceberg": own}) as collector:
        with collector.client() as client:
            for one in fixtures:
                client.send(one.payload, "grpc", one.signal)
        readers.wait_for_rows(warehouse, {table: len(rows) for one in fixtures for table, rows in one.rows.items()})
        assert collector.stop() == 0, collector.log_tail()
    assert "otlp2iceberg::" not in collector.log(), f"the library warns\n{collector.log_tail()}"
    return warehouse, (begun, time.time_ns() // 1000)


@pytest.mark.parametrize("name", TABLES)
def test_every_name_is_in_lower_case(stored, name):
    table = readers.load(stored["lower"][0], name)
    schema = table.schema()
    assert [field.name for field in schema.fields] == [*(column.lower() for column in TABLES[name]), "hostname"]
    assert all(found == found.lower() for found in schema.column_names)
    assert [field.name for field in table.spec().fields] == [f"{TIME_COLUMN[name].lower()}_day", "servicename_bucket"]
    order = [schema.find_column_name(field.source_id) for field in table.sort_order().fields]
    assert order == [column.lower() for column in SORT_COLUMNS[name]]
    of_columns = [key for key in table.properties if ".column." in key]
    assert of_columns == (["write.parquet.bloom-filter-enabled.column.traceid"] if name in ("logs", "traces") else [])
    for path in readers.files_of(table):
        names = [column.path for column in pq.ParquetFile(path).schema]
        assert names and all(found == found.lower() for found in names), names


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("reader", readers.READERS)
def test_the_values_are_those_of_a_table_in_pascal(stored, name, reader):
    sent = [row for signal in SIGNALS for row in corpus.fixture(signal).rows.get(name, [])]
    for case, (warehouse, span) in stored.items():
        named = (lambda row: in_lower_case(name, row)) if case == "lower" else (lambda row: row)
        column = {"lower": "hostname", "pascal": "HostName"}[case]
        expected = [{**named(row), column: (row["ResourceAttributes"] or {}).get("host.name")} for row in sent]
        found = readers.READERS[reader](readers.load(warehouse, name))
        time_column = TIME_COLUMN[name].lower() if case == "lower" else TIME_COLUMN[name]
        assert not compare.difference(expected, found, span, time_column), case


def test_queries_with_the_names_of_the_documentation_find_them(stored):
    with readers.connect_duckdb(stored["lower"][0]) as duckdb:
        # Also inside structs.
        query = "SELECT count(ServiceName), count(Events[1].Name) FROM traces"
        found = duckdb.execute(query).fetchone()
    rows = corpus.fixture("traces").rows["traces"]
    first = [row["Events"][0]["Name"] for row in rows if row["Events"]]
    assert found == (sum(row["ServiceName"] is not None for row in rows), sum(one is not None for one in first))


def test_added_columns_are_in_lower_case_and_the_others_stay(tmp_path):
    warehouse = tmp_path / "warehouse"
    logs = corpus.fixture("logs")
    for number, tables in enumerate(({}, {"column_case": "lower", "attribute_columns": ROUTE}), 1):
        own = settings(warehouse, flush_timeout="50ms", tables=tables)
        with Collector(tmp_path / f"collector-{number}", {"iceberg": own}) as collector, collector.client() as client:
            client.send(logs.payload, "grpc", "logs")
            readers.wait_for_rows(warehouse, {"logs": number * len(logs.rows["logs"])})
    table = readers.load(warehouse, "logs")
    assert [field.name for field in table.schema().fields] == [*TABLES["logs"], "hostname"]
