"""Prints the error logs of one service with pyiceberg: `python3 pyiceberg_logs.py <warehouse> <service>`.

pyiceberg applies the filter to partitions and file statistics first, so it reads only files that can match.
"""

import sys
from pathlib import Path

from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.expressions import And, EqualTo, GreaterThanOrEqual


def main(warehouse: Path, service: str) -> None:
    """Prints one line for each record."""
    catalog = SqlCatalog("default", uri=f"sqlite:///{warehouse}/catalog.db", warehouse=f"file://{warehouse}")
    logs = catalog.load_table("otel.logs").scan(
        row_filter=And(EqualTo("ServiceName", service), GreaterThanOrEqual("SeverityNumber", 17)),
        selected_fields=("Timestamp", "Body", "TraceId"),
    )
    # Also: .to_pandas(), .to_polars(), .to_duckdb("logs")
    for row in logs.to_arrow().sort_by("Timestamp").to_pylist():
        print(row["Timestamp"], row["TraceId"], row["Body"])


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), sys.argv[2])
