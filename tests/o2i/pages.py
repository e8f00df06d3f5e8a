"""The code in the documentation, for tests that run it as it is pasted."""

from __future__ import annotations

import re
from pathlib import Path


def blocks(page: Path, language: str) -> list[str]:
    """A page's code blocks in a language, such as `yaml`."""
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


def block_with(page: Path, language: str, part: str) -> str:
    """The page's only code block in a language that contains `part`."""
    found = [block for block in blocks(page, language) if part in block]
    assert len(found) == 1, f"{page.name} has {len(found)} blocks of {language} with {part}, not one"
    return found[0]
