"""Tests of the proxies that catalog tests rely on: they pass valid requests and refuse all others.

botocore signs the requests and `requests` sends them. pyiceberg's REST client reaches the reference catalog.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import boto3
import pyarrow as pa
import pytest
import requests
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from pyiceberg.exceptions import BadRequestError

from catalogs.oauth import BearerProxy, OAuth2Proxy
from catalogs.proxy import Answer
from catalogs.s3 import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, S3Server
from catalogs.sigproxy import Key, ServiceProxy, SignatureProxy
from catalogs.vending import VendingProxy

SERVICE = "glue"
KEYS = {"AKIAONE": Key("one"), "ASIATWO": Key("two", "session"), "ASIAOLD": Key("old", "session", valid_until=1.0)}
PATH = "/v1/a%3Ab%2Fc/namespaces/x%1Fy/tables?pageToken=&warehouse=arn%3Aaws%3A1"


@pytest.fixture(scope="module")
def upstream():
    """A server that answers every request with 200."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_PUT = do_POST

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def proxy(upstream):
    with SignatureProxy(upstream, SERVICE, REGION, KEYS) as proxy:
        yield proxy


@pytest.mark.parametrize("key", ["AKIAONE", "ASIATWO"])
@pytest.mark.parametrize(("method", "body"), [("GET", b""), ("POST", b'{"a": "\xc3\xa4"}')])
def test_what_is_signed_right_passes(proxy, key, method, body):
    assert _send(_signed(proxy, method, body, key=key)).status_code == 200


def _wrong_secret(proxy):
    return _signed(proxy, secret="other")


def _changed_body(proxy):
    request = _signed(proxy, "POST", b"{}")
    request.data = b"[]"
    return request


def _changed_path(proxy):
    request = _signed(proxy)
    request.url = request.url.replace("/tables", "/views")
    return request


def _changed_query(proxy):
    request = _signed(proxy)
    request.url += "2"
    return request


def _wrong_payload_hash(proxy):
    return _signed(proxy, "POST", b"{}", headers={"X-Amz-Content-SHA256": "0" * 64})


def _unsigned_amz_header(proxy):
    request = _signed(proxy)
    request.headers["x-amz-meta"] = "1"
    return request


def _no_session_token(proxy):
    return _signed(proxy, key="ASIATWO", token=None)


@pytest.mark.parametrize(
    ("make", "status", "kind", "said"),
    [
        (lambda proxy: AWSRequest("GET", proxy.uri + PATH), 403, "MissingAuthenticationToken", "Missing"),
        (lambda proxy: _signed(proxy, key="AKIANONE", secret="x"), 403, "UnrecognizedClientException", "invalid"),
        (lambda proxy: _signed(proxy, key="ASIAOLD"), 403, "ExpiredTokenException", "expired"),
        (lambda proxy: _signed(proxy, service="s3tables"), 403, "InvalidSignatureException", "service"),
        (lambda proxy: _signed(proxy, region="us-east-1"), 403, "InvalidSignatureException", "region"),
        (_wrong_secret, 403, "InvalidSignatureException", "does not match the signature"),
        (_changed_body, 403, "InvalidSignatureException", "does not match the signature"),
        (_changed_path, 403, "InvalidSignatureException", "does not match the signature"),
        (_changed_query, 403, "InvalidSignatureException", "does not match the signature"),
        (_wrong_payload_hash, 403, "InvalidSignatureException", "x-amz-content-sha256"),
        (_unsigned_amz_header, 403, "InvalidSignatureException", "x-amz-meta"),
        (_no_session_token, 403, "UnrecognizedClientException", "invalid"),
    ],
)
def test_what_is_signed_wrong_is_refused_as_aws_does(proxy, make, status, kind, said):
    response = _send(make(proxy))
    assert (response.status_code, response.headers["x-amzn-ErrorType"]) == (status, kind)
    assert said in response.json()["message"]


@pytest.mark.parametrize(("minutes", "said"), [(6, "Signature expired"), (-6, "Signature not yet current")])
def test_a_clock_that_is_off_is_told_with_the_right_date(proxy, minutes, said):
    proxy.clock_ahead = timedelta(minutes=minutes)
    response = _send(_signed(proxy))
    assert response.status_code == 403
    assert said in response.json()["message"]
    ahead = parsedate_to_datetime(response.headers["Date"]) - datetime.now(UTC)
    assert abs(ahead - timedelta(minutes=minutes)) < timedelta(seconds=5)


def test_s3_signatures_are_checked_in_front_of_the_s3_server(tmp_path):
    with S3Server(tmp_path) as s3, SignatureProxy(s3.endpoint, "s3", REGION, {ACCESS_KEY_ID: Key(SECRET_ACCESS_KEY)}) as proxy:
        s3.make_bucket("signed-bucket")
        right, wrong = _s3_client(proxy, SECRET_ACCESS_KEY), _s3_client(proxy, "other")
        key = "otel/logs/data/Timestamp_day=2026-01-02/a b+c=ü.parquet"
        right.put_object(Bucket="signed-bucket", Key=key, Body=b"rows")
        assert right.get_object(Bucket="signed-bucket", Key=key)["Body"].read() == b"rows"
        with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
            wrong.put_object(Bucket="signed-bucket", Key=key, Body=b"other")
        right.close()
        wrong.close()


