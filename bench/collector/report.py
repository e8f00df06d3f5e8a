"""The results as Markdown, and which of the goals hold."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from .compare import Results
from .rows import FILE, NOP, OURS, Load, Row
from .run import Result

RSS_MIB_MAX = 150
ADDED_TO_NOP_MAX = 0.6


@dataclass(frozen=True)
class Goal:
    """One goal, and whether this run reached it."""

    text: str
    holds: bool


def markdown(results: Results, seconds: float, others: str) -> str:
    """The whole section."""
    loads = list(dict.fromkeys(row.load for row in results))
    parts = [
        "## Collector\n",
        "One binary holds all the exporters; each row is a process of its own on one core, the sender on another. Requests of "
        "8,192 records, encoded beforehand. CPU is user and system time from start to end, drained, over the records "
        "accepted; as many rows, each once, were then counted in the tables (DuckDB), files and the forward's sink. "
        f"Medians, with the lowest and highest; {seconds:.0f} s of load a row. Made by `make bench-collector` on {machine()}, "
        f"load average before it {others}.\n",
        _goals(results),
    ]
    parts += [_section(load, results) for load in loads]
    return "\n".join(parts) + "\n"


def goals(results: Results) -> list[Goal]:
    """Each goal, for each load at a fixed rate whose comparison was measured too."""
    found = []
    for load in dict.fromkeys(row.load for row in results if row.load.records_per_second):
        nop, ours, file = (_of(results, subject, load) for subject in (NOP, OURS, FILE))
        if not (nop and ours and file):
            continue
        floor = _median(nop, _micros)
        added, file_added = _median(ours, _micros) - floor, _median(file, _micros) - floor
        peak = _median(ours, lambda one: one.rss_peak_mib)
        rate = load.records_per_second
        found += [
            Goal(
                f"{load.name}: adds {added:.2f} µs, {added / floor:.2f} of nop's {floor:.2f} (at most {ADDED_TO_NOP_MAX})",
                added <= ADDED_TO_NOP_MAX * floor,
            ),
            Goal(
                f"{load.name}: adds {added / file_added:.2f} times what the fileexporter adds, {file_added:.2f} µs (at most 1)",
                added <= file_added,
            ),
            Goal(f"{load.name}: RSS at most {peak:.0f} MiB (at most {RSS_MIB_MAX})", peak <= RSS_MIB_MAX),
            Goal(f"{load.name}: the rate is held in every round", all(one.held(rate) for one in ours)),
        ]
    return found


def machine() -> str:
    """The facts about the machine that the figures depend on."""
    model = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    cores = len(model) or "unknown number of"
    return f"{cores} cores, {model[0] if model else platform.machine()}"


def load_of_others() -> str:
    """Other load on the machine: the load average before the run."""
    return f"{os.getloadavg()[0]:.1f}"


def _goals(results: Results) -> str:
    lines = [f"| {goal.text} | {'holds' if goal.holds else '**fails**'} |" for goal in goals(results)]
    return "\n".join(["| goal, with a commit every 10 s | |", "|---|---|", *lines, ""])


def _section(load: Load, results: Results) -> str:
    of_load = {row: found for row, found in results.items() if row.load == load}
    note = [] if load.records_per_second else ["Records per second are those stored, from the first request until drained.\n"]
    head = "| exporter | CPU µs/record | added | of nop | records/s | core | p50 / p99 ms | RSS mean / peak MiB |"
    lines = [f"### {load.name}\n", *note, head, "|---|--:|--:|--:|--:|--:|--:|--:|"]
    nop = _of(results, NOP, load)
    floor = _median(nop, _micros) if nop else None
    lines += [_line(row, found, floor) for row, found in of_load.items()]
    return "\n".join([*lines, ""])


def _line(row: Row, found: list[Result], floor: float | None) -> str:
    micros = _median(found, _micros)
    spread = f" ({min(map(_micros, found)):.2f} to {max(map(_micros, found)):.2f})" if len(found) > 1 else ""
    compared = floor is not None and row.subject is not NOP
    added = f"{micros - floor:.2f}" if compared else ""
    ratio = f"{(micros - floor) / floor:.2f}" if compared else ""
    late = row.load.records_per_second and not all(one.held(row.load.records_per_second) for one in found)
    rate = _median(found, lambda one: one.sent.accepted_records / one.sent.send_seconds)
    if not row.load.records_per_second:
        rate = _median(found, lambda one: one.records_per_second)
    return (
        f"| {row.subject.name} | {micros:.2f}{spread} | {added} | {ratio} | {rate:,.0f}{' (not held)' if late else ''} "
        f"| {100 * _median(found, lambda one: one.core_share):.0f} % "
        f"| {_median(found, lambda one: one.sent.p50_millis):.0f} / {_median(found, lambda one: one.sent.p99_millis):.0f} "
        f"| {_median(found, lambda one: one.rss_mean_mib):.0f} / {_median(found, lambda one: one.rss_peak_mib):.0f} |"
    )


def _of(results: Results, subject, load: Load) -> list[Result]:
    return next((found for row, found in results.items() if row.subject is subject and row.load == load), [])


def _micros(result: Result) -> float:
    return result.micros_per_record


def _median(found: list[Result], value: Callable[[Result], float]) -> float:
    return median(map(value, found))


