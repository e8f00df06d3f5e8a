"""REST catalogs: the reference catalog of Apache Iceberg, plain and behind checks of tokens and AWS signatures."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.catalog.sql import SqlCatalog

from catalogs.exporting import at_debug_level, aws_environment, send_numbers, settings, wait_for_line
from catalogs.oauth import BearerProxy, OAuth2Proxy
from catalogs.proxy import Answer
from catalogs.reading import load, read_all, rows_hash, wait_for_rows
from catalogs.reference import ReferenceCatalog
from catalogs.s3 import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, S3Server
from catalogs.s3tables import REGION as TABLES_REGION
from catalogs.s3tables import TableBucket
from catalogs.sigproxy import Key, ServiceProxy, SignatureProxy
from o2i import corpus
from o2i.collector import Collector, free_ports
from o2i.tables import NAMESPACE, TIME_COLUMN
from spark.session import Spark

KEYS = {ACCESS_KEY_ID: Key(SECRET_ACCESS_KEY)}
ACCOUNT = "111122223333"
BUCKET_ARN = f"arn:aws:s3tables:{REGION}:{ACCOUNT}:bucket/lake"


@dataclass(frozen=True)
class Place:
    """A destination of a Collector, and how to read it."""

    exporter: dict
    open: Callable[[], Catalog]
    spark: Callable[[], Spark]
    s3: S3Server | None = None
    namespace: str = NAMESPACE


@contextmanager
def place(kind: str, folder: Path, s3: S3Server, rest: dict[str, ReferenceCatalog], namespace: str):
    """An empty catalog of that kind, or an empty namespace of one of the catalogs in `rest`: starting one takes long."""
    if kind == "s3tables-native":
        with SignatureProxy(s3.endpoint, "s3tables", TABLES_REGION, KEYS) as front:
            bucket = TableBucket(s3, "corpus")
            exporter = settings(bucket.settings(front.uri), s3.settings())
            yield Place(exporter, lambda: bucket, partial(bucket.spark, folder), s3)
            assert not front.answered(403)
        return
    service, _, storage_kind = kind.partition("-")
    on_s3 = s3 if storage_kind == "s3" else None
    storage = s3.settings() if on_s3 else None
    if service == "sql":
        warehouse = s3.make_bucket(f"corpus-{kind}") + "/warehouse" if on_s3 else f"file://{folder}/warehouse"
        database = folder / "catalog.db"
        properties = {"uri": f"sqlite:///{database}", "warehouse": warehouse, **(s3.properties() if on_s3 else {})}
        catalog = {"type": "sql", "uri": f"sqlite://{database}", "warehouse": warehouse}
        java = on_s3.java_properties() if on_s3 else {}
        spark = partial(Spark.on_sqlite, database, warehouse, **java)
        yield Place(settings(catalog, storage), lambda: SqlCatalog("default", **properties), spark, on_s3)
        return
    reference = rest[storage_kind]
    with ExitStack() as stack:
        if service in ("glue", "s3tables"):
            front = stack.enter_context(_front(service, reference))
            catalog = _preset(front, namespace=namespace)
            if kind == "glue-s3":  # The exporter makes the database, with a location.
                catalog["default_location"] = f"{reference.warehouse}/of-glue"
            elif service == "glue":
                _make_database(reference, namespace)
        else:
            catalog = reference.settings(namespace=namespace)
        yield Place(settings(catalog, storage), reference.client, reference.spark, on_s3, namespace)


def _front(kind: str, reference: ReferenceCatalog) -> ServiceProxy:
    if kind == "glue":
        return ServiceProxy(reference.uri, "glue", REGION, KEYS, ACCOUNT, f"catalogs/{ACCOUNT}")
    prefix = BUCKET_ARN.replace(":", "%3A").replace("/", "%2F")
    return ServiceProxy(reference.uri, "s3tables", REGION, KEYS, BUCKET_ARN, prefix)


def _preset(front: ServiceProxy, **more) -> dict:
    """The exporter's `catalog` settings; S3 Tables takes the region from its ARN."""
    region = {"sigv4": {"region": REGION}} if front.service == "glue" else {}
    return {"type": front.service, "uri": front.endpoint, "warehouse": front.warehouse, **region, **more}