@pytest.mark.parametrize("service", ["glue", "s3tables"])
def test_pyiceberg_reaches_the_reference_catalog_as_an_aws_service(service, reference, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
    keys = {ACCESS_KEY_ID: Key(SECRET_ACCESS_KEY)}
    account, arn = "111122223333", f"arn:aws:s3tables:{REGION}:111122223333:bucket/lake"
    warehouse, prefix = {
        "glue": (account, f"catalogs/{account}"),
        "s3tables": (arn, arn.replace(":", "%3A").replace("/", "%2F")),
    }[service]
    with ServiceProxy(reference.uri, service, REGION, keys, warehouse, prefix) as front:
        sigv4 = {"rest.sigv4-enabled": "true", "rest.signing-region": REGION, "rest.signing-name": service}
        location = f"{reference.warehouse}/numbers_of_glue" if service == "glue" else None
        client = reference.client(front.endpoint, warehouse=warehouse, **sigv4)
        _write_and_read(client, f"through_{service}", location)
        assert front.seen
        assert not front.answered(403)


def test_glue_refuses_a_table_without_a_location(reference, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
    account, keys = "111122223333", {ACCESS_KEY_ID: Key(SECRET_ACCESS_KEY)}
    with ServiceProxy(reference.uri, "glue", REGION, keys, account, f"catalogs/{account}") as front:
        sigv4 = {"rest.sigv4-enabled": "true", "rest.signing-region": REGION, "rest.signing-name": "glue"}
        client = reference.client(front.endpoint, warehouse=account, **sigv4)
        with pytest.raises(BadRequestError, match="Location information cannot be null"):
            _write_and_read(client, "without_location")
        client.close()


def test_oauth2_tokens_are_issued_checked_and_expired(reference):
    with OAuth2Proxy(reference.uri, "client", "secret of it", "catalog", token_seconds=60) as front:
        oauth2 = {"credential": "client:secret of it", "oauth2-server-uri": front.token_uri, "scope": "catalog"}
        _write_and_read(reference.client(front.uri, **oauth2), "through_oauth2")
        newest = _bearer(front.issued[-1])
        assert requests.get(f"{front.uri}/v1/namespaces", headers=newest).status_code == 200
        front.expire_all()
        assert requests.get(f"{front.uri}/v1/namespaces", headers=newest).status_code == 401
        form = {"grant_type": "client_credentials", "client_id": "client", "client_secret": "x", "scope": "catalog"}
        assert requests.post(front.token_uri, data=form).status_code == 401


def test_storage_credentials_are_vended_to_those_who_ask(reference):
    keys: dict[str, Key] = {}
    with VendingProxy(reference.uri, {"s3.endpoint": "http://s3"}, seconds=60, learn=keys.__setitem__) as front:
        _write_and_read(reference.client(), "vended")
        url = f"{front.uri}/v1/namespaces/vended/tables/numbers"
        plain = requests.get(url).json()
        asked = requests.get(url, headers={"X-Iceberg-Access-Delegation": "vended-credentials"}).json()
    assert plain["config"] == asked["config"] == {"s3.endpoint": "http://s3"}
    assert "storage-credentials" not in plain
    useless, vended = asked["storage-credentials"]
    assert asked["metadata"]["location"].startswith(vended["prefix"])
    assert keys[vended["config"]["s3.access-key-id"]].secret == vended["config"]["s3.secret-access-key"]
    assert useless["config"]["s3.access-key-id"] not in keys


def test_a_bearer_token_is_checked_and_a_request_can_be_broken(upstream):
    with BearerProxy(upstream, "right") as proxy:
        statuses = [requests.get(proxy.uri, headers=headers).status_code for headers in ({}, _bearer("wrong"), _bearer("right"))]
        assert statuses == [401, 401, 200]
        proxy.instead = lambda request: Answer(503, b"")
        assert requests.get(proxy.uri, headers=_bearer("right")).status_code == 503


def _signed(proxy, method="GET", body=b"", key="AKIAONE", secret=None, token="known", service=SERVICE, region=REGION, headers=None):
    known = KEYS.get(key, Key("", None))
    token = known.session_token if token == "known" else token
    request = AWSRequest(method, proxy.uri + PATH, data=body, headers=headers or {})
    auth = (S3SigV4Auth if service == "s3" else SigV4Auth)(Credentials(key, secret or known.secret, token), service, region)
    auth.add_auth(request)
    return request


def _send(request: AWSRequest) -> requests.Response:
    return requests.request(request.method, request.url, data=request.data or None, headers=dict(request.headers.items()))


def _s3_client(proxy, secret: str):
    config = Config(s3={"addressing_style": "path"}, retries={"max_attempts": 0})
    keys = {"aws_access_key_id": ACCESS_KEY_ID, "aws_secret_access_key": secret}
    return boto3.client("s3", region_name=REGION, endpoint_url=proxy.uri, config=config, **keys)


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _write_and_read(catalog, namespace: str, location: str | None = None) -> None:
    """Creates a namespace, a table and a commit in an empty catalog and reads the rows."""
    catalog.create_namespace(namespace)
    table = catalog.create_table(f"{namespace}.numbers", pa.schema([("number", pa.int64())]), location)
    table.append(pa.table({"number": [1, 2, 3]}))
    assert catalog.load_table(f"{namespace}.numbers").scan().to_arrow()["number"].to_pylist() == [1, 2, 3]
    catalog.close()
