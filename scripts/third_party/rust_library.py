"""Rust's standard library, which is in every program: the notices that its toolchain has about it, as text.

They are not compared with the allowed licences: the page also names crates that are for other systems.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

from .part import Text, run

PAGE = "share/doc/rust/COPYRIGHT-library.html"
LINES = {"body", "h1", "h2", "h3", "p", "li", "summary"}


@dataclass(frozen=True)
class RustLibrary:
    version: str
    statement: str
    """The page without the texts of licences."""
    texts: tuple[Text, ...]
    """These texts, with the crate that each is of."""


def read(root: Path) -> RustLibrary:
    """The notices of the toolchain that builds in `root`."""
    version = run("rustc", "--version", cwd=root).split()[1]
    path = Path(run("rustc", "--print", "sysroot", cwd=root).strip()) / PAGE
    if not path.is_file():
        # Toolchains of distributions may have it elsewhere. Those of rustup, which releases use, have it there.
        print(f"third-party.py: warning: {path} is missing, so the notices only name Rust's library", file=sys.stderr)
        address = f"https://github.com/rust-lang/rust/tree/{version}"
        return RustLibrary(version, f"Licensed under Apache-2.0 or MIT, with exceptions: {address}", ())
    page = _Page()
    page.feed(path.read_text(encoding="utf-8"))
    page.close()
    if not page.texts:
        sys.exit(f"third-party.py: {path} has no licence texts where third_party/rust_library.py looks for them")
    lines = (" ".join(line.split()) for line in "".join(page.statement).splitlines())
    return RustLibrary(version, "\n".join(line for line in lines if line), tuple(page.texts))


class _Page(HTMLParser):
    """Takes the texts, which are preformatted, out of the statement."""

    def __init__(self):
        super().__init__()
        self.statement: list[str] = []
        self.texts: list[Text] = []
        self._crate = self._file = ""
        self._in = ""
        self._text: list[str] = []

    def handle_starttag(self, tag: str, attributes: list) -> None:
        if tag in LINES:
            self.statement.append("\n")
        if tag in {"h3", "summary", "pre", "title"}:
            self._in, self._text = tag, []

    def handle_endtag(self, tag: str) -> None:
        if tag != self._in:
            return
        text = "".join(self._text)
        if tag == "h3":
            # Without the pictogram before it.
            self._crate = text = re.sub(r"^\W+", "", text)
        elif tag == "summary":
            self._file = text.strip()
        elif tag == "pre":
            self.texts.append(Text(f"{self._crate}, {self._file}", text.strip("\n")))
        if tag in {"h3", "summary"}:
            self.statement.append(text)
        self._in = ""

    def handle_data(self, data: str) -> None:
        (self._text if self._in else self.statement).append(data)
