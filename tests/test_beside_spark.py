"""Spark and pyiceberg write to, change and maintain the same tables while the Collector writes."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.types import StringType

from catalogs.exporting import send_numbers, settings
from catalogs.reading import load, read_all, rows_hash, wait_for_rows
from catalogs.reference import ReferenceCatalog
from catalogs.soak import run as soak
from o2i import collector as o2i_collector
from o2i import corpus, readers
from o2i.collector import REPOSITORY, Collector
from o2i.corpus.build import SPAN_A, TRACE_A, attributes, value
from o2i.expect import Row
from o2i.otlp import REQUEST
from o2i.senders import Senders
from o2i.tables import TIME_COLUMN
from spark.session import Spark

LOGS, TRACES = corpus.fixture("logs"), corpus.fixture("traces")
# First numbers of the other writers; they do not overlap with ours.
OF_SPARK, OF_PYICEBERG = 1_000_000_000, 2_000_000_000


class Table:
    """The table of logs in a namespace, opened by each of the programs."""

    def __init__(self, reference: ReferenceCatalog, namespace: str):
        self.namespace = namespace
        self.catalog = reference.client()
        self.spark = reference.spark()
        self.name = self.spark.name("logs", namespace)
        self.exporter = settings(reference.settings(namespace=namespace))

    def wait_for(self, rows: int) -> None:
        """Waits until the table has `rows` rows."""
        wait_for_rows(self.catalog, {"logs": rows}, self.namespace)

    def load(self):
        """The current table, opened by pyiceberg."""
        return load(self.catalog, "logs", self.namespace)

    def read(self) -> dict[str, list[Row]]:
        """All rows as each reader returns them."""
        return read_all(self.catalog, self.spark, "logs", namespace=self.namespace)

    def holds(self, numbers) -> None:
        """Asserts for every reader that each of the numbers is there once, and nothing else."""
        wanted = Counter(numbers)
        for reader, rows in self.read().items():
            found = Counter(int(row["Body"]) for row in rows)
            assert found == wanted, f"{reader}: missing {list((wanted - found).items())[:5]}, surplus {list((found - wanted).items())[:5]}"

    def insert(self, number: int) -> None:
        """Inserts one row with Spark."""
        values = {"Timestamp": "current_timestamp()", "Body": f"'{number}'"}
        columns = self.spark.session.table(self.name).columns
        self.spark.sql(f"INSERT INTO {self.name} SELECT {', '.join(values.get(name, 'NULL') for name in columns)}")

    def alter(self, change: str) -> None:
        """Changes the table with Spark."""
        self._again(lambda: self.spark.sql(f"ALTER TABLE {self.name} {change}"))

    def delete(self, numbers: set[int]) -> None:
        """Deletes rows with Spark."""
        self._again(lambda: self.spark.sql(f"DELETE FROM {self.name} WHERE CAST(Body AS int) IN {tuple(numbers)}"))

    def append(self, number: int) -> None:
        """Appends one row with pyiceberg, which fails when it loses a race. Retries on the reloaded table then."""
        again_after_lost_races(lambda table: table.append(_row(table, number)), self.load)

    def row_ids(self) -> dict[int, int]:
        """Each number's row id (format v3), as Spark reads it."""
        rows = self.spark.sql(f"SELECT CAST(Body AS int) AS number, _row_id AS id FROM {self.name}")
        return {row["number"]: row["id"] for row in rows}

    def upkeep(self, *procedures: tuple[str, str]) -> None:
        """Calls Spark procedures, each given with its additional arguments."""
        for procedure, arguments in procedures:
            self._again(lambda p=procedure, a=arguments: self.spark.call(p, f"table => '{self.namespace}.logs'{a}"))

    def _again(self, run: Callable) -> None:
        """Runs a Spark operation and retries where Spark does not: when the columns changed, or when another writer
        merged manifests in the meantime."""

        def once(_) -> None:
            try:
                run()
            except Exception as error:
                if not any(name in str(error) for name in ("CommitFailedException", "ValidationException")):
                    raise
                raise CommitFailedException("Spark lost a race") from error

        again_after_lost_races(once, self.load)


