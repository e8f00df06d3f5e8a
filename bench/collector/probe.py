"""What the system knows of a process: CPU time, memory; and which core it runs on."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from o2i.collector import Collector

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
SAMPLE_SECONDS = 0.1
_CORES = sorted(os.sched_getaffinity(0))
# With a single core all share it; CPU time is still told apart by process.
MEASURED_CORE, OTHER_CORE = _CORES[0], _CORES[-1]


@contextlib.contextmanager
def on_core(core: int) -> Iterator[None]:
    """What is started here runs on one core, and knows it: the Go runtime looks when it starts."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_seconds(pid: int) -> float:
    """User and system time so far, to the tick (10 ms)."""
    # The second field is the program's name in brackets, which may hold spaces.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def memory_mib(pid: int) -> tuple[float, float] | None:
    """Resident memory now and at its highest, or None when the process has ended."""
    try:
        found = dict(re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE))
    except (FileNotFoundError, ProcessLookupError):
        return None
    return (int(found["VmRSS"]) / 1024, int(found["VmHWM"]) / 1024) if found else None


class Sampler:
    """Resident memory of a process, every 0.1 s until it ends."""

    def __init__(self, pid: int):
        self._pid = pid
        self._done = threading.Event()
        self._mib: list[float] = []
        self.peak_mib = 0.0
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def _sample(self) -> None:
        while (memory := memory_mib(self._pid)) is not None:
            self._mib.append(memory[0])
            self.peak_mib = max(self.peak_mib, memory[1])
            if self._done.wait(SAMPLE_SECONDS):
                return

    def stop(self) -> list[float]:
        """All samples, in MiB."""
        self._done.set()
        self._thread.join()
        return self._mib


class MeasuredCollector(Collector):
    """A Collector that leaves behind the CPU time that it took when it ends."""

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
