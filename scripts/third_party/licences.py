"""The licences that parts of our programs may have, and how to tell a licence from its text."""

from __future__ import annotations

import re

# They ask for no more than their text and notices.
ALLOWED = {
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "CDLA-Permissive-2.0", "ISC", "MIT",
    "Unicode-3.0", "Unlicense", "Zlib",
}  # fmt: skip
# The Mozilla Public License also asks to say where the source is, which the notices do. Modules are used unchanged.
ALLOWED_OF_MODULES = ALLOWED | {"MPL-2.0"}

# What the text of a licence has, and no other's.
MARKS = (
    ("Apache-2.0", r"TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION"),
    # In place of the licence itself.
    ("Apache-2.0", r"Licensed under the Apache License, Version 2\.0 \(the .License.\)"),
    ("ISC", r"Permission to use, copy, modify, and"),
    ("MIT", r"Permission is hereby granted, free of charge"),
    ("MPL-2.0", r"Mozilla Public License,? [Vv]ersion 2\.0 (=+ )?1\. Definitions"),
    ("CC0-1.0", r"CC0 1\.0 Universal"),
    ("Unlicense", r"This is free and unencumbered software"),
)
BSD = "Redistribution and use in source and binary forms"
BSD_3 = re.compile(r"endorse or promote")
# Titles of licences that restrict what people may do with the whole program, or add such a condition to another one.
RESTRICTING = re.compile(
    r"GNU (LESSER |LIBRARY |AFFERO )?GENERAL PUBLIC LICENSE|Server Side Public License|Business Source License"
    r"|Commons Clause|Elastic License|PolyForm"
)


def choices(expression: str) -> list[set[str]]:
    """The parts of an SPDX expression that apply together; of each, one licence can be chosen.

    An `AND` inside of an `OR` is read as if it were outside, which asks for more than the expression does.
    """
    flat = normal(expression).replace(" WITH LLVM-exception", "")
    return [set(re.findall(r"[\w.+-]+", part)) - {"OR"} for part in re.split(r"\bAND\b", flat)]


def normal(expression: str) -> str:
    """The expression without the old form `MIT/Apache-2.0`."""
    return re.sub(r" *[/] *", " OR ", expression)


def is_allowed(expression: str) -> bool:
    return bool(expression) and all(part & ALLOWED for part in choices(expression))


def of_text(text: str) -> set[str]:
    """The licences in a text; `unknown` if there is none that we know, or one that restricts."""
    text = " ".join(text.split())
    found = {name for name, mark in MARKS if re.search(mark, text)}
    if BSD in text:
        found.add("BSD-3-Clause" if BSD_3.search(text) else "BSD-2-Clause")
    return found if found and not restricts(text) else {"unknown"}


def restricts(text: str) -> bool:
    return bool(RESTRICTING.search(" ".join(text.split())))
