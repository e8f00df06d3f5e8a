"""Counts instructions with valgrind: `python -m report.count PROGRAM [KIND...] > instructions.jsonl`.

Unlike times, counts are repeatable to a percent under any other load. They do not reflect cache misses and page faults.
"""

import json
import re
import shutil
import subprocess
import sys

from .data import KINDS, STAGES

RECORDS = {"logs-1000-resources": 1_000, "logs-one-resource": 10_000}


def available() -> bool:
    """Whether instructions can be counted here."""
    return shutil.which("valgrind") is not None


def count(program: str, kind: str, stage: str) -> dict:
    """Instructions per record of one stage, warmed up."""
    records = RECORDS.get(kind, 8_192)
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*bench*counted*"]
    done = subprocess.run(
        [*command, program, "count", stage, kind, str(records)], capture_output=True, text=True, check=True
    )
    collected = re.search(r"Collected : (\d+)", done.stderr)
    assert collected and int(collected[1]) > 0, f"valgrind counted nothing: {done.stderr}"
    return {"payload": kind, "records": records, "stage": stage, "instructions": int(collected[1]) / records}


def main(program: str, kinds: list[str]) -> None:
    if not available():
        print("valgrind is not installed: instructions are not counted", file=sys.stderr)
        return
    for kind in kinds or KINDS:
        for stage in STAGES:
            line = count(program, kind, stage)
            print(f"{kind}, {stage}: {line['instructions']:.0f} instructions per record", file=sys.stderr, flush=True)
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
