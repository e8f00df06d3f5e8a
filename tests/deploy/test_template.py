"""lambda/deploy/template.yaml: cfn-lint finds nothing, and moto's CloudFormation creates the right resources."""

from __future__ import annotations

import ast
import fnmatch
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from .aws import ACCOUNT, DEPLOY, REGION, TEMPLATE, Aws, Tagless

S3TABLES = {
    "s3tables:GetTableBucket", "s3tables:GetNamespace", "s3tables:CreateNamespace", "s3tables:GetTable", "s3tables:CreateTable",
    "s3tables:GetTableMetadataLocation", "s3tables:UpdateTableMetadataLocation", "s3tables:GetTableData", "s3tables:PutTableData",
}  # fmt: skip
GLUE = {
    "glue:GetCatalog", "glue:GetDatabase", "glue:CreateDatabase", "glue:GetTable", "glue:CreateTable", "glue:UpdateTable",
    "lakeformation:GetDataAccess",
}  # fmt: skip
WAREHOUSE = {
    "s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListBucket", "s3:GetBucketLocation",
}  # fmt: skip
RAW = {
    "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket",
}  # fmt: skip
DEAD_LETTERS = {"s3:PutObject", "s3:GetObject", "s3:AbortMultipartUpload"}
LOGS = {"logs:CreateLogStream", "logs:PutLogEvents"}
ALARMS = {"errors", "throttles", "slow", "rejected", "refused", "failures"}
OF_URL = {"url-5xx"}


def permissions(aws: Aws, outputs: dict[str, str]) -> dict[str, set[str]]:
    """The permissions of the function's role: the resources of each action."""
    iam, role = aws.client("iam"), outputs["FunctionRoleArn"].rsplit("/", 1)[1]
    found: dict[str, set[str]] = {}
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        # moto returns policies of a stack as the text of a Python dict.
        document = ast.literal_eval(document) if isinstance(document, str) else document
        for statement in document["Statement"]:
            assert statement["Effect"] == "Allow"
            for action in as_list(statement["Action"]):
                found.setdefault(action, set()).update(as_list(statement["Resource"]))
    return found


def as_list(value) -> list:
    return value if isinstance(value, list) else [value]


def variables(aws: Aws, name: str) -> dict[str, str]:
    return aws.client("lambda").get_function_configuration(FunctionName=name)["Environment"]["Variables"]


def alarms(aws: Aws, name: str) -> set[str]:
    found = aws.client("cloudwatch").describe_alarms(AlarmNamePrefix=f"{name}-")["MetricAlarms"]
    return {alarm["AlarmName"].removeprefix(f"{name}-") for alarm in found}


def test_cfn_lint_is_clean():
    templates = [TEMPLATE, DEPLOY / "local" / "template.yaml"]
    command = [Path(sys.executable).parent / "cfn-lint", "--regions", "us-east-1", "eu-west-1", "--template", *templates]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_default_is_signed_requests_into_s3_tables(aws):
    outputs = aws.make_stack("plain")
    arn = f"arn:aws:s3tables:{REGION}:{ACCOUNT}:bucket/of-plain"
    assert {"FunctionUrl", "LambdaFunctionArn", "TableBucketName", "TableBucketArn", "IcebergRestEndpoint"} <= set(outputs)
    assert variables(aws, "plain") == {
        "OTLP2ICEBERG_CATALOG_TYPE": "s3tables",
        "OTLP2ICEBERG_CATALOG_WAREHOUSE": arn,
        "OTLP2ICEBERG_CATALOG_NAMESPACE": "otel",
        "OTLP2ICEBERG_TABLES_COLUMN_CASE": "lower",
        "OTLP2ICEBERG_REGISTER_PARQUET": "false",
    }
    allowed = permissions(aws, outputs)
    assert set(allowed) == S3TABLES | LOGS
    assert {frozenset(allowed[action]) for action in S3TABLES} == {frozenset({arn, f"{arn}/table/*"})}
    assert aws.client("lambda").get_function_url_config(FunctionName="plain")["AuthType"] == "AWS_IAM"
    function = aws.client("lambda").get_function_configuration(FunctionName="plain")
    assert (function["MemorySize"], function["Timeout"]) == (512, 60)
    groups = aws.client("logs").describe_log_groups(logGroupNamePrefix="/aws/lambda/plain")["logGroups"]
    assert [group["retentionInDays"] for group in groups] == [7]
    assert alarms(aws, "plain") == ALARMS | OF_URL
    assert aws.client("sqs").list_queues(QueueNamePrefix="plain").get("QueueUrls", []) == []


