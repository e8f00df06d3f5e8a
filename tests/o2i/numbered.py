"""Numbered log records, for tests that check which records arrive and how often."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs

from . import readers
from .corpus.build import resource, scope, value


def request(numbers: range, service: str = "numbered") -> ExportLogsServiceRequest:
    """One log record for each number, which is its body."""
    now = time.time_ns()
    records = [LogRecord(time_unix_nano=now, body=value(number)) for number in numbers]
    scope_logs = ScopeLogs(scope=scope("numbered"), log_records=records)
    return ExportLogsServiceRequest(
        resource_logs=[ResourceLogs(resource=resource({"service.name": service}), scope_logs=[scope_logs])]
    )


def stored(warehouse: Path) -> Counter[int]:
    """The number of rows with each number in the table of logs."""
    table = readers.load(warehouse, "logs")
    if table is None:
        return Counter()
    return Counter(int(body) for body in table.scan(selected_fields=("Body",)).to_arrow()["Body"].to_pylist())


def wait_until_stored(warehouse: Path, numbers, seconds_max: float = 60.0) -> None:
    """Waits until each number is stored at least once."""
    deadline = time.monotonic() + seconds_max
    while True:
        missing = set(numbers) - set(stored(warehouse))
        if not missing:
            return
        assert time.monotonic() < deadline, f"{len(missing)} numbers are not stored, such as {sorted(missing)[:5]}"
        time.sleep(0.2)


def once(warehouse: Path, numbers) -> None:
    """Asserts that each number is stored exactly once, and nothing else."""
    found, wanted = stored(warehouse), set(numbers)
    twice = sorted(number for number, count in found.items() if count > 1)
    missing, surplus = sorted(wanted - set(found)), sorted(set(found) - wanted)
    assert not missing, f"{len(missing)} of {len(wanted)} numbers are missing, such as {missing[:5]}"
    assert not twice, f"{len(twice)} numbers are there more than once, such as {twice[:5]}"
    assert not surplus, f"{len(surplus)} numbers are there that should not be, such as {surplus[:5]}"
