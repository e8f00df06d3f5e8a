"""What a release is made with: one version everywhere, notes from the change log, archives that can be built again."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from o2i.collector import REPOSITORY

# The files that check-version.sh reads.
VERSIONED = [
    "Cargo.toml", "Cargo.lock", "bench/Cargo.lock", "rust/fuzz/Cargo.lock", "builder-config.yaml", "CHANGELOG.md",
    "examples/deploy/kubernetes.yaml", "examples/deploy/helm-values.yaml", "docs/deployment.md",
]  # fmt: skip
VERSION = re.search(r'^version = "(.*)"$', (REPOSITORY / "Cargo.toml").read_text(), re.MULTILINE)[1]


@pytest.fixture
def copy(tmp_path) -> Path:
    """A folder with our scripts and the files that name our version."""
    shutil.copytree(REPOSITORY / "scripts", tmp_path / "scripts")
    for name in VERSIONED:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(REPOSITORY / name, tmp_path / name)
    return tmp_path


def run(*command: object, **options) -> subprocess.CompletedProcess:
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60, **options)


def test_every_file_names_the_version():
    done = run(REPOSITORY / "scripts" / "check-version.sh")
    assert (done.returncode, done.stderr) == (0, "")


def test_another_tag_is_refused():
    done = run(REPOSITORY / "scripts" / "check-version.sh", "v9.9.9")
    assert done.returncode == 1
    assert f"check-version.sh: the tag is v9.9.9, the version {VERSION}\n" in done.stderr


@pytest.mark.parametrize("name", [name for name in VERSIONED if name != "Cargo.toml"])
def test_a_file_that_was_forgotten_is_named(copy, name):
    text = (copy / name).read_text()
    if name.endswith(".lock"):
        changed = text.replace(f'name = "otlp2iceberg"\nversion = "{VERSION}"', 'name = "otlp2iceberg"\nversion = "0.0.9"')
    else:
        changed = re.sub(rf"(^## |^  version: |otelcol-iceberg:v|tag: v){re.escape(VERSION)}", r"\g<1>0.0.9", text, flags=re.MULTILINE)
    assert changed != text
    (copy / name).write_text(changed)
    done = run(copy / "scripts" / "check-version.sh")
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith(f"check-version.sh: {name} names version ")
    assert "0.0.9" in line


def test_a_tag_is_taken_when_the_change_log_has_its_date(copy):
    changes = copy / "CHANGELOG.md"
    text = re.sub(r"^## .*$", f"## {VERSION} (unreleased)", changes.read_text(), count=1, flags=re.MULTILINE)
    changes.write_text(text)
    refused = run(copy / "scripts" / "check-version.sh", f"v{VERSION}")
    assert refused.returncode == 1
    assert f'CHANGELOG.md has "## {VERSION} (unreleased)" where a release has its date' in refused.stderr
    changes.write_text(text.replace("(unreleased)", "(2026-01-31)", 1))
    taken = run(copy / "scripts" / "check-version.sh", f"v{VERSION}")
    assert (taken.returncode, taken.stderr) == (0, "")


def test_the_notes_of_a_release_are_its_section_with_links_to_its_tag(copy):
    (copy / "CHANGELOG.md").write_text("""# Changelog

The policy, with [a link](docs/delivery.md).

## 9.9.9 (2026-01-31)

### Added

