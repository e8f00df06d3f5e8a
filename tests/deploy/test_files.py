"""Static checks of the scripts, the Dockerfiles and the release workflow."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from o2i.collector import REPOSITORY

from .aws import DEPLOY

SCRIPTS = sorted(DEPLOY.glob("*.sh"))
WORKFLOW = REPOSITORY / ".github" / "workflows" / "release.yml"
WORKFLOWS = sorted(WORKFLOW.parent.glob("*.y*ml"))
DOCKERFILES = [DEPLOY / "Dockerfile", REPOSITORY / "examples" / "deploy" / "Dockerfile"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_bash_takes_it(script):
    assert subprocess.run(["bash", "-n", script], capture_output=True, text=True).stderr == ""


def test_shellcheck_is_clean():
    command = [Path(sys.executable).parent / "shellcheck", "--external-sources", *SCRIPTS]
    done = subprocess.run(command, capture_output=True, text=True, cwd=DEPLOY)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_what_the_workflow_names_is_there():
    workflow = yaml.safe_load(WORKFLOW.read_text())
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    text = "\n".join(step.get("run", "") for step in steps)
    targets = set(re.findall(r"^([a-z-]+):.*##", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    wanted = set(re.findall(r"^make ([a-z-]+)", text, re.MULTILINE))
    assert wanted == {"collector", "lambda"}
    assert wanted <= targets
    for path in re.findall(r"--file ([\w./-]+)", text):
        assert (REPOSITORY / path).is_file(), path
    for job in workflow["jobs"].values():
        assert set(job.get("needs", [])) <= set(workflow["jobs"])


def test_the_workflow_may_no_more_than_it_needs():
    workflow = yaml.safe_load(WORKFLOW.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    assert {name: job.get("permissions") for name, job in workflow["jobs"].items()} == {
        "lambda": None,
        "collector": None,
        "release": {"contents": "write", "packages": "write", "id-token": "write", "attestations": "write"},
    }
    # No script interpolates values of the GitHub context as text, because outsiders control some of them.
    for job in workflow["jobs"].values():
        for step in job["steps"]:
            assert "${{ github." not in step.get("run", ""), step


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit_with_their_version_beside(path):
    """A tag can be moved to other code, which would run with the workflow's permissions."""
    uses = re.findall(r"^[ -]*uses: *(.*)$", path.read_text(), re.MULTILINE)
    assert uses
    for one in uses:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", one), one
    # One version of each action.
    assert len(set(uses)) == len({one.partition("@")[0] for one in uses})


def test_nothing_is_run_that_was_downloaded_without_a_hash():
    text = WORKFLOW.read_text()
    assert not re.search(r"curl[^\n]*\|", text)
    jobs = yaml.safe_load(text)["jobs"]
    for one in jobs["lambda"]["strategy"]["matrix"]["include"]:
        assert re.fullmatch(r"[0-9a-f]{64}", one["rustup_sha256"]), one
    tools = next(step["run"] for step in jobs["lambda"]["steps"] if step.get("name") == "tools")
    order = [tools.index(part) for part in ("/rustup-init\"", "sha256sum --check", "/tmp/rustup-init -y")]
    assert order == sorted(order)


def test_what_is_released_is_attested_first():
    steps = yaml.safe_load(WORKFLOW.read_text())["jobs"]["release"]["steps"]
    [attest] = [step for step in steps if step.get("uses", "").startswith("actions/attest-build-provenance@")]
    assert attest["with"]["subject-path"].split() == ["artifacts/*.zip", "artifacts/*.tar.gz"]
    [release] = [step for step in steps if "gh release create" in step.get("run", "")]
    assert steps.index(attest) < steps.index(release)


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_dockerfiles_copy_what_is_built(path):
    instructions = [line.split()[0] for line in path.read_text().splitlines() if re.match(r"[A-Z]+ ", line)]
    assert instructions[0] == "FROM"
    assert "COPY" in instructions
    assert "RUN" not in instructions
