"""Kills the Collector at, or fails, one of the file operations of its first two commits and its stop, on local files.

`faults/files.c` is preloaded into the shipped Collector and counts its operations on files of the warehouse, including
the database. `O2I_FILE_FAULTS` is the number of cases to try (default 12, spread evenly), or `all`.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from o2i import numbered, readers
from o2i.collector import Collector, DidNotStart, settings
from o2i.otlp import Refused

HOWS = ("kill_before", "kill_half", "kill_after", "fail")
# More than the real number of operations. Cases beyond the last operation have no fault, which the test detects.
OPERATIONS = 115


def cases() -> list[tuple[int, str]]:
    """The operation's number and the kind of fault of each case."""
    every = list(itertools.product(range(1, OPERATIONS + 1), HOWS))
    wanted = os.environ.get("O2I_FILE_FAULTS", "12")
    if wanted == "all":
        return every
    # An odd step shares no factor with the number of kinds (4), so every kind occurs.
    step = len(every) // int(wanted) | 1
    return every[7::step]


@pytest.fixture(scope="module")
def shim(tmp_path_factory) -> Path:
    """The library to preload."""
    library = tmp_path_factory.mktemp("shim") / "files.so"
    source = Path(__file__).parent / "faults" / "files.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o", library, source, "-ldl"], check=True)
    return library


@pytest.mark.parametrize(("at", "how"), cases())
def test_file_operation(at, how, shim, warehouse, tmp_path, monkeypatch):
    log = tmp_path / "files.log"
    preload = {
        "LD_PRELOAD": str(shim),
        "O2I_FILES_FOLDER": str(warehouse),
        "O2I_FILES_LOG": str(log),
        "O2I_FILES_AT": str(at),
        "O2I_FILES_HOW": how,
    }
    exporter = settings(warehouse, flush_timeout="50ms")
    exporter["retry_on_failure"] = {"initial_interval": "50ms", "max_interval": "100ms"}
    one = Collector(tmp_path / "collector", {"iceberg": exporter}, queue_on_disk=True)
    acknowledged, sent = set(), set()
    for name, value in preload.items():
        monkeypatch.setenv(name, value)
    # In some cases it dies while it starts.
    with contextlib.suppress(DidNotStart):
        one.start()
    for name in preload:
        monkeypatch.delenv(name)
    if one.process is not None:
        for numbers in (range(10), range(10, 20)):
            sent.update(numbers)
            with one.client(timeout_seconds=5) as client, contextlib.suppress(Refused):
                client.send(numbered.request(numbers))
                acknowledged.update(numbers)
            wait_while_alive(one, warehouse, acknowledged)
        if one.process.poll() is None:
            one.terminate()
        code = one.wait(60)
        died = how != "fail" and operations(log) >= at
        assert (code == -9) == died, f"it ended with {code}; operations: {operations(log)}"
    if how == "fail":
        unfinished = [str(path) for path in warehouse.rglob("*.tmp")]
        assert unfinished == [] or "unlink" in operation(log, at), f"left behind: {unfinished}"
    with one:
        with one.client() as client:
            client.send(numbered.request(range(20, 30)))
        acknowledged.update(range(20, 30))
        numbered.wait_until_stored(warehouse, acknowledged)
    found = numbered.stored(warehouse)
    assert all(count == 1 for count in found.values()), f"stored more than once: {found}"
    assert acknowledged <= set(found) <= sent | acknowledged
    table = readers.load(warehouse, "logs")
    assert len(readers.read_duckdb(table)) == len(found) == readers.row_count(table)
    with contextlib.closing(sqlite3.connect(warehouse / "catalog.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def wait_while_alive(one: Collector, warehouse: Path, numbers: set[int]) -> None:
    """Returns when all numbers are stored or the Collector has died."""
    deadline = time.monotonic() + 30
    while one.process.poll() is None and not numbers <= set(stored(warehouse)):
        assert time.monotonic() < deadline, f"it neither stores nor dies:\n{one.log_tail()}"
        time.sleep(0.05)


def stored(warehouse: Path) -> set[int]:
    # The database may be incomplete.
    with contextlib.suppress(Exception):
        return set(numbered.stored(warehouse))
    return set()


def operations(log: Path) -> int:
    """The number of operations."""
    return len(log.read_text().splitlines()) if log.exists() else 0


def operation(log: Path, number: int) -> str:
    """The log line of the operation with this number."""
    lines = log.read_text().splitlines() if log.exists() else []
    return next((line for line in lines if line.startswith(f"{number} ")), "")
