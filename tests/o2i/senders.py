"""Steady senders of numbered log records, for tests that check which records arrive and how often."""

from __future__ import annotations

import threading
import time

from . import numbered
from .collector import Collector
from .otlp import DOORS, Refused


class Senders:
    """Threads that send numbered logs, ten per request, until the block ends; they do not retry refused requests."""

    def __init__(self, collector: Collector, count: int, first: int = 0, pause_seconds: float = 0.002):
        self.sent: set[int] = set()
        self.acknowledged: set[int] = set()
        self._client = collector.client(timeout_seconds=10)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._next = first
        self._pause_seconds = pause_seconds
        self._threads = [threading.Thread(target=self._run, args=(door,)) for door in (DOORS * count)[:count]]

    def __enter__(self) -> Senders:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._client.close()

    def wait_for_acknowledged(self, count: int, seconds_max: float = 60.0) -> None:
        """Waits until `count` numbers have been acknowledged."""
        deadline = time.monotonic() + seconds_max
        while len(self.acknowledged) < count:
            assert time.monotonic() < deadline, f"only {len(self.acknowledged)} of {count} acknowledged"
            time.sleep(0.01)

    def _run(self, door: str) -> None:
        while not self._stop.is_set():
            with self._lock:
                numbers = range(self._next, self._next + 10)
                self._next += 10
                self.sent.update(numbers)
            try:
                self._client.send(numbered.request(numbers), door)
            except Refused:
                self._stop.wait(0.05)
                continue
            with self._lock:
                self.acknowledged.update(numbers)
            self._stop.wait(self._pause_seconds)