@pytest.mark.parametrize(
    "kind", ["sql-file", "sql-s3", "rest-file", "rest-s3", "glue-file", "glue-s3", "s3tables-s3", "s3tables-native"]
)
def test_the_corpus_gives_the_same_rows_in_every_catalog(kind, tmp_path, s3, reference, lake, namespace, monkeypatch):
    aws_environment(monkeypatch, ACCESS_KEY_ID, SECRET_ACCESS_KEY)
    fixtures = [one for one in corpus.fixtures() if one.receiver == "passes on"]
    expected: dict[str, list] = {}
    for one in fixtures:
        for table, rows in one.rows.items():
            expected.setdefault(table, []).extend(rows)
    begun = _now()
    with place(kind, tmp_path, s3, {"file": reference, "s3": lake.catalog}, namespace) as there:
        with Collector(tmp_path / "collector", {"iceberg": there.exporter}) as collector, collector.client() as client:
            for one in fixtures:
                client.send(one.payload, "grpc", one.signal)
            catalog = there.open()
            wait_for_rows(catalog, {table: len(rows) for table, rows in expected.items()}, there.namespace)
        spark = there.spark()
        assert len(expected) == 7
        for table, rows in expected.items():
            hashes = {"sent": rows_hash(rows)}
            for name, found in read_all(catalog, spark, table, there.s3, there.namespace).items():
                hashes[name] = rows_hash(found, (begun, _now()), TIME_COLUMN[table])
            assert len(set(hashes.values())) == 1, f"{table}: {hashes}"
        _close(catalog)


def test_a_wrong_token_is_named_and_data_arrive_once_it_is_right(reference, namespace, tmp_path):
    with BearerProxy(reference.uri, "another-token") as front:
        catalog = reference.settings(front.uri, token="given-token", namespace=namespace)
        with Collector(tmp_path, {"iceberg": settings(catalog)}) as collector:
            send_numbers(collector, range(10))
            wait_for_line(collector, ["catalog.token", "401"])
            assert collector.healthy()
            front.accept("given-token")
            _wait_and_count(reference, namespace, 10)


def test_a_token_that_expires_is_named_and_data_arrive_once_it_is_valid_again(reference, namespace, tmp_path):
    with BearerProxy(reference.uri, "given-token") as front:
        catalog = reference.settings(front.uri, token="given-token", namespace=namespace)
        with Collector(tmp_path, {"iceberg": settings(catalog)}) as collector:
            send_numbers(collector, range(10))
            _wait_and_count(reference, namespace, 10)
            front.expire_all()
            send_numbers(collector, range(10, 20))
            wait_for_line(collector, ["catalog.token", "401"])
            assert collector.healthy()
            front.accept("given-token")
            _wait_and_count(reference, namespace, 20)


def test_an_unreachable_catalog_is_named_and_data_arrive_once_it_is_there(tmp_path, namespace):
    reference = ReferenceCatalog(tmp_path / "reference", f"file://{tmp_path}/warehouse")
    [reference.port] = free_ports(1)
    with Collector(tmp_path / "collector", {"iceberg": settings(reference.settings(namespace=namespace))}) as collector:
        send_numbers(collector, range(10))
        wait_for_line(collector, ["catalog.uri", f"127.0.0.1:{reference.port}", "refused"])
        assert collector.healthy()
        with reference:
            _wait_and_count(reference, namespace, 10)


def test_a_host_that_does_not_exist_is_named(tmp_path):
    catalog = {"type": "rest", "uri": "http://catalog.invalid:8181"}
    with Collector(tmp_path, {"iceberg": settings(catalog, retry_on_failure={"enabled": False})}) as collector:
        send_numbers(collector, range(10))
        wait_for_line(collector, ["catalog.uri", "catalog.invalid"])
        assert collector.healthy()


