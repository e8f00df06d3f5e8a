"""Shifts the wall clock that the Collector's library reads, by the amount that a test sets (`clock.c`)."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MINUTE = 60


class Clock:
    """A shifted clock for processes that are started inside `preloaded`."""

    def __init__(self, folder: Path):
        self._library = Path(folder) / "clock.so"
        self._file = Path(folder) / "clock"
        source = Path(__file__).parent / "clock.c"
        command = ["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o", self._library, source]
        subprocess.run(command, check=True)
        self._file.write_bytes(bytes(16))

    @contextmanager
    def preloaded(self, environment) -> Iterator[None]:
        """Processes started inside use this clock; `environment` is pytest's monkeypatch."""
        with environment.context() as changed:
            changed.setenv("LD_PRELOAD", str(self._library))
            changed.setenv("O2I_CLOCK", str(self._file))
            yield

    def shift(self, seconds: int) -> None:
        """Sets the shift immediately, also for running processes."""
        with self._file.open("r+b") as file:
            file.write(struct.pack("=q", seconds))

    def asked(self) -> int:
        """How often processes have read it."""
        return struct.unpack("=qq", self._file.read_bytes())[1]
