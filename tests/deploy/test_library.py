"""The Rust library gets to where Go links it: install-library.sh and `make lib`, without building the library."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from o2i.collector import REPOSITORY

NATIVE = REPOSITORY / "collector-exporter" / "internal" / "native"
ARCHIVE = "libotlp2iceberg_ffi.a"


@pytest.fixture
def native(tmp_path) -> Path:
    """A folder in place of internal/native."""
    folder = tmp_path / "native"
    folder.mkdir()
    shutil.copy(NATIVE / "install-library.sh", folder)
    return folder


def install(native: Path, content: bytes) -> Path:
    """Installs an archive, and returns where it is then."""
    built = native.parent / ARCHIVE
    built.write_bytes(content)
    subprocess.run([native / "install-library.sh", built, "linux_amd64"], check=True)
    return native / "lib" / "linux_amd64" / ARCHIVE


def test_another_archive_replaces_the_installed_one_and_the_stamp(native):
    for content in (b"first", b"second"):
        assert install(native, content).read_bytes() == content
        assert f'installStamp = "{hashlib.sha256(content).hexdigest()}"' in (native / "stamp_linux_amd64.go").read_text()


def test_the_same_archive_is_left_alone(native):
    """A new file would make Go link again."""
    installed = install(native, b"archive")
    before = [(path.stat().st_ino, path.stat().st_mtime_ns) for path in (installed, native / "stamp_linux_amd64.go")]
    install(native, b"archive")
    assert [(path.stat().st_ino, path.stat().st_mtime_ns) for path in (installed, native / "stamp_linux_amd64.go")] == before


@pytest.mark.parametrize("damage", [
    lambda path: path.write_bytes(b"of somebody else"),
    lambda path: path.write_bytes(path.read_bytes()[:3]),
    lambda path: path.unlink(),
], ids=["another", "truncated", "deleted"])  # fmt: skip
def test_an_archive_that_is_not_the_stamp_s_is_replaced(native, damage):
    installed = install(native, b"archive")
    damage(installed)
    assert install(native, b"archive").read_bytes() == b"archive"


def test_a_stamp_that_is_gone_is_written_again(native):
    install(native, b"archive")
    (native / "stamp_linux_amd64.go").unlink()
    install(native, b"archive")
    assert hashlib.sha256(b"archive").hexdigest() in (native / "stamp_linux_amd64.go").read_text()


@pytest.mark.parametrize("given", [{"GOARCH": "riscv64"}, {"GOOS": "darwin"}], ids=lambda given: "".join(given))
@pytest.mark.parametrize("how", ["environment", "argument"])
def test_the_library_is_not_built_for_another_machine(tmp_path, given, how):
    """The library would be the host's, under the name of the other machine's."""
    asked = tmp_path / "asked"
    for tool in ("cargo", "rustup"):
        (tmp_path / tool).write_text(f'#!/bin/sh\necho "$0 $*" >>{asked}\nexit 1\n')
        (tmp_path / tool).chmod(0o755)
    # Without the variables of the make that runs the tests.
    kept = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL")}
    environment = {**kept, "PATH": f"{tmp_path}:{os.environ['PATH']}", **(given if how == "environment" else {})}
    arguments = [f"{name}={value}" for name, value in given.items()] if how == "argument" else []
    done = subprocess.run(["make", "lib", *arguments], cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    [value] = given.values()
    assert f"the library and the Collector cannot be built for {'linux/' if 'GOARCH' in given else ''}{value}" in done.stderr
    assert not asked.exists(), asked.read_text()