def test_senders_get_both_permissions_for_the_url_and_no_other(aws):
    outputs = aws.make_stack("senders")
    iam = aws.client("iam")
    version = iam.get_policy(PolicyArn=outputs["SenderPolicyArn"])["Policy"]["DefaultVersionId"]
    document = iam.get_policy_version(PolicyArn=outputs["SenderPolicyArn"], VersionId=version)["PolicyVersion"]["Document"]
    function = outputs["LambdaFunctionArn"]
    assert [(one["Action"], one["Resource"], one["Condition"]) for one in document["Statement"]] == [
        ("lambda:InvokeFunctionUrl", function, {"StringEquals": {"lambda:FunctionUrlAuthType": "AWS_IAM"}}),
        ("lambda:InvokeFunction", function, {"Bool": {"lambda:InvokedViaFunctionUrl": "true"}}),
    ]


def test_glue_on_a_table_bucket(aws):
    outputs = aws.make_stack("glued", CatalogType="glue")
    given = variables(aws, "glued")
    assert given["OTLP2ICEBERG_CATALOG_WAREHOUSE"] == f"{ACCOUNT}:s3tablescatalog/of-glued"
    assert "OTLP2ICEBERG_CATALOG_DEFAULT_LOCATION" not in given, "the table bucket assigns locations"
    assert given["OTLP2ICEBERG_TABLES_COLUMN_CASE"] == "lower"
    assert outputs["IcebergRestEndpoint"] == f"https://glue.{REGION}.amazonaws.com/iceberg"
    allowed = permissions(aws, outputs)
    assert set(allowed) == S3TABLES | GLUE | LOGS
    base = f"arn:aws:glue:{REGION}:{ACCOUNT}"
    assert allowed["glue:UpdateTable"] == {
        f"{base}:catalog",
        f"{base}:catalog/s3tablescatalog",
        f"{base}:catalog/s3tablescatalog/of-glued",
        f"{base}:database/s3tablescatalog/of-glued/otel",
        f"{base}:table/s3tablescatalog/of-glued/otel/*",
    }


def test_glue_on_an_ordinary_bucket(aws):
    outputs = aws.make_stack("ordinary", CatalogType="glue", WarehouseBucketName="lake", FunctionUrlAuth="DISABLED")
    given = variables(aws, "ordinary")
    assert given["OTLP2ICEBERG_CATALOG_WAREHOUSE"] == ACCOUNT
    assert given["OTLP2ICEBERG_CATALOG_DEFAULT_LOCATION"] == "s3://lake"
    assert given["OTLP2ICEBERG_TABLES_COLUMN_CASE"] == "pascal"
    allowed = permissions(aws, outputs)
    assert set(allowed) == WAREHOUSE | GLUE | LOGS
    assert allowed["s3:PutObject"] == {"arn:aws:s3:::lake/*"}
    assert alarms(aws, "ordinary") == ALARMS
    assert not {"TableBucketArn", "TableBucketName", "FunctionUrl", "SenderPolicyArn"} & set(outputs)
    buckets = aws.client("s3tables").list_table_buckets()["tableBuckets"]
    assert "of-ordinary" not in {bucket["name"] for bucket in buckets}


@pytest.mark.parametrize("case", ["pascal", "lower"])
def test_the_case_of_columns_is_the_given_one_on_either_bucket(aws, case):
    aws.make_stack(f"{case}-there", TableColumnCase=case)
    aws.make_stack(f"{case}-lake", TableColumnCase=case, CatalogType="glue", WarehouseBucketName="lake")
    found = {variables(aws, f"{case}-{of}")["OTLP2ICEBERG_TABLES_COLUMN_CASE"] for of in ("there", "lake")}
    assert found == {case}


@pytest.mark.parametrize("path", ["s3://kept", "s3://kept/otel/dead-letters"])
def test_dead_letters_are_where_the_function_may_write_them(aws, path):
    name = f"dead-{path.count('/')}"
    outputs = aws.make_stack(name, DeadLetterPath=path)
    assert variables(aws, name)["OTLP2ICEBERG_DEAD_LETTER_PATH"] == path
    allowed = permissions(aws, outputs)
    assert set(allowed) == S3TABLES | DEAD_LETTERS | LOGS
    assert {frozenset(allowed[action]) for action in DEAD_LETTERS} == {frozenset({f"arn:aws:s3:::{path.removeprefix('s3://')}/*"})}


