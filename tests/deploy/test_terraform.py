"""lambda/deploy/terraform agrees with the CloudFormation template.

The tests parse it and look up its references. Terraform's own `validate` needs the AWS provider, which comes from a
registry that tests do not use.
"""

from __future__ import annotations

import json
import re

import hcl2
import pytest
import yaml

from .aws import DEPLOY, Tagless

FOLDER = DEPLOY / "terraform"
FILES = sorted(FOLDER.glob("*.tf"))
# The variable for each parameter of the template. Terraform takes the code from a file, the template from a bucket.
SAME = {
    "LambdaArchitecture": "architecture", "ImageUri": "image_uri", "MemorySize": "memory_size", "Timeout": "timeout",
    "ReservedConcurrency": "reserved_concurrency", "LogRetentionDays": "log_retention_days",
    "FunctionUrlAuth": "function_url_auth", "CatalogType": "catalog_type", "S3TablesBucketName": "table_bucket_name",
    "CreateTableBucket": "create_table_bucket", "WarehouseBucketName": "warehouse_bucket_name", "Namespace": "namespace",
    "TableColumnCase": "table_column_case",
    "DeadLetterPath": "dead_letter_path", "CorsOrigins": "cors_origins",
    "RawIngest": "raw_ingest", "RawBucketName": "raw_bucket_name", "CreateRawBucket": "create_raw_bucket",
    "RawRetentionDays": "raw_retention_days", "RawBatchSize": "raw_batch_size",
    "RawVisibilityTimeout": "raw_visibility_timeout", "RegisterParquet": "register_parquet", "AlarmTopicArn": "alarm_topic_arn",
}  # fmt: skip
ONLY_IN_TEMPLATE = {"LambdaCodeBucket", "LambdaCodeKey", "AuthTokenSecretArn"}
ONLY_IN_TERRAFORM = {"name", "zip", "environment", "auth_token"}


@pytest.fixture(scope="module")
def template() -> dict:
    return yaml.load((DEPLOY / "template.yaml").read_text(), Tagless)


@pytest.fixture(scope="module")
def text() -> str:
    """All of it, without comments."""
    return re.sub(r"^\s*#.*$", "", "\n".join(path.read_text() for path in FILES), flags=re.MULTILINE)


@pytest.fixture(scope="module")
def variables() -> dict[str, dict]:
    parsed = hcl2.loads((FOLDER / "variables.tf").read_text())
    return {name.strip('"'): body for one in parsed["variable"] for name, body in one.items()}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_can_be_parsed(path):
    assert hcl2.loads(path.read_text())


