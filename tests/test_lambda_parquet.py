"""The Lambda and Parquet files: it writes them without a catalog, and registers them in tables by their footers."""

from __future__ import annotations

import io
import json
import time
from datetime import UTC, datetime, timedelta

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.table.name_mapping import create_mapping_from_schema, parse_mapping_from_json

from catalogs.reading import read_duckdb
from catalogs.s3 import S3Server
from lambda_host import events, settings
from lambda_host.emulator import Failed, Lambda
from o2i import compare, corpus, parquet, readers
from o2i.numbered import request as numbered
from o2i.tables import TABLES, TIME_COLUMN

BUCKET = "lake"
PROTOBUF = {"content-type": "application/x-protobuf"}
FIXTURES = [one for one in corpus.fixtures() if one.rows is not None]
DAY = datetime(2024, 2, 29, tzinfo=UTC)


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    with S3Server(tmp_path_factory.mktemp("s3")) as server:
        server.make_bucket(BUCKET)
        yield server


@pytest.fixture
def config(s3, warehouse) -> dict[str, str]:
    return {**settings.sqlite(warehouse), **settings.aws(s3)}


@pytest.fixture
def function(tmp_path, config):
    with Lambda(tmp_path / "lambda", config) as environment:
        yield environment


@pytest.fixture
def put(client, request):
    """Puts an object below a prefix of the test and returns its record."""
    prefix = request.node.name.partition("[")[0]

    def put(key: str, content: bytes) -> dict:
        key = f"{prefix}/{key}"
        answer = client.put_object(Bucket=BUCKET, Key=key, Body=content)
        return events.s3_record(BUCKET, key, answer["ETag"])

    return put


def without_catalog(warehouse) -> dict[str, str]:
    return {"ICEBERG_ENABLED": "false", "OTLP2ICEBERG_CATALOG_WAREHOUSE": str(warehouse)}


def send_corpus(environment: Lambda) -> None:
    for one in FIXTURES:
        answer = events.answer(environment.invoke(events.http(f"/v1/{one.signal}", one.payload, PROTOBUF)))
        assert answer.status == 200, (one.name, answer)


def assert_corpus(found: list, table: str, span: tuple[int, int], reader: str) -> None:
    expected = [row for one in FIXTURES for row in one.rows.get(table, [])]
    difference = compare.difference(expected, found, span, TIME_COLUMN[table])
    assert not difference, f"{table}, read by {reader}: {difference}"


def load(warehouse, table: str, s3: S3Server):
    loaded = readers.load(warehouse, table)
    loaded.io.properties.update(s3.properties())
    return loaded


def read_both(warehouse, table: str, s3: S3Server) -> dict[str, list]:
    loaded = load(warehouse, table, s3)
    return {"pyiceberg": readers.read_pyiceberg(loaded), "duckdb": read_duckdb(loaded, s3)}


def bodies(warehouse, s3: S3Server) -> list[int]:
    """The numbers in the table of logs, by both readers."""
    by_pyiceberg, by_duckdb = read_both(warehouse, "logs", s3).values()
    assert compare.difference(by_pyiceberg, by_duckdb) == ""
    return sorted(int(row["Body"]) for row in by_duckdb)


def snapshots(warehouse, table: str = "logs") -> int:
    return len(readers.load(warehouse, table).metadata.snapshots)


def logs(*numbers: int, step: timedelta = timedelta(seconds=1)) -> pa.Table:
    """Some columns of the table of logs, a row for each number."""
    return pa.table(
        {
            "Timestamp": pa.array([DAY + n * step for n in numbers], pa.timestamp("us", tz="UTC")),
            "ServiceName": pa.array(["numbered"] * len(numbers), pa.string()),
            "Body": pa.array([str(n) for n in numbers], pa.string()),
            "SeverityNumber": pa.array([9 if n % 2 else None for n in numbers], pa.int32()),
            "LogAttributes": pa.array([[("n", str(n))] for n in numbers], pa.map_(pa.string(), pa.string())),
        }
    )


