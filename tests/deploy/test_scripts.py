"""Runs deploy.sh, test.sh and setup-glue-integration.sh against moto as a user would, each twice in a row."""

from __future__ import annotations

import base64
import hashlib
import http.server
import re
import shutil
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from pyiceberg.table import StaticTable

from lambda_host.emulator import Lambda
from o2i import compare, corpus, readers
from o2i.collector import REPOSITORY
from o2i.tables import NAMESPACE, TABLES, TIME_COLUMN, in_lower_case

from .aws import ACCESS_KEY_ID, ACCOUNT, OTHER_ACCOUNT, REGION, SECRET_ACCESS_KEY, Aws, FunctionUrl, make_zip

CODE_BUCKET = f"otlp2iceberg-code-{ACCOUNT}-{REGION}"
SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:token-a"
SIGNALS = ("logs", "traces", "metrics")
VERSION = re.search(r'^version = "(.*)"$', (REPOSITORY / "Cargo.toml").read_text(), re.MULTILINE)[1]


@pytest.fixture(scope="module")
def deployed(aws, code) -> list[str]:
    """The output of the first and the second run of deploy.sh in an account without the bucket for code."""
    s3 = aws.client("s3")
    if CODE_BUCKET in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]:
        for made in s3.list_objects_v2(Bucket=CODE_BUCKET).get("Contents", []):
            s3.delete_object(Bucket=CODE_BUCKET, Key=made["Key"])
        s3.delete_bucket(Bucket=CODE_BUCKET)
    return [aws.run("deploy.sh", "--zip", str(code)) for _ in range(2)]


def test_a_second_deployment_changes_nothing(aws, deployed, code):
    first, second = deployed
    key = f"otlp2iceberg-lambda-arm64-{hashlib.sha256(code.read_bytes()).hexdigest()[:16]}.zip"
    assert f"making bucket {CODE_BUCKET}" in first
    assert f"uploading s3://{CODE_BUCKET}/{key}" in first
    assert "Successfully created/updated stack - otlp2iceberg" in first
    assert f"s3://{CODE_BUCKET}/{key} is there already" in second
    assert "No changes to deploy" in second
    assert first.partition("==> deployed")[2] == second.partition("==> deployed")[2]
    function = aws.client("lambda").get_function(FunctionName="otlp2iceberg")
    assert function["Configuration"]["Runtime"] == "provided.al2023"
    assert function["Configuration"]["Handler"] == "bootstrap"
    assert base64.b64decode(function["Configuration"]["CodeSha256"]) == hashlib.sha256(code.read_bytes()).digest()


def test_what_it_prints_is_what_there_is(aws, deployed, function_url):
    outputs, parameters = aws.stack("otlp2iceberg")
    arn = f"arn:aws:s3tables:{REGION}:{ACCOUNT}:bucket/otlp2iceberg"
    assert outputs["FunctionUrl"] == f"{function_url.uri}/"
    assert outputs["LambdaFunctionArn"] == f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:otlp2iceberg"
    assert outputs["TableBucketName"] == "otlp2iceberg"
    assert outputs["TableBucketArn"] == arn
    assert outputs["IcebergRestEndpoint"] == f"https://s3tables.{REGION}.amazonaws.com/iceberg"
    for name, value in outputs.items():
        assert any(line.split() == [name, value] for line in deployed[1].splitlines()), name
    assert parameters["LambdaArchitecture"] == "arm64"
    assert aws.client("s3tables").get_table_bucket(tableBucketARN=arn)["name"] == "otlp2iceberg"


def test_each_signal_is_sent_signed_through_the_url(aws, deployed, function_url):
    for _ in range(2):
        function_url.seen.clear()
        printed = aws.run("test.sh", "--log-wait", "0")
        assert [request.path for request in function_url.answered(200)] == [f"/v1/{signal}" for signal in SIGNALS]
        assert [request.body for request in function_url.answered(200)] == [fixture(signal) for signal in SIGNALS]
        assert {request.headers["content-type"] for request in function_url.answered(200)} == {"application/x-protobuf"}
        for signal in SIGNALS:
            assert f"==> {signal}: accepted ({len(fixture(signal))} bytes)" in printed
    assert f"ATTACH 'arn:aws:s3tables:{REGION}:{ACCOUNT}:bucket/otlp2iceberg' AS tables" in printed
    assert 'FROM "s3tablescatalog/otlp2iceberg".otel.logs' in printed