def test_what_it_refers_to_is_there_and_used(text, variables):
    assert set(re.findall(r"\bvar\.([a-z_]+)", text)) == set(variables)
    resources = set(re.findall(r'^(?:resource|data) "([a-z0-9_]+)" "([a-z0-9_]+)"', text, re.MULTILINE))
    referred = set(re.findall(r"(?<![\w.\"])(?:data\.)?(aws_[a-z0-9_]+)\.([a-z0-9_]+)", text))
    assert referred <= resources, referred - resources
    local_names = set()
    for block in re.findall(r"^locals \{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL):
        local_names |= set(re.findall(r"^  ([a-z_0-9]+) +=", block, re.MULTILINE))
    assert set(re.findall(r"\blocal\.([a-z_0-9]+)", text)) == local_names


def test_its_knobs_are_the_template_s_with_the_same_defaults(template, variables):
    assert set(template["Parameters"]) == set(SAME) | ONLY_IN_TEMPLATE
    assert set(variables) == set(SAME.values()) | ONLY_IN_TERRAFORM
    for theirs, ours in SAME.items():
        assert plain(variables[ours]["default"]) == plain(template["Parameters"][theirs]["Default"]), ours


def plain(value) -> str:
    """A default as text; no default is the empty text."""
    return "" if value in (None, "null", []) else str(value).strip('"').lower()


def test_the_role_may_do_the_same(template, text):
    ours = set(re.findall(r'"((?:s3tables|glue|lakeformation|s3|sqs|logs|lambda):[A-Za-z]+)"', text))
    assert ours - conditions(ours) == actions(template["Resources"])


def test_each_policy_of_the_role_allows_the_same(template, text):
    """Compares policy by policy: a permission missing in one must not go unnoticed because another policy allows it."""
    blocks = re.findall(r'^resource "aws_iam_role_policy" "\w+" \{\n(.*?)^\}', text, re.MULTILINE | re.DOTALL)
    ours = {re.search(r'name += "([a-z0-9-]+)"', block)[1]: set(re.findall(r'"([a-z0-9]+:[A-Z][A-Za-z]+)"', block)) for block in blocks}
    theirs = [one["Properties"] for one in template["Resources"].values() if one["Type"] == "AWS::IAM::Policy"]
    theirs += template["Resources"]["FunctionRole"]["Properties"]["Policies"]
    assert ours == {one["PolicyName"]: actions(one) for one in theirs}


def test_both_give_the_function_the_same_variables(template, text):
    [ours] = re.findall(r"^    variables = merge\((.*?)^    \)", text, re.MULTILINE | re.DOTALL)
    theirs = template["Resources"]["Function"]["Properties"]["Environment"]["Variables"]
    assert set(re.findall(r"\bOTLP2ICEBERG_[A-Z_]+", ours)) == set(theirs)


def conditions(found: set[str]) -> set[str]:
    return found & {"lambda:FunctionUrlAuthType", "lambda:InvokedViaFunctionUrl"}


def actions(value) -> set[str]:
    """Every action that any policy in the template allows."""
    if isinstance(value, list):
        return set().union(*map(actions, value))
    if not isinstance(value, dict):
        return set()
    found = value.get("Action", [])
    named = {one for one in (found if isinstance(found, list) else [found]) if not one.startswith(("sts:",))}
    return named.union(*map(actions, value.values()))


def test_alarms_and_outputs_are_the_same(template, text):
    alarms = {one["Properties"]["AlarmName"].split("}")[1] for one in template["Resources"].values() if "Alarm" in one["Type"]}
    assert set(re.findall(r'alarm_name += "\$\{var\.name\}(-[a-z0-9-]+)"', text)) == alarms
    snake = {re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower() for name in template["Outputs"]}
    # The module's caller knows these two outputs: they are its own inputs.
    assert set(re.findall(r'^output "([a-z_]+)"', text, re.MULTILINE)) == snake - {"catalog_type", "tables_namespace"}


def test_alarms_fire_as_soon_as_the_template_s_and_say_the_same(template, text):
    ours = {}
    for block in re.findall(r'^resource "aws_cloudwatch_metric_alarm" "\w+" \{\n(.*?)^\}', text, re.MULTILINE | re.DOTALL):
        found = {key: value.strip('"') for key, value in re.findall(r"^  (\w+) += (.*)$", block, re.MULTILINE)}
        periods = int(found["evaluation_periods"])
        points = int(found.get("datapoints_to_alarm", periods))
        ours[found["alarm_name"].rpartition("}")[2]] = (periods, points, found["alarm_description"])
    theirs = {}
    for one in template["Resources"].values():
        if one["Type"] == "AWS::CloudWatch::Alarm":
            found = one["Properties"]
            periods = found["EvaluationPeriods"]
            points = found.get("DatapointsToAlarm", periods)
            theirs[found["AlarmName"].rpartition("}")[2]] = (periods, points, found["AlarmDescription"])
    assert ours == theirs
    assert ours["-throttles"][1] == 1


def test_a_token_is_null_or_not_blank(text):
    """The function refuses a blank token. `trimspace(null)` is an error, which `try` turns into true."""
    [token] = re.findall(r'^variable "auth_token" \{\n(.*?)^\}', text, re.MULTILINE | re.DOTALL)
    assert 'condition     = try(trimspace(var.auth_token) != "", true)' in token


def test_what_the_template_refuses_it_refuses(text):
    """Each rule of the template has a precondition, and the names in it exist."""
    [function] = re.findall(r'^resource "aws_lambda_function" "function" \{\n(.*?)^\}', text, re.MULTILINE | re.DOTALL)
    conditions = {re.sub(r"\s+", " ", one) for one in re.findall(r"precondition \{\s+condition += (.*?)\n", function)}
    assert conditions == {
        "(var.zip == null) != (var.image_uri == null)",
        'local.uses_table_bucket || var.catalog_type == "glue"',
        # deploy.sh checks this one, because the template cannot.
        '!local.uses_table_bucket || !startswith(var.namespace, "aws")',
        "!local.has_raw || local.raw_bucket != var.warehouse_bucket_name",
        "!local.makes_raw || !var.register_parquet",
        "!local.has_raw || var.reserved_concurrency == -1 || var.reserved_concurrency >= local.raw_copies",
        # deploy.sh checks this one, too.
        "!local.has_raw || local.receives_max * var.raw_visibility_timeout <= local.window_seconds",
        "var.auth_token == null || !local.url_is_signed",
        "length(var.cors_origins) == 0 || local.url_is_open",
    }


def test_web_pages_may_send_the_same(template, text):
    """The part of the URL for browsers."""
    cors = template["Resources"]["FunctionUrl"]["Properties"]["Cors"][1]
    [ours] = re.findall(r'^  dynamic "cors" \{\n(.*?)^  \}', text, re.MULTILINE | re.DOTALL)
    assert re.search(r"allow_origins = cors\.value\n", ours)
    assert json.loads(re.search(r"allow_methods = (.*)", ours)[1]) == cors["AllowMethods"] == ["POST"]
    assert json.loads(re.search(r"allow_headers = (.*)", ours)[1]) == cors["AllowHeaders"]
    assert int(re.search(r"max_age +=(.*)", ours)[1]) == int(cors["MaxAge"])


def test_it_refuses_the_variables_that_deploy_sh_refuses(variables):
    script = (DEPLOY / "deploy.sh").read_text().partition("add_variables() {")[2].partition("esac")[0]
    refused = set(re.findall(r"\b(?:OTLP2[A-Z_0-9]+|ICEBERG_ENABLED)\b", script))
    [validation] = variables["environment"]["validation"]
    assert set(re.findall(r'"([A-Z_0-9]+)"', str(validation["condition"]).replace("'", '"'))) == refused


def test_the_queue_is_the_template_s(template, text):
    """How often a message is delivered, and by how many copies of the function it is read."""
    resources = template["Resources"]
    receives = resources["RawQueue"]["Properties"]["RedrivePolicy"]["maxReceiveCount"]
    assert f"receives_max   = {receives}\n" in text and f"RECEIVES_MAX={receives} " in (DEPLOY / "deploy.sh").read_text()
    _, fifo, standard = resources["RawMapping"]["Properties"]["ScalingConfig"]["MaximumConcurrency"]
    assert f"raw_copies = local.is_fifo ? {fifo} : {standard}\n" in text
