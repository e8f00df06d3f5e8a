"""Programs as child processes: their output goes to a file, and they are terminated by pid."""

from __future__ import annotations

import atexit
import os
import re
import subprocess
import time
from pathlib import Path

START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 10

_running: set[subprocess.Popen] = set()


@atexit.register
def _kill_what_is_left() -> None:
    for process in list(_running):
        process.kill()
        process.wait()


class Child:
    """One process at a time, which reports in its output when it is ready. It can be stopped and started again."""

    def __init__(self, log_path: Path):
        self.log_path = Path(log_path)
        self.process: subprocess.Popen | None = None

    def start(self, command: list, ready: str, environment: dict[str, str] | None = None) -> re.Match:
        """Starts it and waits for the pattern `ready` in its new output; returns the match."""
        assert self.process is None, f"{self.log_path.stem} runs already"
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            begun = log.tell()
            self.process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
            )
        _running.add(self.process)
        deadline = time.monotonic() + START_SECONDS_MAX
        while not (match := re.search(ready, self.log(begun))):
            ended = self.process.poll() is not None
            if ended or time.monotonic() > deadline:
                self.stop()
                raise AssertionError(f"{self.log_path.stem} did not start:\n{self.log(begun)[-3000:]}")
            time.sleep(0.02)
        return match

    def stop(self) -> None:
        """Ends it with SIGTERM, or with SIGKILL if it does not end in time."""
        process, self.process = self.process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        _running.discard(process)

    def log(self, begin: int = 0) -> str:
        """Its output from offset `begin` on."""
        return self.log_path.read_bytes()[begin:].decode(errors="replace")
