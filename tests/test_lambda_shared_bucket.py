"""Tables and raw objects in one bucket: the function gets events for its own files and adds none of them again."""

from __future__ import annotations

import pytest
from pyiceberg.catalog.sql import SqlCatalog

from catalogs.s3 import S3Server
from lambda_host import events, settings
from lambda_host.emulator import Lambda
from o2i.numbered import request, stored

BUCKET = "lake"


@pytest.fixture
def s3(tmp_path):
    with S3Server(tmp_path) as server:
        server.make_bucket(BUCKET)
        yield server


def told_of_everything(client) -> dict:
    """A batch with an event for every object in the bucket."""
    listed = client.list_objects_v2(Bucket=BUCKET)["Contents"]
    return events.sqs(*(events.event_bridge(BUCKET, one["Key"], one["ETag"]) for one in listed))


def put_logs(client, key: str, *numbers: int) -> None:
    client.put_object(Bucket=BUCKET, Key=key, Body=request(numbers).SerializeToString())


def passed_over(function: Lambda) -> set[str]:
    """The skipped objects by the log: skipped by the function before reading, or by the library after."""
    lines = [line for line in function.log_lines() if "passed over" in line.get("message", "")]
    assert all("bucket or prefix of their own" in line["message"] for line in lines)
    return {line.get("object") or line["file"] for line in lines}


def test_files_of_tables_are_passed_over_and_objects_beside_them_are_loaded(tmp_path, s3, client):
    database = tmp_path / "catalog.db"
    catalog = {"type": "sql", "uri": f"sqlite://{database}", "warehouse": f"s3://{BUCKET}/tables"}
    config = {**settings.variables({"catalog": catalog}), **settings.aws(s3)}
    # One environment starts before the table exists, the other creates it.
    with Lambda(tmp_path / "early", config) as early, Lambda(tmp_path / "writer", config) as writer:
        put_logs(client, "raw/logs_1", 1, 2)
        assert events.failed(writer.invoke(told_of_everything(client))) == []
        own = [key for key in s3.keys(BUCKET) if not key.startswith("raw/")]
        assert {key.rpartition(".")[2] for key in own} == {"parquet", "avro", "json"}
        put_logs(client, "raw/logs_2", 3)
        for function in (early, writer):
            assert events.failed(function.invoke(told_of_everything(client))) == []
            assert passed_over(function) >= {f"s3://{BUCKET}/{key}" for key in own}
        # A file in the layout of writes without a catalog, in the same folder; no table has it yet.
        [data] = [key for key in own if key.endswith(".parquet")]
        day = "tables/otel/logs/Timestamp_day=2026-01-01/a.parquet"
        client.copy_object(Bucket=BUCKET, Key=day, CopySource={"Bucket": BUCKET, "Key": data})
        for function in (early, writer):
            assert events.failed(function.invoke(told_of_everything(client))) == []
            assert not any("Timestamp_day=2026-01-01" in one for one in passed_over(function))
    table = SqlCatalog("default", uri=f"sqlite:///{database}", **s3.properties()).load_table("otel.logs")
    bodies = sorted(table.scan().to_arrow()["Body"].to_pylist())
    assert bodies == ["1", "1", "2", "2", "3"]
    paths = table.inspect.files()["file_path"].to_pylist()
    assert len(paths) == len(set(paths)) == 3


def test_files_that_the_function_writes_without_a_catalog_are_passed_over(tmp_path, s3, client):
    config = {"ICEBERG_ENABLED": "false", "OTLP2ICEBERG_CATALOG_WAREHOUSE": f"s3://{BUCKET}/files", **settings.aws(s3)}
    with Lambda(tmp_path / "lambda", config) as function:
        put_logs(client, "raw/logs_1", 1)
        function.invoke(told_of_everything(client))
        written = [key for key in s3.keys(BUCKET) if key.startswith("files/")]
        assert len(written) == 1 and written[0].endswith(".parquet")
        assert events.failed(function.invoke(told_of_everything(client))) == []
        assert passed_over(function) == {f"s3://{BUCKET}/{written[0]}"}
        assert [key for key in s3.keys(BUCKET) if key.startswith("files/")] == written


def test_dead_letters_are_not_loaded_from_where_they_are_written_unless_they_are_listed(tmp_path, s3, client, warehouse):
    """Loading one would reject it again and create another dead letter, without end."""
    more = {"limits": {"records_per_request_max": 3}, "dead_letter": {"path": f"s3a://{BUCKET}/dead/"}}
    config = {**settings.sqlite(warehouse), **settings.variables(more), **settings.aws(s3)}
    # This key only shares a prefix with the folder's name.
    put_logs(client, "deadline/logs_1", 7)
    with Lambda(tmp_path / "lambda", config) as function:
        put_logs(client, "raw/logs_1", *range(10))
        function.invoke(told_of_everything(client))
        dead = [key for key in s3.keys(BUCKET) if key.startswith("dead/")]
        assert len([key for key in dead if key.endswith(".pb")]) == 1
        assert events.failed(function.invoke(told_of_everything(client))) == []
        assert [key for key in s3.keys(BUCKET) if key.startswith("dead/")] == dead
    assert stored(warehouse) == {7: 1}
    # A person removes the cause and loads the letters explicitly.
    raised = settings.variables({"limits": {"records_per_request_max": 10}})
    with Lambda(tmp_path / "mended", {**config, **raised}) as function:
        function.invoke({"objects": [f"s3://{BUCKET}/{key}" for key in dead if key.endswith(".pb")]})
    assert stored(warehouse) == dict.fromkeys(range(10), 1) | {7: 2}
