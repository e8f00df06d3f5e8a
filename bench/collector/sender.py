"""The load generator as a child process: it encodes its requests once and sends them on each command."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

PROGRAM = Path(os.environ.get("O2I_LOADGEN", Path(__file__).resolve().parents[2] / "dist" / "bench" / "loadgen"))


@dataclass(frozen=True)
class Sent:
    """The result of a load as the sender saw it."""

    sent_records: int
    accepted_records: int
    errors: int
    send_seconds: float
    seconds: float
    p50_millis: float
    p99_millis: float
    first_error: str = ""


class Sender:
    """One payload's requests, ready to be sent to any Collector."""

    def __init__(self, payload: str, records_per_request: int = 8192, in_flight: int = 8):
        self._process = subprocess.Popen(
            [PROGRAM, "-payload", payload, "-records", str(records_per_request), "-in-flight", str(in_flight)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        facts = self._answer()
        self.bytes_per_record: float = facts["bytes_per_record"]
        self.records_per_request: int = facts["records"]

    def __enter__(self) -> Sender:
        return self

    def __exit__(self, *_) -> None:
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def send(self, transport: str, port: int, records_per_second: float, seconds: float) -> Sent:
        """Sends for `seconds` and waits for all answers."""
        return Sent(**self._ask(f"send {transport} 127.0.0.1:{port} {records_per_second} {seconds}"))

    def count_file(self, path: Path) -> int:
        """The records in a file of the fileexporter."""
        return self._ask(f"count {path}")["records"]

    def _ask(self, command: str) -> dict:
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict:
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the load generator ended with {self._process.wait()}")
        return json.loads(line)
