"""The Go modules of a program, and Go's own library."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from . import licences, texts
from .part import Part, Text, run

OURS = "github.com/otlp2iceberg/otlp2iceberg/"
SPACE = re.compile(r"\s*")


def find(folder: Path) -> tuple[list[Part], list[str]]:
    """The modules of the program in a folder, and what is wrong with their licences."""
    parts, problems = [], []
    for name, version, root, packages in _listed(folder):
        found = tuple(texts.on_the_way(packages, root)) or tuple(texts.of_repository(name, version))
        part = Part("golang", name, version, _licence(found), found)
        problems += _problems(part)
        parts.append(part)
    return [*parts, _go(folder)], problems


def _go(folder: Path) -> Part:
    """Go's own library, of the version that builds the program."""
    root = Path(run("go", "env", "GOROOT", cwd=folder).strip())
    version = run("go", "env", "GOVERSION", cwd=folder).split()[0].removeprefix("go")
    found = tuple(texts.on_the_way(set(), root)) or tuple(texts.of_repository("Go"))
    return Part("golang", "Go", version, "BSD-3-Clause", found)


def _listed(folder: Path) -> list[tuple[str, str, Path, set[Path]]]:
    """Name, version and folder of every module, and the folders of its packages that are in the program."""
    found: dict[tuple[str, str, Path], set[Path]] = {}
    for package in _packages(run("go", "list", "-deps", "-json=Dir,Module", ".", cwd=folder)):
        module = package.get("Module")
        if not module or module.get("Main") or module["Path"].startswith(OURS):
            continue
        used = module.get("Replace", module)
        key = (used["Path"], used.get("Version", "(replaced)"), Path(module["Dir"]))
        found.setdefault(key, set()).add(Path(package["Dir"]))
    return sorted((*key, packages) for key, packages in found.items())


def _packages(text: str) -> Iterator[dict]:
    """The JSON objects that follow one another in a text."""
    decoder, at = json.JSONDecoder(), 0
    while (at := SPACE.match(text, at).end()) < len(text):
        package, at = decoder.raw_decode(text, at)
        yield package


def _licence(found: tuple[Text, ...]) -> str:
    return " AND ".join(sorted(set().union(*map(_kinds, found))))


def _kinds(text: Text) -> set[str]:
    """Notices and grants of patents are no licences."""
    name = Path(text.path).name.upper()
    return set() if name.startswith(("NOTICE", "PATENTS")) else licences.of_text(text.content)


def _problems(part: Part) -> list[str]:
    if not part.licence:
        return [f"{part}: the module has no licence text; put its repository's into {texts.place(part.name, part.version)}"]
    wrong = [text.path for text in part.texts if not _kinds(text) <= licences.ALLOWED_OF_MODULES]
    return [f"{part}: the licence in {path} is not in scripts/third_party/licences.py" for path in wrong]
