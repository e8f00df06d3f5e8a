"""Commit latency, metadata and planning time of a table as it grows; prints a section of Markdown.

The Rust example `growth` makes the commits and times them. At the same time it times commits to a young table that has
ten. It stops at each number, and this program times planning with pyiceberg and DuckDB, old and young table in turn.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import file_system
from o2i import readers
from o2i.tables import NAMESPACE
from pyiceberg import manifest
from pyiceberg.expressions import And, GreaterThanOrEqual, LessThan

ROUNDS = 5
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
SECONDS_PER_COMMIT = 10
COMMITS_PER_HOUR = 3600 // SECONDS_PER_COMMIT
RECORDS_PER_COMMIT = 100
KEPT_BY_SPARK = 500
# The number of commits that the example `growth` times at each number.
TIMED_COMMITS = 20


def sections(snapshots: int, partition: str = "day", compacted: bool = True) -> dict:
    """Sections of the configuration.

    Window and age are 4 s. About as many of these commits fall into 4 s as into an hour with a flush every 10 s.
    """
    properties = {"history.expire.max-snapshot-age-ms": "4000", "history.expire.min-snapshots-to-keep": str(snapshots)}
    return {
        "tables": {"properties": properties, "partition_by": partition},
        "commit": {"dedup_snapshots": snapshots, "dedup_window": "4s"},
        "compaction": {"enabled": compacted},
    }


@dataclass
class Case:
    """How a table is maintained while it grows."""

    about: str
    sections: dict
    # Whether Spark runs the maintenance of docs/operations.md before planning is timed.
    by_spark: bool = False


CASES = {
    "500 kept": Case(
        "500 snapshots stay, and small files are merged, as with the defaults and a flush in 10 s (window and age are 4 s here,"
        " since these commits are milliseconds apart; with the defaults' 30 minutes none would be old enough to be expired)",
        sections(500),
    ),
    "500 kept, not compacted": Case(
        "the same with `compaction.enabled: false`",
        sections(500, compacted=False),
    ),
    "500 kept, compacted by Spark": Case(
        f"the same; every {COMMITS_PER_HOUR} commits, an hour of them, and at each number after its commits are timed, Spark rewrites"
        f" the table's small files and its manifests, and expires snapshots but the newest {KEPT_BY_SPARK}. Then reads are planned",
        sections(500, compacted=False),
        by_spark=True,
    ),
    "50 kept, by hour": Case(
        "`dedup_snapshots: 50`, `dedup_window: 4s`, `partition_by: hour`, for who commits as fast as this",
        sections(50, "hour"),
    ),
    "none expired": Case(
        "`expire_snapshots: false`, with which nothing is compacted either",
        {"commit": {"expire_snapshots": False}},
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("program", type=Path)
    parser.add_argument("--numbers", default="10,100,1000,10000")
    parser.add_argument("--without-numbers", default="10,100,1000", help="numbers for the case that expires nothing")
    parser.add_argument("--case", action="append", choices=list(CASES))
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where the tables are made")
    arguments = parser.parse_args()
    print("## Growth: the next commit to a table, and planning a read of it\n")
    print(
        "Each commit adds one file of 100 log records, 10 s of them, to a local SQLite catalog. `young` is a table with ten "
        "commits, measured in turn with the old one, so that the ratio does not hang on what else the machine does. Commit: "
        f"median of {TIMED_COMMITS}, files written before, a second after the last of the others. Planning: median of {ROUNDS}, the table loaded anew each time, no caches. "
        f"The tables are on {file_system.described(arguments.folder)}.\n"
    )
    for name in arguments.case or CASES:
        numbers = arguments.without_numbers if name == "none expired" else arguments.numbers
        run(arguments.program, arguments.folder, name, numbers)


def run(program: Path, parent: Path, name: str, numbers: str) -> None:
    case = CASES[name]
    print(f"### {name}\n\n{case.about[0].upper() + case.about[1:]}.\n")
    print(
        "| commits | merges | merging ms a commit | data files | snapshots | metadata.json KB | commit ms | young ms | ratio | slowest before ms |"
        " plan all ms | young | ratio | plan 1 h ms | young | ratio | DuckDB 1 h ms | young | ratio |"
    )
    print("|" + "--:|" * 19, flush=True)
    measured = [int(number) for number in numbers.split(",")]
    compactions = range(COMMITS_PER_HOUR, max(measured), COMMITS_PER_HOUR) if case.by_spark else ()
    # Each stop adds timed commits, so a stop just before a number would go past that number.
    apart = {stop for stop in compactions if not any(0 <= number - stop < TIMED_COMMITS for number in measured)}
    stops = sorted({*measured, *apart})
    folder = Path(tempfile.mkdtemp(prefix="growth-", dir=parent))
    command = [program, folder, ",".join(map(str, stops)), json.dumps(case.sections)]
    slowest_ms = 0.0
    try:
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as growing:
            for line in growing.stdout:
                figures = json.loads(line)
                slowest_ms = max(slowest_ms, figures["slowest_ms"])
                if case.by_spark:
                    compact(folder / "old")
                if figures["commits"] in measured:
                    print(row(folder, {**figures, "slowest_ms": slowest_ms}, case), flush=True)
                    slowest_ms = 0.0
                growing.stdin.write("\n")
                growing.stdin.flush()
        if growing.returncode != 0:
            sys.exit(f"{program} ended with {growing.returncode}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print()


def row(folder: Path, figures: dict, case: Case) -> str:
    old, young = folder / "old", folder / f"young-{figures['commits']}"
    commits = figures["commits"] + TIMED_COMMITS
    check(old, commits)
    in_hour = min(commits, COMMITS_PER_HOUR)
    # The number of files of a compacted table is not known in advance.
    compacted = case.by_spark or figures["merges"] > 0
    files, hour_files = (None, None) if compacted else (commits, in_hour)
    hour = last_hour(commits)
    young_hour = last_hour(30)
    connection = readers.connect_duckdb()
    connection.execute("SET enable_external_file_cache = false")
    timed = [
        in_turn(lambda: plan(old, None, files), lambda: plan(young, None, 30)),
        in_turn(lambda: plan(old, hour, hour_files), lambda: plan(young, young_hour, 30)),
        in_turn(
            lambda: query(connection, old, hour, in_hour),
            lambda: query(connection, young, young_hour, 30),
        ),
    ]
    connection.close()
    cells = [
        figures["commits"],
        figures["merges"],
        f"{figures['merging_ms_per_commit']:.1f}",
        len(list(readers.load(old, "logs").scan().plan_files())),
        figures["snapshots"],
        f"{figures['metadata_bytes'] / 1000:.0f}",
        *pair(figures["commit_ms"], figures["young_ms"]),
        f"{figures['slowest_ms']:.0f}",
        *(cell for times in timed for cell in pair(*times)),
    ]
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def pair(old: float, young: float) -> tuple[str, str, str]:
    return f"{old:.1f}", f"{young:.1f}", f"{old / young:.2f}"


def in_turn(old, young) -> tuple[float, float]:
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for step, spent in zip((old, young), times, strict=True):
            begun = time.perf_counter()
            step()
            spent.append((time.perf_counter() - begun) * 1e3)
    return statistics.median(times[0]), statistics.median(times[1])


def last_hour(commits: int) -> tuple[datetime, datetime]:
    end = FIRST + timedelta(seconds=commits * SECONDS_PER_COMMIT)
    return end - timedelta(hours=1), end


def plan(warehouse: Path, hour: tuple[datetime, datetime] | None, files: int | None) -> None:
    with manifest._manifest_cache_lock:
        manifest._manifest_cache.clear()
    scan = readers.load(warehouse, "logs").scan()
    if hour:
        begin, end = (time.isoformat() for time in hour)
        scan = scan.filter(And(GreaterThanOrEqual("Timestamp", begin), LessThan("Timestamp", end)))
    found = len(list(scan.plan_files()))
    assert found if files is None else found == files, f"{found} files are planned, not {files}"


def query(connection: duckdb.DuckDBPyConnection, warehouse: Path, hour: tuple[datetime, datetime], files: int) -> None:
    location = readers.load(warehouse, "logs").metadata_location
    sql = 'SELECT count(*) FROM iceberg_scan(?) WHERE "Timestamp" >= ? AND "Timestamp" < ?'
    (count,) = connection.execute(sql, [location, *hour]).fetchone()
    assert count == files * RECORDS_PER_COMMIT, f"{count} rows in the hour, not {files * RECORDS_PER_COMMIT}"


def compact(warehouse: Path) -> None:
    """Runs the maintenance that docs/operations.md gives for Spark."""
    from spark.session import Spark

    spark = Spark.on_sqlite(warehouse / "catalog.db", str(warehouse))
    table = f"table => '{NAMESPACE}.logs'"
    spark.call("rewrite_data_files", table)
    spark.call("rewrite_manifests", table)
    spark.call("expire_snapshots", f"{table}, older_than => current_timestamp(), retain_last => {KEPT_BY_SPARK}")


def check(warehouse: Path, commits: int) -> None:
    """Checks that every row is there once and that each retained snapshot can be planned."""
    table = readers.load(warehouse, "logs")
    rows = commits * RECORDS_PER_COMMIT
    assert readers.row_count(table) == rows
    with readers.connect_duckdb() as connection:
        sql = 'SELECT count(*), count(DISTINCT "TraceId") FROM iceberg_scan(?)'
        counts = connection.execute(sql, [table.metadata_location]).fetchone()
    assert counts == (rows, rows), f"{counts} rows, not {rows}"
    oldest = min(table.metadata.snapshots, key=lambda snapshot: snapshot.sequence_number)
    files = len(list(table.scan(snapshot_id=oldest.snapshot_id).plan_files()))
    assert files == int(oldest.summary["total-data-files"]), "the oldest snapshot that stays"


if __name__ == "__main__":
    main()
