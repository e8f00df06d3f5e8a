#!/usr/bin/env python3
"""Calculates the monthly cost of the three ways to write to the tables; prints the table of docs/choosing.md.

    python3 examples/aws/costs.py [GB of OTLP a day ...]

Change the prices and assumptions to yours. Prices are list prices of us-east-1 in US dollars as of November 2025, without
free tiers and discounts. Check them before you decide anything. Nothing here was measured on AWS.
"""

import math
import sys

# --- Prices

FARGATE_VCPU_HOUR, FARGATE_GB_HOUR = 0.03238, 0.00356  # arm64
LAMBDA_REQUEST, LAMBDA_GB_SECOND = 0.20e-6, 0.0000133334  # arm64
S3_PUT, S3_GET = 0.005e-3, 0.0004e-3  # S3 Standard; S3 Tables has the same prices
S3_GB_MONTH, TABLES_GB_MONTH = 0.023, 0.0265  # S3 Standard, S3 Tables
# S3 Tables: by default (strategy auto) it sorts tables that have a sort order, as ours do. binpack costs 0.005 for each GB.
COMPACTED_OBJECT, COMPACTED_GB = 0.002e-3, 0.01
EVENT, QUEUE_REQUEST = 1.00e-6, 0.40e-6  # EventBridge for S3's events, SQS standard
METRIC_MONTH, ALARM_METRIC_MONTH, LOG_GB = 0.30, 0.10, 0.50  # CloudWatch; an alarm is billed for each metric in it

# --- Assumptions

HOURS, DAYS = 730, 30.4
PARQUET_SHARE, COMPRESSED_SHARE = 0.20, 0.12  # of the bytes of OTLP: in tables (bench/RESULTS.md), in raw objects
TABLES_PER_REQUEST = 5 / 3  # logs 1, traces 1, metrics 3
PUTS_PER_COMMIT, GETS_PER_COMMIT = 3, 4  # data file, manifest, manifest list; reads before them
FLUSH_SECONDS = 60  # of the Collector, in all three
PEAK = 3  # times the average; machines are sized for the peak
KEPT_DAYS = 30  # of rows in the tables

# On one core 134 MB of logs a second were measured (322 bytes in 2.4 µs, bench/results/collector.md), on a machine that
# did nothing else, without TLS, with large requests that were not compressed. Fargate's vCPU was never measured.
COLLECTOR_MB_PER_VCPU_SECOND = 50.0
REPLICAS_MIN, REPLICA_VCPU, REPLICA_GB = 2, 0.5, 2  # so that one can be away; memory as docs/deployment.md adds it up
DIRECT_REQUEST_MB = 25.2  # sending_queue.batch.min_size, 24 MiB

LAMBDA_REQUEST_MB = 4.4
LAMBDA_GB, LAMBDA_SECONDS_PER_REQUEST, LAMBDA_SECONDS_PER_MB = 0.5, 0.4, 0.03

STAGED_OBJECT_MB = 32.0  # of OTLP, before compression
STAGED_COMMIT_MB = 33.6  # objects that are committed together, 32 MiB
STAGED_GB, STAGED_SECONDS_PER_BATCH, STAGED_SECONDS_PER_MB = 1.0, 0.5, 0.03
STAGED_WINDOW_SECONDS, STAGED_BATCH_OBJECTS = 20, 100
QUEUE_REQUESTS_PER_OBJECT, RAW_DAYS = 3, 14

# Of the stack: three metrics for each signal, and three alarms with a metric for each signal. Four others have one metric,
# and two more with a queue.
METRICS, ALARM_METRICS, QUEUE_ALARM_METRICS = 3 * 3, 3 * 3 + 4, 2
LOG_BYTES_PER_REQUEST, LOG_BYTES_PER_BATCH = 1_100, 2_400  # one line of counts for each signal, and Lambda's own three lines


def batches(mb_a_day: float, mb_each: float) -> float:
    """Batches a day when all three signals flow all day. Size or time ends a batch, whichever comes first."""
    return max(mb_a_day / mb_each, 3 * 86_400 / FLUSH_SECONDS)


