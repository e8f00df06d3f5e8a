"""The section on the cost of reading: tables in Markdown."""

import statistics

from .data import PEERS, lines, spread
from .gate import Held, thresholds

_WHO = ("ours", *PEERS)


def section() -> str:
    found = lines("queries.jsonl")
    if not found:
        return "## What readers pay\n\nNot measured."
    queries = [line for line in found if "query" in line]
    looked_up = [line for line in found if "pages" in line]
    sizes = next(line["sizes"] for line in found if "sizes" in line)
    rounds = len(queries[0]["milliseconds"]["ours"])
    return "\n\n".join(
        [
            "## What readers pay",
            "DuckDB on one thread over everybody's files of the same rows: 1,048,576 log records, spans and points each, in 8 files "
            "of 131,072 rows (otel-arrow: as many files for each of its tables). Milliseconds of CPU, medians of "
            f"{rounds} interleaved repeats with the least and the 90th percentile, files in the page cache; the answers were equal before. "
            "The texts stand side by side in [queries/sql](queries/sql).",
            _queries(queries),
            "### Finding a trace: data pages that must be read",
            "By what the files tell a reader that uses all of it: statistics and bloom filters of row groups, then the page index. "
            "*plain* are our rows as they came, without bloom filters.",
            _pages(looked_up),
            "### Promised",
            _promises(queries, looked_up),
            "### Bytes of the files",
            _sizes(sizes),
        ]
    )


def _queries(queries: list[dict]) -> str:
    heads = [*_WHO, *(f"{peer} / ours" for peer in PEERS), *(f"MB read, {who}" for who in _WHO)]
    table = ["| query | rows | " + " | ".join(heads) + " |", "|---|--:|" + "--:|" * len(heads)]
    for query in queries:
        times = query["milliseconds"]
        medians = {who: statistics.median(times[who]) for who in _WHO}
        cells = []
        for who in _WHO:
            least, high = spread(times[who])
            cells.append(f"{medians[who]:.1f}<br><sub>{least:.1f}–{high:.1f}</sub>")
        for peer in PEERS:
            ratio = medians[peer] / medians["ours"]
            cells.append(f"**{ratio:.2f}**" if ratio < 1 else f"{ratio:.2f}")
        cells += [f"{query['bytes_read'][who] / 1e6:.2f}" for who in _WHO]
        table.append(f"| {query['title'].rstrip('.')} | {query['rows']:,} | " + " | ".join(cells) + " |")
    return "\n".join(table)


def _pages(looked_up: list[dict]) -> str:
    table = [
        "| table | files of | row groups | by statistics | by bloom filter | id pages, KB | other pages, KB | all, KB | times ours |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for line in looked_up:
        ours = line["found"]["ours"]
        for who, cost in line["found"].items():
            pages = cost["id_bytes"] + cost["other_bytes"]
            times = pages / (ours["id_bytes"] + ours["other_bytes"])
            table.append(
                f"| {line['pages']} | {who} | {cost['row_groups']} | {cost['by_statistics']} | {cost['by_bloom_filter']} | "
                f"{cost['id_bytes'] / 1e3:,.0f} | {cost['other_bytes'] / 1e3:,.0f} | {pages / 1e3:,.0f} | {times:.1f} |"
            )
    return "\n".join(table) + (
        "\n\notel-arrow's pages are those of the one table with the ids; the attributes of its rows lie in others, not counted here."
    )


def _sizes(sizes: dict) -> str:
    heads = [*_WHO, "plain", "ours of the smaller peer's"]
    table = ["| rows | " + " | ".join(heads) + " |", "|---|" + "--:|" * len(heads)]
    for kind, by_who in sizes.items():
        ratio = by_who["ours"] / min(by_who[peer] for peer in PEERS)
        cells = [f"{by_who[who] / 1e6:.2f} MB" for who in (*_WHO, "plain")]
        table.append(f"| {kind} | " + " | ".join(cells) + f" | {f'**{ratio:.2f}**' if ratio > 1 else f'{ratio:.2f}'} |")
    return "\n".join(table)


def promises(queries: list[dict], looked_up: list[dict]) -> list[Held]:
    """The thresholds of bench/thresholds.json for reading."""
    wanted = thresholds()["queries"]
    found = []
    for query in queries:
        medians = {who: statistics.median(query["milliseconds"][who]) for who in _WHO}
        slower = medians["ours"] / min(medians[peer] for peer in PEERS)
        found.append(Held(f"{query['query']}, time of the faster peer's", wanted["slower_at_most"], slower, True))
    for line in looked_up:
        pages = {who: cost["id_bytes"] + cost["other_bytes"] for who, cost in line["found"].items()}
        times = pages["plain"] / pages["ours"]
        what = f"{line['pages']} by trace id, times fewer data-page bytes than plain"
        found.append(Held(what, wanted["fewer_page_bytes_by_trace_id"], times))
    return found


def _promises(queries: list[dict], looked_up: list[dict]) -> str:
    table = ["| promised (bench/thresholds.json) | wanted | found | |", "|---|--:|--:|---|"]
    table += [promise.row() for promise in promises(queries, looked_up)]
    return "\n".join(table)