def test_a_refused_request_is_shown_and_fails(aws, deployed, function_url):
    printed = aws.run("test.sh", "--log-wait", "0", fails=True, AWS_SESSION_TOKEN="of somebody else")
    assert "==> logs: not accepted, 403" in printed
    assert "The security token included in the request is invalid." in printed


def test_the_function_is_called_directly_too(aws, deployed):
    printed = aws.run("test.sh", "--direct", "--log-wait", "0", OTLP2ICEBERG_AUTH_TOKEN="the-token")
    assert printed.count("accepted (") == 3
    events = aws.invocations()[-3:]
    for signal, event in zip(SIGNALS, events, strict=True):
        assert event["version"] == "2.0"
        assert event["rawPath"] == event["requestContext"]["http"]["path"] == f"/v1/{signal}"
        assert event["requestContext"]["http"]["method"] == "POST"
        assert event["headers"] == {"content-type": "application/x-protobuf", "authorization": "Bearer the-token"}
        assert event["isBase64Encoded"] is True
        assert base64.b64decode(event["body"]) == fixture(signal)


def test_another_url_gets_the_bearer_token(aws):
    with FunctionUrl(signed=False, token="the-token") as url:
        aws.run("test.sh", "--url", f"{url.uri}/", OTLP2ICEBERG_AUTH_TOKEN="the-token")
        assert len(url.answered(200)) == 3
        assert "logs: not accepted, 401" in aws.run("test.sh", "--url", url.uri, fails=True, OTLP2ICEBERG_AUTH_TOKEN="other")


def test_the_glue_integration_is_made_once(aws, deployed):
    reader = f"arn:aws:iam::{ACCOUNT}:role/reader"
    first = aws.run("setup-glue-integration.sh", "--reader", reader)
    grants = granted_permissions(aws)
    second = aws.run("setup-glue-integration.sh")
    for line in ("making role S3TablesRoleForLakeFormation", "registering table buckets", "making catalog", "making namespace"):
        assert line in first
        assert line not in second
    assert granted_permissions(aws) == grants

    catalog = f"{ACCOUNT}:s3tablescatalog/otlp2iceberg"
    writer = aws.stack("otlp2iceberg")[0]["FunctionRoleArn"]
    assert {key: permissions for key, (permissions, _) in grants.items()} == {
        (writer, "Catalog"): ["CREATE_DATABASE", "DESCRIBE"],
        (writer, "Database"): ["ALTER", "CREATE_TABLE", "DESCRIBE"],
        (writer, "Table"): ["ALTER", "DELETE", "DESCRIBE", "INSERT", "SELECT"],
        (reader, "Catalog"): ["DESCRIBE"],
        (reader, "Database"): ["DESCRIBE"],
        (reader, "Table"): ["DESCRIBE", "SELECT"],
    }
    assert grants[writer, "Catalog"][1] == {"Id": catalog}
    assert grants[writer, "Database"][1] == {"CatalogId": catalog, "Name": "otel"}
    made = aws.client("glue").get_catalog(CatalogId="s3tablescatalog")["Catalog"]
    assert made["FederatedCatalog"] == {
        "Identifier": f"arn:aws:s3tables:{REGION}:{ACCOUNT}:bucket/*",
        "ConnectionName": "aws:s3tables",
    }


def granted_permissions(aws: Aws) -> dict[tuple[str, str], tuple[list[str], dict]]:
    """The grants in Lake Formation by principal and kind of resource: permissions, and the resource."""
    found = {}
    for one in aws.client("lakeformation").list_permissions()["PrincipalResourcePermissions"]:
        ((kind, resource),) = one["Resource"].items()
        found[one["Principal"]["DataLakePrincipalIdentifier"], kind] = (sorted(one["Permissions"]), resource)
    return found