@pytest.mark.parametrize(("path", "taken"), [
    ("", True),
    ("s3://kept", True),
    ("s3://kept.of-us/a/b=c_d.e", True),
    ("kept", False),
    ("/var/dead", False),
    ("s3://", False),
    ("s3://kept/", False),
    ("s3://kept//a", False),
    ("s3://kept/../a", False),
    ("s3://kept/*", False),
    ("s3://kept/${aws:username}", False),
])  # fmt: skip
def test_a_place_for_dead_letters_is_one_of_s3_and_names_itself_alone(path, taken):
    pattern = yaml.load(TEMPLATE.read_text(), Tagless)["Parameters"]["DeadLetterPath"]["AllowedPattern"]
    assert bool(re.fullmatch(pattern, path)) == taken
    # Terraform's pattern is the same, with null in place of the empty string.
    assert f'can(regex("{pattern.removeprefix("^$|")}", var.dead_letter_path))' in (DEPLOY / "terraform" / "variables.tf").read_text()


@pytest.mark.parametrize(("name", "taken"), [
    ("otel", True),
    ("prod_otel2", True),
    ("otel_aws", True),
    # In Glue's default catalog. For a table bucket deploy.sh refuses it.
    ("aws_otel", True),
    ("prod.otel", False),
    ("_otel", False),
])  # fmt: skip
def test_a_namespace_has_characters_that_s3_tables_takes(name, taken):
    pattern = yaml.load(TEMPLATE.read_text(), Tagless)["Parameters"]["Namespace"]["AllowedPattern"]
    assert bool(re.fullmatch(pattern, name)) == taken


def test_an_open_url_needs_a_token_from_the_secret(aws):
    secret = aws.client("secretsmanager").create_secret(Name="token", SecretString="the-token")["ARN"]
    outputs = aws.make_stack("opened", FunctionUrlAuth="NONE", AuthTokenSecretArn=secret)
    # moto does not resolve references; AWS does.
    reference = f"{{{{resolve:secretsmanager:{secret}:SecretString}}}}"
    assert variables(aws, "opened")["OTLP2ICEBERG_AUTH_TOKEN"] == reference
    assert "SenderPolicyArn" not in outputs
    policy = json.loads(aws.client("lambda").get_policy(FunctionName="opened")["Policy"])
    assert {one["Action"] for one in policy["Statement"]} == {"lambda:InvokeFunctionUrl", "lambda:InvokeFunction"}


def test_web_pages_may_send_where_their_origins_are_given(aws):
    aws.make_stack("pages", FunctionUrlAuth="NONE", CorsOrigins="https://a.example,https://b.example:8443")
    assert aws.client("lambda").get_function_url_config(FunctionName="pages")["Cors"] == {
        "AllowOrigins": ["https://a.example", "https://b.example:8443"],
        "AllowMethods": ["POST"],
        "AllowHeaders": ["authorization", "content-encoding", "content-type"],
        "MaxAge": 3600,
    }
    aws.make_stack("no-pages", FunctionUrlAuth="NONE")
    assert "Cors" not in aws.client("lambda").get_function_url_config(FunctionName="no-pages")


@pytest.mark.parametrize(("origins", "taken"), [
    ("", True),
    ("*", True),
    ("https://a.example", True),
    ("http://localhost:3000,https://a.example", True),
    ("a.example", False),
    ("https://a.example/", False),
    ("https://a.example, https://b.example", False),
    ("https://a.example,", False),
])  # fmt: skip
def test_origins_of_web_pages_have_a_scheme_and_no_path(origins, taken):
    pattern = yaml.load(TEMPLATE.read_text(), Tagless)["Parameters"]["CorsOrigins"]["AllowedPattern"]
    assert bool(re.fullmatch(pattern, origins)) == taken
    # Terraform has a list.
    [one] = re.findall(r'regex\("(.*)", origin\)', (DEPLOY / "terraform" / "variables.tf").read_text())
    one = one.replace("\\\\", "\\")
    assert all(re.fullmatch(one, origin) for origin in origins.split(",") if origin or not taken) == taken or not origins


