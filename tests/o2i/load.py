"""Runs a steady load on the Collector and samples its memory and CPU time: rough figures, not a benchmark.

It makes and serializes requests beforehand, so that this process needs little CPU time beside the Collector.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

import yaml

from . import readers
from .collector import REPOSITORY, Collector
from .workload import LOGS_PER_REQUEST, Shop

SENDERS = 4
# The maximum number of different requests; further ones repeat them in turn.
REQUESTS_MADE_MAX = 600


def main() -> int:
    """Runs the load and prints a line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m o2i.load", description=__doc__.splitlines()[0])
    parser.add_argument("--collector", default=REPOSITORY / "dist" / "otelcol-iceberg", help="the Collector's binary")
    parser.add_argument("--logs-per-second", type=int, default=20_000)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--records-per-request", type=int, default=LOGS_PER_REQUEST, help="in steps of a thousand, rounded up")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the exporter, such as commit.interval=10s")
    parser.add_argument("--cores", help="the Collector's CPUs, such as 0 or 0,1; all if not given")
    parser.add_argument("--queue-on-disk", action="store_true", help="the sending queue in file_storage")
    options = parser.parse_args()
    os.environ["O2I_COLLECTOR"] = str(Path(options.collector).resolve())
    folder = Path(tempfile.mkdtemp(prefix="o2i-load-"))
    try:
        return run(folder, options)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run(folder: Path, options: argparse.Namespace) -> int:
    """Runs the load; returns 1 when rows are missing or the rate was not held."""
    merged = -(-options.records_per_request // LOGS_PER_REQUEST)
    of_request = merged * LOGS_PER_REQUEST
    requests = options.logs_per_second * options.seconds // of_request
    payloads = make_payloads(min(requests, -(-REQUESTS_MADE_MAX // merged)), merged)
    sent = requests * of_request
    warehouse = folder / "warehouse"
    exporter = {"catalog": {"warehouse": str(warehouse)}}
    for setting in options.set:
        place, _, value = setting.partition("=")
        *sections, key = place.split(".")
        section = exporter
        for name in sections:
            section = section.setdefault(name, {})
        section[key] = yaml.safe_load(value)
    with Collector(folder, {"iceberg": exporter}, queue_on_disk=options.queue_on_disk) as collector:
        if options.cores:
            pin(collector.pid, {int(core) for core in options.cores.split(",")})
        idle = Sample.of(collector.pid)
        begun = time.monotonic()
        with collector.client() as client, Watch(collector.pid) as watch:
            late = send_steadily(client, payloads, requests, options.logs_per_second / of_request)
            took = time.monotonic() - begun
            # The CPU time must include the last flush.
            readers.wait_for_rows(warehouse, {"logs": sent}, still_alive=collector.healthy)
        end = Sample.of(collector.pid)
        assert collector.stop() == 0, collector.log_tail()
    table = readers.load(warehouse, "logs")
    rows = readers.row_count(table)
    cpu = end.cpu_seconds - idle.cpu_seconds
    sizes = table.inspect.files()["file_size_in_bytes"].to_pylist()
    print(
        f"{sent:,} logs of {sum(map(len, payloads)) / len(payloads) / of_request:.0f} bytes in {took:.1f} s "
        f"({sent / took:,.0f}/s, at most {late:.2f} s late), {rows:,} rows, "
        f"{sum(sizes) / max(rows, 1):.1f} bytes/row in {len(sizes)} files, {len(table.metadata.snapshots)} snapshots; "
        f"Collector: CPU {100 * cpu / took:.0f} % of one core ({1e6 * cpu / sent:.2f} us per log), RSS {idle.rss_mib:.0f} MiB idle, "
        f"{watch.mean_rss_mib:.0f} mean, {watch.max_rss_mib:.0f} max, {end.rss_mib:.0f} at the end"
    )
    if rows != sent:
        print(f"load: FAILED: {sent} logs sent, {rows} rows read", file=sys.stderr)
        return 1
    if sent / took < 0.98 * options.logs_per_second:
        print(f"load: FAILED: the rate of {options.logs_per_second} logs/s was not held", file=sys.stderr)
        return 1
    return 0


def pin(pid: int, cores: set[int]) -> None:
    """Pins all threads of a process, and those that they start, to these CPUs."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), cores)


def make_payloads(count: int, merged: int) -> list[bytes]:
    """Serialized log requests, each a concatenation of `merged` full ones, which is a valid request too."""
    shop = Shop(time.time_ns())
    wanted = count * merged
    for _ in shop.traces(wanted * LOGS_PER_REQUEST // 4):
        pass
    payloads = []
    for request in shop.logs((wanted + 20) * LOGS_PER_REQUEST):
        if len(payloads) < wanted and len(request.resource_logs[0].scope_logs[0].log_records) == LOGS_PER_REQUEST:
            payloads.append(request.SerializeToString())
    return [b"".join(payloads[at : at + merged]) for at in range(0, wanted, merged)]


def send_steadily(client, payloads: list[bytes], count: int, requests_per_second: float) -> float:
    """Sends each request at its time; returns the largest delay in seconds."""
    begun = time.monotonic()
    late = [0.0] * SENDERS
    failures: list[BaseException] = []

    def run_one(sender: int) -> None:
        try:
            for number in range(sender, count, SENDERS):
                due = begun + number / requests_per_second
                now = time.monotonic()
                time.sleep(max(0.0, due - now))
                late[sender] = max(late[sender], now - due)
                client.send(payloads[number % len(payloads)], "grpc", "logs")
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run_one, args=(sender,)) for sender in range(SENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return max(late)


class Sample:
    """Memory and CPU time of a process at one moment, from /proc."""

    def __init__(self, rss_mib: float, cpu_seconds: float):
        self.rss_mib = rss_mib
        self.cpu_seconds = cpu_seconds

    @classmethod
    def of(cls, pid: int) -> Sample:
        """Reads /proc/<pid>/stat (proc(5): utime and stime are fields 14 and 15, rss in pages is 24)."""
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks = int(fields[11]) + int(fields[12])
        return cls(int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 2**20, ticks / os.sysconf("SC_CLK_TCK"))


class Watch:
    """Samples a process's memory ten times a second until the block ends."""

    def __init__(self, pid: int):
        self._pid = pid
        self._seen: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def mean_rss_mib(self) -> float:
        """The mean of all samples."""
        return sum(self._seen) / max(len(self._seen), 1)

    @property
    def max_rss_mib(self) -> float:
        """The largest sample."""
        return max(self._seen, default=0.0)

    def _run(self) -> None:
        while not self._stop.wait(0.1):
            self._seen.append(Sample.of(self._pid).rss_mib)


if __name__ == "__main__":
    sys.exit(main())
