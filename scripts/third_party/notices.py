"""THIRD-PARTY-NOTICES.txt: a list of the parts, and each text once."""

from __future__ import annotations

from .part import Part
from .rust_library import RustLibrary

WIDTH = 80
HEAD = """\
This program contains the crates and Go modules below, unchanged. Their sources are at
https://crates.io/crates/<name>/<version> and https://proxy.golang.org/<module>/@v/<version>.zip (in the latter, a
capital letter is written as ! and the small one). The texts of their licences and notices follow the list. That of the
Apache License 2.0, which is also this program's, is in LICENSE beside this file.
"""


def render(parts: list[Part], rust: RustLibrary, own_licence: str) -> str:
    listed = [f"{part}: {part.licence}" for part in parts]
    listed.append(f"Rust's standard library {rust.version}: Apache-2.0 OR MIT, and what is at the end")
    texts: dict[str, tuple[str, list[str]]] = {}

    def add(owner: str, content: str) -> None:
        # Copies of a licence differ in their line breaks.
        texts.setdefault(" ".join(content.split()), (content, []))[1].append(owner)

    for part in parts:
        for text in part.texts:
            add(f"{part} ({text.path})", text.content)
    for text in rust.texts:
        add(f"Rust's standard library: {text.path}", text.content)
    texts.pop(" ".join(own_licence.split()), None)

    sections = ["\n".join(owners) + "\n" + "-" * WIDTH + "\n" + content for content, owners in texts.values()]
    sections.append(f"Rust's standard library {rust.version}\n{'-' * WIDTH}\n{rust.statement}")
    rule = "\n\n" + "=" * WIDTH + "\n"
    return HEAD + "\n" + "\n".join(listed) + rule + rule.join(sections) + "\n"