COMPACT = ("rewrite_data_files", ", options => map('min-input-files', '2')")
REWRITE_MANIFESTS = ("rewrite_manifests", "")
EXPIRE = ("expire_snapshots", ", older_than => current_timestamp(), retain_last => 500")
EXPIRE_ALL = ("expire_snapshots", ", older_than => current_timestamp(), retain_last => 1")


def documented(section: str) -> list[str]:
    """The SQL statements of a section of docs/operations/maintenance.md, for the catalog `default`."""
    page = (REPOSITORY / "docs" / "operations" / "maintenance.md").read_text()
    text = re.search(rf"^#+ {section}\n(.*?)^#", page, re.MULTILINE | re.DOTALL)[1]
    sql = "\n".join(re.findall(r"^```sql\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    statements = re.sub(r"--.*", "", sql).replace("catalog.", "default.").split(";")
    return [statement.strip() for statement in statements if statement.strip()]


@pytest.fixture
def table(reference, namespace):
    opened = Table(reference, namespace)
    yield opened
    opened.catalog.close()


def test_a_session_as_documented_sees_what_was_committed_meanwhile(warehouse, tmp_path):
    """The settings of examples/queries/spark.sql, on SQLite, beside a Collector."""
    with Collector(tmp_path / "collector", {"iceberg": o2i_collector.settings(warehouse)}) as collector:

        def send(first: int) -> None:
            send_numbers(collector, range(first, first + 10))
            readers.wait_for_rows(warehouse, {"logs": first + 10})

        send(0)
        spark = Spark.documented(tmp_path)
        count = "SELECT count(*) AS rows FROM default.otel.logs"
        assert spark.sql(count) == [{"rows": 10}]
        # Within the 30 s for which Iceberg's cache would keep the table.
        send(10)
        assert spark.sql(count) == [{"rows": 20}]
        send(20)
        spark.call("expire_snapshots", f"table => 'otel.logs'{EXPIRE_ALL[1]}")
        assert spark.sql(count) == [{"rows": 30}]
    assert len(readers.load(warehouse, "logs").metadata.snapshots) == 1


def test_the_documented_expiry_follows_the_properties_of_the_table(warehouse, tmp_path):
    """A table without them keeps its snapshots of five days. It is given them as documented, then others."""
    expire, give = documented("With other maintenance")
    assert (expire, "SET TBLPROPERTIES" in give) == ("CALL default.system.expire_snapshots(table => 'otel.logs')", True)
    exporter = {**o2i_collector.settings(warehouse), "commit": {"expire_snapshots": False}}

    def snapshots() -> int:
        return len(readers.load(warehouse, "logs").metadata.snapshots)

    with Collector(tmp_path / "collector", {"iceberg": exporter}) as collector:
        for first in range(0, 50, 10):
            send_numbers(collector, range(first, first + 10))
            readers.wait_for_rows(warehouse, {"logs": first + 10})
        committed = snapshots()
        assert committed >= 5
        spark = Spark.documented(tmp_path)
        spark.sql(expire)
        assert snapshots() == committed
        spark.sql(give)
        properties = readers.load(warehouse, "logs").properties
        assert properties["history.expire.max-snapshot-age-ms"] == "3600000"
        assert properties["history.expire.min-snapshots-to-keep"] == "500"
        spark.sql(expire)
        assert snapshots() == committed
        spark.sql(give.replace("3600000", "0").replace("500", "2"))
        spark.sql(expire)
        assert snapshots() == 2
    assert spark.sql("SELECT count(*) AS rows FROM default.otel.logs") == [{"rows": 50}]


def test_no_statement_of_the_documentation_calculates_the_age():
    """Spark 4.0 takes `current_timestamp()` there and nothing that is calculated from it."""
    pages = [REPOSITORY / "examples" / "queries" / "spark.sql", *(REPOSITORY / "docs").rglob("*.md")]
    calls = [call for page in pages for call in re.findall(r"^CALL .*expire_snapshots\((.*)\);", page.read_text(), re.MULTILINE)]
    assert len(calls) >= 5
    given = {older for call in calls for older in re.findall(r"older_than => (.*?)(?:, \w+ =>|$)", call)}
    assert given == {"current_timestamp()"}


def telemetry_of_people() -> dict:
    """A request for each of three tables: of the person in the documentation, of others, and of nobody."""
    now, person = time.time_ns(), {"user.id": "42"}

    def log(body: str, of: dict | None = None) -> dict:
        return {"time_unix_nano": now, "body": value(body), "attributes": attributes(of)}

    def span(name: str, of: dict | None = None, *events: dict) -> dict:
        ids = {"trace_id": TRACE_A, "span_id": SPAN_A}
        return {**ids, "name": name, "start_time_unix_nano": now, "attributes": attributes(of), "events": events}

    def event(of: dict | None) -> dict:
        return {"time_unix_nano": now, "name": "event", "attributes": attributes(of)}

    def point(number: int, of: dict | None = None) -> dict:
        return {"time_unix_nano": now, "as_int": number, "attributes": attributes(of)}

    logs = [log("person", person), log("to jane@example.com"), log("other", {"user.id": "420"}), log("nobody")]
    spans = [
        span("person", person),
        span("person", None, event(None), event(person)),
        span("other", {"user.id": "7"}, event({"user.id": "7"})),
        span("nobody"),
    ]
    points = [point(0, person), point(1, {"user.id": "7"}), point(2)]
    counter = {"name": "visits", "sum": {"data_points": points, "aggregation_temporality": 2}}
    return {
        "logs": REQUEST["logs"](resource_logs=[{"scope_logs": [{"log_records": logs}]}]),
        "traces": REQUEST["traces"](resource_spans=[{"scope_spans": [{"spans": spans}]}]),
        "metrics_sum": REQUEST["metrics"](resource_metrics=[{"scope_metrics": [{"metrics": [counter]}]}]),
    }


def test_rows_of_one_person_are_deleted_as_documented(warehouse, tmp_path):
    """Rows of others and of nobody stay, and so does the file that has no other rows. The old files are deleted."""
    *deletes, expire = documented("Deleting rows of one person")
    requests = telemetry_of_people()
    counts = {"logs": 4, "traces": 4, "metrics_sum": 3}
    assert len(deletes) == len(requests)
    with Collector(tmp_path / "collector", {"iceberg": o2i_collector.settings(warehouse)}) as collector:
        with collector.client() as client:
            for request in requests.values():
                client.send(request)
        readers.wait_for_rows(warehouse, counts)
        # A file without rows of the person.
        send_numbers(collector, range(10))
        readers.wait_for_rows(warehouse, {"logs": counts["logs"] + 10})
        spark = Spark.documented(tmp_path)
        before = {name: set(readers.files_of(readers.load(warehouse, name))) for name in counts}
        for statement in deletes:
            spark.sql(statement)
    for name in counts:
        spark.sql(expire.replace("otel.logs", f"otel.{name}"))
    tables = {name: readers.load(warehouse, name) for name in counts}
    rows = {name: readers.read_duckdb(table) for name, table in tables.items()}
    assert sorted(row["Body"] for row in rows["logs"]) == sorted(["nobody", "other", *map(str, range(10))])
    assert sorted(row["SpanName"] for row in rows["traces"]) == ["nobody", "other"]
    assert sorted(row["ValueInt"] for row in rows["metrics_sum"]) == [1, 2]
    kept = {name: before[name] & set(readers.files_of(table)) for name, table in tables.items()}
    assert {name: len(files) for name, files in kept.items()} == {"logs": 1, "traces": 0, "metrics_sum": 0}
    for name, table in tables.items():
        assert len(table.metadata.snapshots) == 1
        assert {path for path in before[name] if path.exists()} == kept[name]


def test_columns_that_spark_adds_are_left_empty_and_ours_stay_right(table, tmp_path):
    """Complete rows of the corpus, before and after columns are added at the top, in the middle and inside a list."""
    sent = [(one, rows) for one in (LOGS, TRACES) for rows in one.rows.values()]
    begun = time.time_ns() // 1000
    with Collector(tmp_path, {"iceberg": table.exporter}) as collector, collector.client() as client:
        for one, _ in sent:
            client.send(one.payload, "grpc", one.signal)
        wait_for_rows(table.catalog, {one.name: len(rows) for one, rows in sent}, table.namespace)
        table.spark.sql(f"ALTER TABLE {table.name} ADD COLUMN Team string FIRST")
        table.spark.sql(f"ALTER TABLE {table.name} ADD COLUMN Cost double AFTER Body")
        table.spark.sql(f"ALTER TABLE {table.name} ALTER COLUMN Body AFTER Timestamp")
        traces = table.spark.name("traces", table.namespace)
        table.spark.sql(f"ALTER TABLE {traces} ADD COLUMN Events.element.Note string")
        for one, _ in sent:
            client.send(one.payload, "grpc", one.signal)
        wait_for_rows(table.catalog, {one.name: 2 * len(rows) for one, rows in sent}, table.namespace)
    ended = time.time_ns() // 1000
    added = {
        "logs": lambda row: {**row, "Team": None, "Cost": None},
        "traces": lambda row: {**row, "Events": row["Events"] and [{**event, "Note": None} for event in row["Events"]]},
    }
    for one, rows in sent:
        expected = rows_hash([added[one.name](row) for row in rows] * 2)
        for reader, found in read_all(table.catalog, table.spark, one.name, namespace=table.namespace).items():
            assert rows_hash(found, (begun, ended), TIME_COLUMN[one.name]) == expected, f"{one.name}, {reader}"


def test_we_go_on_after_each_kind_of_upkeep(table, tmp_path):
    """Compaction, manifest rewrites and expiry of all snapshots but the last, each between two of our commits."""
    upkeep = [[COMPACT], [REWRITE_MANIFESTS], [EXPIRE_ALL], [COMPACT, REWRITE_MANIFESTS, EXPIRE_ALL]]
    sent = 0
    with Collector(tmp_path, {"iceberg": table.exporter}) as collector:
        for procedures in upkeep:
            for _ in range(3):
                send_numbers(collector, range(sent, sent + 10))
                sent += 10
                table.wait_for(sent + others(sent))
            table.insert(OF_SPARK + sent)
            table.append(OF_PYICEBERG + sent)
            table.upkeep(*procedures)
            assert len(table.load().inspect.files()) < 5 or COMPACT not in procedures
        assert len(table.load().metadata.snapshots) == 1
        send_numbers(collector, range(sent, sent + 10))
        table.wait_for(sent + 10 + others(sent + 10))
        assert "Exporting failed" not in collector.log()
    theirs = [first + number for first in (OF_SPARK, OF_PYICEBERG) for number in range(30, sent + 1, 30)]
    table.holds([*range(sent + 10), *theirs])


def others(sent: int) -> int:
    """The number of rows that the others have written by the time that `sent` of ours are stored."""
    return 2 * ((sent - 1) // 30)


def test_nothing_is_lost_or_doubled_while_others_compact_append_and_add_columns(table, tmp_path):
    """At the same time on one table: our appends, pyiceberg's, and Spark's appends, new columns and maintenance."""
    of_spark = iter(range(OF_SPARK, OF_PYICEBERG))
    inserted: list[int] = []

    def insert() -> None:
        table.insert(number := next(of_spark))
        inserted.append(number)

    # Slow enough that a writer that needs a second per attempt can succeed at all.
    exporter = {**table.exporter, "sending_queue": {"batch": {"flush_timeout": "1s"}}}
    with Collector(tmp_path, {"iceberg": exporter}) as collector:
        send_numbers(collector, range(10))
        table.wait_for(10)
        # The others get a hundred retries after lost races instead of four.
        table.spark.sql(f"ALTER TABLE {table.name} SET TBLPROPERTIES ('commit.retry.num-retries'='100')")
        with Senders(collector, count=1, first=10, pause_seconds=0.02) as ours, Appending(table) as theirs:
            for number in range(3):
                table.upkeep(COMPACT)
                table.alter(f"ADD COLUMN of_spark_{number} string")
                insert()
                table.upkeep(REWRITE_MANIFESTS, EXPIRE)
                again_after_lost_races(lambda opened, n=number: _add_column(opened, f"of_pyiceberg_{n}"), table.load)
                insert()
        numbers = [*range(10), *ours.acknowledged, *theirs.appended, *inserted]
        table.wait_for(len(numbers))
        assert "Exporting failed" not in collector.log()
    table.holds(numbers)
    operations = [snapshot.summary.operation.value for snapshot in table.load().metadata.snapshots]
    assert operations.count("replace") >= 2, operations
    assert "append" in operations[operations.index("replace") : -operations[::-1].index("replace")], "nobody wrote meanwhile"
    names = [field.name for field in table.load().schema().fields]
    assert {f"of_{who}_{number}" for who in ("spark", "pyiceberg") for number in range(3)} <= set(names)


def test_many_collectors_write_one_table_and_none_gives_up(reference, namespace, tmp_path):
    """The short form of `make soak`. All start at once on an empty namespace. They may not meet in a short run."""
    for seconds in (8, 16, 32):
        report = soak(tmp_path / str(seconds), reference, f"{namespace}_{seconds}", writers=3, seconds=seconds)
        assert report.stored == Counter(report.acknowledged), report
        assert not any(report.failed_calls), report
        assert min(report.commits) > 1, f"one starves: {report}"
        if sum(report.conflicts) > 0:
            break
    assert sum(report.conflicts) > 0, f"they never met: {report}"


@pytest.mark.parametrize("version", [2, 3])
def test_rows_that_spark_deletes_one_by_one_stay_deleted(table, version, tmp_path):
    """Delete files (v2) and deletion vectors (v3) keep applying, and rows keep their ids (v3), while we commit and merge."""
    exporter = {**table.exporter, "compaction": {"interval": "1s", "min_files": 2}}
    deleted = {3, 13, 14}
    with Collector(tmp_path, {"iceberg": exporter}) as collector:

        def send(first: int) -> None:
            send_numbers(collector, range(first, first + 10))
            table.wait_for(first + 10)

        # A new table is merged from the start, so that deletes also meet merged files.
        for first in (0, 10):
            send(first)
        table.alter(f"SET TBLPROPERTIES ('format-version'='{version}', 'write.delete.mode'='merge-on-read')")
        send(20)
        table.delete(deleted)
        before = table.row_ids() if version == 3 else {}
        for first in (30, 40, 50):
            send(first)
        assert "Exporting failed" not in collector.log()
    opened = table.load()
    assert opened.metadata.format_version == version
    assert int(opened.current_snapshot().summary["total-delete-files"]) > 0, "Spark rewrote the files instead"
    wanted = sorted(set(range(60)) - deleted)
    found = {"spark": table.spark.read("logs", table.namespace)}
    if version == 2:
        found = table.read()
    for reader, rows in found.items():
        assert sorted(int(row["Body"]) for row in rows) == wanted, reader
    if version == 3:
        after = table.row_ids()
        assert {number: after[number] for number in before} == before
        assert len(set(after.values())) == len(after) == len(wanted)


class Appending:
    """A thread in which pyiceberg appends rows until the block ends."""

    def __init__(self, table: Table):
        self.appended: list[int] = []
        self._table = table
        self._failures: list[BaseException] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Appending:
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stop.set()
        self._thread.join()
        assert not self._failures, self._failures

    def _run(self) -> None:
        try:
            while not self._stop.wait(0.3):
                number = OF_PYICEBERG + len(self.appended)
                self._table.append(number)
                self.appended.append(number)
        except BaseException as failure:
            self._failures.append(failure)


def again_after_lost_races(change: Callable, open_table: Callable, tries: int = 50) -> None:
    """Changes a table; reloads it and retries whenever another writer was first."""
    for _ in range(tries):
        try:
            return change(open_table())
        except CommitFailedException as lost:
            last = lost
    raise AssertionError(f"lost {tries} races in a row") from last


def _add_column(table, name: str) -> None:
    with table.update_schema() as update:
        update.add_column(name, StringType())


def _row(table, number: int) -> pa.Table:
    schema = table.schema().as_arrow()
    values = {"Timestamp": [datetime.now(UTC)], "Body": [str(number)]}
    return pa.table({field.name: pa.array(values.get(field.name, [None]), field.type) for field in schema}, schema=schema)
