"""Fetches the artifacts of a list such as `java/jars.txt` from Maven Central, without Maven, and checks their hashes.

Usage: `python fetch_jars.py LIST FOLDER`
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
from pathlib import Path

from jgo.maven import MavenContext

SECONDS_MAX = 60
TRIES = 3


def fetch(listed: Path, folder: Path) -> None:
    """Puts every artifact of the list into the folder, under its file name."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as downloads:
        context = MavenContext(repo_cache=Path(downloads), timeout=SECONDS_MAX)
        for line in listed.read_text().splitlines():
            if line and not line.startswith("#"):
                sha256, coordinates = line.split()
                _fetch_one(context, coordinates, sha256, folder)


def _fetch_one(context: MavenContext, coordinates: str, sha256: str, folder: Path) -> None:
    group, name, version, *classifier = coordinates.split(":")
    artifact = context.project(group, name).at_version(version).artifact(*classifier)
    for attempt in range(1, TRIES + 1):
        try:
            path = artifact.resolve()
            break
        except Exception as error:  # noqa: BLE001 - any error: the next attempt may succeed.
            artifact.cached_path.unlink(missing_ok=True)
            if attempt == TRIES:
                sys.exit(f"cannot fetch {coordinates} from Maven Central: {error}")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        sys.exit(f"{coordinates} is not what it was: its SHA-256 is {found}, not {sha256}")
    shutil.move(path, folder / path.name)


if __name__ == "__main__":
    fetch(Path(sys.argv[1]), Path(sys.argv[2]))