def tables(commits_a_day: float, gb_a_day: float) -> dict[str, float]:
    """The cost a day of commits, of S3 Tables' compaction of the files that they make, and of the rows that are kept."""
    return {
        "S3 requests": commits_a_day * (PUTS_PER_COMMIT * S3_PUT + GETS_PER_COMMIT * S3_GET),
        "compaction": commits_a_day * COMPACTED_OBJECT + gb_a_day * PARQUET_SHARE * COMPACTED_GB,
        "storage": gb_a_day * PARQUET_SHARE * KEPT_DAYS * TABLES_GB_MONTH / DAYS,
    }


def monitoring(alarm_metrics: int, log_bytes_a_day: float) -> float:
    """The cost a day of the function's metrics, alarms and log."""
    return (METRICS * METRIC_MONTH + alarm_metrics * ALARM_METRIC_MONTH) / DAYS + log_bytes_a_day / 1e9 * LOG_GB


def direct(gb: float) -> tuple[dict[str, float], float]:
    """Collectors that write to the tables. Returns dollars a day by kind, and commits a second to one table."""
    vcpu = gb * 1_000 / 86_400 * PEAK / COLLECTOR_MB_PER_VCPU_SECOND
    replicas = max(REPLICAS_MIN, math.ceil(vcpu / REPLICA_VCPU))
    compute = replicas * (REPLICA_VCPU * FARGATE_VCPU_HOUR + REPLICA_GB * FARGATE_GB_HOUR) * HOURS / DAYS
    # Each Collector flushes by itself.
    requests = replicas * batches(gb * 1_000 / replicas, DIRECT_REQUEST_MB)
    return {"compute": compute, **tables(requests * TABLES_PER_REQUEST, gb)}, requests / 3 / 86_400


def function_url(gb: float) -> tuple[dict[str, float], float]:
    """Requests to the Function URL, with one commit for each."""
    requests = batches(gb * 1_000, LAMBDA_REQUEST_MB)
    seconds = requests * LAMBDA_SECONDS_PER_REQUEST + gb * 1_000 * LAMBDA_SECONDS_PER_MB
    compute = requests * LAMBDA_REQUEST + seconds * LAMBDA_GB * LAMBDA_GB_SECOND
    return {
        "compute": compute,
        **tables(requests * TABLES_PER_REQUEST, gb),
        "monitoring": monitoring(ALARM_METRICS, requests * LOG_BYTES_PER_REQUEST),
    }, requests / 3 / 86_400


def staged(gb: float) -> tuple[dict[str, float], float]:
    """Objects in S3, which a few invocations load, many at a time."""
    objects = batches(gb * 1_000, STAGED_OBJECT_MB)
    invocations = max(objects / STAGED_BATCH_OBJECTS, min(objects, 86_400 / STAGED_WINDOW_SECONDS))
    seconds = invocations * STAGED_SECONDS_PER_BATCH + gb * 1_000 * STAGED_SECONDS_PER_MB
    commits = max(invocations, gb * 1_000 / STAGED_COMMIT_MB)
    written = tables(min(objects * TABLES_PER_REQUEST, commits * 5), gb)
    written["S3 requests"] += objects * (S3_PUT + S3_GET)
    return {
        "compute": invocations * LAMBDA_REQUEST + seconds * STAGED_GB * LAMBDA_GB_SECOND,
        **written,
        "events, queue": objects * (EVENT + QUEUE_REQUESTS_PER_OBJECT * QUEUE_REQUEST),
        "raw objects": gb * COMPRESSED_SHARE * RAW_DAYS * S3_GB_MONTH / DAYS,
        "monitoring": monitoring(ALARM_METRICS + QUEUE_ALARM_METRICS, invocations * LOG_BYTES_PER_BATCH),
    }, min(objects / 3, commits) / 86_400


def main() -> None:
    ways = {"direct": direct, "Lambda": function_url, "S3-staged": staged}
    kinds = ("compute", "S3 requests", "compaction", "storage", "events, queue", "raw objects", "monitoring")
    print("| OTLP a day | way | " + " | ".join(kinds) + " | **a month** | commits/s per table |")
    print("|---|---|" + "---:|" * (len(kinds) + 2))
    for gb in [float(text) for text in sys.argv[1:]] or [1, 50, 1_000]:
        for name, way in ways.items():
            dollars, commits = way(gb)
            cells = [f"{dollars[kind] * DAYS:.2f}" if kind in dollars else "" for kind in kinds]
            total = sum(dollars.values()) * DAYS
            print(f"| {gb:g} GB | {name} | " + " | ".join(cells) + f" | **{total:.2f}** | {commits:.2f} |")


if __name__ == "__main__":
    main()
