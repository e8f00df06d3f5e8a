"""`python -m lambda_host.figures`: compares size, start time and memory of the built Lambda with their limits.

The catalog is the reference catalog and storage is a local folder. A proxy adds latency for the cold and warm requests.
So the figures describe our program, not AWS.
"""

from __future__ import annotations

import argparse
import gzip
import statistics
import sys
import tempfile
import time
from pathlib import Path

from catalogs.proxy import Proxy
from catalogs.reference import ReferenceCatalog
from o2i.workload import Shop

from . import events, settings
from .emulator import MEGABYTE, Lambda, binary

PROTOBUF = {"content-type": "application/x-protobuf"}
STARTS = 15
WARM_REQUESTS = 20
LATENCY_SECONDS = 0.02

LIMITS = {"zip": 6_000_000, "start_ms": 60.0, "memory": 200 * MEGABYTE}


def main() -> int:
    """Prints the figures; returns 1 when one is above its limit."""
    parser = argparse.ArgumentParser(prog="python -m lambda_host.figures", description=__doc__.splitlines()[0])
    parser.add_argument("--zip", type=Path, help="the zip as made by make lambda")
    zip_path = parser.parse_args().zip
    above = []

    def figure(name: str, value: float, text: str) -> None:
        limit = LIMITS.get(name)
        print(text)
        if limit is not None and value > limit:
            above.append(name)

    if zip_path:
        size = zip_path.stat().st_size
        figure("zip", size, f"zip: {size} bytes (at most {LIMITS['zip']})")
    figure("", 0, f"program: {binary().stat().st_size / MEGABYTE:.2f} MiB")
    with tempfile.TemporaryDirectory() as folder, ReferenceCatalog(Path(folder), f"file://{folder}/warehouse") as catalog:
        config = settings.variables({"catalog": catalog.settings()})
        # Creates the tables, so that the following starts find them in the catalog.
        with Lambda(Path(folder) / "first", config) as first:
            _post(first, _logs(1000))
        starts = []
        for number in range(STARTS):
            with Lambda(Path(folder) / f"start{number}", config) as one:
                starts.append(one.init_seconds * 1e3)
        median = statistics.median(starts)
        figure("start_ms", median, f"exec to first next: median {median:.0f} ms, {min(starts):.0f} to {max(starts):.0f}")
        _cold_and_warm(Path(folder), catalog)
        with Lambda(Path(folder) / "memory", config) as one:
            body = _gzip_of(6_600_000)
            seconds = _post(one, body, {"content-encoding": "gzip"})
            peak = one.peak_memory_bytes()
            text = f"peak memory: {peak / MEGABYTE:.0f} MiB for a gzip body of {len(body) / MEGABYTE:.1f} MiB"
            figure("memory", peak, f"{text} ({_inflated / MEGABYTE:.0f} MiB of logs), stored in {seconds * 1e3:.0f} ms")
    for name in above:
        print(f"{name} is above its limit", file=sys.stderr)
    return 1 if above else 0


def _cold_and_warm(folder: Path, catalog: ReferenceCatalog) -> None:
    with _Slow(catalog.uri) as proxy:
        config = settings.variables({"catalog": catalog.settings(proxy.uri)})
        with Lambda(folder / "cold", config) as one:
            init = one.init_seconds
            cold = _post(one, _logs(4700))
            print(f"catalog with {LATENCY_SECONDS * 1e3:.0f} ms of latency: start {init * 1e3:.0f} ms, first request {cold * 1e3:.0f} ms")
            warm = [_post(one, _logs(4700)) for _ in range(WARM_REQUESTS)]
            size = len(_logs(4700)) / MEGABYTE
            print(
                f"warm request of {size:.2f} MiB: median {statistics.median(warm) * 1e3:.0f} ms, "
                f"{min(warm) * 1e3:.0f} to {max(warm) * 1e3:.0f}"
            )


class _Slow(Proxy):
    """A proxy that adds a latency to each request; concurrent requests do not delay each other."""

    def check(self, request):
        time.sleep(LATENCY_SECONDS)
        return None


_requests = 0
_inflated = 0


def _logs(count: int) -> bytes:
    """A request with `count` logs; each call makes different ones."""
    global _requests
    _requests += 1
    shop = Shop(time.time_ns(), seed=_requests)
    list(shop.traces(500))
    return b"".join(one.SerializeToString() for one in shop.logs(count))


def _gzip_of(compressed_bytes: int) -> bytes:
    """Logs that gzip compresses to about `compressed_bytes`."""
    global _inflated
    sample = _logs(20_000)
    ratio = len(sample) / len(gzip.compress(sample, 6))
    payload = _logs(int(20_000 * compressed_bytes * ratio / len(sample)))
    _inflated = len(payload)
    return gzip.compress(payload, 6)


def _post(function: Lambda, payload: bytes, headers: dict | None = None) -> float:
    event = events.http("/v1/logs", payload, {**PROTOBUF, **(headers or {})})
    begun = time.monotonic()
    answer = events.answer(function.invoke(event))
    assert answer.status == 200, answer
    return time.monotonic() - begun


if __name__ == "__main__":
    sys.exit(main())
