"""moto's server with additions that the deployment needs; `python -m deploy --port 0 --calls FILE`.

Additions:
- CloudFormation resource types that moto lacks, backed by moto's models where they exist, else by a plain record
- Glue's federated catalogs
- the template and outputs that a change set leaves in its stack
- the life-cycle rules of a template's bucket
- S3's check of a bucket's expected owner
- a function behind `lambda invoke`: it answers as an OTLP endpoint, or forwards to the real program if the tests say
  where that runs, and writes each event to FILE, one JSON object per line

None of it is AWS: it shows that the scripts and the template are consistent.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import sys
import urllib.request
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

# moto's CloudFormation imports its API Gateway, which imports this module for features that are not used here.
validator = MagicMock(OpenAPIValidationError=Exception)
for name in ("", ".validation", ".validation.exceptions"):
    sys.modules.setdefault(f"openapi_spec_validator{name}", validator)

import moto.server
from moto.awslambda.utils import get_backend
from moto.awslambda_simple.models import LambdaSimpleBackend
from moto.cloudformation import parsing
from moto.cloudformation.models import ChangeSet, Stack
from moto.cloudformation.responses import CloudFormationResponse
from moto.cloudwatch.models import cloudwatch_backends
from moto.core.common_models import CloudFormationModel
from moto.core.config import default_user_config
from moto.core.exceptions import JsonRESTError
from moto.core.responses import ActionResult
from moto.glue.responses import GlueResponse
from moto.logs.models import LogGroup, logs_backends
from moto.s3.models import FakeBucket, s3_backends
from moto.s3.responses import S3Response
from moto.s3tables.models import s3tables_backends
from moto.sqs.models import sqs_backends


class Resource(CloudFormationModel):
    """A CloudFormation resource with an id and attributes. No moto model backs it unless `make` creates one."""

    type_name = ""
    attributes: tuple[str, ...] = ()

    def __init__(self, physical_id: str, **attributes: str):
        self.physical_resource_id = physical_id
        self.values = attributes

    @staticmethod
    def cloudformation_name_type() -> str:
        return ""

    @classmethod
    def cloudformation_type(cls) -> str:
        return cls.type_name

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:
        return attr in cls.attributes

    def get_cfn_attribute(self, attribute_name: str) -> str:
        return self.values[attribute_name]

    @classmethod
    def create_from_cloudformation_json(cls, resource_name, cloudformation_json, account_id, region_name, **_: Any):
        return cls.make(resource_name, cloudformation_json["Properties"], account_id, region_name)

    @classmethod
    def update_from_cloudformation_json(
        cls, original_resource, new_resource_name, cloudformation_json, account_id, region_name
    ):
        original_resource.change(cloudformation_json["Properties"], account_id, region_name)
        return original_resource

    @classmethod
    def delete_from_cloudformation_json(cls, resource_name, cloudformation_json, account_id, region_name) -> None:
        """Does nothing: no model backs the resource."""

    @classmethod
    def make(cls, name: str, properties: dict, account: str, region: str) -> Resource:
        raise NotImplementedError

    def change(self, properties: dict, account: str, region: str) -> None:
        """Applies new properties."""

    def delete(self, account: str, region: str) -> None:
        """Deletes it."""


class TableBucket(Resource):
    type_name = "AWS::S3Tables::TableBucket"
    attributes = ("TableBucketARN",)

    @classmethod
    def make(cls, name, properties, account, region):
        bucket = s3tables_backends[account][region].create_table_bucket(properties["TableBucketName"])
        return cls(bucket.arn, TableBucketARN=bucket.arn)

    def change(self, properties, account, region):
        # A new name means a new bucket; the old one is retained.
        if not self.physical_resource_id.endswith(f":bucket/{properties['TableBucketName']}"):
            made = self.make("", properties, account, region)
            self.physical_resource_id, self.values = made.physical_resource_id, made.values


class FunctionUrl(Resource):
    type_name = "AWS::Lambda::Url"
    attributes = ("FunctionUrl", "FunctionArn")

    @classmethod
    def make(cls, name, properties, account, region):
        arn = properties["TargetFunctionArn"]
        config = {name: properties[name] for name in ("AuthType", "Cors") if name in properties}
        get_backend(account, region).create_function_url_config(arn, config)
        # Where the stand-in for the function listens; AWS gives https://<id>.lambda-url.<region>.on.aws/.
        return cls(arn, FunctionUrl=os.environ.get("FUNCTION_URL", f"https://made-up.lambda-url.{region}.on.aws/"), FunctionArn=arn)


class Alarm(Resource):
    type_name = "AWS::CloudWatch::Alarm"
    attributes = ("Arn",)

    @classmethod
    def make(cls, name, properties, account, region):
        made = cls(properties["AlarmName"])
        made.change(properties, account, region)
        return made

    def change(self, properties, account, region):
        queries = [{"Id": one["Id"], "Expression": one.get("Expression")} for one in properties.get("Metrics", [])]
        cloudwatch_backends[account][region].put_metric_alarm(
            name=properties["AlarmName"],
            namespace=properties.get("Namespace", ""),
            metric_name=properties.get("MetricName", ""),
            comparison_operator=properties["ComparisonOperator"],
            evaluation_periods=properties["EvaluationPeriods"],
            period=properties.get("Period", 0),
            threshold=float(properties["Threshold"]),
            statistic=properties.get("Statistic", ""),
            description=json.dumps({"text": properties["AlarmDescription"], "metrics": queries}),
            dimensions=properties.get("Dimensions", []),
            alarm_actions=properties.get("AlarmActions", []),
            treat_missing_data=properties.get("TreatMissingData"),
        )

    def delete(self, account, region):
        cloudwatch_backends[account][region].delete_alarms([self.physical_resource_id])


class QueuePolicy(Resource):
    type_name = "AWS::SQS::QueuePolicy"

    @classmethod
    def make(cls, name, properties, account, region):
        made = cls(name)
        made.change(properties, account, region)
        return made

    def change(self, properties, account, region):
        for url in properties["Queues"]:
            policy = {"Policy": json.dumps(properties["PolicyDocument"])}
            sqs_backends[account][region].set_queue_attributes(url.rsplit("/", 1)[1], policy)


def add_resources() -> None:
    """Adds these resource types to moto's CloudFormation."""
    known = [*CloudFormationModel.__subclasses__(), *Resource.__subclasses__()]
    known.remove(Resource)
    parsing.get_model_list = lambda: known


