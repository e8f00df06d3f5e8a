"""Parameter combinations that the template's rules refuse. moto ignores rules, so this test evaluates them."""

from __future__ import annotations

import pytest
import yaml

from .aws import TEMPLATE


class Functions(yaml.SafeLoader):
    """Loads CloudFormation YAML; `!Equals [a, b]` becomes `("Equals", [a, b])`."""


def keep(loader, name: str, node):
    kinds = {yaml.ScalarNode: loader.construct_scalar, yaml.SequenceNode: lambda one: loader.construct_sequence(one, deep=True)}
    construct = kinds.get(type(node), lambda one: loader.construct_mapping(one, deep=True))
    return name, construct(node)


Functions.add_multi_constructor("!", keep)
LOADED = yaml.load(TEMPLATE.read_text(), Functions)
CODE = {"LambdaCodeBucket": "code", "LambdaCodeKey": "code.zip"}


def value(expression, parameters: dict[str, str]):
    """The value of a rule's expression."""
    if not isinstance(expression, tuple):
        return expression
    name, argument = expression
    if name == "Ref":
        return parameters[argument]
    arguments = [value(one, parameters) for one in argument]
    return {
        "Equals": lambda: str(arguments[0]) == str(arguments[1]),
        "Not": lambda: not arguments[0],
        "And": lambda: all(arguments),
        "Or": lambda: any(arguments),
    }[name]()


def refusals(**given: str) -> list[str]:
    """The messages with which CloudFormation would refuse these parameters."""
    parameters = {name: str(one["Default"]) for name, one in LOADED["Parameters"].items()} | CODE | given
    said = []
    for rule in LOADED["Rules"].values():
        if value(rule.get("RuleCondition", True), parameters):
            said += [one["AssertDescription"] for one in rule["Assertions"] if not value(one["Assert"], parameters)]
    return said


SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:token-a"
LAKE = {"CatalogType": "glue", "WarehouseBucketName": "lake"}


@pytest.mark.parametrize(
    "given",
    [
        {},
        LAKE,
        {**LAKE, "RawIngest": "standard"},
        {**LAKE, "RawIngest": "fifo", "RawBucketName": "raw"},
        {**LAKE, "RawIngest": "standard", "RawBucketName": "raw", "CreateRawBucket": "false", "RegisterParquet": "true"},
        {"RegisterParquet": "true"},
        # Without RawIngest the bucket's name has no effect.
        {**LAKE, "RawBucketName": "lake"},
        {"LambdaCodeBucket": "", "LambdaCodeKey": "", "ImageUri": "image"},
        {"FunctionUrlAuth": "NONE", "AuthTokenSecretArn": SECRET},
        {"FunctionUrlAuth": "NONE", "AuthTokenSecretArn": SECRET, "CorsOrigins": "https://a.example"},
        # For an API Gateway or a load balancer in front.
        {"FunctionUrlAuth": "DISABLED", "AuthTokenSecretArn": SECRET},
        # Without a queue a low limit loses nothing: senders get 429.
        {"ReservedConcurrency": "0"},
        {"RawIngest": "standard", "ReservedConcurrency": "2"},
        {"RawIngest": "standard", "ReservedConcurrency": "10"},
        {"RawIngest": "fifo", "ReservedConcurrency": "4"},
        {"RawIngest": "fifo", "ReservedConcurrency": "-1"},
    ],
)
def test_what_fits_together_is_taken(given):
    assert refusals(**given) == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"LambdaCodeKey": ""}, "LambdaCodeBucket and LambdaCodeKey are needed"),
        ({"WarehouseBucketName": "lake"}, "WarehouseBucketName needs CatalogType glue"),
        ({**LAKE, "RawIngest": "standard", "RawBucketName": "lake"}, "RawBucketName must not be WarehouseBucketName"),
        ({**LAKE, "RawIngest": "fifo", "RawBucketName": "lake"}, "RawBucketName must not be WarehouseBucketName"),
        ({"RawIngest": "standard", "RegisterParquet": "true"}, "RegisterParquet needs a raw bucket of yours"),
        ({**LAKE, "RawIngest": "fifo", "RegisterParquet": "true"}, "RegisterParquet needs a raw bucket of yours"),
        ({"AuthTokenSecretArn": SECRET}, "AuthTokenSecretArn needs FunctionUrlAuth NONE"),
        ({"CorsOrigins": "*"}, "CorsOrigins needs FunctionUrlAuth NONE"),
        ({"FunctionUrlAuth": "DISABLED", "CorsOrigins": "https://a.example"}, "CorsOrigins needs FunctionUrlAuth NONE"),
        *(({"RawIngest": "standard", "ReservedConcurrency": few}, "ReservedConcurrency must be at least 2") for few in "01"),
        *(({"RawIngest": "fifo", "ReservedConcurrency": few}, "ReservedConcurrency must be at least 4") for few in "0123"),
    ],
)
def test_what_does_not_is_refused_with_its_reason(given, said):
    [message] = refusals(**given)
    assert message.startswith(said)
