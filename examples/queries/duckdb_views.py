"""Prints a DuckDB view for each table of a local warehouse: `python duckdb_views.py <warehouse>`.

A view names the table's current metadata file, which is deleted some commits later: print and run them in each session.
"""

import sys
from pathlib import Path

from pyiceberg.catalog.sql import SqlCatalog


def main(warehouse: Path) -> None:
    """Prints one statement for each table."""
    catalog = SqlCatalog("default", uri=f"sqlite:///{warehouse}/catalog.db", warehouse=f"file://{warehouse}")
    for identifier in catalog.list_tables("otel"):
        location = catalog.load_table(identifier).metadata_location
        print(f"CREATE OR REPLACE TEMP VIEW {identifier[-1]} AS SELECT * FROM iceberg_scan('{location}');")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