def test_a_catalog_that_does_not_answer_is_named_within_its_timeout(reference, namespace, tmp_path):
    with BearerProxy(reference.uri, "token") as front:
        silent = [True]
        front.instead = lambda request: time.sleep(2) if silent[0] else None
        catalog = reference.settings(front.uri, token="token", namespace=namespace, timeout="1s")
        with Collector(tmp_path, {"iceberg": settings(catalog)}) as collector:
            send_numbers(collector, range(10))
            wait_for_line(collector, ["did not answer", "catalog.timeout", front.uri], seconds_max=15)
            silent[0] = False
            _wait_and_count(reference, namespace, 10)


def test_a_catalog_that_is_overloaded_for_a_while_loses_nothing(reference, namespace, tmp_path):
    with BearerProxy(reference.uri, "token") as front:
        catalog = reference.settings(front.uri, token="token", namespace=namespace)
        with Collector(tmp_path, {"iceberg": settings(catalog)}) as collector:
            send_numbers(collector, range(10))
            _wait_and_count(reference, namespace, 10)
            front.instead = lambda request: Answer(503, b"busy", {"Retry-After": "1"})
            send_numbers(collector, range(10, 20))
            wait_for_line(collector, ["503"])
            front.instead = lambda request: None
            _wait_and_count(reference, namespace, 20)


def test_oauth2_tokens_are_renewed_before_they_expire(reference, namespace, tmp_path):
    # A token is renewed a tenth of its life before it expires, which must be longer than a request waits on a busy machine.
    with OAuth2Proxy(reference.uri, "client", "client secret", "catalog", token_seconds=8) as front:
        with Collector(tmp_path, {"iceberg": settings(_oauth2(reference, front, namespace))}) as collector:
            sent = 0
            while len(front.issued) < 2:
                assert sent < 1_000, "a token never expired"
                send_numbers(collector, range(sent, sent + 10))
                sent += 10
                _wait_and_count(reference, namespace, sent)
                time.sleep(0.3)
        assert not front.answered(401), "a token was used after its time"


def test_a_token_that_is_revoked_is_renewed_once(reference, namespace, tmp_path):
    with OAuth2Proxy(reference.uri, "client", "client secret", "catalog", token_seconds=3600) as front:
        with Collector(tmp_path, {"iceberg": settings(_oauth2(reference, front, namespace))}) as collector:
            send_numbers(collector, range(10))
            _wait_and_count(reference, namespace, 10)
            front.expire_all()
            send_numbers(collector, range(10, 20))
            _wait_and_count(reference, namespace, 20)
            assert "Exporting failed" not in collector.log()
        assert len(front.answered(401)) == 1
        assert len(front.issued) == 2


def test_a_wrong_oauth2_secret_is_named_and_data_arrive_once_it_is_right(reference, namespace, tmp_path):
    with OAuth2Proxy(reference.uri, "client", "another secret", "catalog", token_seconds=60) as front:
        with Collector(tmp_path, {"iceberg": settings(_oauth2(reference, front, namespace))}) as collector:
            send_numbers(collector, range(10))
            wait_for_line(collector, ["catalog.oauth2", "401"])
            assert collector.healthy()
            front.client_secret = "client secret"
            _wait_and_count(reference, namespace, 10)


