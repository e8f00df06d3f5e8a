"""Compares rows as multisets: value by value, doubles by their bits. Produces a readable difference."""

from __future__ import annotations

import json
import math
import struct
from collections import Counter

from .expect import ARRIVAL, Row

SHOWN_MAX = 5


def difference(
    expected: list[Row],
    found: list[Row],
    arrival: tuple[int, int] | None = None,
    time_column: str = "",
    any_nan: bool = False,
) -> str:
    """The difference as text, or "" when both hold the same rows in any order.

    `arrival` is the span of microseconds in which the requests arrived: a time in `time_column` within it counts as the
    time of arrival. With `any_nan`, all NaN are equal.
    """
    if any_nan:
        expected, found = _same_nan(expected), _same_nan(found)
    if arrival:
        first, last = arrival
        found = [
            {**row, time_column: ARRIVAL} if first <= (row.get(time_column) or 0) <= last else row for row in found
        ]
    missing, surplus = _unmatched(expected, found)
    if not missing and not surplus:
        return ""
    lines = [f"{len(expected)} rows expected, {len(found)} found; {len(missing)} missing, {len(surplus)} not expected"]
    for row in missing[:SHOWN_MAX]:
        lines.append(_nearest(row, surplus))
    if not missing:
        lines += [f"not expected: {canonical(row)}" for row in surplus[:SHOWN_MAX]]
    return "\n".join(lines)


def canonical(value) -> str:
    """A text that is equal only for equal values: doubles by their bits, maps sorted by key."""
    return json.dumps(_plain(value), sort_keys=True, ensure_ascii=False)


def _plain(value):
    if isinstance(value, float):
        return {"double": struct.pack(">d", value).hex(), "near": repr(value)}
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if value is ARRIVAL:
        return {"time": "arrival"}
    return value


def _same_nan(value):
    if isinstance(value, dict):
        return {key: _same_nan(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_same_nan(inner) for inner in value]
    return math.nan if isinstance(value, float) and math.isnan(value) else value


def _unmatched(expected: list[Row], found: list[Row]) -> tuple[list[Row], list[Row]]:
    by_text = {canonical(row): row for row in [*expected, *found]}
    wanted, got = Counter(map(canonical, expected)), Counter(map(canonical, found))
    return (
        [by_text[text] for text in (wanted - got).elements()],
        [by_text[text] for text in (got - wanted).elements()],
    )


def _nearest(row: Row, candidates: list[Row]) -> str:
    """The columns in which `row` differs from the candidate most like it."""
    if not candidates:
        return f"missing: {canonical(row)}"

    def differing(other: Row) -> list[str]:
        columns = dict.fromkeys([*row, *other])
        return [c for c in columns if canonical(row.get(c)) != canonical(other.get(c)) or (c in row) != (c in other)]

    nearest = min(candidates, key=lambda other: len(differing(other)))
    named = f"row of scope {row.get('ScopeName')!r}, service {row.get('ServiceName')!r}:"
    shown = [line for column in differing(nearest) for line in _differing(column, row.get(column), nearest.get(column))]
    return "\n".join([named, *shown])


def _differing(path: str, expected, found) -> list[str]:
    """The differing values, at the deepest level at which both have the same structure."""
    if isinstance(expected, dict) and isinstance(found, dict):
        inside = {key: (expected.get(key), found.get(key)) for key in {**expected, **found}}
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        inside = dict(enumerate(zip(expected, found, strict=True)))
    else:
        return [f"  {path}: expected {canonical(expected)}, found {canonical(found)}"]
    return [
        line
        for key, (one, other) in inside.items()
        if canonical(one) != canonical(other)
        for line in _differing(f"{path}[{key!r}]", one, other)
    ]
