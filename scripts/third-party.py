#!/usr/bin/env python3
"""Writes what has to go along with a built program: LICENSE, THIRD-PARTY-NOTICES.txt and a list of its parts.

    third-party.py FOLDER --package NAME --name NAME [--features LIST] [--target TRIPLE] [--go FOLDER] [--strict]

FOLDER gets the three, the list as <--name>.cdx.json in CycloneDX's format. It names each crate and Go module that has a
licence which scripts/third_party/licences.py does not allow, or no licence text. That is a warning, since everybody may
build what he likes, and with --strict, as in CI and for releases, an error. Nothing is built or downloaded: cargo and go list what the build has fetched. The same program gives the same files.
"""

import argparse
import shutil
import sys
from pathlib import Path

from third_party import bill, crates, modules, notices, rust_library

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--package", required=True, help="the crate of the program or of the library in it")
    parser.add_argument("--name", required=True, help="the program's name in the list of its parts")
    parser.add_argument("--features", help="as in cargo build")
    parser.add_argument("--target", help="as in cargo build")
    parser.add_argument("--go", type=Path, help="the folder of a Collector's go.mod and main.go")
    parser.add_argument("--strict", action="store_true", help="write nothing if a licence is not allowed or missing")
    options = parser.parse_args()

    parts, problems = crates.find(ROOT, options.package, options.features, options.target)
    if options.go:
        of_go, more = modules.find(options.go)
        parts, problems = parts + of_go, problems + more
    if problems and options.strict:
        sys.exit("\n".join(f"third-party.py: {problem}" for problem in problems))
    for problem in problems:
        print(f"third-party.py: warning: {problem}", file=sys.stderr)
    rust = rust_library.read(ROOT)

    options.folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(ROOT / "LICENSE", options.folder / "LICENSE")
    text = notices.render(parts, rust, (ROOT / "LICENSE").read_text(encoding="utf-8"))
    (options.folder / "THIRD-PARTY-NOTICES.txt").write_text(text, encoding="utf-8")
    listed = bill.render(options.name, crates.version(ROOT), parts, rust.version)
    (options.folder / f"{options.name}.cdx.json").write_text(listed, encoding="utf-8")
    print(f"{options.folder}: the licences of {len(parts)} parts, {len(text)} characters")


main()