@pytest.mark.parametrize("kind", ["glue", "s3tables"])
@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("secret", ["403", "signature", "AWS"]),
        ("key", ["403", "security token"]),
        ("expired", ["403", "security token", "expired"]),
        ("region", ["403", "region", "catalog.sigv4.region"]),
    ],
)
def test_wrong_aws_credentials_are_named_and_data_arrive_once_they_are_right(kind, broken, said, reference, namespace, tmp_path, monkeypatch):
    aws_environment(monkeypatch, ACCESS_KEY_ID, SECRET_ACCESS_KEY)
    if kind == "glue":
        _make_database(reference, namespace)
    with _front(kind, reference) as front:
        if broken == "secret":
            front.keys = {ACCESS_KEY_ID: Key("another")}
        elif broken == "key":
            front.keys = {"AKIAANOTHER": Key("another")}
        elif broken == "expired":
            front.keys = {ACCESS_KEY_ID: Key(SECRET_ACCESS_KEY, valid_until=1.0)}
        else:
            front.region = "us-east-1"
        with Collector(tmp_path, {"iceberg": settings(_preset(front, namespace=namespace))}) as collector:
            send_numbers(collector, range(10))
            wait_for_line(collector, said)
            assert collector.healthy()
            front.keys, front.region = KEYS, REGION
            _wait_and_count(reference, namespace, 10)


def test_two_collectors_write_to_a_table_bucket_through_its_own_api(s3, tmp_path, monkeypatch):
    aws_environment(monkeypatch, ACCESS_KEY_ID, SECRET_ACCESS_KEY)
    bucket = TableBucket(s3, "shared")
    with ExitStack() as stack:
        exporters = {"iceberg": settings(bucket.settings(), s3.settings())}
        collectors = [stack.enter_context(Collector(tmp_path / name, exporters)) for name in ("one", "two")]
        for begin in range(0, 100, 10):
            for offset, collector in enumerate(collectors):
                first = begin + offset * 5
                send_numbers(collector, range(first, first + 5))
        wait_for_rows(bucket, {"logs": 100})
        assert not any("Exporting failed" in collector.log() for collector in collectors)
    table = load(bucket, "logs")
    found = table.scan(selected_fields=("Body",)).to_arrow()["Body"].to_pylist()
    assert sorted(map(int, found)) == list(range(100))
    bucket.close()


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("secret", ["403", "signature", "AWS"]),
        ("region", ["403", "region", "catalog.sigv4.region"]),
        ("bucket", ["catalog.warehouse", "does not exist"]),
    ],
)
def test_what_is_wrong_with_a_table_bucket_is_named(broken, said, s3, tmp_path, monkeypatch):
    aws_environment(monkeypatch, ACCESS_KEY_ID, SECRET_ACCESS_KEY)
    bucket = TableBucket(s3, f"wrong-{broken}")
    with SignatureProxy(s3.endpoint, "s3tables", TABLES_REGION, KEYS) as front:
        catalog = bucket.settings(front.uri)
        if broken == "secret":
            front.keys = {ACCESS_KEY_ID: Key("another")}
        elif broken == "region":
            front.region = "us-east-2"
        else:
            catalog["warehouse"] += "-of-nobody"
        with Collector(tmp_path, {"iceberg": settings(catalog, s3.settings())}) as collector:
            send_numbers(collector, range(10))
            wait_for_line(collector, said)
            assert collector.healthy()
            if broken != "bucket":
                front.keys, front.region = KEYS, TABLES_REGION
                wait_for_rows(bucket, {"logs": 10})
    bucket.close()


@pytest.mark.parametrize("minutes", [-20, 20])
def test_a_clock_that_is_off_costs_one_more_request(minutes, reference, namespace, tmp_path, monkeypatch):
    aws_environment(monkeypatch, ACCESS_KEY_ID, SECRET_ACCESS_KEY)
    with _front("s3tables", reference) as front:
        front.clock_ahead = timedelta(minutes=minutes)
        with Collector(tmp_path, {"iceberg": settings(_preset(front, namespace=namespace))}) as collector:
            send_numbers(collector, range(10))
            _wait_and_count(reference, namespace, 10)
            assert "Exporting failed" not in collector.log()
        assert len(front.answered(403)) == 1


