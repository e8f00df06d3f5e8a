"""Static checks of the scripts, the Dockerfiles and the workflows, and what is the same in several files."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest
import yaml

from o2i.collector import REPOSITORY

from .aws import DEPLOY

SCRIPTS = sorted([*DEPLOY.glob("*.sh"), *(REPOSITORY / "scripts").glob("*.sh")])
WORKFLOW = REPOSITORY / ".github" / "workflows" / "release.yml"
WORKFLOWS = sorted(WORKFLOW.parent.glob("*.y*ml"))
SECURITY = (REPOSITORY / "SECURITY.md").read_text()
DOCKERFILES = [DEPLOY / "Dockerfile", REPOSITORY / "examples" / "deploy" / "Dockerfile"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_bash_takes_it(script):
    assert subprocess.run(["bash", "-n", script], capture_output=True, text=True).stderr == ""


def test_shellcheck_is_clean():
    command = [Path(sys.executable).parent / "shellcheck", "--external-sources", *SCRIPTS]
    done = subprocess.run(command, capture_output=True, text=True, cwd=DEPLOY)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def steps(path: Path) -> list[dict]:
    """The steps of all jobs of a workflow."""
    return [step for job in yaml.safe_load(path.read_text())["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize(
    ("path", "made"),
    [(WORKFLOW, {"collector", "lambda", "test"}), (WORKFLOW.with_name("advisories.yml"), {"collector"})],
    ids=lambda one: one.name if isinstance(one, Path) else "",
)
def test_what_a_workflow_names_is_there(path, made):
    text = "\n".join(step.get("run", "") for step in steps(path))
    targets = set(re.findall(r"^([a-z-]+):.*##", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    wanted = set(re.findall(r"^make ([a-z-]+)", text, re.MULTILINE))
    assert wanted == made
    assert wanted <= targets
    for named in re.findall(r"--file ([\w./-]+)|^ *((?:scripts|tests)/[\w.-]+)", text, re.MULTILINE):
        assert (REPOSITORY / "".join(named)).is_file(), named
    jobs = yaml.safe_load(path.read_text())["jobs"]
    for job in jobs.values():
        needs = job.get("needs", [])
        assert set([needs] if isinstance(needs, str) else needs) <= set(jobs)


def test_nothing_is_released_that_the_tests_and_the_demo_have_not_passed():
    jobs = yaml.safe_load(WORKFLOW.read_text())["jobs"]
    assert set(jobs["release"]["needs"]) == {"test", "lambda", "collector"}
    assert {job: jobs[job]["needs"] for job in ("test", "lambda", "collector")} == dict.fromkeys(("test", "lambda", "collector"), "version")
    assert "make test" in [step.get("run") for step in jobs["test"]["steps"]]
    # Each build of the Collector is demonstrated on its own machine, before it is packed.
    runs = [step.get("run", "") for step in jobs["collector"]["steps"]]
    [build] = [at for at, run in enumerate(runs) if run == "make collector"]
    [demo] = [at for at, run in enumerate(runs) if run == "tests/demo.sh --collector dist/otelcol-iceberg"]
    [pack] = [at for at, run in enumerate(runs) if "scripts/package-collector.sh" in run]
    assert build < demo < pack
    assert len({one["runner"] for one in jobs["collector"]["strategy"]["matrix"]["include"]}) == 2
    # No step goes on after a failure.
    assert "continue-on-error" not in WORKFLOW.read_text()


def test_the_version_is_checked_before_anything_is_built():
    runs = "\n".join(step.get("run", "") for step in yaml.safe_load(WORKFLOW.read_text())["jobs"]["version"]["steps"])
    assert '[ "$GITHUB_REF_TYPE" != tag ] || tag=("$GITHUB_REF_NAME")' in runs
    assert 'scripts/check-version.sh "${tag[@]}"' in runs


def test_go_is_pinned_in_every_workflow():
    """Go's library is part of the Collector; go.mod only has the least version that compiles it."""
    versions = {yaml.safe_load(path.read_text())["env"]["GO_VERSION"] for path in WORKFLOWS}
    [version] = versions
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    least = re.search(r"^go (\S+)$", (REPOSITORY / "collector-exporter" / "go.mod").read_text(), re.MULTILINE)[1]
    assert tuple(map(int, version.split("."))) >= tuple(map(int, least.split(".")))
    for path in WORKFLOWS:
        assert yaml.safe_load(path.read_text())["env"]["GOTOOLCHAIN"] == "local"
        set_up = [step["with"] for step in steps(path) if step.get("uses", "").startswith("actions/setup-go@")]
        assert set_up
        assert all(one == {"go-version": "${{ env.GO_VERSION }}", "cache": False} for one in set_up)
    assert "`GO_VERSION`" in SECURITY


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_no_more_than_it_needs(path):
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    more = {name: job["permissions"] for name, job in workflow["jobs"].items() if "permissions" in job}
    release = {"contents": "write", "packages": "write", "id-token": "write", "attestations": "write"}
    assert more == ({"release": release} if path == WORKFLOW else {})
    # No script interpolates values of the GitHub context as text, because outsiders control some of them.
    for step in steps(path):
        assert "${{" not in step.get("run", ""), step


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit_with_their_version_beside(path):
    """A tag can be moved to other code, which would run with the workflow's permissions."""
    uses = re.findall(r"^[ -]*uses: *(.*)$", path.read_text(), re.MULTILINE)
    assert uses
    for one in uses:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", one), one


