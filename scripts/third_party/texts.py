"""Finds the licences and notices in the folder of a package."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from .part import Text

NAME = re.compile(r"(.*[-_.])?(licen[cs]es?|unlicen[cs]e|copying|copyright|notices?|patents)([-_.].*)?", re.IGNORECASE)
NOTICE = re.compile(r"notices?([-_.].*)?", re.IGNORECASE)
FOLDER_OF_TEXTS = re.compile(r"licen[cs]es", re.IGNORECASE)
# `.docs`: the licence of a package's documentation.
NO_TEXT = {".c", ".cc", ".docs", ".go", ".h", ".js", ".json", ".py", ".rs", ".sh", ".toml", ".tpl", ".yaml", ".yml"}
# Not part of a program.
ASIDE = {".github", "benches", "examples", "testdata", "tests"}
ROOT = Path(__file__).resolve().parent.parent.parent


def below(folder: Path) -> Iterator[Text]:
    """The texts of a folder and of the code of others below it."""
    for inside, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in ASIDE)
        yield from _among(Path(inside), names, folder)


def on_the_way(folders: set[Path], root: Path) -> Iterator[Text]:
    """The texts of these folders below `root` and of those that they are in, up to `root`."""
    seen = {root}
    for folder in folders:
        while folder not in seen:
            seen.add(folder)
            folder = folder.parent
    for folder in sorted(seen):
        yield from _among(folder, [one.name for one in folder.iterdir() if one.is_file()], root)


def of_repository(name: str, version: str = "") -> list[Text]:
    """The text from the repository of a package that has none."""
    path = ROOT / place(name, version)
    return [_read(path, path.name)] if path.is_file() else []


def place(name: str, version: str) -> str:
    """Where that text is. A new version is to be looked at again."""
    return f"scripts/licenses/{'-'.join(filter(None, (name.replace('/', '-'), version)))}.txt"


def is_notice(text: Text) -> bool:
    return bool(NOTICE.fullmatch(Path(text.path).name))


def _among(folder: Path, names: list[str], root: Path) -> Iterator[Text]:
    of_texts = folder != root and FOLDER_OF_TEXTS.fullmatch(folder.name)
    for name in sorted(names):
        if Path(name).suffix.lower() not in NO_TEXT and (of_texts or NAME.fullmatch(name)):
            yield _read(folder / name, (folder / name).relative_to(root).as_posix())


def _read(path: Path, name: str) -> Text:
    content = path.read_text(encoding="utf-8", errors="replace")
    return Text(name, content.removeprefix("\ufeff").replace("\r\n", "\n").strip("\n"))
