"""Runs many Collectors that write to one table of the reference REST catalog, and measures retries and failed calls.

`python -m catalogs.soak --writers 8 --seconds 60` (`make soak`) prints the figures; the tests run it for a shorter time.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from o2i.collector import Collector, total
from o2i.senders import Senders

from .exporting import settings
from .reading import load, wait_for_rows
from .reference import ReferenceCatalog

# The number ranges of different writers do not overlap.
NUMBERS_PER_WRITER = 10_000_000


@dataclass(frozen=True)
class Report:
    """The result of a run. All lists have an entry for each writer."""

    seconds: float
    acknowledged: set[int]
    stored: Counter[int]
    snapshots: int
    # Commits that a batch waited for, and attempts that lost a race against another writer.
    commits: list[int]
    conflicts: list[int]
    # Failed calls, which the exporter retries. The count is above zero when a writer has given up.
    failed_calls: list[int]
    last_rows_after_seconds: float

    @property
    def attempts_per_commit(self) -> float:
        """Commit attempts per snapshot."""
        return (self.snapshots + sum(self.conflicts)) / max(self.snapshots, 1)

    def __str__(self) -> str:
        return (
            f"{len(self.acknowledged):,} rows acknowledged by {len(self.commits)} writers in {self.seconds:.0f} s, "
            f"{sum(self.stored.values()):,} stored in {self.snapshots} snapshots, the last {self.last_rows_after_seconds:.1f} s "
            f"after the last was sent; {sum(self.conflicts)} attempts lost a race: {self.attempts_per_commit:.2f} attempts "
            f"per snapshot; commits by writer {self.commits}, lost races {self.conflicts}, calls failed {self.failed_calls}"
        )


def run(folder: Path, reference: ReferenceCatalog, namespace: str, writers: int, seconds: float) -> Report:
    """Starts `writers` Collectors at once on an empty namespace; they write to `logs` for `seconds`."""
    exporter = settings(reference.settings(namespace=namespace), timeout="60s")
    collectors = [
        Collector(folder / f"writer-{number}", {"iceberg": exporter}, own_metrics=True) for number in range(writers)
    ]
    catalog = reference.client()
    with ExitStack() as stack:
        for collector in collectors:
            stack.enter_context(collector)
        senders = [
            Senders(collector, count=1, first=number * NUMBERS_PER_WRITER, pause_seconds=0.02)
            for number, collector in enumerate(collectors)
        ]
        begun = time.monotonic()
        with ExitStack() as sending:
            for sender in senders:
                sending.enter_context(sender)
            time.sleep(seconds)
        ended = time.monotonic()
        acknowledged = set().union(*(sender.acknowledged for sender in senders))
        wait_for_rows(catalog, {"logs": len(acknowledged)}, namespace)
        last_rows = time.monotonic()
        # A commit is counted when its call has returned.
        own = [one.own_metrics_when(lambda text: total(text, "commits", "logs") > 0) for one in collectors]
    table = load(catalog, "logs", namespace)
    bodies = table.scan(selected_fields=("Body",)).to_arrow()["Body"].to_pylist()
    report = Report(
        seconds=ended - begun,
        acknowledged=acknowledged,
        stored=Counter(map(int, bodies)),
        snapshots=len(table.metadata.snapshots),
        commits=[int(total(text, "commits", "logs")) for text in own],
        conflicts=[int(total(text, "commit_conflicts", "logs")) for text in own],
        failed_calls=[one.log().count("Exporting failed") for one in collectors],
        last_rows_after_seconds=last_rows - ended,
    )
    catalog.close()
    return report


def main() -> int:
    """Runs it and prints the figures. Returns 1 when a row is missing or duplicated, or a writer gave up."""
    parser = argparse.ArgumentParser(prog="python -m catalogs.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="o2i-soak-"))
    try:
        with ReferenceCatalog(folder / "reference", f"file://{folder}/warehouse") as reference:
            report = run(folder, reference, "soak", options.writers, options.seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(report)
    if report.stored != Counter(report.acknowledged):
        print("soak: FAILED: what is stored is not what was acknowledged", file=sys.stderr)
        return 1
    if any(report.failed_calls):
        print("soak: FAILED: a writer gave up and began again", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
