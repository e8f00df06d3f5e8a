"""The file system of a folder, on which the cost of a commit depends."""

from __future__ import annotations

import os
from pathlib import Path


def described(folder: Path) -> str:
    """Describes it, such as `ext4 with a journal`."""
    kind, device = _mount_of(folder)
    if kind not in ("ext3", "ext4"):
        return kind
    # The kernel has a folder for the journal of each mounted ext4 file system.
    has_journal = any(Path("/proc/fs/jbd2").glob(f"{Path(device).name}-*"))
    return f"{kind} {'with' if has_journal else 'without'} a journal"


def _mount_of(folder: Path) -> tuple[str, str]:
    """Type and device."""
    device = folder.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    # proc_pid_mountinfo(5): a varying number of fields, a hyphen, type, device.
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mount, _, rest = line.partition(" - ")
        if mount.split()[2] == number:
            kind, source, *_ = rest.split()
            return kind, os.path.realpath(source)
    return "an unknown file system", ""