def test_without_a_catalog_there_are_files_by_day_and_nothing_else(tmp_path, warehouse):
    begun = time.time_ns() // 1000
    with Lambda(tmp_path / "lambda", without_catalog(warehouse)) as environment:
        send_corpus(environment)
        assert sum(environment.metrics("Rows")) == sum(len(rows) for one in FIXTURES for rows in one.rows.values())
    span = (begun, time.time_ns() // 1000)
    files = [path for path in warehouse.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".parquet"}
    for table in TABLES:
        day = f"{TIME_COLUMN[table]}_day"
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            query = "SELECT * FROM read_parquet(?, hive_partitioning = true)"
            found = connection.execute(query, [f"{warehouse}/otel/{table}/{day}=*/*.parquet"]).to_arrow_table()
        for row in found.select([day, TIME_COLUMN[table]]).to_pylist():
            assert row[day] == row[TIME_COLUMN[table]].date(), row
        assert_corpus(readers.rows_of(found.drop_columns([day])), table, span, "duckdb's read_parquet")


def test_without_a_catalog_a_repeated_body_writes_the_same_bytes_to_the_same_place(tmp_path, warehouse):
    event = events.http("/v1/logs", numbered(range(50)).SerializeToString(), PROTOBUF)
    contents = []
    for number in range(3):
        # A fresh environment each time.
        with Lambda(tmp_path / f"lambda{number}", without_catalog(warehouse)) as environment:
            assert events.answer(environment.invoke(event)).status == 200
        contents.append({path: path.read_bytes() for path in warehouse.rglob("*.parquet")})
    assert len(contents[0]) == 1 and contents[0] == contents[1] == contents[2]


def test_files_written_without_a_catalog_are_registered_later(tmp_path, s3, warehouse):
    begun = time.time_ns() // 1000
    with Lambda(tmp_path / "files", {**without_catalog(f"s3://{BUCKET}/raw"), **settings.aws(s3)}) as environment:
        send_corpus(environment)
    span = (begun, time.time_ns() // 1000)
    client = s3.client()
    listed = client.list_objects_v2(Bucket=BUCKET, Prefix="raw/")["Contents"]
    client.close()
    assert len(listed) >= len(TABLES) and all(one["Key"].startswith("raw/otel/") for one in listed)
    event = events.sqs(*(events.s3(events.s3_record(BUCKET, one["Key"], one["ETag"])) for one in listed))
    with Lambda(tmp_path / "lambda", {**settings.sqlite(warehouse), **settings.aws(s3)}) as environment:
        for _ in range(2):
            assert events.failed(environment.invoke(event)) == []
        assert sum(environment.metrics("RegisteredFiles")) == len(listed)
    for table in TABLES:
        assert snapshots(warehouse, table) == 1, table
        assert {row["file_path"] for row in load(warehouse, table, s3).inspect.files().to_pylist()} == {
            f"s3://{BUCKET}/{one['Key']}" for one in listed if f"/{table}/" in one["Key"]
        }
        for reader, found in read_both(warehouse, table, s3).items():
            assert_corpus(found, table, span, reader)


@pytest.mark.parametrize("writer", [parquet.by_pyarrow, parquet.by_duckdb])
def test_files_of_other_writers_are_registered_in_every_table(writer, tmp_path, s3, put, function, warehouse):
    with Lambda(tmp_path / "files", without_catalog(tmp_path / "files")) as environment:
        send_corpus(environment)
    records, expected = [], {table: [] for table in TABLES}
    for number, path in enumerate((tmp_path / "files" / "otel").rglob("*.parquet")):
        data = pq.read_table(path, partitioning=None)
        content = writer(data.cast(parquet.without_ids(data.schema)))
        # The rows as the file has them, because DuckDB writes 0.0 for a -0.0 next to a 0.0.
        expected[path.parent.parent.name] += readers.rows_of(pq.read_table(io.BytesIO(content)))
        # The columns identify the table, because no folder names it.
        records.append(put(f"{number} of {path.parent.name}.parquet", content))
    assert events.failed(function.invoke(events.sqs(*map(events.s3, records)))) == []
    for table in TABLES:
        loaded = load(warehouse, table, s3)
        assert "schema.name-mapping.default" in loaded.properties
        for reader, found in read_both(warehouse, table, s3).items():
            assert len(found) > 0
            difference = compare.difference(expected[table], found)
            assert not difference, f"{table}, read by {reader}: {difference}"


def test_metrics_in_the_manifest_are_those_of_the_rows(s3, put, function, warehouse):
    rows = logs(*range(1000))
    written = io.BytesIO()
    pq.write_table(rows, written, row_group_size=300)
    record = put("otel/logs/a.parquet", written.getvalue())
    function.invoke(events.s3(record))
    table = load(warehouse, "logs", s3)
    [file] = table.inspect.files().to_pylist()
    ids = {field.name: field.field_id for field in table.schema().fields}
    assert (file["record_count"], file["file_size_in_bytes"]) == (1000, len(written.getvalue()))
    assert file["partition"] == {"Timestamp_day": DAY.date()}
    assert file["split_offsets"] == [4]
    metrics = file["readable_metrics"]
    assert metrics["Timestamp"]["lower_bound"] == DAY
    assert metrics["Timestamp"]["upper_bound"] == DAY + timedelta(seconds=999)
    assert (metrics["Body"]["lower_bound"], metrics["Body"]["upper_bound"]) == ("0", "999")
    assert (metrics["SeverityNumber"]["value_count"], metrics["SeverityNumber"]["null_value_count"]) == (1000, 500)
    footer = pq.ParquetFile(io.BytesIO(written.getvalue())).metadata
    bodies = [footer.row_group(group).column(2) for group in range(footer.num_row_groups)]
    assert dict(file["column_sizes"])[ids["Body"]] == sum(body.total_compressed_size for body in bodies)


def test_parquet_and_otlp_of_one_event_are_one_snapshot(s3, put, function, warehouse):
    records = [
        put("logs/a.parquet", parquet.by_pyarrow(logs(0, 1))),
        put("logs_2", numbered([2]).SerializeToString()),
        put("logs/b.parquet", parquet.by_duckdb(logs(3, 4))),
        put("logs_5", numbered([5]).SerializeToString()),
    ]
    function.invoke(events.s3(*records))
    assert bodies(warehouse, s3) == list(range(6))
    assert snapshots(warehouse) == 1
    assert (sum(function.metrics("RegisteredFiles")), sum(function.metrics("RegisteredRows"))) == (2, 4)


def test_objects_may_be_listed_and_are_taken_once_however_they_are_told(s3, put, function, warehouse):
    records = [put("logs/ü 1+2.parquet", parquet.by_pyarrow(logs(1, 2))), put("logs_3", numbered([3]).SerializeToString())]
    prefix = "test_objects_may_be_listed_and_are_taken_once_however_they_are_told"
    listed = {"objects": [f"s3://{BUCKET}/{prefix}/logs/ü 1+2.parquet", f"s3://{BUCKET}/{prefix}/logs_3"]}
    for event in (listed, events.s3(*records), listed):
        assert function.invoke(event) is None
    assert bodies(warehouse, s3) == [1, 2, 3]
    with pytest.raises(Failed, match="s3://bucket/key"):
        function.invoke({"objects": ["logs_3"]})


def test_bad_files_fail_alone_with_their_reason(s3, put, function, warehouse):
    good = parquet.by_pyarrow(logs(1))
    other_type = logs(2).set_column(2, "Body", pa.array([2], pa.int64()))
    nanoseconds = logs(3).set_column(0, "Timestamp", pa.array([DAY], pa.timestamp("ns", tz="UTC")))
    no_time = logs(4).set_column(0, "Timestamp", pa.array([None], pa.timestamp("us", tz="UTC")))

    def with_id(number):
        fields = [pa.field(f.name, f.type, metadata={"PARQUET:field_id": number}) for f in logs(5).schema.remove(4)]
        return parquet.by_pyarrow(logs(5).drop_columns(["LogAttributes"]).cast(pa.schema(fields)))

    huge_footer = good[:-8] + b"\xff\xff\xff\x7fPAR1"
    bad = {
        "no_parquet": (b"hello, this is no Parquet file", "does not end with PAR1"),
        "short": (b"PAR1", "too short"),
        "cut": (good[:-20], "does not end with PAR1"),
        "footer_larger_than_file": (huge_footer, "larger than the file"),
        "footer_broken": (good[:-40] + b"\xff" * 32 + good[-8:], "footer cannot be read"),
        "two_days": (parquet.by_pyarrow(logs(0, 1, step=timedelta(days=1))), "Timestamp_day"),
        "no_time_column": (parquet.by_pyarrow(logs(1).drop_columns(["Timestamp"])), "Timestamp is required"),
        "null_time": (parquet.by_pyarrow(no_time), "Timestamp is required"),
        "other_type": (parquet.by_pyarrow(other_type), "Body is INT64 in the file and string in the table"),
        "nanoseconds": (parquet.by_pyarrow(nanoseconds), "Timestamp is INT64"),
        "other_column": (parquet.by_pyarrow(logs(1).append_column("Mine", pa.array(["x"]))), "Mine is in the file and not"),
        "other_ids": (with_id("7"), "field id 7"),
        # Java goes by such ids, too, and finds no column.
        "zeros_as_ids": (with_id("0"), "field id 0"),
    }
    records = [put(f"logs/{name}.parquet", content) for name, (content, _) in bad.items()]
    records.insert(3, put("logs/good.parquet", good))
    records.append(put("elsewhere/a.parquet", good))
    returned = function.invoke(events.sqs(*map(events.s3, records)))
    assert events.failed(returned) == [f"m{number}" for number in range(len(records)) if number != 3]
    assert bodies(warehouse, s3) == [1]
    told = function.errors()
    for name, reason in {**{name: reason for name, (_, reason) in bad.items()}, "a": "not known which table"}.items():
        assert any(f"/{name}.parquet" in line["object"] and reason in line["error"] for line in told), (name, reason, told)
    # Bad files fail again, and good files are not added again.
    again = function.invoke(events.sqs(*map(events.s3, records)))
    assert events.failed(again) == events.failed(returned)
    assert bodies(warehouse, s3) == [1]


def test_where_registration_is_off_a_file_fails_alone_with_what_to_do(tmp_path, s3, config, put, warehouse):
    records = [put("logs/a.parquet", parquet.by_pyarrow(logs(1))), put("logs_2", numbered([2]).SerializeToString())]
    event = events.sqs(*map(events.s3, records))
    # A queue gives it to a process of its own from the third time on.
    again = events.sqs(*map(events.s3, records))
    for record in again["Records"]:
        record["attributes"]["ApproximateReceiveCount"] = "3"
    with Lambda(tmp_path / "off", {**config, "OTLP2ICEBERG_REGISTER_PARQUET": "false"}) as environment:
        for batch in (event, again):
            assert events.failed(environment.invoke(batch)) == ["m0"]
        told = environment.errors()
        assert {line["kind"] for line in told} == {"invalid_argument"}
        assert all("set that variable to true" in line["error"] and "/logs/a.parquet@" in line["object"] for line in told)
        with pytest.raises(Failed, match="OTLP2ICEBERG_REGISTER_PARQUET is false"):
            environment.invoke(events.s3(records[0]))
    assert bodies(warehouse, s3) == [2]
    with Lambda(tmp_path / "on", {**config, "OTLP2ICEBERG_REGISTER_PARQUET": "true"}) as environment:
        assert events.failed(environment.invoke(event)) == []
    assert bodies(warehouse, s3) == [1, 2]


def test_other_content_in_the_place_of_a_registered_file_is_refused(s3, put, function, warehouse):
    before = put("logs/a.parquet", parquet.by_pyarrow(logs(1)))
    function.invoke(events.s3(before))
    after = put("logs/a.parquet", parquet.by_pyarrow(logs(2)))
    with pytest.raises(Failed, match="never be overwritten"):
        function.invoke(events.s3(after))
    # The event of the old content says nothing about the current content.
    assert function.invoke(events.s3(before)) is None
    assert snapshots(warehouse) == 1


def test_two_environments_given_the_same_file_register_it_once(tmp_path, s3, config, put, warehouse):
    event = events.s3(put("logs/a.parquet", parquet.by_pyarrow(logs(1, 2))))
    with Lambda(tmp_path / "a", config) as one, Lambda(tmp_path / "b", config) as other:
        begun = [environment.begin(event) for environment in (one, other)]
        assert [environment.result(run) for environment, run in zip((one, other), begun, strict=True)] == [None, None]
    assert bodies(warehouse, s3) == [1, 2]


def test_a_table_that_may_not_change_needs_a_name_mapping_first(tmp_path, s3, config, put, warehouse):
    event = events.s3(put("logs/a.parquet", parquet.by_pyarrow(logs(1))))
    fixed = settings.variables({"tables": {"auto_evolve": False}})
    with Lambda(tmp_path / "lambda", {**config, **fixed}) as environment:
        with pytest.raises(Failed, match=r"schema\.name-mapping\.default"):
            environment.invoke(event)
        table = readers.load(warehouse, "logs")
        wrong = json.dumps([{"field-id": 3, "names": ["Timestamp"]}])
        table.transaction().set_properties({"schema.name-mapping.default": wrong}).commit_transaction()
    with Lambda(tmp_path / "again", {**config, **fixed}) as environment, pytest.raises(Failed, match="does not lead"):
        environment.invoke(event)


def test_a_column_that_is_added_later_is_read_from_files_without_ids(tmp_path, s3, config, put, warehouse):
    with Lambda(tmp_path / "before", config) as environment:
        environment.invoke(events.s3(put("logs/a.parquet", parquet.by_pyarrow(logs(1)))))
    more = settings.variables({"tables": {"attribute_columns": "n"}})
    content = parquet.by_pyarrow(logs(2).append_column("N", pa.array(["two"])))
    with Lambda(tmp_path / "after", {**config, **more}) as environment:
        environment.invoke(events.s3(put("logs/b.parquet", content)))
    table = load(warehouse, "logs", s3)
    mapping = parse_mapping_from_json(table.properties["schema.name-mapping.default"])
    assert mapping == create_mapping_from_schema(table.schema())
    for reader, rows in read_both(warehouse, "logs", s3).items():
        assert {row["Body"]: row["N"] for row in rows} == {"1": None, "2": "two"}, reader


@pytest.mark.parametrize("kind", ["s3tables", "none"])
def test_where_nothing_can_be_registered_it_is_said(kind, tmp_path, s3, put, warehouse):
    event = events.s3(put("logs/a.parquet", parquet.by_pyarrow(logs(1))))
    arn = "arn:aws:s3tables:us-east-2:123456789012:bucket/tables"
    catalog = {"type": kind, "warehouse": arn if kind == "s3tables" else str(warehouse)}
    if kind == "s3tables":
        catalog |= {"s3tables_api": "native", "uri": s3.endpoint}
    variables = {**settings.variables({"catalog": catalog}), **settings.aws(s3)}
    with Lambda(tmp_path / "lambda", variables) as environment:
        with pytest.raises(Failed, match="S3 Tables" if kind == "s3tables" else "no catalog to register"):
            environment.invoke(event)