def test_variables_reach_the_function_and_leave_it_again(aws, code):
    environment = partial(function_environment, aws, "variables")
    aws.run("deploy.sh", "--stack", "variables", "--bucket", "of-variables", "--zip", str(code),
            "--env", "OTLP2ICEBERG_TABLES_PARTITION_BY=hour", "--env", "OTLP2ICEBERG_TABLES_PROPERTIES={\"who's\": \"#1\"}",
            "--", "MemorySize=1024")  # fmt: skip
    assert environment() == {
        "OTLP2ICEBERG_CATALOG_TYPE": "s3tables",
        "OTLP2ICEBERG_CATALOG_WAREHOUSE": f"arn:aws:s3tables:{REGION}:{ACCOUNT}:bucket/of-variables",
        "OTLP2ICEBERG_CATALOG_NAMESPACE": "otel",
        "OTLP2ICEBERG_REGISTER_PARQUET": "false",
        "OTLP2ICEBERG_TABLES_COLUMN_CASE": "lower",
        "OTLP2ICEBERG_TABLES_PARTITION_BY": "hour",
        "OTLP2ICEBERG_TABLES_PROPERTIES": '{"who\'s": "#1"}',
    }
    # Parameters keep their values; variables are only those given now.
    aws.run("deploy.sh", "--stack", "variables", "--zip", str(code))
    assert "OTLP2ICEBERG_TABLES_PARTITION_BY" not in environment()
    assert aws.client("lambda").get_function_configuration(FunctionName="variables")["MemorySize"] == 1024
    assert aws.stack("variables")[1]["S3TablesBucketName"] == "of-variables"


def function_environment(aws: Aws, name: str) -> dict[str, str]:
    return aws.client("lambda").get_function_configuration(FunctionName=name)["Environment"]["Variables"]


