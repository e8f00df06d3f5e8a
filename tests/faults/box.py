"""The faultbox (rust/faults): a proxy process that injects seeded failures and can stall a chosen request."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import time
from pathlib import Path

from catalogs.child import Child
from o2i.collector import REPOSITORY

# Long enough for a busy machine.
STALL_SECONDS_MAX = 120
_numbers = itertools.count()


def binary() -> Path:
    """The program: `O2I_FAULTBOX`, by default `dist/faultbox`."""
    path = Path(os.environ.get("O2I_FAULTBOX", REPOSITORY / "dist" / "faultbox"))
    assert os.access(path, os.X_OK), f"missing: {path} (make faultbox)"
    return path.resolve()


class Faultbox:
    """One proxy in front of one server on loopback."""

    def __init__(self, folder: Path, upstream_port: int, weather: str = "calm", seed: int = 0):
        self._child = Child(Path(folder) / f"faultbox-{next(_numbers)}.log")
        self._upstream_port = upstream_port
        self._options = ["--weather", weather, "--seed", seed]
        self.port = 0

    def __enter__(self) -> Faultbox:
        command = [binary(), "--upstream", f"127.0.0.1:{self._upstream_port}", *self._options]
        self.port = int(self._child.start(command, r"faultbox on 127\.0\.0\.1:(\d+)")[1])
        return self

    def __exit__(self, *_) -> None:
        self._child.stop()

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}"

    def stall(self, kind: str, point: str, part: str = "", nth: int = 1) -> None:
        """Stalls the nth request of a kind, counted from now, that has `part` in its path, at the given point."""
        self._ask("POST", "stall", {"kind": kind, "point": point, "in": part, "nth": nth})

    def wait_for_stall(self) -> None:
        """Returns once a request has stalled."""
        deadline = time.monotonic() + STALL_SECONDS_MAX
        while self._ask("GET", "stalls") == "0":
            assert time.monotonic() < deadline, f"nothing stalled; what happened:\n{self.notes()[-3000:]}"
            time.sleep(0.005)

    def release(self) -> None:
        """Releases the stalled request."""
        self._ask("POST", "release")

    def down(self) -> None:
        """Answers 503 to every request, except one that is to stall."""
        self._ask("POST", "down")

    def up(self) -> None:
        """Forwards requests to the server again."""
        self._ask("POST", "up")

    def end_faults(self) -> None:
        """Injects no more faults: all further requests pass."""
        self._ask("POST", "end")

    def notes(self) -> str:
        """A log with a line for each request."""
        return self._ask("GET", "notes")

    def _ask(self, method: str, what: str, body: dict | None = None) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, f"/_faultbox/{what}", json.dumps(body) if body else None)
            answer = connection.getresponse()
            text = answer.read().decode()
            assert answer.status == 200, f"{what}: {answer.status} {text}"
            return text
        finally:
            connection.close()
