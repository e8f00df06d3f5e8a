"""Renders bench/results as bench/RESULTS.md and the README's chart: `python -m report`."""

import os

from . import chart, library, machine, queries
from .data import BENCH, RESULTS, cases


def main() -> None:
    # The facts of the machine that ran the measurements, also when another machine renders them.
    facts = RESULTS / "machine.txt"
    if os.environ.get("O2I_BENCH_MEASURED") or not facts.exists():
        facts.write_text(machine.facts() + "\n")
    text = "\n\n".join(
        [
            "# Benchmark results",
            "Made by `make bench`. Ratios are worth more than times: all of one run were measured interleaved on one core. What is not "
            "reached, why, and what was tried: [docs/performance.md](../docs/performance.md).",
            facts.read_text().strip(),
            library.section(),
            queries.section(),
        ]
    )
    (BENCH / "RESULTS.md").write_text(text + "\n")
    (BENCH / "chart.svg").write_text(chart.svg(cases()))
    print("wrote bench/RESULTS.md and bench/chart.svg")


if __name__ == "__main__":
    main()