def test_there_is_one_version_of_each_action():
    uses = {one for path in WORKFLOWS for one in re.findall(r"^[ -]*uses: *(.*)$", path.read_text(), re.MULTILINE)}
    assert len(uses) == len({one.partition("@")[0] for one in uses})


def test_nothing_is_run_that_was_downloaded_without_a_hash():
    text = WORKFLOW.read_text()
    for path in WORKFLOWS:
        assert not re.search(r"curl[^\n]*\|", path.read_text()), path
        # Registries have the hashes of what they serve under a version.
        for install in re.findall(r"\b(?:cargo|go) install .*", path.read_text()):
            assert re.search(r"--locked --version \"\$[A-Z_]+\"|@\$[A-Z_]+\"", install), install
    jobs = yaml.safe_load(text)["jobs"]
    for one in jobs["lambda"]["strategy"]["matrix"]["include"]:
        assert re.fullmatch(r"[0-9a-f]{64}", one["rustup_sha256"]), one
    tools = next(step["run"] for step in jobs["lambda"]["steps"] if step.get("name") == "tools")
    order = [tools.index(part) for part in ("/rustup-init\"", "sha256sum --check", "/tmp/rustup-init -y")]
    assert order == sorted(order)


def test_what_is_released_is_attested_first():
    steps = yaml.safe_load(WORKFLOW.read_text())["jobs"]["release"]["steps"]
    of_files, of_image = [step for step in steps if step.get("uses", "").startswith("actions/attest-build-provenance@")]
    assert of_files["with"]["subject-path"].split() == ["artifacts/*.zip", "artifacts/*.tar.gz", "artifacts/*.cdx.json"]
    [build] = [step for step in steps if step.get("id") == "image"]
    assert of_image["with"] == {
        "subject-name": "${{ steps.image.outputs.name }}",
        "subject-digest": "${{ steps.image.outputs.digest }}",
        "push-to-registry": True,
        "create-storage-record": False,
    }
    [release] = [step for step in steps if "gh release create" in step.get("run", "")]
    assert steps.index(of_files) < steps.index(build) < steps.index(of_image) < steps.index(release)


