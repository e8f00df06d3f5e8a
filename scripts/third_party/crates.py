"""The crates of a program. Procedural macros are among them, since the code that they write is in the program."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

from . import licences, texts
from .part import Part, Text, run

# Texts that are for what is not built (SQLCipher), or for a licence that is not the one we choose (GPL or BSD).
NOT_OURS = {"libsqlite3-sys": re.compile(r"sqlcipher/"), "zstd-sys": re.compile(r"zstd/COPYING")}


def find(root: Path, package: str, features: str | None, target: str | None) -> tuple[list[Part], list[str]]:
    """The crates of a package's program, and what is wrong with their licences."""
    parts, problems = [], []
    for name, version, origin, licence in _listed(root, package, features, target):
        if origin.startswith("/") and Path(origin).is_relative_to(root):
            continue
        folder = None if origin else _folder(name, version)
        if folder is None:
            where = f"not in cargo's registry, but from {origin}" if origin else "not below CARGO_HOME (vendored?)"
            problems.append(f"{name} {version} is {where}, so its texts are missing")
            parts.append(Part("cargo", name, version, licences.normal(licence), ()))
            continue
        part = Part("cargo", name, version, licences.normal(licence), tuple(_texts(name, version, licence, folder)))
        problems += _problems(part)
        parts.append(part)
    return parts, problems


def version(root: Path) -> str:
    """The version of our own crates."""
    return tomllib.loads((root / "Cargo.toml").read_text(encoding="utf-8"))["workspace"]["package"]["version"]


def _listed(root: Path, package: str, features: str | None, target: str | None) -> list[tuple[str, str, str, str]]:
    """Name, version, origin (empty for crates.io) and licence of every crate that is compiled into the program."""
    command = ["cargo", "tree", "--locked", "--offline", "--edges", "normal", "--prefix", "none", "--package", package]
    command += ["--format", "{p}|{l}"]
    command += ["--features", features] if features else []
    # Without the version of glibc, which is cargo-zigbuild's.
    command += ["--target", re.sub(r"\.\d[\d.]*$", "", target)] if target else []
    found = set()
    for line in run(*command, cwd=root).splitlines():
        match = re.fullmatch(r"(\S+) v(\S+?)(?: \(proc-macro\))?(?: \((.+)\))?\|(.*?)(?: \(\*\))?", line)
        if match is None:
            raise ValueError(f"cargo tree wrote {line!r}")
        found.add((match[1], match[2], match[3] or "", match[4]))
    return sorted(found)


def _folder(name: str, version: str) -> Path | None:
    home = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo")
    return next(iter(sorted(home.glob(f"registry/src/*/{name}-{version}"))), None)


def _texts(name: str, version: str, licence: str, folder: Path) -> list[Text]:
    found = [text for text in texts.below(folder) if name not in NOT_OURS or not NOT_OURS[name].match(text.path)]
    if _is_apache(licence):
        # Of several licences we take this one, whose text is in our own LICENSE. Included code may have others.
        return [text for text in found if "/" in text.path or texts.is_notice(text)]
    return found or texts.of_repository(name, version)


def _is_apache(licence: str) -> bool:
    return all("Apache-2.0" in part for part in licences.choices(licence))


def _problems(part: Part) -> list[str]:
    problems = []
    if not licences.is_allowed(part.licence):
        problems.append(f"{part}: the licence {part.licence or '(none)'} is not in scripts/third_party/licences.py")
    if not part.texts and not _is_apache(part.licence):
        place = texts.place(part.name, part.version)
        problems.append(f"{part}: the package has no licence text; put its repository's into {place}")
    restricting = [text.path for text in part.texts if licences.restricts(text.content)]
    return problems + [f"{part}: {path} is of a licence that restricts" for path in restricting]
