"""Measures one Collector on one core: CPU time and memory under a load, and a count of its rows afterwards."""

from __future__ import annotations

import re
import shutil
import statistics
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from o2i import readers
from o2i.collector import Collector

from .probe import MEASURED_CORE, OTHER_CORE, MeasuredCollector, Sampler, cpu_seconds, on_core
from .rows import FILE, Load, Subject
from .sender import Sender, Sent

FORWARD_SECONDS_MAX = 120


class RowsLost(Exception):
    """The stored records differ from the accepted ones, which invalidates the measurement."""


@dataclass(frozen=True)
class Result:
    """One row of one round. CPU time covers the whole run: from when the Collector was ready to its end, with drain."""

    sent: Sent
    cpu_seconds: float
    # From the first request to the last record stored.
    seconds: float
    rss_mean_mib: float
    rss_peak_mib: float

    @property
    def micros_per_record(self) -> float:
        """CPU time, user and system."""
        return self.cpu_seconds * 1e6 / self.sent.accepted_records

    @property
    def records_per_second(self) -> float:
        """Stored records by the time until the last one was stored."""
        return self.sent.accepted_records / self.seconds

    @property
    def core_share(self) -> float:
        """CPU time as a share of one core."""
        return self.cpu_seconds / self.seconds

    def held(self, records_per_second: int) -> bool:
        """Whether the Collector accepted requests at the intended rate."""
        return self.sent.accepted_records >= 0.98 * records_per_second * self.sent.send_seconds and not self.sent.errors


def measure(folder: Path, subject: Subject, load: Load, sender: Sender, seconds: float) -> Result:
    """Starts the Collector in an empty folder, sends for `seconds`, stops it (which drains it) and counts its rows."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        if subject.exporter == "otlp":
            return _measure_forward(folder, subject, load, sender, seconds)
        with on_core(MEASURED_CORE):
            collector = MeasuredCollector(folder, subject.exporters(folder, 0), own_metrics=True, change=as_by_default)
            collector.start()
        result = _under_load(collector, load, sender, seconds, drained=lambda accepted: None)
        try:
            check_rows(folder, subject, load, sender, result.sent.accepted_records)
        except RowsLost as lost:
            raise RowsLost(f"{lost}; the Collector said\n{collector.log_tail()}") from None
        return result
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def as_by_default(config: dict) -> None:
    """For a Collector made with `own_metrics`: sets its own metrics to the default level."""
    config["service"]["telemetry"]["metrics"]["level"] = "normal"


def _measure_forward(folder: Path, subject: Subject, load: Load, sender: Sender, seconds: float) -> Result:
    with ExitStack() as stack:
        with on_core(OTHER_CORE):
            sink = Collector(folder / "sink", {"nop": None}, own_metrics=True, change=as_by_default)
            stack.enter_context(sink)
        with on_core(MEASURED_CORE):
            exporters = subject.exporters(folder, sink.grpc_port)
            collector = MeasuredCollector(folder / "forward", exporters, own_metrics=True, change=as_by_default)
            collector.start()
        return _under_load(
            collector, load, sender, seconds, drained=lambda accepted: _wait_for_sink(sink, load.signal, accepted)
        )


def _wait_for_sink(sink: Collector, signal: str, records: int) -> None:
    counter = {"logs": "log_records", "traces": "spans", "metrics": "metric_points"}[signal]
    pattern = re.compile(rf"^otelcol_receiver_accepted_{counter}(?:_total)?\{{[^}}]*\}} (\S+)$", re.MULTILINE)

    def received(text: str) -> int:
        return int(sum(map(float, pattern.findall(text))))

    found = received(sink.own_metrics_when(lambda text: received(text) >= records, FORWARD_SECONDS_MAX))
    if found != records:
        raise RowsLost(f"{records:,} records were accepted and {found:,} forwarded")


def _under_load(collector: MeasuredCollector, load: Load, sender: Sender, seconds: float, drained) -> Result:
    port = collector.grpc_port if load.transport == "grpc" else collector.http_port
    try:
        sampler = Sampler(collector.pid)
        cpu_before, begun = cpu_seconds(collector.pid), time.monotonic()
        sent = sender.send(load.transport, port, load.records_per_second, seconds)
        drained(sent.accepted_records)
        if code := collector.stop():
            raise RuntimeError(f"the Collector ended with {code}\n{collector.log_tail()}")
        ended = time.monotonic()
    except BaseException:
        if collector.process is not None:
            collector.kill()
        raise
    if not sent.accepted_records:
        raise RowsLost(f"nothing was accepted: {sent.first_error}\n{collector.log_tail()}")
    samples = sampler.stop()
    return Result(
        sent=sent,
        cpu_seconds=collector.cpu_seconds - cpu_before,
        seconds=ended - begun,
        rss_mean_mib=statistics.fmean(samples),
        rss_peak_mib=sampler.peak_mib,
    )


def check_rows(folder: Path, subject: Subject, load: Load, sender: Sender, accepted: int) -> None:
    """Counts the stored rows with an independent reader. Each sent record has a distinct time."""
    if subject.exporter == FILE.exporter:
        stored = different = sender.count_file(folder / "out.bin")
    elif subject.exporter == "iceberg":
        stored, different = count_table(readers.load(folder / "warehouse", load.table))
    else:
        return
    if (stored, different) != (accepted, accepted):
        raise RowsLost(f"{accepted:,} records were accepted, {stored:,} stored, {different:,} of them different")


def count_table(table) -> tuple[int, int]:
    """The number of rows and of distinct times in a table, as DuckDB reads it. None counts as an empty table."""
    if table is None:
        return 0, 0
    time_column = "Timestamp" if "Timestamp" in table.schema().column_names else "TimeUnix"
    with readers.connect_duckdb() as connection:
        connection.execute("SET enable_progress_bar = false")
        query = f'SELECT count(*), count(DISTINCT "{time_column}") FROM iceberg_scan(?)'
        return connection.execute(query, [table.metadata_location]).fetchone()
