"""The machine that the figures were measured on."""

import os
import re
import subprocess
from pathlib import Path

from .data import BENCH


def facts() -> str:
    """The machine, the compiler, and the versions of the measured libraries."""
    lock = (BENCH / "Cargo.lock").read_text()
    crates = {
        "prost": _version(lock, "prost"),
        "opentelemetry-proto": _version(lock, "opentelemetry-proto"),
        "otlp2records": _version(lock, "otlp2records"),
        "otel-arrow-dfe-pdata": _version(lock, "otel-arrow-dfe-pdata"),
        "parquet": _version(lock, "parquet"),
    }
    peers = ", ".join(f"{name} {version}" for name, version in crates.items())
    rustc = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    allocator = "the system's" if os.environ.get("O2I_BENCH_ALLOCATOR") == "system" else "mimalloc with its defaults"
    return (
        f"{os.cpu_count()} cores of {_cpu()}, {_memory()} GiB of memory; {rustc}; allocator for everybody: {allocator}. "
        f"Measured: {peers}."
    )


def _version(lock: str, crate: str) -> str:
    return "/".join(sorted(set(re.findall(rf'name = "{crate}"\nversion = "([^"]+)"', lock))))


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return os.uname().machine


def _memory() -> int:
    total = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    return round(int(total.split()[1]) / (1 << 20))
