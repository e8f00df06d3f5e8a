"""A crate or a Go module that is in a program."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Text:
    """A licence or a notice, and its path in the package."""

    path: str
    content: str


@dataclass(frozen=True)
class Part:
    ecosystem: str
    """`cargo` or `golang`, as in a package URL."""
    name: str
    version: str
    licence: str
    """An SPDX expression."""
    texts: tuple[Text, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def run(*command: str, cwd: Path) -> str:
    """The output of a command. Its errors go to the terminal, and end the program."""
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    if done.returncode != 0:
        sys.exit(f"third-party.py: {' '.join(command[:2])} failed (above)")
    return done.stdout
