"""Events with which AWS invokes a function, as its documentation shows them, and the answers to them."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from urllib.parse import quote_plus

from catalogs.s3 import REGION

SHAPES = ("function-url", "api-gateway-v2", "api-gateway-v1", "alb", "alb-multi-value")


@dataclass(frozen=True)
class Answer:
    """An HTTP answer, extracted from the function's result."""

    status: int
    headers: dict[str, str]
    body: bytes


def http(
    path: str,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    *,
    method: str = "POST",
    shape: str = SHAPES[0],
    stage: str = "prod",
) -> dict:
    """An HTTP request. A text body is sent unchanged, any other as base64. `stage` is the API Gateway's."""
    headers = {"Host": "x.lambda-url.eu-west-3.on.aws", **(headers or {})}
    text, is_base64 = _text(body, headers)
    payload = {"body": text, "isBase64Encoded": is_base64}
    if shape in ("function-url", "api-gateway-v2"):
        stage = "$default" if shape == "function-url" else stage
        raw_path = path if stage == "$default" else f"/{stage}{path}"
        return {
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": raw_path,
            "rawQueryString": "",
            "headers": {name.lower(): value for name, value in headers.items()},
            "requestContext": {
                "accountId": "anonymous",
                "http": {"method": method, "path": raw_path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"},
                "stage": stage,
                "timeEpoch": 1_700_000_000_000,
            },
            **payload,
        }
    common = {"httpMethod": method, "path": path, "queryStringParameters": None, **payload}
    several = {name: [value] for name, value in headers.items()}
    if shape == "api-gateway-v1":
        context = {
            "resourcePath": "/{proxy+}",
            "httpMethod": method,
            "stage": stage,
            "path": f"/{stage}{path}",
            # A caller whom nobody authenticated.
            "authorizer": {"claims": None, "scopes": None},
            "identity": {"sourceIp": "192.0.2.1", "userArn": None},
        }
        return {
            "resource": "/{proxy+}",
            "headers": headers,
            "multiValueHeaders": several,
            "requestContext": context,
            **common,
        }
    elb = {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:eu-west-3:111122223333:targetgroup/otlp/1"}}
    if shape == "alb":
        return {"headers": {name.lower(): value for name, value in headers.items()}, "requestContext": elb, **common}
    lower = {name.lower(): value for name, value in several.items()}
    return {"multiValueHeaders": lower, "requestContext": elb, **common}


def answer(returned: dict) -> Answer:
    """The answer that a client would get."""
    body = returned["body"]
    content = base64.b64decode(body) if returned["isBase64Encoded"] else body.encode()
    headers = returned.get("headers") or {name: value for name, [value] in returned["multiValueHeaders"].items()}
    return Answer(returned["statusCode"], headers, content)


def s3_record(bucket: str, key: str, etag: str, version: str | None = None, name: str = "ObjectCreated:Put") -> dict:
    """One record of an S3 event; keys are form-encoded."""
    object_ = {"key": quote_plus(key, safe="/"), "size": 1, "eTag": etag.strip('"'), "sequencer": "0A1B2C3D4E5F678901"}
    if version:
        object_["versionId"] = version
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": REGION,
        "eventTime": "2026-01-02T03:04:05.678Z",
        "eventName": name,
        "s3": {"s3SchemaVersion": "1.0", "bucket": {"name": bucket, "arn": f"arn:aws:s3:::{bucket}"}, "object": object_},
    }


def s3(*records: dict) -> dict:
    """An event directly from S3."""
    return {"Records": list(records)}


def sns(event: dict) -> dict:
    """An event in SNS's envelope, as a queue receives it."""
    return {"Type": "Notification", "TopicArn": "arn:aws:sns:eu-west-3:111122223333:raw", "Message": json.dumps(event)}


def event_bridge(bucket: str, key: str, etag: str) -> dict:
    """The event for the same object from EventBridge; keys are not encoded."""
    return {
        "version": "0",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "time": "2026-01-02T03:04:05Z",
        "detail": {"bucket": {"name": bucket}, "object": {"key": key, "etag": etag.strip('"'), "size": 1}},
    }


def sqs(*bodies: dict | str) -> dict:
    """A batch from a queue; its message ids are m0, m1, ..."""
    return {
        "Records": [
            {
                "messageId": f"m{number}",
                "receiptHandle": "handle",
                "body": body if isinstance(body, str) else json.dumps(body),
                "attributes": {"ApproximateReceiveCount": "1"},
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:eu-west-3:111122223333:raw",
            }
            for number, body in enumerate(bodies)
        ]
    }


def failed(returned: dict) -> list[str]:
    """The ids of the messages that the queue will redeliver."""
    return [failure["itemIdentifier"] for failure in returned["batchItemFailures"]]


def _text(body: bytes, headers: dict[str, str]) -> tuple[str, bool]:
    lower = {name.lower(): value for name, value in headers.items()}
    if "json" in lower.get("content-type", "") and "content-encoding" not in lower:
        return body.decode(), False
    return base64.b64encode(body).decode(), True
