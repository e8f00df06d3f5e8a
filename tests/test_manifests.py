"""The file metrics in our manifests equal those of independent writers for the same rows and the same file."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.io.pyarrow import (
    compute_statistics_plan, data_file_statistics_from_parquet_metadata, parquet_path_to_id_mapping,
)  # fmt: skip
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table
from pyiceberg.types import DoubleType

from catalogs.exporting import settings
from catalogs.reading import load, wait_for_rows
from o2i import corpus, readers
from o2i.collector import Collector
from o2i.tables import TABLES
from spark.session import Spark

NAMESPACE = "manifests"
# The names of the Iceberg specification, table `data_file`.
COUNTS = ("value_counts", "null_value_counts")
BOUNDS = ("lower_bounds", "upper_bounds")
NAN_COUNTS = "nan_value_counts"


@dataclass(frozen=True)
class Written:
    """Tables that a Collector wrote on the reference catalog, each unpartitioned and with one file."""

    catalog: Catalog
    spark: Spark

    def table(self, name: str) -> Table:
        """The table of this name."""
        return load(self.catalog, name, NAMESPACE)

    def empty_copy(self, name: str) -> Table:
        """An empty table with the same columns and the same field ids."""
        ours = self.table(name.partition("_of_")[2])
        copy = self.catalog.create_table((NAMESPACE, name), ours.schema(), properties=ours.properties)
        assert copy.schema().as_struct() == ours.schema().as_struct()
        return copy


@pytest.fixture(scope="module")
def written(reference, tmp_path_factory):
    fixtures = [corpus.fixture(signal) for signal in ("logs", "traces", "metrics")]
    exporter = settings(reference.settings(namespace=NAMESPACE), tables={"partition_by": "none"})
    catalog = reference.client()
    with Collector(tmp_path_factory.mktemp("manifests"), {"iceberg": exporter}) as collector:
        with collector.client() as client:
            for one in fixtures:
                client.send(one.payload, "grpc", one.signal)
        counts = {table: len(rows) for one in fixtures for table, rows in one.rows.items()}
        wait_for_rows(catalog, counts, NAMESPACE)
    yield Written(catalog, reference.spark())
    catalog.close()


@pytest.mark.parametrize("name", TABLES)
def test_java_writes_the_same_metrics_for_the_same_rows(name, written):
    """Spark copies the rows with Iceberg's own Parquet writer. Only sizes depend on the writer. Java keeps the sign of
    a zero bound; in Parquet footers, and in our manifests, a zero is -0.0 as lower and +0.0 as upper bound."""
    copy = f"java_of_{name}"
    written.empty_copy(copy)
    ours, theirs = (written.spark.name(table, NAMESPACE) for table in (name, copy))
    written.spark.sql(f"INSERT INTO {theirs} SELECT /*+ COALESCE(1) */ * FROM {ours}")
    theirs = written.table(copy)
    for metric in (*COUNTS, NAN_COUNTS):
        assert of(written.table(name), metric) == of(theirs, metric), metric
    for metric, zero in zip(BOUNDS, (b"\x80", b"\x00"), strict=True):
        found = of(theirs, metric)
        for column, bound in found.items():
            if theirs.schema().find_type(column) == DoubleType() and not any(bound[:7]) and bound[7] in (0x00, 0x80):
                found[column] = bound[:7] + zero
        assert of(written.table(name), metric) == found, metric


@pytest.mark.parametrize("name", TABLES)
def test_java_finds_the_same_metrics_in_our_file(name, written):
    """Spark adds our file to another table unchanged. Footers have no NaN counts, so Java has none then."""
    copy = f"added_of_{name}"
    written.empty_copy(copy)
    path = readers.local_path(file_of(written.table(name)).file_path)
    written.spark.call("add_files", f"table => '{NAMESPACE}.{copy}', source_table => '`parquet`.`{path}`'")
    theirs = written.table(copy)
    assert file_of(theirs).record_count == file_of(written.table(name)).record_count
    for metric in (*COUNTS, *BOUNDS, "column_sizes"):
        assert of(written.table(name), metric) == of(theirs, metric), metric
    assert not of(theirs, NAN_COUNTS), "Java finds them after all: then ours can be compared"


@pytest.mark.parametrize("name", TABLES)
def test_pyiceberg_finds_the_same_metrics_in_our_file(name, written):
    """Uses the functions behind pyiceberg's `add_files`, which itself refuses files with field ids. They also count
    inside lists and maps, where Java and we have no metrics."""
    table = written.table(name)
    file = file_of(table)
    statistics = data_file_statistics_from_parquet_metadata(
        parquet_metadata=pq.read_metadata(readers.local_path(file.file_path)),
        stats_columns=compute_statistics_plan(table.schema(), table.properties),
        parquet_column_mapping=parquet_path_to_id_mapping(table.schema()),
    )
    theirs = DataFile.from_args(**statistics.to_serialized_dict())
    outside = set(file.value_counts)
    for metric in (*COUNTS, *BOUNDS):
        found = {name: value for name, value in named(table, theirs, metric).items() if ids(table)[name] in outside}
        assert of(table, metric) == found, metric
    for metric in ("column_sizes", "split_offsets"):
        assert getattr(file, metric) == getattr(theirs, metric), metric
    assert file.record_count == theirs.record_count


def file_of(table: Table) -> DataFile:
    """The one file of a table."""
    [file] = [
        entry.data_file
        for manifest in table.current_snapshot().manifests(table.io)
        for entry in manifest.fetch_manifest_entry(table.io)
    ]
    return file


def of(table: Table, metric: str) -> dict:
    """A metric of the table's one file, by column."""
    return named(table, file_of(table), metric)


def named(table: Table, file: DataFile, metric: str) -> dict:
    """A metric by column instead of field id, for messages."""
    names = {id_: name for name, id_ in ids(table).items()}
    return {names[id_]: value for id_, value in (getattr(file, metric) or {}).items()}


def ids(table: Table) -> dict[str, int]:
    """The ids of all fields, by their path."""
    return {table.schema().find_column_name(id_): id_ for id_ in table.schema().field_ids}
