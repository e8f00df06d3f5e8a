"""docs/aws.md and docs/choosing.md agree with the template, the policies and costs.py."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import yaml

from o2i.collector import REPOSITORY

from .aws import DEPLOY, TEMPLATE, Tagless

AWS = (REPOSITORY / "docs" / "aws.md").read_text()
CHOOSING = (REPOSITORY / "docs" / "choosing.md").read_text()
COSTS = REPOSITORY / "examples" / "aws" / "costs.py"


@pytest.fixture(scope="module")
def template() -> dict:
    return yaml.load(TEMPLATE.read_text(), Tagless)


def test_every_parameter_is_told_with_its_default(template):
    section = AWS.partition("## Deploy")[2].partition("\n## ")[0]
    rows = {}
    for names, default, _ in re.findall(r"^\| (`[A-Z][^|]*?) \|([^|]*)\|([^|]*)\|$", section, re.MULTILINE):
        named = re.findall(r"`([A-Za-z0-9]+)`", names)
        defaults = re.findall(r"`([^`]+)`", default)
        rows |= dict(zip(named, defaults + [""] * len(named), strict=False))
    for name, parameter in template["Parameters"].items():
        assert name in rows, name
        default = str(parameter["Default"])
        assert rows[name] == (default or ("<stack>-raw-<account>-<region>" if name == "RawBucketName" else "")), name


def test_every_action_is_told(template):
    listed = set()
    section = AWS.partition("## What the function may do")[2].partition("\n## ")[0]
    for row in re.findall(r"^\|[^|]*\|([^|]*)\|", section, re.MULTILINE):
        service = ""
        for prefix, action in re.findall(r"`(?:([a-z0-9]+):)?([A-Z][A-Za-z]+)`", row):
            service = prefix or service
            listed.add(f"{service}:{action}")
    allowed = set()
    for name in ("FunctionRole", "TableBucketPolicy", "GluePolicy", "WarehousePolicy", "DeadLetterPolicy", "RawPolicy"):
        allowed |= set(re.findall(r"'((?:s3tables|glue|lakeformation|s3|sqs|logs):[A-Za-z]+)'", str(template["Resources"][name])))
    assert listed == allowed


def test_links_lead_somewhere():
    for name in ("docs/aws.md", "docs/choosing.md", "examples/aws/README.md"):
        page = REPOSITORY / name
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / link).exists(), f"{name}: {link}"


def test_the_costs_are_those_that_are_worked_out():
    printed = subprocess.run([sys.executable, COSTS], capture_output=True, text=True, check=True).stdout
    assert printed in CHOOSING


def test_the_arithmetic_is_that_of_the_table():
    requests = 1_000_000 / 4.4
    seconds = requests * 0.4 + 1_000_000 * 0.03
    compute = seconds * 0.5 * 0.0000133334 + requests * 0.20e-6
    commits = requests * 5 / 3
    s3 = commits * (3 * 0.005 + 4 * 0.0004) / 1_000
    compaction = commits * 0.002 / 1_000 + 1_000 * 0.20 * 0.01
    storage = 1_000 * 0.20 * 30 * 0.0265 / 30.4
    monitoring = (9 * 0.30 + 13 * 0.10) / 30.4 + requests * 1.1e3 / 1e9 * 0.50
    month = 30.4 * (compute + s3 + compaction + storage + monitoring)
    for said in (f"{requests:,.0f} a day", f"{seconds:,.0f} a day", f"${compute:.2f} a day", f"{commits:,.0f} a day",
                 f"${s3:.2f} a day", f"${compaction:.2f} a day", f"${storage:.2f} a day", f"${monitoring:.2f} a day",
                 f"${month:.2f}"):  # fmt: skip
        assert said in CHOOSING, said
    tables = f"{s3 * 30.4:.2f} | {compaction * 30.4:.2f} | {storage * 30.4:.2f}"
    assert f"| 1000 GB | Lambda | {compute * 30.4:.2f} | {tables} |  |  | {monitoring * 30.4:.2f} |" in CHOOSING


def test_collectors_cost_what_the_page_says():
    """The smallest number of them, which is enough for the largest volume of the table."""
    each = (0.5 * 0.03238 + 2 * 0.00356) * 730
    assert 1_000_000 / 86_400 * 3 / 50 <= 2 * 0.5
    for gigabytes in ("1", "50", "1000"):
        assert f"| {gigabytes} GB | direct | {2 * each:.2f} |" in CHOOSING
    assert f"${2 * each:.0f}, which is enough" in CHOOSING


def test_the_metrics_and_alarms_that_are_paid_for_are_those_of_the_template(template):
    alarms = [one for one in template["Resources"].values() if one["Type"] == "AWS::CloudWatch::Alarm"]

    def billed(alarm: dict) -> int:
        return sum("MetricStat" in one for one in alarm["Properties"].get("Metrics", [])) or 1

    with_queue = [one for one in alarms if one.get("Condition") == "HasRaw"]
    assert sum(map(billed, alarms)) - sum(map(billed, with_queue)) == 13
    assert sum(map(billed, with_queue)) == 2
    own = {one["MetricStat"]["Metric"]["MetricName"] for alarm in alarms for one in alarm["Properties"].get("Metrics", [])
           if one.get("MetricStat", {}).get("Metric", {}).get("Namespace") == "otlp2iceberg"}  # fmt: skip
    assert 3 * len(own) == 9


def test_scripts_that_are_named_are_there():
    for name in set(re.findall(r"lambda/deploy/([a-z-]+\.sh)", AWS)):
        assert (DEPLOY / name).is_file()
