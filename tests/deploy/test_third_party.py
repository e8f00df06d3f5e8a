"""scripts/third-party.py: what a program contains is listed with its texts, and a licence that nobody has allowed is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from o2i.collector import REPOSITORY

MIT = """Copyright (c) 2026 Somebody

Permission is hereby granted, free of charge, to any person obtaining a copy
"""
GPL = "                    GNU GENERAL PUBLIC LICENSE\n                       Version 3, 29 June 2007\n"
MPL = "Copyright (c) 2026 Somebody\n\nMozilla Public License, version 2.0\n\n1. Definitions\n"
BUSINESS = "Business Source License 1.1\n\nChange License: Apache License, Version 2.0\n"


class Program:
    """The parts of a program that cargo and go name: stand-ins for both, and the folders of the packages."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.tree, self.modules = [], []
        self.out = folder / "out"

    def crate(self, name: str, licence: str, texts: dict[str, str], origin: str = "") -> None:
        self.tree.append(f"{name} v1.0.0{origin}|{licence}")
        self._write(self.folder / "cargo" / "registry" / "src" / "index" / f"{name}-1.0.0", texts)

    def module(self, name: str, texts: dict[str, str], package: str = "") -> None:
        folder = self.folder / "modules" / name
        self._write(folder, texts)
        (folder / package).mkdir(parents=True, exist_ok=True)
        self.modules.append({"Dir": str(folder / package), "Module": {"Path": name, "Version": "v1.0.0", "Dir": str(folder)}})

    def notices(self, *, refused: bool = False, strict: bool = True) -> str:
        """Runs the script and returns THIRD-PARTY-NOTICES.txt, or what it says if it is to refuse or to warn."""
        tools, go_root = self.folder / "bin", self.folder / "go"
        self._write(go_root, {"LICENSE": "Redistribution and use in source and binary forms"})
        self._write(self.folder, {"tree": "".join(f"{line}\n" for line in self.tree), "list": "\n".join(map(json.dumps, self.modules))})
        self._write(tools, {
            "cargo": f"#!/bin/sh\n[ \"$1\" = tree ] && cat {self.folder}/tree\n",
            "go": f"#!/bin/sh\ncase \"$*\" in list*) cat {self.folder}/list ;; *GOROOT) echo {go_root} ;; *) echo go1.99.0 ;; esac\n",
        })  # fmt: skip
        for tool in tools.iterdir():
            tool.chmod(0o755)
        environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "CARGO_HOME": str(self.folder / "cargo")}
        options = ["--strict"] if strict else []
        done = third_party(self.out, "--package", "program", "--name", "program", "--go", self.folder, *options, env=environment)
        assert (done.returncode != 0) == (refused and strict), done.stderr
        if refused:
            assert self.out.exists() != strict
            return done.stderr
        return (self.out / "THIRD-PARTY-NOTICES.txt").read_text()

    def bill(self) -> dict:
        return json.loads((self.out / "program.cdx.json").read_text())

    @staticmethod
    def _write(folder: Path, texts: dict[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)


def third_party(*arguments: object, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-B", REPOSITORY / "scripts" / "third-party.py", *arguments]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60, **options)


@pytest.fixture
def program(tmp_path) -> Program:
    return Program(tmp_path)


def test_every_part_is_listed_and_every_text_is_there_once(program):
    program.tree.append(f"program v0.1.0 ({REPOSITORY}/lambda)|Apache-2.0")
    program.crate("one", "MIT", {"LICENSE": MIT, "src/lib.rs": "no text"})
    program.crate("two", "MIT", {"license-mit.txt": MIT.replace("\n", "\r\n")})
    program.crate("either", "MIT/Apache-2.0", {"LICENSE-MIT": "its MIT", "NOTICE": "its notice", "c/COPYING": "of included code"})
    program.crate("macro", "Zlib", {"LICENSE": "its Zlib"}, " (proc-macro)")
    program.tree.append("macro v1.0.0 (proc-macro)|Zlib (*)")
    program.module("example.com/lru", {"LICENSE": MPL, "list/LICENSE": MIT, "unused/LICENSE": GPL}, "list")
    program.modules.append({"Dir": "/own", "Module": {"Path": "example.com/dist", "Main": True}})
    program.modules.append({"Dir": "/own", "Module": {"Path": "github.com/otlp2iceberg/otlp2iceberg/collector-exporter"}})
    program.modules.append({"Dir": "/usr/lib/go/src/fmt"})
    text = program.notices()
    listed = text.partition("\n\n")[2].partition("\n\n")[0].splitlines()
    assert [line for line in listed if not line.startswith("Rust's standard library")] == [
        "either 1.0.0: MIT OR Apache-2.0",
        "macro 1.0.0: Zlib",
        "one 1.0.0: MIT",
        "two 1.0.0: MIT",
        "example.com/lru v1.0.0: MIT AND MPL-2.0",
        "Go 1.99.0: BSD-3-Clause",
    ]
    assert text.count("Permission is hereby granted, free of charge, to any person obtaining a copy\n\n") == 1
    assert "\none 1.0.0 (LICENSE)\ntwo 1.0.0 (license-mit.txt)\nexample.com/lru v1.0.0 (list/LICENSE)\n" in text
    assert "Mozilla Public License, version 2.0" in text
    assert "GNU" not in text.partition("Rust's standard library: ")[0], "a folder that is not in the program"
    # The Apache License is taken, whose notice has to be handed on.
    assert "its notice" in text and "of included code" in text and "its MIT" not in text
    assert (program.out / "LICENSE").read_bytes() == (REPOSITORY / "LICENSE").read_bytes()
    assert {one["purl"]: one["licenses"] for one in program.bill()["components"] if "purl" in one} == {
        "pkg:cargo/either@1.0.0": [{"expression": "MIT OR Apache-2.0"}],
        "pkg:cargo/macro@1.0.0": [{"expression": "Zlib"}],
        "pkg:cargo/one@1.0.0": [{"expression": "MIT"}],
        "pkg:cargo/two@1.0.0": [{"expression": "MIT"}],
        "pkg:golang/example.com/lru@v1.0.0": [{"expression": "MIT AND MPL-2.0"}],
        "pkg:golang/stdlib@1.99.0": [{"expression": "BSD-3-Clause"}],
    }


@pytest.mark.parametrize("licence", ["MIT AND GPL-3.0-only", "GPL-2.0-or-later", "LicenseRef-Own", "MPL-2.0", ""])
def test_a_crate_of_another_licence_is_named(program, licence):
    program.crate("fine", "MIT OR GPL-3.0-only", {"LICENSE": MIT})
    program.crate("wrong", licence, {"LICENSE": MIT})
    said = program.notices(refused=True)
    assert said == f"third-party.py: wrong 1.0.0: the licence {licence or '(none)'} is not in scripts/third_party/licences.py\n"


def test_a_crate_without_a_text_is_named(program):
    program.crate("silent", "MIT", {"README.md": "MIT"})
    assert "third-party.py: silent 1.0.0: the package has no licence text" in program.notices(refused=True)


def test_a_crate_that_includes_code_of_another_licence_is_named(program):
    program.crate("mixed", "MIT", {"LICENSE": MIT, "c/parser/COPYING": GPL})
    assert "third-party.py: mixed 1.0.0: c/parser/COPYING is of a licence that restricts" in program.notices(refused=True)


@pytest.mark.parametrize("origin", ["https://github.com/somebody/forked?rev=1#12345678", "/somewhere/forked", "registry `other`"])
def test_a_crate_from_elsewhere_is_named(program, origin):
    program.crate("forked", "MIT", {"LICENSE": MIT}, f" ({origin})")
    assert f"third-party.py: forked 1.0.0 is not in cargo's registry, but from {origin}" in program.notices(refused=True)


@pytest.mark.parametrize("text", [GPL, BUSINESS, "All rights reserved.", MIT + "\n“Commons Clause” License Condition v1.0\n"])
def test_a_module_of_another_licence_is_named(program, text):
    program.module("example.com/fine", {"LICENSE": MIT})
    program.module("example.com/wrong", {"LICENSE": text})
    said = program.notices(refused=True)
    assert said == "third-party.py: example.com/wrong v1.0.0: the licence in LICENSE is not in scripts/third_party/licences.py\n"


def test_a_module_without_a_text_is_named(program):
    program.module("example.com/silent", {"NOTICE": "no licence"})
    assert "third-party.py: example.com/silent v1.0.0: the module has no licence text" in program.notices(refused=True)


def test_forms_of_licences_that_go_modules_have(program):
    program.module("example.com/mozilla", {"LICENSE": "Mozilla Public License Version 2.0\n=====\n\n1. Definitions\n"})
    program.module("example.com/documented", {"LICENSE": MIT, "LICENSE.docs": "Creative Commons Attribution-ShareAlike"})
    program.module("example.com/nobody", {"LICENSE": "CC0 1.0 Universal\n"})
    assert "Attribution-ShareAlike" not in program.notices()


def test_without_strict_it_warns_and_writes(program):
    program.crate("wrong", "GPL-3.0-only", {"LICENSE": MIT})
    program.tree.append("vendored v1.0.0|MIT")
    said = program.notices(refused=True, strict=False)
    assert "third-party.py: warning: wrong 1.0.0: the licence GPL-3.0-only is not in" in said
    assert "third-party.py: warning: vendored 1.0.0 is not below CARGO_HOME (vendored?), so its texts are missing\n" in said
    assert "wrong 1.0.0" in (program.out / "THIRD-PARTY-NOTICES.txt").read_text()
    listed = json.loads((program.out / "program.cdx.json").read_text())
    assert {"wrong", "vendored"} <= {component["name"] for component in listed["components"]}


def test_the_lambda_s_crates_are_all_allowed_and_the_files_are_the_same_each_time(tmp_path):
    """The crates of the Lambda as cargo has them; `test_distribution.py` reads the Collector's."""
    name = "otlp2iceberg-lambda"
    subprocess.run(["cargo", "fetch", "--locked"], cwd=REPOSITORY, check=True, timeout=600)
    for folder in ("first", "second"):
        done = third_party(tmp_path / folder, "--package", name, "--name", name, "--strict")
        assert done.returncode == 0, done.stderr
        assert "warning" not in done.stderr
    files = ["LICENSE", "THIRD-PARTY-NOTICES.txt", f"{name}.cdx.json"]
    assert sorted(path.name for path in (tmp_path / "first").iterdir()) == files
    for file in files:
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes(), file
    text = (tmp_path / "first" / "THIRD-PARTY-NOTICES.txt").read_text()
    for part in ("\nring 0.", "\nlibsqlite3-sys 0.", "\nmimalloc 0.", "\nzstd-sys "):
        assert part in text, part
    # It has no list of root certificates (docs/decisions/0015-lambda-build.md), and nothing that only builds or tests.
    for part in ("\nwebpki-roots ", "\ncc 1", "\nproptest "):
        assert part not in text, part
    # Rust's own library, from the toolchain's page: what it says, and the texts in it.
    assert "Copyrights in the Rust Standard Library are retained by their contributors." in text
    assert "Rust's standard library: hashbrown-" in text
    assert "Copyright (c) 2016 Amanieu d'Antras" in text
    assert "&#" not in text and "<p>" not in text
