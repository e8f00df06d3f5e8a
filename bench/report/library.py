"""The section on the library: tables in Markdown."""

from .data import KINDS, PEERS, STAGES, Case, cases, instructions, spread
from .gate import held

_HEADS = "| payload | batch |"


def section() -> str:
    measured = cases()
    rounds = len(next(iter(measured[0].samples.values())))
    return "\n\n".join(
        [
            "## The library, one thread",
            f"Microseconds of CPU per record: medians of {rounds} interleaved rounds, with the least and the 90th percentile below. "
            "Everybody reads the same bytes with the same allocator; record counts, and checksums of the values in everybody's "
            "files, agreed before anything was timed. *scan* passes over every tag and length and is the floor. *decode*: ours reads "
            "every field of every record and keeps nothing; prost builds its messages. *Parquet* is from OTLP to files in memory, "
            "zstd level 1: ours are full tables (maps, sorted, bloom filter, statistics), the peers' are their record batches "
            "through the parquet crate's writer with its defaults.",
            _times(measured),
            "How many times faster ours is, in the same run; **bold** where a peer wins. The last columns are bytes of "
            "Parquet per row, and ours of the smaller peer's.",
            _ratios(measured),
            _notes(measured),
            _promises(measured),
            _instructions(),
        ]
    )


def _row(case: Case, cells: list[str]) -> str:
    return f"| {KINDS[case.kind]} | {case.records:,} | " + " | ".join(cells) + " |"


def _times(measured: list[Case]) -> str:
    heads = ["OTLP bytes", "scan", "decode, ours", "prost", "Arrow, ours", *PEERS, "Parquet, ours", *PEERS]
    table = [f"{_HEADS} " + " | ".join(heads) + " |", "|---|--:|" + "--:|" * len(heads)]
    for case in measured:
        cells = [f"{case.otlp_bytes:.0f}"]
        for stage in STAGES:
            least, high = spread(case.samples[stage])
            cells.append(f"{case.median(stage):.2f}<br><sub>{least:.2f}–{high:.2f}</sub>")
        table.append(_row(case, cells))
    return "\n".join(table)


def _ratios(measured: list[Case]) -> str:
    heads = ["decode, prost"]
    heads += [f"{step}, {peer}" for step in ("Arrow", "Parquet") for peer in PEERS]
    heads += ["bytes, ours", *PEERS, "ours of the smaller"]
    table = [f"{_HEADS} " + " | ".join(heads) + " |", "|---|--:|" + "--:|" * len(heads)]
    for case in measured:
        ratios = [case.median("decode-prost") / case.median("decode-ours")]
        ratios += [case.ratio(step, peer) for step in ("arrow", "parquet") for peer in PEERS]
        cells = [_marked(ratio, ratio < 1) for ratio in ratios]
        cells += [f"{case.file_bytes[f'parquet-{who}']:.1f}" for who in ("ours", *PEERS)]
        cells.append(_marked(case.bytes_ratio(), case.bytes_ratio() > 1))
        table.append(_row(case, cells))
    return "\n".join(table)


def _marked(ratio: float, lost: bool) -> str:
    return f"**{ratio:.2f}**" if lost else f"{ratio:.2f}"


def _notes(measured: list[Case]) -> str:
    notes = [
        "otel-arrow's record batches are normalised: attributes are rows of tables of their own, with the resource's once per "
        "request. It takes 65,535 spans a request at most, so it was given that batch in two halves. Its trace and span ids are "
        "taken out of their Arrow dictionaries before they are written: the parquet crate 59.3 writes dictionaries of fixed-size "
        "binaries with a length before each value, and DuckDB then reads other values.",
    ]
    if any(case.left_out["arrow-otlp2records"] for case in measured):
        notes.append(
            "otlp2records has no table for summaries and leaves those points out (4 of 100): its bytes per row are of the "
            "rows that it keeps, its time is per record sent. It and otel-arrow keep attribute values typed or as JSON text, ours are a map of text."
        )
    return "\n".join(f"- {note}" for note in notes)


def _promises(measured: list[Case]) -> str:
    table = ["| promised (bench/thresholds.json) | wanted | found | |", "|---|--:|--:|---|"]
    table += [promise.row() for promise in held(measured)]
    return "\n".join(table)


def _instructions() -> str:
    counted = instructions()
    if not counted:
        return "Instructions were not counted: no hardware counters and no valgrind on this machine."
    names = ["scan", "decode, ours", "prost", "Arrow, ours", *PEERS, "Parquet, ours", *PEERS]
    table = [f"{_HEADS} " + " | ".join(names) + " |", "|---|--:|" + "--:|" * len(names)]
    for (kind, records), by_stage in counted.items():
        cells = " | ".join(f"{by_stage[stage]:,.0f}" if stage in by_stage else "" for stage in STAGES)
        table.append(f"| {KINDS[kind]} | {records:,} | {cells} |")
    return (
        "### Instructions per record\n\nCounted by valgrind (callgrind), second of two runs. They hold still on a busy machine, "
        "and know nothing of cache misses and page faults; valgrind offers programs AVX2 and no AVX-512.\n\n" + "\n".join(table)
    )
