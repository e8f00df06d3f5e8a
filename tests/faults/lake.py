"""The reference catalog and the S3 server behind faultboxes, and checks of the tables' content."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pyiceberg.table import Table

from catalogs.reading import load, read_duckdb
from catalogs.reference import ReferenceCatalog
from catalogs.s3 import S3Server
from o2i import readers

from .box import Faultbox

# Long enough for a busy machine.
STORED_SECONDS_MAX = 240


@dataclass(frozen=True)
class Lake:
    """Both servers. Each test uses its own namespace."""

    catalog: ReferenceCatalog
    s3: S3Server

    @contextmanager
    def doors(self, folder: Path, weather: str = "calm", seed: int = 0) -> Iterator[Doors]:
        """Faultboxes in front of both."""
        with (
            Faultbox(folder, self.catalog.port, weather, seed) as catalog,
            Faultbox(folder, self.s3.port, weather, seed) as storage,
        ):
            yield Doors(self, catalog, storage)

    def bodies(self, namespace: str, table: str = "logs", column: str = "Body") -> Counter[str]:
        """The number of rows with each body, read by pyiceberg."""
        found = load(self.catalog.client(), table, namespace)
        return Counter() if found is None else bodies_of(found, column)


@dataclass(frozen=True)
class Doors:
    """The faultboxes that a Collector connects to."""

    lake: Lake
    catalog: Faultbox
    storage: Faultbox

    def settings(self, namespace: str, **more) -> dict:
        """An exporter's settings, with a short flush timeout and quick retries."""
        return {
            "catalog": {"type": "rest", "uri": self.catalog.url, "namespace": namespace, "timeout": "5s"},
            "storage": self.lake.s3.settings(self.storage.url),
            "timeout": "10s",
            "retry_on_failure": {"initial_interval": "100ms", "max_interval": "500ms"},
            "sending_queue": {"batch": {"flush_timeout": "200ms"}},
            **more,
        }

    def end_faults(self) -> None:
        """Injects no more faults: all further requests pass."""
        self.catalog.end_faults()
        self.storage.end_faults()

    def notes(self) -> str:
        """The logs of both."""
        return f"catalog:\n{self.catalog.notes()}\nstorage:\n{self.storage.notes()}"


def bodies_of(table: Table, column: str) -> Counter[str]:
    """The number of rows with each value in a column, read by pyiceberg."""
    return Counter(table.scan(selected_fields=(column,)).to_arrow()[column].to_pylist())


def wait_until_stored(lake: Lake, namespace: str, wanted: Iterable[str], table: str = "logs", column: str = "Body") -> None:
    """Waits until each of `wanted` is stored at least once."""
    wanted, deadline = set(wanted), time.monotonic() + STORED_SECONDS_MAX
    missing, read = wanted, None
    with closing(lake.catalog.client()) as catalog:
        while missing:
            found = load(catalog, table, namespace)
            rows, snapshot = readers.row_count(found), found and found.metadata.current_snapshot_id
            # Reading all rows takes long, so it waits until there are enough, and reads each snapshot once.
            if rows >= len(wanted) and snapshot != read:
                missing, read = wanted - set(bodies_of(found, column)), snapshot
                continue
            assert time.monotonic() < deadline, f"{rows} rows are stored; not found: {len(missing)}, such as {sorted(missing)[:5]}"
            time.sleep(0.1)


def assert_once(
    lake: Lake, namespace: str, wanted: Iterable[str], maybe: Iterable[str] = (), table: str = "logs", column: str = "Body"
) -> None:
    """Asserts for pyiceberg and DuckDB: each of `wanted` once, those of `maybe` at most once, and nothing else."""
    wanted, maybe = set(wanted), set(maybe)
    loaded = load(lake.catalog.client(), table, namespace)
    by_duckdb = Counter(row[column] for row in read_duckdb(loaded, lake.s3))
    for reader, found in {"pyiceberg": bodies_of(loaded, column), "duckdb": by_duckdb}.items():
        twice = sorted(body for body, count in found.items() if count > 1)
        lost, surplus = sorted(wanted - set(found)), sorted(set(found) - wanted - maybe)
        assert not lost, f"{reader}: {len(lost)} of {len(wanted)} are lost, such as {lost[:5]}"
        assert not twice, f"{reader}: {len(twice)} are there more than once, such as {twice[:5]}"
        assert not surplus, f"{reader}: {len(surplus)} are there that should not be, such as {surplus[:5]}"
    # The files of every snapshot exist. Snapshots share most of their manifests, and manifests some of their files.
    manifests = {one.manifest_path: one for snapshot in loaded.metadata.snapshots for one in snapshot.manifests(loaded.io)}
    paths = {entry.data_file.file_path for one in manifests.values() for entry in one.fetch_manifest_entry(loaded.io)}
    gone = [path for path in paths if not loaded.io.new_input(path).exists()]
    assert not gone, f"snapshots have files that are gone: {gone[:3]}"
    total = loaded.current_snapshot().summary["total-records"]
    assert int(total) == readers.row_count(loaded) == len(by_duckdb)