def test_no_secret_reaches_the_log_at_debug_level(reference, namespace, tmp_path, monkeypatch):
    secrets = {name: f"planted-{name}-7f3a" for name in ("token", "client", "header", "aws", "session", "storage")}
    aws_environment(monkeypatch, ACCESS_KEY_ID, secrets["aws"])
    monkeypatch.setenv("AWS_SESSION_TOKEN", secrets["session"])
    _make_database(reference, f"{namespace}_glue")
    with (
        BearerProxy(reference.uri, secrets["token"]) as bearer,
        OAuth2Proxy(reference.uri, "client", secrets["client"], "catalog", token_seconds=60) as oauth2,
        _front("glue", reference) as glue,
        _front("s3tables", reference) as s3tables,
    ):
        glue.keys = s3tables.keys = {ACCESS_KEY_ID: Key(secrets["aws"], secrets["session"])}
        fronts = {"iceberg/bearer": bearer, "iceberg/oauth2": oauth2, "iceberg/glue": glue, "iceberg/s3tables": s3tables}
        headers = {"X-Api-Key": secrets["header"]}
        catalogs = {
            "iceberg/bearer": reference.settings(bearer.uri, token=secrets["token"], headers=headers),
            "iceberg/oauth2": _oauth2(reference, oauth2, secret=secrets["client"]),
            "iceberg/glue": _preset(glue),
            "iceberg/s3tables": _preset(s3tables),
        }
        storage = {"s3": {"region": REGION, "access_key_id": "AKIASTORAGE", "secret_access_key": secrets["storage"]}}
        exporters = {
            name: settings({**catalog, "namespace": f"{namespace}_{name[8:]}"}, storage) for name, catalog in catalogs.items()
        }
        with Collector(tmp_path, exporters, change=at_debug_level) as collector:
            send_numbers(collector, range(10))
            for name in exporters:
                _wait_and_count(reference, f"{namespace}_{name[8:]}", 10)
            for front in fronts.values():  # Errors must not reveal secrets either.
                front.instead = lambda request: Answer(403, b'{"error":{"message":"denied","type":"Forbidden","code":403}}')
            send_numbers(collector, range(10, 20))
            wait_for_line(collector, ["403", "denied"])
            for front in fronts.values():
                front.instead = lambda request: None
            for name in exporters:
                _wait_and_count(reference, f"{namespace}_{name[8:]}", 20)
        log = collector.log()
        assert any(request.headers.get("x-api-key") == secrets["header"] for request, _ in bearer.seen)
        for secret in (*secrets.values(), *oauth2.issued):
            assert secret not in log, f"{secret} is in the log: {[line for line in log.splitlines() if secret in line][:1]}"
        assert "\tdebug\t" in log


def _make_database(reference: ReferenceCatalog, namespace: str) -> None:
    """Makes a namespace as Glue's databases should be: the reference catalog says where its tables are."""
    catalog = reference.client()
    catalog.create_namespace(namespace)
    catalog.close()


def _oauth2(reference: ReferenceCatalog, front: OAuth2Proxy, namespace: str = "", secret: str = "client secret") -> dict:
    oauth2 = {"client_id": "client", "client_secret": secret, "token_uri": front.token_uri, "scope": "catalog"}
    return reference.settings(front.uri, oauth2=oauth2, **({"namespace": namespace} if namespace else {}))


def _wait_and_count(reference: ReferenceCatalog, namespace: str, rows: int) -> None:
    """Waits for `count` logs and asserts that each number is there once."""
    catalog = reference.client()
    wait_for_rows(catalog, {"logs": rows}, namespace)
    found = load(catalog, "logs", namespace).scan(selected_fields=("Body",)).to_arrow()["Body"].to_pylist()
    assert sorted(map(int, found)) == list(range(rows))
    _close(catalog)


def _close(catalog: Catalog) -> None:
    if isinstance(catalog, SqlCatalog):
        catalog.engine.dispose()
    else:
        catalog.close()


def _now() -> int:
    return time.time_ns() // 1000