def test_the_real_program_with_the_deployed_variables_stores_what_test_sh_sends(aws, code, function_url, tmp_path):
    """The program gets the template's variables unchanged, plus region, credentials and endpoints of moto."""
    begun = time.time_ns() // 1000
    native = ("OTLP2ICEBERG_CATALOG_S3TABLES_API=native", f"OTLP2ICEBERG_CATALOG_URI={aws.endpoint}")
    aws.run("deploy.sh", "--stack", "real", "--bucket", "real-tables", "--zip", str(code), "--env", native[0], "--env", native[1])
    variables = aws.client("lambda").get_function_configuration(FunctionName="real")["Environment"]["Variables"]
    assert variables["OTLP2ICEBERG_CATALOG_TYPE"] == "s3tables"
    of_the_runtime = {
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        "AWS_ENDPOINT_URL_S3": aws.endpoint,
    }
    with Lambda(tmp_path / "function", {**variables, **of_the_runtime}) as function, aws.served_by(function, function_url):
        printed = [aws.run("test.sh", "--stack", "real", "--log-wait", "0", *how) for how in ((), ("--direct",))]
    for once in printed:
        assert once.count(": accepted (") == len(SIGNALS), once
        assert all(f"    {table}\n" in once for table in TABLES), once
    # Each request was sent twice, through the URL and directly, and is stored once.
    s3tables = aws.client("s3tables")
    properties = {
        "s3.endpoint": aws.endpoint,
        "s3.region": REGION,
        "s3.path-style-access": "true",
        "s3.access-key-id": ACCESS_KEY_ID,
        "s3.secret-access-key": SECRET_ACCESS_KEY,
    }
    for table in TABLES:
        arn = aws.stack("real")[0]["TableBucketArn"]
        at = s3tables.get_table_metadata_location(tableBucketARN=arn, namespace=NAMESPACE, name=table)["metadataLocation"]
        found = readers.read_pyiceberg(StaticTable.from_metadata(at, properties))
        # Athena shows no tables of a table bucket that have capital letters.
        expected = [in_lower_case(table, row) for signal in SIGNALS for row in corpus.fixture(signal).rows.get(table, [])]
        span = (begun, time.time_ns() // 1000)
        assert compare.difference(expected, found, span, TIME_COLUMN[table].lower()) == "", table


def test_data_outlive_the_stack(aws, code):
    aws.run("deploy.sh", "--stack", "shortlived", "--bucket", "longlived", "--zip", str(code))
    arn = aws.stack("shortlived")[0]["TableBucketArn"]
    assert f"kept, with all data: {arn}" in aws.run("deploy.sh", "--stack", "shortlived", "--delete")
    assert "nothing to delete" in aws.run("deploy.sh", "--stack", "shortlived", "--delete")
    assert aws.client("s3tables").get_table_bucket(tableBucketARN=arn)["name"] == "longlived"
    aws.run("deploy.sh", "--stack", "shortlived", "--bucket", "longlived", "--zip", str(code))
    assert aws.stack("shortlived")[1]["CreateTableBucket"] == "false"


def test_a_stack_takes_another_bucket_that_exists_and_makes_one_that_does_not(aws, code):
    deploy = partial(aws.run, "deploy.sh", "--stack", "moving", "--zip", str(code))

    def parameters(of: str) -> tuple[str, str]:
        found = aws.stack("moving")[1]
        return found[{"Table": "S3TablesBucketName", "Raw": "RawBucketName"}[of]], found[f"Create{of}Bucket"]

    s3tables, s3 = aws.client("s3tables"), aws.client("s3")
    s3tables.create_table_bucket(name="moving-there")
    s3.create_bucket(Bucket="raw-there", CreateBucketConfiguration={"LocationConstraint": REGION})
    deploy("--bucket", "moving-own", "--", "RawIngest=standard")
    assert (parameters("Table"), parameters("Raw")) == (("moving-own", "true"), ("", "true"))
    # The stack keeps ownership of the buckets that it created.
    deploy()
    assert (parameters("Table"), parameters("Raw")) == (("moving-own", "true"), ("", "true"))
    deploy("--bucket", "moving-new", "--", "RawBucketName=raw-new")
    assert (parameters("Table"), parameters("Raw")) == (("moving-new", "true"), ("raw-new", "true"))
    deploy("--bucket", "moving-there", "--", "RawBucketName=raw-there")
    assert (parameters("Table"), parameters("Raw")) == (("moving-there", "false"), ("raw-there", "false"))
    assert {"moving-own", "moving-there", "moving-new"} <= {one["name"] for one in s3tables.list_table_buckets()["tableBuckets"]}


def test_an_empty_name_is_the_template_s_own_also_for_a_bucket_that_exists(aws, code):
    s3 = aws.client("s3")
    account = aws.client("sts").get_caller_identity()["Account"]
    s3.create_bucket(Bucket=f"unnamed-raw-{account}-{REGION}", CreateBucketConfiguration={"LocationConstraint": REGION})
    aws.run("deploy.sh", "--stack", "unnamed", "--zip", str(code), "--", "RawIngest=standard", "RawBucketName=")
    parameters = aws.stack("unnamed")[1]
    assert (parameters["RawBucketName"], parameters["CreateRawBucket"]) == ("", "false")


def test_who_says_whether_a_bucket_is_made_is_believed(aws, code):
    """An explicit parameter wins, for example for a bucket of another account that the deploying user cannot see."""
    aws.run("deploy.sh", "--stack", "believing", "--zip", str(code), "--bucket", "unseen", "--",
            "CreateTableBucket=false", "RawIngest=standard", "RawBucketName=unseen-raw", "CreateRawBucket=false")
    parameters = aws.stack("believing")[1]
    assert (parameters["CreateTableBucket"], parameters["CreateRawBucket"]) == ("false", "false")
    assert "unseen" not in {one["name"] for one in aws.client("s3tables").list_table_buckets()["tableBuckets"]}


@pytest.fixture
def foreign(aws):
    """Makes buckets of another account, which moto opens to everybody. They are gone after the test."""
    s3 = aws.client("s3", OTHER_ACCOUNT)
    made = []

    def make(bucket: str) -> None:
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        made.append(bucket)

    yield make
    for bucket in made:
        for listed in s3.list_objects_v2(Bucket=bucket).get("Contents", []):
            s3.delete_object(Bucket=bucket, Key=listed["Key"])
        s3.delete_bucket(Bucket=bucket)


def test_code_in_a_bucket_of_another_account_is_not_deployed(aws, code, foreign):
    """Whoever guesses the bucket's name could put a zip there under the key of ours."""
    foreign("of-another-account")
    key = f"otlp2iceberg-lambda-arm64-{hashlib.sha256(code.read_bytes()).hexdigest()[:16]}.zip"
    aws.client("s3", OTHER_ACCOUNT).put_object(Bucket="of-another-account", Key=key, Body=b"theirs")
    assert aws.client("s3").get_object(Bucket="of-another-account", Key=key)["Body"].read() == b"theirs"
    printed = aws.run("deploy.sh", "--stack", "trusting", "--zip", str(code), "--code-bucket", "of-another-account", fails=True)
    assert printed.strip() == (
        "deploy.sh: bucket of-another-account is another account's, or you lack s3:ListBucket on it: "
        "give --code-bucket, with a name that is free or a bucket of this account"
    )
    assert aws.client("s3", OTHER_ACCOUNT).get_object(Bucket="of-another-account", Key=key)["Body"].read() == b"theirs"


def test_a_raw_bucket_of_another_account_is_not_used(aws, code, foreign):
    foreign(f"squatted-raw-{ACCOUNT}-{REGION}")
    deploy = partial(aws.run, "deploy.sh", "--stack", "squatted", "--zip", str(code))
    printed = deploy("--", "RawIngest=standard", fails=True)
    assert f"bucket squatted-raw-{ACCOUNT}-{REGION} is another account's, or you lack s3:ListBucket on it" in printed
    assert "give RawBucketName=" in printed
    assert "nothing to delete" in aws.run("deploy.sh", "--stack", "squatted", "--delete")
    deploy("--", "RawIngest=standard", "RawBucketName=squatted-raw-ours")
    assert aws.stack("squatted")[1]["CreateRawBucket"] == "true"


def test_files_are_not_registered_in_a_bucket_that_deletes_them(aws, code, tmp_path):
    deploy = partial(aws.run, "deploy.sh", "--stack", "registered", "--zip", str(code))
    lake = ("CatalogType=glue", "WarehouseBucketName=lake")
    register = ("--", *lake, "RawIngest=standard", "RegisterParquet=true")
    refused = "bucket {} has a life-cycle rule that deletes or archives objects ({}): RegisterParquet=true needs a bucket without one".format
    made = f"registered-raw-{ACCOUNT}-{REGION}"
    deploy("--", *lake, "RawIngest=standard")
    # The bucket keeps its rule when the stack hands it over, and when the stack is gone.
    assert refused(made, "expire") in deploy(*register, "CreateRawBucket=false", fails=True)
    aws.run("deploy.sh", "--stack", "registered", "--delete")
    assert refused(made, "expire") in deploy(*register, fails=True)

    s3 = aws.client("s3")
    s3.create_bucket(Bucket="of-yours", CreateBucketConfiguration={"LocationConstraint": REGION})
    yours = (*register, "RawBucketName=of-yours", "CreateRawBucket=false")

    def set_rules(*rules: dict) -> None:
        every = [{"ID": f"rule-{number}", "Filter": {"Prefix": ""}, **rule} for number, rule in enumerate(rules)]
        s3.put_bucket_lifecycle_configuration(Bucket="of-yours", LifecycleConfiguration={"Rules": every})

    by_days, by_date = {"Days": 1}, {"Date": "2027-01-01T00:00:00Z"}
    set_rules(
        {"Status": "Enabled", "Expiration": by_days},
        {"Status": "Disabled", "Expiration": by_days},
        {"Status": "Enabled", "Expiration": by_date},
    )
    assert refused("of-yours", "rule-0, rule-2") in deploy(*yours, fails=True)
    set_rules(
        {"Status": "Disabled", "Expiration": by_days},
        {"Status": "Enabled", "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}},
        {"Status": "Enabled", "NoncurrentVersionExpiration": {"NoncurrentDays": 1}},
        {"Status": "Enabled", "Expiration": {"ExpiredObjectDeleteMarker": True}},
    )
    assert "warning" not in deploy(*yours)
    for storage in ("GLACIER", "DEEP_ARCHIVE"):
        set_rules({"Status": "Enabled", "Transitions": [{"Days": 30, "StorageClass": storage}]})
        assert refused("of-yours", "rule-0") in deploy(*yours, fails=True), storage
    # These classes can be read at once.
    at_once = [{"Days": 30, "StorageClass": "STANDARD_IA"}, {"Days": 90, "StorageClass": "GLACIER_IR"}]
    set_rules({"Status": "Enabled", "Transitions": at_once})
    assert "warning" not in deploy(*yours)
    assert aws.stack("registered")[1]["RegisterParquet"] == "true"
    # The stack's values count when none are given now.
    set_rules({"Status": "Enabled", "Expiration": by_days})
    assert refused("of-yours", "rule-0") in deploy(fails=True)
    s3.delete_bucket_lifecycle(Bucket="of-yours")
    assert "warning" not in deploy()
    # Whoever may not read the rules is told so, and may deploy.
    printed = deploy(PATH=aws.path_denying(tmp_path, "get-bucket-lifecycle-configuration"))
    assert "==> warning: the life-cycle rules of bucket of-yours cannot be read (An error occurred (AccessDenied))" in printed


def test_a_rule_for_some_objects_of_the_bucket_is_warned_of(aws, code, tmp_path):
    """OTLP below one prefix, which expires, and registered files below another."""
    deploy = partial(aws.run, "deploy.sh", "--stack", "partial", "--zip", str(code), "--", "CatalogType=glue",
                     "WarehouseBucketName=lake", "RawIngest=standard", "RegisterParquet=true", "RawBucketName=shared",
                     "CreateRawBucket=false")  # fmt: skip
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="shared", CreateBucketConfiguration={"LocationConstraint": REGION})

    def rules(*filters: dict) -> list[dict]:
        rule = {"Status": "Enabled", "Expiration": {"Days": 14}}
        return [{"ID": f"rule-{number}", **rule, **given} for number, given in enumerate(filters)]

    prefix, tag = {"Filter": {"Prefix": "otlp/"}}, {"Key": "kind", "Value": "otlp"}
    some = [prefix, {"Prefix": "old/"}, {"Filter": {"Tag": tag}}, {"Filter": {"And": {"Prefix": "", "Tags": [tag]}}}]
    archived = {**prefix, "Expiration": {"ExpiredObjectDeleteMarker": True}, "Transitions": [{"Days": 1, "StorageClass": "GLACIER"}]}
    warned = "==> warning: bucket shared has a life-cycle rule that deletes or archives some objects ({}): make sure".format
    for given in ([prefix], [*some, archived]):
        s3.put_bucket_lifecycle_configuration(Bucket="shared", LifecycleConfiguration={"Rules": rules(*given)})
        assert warned(", ".join(f"rule-{number}" for number in range(len(given)))) in deploy()
    assert aws.stack("partial")[1]["RegisterParquet"] == "true"
    # A rule for all objects beside them is refused.
    s3.put_bucket_lifecycle_configuration(Bucket="shared", LifecycleConfiguration={"Rules": rules(*some, {"Filter": {"Prefix": ""}})})
    assert "rule that deletes or archives objects (rule-4): RegisterParquet=true" in deploy(fails=True)
    # moto loses filters by size.
    by_size = rules({"Filter": {"ObjectSizeGreaterThan": 500}}, {"Filter": {"ObjectSizeLessThan": 500}})
    real, sized = Path(sys.executable).parent / "aws", tmp_path / "aws"
    sized.write_text(f"""#!{sys.executable}
import jmespath, os, sys
if "get-bucket-lifecycle-configuration" not in sys.argv:
    os.execv("{real}", ["{real}", *sys.argv[1:]])
print(*jmespath.search(sys.argv[sys.argv.index("--query") + 1], {{"Rules": {by_size}}}), sep="\\t")
""")
    sized.chmod(0o755)
    assert warned("rule-0, rule-1") in deploy(PATH=f"{tmp_path}:{aws.environment()['PATH']}")


def test_a_namespace_that_begins_with_aws_is_for_glue_s_default_catalog(aws, code):
    deploy = partial(aws.run, "deploy.sh", "--stack", "named-aws", "--zip", str(code), "--")
    deploy("CatalogType=glue", "WarehouseBucketName=lake", "Namespace=aws_otel")
    assert function_environment(aws, "named-aws")["OTLP2ICEBERG_CATALOG_NAMESPACE"] == "aws_otel"
    deploy("MemorySize=1024")
    assert aws.stack("named-aws")[1]["Namespace"] == "aws_otel"
    # The stack's value counts when none is given now.
    printed = deploy("WarehouseBucketName=", fails=True)
    assert printed.startswith("deploy.sh: Namespace=aws_otel: S3 Tables keeps names that begin with aws to itself")
    assert aws.stack("named-aws")[1]["WarehouseBucketName"] == "lake"
    deploy("WarehouseBucketName=", "Namespace=otel_aws")


def test_redeliveries_are_within_the_window(aws, code):
    """Five deliveries of a message, RawVisibilityTimeout apart, must be within commit.dedup_window (30m by default)."""
    deploy = partial(aws.run, "deploy.sh", "--stack", "windowed", "--zip", str(code))
    window = partial("OTLP2ICEBERG_COMMIT_DEDUP_WINDOW={}".format)
    raw = ("--", "RawIngest=standard")
    for given, time, needed in (((), "361", 1805), (("--env", window("49m59s")), "600", 3000)):
        printed = deploy(*given, *raw, f"RawVisibilityTimeout={time}", fails=True)
        assert f"add --env {window(f'{needed}s')} or more, or lower RawVisibilityTimeout" in printed
        assert len(printed.strip().splitlines()) == 1
    deploy("--", "RawVisibilityTimeout=1800")
    # The stack's value counts when none is given now.
    assert "RawVisibilityTimeout=1800 with commit.dedup_window 30m" in deploy(*raw, fails=True)
    deploy("--env", window("50m0s"), *raw, "RawVisibilityTimeout=600")
    assert "RawVisibilityTimeout=600 with commit.dedup_window 30m" in deploy(fails=True)


def test_a_zip_does_not_become_an_image_nor_an_image_a_zip(aws, deployed, code):
    before = aws.stack("otlp2iceberg")
    assert "package type Zip, which cannot become Image: deploy.sh --delete" in aws.run("deploy.sh", "--image", "uri", fails=True)
    assert aws.stack("otlp2iceberg") == before
    aws.make_stack("imaged", LambdaCodeBucket="", LambdaCodeKey="", ImageUri="uri")
    printed = aws.run("deploy.sh", "--stack", "imaged", "--zip", str(code), fails=True)
    assert "package type Image, which cannot become Zip: deploy.sh --delete --stack imaged first" in printed


def test_a_cli_without_s3_tables_is_told_before_anything_is_made(aws, code, tmp_path):
    """The script simulates an AWS CLI older than December 2024. Without a table bucket that CLI is sufficient."""
    real = Path(sys.executable).parent / "aws"
    old = tmp_path / "aws"
    old.write_text(f"""#!/bin/sh
case "$1" in
  s3tables) echo "aws: error: argument command: Invalid choice, valid choices are:" >&2; exit 2 ;;
  --version) echo "aws-cli/2.9.19 Python/3.11.2" ;;
  *) exec {real} "$@" ;;
esac
""")
    old.chmod(0o755)
    path = f"{tmp_path}:{aws.environment()['PATH']}"
    printed = aws.run("deploy.sh", "--stack", "old-cli", "--zip", str(code), fails=True, PATH=path)
    assert printed.strip().splitlines()[-1].startswith("deploy.sh: this AWS CLI has no aws s3tables (aws-cli/2.9.19)")
    assert len(printed.strip().splitlines()) == 1
    aws.run("deploy.sh", "--stack", "old-cli", "--zip", str(code), "--", "CatalogType=glue", "WarehouseBucketName=lake", PATH=path)
    assert "old-cli" in aws.stack("old-cli")[0]["LambdaFunctionArn"]


def test_a_release_is_checked_before_it_is_used(aws, tmp_path):
    name = "otlp2iceberg-lambda-x86_64.zip"
    release = tmp_path / "v9.9.9"
    release.mkdir()
    content = make_zip(release / name, "bootstrap").read_bytes()
    (release / f"{name}.sha256").write_text(f"{'0' * 64}  {name}\n")
    handler = partial(QuietHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        deploy = partial(aws.run, "deploy.sh", "--stack", "released", "--bucket", "of-releases", "--arch", "x86_64", "--release",
                         OTLP2ICEBERG_RELEASES_URL=f"http://127.0.0.1:{server.server_port}")  # fmt: skip
        assert "does not have the checksum" in deploy("v9.9.9", fails=True)
        assert "check --release v9.9.8" in deploy("v9.9.8", fails=True)
        (release / f"{name}.sha256").write_text(f"{hashlib.sha256(content).hexdigest()}  {name}\n")
        printed = deploy("v9.9.9")
        # A newer template may set a variable with which the function would not start.
        warned = "==> warning: --release {} with the template of version {}: use the one of the same version (git checkout {};".format
        assert warned("v9.9.9", VERSION, "v9.9.9") in printed
        shutil.copytree(release, tmp_path / f"v{VERSION}")
        assert "warning" not in deploy(f"v{VERSION}")
        server.shutdown()
    function = aws.client("lambda").get_function(FunctionName="released")["Configuration"]
    assert base64.b64decode(function["CodeSha256"]) == hashlib.sha256(content).digest()
    assert aws.stack("released")[1]["LambdaArchitecture"] == "x86_64"


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_) -> None:
        pass


@pytest.mark.parametrize(
    ("script", "arguments", "said"),
    [
        ("deploy.sh", ["--nonsense"], "unknown argument: --nonsense (--help lists them"),
        ("deploy.sh", ["--stack"], "--stack needs a value"),
        ("deploy.sh", ["--stack", "Upper"], "--stack Upper: lower-case letters"),
        ("deploy.sh", ["--arch", "sparc"], "--arch sparc: arm64 or x86_64 is wanted"),
        ("deploy.sh", ["--zip", "a", "--release", "b"], "give one of --zip, --release and --image"),
        ("deploy.sh", ["--zip", "/nowhere.zip"], "--zip /nowhere.zip: no such file"),
        ("deploy.sh", ["--zip", "/etc/hostname"], "/etc/hostname: not a zip with the program bootstrap at its top"),
        ("deploy.sh", ["--", "nonsense"], "not a parameter: nonsense (Name=Value is wanted)"),
        ("deploy.sh", ["--env", "PATH=/tmp"], "--env PATH: OTLP2ICEBERG_<KEY>=<value> is wanted"),
        ("deploy.sh", ["--env", "OTLP2ICEBERG_CATALOG_TYPE=glue"], "the template sets it; use the parameters"),
        ("deploy.sh", ["--env", "OTLP2ICEBERG_DEAD_LETTER_PATH=s3://kept"], "use the parameters CatalogType, S3TablesBucketName, WarehouseBucketName, "
         "Namespace, TableColumnCase, AuthTokenSecretArn, DeadLetterPath, RegisterParquet"),
        ("deploy.sh", ["--env", "OTLP2ICEBERG_TABLES_COLUMN_CASE=lower"], "the template sets it; use the parameters"),
        ("deploy.sh", ["--env", "OTLP2ICEBERG_REGISTER_PARQUET=true"], "the template sets it; use the parameters"),
        ("deploy.sh", ["--env", "OTLP2PARQUET_ICEBERG_BUCKET_ARN=arn"], "the template sets it; use the parameters"),
        ("deploy.sh", ["--env", "OTLP2PARQUET_ICEBERG_WAREHOUSE=w"], "the template sets it; use the parameters"),
        ("deploy.sh", ["--env", "OTLP2PARQUET_ICEBERG_NAMESPACE=n"], "the template sets it; use the parameters"),
        ("deploy.sh", ["--env", "OTLP2PARQUET_ICEBERG_ENABLED=false"], "cannot be deployed without one by this script"),
        ("deploy.sh", ["--env", "ICEBERG_ENABLED=false"], "cannot be deployed without one by this script"),
        ("deploy.sh", ["--stack", "absent", "--", "Namespace=aws"], "Namespace=aws: S3 Tables keeps names that begin with aws to itself"),
        ("deploy.sh", ["--stack", "absent", "--image", "i", "--", f"AuthTokenSecretArn={SECRET}"], "signed requests have no room"),
        ("test.sh", ["--stack", "absent"], f"stack absent does not exist in {REGION}: deploy.sh makes it"),
        ("test.sh", ["--log-wait", "long"], "--log-wait long: a number of seconds is wanted"),
        ("setup-glue-integration.sh", ["--stack", "absent"], f"stack absent does not exist in {REGION}"),
        ("setup-glue-integration.sh", ["--reader", "me"], "--reader me: the ARN of a role or user is wanted"),
    ],
)
def test_a_mistake_gives_one_clear_line(aws, script, arguments, said):
    printed = aws.run(script, *arguments, fails=True)
    assert said in printed
    assert len(printed.strip().splitlines()) == 1, printed


@pytest.mark.parametrize("script", ["deploy.sh", "test.sh", "setup-glue-integration.sh"])
def test_help_tells_of_every_option(aws, script):
    printed = aws.run(script, "--help")
    text = (REPOSITORY / "lambda" / "deploy" / script).read_text()
    options = re.findall(r"^ +(--[a-z-]+)(?: \| -h)?\)", text, re.MULTILINE)
    assert "--help" in options
    for option in options:
        assert option in printed


def fixture(signal: str) -> bytes:
    return (REPOSITORY / "testdata" / f"{signal}.binpb").read_bytes()