def test_the_image_is_the_one_of_the_examples_and_its_digest_is_released(tmp_path):
    """Runs the step with a docker that only notes what it is asked for."""
    [step] = [step for step in steps(WORKFLOW) if step.get("id") == "image"]
    digest = f"sha256:{'5a' * 32}"
    (tmp_path / "artifacts").mkdir()
    for arch in ("amd64", "arm64"):
        path = tmp_path / "artifacts" / f"otelcol-iceberg_linux_{arch}.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            archive.addfile(tarfile.TarInfo("otelcol-iceberg"))
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "docker").write_text(f"""#!/bin/sh
printf '%s\\n' "$*" >>"{tmp_path}/calls"
case "$*" in *inspect*) echo '{{"digest": "{digest}"}}' ;; esac
""")
    (tools / "jq").write_text(f"""#!{sys.executable}
import json, sys
print(json.load(sys.stdin)[sys.argv[-1].removeprefix(".")])
""")
    for tool in tools.iterdir():
        tool.chmod(0o755)
    environment = {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "GITHUB_REPOSITORY": "Otlp2Iceberg/otlp2iceberg",
        "GITHUB_REF_NAME": "v9.9.9",
        "GITHUB_SHA": "0123456789abcdef",
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "ACTOR": "someone",
        "TOKEN": "token",
    }
    subprocess.run(["bash", "-e", "-c", step["run"]], cwd=tmp_path, env=environment, check=True)
    name = "ghcr.io/otlp2iceberg/otlp2iceberg/otelcol-iceberg"
    assert (tmp_path / "output").read_text() == f"name={name}\ndigest={digest}\n"
    assert (tmp_path / "artifacts" / "image.txt").read_text() == f"{name}:v9.9.9@{digest}\n"
    calls = (tmp_path / "calls").read_text().splitlines()
    builds = [call for call in calls if call.startswith("buildx build ")]
    for arch, build in zip(("amd64", "arm64"), builds, strict=True):
        assert f"--platform linux/{arch} " in build
        assert f"--tag {name}:v9.9.9-{arch} --push image/{arch}" in build
        assert "--label org.opencontainers.image.version=v9.9.9 --label org.opencontainers.image.revision=0123456789abcdef" in build
        assert (tmp_path / "image" / arch / "otelcol-iceberg").is_file()
    assert f"buildx imagetools create --tag {name}:v9.9.9 {name}:v9.9.9-amd64 {name}:v9.9.9-arm64" in calls
    examples = (REPOSITORY / "examples" / "deploy" / "kubernetes.yaml").read_text()
    assert re.search(rf"image: {re.escape(name)}:v[\d.]+$", examples, re.MULTILINE)


def test_every_advisory_that_is_ignored_has_its_reason():
    ignored = re.findall(r"--ignore (\S+)", (WORKFLOW.with_name("advisories.yml")).read_text())
    assert ignored == re.findall(r"^\| `([A-Z]+-\d+-\d+)`", SECURITY, re.MULTILINE)


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_dockerfiles_copy_what_is_built(path):
    instructions = [line.split()[0] for line in path.read_text().splitlines() if re.match(r"[A-Z]+ ", line)]
    assert instructions[0] == "FROM"
    assert "COPY" in instructions
    assert "RUN" not in instructions


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_images_have_the_licences_and_say_what_they_are(path):
    text = path.read_text()
    [texts] = re.findall(r"^COPY LICENSE THIRD-PARTY-NOTICES\.txt (/\S+/)$", text, re.MULTILINE)
    assert texts in ("/licenses/", "/usr/share/doc/otlp2iceberg/")
    labels = dict(re.findall(r'^LABEL org\.opencontainers\.image\.(\w+)="(.*)"$', text, re.MULTILINE))
    assert labels.keys() == {"title", "description", "source", "licenses"}
    assert labels["source"] == "https://github.com/otlp2iceberg/otlp2iceberg"
    assert labels["licenses"] == "Apache-2.0"


def test_every_package_of_ours_has_its_licence():
    members = [path for path in REPOSITORY.glob("rust/*/Cargo.toml")] + [REPOSITORY / "lambda" / "Cargo.toml"]
    for path in members:
        package = tomllib.loads(path.read_text())["package"]
        assert package["license"] in ("Apache-2.0", {"workspace": True}), path
