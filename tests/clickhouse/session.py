"""ClickHouse as a library (chdb), in a process of its own: loading it replaces the handlers of signals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

from o2i import readers
from o2i.expect import Row
from o2i.tables import TABLES

# Statements take seconds. The first one also loads the library.
ANSWER_SECONDS_MAX = 300
END_SECONDS_MAX = 60


class Failed(Exception):
    """ClickHouse's error."""


class ClickHouse:
    """An empty ClickHouse that reads and writes files under `folder`. It keeps nothing after its end."""

    def __init__(self, folder: Path):
        command = [sys.executable, "-c", _SERVER]
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "TZ": "UTC"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> ClickHouse:
        return self

    def __exit__(self, *_) -> None:
        # Its end of input is its end.
        try:
            self._process.communicate(timeout=END_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def query(self, statements: str) -> list[Row]:
        """Runs statements and returns the rows of all of them."""
        line = self._ask(json.dumps(statements) + "\n")
        if not line.endswith("\n"):
            raise Failed(f"ClickHouse ended: {self._process.wait(END_SECONDS_MAX)}\nin {statements}")
        answer = json.loads(line)
        if isinstance(answer, str):
            raise Failed(f"{answer}\nin {statements}")
        return answer

    def _ask(self, line: str) -> str:
        """The line of the answer; incomplete if the process has ended, which it is made to if it does not answer."""
        timer = threading.Timer(ANSWER_SECONDS_MAX, self._process.kill)
        timer.start()
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
            return self._process.stdout.readline()
        except BrokenPipeError:
            return ""
        finally:
            timer.cancel()

    def attach(self, warehouse: Path) -> None:
        """Makes a database `lake` with the tables of a local warehouse as they are now."""
        self.query("CREATE DATABASE IF NOT EXISTS lake")
        for table in TABLES:
            loaded = readers.load(warehouse, table)
            if loaded is not None:
                folder, metadata = map(readers.local_path, (loaded.location(), loaded.metadata_location))
                current = f"iceberg_metadata_file_path = '{metadata.relative_to(folder)}'"
                scan = f"icebergLocal('{folder}', SETTINGS {current})"
                self.query(f"CREATE OR REPLACE VIEW lake.{table} AS SELECT * FROM {scan}")


_SERVER = """
import json, sys
from chdb.session import Session
session = Session()
for line in sys.stdin:
    try:
        answer = [json.loads(row) for row in session.query(json.loads(line), "JSONEachRow").bytes().splitlines()]
    except Exception as error:
        answer = str(error)
    print(json.dumps(answer), flush=True)
"""