@pytest.mark.parametrize(("kind", "suffix", "groups"), [
    ("standard", "", [None]),
    ("fifo", ".fifo", ["logs", "metrics", "other", "traces"]),
])  # fmt: skip
def test_objects_from_s3(aws, kind, suffix, groups):
    outputs = aws.make_stack(f"raw-{kind}", RawIngest=kind, MemorySize="1024")
    bucket = f"raw-{kind}-raw-{ACCOUNT}-{REGION}"
    assert outputs["RawBucketName"] == bucket
    # The bucket deletes its objects, so none of them may belong to a table.
    assert variables(aws, f"raw-{kind}")["OTLP2ICEBERG_REGISTER_PARQUET"] == "false"
    allowed = permissions(aws, outputs)
    assert set(allowed) == S3TABLES | RAW | LOGS
    assert allowed["s3:GetObject"] == {f"arn:aws:s3:::{bucket}/*"}
    sqs, events = aws.client("sqs"), aws.client("events")
    assert bucket in {one["Name"] for one in aws.client("s3").list_buckets()["Buckets"]}
    url = sqs.get_queue_url(QueueName=f"raw-{kind}-raw{suffix}")["QueueUrl"]
    queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    dead = json.loads(queue["RedrivePolicy"])
    assert dead["deadLetterTargetArn"] == f"arn:aws:sqs:{REGION}:{ACCOUNT}:raw-{kind}-raw-dead{suffix}"
    assert (int(dead["maxReceiveCount"]), queue["VisibilityTimeout"]) == (5, "360")
    statement = json.loads(queue["Policy"])["Statement"][0]
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    assert statement["Condition"] == {"ArnLike": {"aws:SourceArn": f"arn:aws:events:{REGION}:{ACCOUNT}:rule/raw-{kind}-raw*"}}

    rules = events.list_rules(NamePrefix=f"raw-{kind}-raw")["Rules"]
    targets = [target for rule in rules for target in events.list_targets_by_rule(Rule=rule["Name"])["Targets"]]
    assert sorted((one.get("SqsParameters") or {}).get("MessageGroupId") for one in targets) == groups if suffix else len(targets) == 1
    assert {one["Arn"] for one in targets} == {queue["QueueArn"]}
    assert all(json.loads(rule["EventPattern"])["detail"]["bucket"]["name"] == [bucket] for rule in rules)
    (mapping,) = aws.client("lambda").list_event_source_mappings(FunctionName=f"raw-{kind}")["EventSourceMappings"]
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["BatchSize"] == (10 if suffix else 100)
    assert alarms(aws, f"raw-{kind}") == ALARMS | OF_URL | {"raw-dead", "raw-age"}


def test_parquet_files_of_a_bucket_that_keeps_them_are_registered_on_request(aws):
    aws.client("s3").create_bucket(Bucket="kept-raw", CreateBucketConfiguration={"LocationConstraint": REGION})
    aws.make_stack("registering", RawIngest="standard", RawBucketName="kept-raw", CreateRawBucket="false", RegisterParquet="true")
    assert variables(aws, "registering")["OTLP2ICEBERG_REGISTER_PARQUET"] == "true"


def test_what_moto_leaves_out():
    template = yaml.load(TEMPLATE.read_text(), Tagless)
    resources, defaults = template["Resources"], {name: one.get("Default") for name, one in template["Parameters"].items()}
    assert resources["Function"]["Properties"]["Architectures"] == ["LambdaArchitecture"]
    assert defaults["LambdaArchitecture"] == "arm64"
    bucket = resources["RawBucket"]["Properties"]
    assert bucket["NotificationConfiguration"] == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["LifecycleConfiguration"]["Rules"][0]["ExpirationInDays"] == "RawRetentionDays"
    for name in ("TableBucket", "RawBucket"):
        assert (resources[name]["DeletionPolicy"], resources[name]["UpdateReplacePolicy"]) == ("Retain", "Retain")


@pytest.mark.parametrize(("key", "groups"), [
    ("otel/year=2025/month=01/logs_1.binpb.gz", {"logs"}),
    ("traces/2025/a.json", {"traces"}),
    ("x/metrics_5.json", {"metrics"}),
    ("telemetry.json", {"other"}),
    ("logs/of/traces.json", {"logs", "traces"}),
    # The S3 exporter's `file_prefix` may have no separator.
    ("year=2025/prodlogs_1.binpb.gz", {"logs"}),
])  # fmt: skip
def test_every_object_has_a_group(key, groups):
    """The patterns of the FIFO rules; the test itself matches EventBridge's wildcards."""
    patterns = {"logs": "*logs*", "traces": "*traces*", "metrics": "*metrics*"}
    text = TEMPLATE.read_text()
    for pattern in patterns.values():
        assert f'key: [{{wildcard: "{pattern}"}}]' in text
    listed = ", ".join(f'"{pattern}"' for pattern in patterns.values())
    assert f"key: [{{anything-but: {{wildcard: [{listed}]}}}}]" in text
    matched = {group for group, pattern in patterns.items() if fnmatch.fnmatchcase(key, pattern)}
    assert (matched or {"other"}) == groups


