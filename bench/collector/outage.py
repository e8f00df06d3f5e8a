"""Measures an outage of the catalog for minutes under load: the memory used, and whether every record is stored.

The catalog is the reference REST catalog behind a proxy. During the outage the proxy refuses new connections and answers
503 on connections that were kept open. Client requests have a long timeout, so that each one is clearly accepted or not.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from catalogs.proxy import Answer, Proxy
from catalogs.reading import load as load_table
from catalogs.reference import ReferenceCatalog

from .compare import say
from .probe import MEASURED_CORE, OTHER_CORE, MeasuredCollector, Sampler, on_core
from .rows import MIB, Load
from .run import RowsLost, as_by_default, count_table
from .sender import Sender

RECORDS_PER_SECOND = 20_000
SECONDS_BEFORE, SECONDS_AFTER = 20, 30
CATCH_UP_SECONDS_MAX = 600
IN_FLIGHT = 8

# The exporter's defaults that bound its memory, from docs/configuration.md.
QUEUE_BYTES = 512 * MIB
CONSUMERS = 24
BATCH_BYTES = 24 * MIB
CALLS = 2
# The rows of a call, their sort order and their Parquet pages.
ROWS_BYTES = 2 * 16 * MIB
# The memory of an idle Collector with the nop exporter, and how far Go's garbage collector lets the heap grow relative
# to live data (GOGC).
IDLE_BYTES = 80 * MIB
GO_HEAP_FACTOR = 2
# Protobuf grows at most by this factor when the receiver decodes it.
DECODED_FACTOR = 4


@dataclass(frozen=True)
class Queue:
    """A kind of sending queue."""

    name: str
    on_disk: bool
    settings: dict

    def bound_mib(self, request_bytes: float) -> float:
        """The upper bound on memory that follows from the configuration."""
        # The library holds waiting requests outside Go's heap.
        under_way = CONSUMERS * (BATCH_BYTES + request_bytes)
        waiting = under_way if self.on_disk else QUEUE_BYTES + BATCH_BYTES
        receiving = IN_FLIGHT * request_bytes * DECODED_FACTOR
        return (IDLE_BYTES + GO_HEAP_FACTOR * receiving + waiting + CALLS * ROWS_BYTES) / MIB


QUEUES = (
    Queue("in memory, clients wait when it is full", False, {"block_on_overflow": True}),
    Queue("on disk (file_storage)", True, {"block_on_overflow": True, "queue_size": 10 << 30}),
)


def main(folder: Path, outage_seconds: float, records_per_second: int) -> int:
    """Prints a line for each kind of queue; raises when a record is missing or stored twice."""
    for number, queue in enumerate(QUEUES):
        print(_one(folder / str(number), queue, outage_seconds, records_per_second), flush=True)
    return 0


def _one(folder: Path, queue: Queue, outage_seconds: float, records_per_second: int) -> str:
    load = Load("logs-300", records_per_second=records_per_second)
    with ExitStack() as stack:
        with on_core(OTHER_CORE):
            sender = stack.enter_context(Sender(load.payload, in_flight=IN_FLIGHT))
            catalog = stack.enter_context(ReferenceCatalog(folder / "catalog", f"file://{folder}/warehouse"))
            proxy = stack.enter_context(Proxy(catalog.uri))
            pool = stack.enter_context(ThreadPoolExecutor(1))
        exporter = {"catalog": catalog.settings(proxy.uri), "sending_queue": {**queue.settings}}
        with on_core(MEASURED_CORE):
            collector = MeasuredCollector(
                folder, {"iceberg": exporter}, queue_on_disk=queue.on_disk, own_metrics=True, change=as_by_default
            )
            stack.enter_context(collector)
        sampler = Sampler(collector.pid)
        seconds = SECONDS_BEFORE + outage_seconds + SECONDS_AFTER
        sending = pool.submit(sender.send, load.transport, collector.grpc_port, records_per_second, seconds)
        time.sleep(SECONDS_BEFORE)
        proxy.instead = lambda request: Answer(503, b"")
        proxy.stop()
        say(f"{queue.name}: the catalog is away for {outage_seconds:.0f} s")
        time.sleep(outage_seconds)
        peak_away = sampler.own_peak_mib
        proxy.instead = lambda request: None
        proxy.start()
        say(f"{queue.name}: the catalog is back, memory at most {peak_away:.0f} MiB so far")
        back = time.monotonic()
        sent = sending.result()
        stored, different = _wait_for_rows(catalog, sent.accepted_records)
        caught_up = time.monotonic() - back
        sampler.stop()
        if (stored, different) != (sent.accepted_records, sent.accepted_records):
            counts = f"{sent.accepted_records:,} accepted, {stored:,} stored, {different:,} different"
            raise RowsLost(f"{queue.name}: {counts}; the Collector said\n{collector.log_tail()}")
    bound = queue.bound_mib(sender.bytes_per_record * sender.records_per_request)
    return (
        f"queue {queue.name}: {sent.accepted_records:,} records accepted at {records_per_second:,}/s with the catalog away for "
        f"{outage_seconds:.0f} s, {sent.errors} requests refused, all {stored:,} stored once, the last {caught_up:.0f} s after it "
        f"was back; memory at most {sampler.own_peak_mib:.0f} MiB ({peak_away:.0f} while away; RSS {sampler.peak_mib:.0f}, with the "
        f"pages of files that are mapped), the configuration allows {bound:.0f} MiB: "
        f"{'within' if sampler.own_peak_mib <= bound else 'NOT WITHIN'}"
    )


def _wait_for_rows(catalog: ReferenceCatalog, records: int) -> tuple[int, int]:
    """Returns the number of rows and of distinct times, once there are `records` rows or the time is up."""
    opened = catalog.client()
    deadline = time.monotonic() + CATCH_UP_SECONDS_MAX
    while True:
        table = load_table(opened, "logs")
        snapshot = table.current_snapshot() if table else None
        if (snapshot and int(snapshot.summary["total-records"]) >= records) or time.monotonic() > deadline:
            return count_table(table)
        time.sleep(1)
