"""The fixed corpus: requests that cover every column of every table and every rule of docs/schema.md.

`python -m o2i.corpus --update` writes it to `testdata/`, with the expected rows of each request and an index. `--check`
reports whether `testdata/` is up to date. The same code always makes the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .. import expect
from ..expect import Row
from . import logs, metrics, raw, traces


@dataclass(frozen=True)
class Fixture:
    """One request in `testdata/`."""

    name: str
    signal: str
    about: str
    payload: bytes
    # The rows of each table; None when the request must be refused.
    rows: dict[str, list[Row]] | None
    # The path of the first bad field, for a request that must be refused.
    path: str = ""
    # What the Collector's receiver does with it. Requests that it changes or refuses reach the library in other ways.
    receiver: Literal["passes on", "changes", "refuses"] = "passes on"


def fixtures() -> list[Fixture]:
    """All of them; those that any client could send come first."""
    return [
        _of_message("logs", logs.request(), "every column and rule of log records, and every kind of attribute value"),
        _of_message("traces", traces.request(), "every column and rule of spans, their events and links"),
        _of_message("metrics", metrics.request(), "every column and rule of the five kinds of metrics and their exemplars"),
        _of_logs("logs_nesting", raw.nesting, "values nested up to and beyond 64 levels"),
        _of_logs("logs_invalid_utf8", raw.invalid_utf8, "text that is not UTF-8"),
        _of_logs("logs_wire_variants", raw.wire_variants, "unknown fields, fields given twice, overlong varints"),
        _of_logs("logs_invalid_ids", raw.invalid_ids, "trace and span ids of a wrong length", "refuses"),
        _negative_zeros(),
        _unpacked(),
        *_malformed(),
    ]


def fixture(name: str) -> Fixture:
    """The fixture of this name."""
    return next(one for one in fixtures() if one.name == name)


def _of_message(name: str, request, about: str) -> Fixture:
    return Fixture(name, name, about, request.SerializeToString(deterministic=True), expect.rows(request))


def _of_logs(name: str, make, about: str, receiver: str = "passes on") -> Fixture:
    payload, rows = make()
    return Fixture(name, "logs", about, payload, {"logs": rows}, receiver=receiver)


def _negative_zeros() -> Fixture:
    request = metrics.negative_zeros()
    rows = {table: of_table for table, of_table in expect.rows(request).items() if of_table}
    about = "-0.0 in fields without presence"
    return Fixture("metrics_negative_zero", "metrics", about, request.SerializeToString(), rows, receiver="changes")


def _unpacked() -> Fixture:
    payload, rows = raw.unpacked()
    about = "repeated numbers unpacked, and packed in pieces"
    return Fixture("metrics_unpacked", "metrics", about, payload, {"metrics_histogram": rows}, receiver="changes")


def _malformed() -> list[Fixture]:
    return [
        Fixture(f"malformed_{name}", "logs", "not well-formed: refused whole", payload, None, path, "refuses")
        for name, (payload, path) in raw.malformed().items()
    ]