@pytest.mark.parametrize(("alarm", "metric", "periods"), [
    ("Failures", "Failures", (3, 2)),
    ("Refused", "RefusedRequests", (1, None)),
    ("Rejected", "RejectedRecords", (1, None)),
])  # fmt: skip
def test_alarms_on_metrics_of_the_program_count_every_signal(alarm, metric, periods):
    """Names and dimensions match the metrics that the program writes; with a wrong one the alarm would never fire."""
    properties = yaml.load(TEMPLATE.read_text(), Tagless)["Resources"][f"{alarm}Alarm"]["Properties"]
    total, *queries = properties["Metrics"]
    assert total["ReturnData"] == "true" or total["ReturnData"] is True
    assert total["Expression"] == " + ".join(f"FILL({one['Id']}, 0)" for one in queries)
    stats = [one["MetricStat"] for one in queries]
    assert {(one["Stat"], one["Metric"]["Namespace"], one["Metric"]["MetricName"]) for one in stats} == {("Sum", "otlp2iceberg", metric)}
    dimensions = [{pair["Name"]: pair["Value"] for pair in one["Metric"]["Dimensions"]} for one in stats]
    assert dimensions == [{"FunctionName": "Function", "Signal": signal} for signal in ("logs", "traces", "metrics")]
    assert (properties["EvaluationPeriods"], properties.get("DatapointsToAlarm")) == periods
    emf = (DEPLOY.parent / "src" / "emf.rs").read_text()
    assert f'("{metric}", json!' in emf and '[["FunctionName", "Signal"]]' in emf


def test_one_throttled_request_is_told():
    """Some senders drop what is answered with 429, so a burst of a minute loses data."""
    properties = yaml.load(TEMPLATE.read_text(), Tagless)["Resources"]["ThrottlesAlarm"]["Properties"]
    assert (properties["MetricName"], properties["Statistic"]) == ("Throttles", "Sum")
    assert (properties["Threshold"], properties["ComparisonOperator"]) == (1, "GreaterThanOrEqualToThreshold")
    assert properties.get("DatapointsToAlarm", properties["EvaluationPeriods"]) == 1


def test_the_program_s_metrics_are_those_of_alarms():
    """Each metric is billed for each signal, so the program declares no other."""
    metrics = set()
    for resource in yaml.load(TEMPLATE.read_text(), Tagless)["Resources"].values():
        for query in resource.get("Properties", {}).get("Metrics", []):
            metric = query.get("MetricStat", {}).get("Metric", {})
            if metric.get("Namespace") == "otlp2iceberg":
                metrics.add(metric["MetricName"])
    [declared] = re.findall(r"const METRICS: \[&str; \d+\] = \[(.*)\];", (DEPLOY.parent / "src" / "emf.rs").read_text())
    assert set(re.findall(r'"(\w+)"', declared)) == metrics


def test_the_program_knows_every_variable_that_the_template_and_the_module_set():
    """A function does not start with a variable that it does not know."""
    config = DEPLOY.parent / "src" / "config"
    keys = re.findall(r'^ *key\("([a-z0-9_.]+)", \w+\)', (config / "keys.rs").read_text(), re.MULTILINE)
    known = {f"OTLP2ICEBERG_{key.replace('.', '_').upper()}" for key in keys}
    known |= set(re.findall(r'^const \w+: &str = "(OTLP2ICEBERG_\w+)";$', (config / "mod.rs").read_text(), re.MULTILINE))
    function = yaml.load(TEMPLATE.read_text(), Tagless)["Resources"]["Function"]["Properties"]
    module = (DEPLOY / "terraform" / "main.tf").read_text()
    for of, given in (
        ("template", set(function["Environment"]["Variables"])),
        ("module", set(re.findall(r"\b(OTLP2ICEBERG_\w+) += ", module))),
    ):
        assert len(given) == 8, of
        assert given <= known, (of, given - known)
