"""CPU time and memory of a process as the system reports them, and the core that it runs on."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from o2i.collector import Collector

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
SAMPLE_SECONDS = 0.1
_CORES = sorted(os.sched_getaffinity(0))
# With a single core all processes share it; CPU time is still measured per process.
MEASURED_CORE, OTHER_CORE = _CORES[0], _CORES[-1]


@contextlib.contextmanager
def on_core(core: int) -> Iterator[None]:
    """Processes started inside run on one core. The Go runtime reads that limit when it starts."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_seconds(pid: int) -> float:
    """User and system time so far, with a resolution of one tick (10 ms)."""
    # The second field is the program's name in brackets, which may hold spaces.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


@dataclass(frozen=True)
class Memory:
    """Resident memory of a process, in MiB."""

    now: float
    peak: float
    # Excludes pages of mapped files: those of a queue on disk count as resident, but the system can reclaim them.
    own: float


def memory_mib(pid: int) -> Memory | None:
    """Resident memory, or None when the process has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    found = {name: int(kib) / 1024 for name, kib in re.findall(r"^(VmRSS|VmHWM|RssAnon):\s+(\d+) kB$", status, re.MULTILINE)}
    return Memory(found["VmRSS"], found["VmHWM"], found["RssAnon"]) if found else None


class Sampler:
    """Resident memory of a process, every 0.1 s until it ends."""

    def __init__(self, pid: int):
        self._pid = pid
        self._done = threading.Event()
        self._mib: list[float] = []
        self.peak_mib = 0.0
        self.own_peak_mib = 0.0
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def _sample(self) -> None:
        while (memory := memory_mib(self._pid)) is not None:
            self._mib.append(memory.now)
            self.peak_mib = max(self.peak_mib, memory.peak)
            self.own_peak_mib = max(self.own_peak_mib, memory.own)
            if self._done.wait(SAMPLE_SECONDS):
                return

    def stop(self) -> list[float]:
        """All samples, in MiB."""
        self._done.set()
        self._thread.join()
        return self._mib


class MeasuredCollector(Collector):
    """A Collector that records its total CPU time when it ends."""

    cpu_seconds = 0.0

    def wait(self, seconds_max: float) -> int:
        """The exit code."""
        process, deadline = self.process, time.monotonic() + seconds_max
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > deadline:
                process.kill()
            time.sleep(0.01)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.cpu_seconds = usage.ru_utime + usage.ru_stime
        return super().wait(0)
