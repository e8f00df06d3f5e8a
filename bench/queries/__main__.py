"""Runs the ten queries, and one of them again over files with a column for its attribute. Writes a line of JSON each:
`python -m queries FOLDER BENCH_PROGRAM > queries.jsonl`."""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from . import checks, tables

ROUNDS = 10
SQL = Path(__file__).parent / "sql"
KIND = {"04": "spans", "06": "metrics", "09": "spans", "10": "metrics"}
# Our files with a column for an attribute, which is not the default.
OF_OURS = {"11": "logs-column"}


def main(folder: Path, program: str) -> None:
    sys.stdout, results = sys.stderr, sys.stdout
    checks.check(folder)
    parameters = pick_parameters(folder)
    for file in sorted(SQL.glob("*.sql")):
        result = run(folder, file, parameters)
        print(json.dumps(result), file=results, flush=True)
    for kind, table, ours, theirs, identity in (
        ("logs", "logs", "TraceId", "trace_id", parameters["log_trace"]),
        ("spans", "traces", "TraceId", "trace_id", parameters["span_trace"]),
    ):
        print(json.dumps(pages(folder, program, kind, table, ours, theirs, identity)), file=results, flush=True)
    sizes = {kind: {who: tables.size(folder, who, kind) for who in (*tables.WHO, tables.PLAIN)} for kind in checks.KINDS}
    print(json.dumps({"sizes": sizes}), file=results, flush=True)


def pick_parameters(folder: Path) -> dict[str, str]:
    """Values that occur in the data, from the middle of the rows in order of arrival."""
    with tables.connect(folder, "otlp2records", "logs") as logs, tables.connect(folder, "otlp2records", "spans") as spans:
        row = logs.execute(
            "SELECT lower(hex(trace_id)), log_attributes ->> '$.\"url.path\"' FROM logs LIMIT 1 OFFSET 500000"
        ).fetchone()
        span = spans.execute("SELECT lower(hex(trace_id)) FROM traces LIMIT 1 OFFSET 500000").fetchone()
    return {"log_trace": row[0], "order": row[1].rsplit("/", 1)[1], "span_trace": span[0]}


def run(folder: Path, file: Path, parameters: dict[str, str]) -> dict:
    """CPU milliseconds of one thread, for interleaved repeats. All answers are compared before any query is timed."""
    title, queries = read(file, parameters)
    kind = KIND.get(file.name[:2], "logs")
    kinds = {"ours": OF_OURS.get(file.name[:2], kind)}
    connections = {who: tables.connect(folder, who, kinds.get(who, kind)) for who in queries}
    answers, read_bytes = {}, {}
    for who, query in queries.items():
        before = bytes_read()
        rows = connections[who].execute(query).fetchall()
        read_bytes[who] = bytes_read() - before
        answers[who] = sorted(plain(row) for row in rows)
        assert answers[who], f"{file.name}: no rows for {who}"
        assert answers[who] == answers["ours"], f"{file.name}: {who} answers {answers[who][:3]}, ours {answers['ours'][:3]}"
    times = {who: [] for who in queries}
    for turn in range(ROUNDS):
        order = list(queries)
        for who in order[turn % len(order) :] + order[: turn % len(order)]:
            start = time.process_time()
            connections[who].execute(queries[who]).fetchall()
            times[who].append((time.process_time() - start) * 1000)
    for connection in connections.values():
        connection.close()
    print(f"{file.stem}: " + ", ".join(f"{who} {statistics.median(t):.1f} ms" for who, t in times.items()), flush=True)
    return {
        "query": file.stem,
        "title": title,
        "rows": len(answers["ours"]),
        "milliseconds": {who: [round(value, 3) for value in values] for who, values in times.items()},
        "bytes_read": read_bytes,
    }


def read(file: Path, parameters: dict[str, str]) -> tuple[str, dict[str, str]]:
    """A query's title, and its text for each writer."""
    title, *parts = file.read_text().split("\n-- ")
    queries = {}
    for part in parts:
        who, _, query = part.partition("\n")
        for name, value in parameters.items():
            query = query.replace("{" + name + "}", value)
        queries[who.strip()] = query.strip().rstrip(";")
    return title.removeprefix("--").strip(), queries


def plain(row: tuple) -> str:
    """A row for comparison: null and an empty list are equal, and doubles are rounded to nine digits."""
    return repr([[] if value is None else (round(value, 9) if isinstance(value, float) else value) for value in row])


def bytes_read() -> int:
    """The bytes that this process has read so far."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("rchar")).split()[1])


def pages(folder: Path, program: str, kind: str, table: str, ours: str, theirs: str, identity: str) -> dict:
    """The data pages that a look-up by trace id must read, according to the metadata in the files."""
    looked_up = {
        "ours": (folder / "ours" / kind / table, ours, f"text:{identity}"),
        "plain": (folder / "plain" / kind / table, ours, f"text:{identity}"),
        "otlp2records": (folder / "otlp2records" / kind / table, theirs, f"hex:{identity}"),
        "otel-arrow": (folder / "otel-arrow" / kind / {"traces": "spans"}.get(table, table), theirs, f"hex:{identity}"),
    }
    found = {}
    for who, arguments in looked_up.items():
        line = subprocess.run([program, "pages", *map(str, arguments)], check=True, capture_output=True, text=True).stdout
        found[who] = json.loads(line)
    assert len({cost["rows"] for cost in found.values() if cost["rows"]}) == 1, found
    return {"pages": table, "found": found}


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
