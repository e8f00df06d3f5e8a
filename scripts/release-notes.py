#!/usr/bin/env python3
"""Prints the notes of a release: its section of CHANGELOG.md, with links that lead to the files of its tag.

    release-notes.py TAG
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILES = "https://github.com/otlp2iceberg/otlp2iceberg/blob"


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: release-notes.py TAG")
    tag = sys.argv[1]
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    section = re.search(rf"^## {re.escape(tag.removeprefix('v'))} .*\n((?:(?!## ).*\n)*)", changes, re.MULTILINE)
    if section is None:
        sys.exit(f"release-notes.py: CHANGELOG.md has no section of {tag}")
    # Links to addresses and to headings stay.
    print(re.sub(r"\]\((?!https?:|#)", f"]({FILES}/{tag}/", section[1]).strip())


main()
