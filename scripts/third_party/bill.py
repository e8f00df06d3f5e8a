"""A software bill of materials in CycloneDX's JSON, which scanners compare with advisories.

Without it the crates of a program cannot be seen: only Go writes its modules into a program.
"""

from __future__ import annotations

import json
from urllib.parse import quote

from .part import Part


def render(name: str, version: str, parts: list[Part], rust_version: str) -> str:
    program = {"type": "application", "name": name, "version": version, "licenses": [{"expression": "Apache-2.0"}]}
    rust = {"type": "library", "name": "Rust's standard library", "version": rust_version}
    # Without a time and a serial number, so that the same program has the same bill.
    bill = {
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": program},
        "components": [*map(_component, parts), rust],
    }
    return json.dumps(bill, indent=1) + "\n"


def _component(part: Part) -> dict:
    # Go's own library has this name in its vulnerability database.
    name = "stdlib" if part.name == "Go" else part.name
    address = f"pkg:{part.ecosystem}/{name}@{quote(part.version, safe='')}"
    return {
        "type": "library",
        "bom-ref": address,
        "name": name,
        "version": part.version,
        "licenses": [{"expression": part.licence}],
        "purl": address,
    }