def mend_updates() -> None:
    """Makes updates behave as on AWS: a change set without changes fails, an executed change set updates the template
    and outputs of its stack, and an update skips a resource whose condition is false."""
    CloudFormationResponse._validate_different_update = lambda *_: None
    Stack.has_parameters = lambda self, parameters: parameters.items() <= self.stack_parameters.items()

    apply_resources = ChangeSet.apply

    def apply(self: ChangeSet) -> None:
        apply_resources(self)
        self.stack.template = self.template
        self.stack._parse_template()
        self.stack.output_map = self.stack._create_output_map()

    ChangeSet.apply = apply

    update_resource = parsing.parse_and_update_resource

    def update(logical_id, resource_json, resources_map, account_id, region_name):
        condition = resource_json.get("Condition")
        if condition and not resources_map.lazy_condition_map[condition]:
            return None
        return update_resource(logical_id, resource_json, resources_map, account_id, region_name)

    parsing.parse_and_update_resource = update
    # Otherwise the log group outlives its stack, and the next stack cannot create it.
    LogGroup.delete = lambda self, account, region: logs_backends[account][region].delete_log_group(self.name)


def add_catalogs() -> None:
    """Glue's GetCatalog and CreateCatalog."""
    catalogs: dict[str, dict] = {}

    def create_catalog(self: GlueResponse) -> ActionResult:
        name = self.parameters["Name"]
        if name in catalogs:
            raise JsonRESTError("AlreadyExistsException", f"Catalog {name} already exists")
        catalogs[name] = {"Name": name, **self.parameters["CatalogInput"]}
        return ActionResult({})

    def get_catalog(self: GlueResponse) -> ActionResult:
        name = self.parameters["CatalogId"]
        if name not in catalogs:
            raise JsonRESTError("EntityNotFoundException", f"Catalog {name} not found")
        return ActionResult({"Catalog": catalogs[name]})

    GlueResponse.create_catalog = create_catalog
    GlueResponse.get_catalog = get_catalog


def add_lifecycle_rules() -> None:
    """Gives a bucket the life-cycle rules that its template has."""
    create_bucket = FakeBucket.create_from_cloudformation_json

    def create(name, template, *rest, **named):
        bucket = create_bucket(name, template, *rest, **named)
        rules = template.get("Properties", {}).get("LifecycleConfiguration", {}).get("Rules", [])
        bucket.set_lifecycle(
            [{"ID": rule["Id"], "Status": rule["Status"], "Prefix": "", "Expiration": {"Days": rule["ExpirationInDays"]}} for rule in rules]
        )
        return bucket

    FakeBucket.create_from_cloudformation_json = create


def add_expected_owners() -> None:
    """S3 refuses a request that expects another owner of the bucket. moto opens each bucket to all accounts."""

    def checked(respond):
        def answer(self: S3Response, request, full_url):
            expected = request.headers.get("x-amz-expected-bucket-owner")
            _, owner = s3_backends.bucket_accounts.get(self.bucket_name, (None, expected))
            return (403, {}, "") if expected and owner != expected else respond(self, request, full_url)

        return answer

    S3Response._bucket_response = checked(S3Response._bucket_response)
    S3Response._key_response = checked(S3Response._key_response)


def add_function(calls: Path) -> None:
    """Makes `lambda invoke` call the program at the URL in the file `function-url` beside `calls`. Without that file it
    answers 200 to POST /v1/<signal>, 404 to others."""
    served_by = calls.with_name("function-url")
    default_user_config["lambda"]["use_docker"] = False

    def invoke(self, function_name, qualifier, body, headers, response_headers):
        event = json.loads(body)
        with calls.open("a") as file:
            file.write(json.dumps({"function": function_name, "event": event}) + "\n")
        if served_by.exists():
            with urllib.request.urlopen(urllib.request.Request(served_by.read_text(), data=json.dumps(event).encode())) as answer:
                return answer.read()
        known = event["requestContext"]["http"] == {**event["requestContext"]["http"], "method": "POST"}
        known = known and event["rawPath"] in ("/v1/logs", "/v1/traces", "/v1/metrics")
        base64.b64decode(event["body"], validate=True)
        return json.dumps({"statusCode": 200 if known else 404, "body": "", "isBase64Encoded": False}).encode()

    LambdaSimpleBackend.invoke = invoke


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--calls", type=Path, required=True)
    known, rest = arguments.parse_known_args()
    add_resources()
    mend_updates()
    add_catalogs()
    add_lifecycle_rules()
    add_expected_owners()
    add_function(known.calls)
    moto.server.main(["-H", "127.0.0.1", *rest])