- [Two
  lines](docs/delivery.md#receipts), [an address](https://example.com/), [a heading](#added).

## 9.9.8 (2026-01-30)

- Before that.
""")
    done = run(copy / "scripts" / "release-notes.py", "v9.9.9")
    assert done.stdout.replace("https://github.com/otlp2iceberg/otlp2iceberg/blob/v9.9.9/", "<TAG>/") == """### Added

- [Two
  lines](<TAG>/docs/delivery.md#receipts), [an address](https://example.com/), [a heading](#added).
"""
    missing = run(copy / "scripts" / "release-notes.py", "v9.9.7")
    assert (missing.returncode, missing.stderr) == (1, "release-notes.py: CHANGELOG.md has no section of v9.9.7\n")


def test_the_links_of_our_notes_lead_to_files():
    notes = run(REPOSITORY / "scripts" / "release-notes.py", f"v{VERSION}").stdout
    links = re.findall(r"\]\(([^)]*)\)", notes)
    files = [link.removeprefix(f"https://github.com/otlp2iceberg/otlp2iceberg/blob/v{VERSION}/") for link in links]
    assert len(files) > 10
    assert all(link != file for link, file in zip(links, files, strict=True))
    for file in files:
        assert (REPOSITORY / file.partition("#")[0]).exists(), file


def test_the_policy_names_the_public_interface():
    policy = (REPOSITORY / "CHANGELOG.md").read_text().partition("\n## ")[0]
    for part in ("https://semver.org/", "configuration", "Lambda", "columns", "metrics", "queue", "receipts"):
        assert part in policy, part


def built(folder: Path) -> Path:
    """What `make collector` leaves in dist, in short."""
    folder.mkdir()
    for name in ("otelcol-iceberg", "LICENSE", "THIRD-PARTY-NOTICES.txt"):
        (folder / name).write_text(f"the content of {name}\n")
    return folder


def test_the_collector_s_archive_is_the_same_each_time(tmp_path):
    """Whatever the times, the rights and the folder of what goes into it."""
    package = REPOSITORY / "scripts" / "package-collector.sh"
    first, second = built(tmp_path / "first"), built(tmp_path / "second")
    for path in second.iterdir():
        path.chmod(0o600)
        os.utime(path, (1, 1))
    name = "otelcol-iceberg_linux_arm64.tar.gz"
    for folder, umask in ((first, 0o022), (second, 0o077)):
        done = run(package, "arm64", folder, umask=umask)
        assert done.returncode == 0, done.stderr
    assert (first / name).read_bytes() == (second / name).read_bytes()
    # Gzip's header has neither a name nor the time of the build.
    assert (first / name).read_bytes()[3] == 0
    with tarfile.open(first / name) as archive:
        found = {one.name: (oct(one.mode), one.uid, one.gid, one.uname, one.gname, one.mtime, one.isfile()) for one in archive}
        texts = {one: archive.extractfile(one).read() for one in found}
    assert found == {
        one: ("0o755" if one == "otelcol-iceberg" else "0o644", 0, 0, "", "", 946684800, True)
        for one in ("LICENSE", "THIRD-PARTY-NOTICES.txt", "durable.yaml", "otelcol-iceberg", "otelcol-iceberg.service")
    }
    assert list(found) == sorted(found)
    assert texts["otelcol-iceberg"] == b"the content of otelcol-iceberg\n"
    assert texts["durable.yaml"] == (REPOSITORY / "examples" / "collector" / "durable.yaml").read_bytes()
    assert texts["otelcol-iceberg.service"] == (REPOSITORY / "examples" / "deploy" / "otelcol-iceberg.service").read_bytes()


def test_an_archive_without_notices_is_not_packed(tmp_path):
    folder = built(tmp_path / "built")
    (folder / "THIRD-PARTY-NOTICES.txt").unlink()
    done = run(REPOSITORY / "scripts" / "package-collector.sh", "amd64", folder)
    assert (done.returncode, done.stderr) == (1, f"{folder}/THIRD-PARTY-NOTICES.txt is missing: make collector makes it\n")
    assert run(REPOSITORY / "scripts" / "package-collector.sh", "sparc", folder).returncode == 2


def test_the_lambda_s_zip_has_the_notices_and_is_the_same_each_time(tmp_path):
    """With a small program in place of the Lambda, which takes minutes to build."""
    shutil.copytree(REPOSITORY / "scripts", tmp_path / "scripts")
    shutil.copyfile(REPOSITORY / "rust-toolchain.toml", tmp_path / "rust-toolchain.toml")
    folder = tmp_path / "dist" / "lambda"
    folder.mkdir(parents=True)
    program = tmp_path / "program"
    subprocess.run(["cc", "-x", "c", "-", "-o", program], input="int main(void) { return 7; }", text=True, check=True)
    arch = {"aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    package = (tmp_path / "scripts" / "package-lambda.sh", program, arch)

    without = run(*package)
    assert (without.returncode, without.stderr) == (1, "dist/lambda/LICENSE is missing: make lambda makes it\n")
    for name in ("LICENSE", "THIRD-PARTY-NOTICES.txt"):
        (folder / name).write_text(f"the content of {name}\n")
    packed = []
    for times in ((1, 1), (946684801, 946684801)):
        os.utime(folder / "LICENSE", times)
        done = run(*package)
        assert done.returncode == 0, done.stderr
        packed.append((folder / f"otlp2iceberg-lambda-{arch}.zip").read_bytes())
    assert packed[0] == packed[1]
    with zipfile.ZipFile(folder / f"otlp2iceberg-lambda-{arch}.zip") as archive:
        found = {one.filename: (oct(one.external_attr >> 16), one.date_time) for one in archive.infolist()}
        assert archive.read("THIRD-PARTY-NOTICES.txt") == b"the content of THIRD-PARTY-NOTICES.txt\n"
        (tmp_path / "unpacked").write_bytes(archive.read("bootstrap"))
    time = (2000, 1, 1, 0, 0, 0)
    assert found == {"bootstrap": ("0o100755", time), "LICENSE": ("0o100644", time), "THIRD-PARTY-NOTICES.txt": ("0o100644", time)}
    (tmp_path / "unpacked").chmod(0o755)
    assert run(tmp_path / "unpacked").returncode == 7
