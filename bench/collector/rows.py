"""The Collectors and the loads that are measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

MIB = 1 << 20
RECORDS_PER_SECOND = 100_000


@dataclass(frozen=True)
class Load:
    """The requests that a sender sends, the transport, and the rate (0: as fast as they are accepted)."""

    payload: str
    transport: str = "grpc"
    records_per_second: int = RECORDS_PER_SECOND

    @property
    def signal(self) -> str:
        """`logs`, `traces` or `metrics`."""
        return {"logs-300": "logs", "logs-1k": "logs", "spans": "traces"}.get(self.payload, "metrics")

    @property
    def table(self) -> str:
        """The table that holds its rows."""
        return {"gauges": "metrics_gauge", "histograms": "metrics_histogram"}.get(self.payload, self.signal)

    @property
    def name(self) -> str:
        """Its name in a table of results."""
        transport = {"grpc": "gRPC", "http": "HTTP"}[self.transport]
        rate = f"{self.records_per_second:,}/s" if self.records_per_second else "saturation"
        return f"{self.payload}, {transport}, {rate}"


@dataclass(frozen=True)
class Subject:
    """A Collector: its exporter, with settings in which `{folder}` stands for the folder to write to."""

    name: str
    exporter: str
    # Not compared: two subjects of the same name are equal.
    settings: dict = field(default_factory=dict, compare=False)

    def exporters(self, folder: Path, sink_port: int) -> dict:
        """The exporters section of its configuration."""
        return {self.exporter: _filled(self.settings, {"{folder}": str(folder), "{sink}": f"127.0.0.1:{sink_port}"})}


def _filled(value, words: dict[str, str]):
    if isinstance(value, dict):
        return {key: _filled(inner, words) for key, inner in value.items()}
    if isinstance(value, str):
        for word, text in words.items():
            value = value.replace(word, text)
    return value


_LOCAL = {"catalog": {"warehouse": "{folder}/warehouse"}}

NOP = Subject("nop", "nop")
OURS = Subject(
    "iceberg, a commit every 10 s",
    "iceberg",
    {**_LOCAL, "commit": {"interval": "10s"}, "sending_queue": {"batch": {"flush_timeout": "10s"}}},
)
OURS_DEFAULT = Subject("iceberg, defaults", "iceberg", _LOCAL)
FILE = Subject("file, proto + zstd", "file", {"path": "{folder}/out.bin", "format": "proto", "compression": "zstd"})
_FORWARD = {"endpoint": "{sink}", "tls": {"insecure": True}, "sending_queue": {"block_on_overflow": True}}
FORWARD = Subject("otlp forward, no compression", "otlp", {**_FORWARD, "compression": "none"})
FORWARD_GZIP = Subject("otlp forward, gzip (its default)", "otlp", _FORWARD)

SUBJECTS = (NOP, OURS, OURS_DEFAULT, FILE, FORWARD, FORWARD_GZIP)


@dataclass(frozen=True)
class Row:
    """One measurement: a Collector under a load, repeated once a round, or in the first round only."""

    subject: Subject
    load: Load
    every_round: bool = True


def rows(quick: bool, rate: int) -> list[Row]:
    """All measurements of a round, in order. Measurements that are compared are adjacent."""
    main = [Row(subject, Load("logs-300", records_per_second=rate)) for subject in (NOP, OURS, FILE, OURS_DEFAULT, FORWARD)]
    main += [Row(subject, Load("logs-300", "http", rate)) for subject in (NOP, OURS, FILE)]
    saturation = [Row(subject, Load("logs-300", records_per_second=0)) for subject in (NOP, OURS_DEFAULT, FILE)]
    if quick:
        return main[:3] + saturation
    others = [
        Row(subject, Load(payload, records_per_second=rate), every_round=False)
        for payload in ("logs-1k", "spans", "gauges", "histograms")
        for subject in (NOP, OURS, FILE)
    ]
    return [*main, Row(FORWARD_GZIP, Load("logs-300", records_per_second=rate), every_round=False), *saturation, *others]
