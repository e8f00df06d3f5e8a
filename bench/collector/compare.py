"""All rows, interleaved over several rounds."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from pathlib import Path

from .probe import OTHER_CORE, on_core
from .rows import Row
from .run import Result, measure
from .sender import Sender

Results = dict[Row, list[Result]]


def compare(folder: Path, planned: list[Row], rounds: int, seconds: float) -> Results:
    """Measures every row in every round. Rows that are not for every round run in the first one only, more briefly."""
    results: Results = defaultdict(list)
    begun = time.monotonic()
    for number in range(1, rounds + 1):
        of_round = [row for row in planned if number == 1 or row.every_round]
        for payload in dict.fromkeys(row.load.payload for row in of_round):
            with on_core(OTHER_CORE):
                sender = Sender(payload)
            with sender:
                for row in (row for row in of_round if row.load.payload == payload):
                    length = seconds if row.every_round else seconds * 2 / 3
                    result = measure(folder / "run", row.subject, row.load, sender, length)
                    results[row].append(result)
                    say(f"{time.monotonic() - begun:4.0f} s  round {number} of {rounds}  {describe(row, result)}")
    return results


def describe(row: Row, result: Result) -> str:
    """One line of progress."""
    held = "" if not row.load.records_per_second or result.held(row.load.records_per_second) else "  RATE NOT HELD"
    return (
        f"{row.load.name:32} {row.subject.name:32} {result.micros_per_record:6.2f} us/record  "
        f"{result.records_per_second:9,.0f}/s  core {100 * result.core_share:3.0f} %  RSS {result.rss_peak_mib:5.0f} MiB{held}"
    )


def say(line: str) -> None:
    """Progress, to standard error."""
    print(line, file=sys.stderr, flush=True)
