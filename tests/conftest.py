"""Fixtures of the whole-system tests."""

from __future__ import annotations

import hashlib
import signal
from pathlib import Path

import pytest

from catalogs.reference import ReferenceCatalog
from catalogs.s3 import S3Server
from faults.lake import Lake
from o2i import collector


def pytest_configure() -> None:
    # A terminated run must end and stop what it started, as an interrupted one does. SystemExit would only fail the
    # current test.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_sessionstart() -> None:
    try:
        collector.binary()
    except FileNotFoundError as missing:
        pytest.exit(str(missing), returncode=1)


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    """The folder of a test's tables; the Collector creates it."""
    return tmp_path / "warehouse"


@pytest.fixture(scope="session")
def s3(tmp_path_factory):
    """One S3 server for all tests; each test uses its own buckets."""
    with S3Server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def client(s3):
    """A client of the test's S3 server."""
    opened = s3.client()
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def reference(tmp_path_factory):
    """One REST catalog for all tests that do not need an empty one; each test uses its own namespace."""
    folder = tmp_path_factory.mktemp("reference")
    with ReferenceCatalog(folder, f"file://{folder}/warehouse") as catalog:
        yield catalog


@pytest.fixture(scope="session")
def lake(tmp_path_factory, s3):
    """The S3 server with one REST catalog for all tests that put tables there; each test uses its own namespace."""
    with ReferenceCatalog(tmp_path_factory.mktemp("lake"), s3.make_bucket("lake"), s3) as catalog:
        yield Lake(catalog, s3)


@pytest.fixture
def namespace(request) -> str:
    """A namespace that no other test uses."""
    name = "".join(letter if letter.isalnum() else "_" for letter in request.node.name)
    # The cut may remove the test's parameters, which come last; the hash keeps the names distinct.
    return f"{name[:50]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}".lower()
