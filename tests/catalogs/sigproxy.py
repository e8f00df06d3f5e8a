"""A reverse proxy that checks AWS Signature Version 4 as AWS does, with botocore as an independent implementation.

It computes the signature from the received request and the known secret. It answers a wrong signature as AWS does: 403
with `x-amzn-ErrorType` and a JSON message, or with S3's XML.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import parse_qs

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from .proxy import Answer, Proxy, Request, with_body

AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/(?P<date>\d{8})/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request, ?"
    r"SignedHeaders=(?P<headers>[a-z0-9;-]+), ?Signature=(?P<signature>[0-9a-f]{64})"
)
SKEW_MAX = timedelta(minutes=5)
SKEW_MAX_S3 = timedelta(minutes=15)
UNSIGNED = "UNSIGNED-PAYLOAD"


@dataclass(frozen=True)
class Key:
    """The secret of an access key, the session token that it requires, and its expiry in Unix time."""

    secret: str
    session_token: str | None = None
    valid_until: float = math.inf


@dataclass(frozen=True)
class Wrong:
    """AWS's error code, message and status."""

    kind: str
    message: str
    status: int = 403


class SignatureProxy(Proxy):
    """Passes requests that are signed with one of `keys` (by access key id) for this service and region."""

    def __init__(self, upstream: str, service: str, region: str, keys: dict[str, Key]):
        super().__init__(upstream)
        self.service = service
        self.region = region
        self.keys = keys
        # How far its clock is ahead of the real time.
        self.clock_ahead = timedelta(0)

    def check(self, request: Request) -> Answer | None:
        wrong = self.what_is_wrong(request)
        if wrong is None:
            return None
        headers = {"Date": format_datetime(self._now(), usegmt=True), "x-amzn-RequestId": "7b0f8c1e-0000-4000-8000-000000000000"}
        if self.service == "s3":
            body = f"<?xml version='1.0'?><Error><Code>{wrong.kind}</Code><Message>{wrong.message}</Message></Error>"
            return Answer(wrong.status, body.encode(), {**headers, "Content-Type": "application/xml"})
        headers |= {"x-amzn-ErrorType": wrong.kind, "Content-Type": "application/json"}
        return Answer(wrong.status, json.dumps({"message": wrong.message}).encode(), headers)

    def what_is_wrong(self, request: Request) -> Wrong | None:
        """The first error that AWS would report about the signature, or None."""
        s3 = self.service == "s3"
        header = request.headers.get("authorization")
        if header is None:
            return Wrong("MissingAuthenticationToken" if not s3 else "AccessDenied", "Missing Authentication Token")
        scope = AUTHORIZATION.fullmatch(header)
        if scope is None:
            return Wrong("IncompleteSignature" if not s3 else "AuthorizationHeaderMalformed", f"cannot be read: {header}", 400)
        key = self.keys.get(scope["key"])
        if key is None:
            kind = "UnrecognizedClientException" if not s3 else "InvalidAccessKeyId"
            return Wrong(kind, "The security token included in the request is invalid.")
        if key.valid_until < self._now().timestamp():
            message = "The security token included in the request is expired"
            return Wrong("ExpiredTokenException", message) if not s3 else Wrong("ExpiredToken", message, 400)
        return (
            self._wrong_scope(scope)
            or self._wrong_date(request, scope)
            or self._wrong_headers(request, scope, key)
            or self._wrong_payload(request)
            or self._wrong_signature(request, scope, key)
        )

    def _wrong_scope(self, scope: re.Match) -> Wrong | None:
        for part, wanted in (("region", self.region), ("service", self.service)):
            if scope[part] != wanted:
                message = f"Credential should be scoped to a valid {part}, not '{scope[part]}'; expected '{wanted}'."
                return Wrong("InvalidSignatureException" if self.service != "s3" else "AuthorizationHeaderMalformed", message)
        return None

    def _wrong_date(self, request: Request, scope: re.Match) -> Wrong | None:
        try:
            date = datetime.strptime(request.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        except (KeyError, ValueError):
            return Wrong("IncompleteSignature", "Authorization header requires existence of a valid 'X-Amz-Date' header.", 400)
        if date.strftime("%Y%m%d") != scope["date"]:
            return Wrong("InvalidSignatureException", "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date")
        now = self._now()
        if self.service == "s3":
            if abs(date - now) > SKEW_MAX_S3:
                return Wrong("RequestTimeTooSkewed", "The difference between the request time and the current time is too large.")
            return None
        sent, limit, here = (one.strftime("%Y%m%dT%H%M%SZ") for one in (date, now - SKEW_MAX, now))
        if date < now - SKEW_MAX:
            return Wrong("InvalidSignatureException", f"Signature expired: {sent} is now earlier than {limit} ({here} - 5 min.)")
        if date > now + SKEW_MAX:
            return Wrong("InvalidSignatureException", f"Signature not yet current: {sent} is still later than {here} + 5 min.")
        return None

    def _wrong_headers(self, request: Request, scope: re.Match, key: Key) -> Wrong | None:
        signed = scope["headers"].split(";")
        must = {"host", *(name for name in request.headers if name.startswith("x-amz-"))}
        unsigned = sorted((must - set(signed)) | (set(signed) - set(request.headers)))
        if unsigned or signed != sorted(signed):
            return Wrong("InvalidSignatureException", f"SignedHeaders '{scope['headers']}' must be sorted and hold {unsigned}")
        if request.headers.get("x-amz-security-token") != key.session_token:
            kind = "UnrecognizedClientException" if self.service != "s3" else "InvalidToken"
            return Wrong(kind, "The security token included in the request is invalid.")
        return None

    def _wrong_payload(self, request: Request) -> Wrong | None:
        claimed = request.headers.get("x-amz-content-sha256")
        if claimed is None:
            # Only S3 requires it; for other services the signature itself covers the body's hash.
            return Wrong("InvalidRequest", "Missing required header: x-amz-content-sha256", 400) if self.service == "s3" else None
        if claimed == UNSIGNED and self.service == "s3":
            return None
        if claimed != hashlib.sha256(request.body).hexdigest():
            kind = "InvalidSignatureException" if self.service != "s3" else "XAmzContentSHA256Mismatch"
            return Wrong(kind, "The provided 'x-amz-content-sha256' header does not match what was computed.")
        return None

    def _wrong_signature(self, request: Request, scope: re.Match, key: Key) -> Wrong | None:
        signed = {name: request.headers[name] for name in scope["headers"].split(";")}
        path, mark, query = request.target.partition("?")
        if self.service == "s3":
            # S3 decodes a plus sign in a query as a space and signs the decoded value; botocore signs it unchanged.
            query = query.replace("+", "%20")
        url = f"http://{request.headers['host']}{path}{mark}{query}"
        again = AWSRequest(method=request.method, url=url, data=request.body, headers=signed)
        again.context["timestamp"] = request.headers["x-amz-date"]
        credentials = Credentials(scope["key"], key.secret, key.session_token)
        auth = (S3SigV4Auth if self.service == "s3" else SigV4Auth)(credentials, self.service, self.region)
        signature = auth.signature(auth.string_to_sign(again, auth.canonical_request(again)), again)
        if hmac.compare_digest(signature, scope["signature"]):
            return None
        message = "The request signature we calculated does not match the signature you provided."
        return Wrong("InvalidSignatureException" if self.service != "s3" else "SignatureDoesNotMatch", message)

    def _now(self) -> datetime:
        return datetime.now(UTC) + self.clock_ahead


class ServiceProxy(SignatureProxy):
    """Makes the reference catalog look like the Iceberg endpoint of Glue or S3 Tables.

    The API is below `/iceberg`. Each service has its own warehouse, which `GET /v1/config` must name, and its own prefix
    for all other paths, which `GET /v1/config` returns (encoded, as the service sends it). Glue's own catalogs assign no
    locations: a table must be created with one.
    """

    def __init__(self, upstream: str, service: str, region: str, keys: dict[str, Key], warehouse: str, prefix: str):
        super().__init__(upstream, service, region, keys)
        self.warehouse = warehouse
        self.prefix = prefix
        self._assigns_locations = service != "glue" or ":s3tablescatalog/" in warehouse

    @property
    def endpoint(self) -> str:
        """The base URI that clients are configured with."""
        return f"{self.uri}/iceberg"

    def check(self, request: Request) -> Answer | None:
        refused = super().check(request)
        if refused is not None:
            return refused
        if request.path == "/iceberg/v1/config":
            asked = parse_qs(request.target.partition("?")[2]).get("warehouse")
            return None if asked == [self.warehouse] else _not_found(f"warehouse {asked} is not {self.warehouse}")
        if not request.path.startswith(f"/iceberg/v1/{self.prefix}/"):
            return _not_found(f"{request.path} does not begin with the prefix {self.prefix}")
        creates_table = request.method == "POST" and request.path.endswith("/tables")
        if creates_table and not self._assigns_locations and not json.loads(request.body).get("location"):
            return _error(400, "InvalidInputException", "Location information cannot be null while creating an iceberg table")
        return None

    def rewritten(self, request: Request) -> Request:
        return replace(request, target=request.target.removeprefix("/iceberg").replace(f"/{self.prefix}", "", 1))

    def changed(self, request: Request, answer: Answer) -> Answer:
        if request.path != "/iceberg/v1/config" or answer.status != 200:
            return answer
        config = json.loads(answer.body)
        config.setdefault("overrides", {})["prefix"] = self.prefix
        return with_body(answer, json.dumps(config).encode())


def _not_found(message: str) -> Answer:
    return _error(404, "NotFoundException", message)


def _error(status: int, kind: str, message: str) -> Answer:
    error = {"error": {"message": message, "type": kind, "code": status}}
    return Answer(status, json.dumps(error).encode(), {"Content-Type": "application/json"})
