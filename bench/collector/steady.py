"""Runs one load for a given time and prints memory minute by minute, to see whether it grows."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from .compare import say
from .probe import MEASURED_CORE, OTHER_CORE, MeasuredCollector, Sampler, cpu_seconds, memory_mib, on_core
from .rows import OURS, Load
from .run import as_by_default, check_rows
from .sender import Sender

RECORDS_PER_SECOND = 20_000
PRINT_SECONDS = 60


def main(folder: Path, seconds: float, records_per_second: int) -> int:
    """Prints a line each minute, and at the end compares the first and the last quarter."""
    load = Load("logs-300", records_per_second=records_per_second)
    with ExitStack() as stack:
        with on_core(OTHER_CORE):
            sender = stack.enter_context(Sender(load.payload))
            pool = stack.enter_context(ThreadPoolExecutor(1))
        with on_core(MEASURED_CORE):
            exporters = OURS.exporters(folder, 0)
            collector = MeasuredCollector(folder, exporters, own_metrics=True, change=as_by_default)
            stack.enter_context(collector)
        sampler = Sampler(collector.pid)
        begun = time.monotonic()
        sending = pool.submit(sender.send, load.transport, collector.grpc_port, records_per_second, seconds)
        for minute in range(1, int(seconds // PRINT_SECONDS) + 1):
            time.sleep(max(0.0, begun + minute * PRINT_SECONDS - time.monotonic()))
            if (memory := memory_mib(collector.pid)) is None:
                raise RuntimeError(f"the Collector ended\n{collector.log_tail()}")
            cpu = cpu_seconds(collector.pid)
            say(f"{minute:3d} min  RSS {memory.now:4.0f} MiB, peak {memory.peak:4.0f} MiB, CPU {cpu:6.1f} s")
        sent = sending.result()
        samples = sampler.stop()
    check_rows(folder, OURS, load, sender, sent.accepted_records)
    quarter = max(1, len(samples) // 4)
    print(
        f"{sent.accepted_records:,} records of {load.name} in {seconds:.0f} s, all stored once. Highest RSS: first quarter "
        f"{max(samples[:quarter]):.0f} MiB, last quarter {max(samples[-quarter:]):.0f} MiB"
    )
    return 0
