"""`python -m collector`: see README.md beside this file."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from . import outage, steady
from .compare import compare, say
from .report import goals, load_of_others, markdown
from .rows import RECORDS_PER_SECOND, rows


def main() -> int:
    """Runs the selected benchmark. Returns 1 for missing or duplicated rows; missed goals are only printed."""
    options = _options()
    folder = Path(tempfile.mkdtemp(prefix="o2i-bench-", dir=options.folder))
    try:
        if options.steady:
            return steady.main(folder, options.steady, options.rate or steady.RECORDS_PER_SECOND)
        if options.outage:
            return outage.main(folder, options.outage_seconds, options.rate or outage.RECORDS_PER_SECOND)
        seconds, others = options.seconds or (8 if options.quick else 15), load_of_others()
        rounds = options.rounds or (1 if options.quick else 3)
        results = compare(folder, rows(options.quick, options.rate or RECORDS_PER_SECOND), rounds, seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    text = markdown(results, seconds, others)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text)
        say(f"wrote {options.out}")
    for goal in goals(results):
        print(f"{'holds' if goal.holds else 'FAILS'}  {goal.text}")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m collector", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of the most important rows")
    parser.add_argument("--rounds", type=int, help="rounds (3; quick: 1)")
    parser.add_argument("--seconds", type=float, help="load of a row in seconds (15; quick: 8)")
    parser.add_argument("--out", type=Path, help="the Markdown file to write")
    parser.add_argument("--folder", type=Path, help="where tables and files are written meanwhile (the system's, for temporary files)")
    parser.add_argument("--steady", type=float, metavar="SECONDS", help="one load for that long instead, memory minute by minute")
    parser.add_argument("--outage", action="store_true", help="a catalog that is away instead: memory, and every record afterwards")
    parser.add_argument("--outage-seconds", type=float, default=300, help="how long it is away (300)")
    parser.add_argument("--rate", type=int, help="records per second (100000; --steady and --outage: 20000)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
