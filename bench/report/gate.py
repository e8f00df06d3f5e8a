"""`make bench-check`: fails when a ratio misses its threshold in bench/thresholds.json, never on an absolute time.

`python -m report.gate PROGRAM [instructions|time]`. Instruction counts are compared where valgrind is installed, because
they are stable on a busy machine.
"""

import json
import subprocess
import sys
from dataclasses import dataclass

from . import count
from .data import BENCH, PEERS, RESULTS, Case, cases

# The steps whose speed has thresholds.
_STEPS = ("arrow", "parquet")


@dataclass
class Held:
    """One threshold and the measured value."""

    what: str
    wanted: float
    found: float
    at_most: bool = False

    @property
    def kept(self) -> bool:
        return self.found <= self.wanted if self.at_most else self.found >= self.wanted

    def row(self) -> str:
        """A row of a Markdown table."""
        bound = "≤" if self.at_most else "≥"
        return f"| {self.what} | {bound} {self.wanted} | {self.found:.2f} | {'kept' if self.kept else '**not reached**'} |"

    def __str__(self) -> str:
        bound = "at most" if self.at_most else "at least"
        return f"{'ok  ' if self.kept else 'LOST'} {self.what}: {self.found:.2f}, wanted {bound} {self.wanted}"


def thresholds() -> dict:
    return json.loads((BENCH / "thresholds.json").read_text())


def held(measured: list[Case], counted: dict | None = None) -> list[Held]:
    """Every threshold for the measured cases. With `counted`, speed is the ratio of instruction counts."""
    wanted = thresholds()
    found = []
    for case in measured:
        if f"{case.kind}:{case.records}" not in wanted["cases"]:
            continue
        for step in _STEPS:
            for peer, ratio in wanted["speed"][case.kind].get(step, {}).items():
                if counted is None:
                    got = case.ratio(step, peer)
                else:
                    by_stage = counted[case.kind, case.records]
                    got = by_stage[f"{step}-{peer}"] / by_stage[f"{step}-ours"]
                found.append(Held(f"{case.kind}, {step}, times faster than {peer}", ratio, got))
        found.append(
            Held(f"{case.kind}, bytes per row of the smaller peer's", wanted["bytes"][case.kind], case.bytes_ratio(), True)
        )
    return found


def main(program: str, by: str) -> int:
    RESULTS.mkdir(exist_ok=True)
    wanted = thresholds()["cases"]
    # One round is enough to measure bytes.
    rounds = "1" if by == "instructions" else "10"
    output = subprocess.run(
        [program, "measure", "--rounds", rounds, "--only", ",".join(wanted)], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    (RESULTS / "check.jsonl").write_text(output)
    measured = cases("check.jsonl")
    (RESULTS / "check.jsonl").unlink()
    counted = None
    if by == "instructions":
        counted = {(case.kind, case.records): {} for case in measured}
        for case in measured:
            for stage in [f"{step}-{who}" for step in _STEPS for who in ("ours", *PEERS)]:
                print(f"counting {case.kind}, {stage}", file=sys.stderr, flush=True)
                counted[case.kind, case.records][stage] = count.count(program, case.kind, stage)["instructions"]
    promises = held(measured, counted)
    print(f"ratios of {'instructions' if counted else 'CPU time, medians of interleaved rounds'}")
    for promise in promises:
        print(promise)
    return 0 if all(promise.kept for promise in promises) else 1


if __name__ == "__main__":
    choice = sys.argv[2] if len(sys.argv) > 2 else ("instructions" if count.available() else "time")
    sys.exit(main(sys.argv[1], choice))
