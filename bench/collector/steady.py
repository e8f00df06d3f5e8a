"""One load for as long as asked: memory minute by minute, to see whether it grows."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .compare import say
from .probe import MEASURED_CORE, OTHER_CORE, MeasuredCollector, Sampler, cpu_seconds, memory_mib, on_core
from .rows import OURS, Load
from .run import as_by_default, check_rows
from .sender import Sender

RECORDS_PER_SECOND = 20_000
PRINT_SECONDS = 60


def main(folder: Path, seconds: float, records_per_second: int) -> int:
    """Prints a line each minute, and at the end the first and the last quarter beside each other."""
    load = Load("logs-300", records_per_second=records_per_second)
    with on_core(OTHER_CORE):
        sender = Sender(load.payload)
    with on_core(MEASURED_CORE):
        collector = MeasuredCollector(folder, OURS.exporters(folder, 0), own_metrics=True, change=as_by_default).start()
    with sender, collector, ThreadPoolExecutor(1) as pool:
        sampler = Sampler(collector.pid)
        begun = time.monotonic()
        sending = pool.submit(sender.send, load.transport, collector.grpc_port, records_per_second, seconds)
        for minute in range(1, int(seconds // PRINT_SECONDS) + 1):
            time.sleep(max(0.0, begun + minute * PRINT_SECONDS - time.monotonic()))
            now, peak = memory_mib(collector.pid)
            say(f"{minute:3d} min  RSS {now:4.0f} MiB, peak {peak:4.0f} MiB, CPU {cpu_seconds(collector.pid):6.1f} s")
        sent = sending.result()
        samples = sampler.stop()
    check_rows(folder, OURS, load, sender, sent.accepted_records)
    quarter = max(1, len(samples) // 4)
    print(
        f"{sent.accepted_records:,} records of {load.name} in {seconds:.0f} s, all stored once. Highest RSS: first quarter "
        f"{max(samples[:quarter]):.0f} MiB, last quarter {max(samples[-quarter:]):.0f} MiB"
    )
    return 0
