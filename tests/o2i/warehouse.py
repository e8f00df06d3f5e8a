"""Finds files in a local warehouse that should not be there."""

from __future__ import annotations

from pathlib import Path

from . import readers
from .tables import NAMESPACE


def leftovers(warehouse: Path) -> list[str]:
    """Files that no table references: temporary files, data files of no snapshot, journals of an open database.

    Lists the files before it opens the catalog, because opening and closing the catalog removes its journals.
    """
    there = {str(path.relative_to(warehouse)) for path in warehouse.rglob("*") if path.is_file()}
    known = {"catalog.db"}
    catalog = readers.catalog(warehouse)
    try:
        for name in catalog.list_tables(NAMESPACE):
            known |= {str(path.relative_to(warehouse)) for path in _files(catalog.load_table(name))}
    finally:
        catalog.engine.dispose()
    return sorted(there - known)


def _files(table) -> set[Path]:
    locations = {table.metadata_location, *(entry.metadata_file for entry in table.metadata.metadata_log)}
    for snapshot in table.metadata.snapshots:
        locations.add(snapshot.manifest_list)
        for manifest in snapshot.manifests(table.io):
            locations.add(manifest.manifest_path)
            locations |= {entry.data_file.file_path for entry in manifest.fetch_manifest_entry(table.io)}
    return {readers.local_path(location) for location in locations}
