"""Fixtures of the whole-system tests."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from o2i import collector


def pytest_configure() -> None:
    # So that an ended run still ends its Collectors (o2i.collector registers that for the interpreter's exit).
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def pytest_sessionstart() -> None:
    try:
        collector.binary()
    except FileNotFoundError as missing:
        pytest.exit(str(missing), returncode=1)


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    """Where the Collector of a test keeps its tables; it makes the folder itself."""
    return tmp_path / "warehouse"
