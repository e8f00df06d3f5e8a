"""Which file system a folder is on: what a commit costs hangs on it."""

from __future__ import annotations

import os
from pathlib import Path


def described(folder: Path) -> str:
    """Such as `ext4 with a journal`."""
    kind, device = _mount_of(folder)
    if kind not in ("ext3", "ext4"):
        return kind
    # The kernel has a folder for the journal of each such file system that is mounted.
    has_journal = any(Path("/proc/fs/jbd2").glob(f"{Path(device).name}-*"))
    return f"{kind} {'with' if has_journal else 'without'} a journal"


def _mount_of(folder: Path) -> tuple[str, str]:
    """Type and device."""
    device = folder.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    # proc_pid_mountinfo(5): fields of varying number, a hyphen, type, device.
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mount, _, rest = line.partition(" - ")
        if mount.split()[2] == number:
            kind, source, *_ = rest.split()
            return kind, os.path.realpath(source)
    return "an unknown file system", ""
