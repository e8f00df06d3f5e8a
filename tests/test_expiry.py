"""Our commits expire old snapshots, on SQLite and on the reference catalog, and delete nothing that is needed."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyiceberg.catalog import Catalog

from catalogs.exporting import send_numbers, settings
from catalogs.reading import load, read_duckdb, wait_for_rows
from o2i import readers
from o2i.collector import Collector

COMMITS = 120
# The number of retained snapshots, and a tenth more, which may accumulate before the next expiry.
KEPT, KEPT_MAX = 20, 22
EXPIRING = {
    "commit": {"dedup_snapshots": KEPT, "dedup_window": "0s"},
    "tables": {
        "properties": {
            "history.expire.max-snapshot-age-ms": "0",
            "history.expire.min-snapshots-to-keep": "1",
            "commit.manifest.min-count-to-merge": "7",
        }
    },
    "sending_queue": {"wait_for_result": True, "batch": {"flush_timeout": "10ms"}},
}


@pytest.mark.parametrize("kind", ["sql", "rest"])
def test_a_table_of_many_commits_stays_small_and_whole(kind, warehouse, reference, namespace, tmp_path):
    if kind == "sql":
        exporter = {"type": "sql", "warehouse": str(warehouse), "namespace": namespace}
    else:
        exporter = reference.settings(namespace=namespace)
    with Collector(tmp_path / "collector", {"iceberg": {**settings(exporter), **EXPIRING}}) as collector:
        for number in range(COMMITS):
            send_numbers(collector, range(number, number + 1))
        # By now the Collector has created the database.
        catalog: Catalog = readers.catalog(warehouse) if kind == "sql" else reference.client()
        wait_for_rows(catalog, {"logs": COMMITS}, namespace)
    table = load(catalog, "logs", namespace)
    snapshots = table.metadata.snapshots
    assert KEPT <= len(snapshots) <= KEPT_MAX, "old snapshots are gone, and those of the window are there"
    assert len(table.history()) == len(snapshots)
    assert table.metadata.last_sequence_number > 2 * KEPT_MAX, "most were expired"

    for rows in (readers.read_pyiceberg(table), read_duckdb(table, None)):
        assert sorted(int(row["Body"]) for row in rows) == list(range(COMMITS))
    lists, manifests, data = set(), set(), set()
    for snapshot in snapshots:
        files = {task.file.file_path for task in table.scan(snapshot_id=snapshot.snapshot_id).plan_files()}
        assert len(files) == int(snapshot.summary["total-data-files"])
        assert sum(map(rows_in, table.scan(snapshot_id=snapshot.snapshot_id).plan_files())) == int(snapshot.summary["total-records"])
        lists.add(snapshot.manifest_list)
        manifests |= {manifest.manifest_path for manifest in snapshot.manifests(table.io)}
        data |= files
    folder = Path(readers.local_path(table.location()))
    assert names(folder / "metadata", ".avro") == {Path(path).name for path in lists | manifests}, "and no others"
    assert names(folder / "data", ".parquet") == {Path(path).name for path in data}


def rows_in(task) -> int:
    """The number of rows of a data file."""
    return task.file.record_count


def names(folder: Path, ending: str) -> set[str]:
    """Names of files below a folder."""
    return {path.name for path in folder.rglob(f"*{ending}")}
