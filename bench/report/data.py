"""The files of bench/results: lines of JSON in the format that the benchmarks print."""

import json
import statistics
from dataclasses import dataclass
from pathlib import Path

BENCH = Path(__file__).parent.parent
RESULTS = BENCH / "results"
PEERS = ("otlp2records", "otel-arrow")
KINDS = {
    "logs-300B": "logs, 300 bytes",
    "logs-1KB": "logs, 1 KB",
    "spans": "spans with events and links",
    "metrics": "metrics of all five kinds",
    "logs-1000-resources": "logs, a resource each",
    "logs-one-resource": "logs, one resource",
}
STAGES = (
    "scan",
    "decode-ours",
    "decode-prost",
    "arrow-ours",
    "arrow-otlp2records",
    "arrow-otel-arrow",
    "parquet-ours",
    "parquet-otlp2records",
    "parquet-otel-arrow",
)


def lines(name: str) -> list[dict]:
    """The objects of a file; none if the file does not exist."""
    file = RESULTS / name
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@dataclass
class Case:
    """One kind of payload in batches of one size."""

    kind: str
    records: int
    otlp_bytes: float
    # By stage: microseconds of CPU per record, a value per round.
    samples: dict[str, list[float]]
    # By stage: bytes of Parquet per row that was kept.
    file_bytes: dict[str, float]
    left_out: dict[str, int]

    def median(self, stage: str) -> float:
        return statistics.median(self.samples[stage])

    def ratio(self, step: str, peer: str) -> float:
        """How many times faster ours is, by medians."""
        return self.median(f"{step}-{peer}") / self.median(f"{step}-ours")

    def bytes_ratio(self) -> float:
        """Our bytes per row as a share of the smaller peer's."""
        return self.file_bytes["parquet-ours"] / min(self.file_bytes[f"parquet-{peer}"] for peer in PEERS)


def cases(name: str = "library.jsonl") -> list[Case]:
    """Every case, in the order measured."""
    found: dict[tuple[str, int], Case] = {}
    for line in lines(name):
        key = (line["payload"], line["records"])
        case = found.setdefault(key, Case(*key, line["otlp_bytes"] / line["records"], {}, {}, {}))
        case.samples[line["stage"]] = line["microseconds"]
        case.left_out[line["stage"]] = line["left_out"]
        if line["file_bytes"]:
            case.file_bytes[line["stage"]] = line["file_bytes"] / (line["records"] - line["left_out"])
    return list(found.values())


def spread(samples: list[float]) -> tuple[float, float]:
    """The minimum and the 90th percentile."""
    ordered = sorted(samples)
    return ordered[0], ordered[min(len(ordered) - 1, round(0.9 * (len(ordered) - 1)))]


def instructions() -> dict[tuple[str, int], dict[str, float]]:
    """Instructions per record, by case and stage."""
    found: dict[tuple[str, int], dict[str, float]] = {}
    for line in lines("instructions.jsonl"):
        found.setdefault((line["payload"], line["records"]), {})[line["stage"]] = line["instructions"]
    return found
