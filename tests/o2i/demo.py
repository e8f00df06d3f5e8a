"""The main job from end to end: sends OTLP of every kind to a real Collector and reads the Iceberg tables with DuckDB.

Fails when a row is missing or duplicated, or when one flush made more than three snapshots of a table.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import time
from pathlib import Path

from . import clients, otlp, readers
from .collector import REPOSITORY, Collector
from .tables import TABLES
from .workload import METRIC_KINDS, Shop

LOGS, SPANS, POINTS = 100_000, 50_000, 10_000
# How many of these come from third-party clients.
SDK_LOGS, SDK_SPANS, SDK_POINTS = 1_000, 500, 100
# Transports in turn. JSON is one in six, because it is slow to encode here.
DOORS = ("grpc", "http/protobuf", "grpc+gzip", "http/protobuf+gzip", "grpc", "http/json+gzip")
SNAPSHOTS_MAX = 3
FOLDER = REPOSITORY / "dist" / "demo"

QUERIES = (
    (
        "Error rate by service",
        """SELECT ServiceName AS service, count(*) AS spans, count(*) FILTER (StatusCode = 'Error') AS errors,
                  printf('%.1f %%', 100 * avg((StatusCode = 'Error')::int)) AS error_rate,
                  printf('%.0f ms', quantile_cont(Duration, 0.99) / 1e6) AS p99
           FROM traces WHERE ResourceAttributes['deployment.environment.name'] = 'demo'
           GROUP BY 1 ORDER BY avg((StatusCode = 'Error')::int) DESC, 1""",
    ),
    (
        "Slowest spans",
        """SELECT ServiceName AS service, SpanName AS span, printf('%.0f ms', Duration / 1e6) AS duration,
                  ResourceAttributes['k8s.pod.name'] AS pod, TraceId AS trace
           FROM traces ORDER BY traces.Duration DESC LIMIT 3""",
    ),
    (
        "Latest errors, with the trace they belong to",
        """SELECT strftime(l.Timestamp, '%H:%M:%S.%g') AS at, l.ServiceName AS service, l.Body AS body,
                  t.SpanAttributes['http.response.status_code'] AS http
           FROM logs l JOIN traces t USING (TraceId, SpanId)
           WHERE l.SeverityNumber >= 17 ORDER BY l.Timestamp DESC LIMIT 3""",
    ),
    (
        "Requests and duration by service, from sums, histograms and summaries",
        """SELECT s.service, s.requests, h.mean, q.p99_gc
           FROM (SELECT ServiceName AS service, max(ValueInt) AS requests FROM metrics_sum
                 WHERE MetricName = 'http.server.requests' GROUP BY 1) s
           JOIN (SELECT ServiceName AS service, printf('%.1f ms', sum(Sum) / sum(Count)) AS mean
                 FROM metrics_histogram GROUP BY 1) h USING (service)
           JOIN (SELECT ServiceName AS service,
                        printf('%.1f ms', max(list_filter(ValueAtQuantiles, lambda x: x.Quantile = 0.99)[1].Value)) AS p99_gc
                 FROM metrics_summary GROUP BY 1) q USING (service)
           ORDER BY 1""",
    ),
)

# The columns that identify a row of our telemetry, by table. Rows of third-party clients are only counted.
IDENTITY = {
    "logs": "LogAttributes['log.record.uid']",
    "traces": "SpanId",
    **dict.fromkeys(
        (f"metrics_{kind}" for kind in METRIC_KINDS), "(ResourceAttributes['service.instance.id'], MetricName, TimeUnix)"
    ),
}


class Wrong(Exception):
    """The demo did not produce the expected result."""


def main() -> int:
    """Runs the demo; returns the exit code."""
    parser = argparse.ArgumentParser(prog="tests/demo.sh", description=__doc__.splitlines()[0])
    parser.add_argument("--collector", default=REPOSITORY / "dist" / "otelcol-iceberg", help="the Collector's binary")
    os.environ["O2I_COLLECTOR"] = str(Path(parser.parse_args().collector).resolve())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    begun = time.monotonic()
    try:
        run()
    except (Wrong, AssertionError, OSError, otlp.Refused) as failure:
        print(f"demo: FAILED: {failure}", file=sys.stderr)
        return 1
    print(f"\nOK: every row is there once ({time.monotonic() - begun:.1f} s). The tables stay in {FOLDER / 'warehouse'}.")
    return 0


def run() -> None:
    """All steps; raises when one fails."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    warehouse = FOLDER / "warehouse"
    step = Step()
    with Collector(FOLDER, {"iceberg": {"catalog": {"warehouse": str(warehouse)}}}) as collector:
        ports = f"gRPC {collector.grpc_port}, HTTP {collector.http_port}"
        step(f"the Collector runs (pid {collector.pid}, {ports}), warehouse {warehouse}")
        requests, sent = make_requests()
        size = sum(len(payload) for _, payload, _ in requests)
        step(f"{len(requests)} requests made, {size / 1e6:.0f} MB")
        with collector.client() as client:
            client.send_all(requests)
        step("sent over gRPC and HTTP: protobuf, JSON, plain and gzip")
        for more in (
            clients.send_with_sdk(collector, SDK_LOGS, SDK_SPANS, SDK_POINTS),
            clients.send_with_telemetrygen(collector, SDK_LOGS, SDK_SPANS // 2, SDK_POINTS),
        ):
            sent = {table: count + more.get(table, 0) for table, count in sent.items()}
        step("sent with the OpenTelemetry Python SDK and telemetrygen")
        readers.wait_for_rows(warehouse, sent, still_alive=collector.healthy)
        step("committed: the tables hold as many rows as were sent")
    step("the Collector stopped")
    print()
    problems = report(warehouse, sent)
    if problems:
        raise Wrong("; ".join(problems))


class Step:
    """Prints each step with its time."""

    def __init__(self):
        self._begun = time.monotonic()

    def __call__(self, done: str) -> None:
        print(f"[{time.monotonic() - self._begun:5.1f} s] {done}", flush=True)


def make_requests() -> tuple[list[tuple[str, bytes, str]], dict[str, int]]:
    """Requests in the format of `Client.send_all`, and the expected row count by table."""
    others_points = {f"metrics_{kind}": 2 * SDK_POINTS for kind in METRIC_KINDS if kind != "summary"}
    shop = Shop(time.time_ns())
    made = [("traces", request) for request in shop.traces(SPANS - 2 * SDK_SPANS)]
    made += [("logs", request) for request in shop.logs(LOGS - 2 * SDK_LOGS)]
    for kind in METRIC_KINDS:
        points = POINTS - others_points.get(f"metrics_{kind}", 0)
        made += [("metrics", request) for request in shop.metrics(points, (kind,))]
    requests = []
    for number, (of_signal, request) in enumerate(made):
        door = DOORS[number % len(DOORS)]
        requests.append((of_signal, otlp.encode(request, door), door))
    sent = {"logs": LOGS - 2 * SDK_LOGS, "traces": SPANS - 2 * SDK_SPANS}
    sent |= {f"metrics_{kind}": POINTS - others_points.get(f"metrics_{kind}", 0) for kind in METRIC_KINDS}
    return requests, sent


def report(warehouse: Path, sent: dict[str, int]) -> list[str]:
    """Prints what DuckDB finds in the tables; returns the errors."""
    problems: list[str] = []
    with readers.connect_duckdb(warehouse) as duckdb:
        lines = []
        for table in TABLES:
            problems += check(duckdb, table, sent[table], lines, readers.load(warehouse, table))
        header = ("table", "rows sent", "rows read", "snapshots", "files", "bytes/row")
        print_table(header, lines)
        for title, query in () if problems else QUERIES:
            found = duckdb.execute(query)
            print(f"\n{title}")
            print_table([column[0] for column in found.description], found.fetchall())
    return problems


def check(duckdb, name: str, sent: int, lines: list, table) -> list[str]:
    """Adds a line about one table; returns its errors."""
    if table is None:
        lines.append((name, f"{sent:,}", "no such table", "", "", ""))
        return [f"{name}: there is no such table"]
    others = f"ServiceName IN ('{clients.SDK_SERVICE}', '{clients.TELEMETRYGEN_SERVICE}')"
    rows, ours, different = duckdb.execute(
        f"""SELECT count(*), count(*) FILTER (NOT {others}), count(DISTINCT {IDENTITY[name]}) FILTER (NOT {others})
            FROM {name}"""
    ).fetchone()
    sizes = table.inspect.files()["file_size_in_bytes"].to_pylist()
    snapshots = len(table.metadata.snapshots)
    lines.append((name, f"{sent:,}", f"{rows:,}", snapshots, len(sizes), f"{sum(sizes) / max(rows, 1):.1f}"))
    problems = []
    if rows != sent:
        problems.append(f"{name}: {sent} rows sent, {rows} read")
    if different != ours:
        problems.append(f"{name}: {ours - different} rows are there more than once")
    if snapshots > SNAPSHOTS_MAX:
        problems.append(f"{name}: {snapshots} snapshots, at most {SNAPSHOTS_MAX} should hold one flush")
    return problems


def print_table(header, rows) -> None:
    """Prints aligned columns; columns of numbers are right-aligned."""
    texts = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    numbers = [all(not isinstance(row[at], str) or row[at][:1].isdigit() for row in rows) for at in range(len(widths))]
    for row in texts:
        cells = (text.rjust(w) if n else text.ljust(w) for text, w, n in zip(row, widths, numbers, strict=True))
        print(("  " + "  ".join(cells)).rstrip())


if __name__ == "__main__":
    sys.exit(main())
