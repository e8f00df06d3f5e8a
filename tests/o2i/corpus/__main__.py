"""`python -m o2i.corpus --update | --check`."""

from __future__ import annotations

import argparse
import json
import sys

from ..collector import REPOSITORY
from ..compare import canonical
from . import Fixture, fixtures

FOLDER = REPOSITORY / "testdata"

CATALOGUE = """\
# Requests and the rows they must give

Written by `python -m o2i.corpus --update` (code: `tests/o2i/corpus`); `--check`, a part of `make test`, proves them
fresh. Do not edit them by hand.

- `<name>.binpb`: a serialized `Export{{Logs,Trace,Metrics}}ServiceRequest`; the name's first word is the signal.
- `<name>.rows.json`: the rows of each table, by the rules of [docs/schema.md](../docs/schema.md), in the request's order.
  A time is a number of microseconds, or `{{"time": "arrival"}}` for the time of arrival; a double is
  `{{"double": <its bits in hex>, "near": <readable>}}`; a map is an object.
- `malformed_*.binpb` must be refused whole, with the path of the first bad field named below.

The whole-system tests (`tests/`) send them to the real Collector, except those that its own receiver changes or
refuses (last column); the tests of other doors can use them all.

| fixture | holds | rows | receiver |
|---|---|---|---|
{lines}
"""


def main() -> int:
    """Writes or checks; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m o2i.corpus", description="The fixed corpus in testdata/.")
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument("--update", action="store_true", help="write testdata/")
    choice.add_argument("--check", action="store_true", help="fail unless testdata/ is fresh")
    update = parser.parse_args().update
    made = files()
    if update:
        FOLDER.mkdir(exist_ok=True)
        for name in stale(made):
            (FOLDER / name).unlink(missing_ok=True)
        for name, content in made.items():
            (FOLDER / name).write_bytes(content)
        print(f"{len(made)} files in {FOLDER}")
        return 0
    wrong = stale(made)
    for name in wrong:
        print(f"testdata/{name} is not fresh: python -m o2i.corpus --update", file=sys.stderr)
    return 1 if wrong else 0


def files() -> dict[str, bytes]:
    """All files that `testdata/` must hold, by name."""
    made: dict[str, bytes] = {}
    for one in fixtures():
        made[f"{one.name}.binpb"] = one.payload
        if one.rows is not None:
            made[f"{one.name}.rows.json"] = _rows_file(one)
    made["README.md"] = CATALOGUE.format(lines="\n".join(map(_catalogue_line, fixtures()))).encode()
    return made


def stale(made: dict[str, bytes]) -> list[str]:
    """Names of files that are missing, differ, or are superfluous."""
    there = {path.name: path.read_bytes() for path in FOLDER.iterdir() if path.is_file()} if FOLDER.exists() else {}
    return sorted(name for name in {*made, *there} if made.get(name) != there.get(name))


def _rows_file(one: Fixture) -> bytes:
    tables = [
        f"{json.dumps(table)}: [\n" + ",\n".join(map(canonical, rows)) + "\n]" for table, rows in one.rows.items()
    ]
    return ("{\n" + ",\n".join(tables) + "\n}\n").encode()


def _catalogue_line(one: Fixture) -> str:
    if one.rows is None:
        return f"| `{one.name}` | {one.about} | refused at `{one.path}` | {one.receiver} |"
    count = ", ".join(f"{len(rows)} in `{table}`" for table, rows in one.rows.items())
    return f"| `{one.name}` | {one.about} | {count} | {one.receiver} |"


if __name__ == "__main__":
    sys.exit(main())
