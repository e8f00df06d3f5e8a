"""Prints a DuckDB view for each table of a local warehouse: `python3 duckdb_views.py <warehouse> [<namespace>]`.

A view names the table's current metadata file, which is deleted some commits later: print and run them in each session.
"""

import sys
from pathlib import Path

from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import NoSuchNamespaceError


def main(warehouse: Path, namespace: str) -> None:
    """Prints one statement for each table."""
    # Opening a catalog that is not there would create it.
    if not (warehouse / "catalog.db").is_file():
        sys.exit(f"no catalog.db in {warehouse}")
    catalog = SqlCatalog("default", uri=f"sqlite:///{warehouse}/catalog.db", warehouse=f"file://{warehouse}")
    try:
        tables = catalog.list_tables(namespace)
    except NoSuchNamespaceError:
        tables = []
    if not tables:
        sys.exit(f"no tables in {namespace} yet; wait for a flush")
    for identifier in tables:
        name = quoted(identifier[-1], '"')
        location = quoted(catalog.load_table(identifier).metadata_location, "'")
        print(f"CREATE OR REPLACE TEMP VIEW {name} AS SELECT * FROM iceberg_scan({location});")


def quoted(text: str, quote: str) -> str:
    """A name or a string in SQL, whatever it contains."""
    return f"{quote}{text.replace(quote, 2 * quote)}{quote}"


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(Path(sys.argv[1]).resolve(), sys.argv[2] if len(sys.argv) == 3 else "otel")
