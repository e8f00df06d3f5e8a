"""The single local Spark process of a test run, with as many catalogs as tests need."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from functools import cache
from pathlib import Path

import pyarrow as pa

from o2i import readers
from o2i.collector import REPOSITORY
from o2i.expect import Row
from o2i.tables import NAMESPACE

JARS = ("iceberg-spark-runtime-4.0_2.13", "iceberg-aws-bundle", "sqlite-jdbc")
JAVA_OPTIONS = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"
# Settings that only a new process takes. This one has them, so all sessions do.
OF_THE_PROCESS = {"spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions"}
EXAMPLE = REPOSITORY / "examples" / "queries" / "spark.sql"


class Spark:
    """A Spark session with one catalog. The sessions of all tests share one process."""

    def __init__(self, catalog: str, settings: dict[str, str]):
        """`settings` are Spark's, by their full names; `catalog` is the name of the catalog among them."""
        self.session = running().newSession()
        self.catalog = catalog
        for name, value in settings.items():
            if name in OF_THE_PROCESS:
                assert value == OF_THE_PROCESS[name], f"{name} is {value}, and the process has {OF_THE_PROCESS[name]}"
            else:
                self.session.conf.set(name, value)

    @classmethod
    def documented(cls, folder: Path) -> Spark:
        """The session that the header of examples/queries/spark.sql opens in `folder`, above `warehouse`."""
        settings = re.findall(r"--conf (\S+)", EXAMPLE.read_text())
        return cls("default", dict(one.replace("$PWD", str(folder)).split("=", 1) for one in settings))

    @classmethod
    def on_catalog(cls, name: str, **properties: str) -> Spark:
        """A catalog with these properties. Without the cache, changes by other writers are visible at once."""
        prefix = f"spark.sql.catalog.{name}"
        settings = {f"{prefix}.{key}": value for key, value in {"cache-enabled": "false", **properties}.items()}
        return cls(name, {prefix: "org.apache.iceberg.spark.SparkCatalog", **settings})

    @classmethod
    def on_sqlite(cls, database: Path, warehouse: str, name: str = "default", **storage: str) -> Spark:
        """The SQLite catalog in `database`. Its name in Spark is its name in the database."""
        return cls.on_catalog(name, type="jdbc", uri=f"jdbc:sqlite:{database}", warehouse=warehouse, **storage)

    @classmethod
    def on_rest(cls, uri: str, **properties: str) -> Spark:
        """A REST catalog."""
        return cls.on_catalog("rest", type="rest", uri=uri, **properties)

    def name(self, table: str, namespace: str = NAMESPACE) -> str:
        """A table's name in SQL."""
        return f"{self.catalog}.{namespace}.{table}"

    def sql(self, statement: str) -> list[Row]:
        """Runs a statement on this catalog and returns its rows."""
        return rows_of(self.session.sql(statement))

    def call(self, procedure: str, arguments: str) -> list[Row]:
        """Calls one of Iceberg's procedures."""
        return self.sql(f"CALL {self.catalog}.system.{procedure}({arguments})")

    def read(self, table: str, namespace: str = NAMESPACE) -> list[Row]:
        """All rows of a table as it is now."""
        return rows_of(self.session.table(self.name(table, namespace)))


def rows_of(frame) -> list[Row]:
    """A DataFrame's rows in the other readers' format. Arrow keeps microseconds and the bits of doubles."""
    with warnings.catch_warnings():
        # Spark leaves the socket that transferred the rows open until Python's garbage collector closes it.
        warnings.simplefilter("ignore", ResourceWarning)
        return readers.rows_of(frame.toArrow())


@cache
def running():
    """The Spark process. The first call starts it; it ends with this process."""
    home = _installed()
    sys.path.append(str(home / "python"))
    from pyspark.sql import SparkSession

    folder = tempfile.mkdtemp(prefix="o2i-spark-")
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    builder = SparkSession.builder.master("local[2]").appName("otlp2iceberg-tests")
    for name, value in _settings(home, folder).items():
        builder = builder.config(name, value)
    made = builder.getOrCreate()
    made.sparkContext.setLogLevel("ERROR")
    atexit.register(_end, made, folder)
    return made


def _end(made, folder: str) -> None:
    made.stop()
    shutil.rmtree(folder, ignore_errors=True)


def _settings(home: Path, folder: str) -> dict[str, str]:
    jars = [str(next((home / "jars").glob(f"{name}-[0-9]*.jar"))) for name in JARS]
    return {
        "spark.driver.extraClassPath": ":".join(jars),
        "spark.driver.extraJavaOptions": f"{JAVA_OPTIONS} -Djava.io.tmpdir={folder} -Dderby.system.home={folder}",
        "spark.driver.memory": "1g",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.local.dir": folder,
        "spark.sql.warehouse.dir": f"{folder}/warehouse",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "2",
        **OF_THE_PROCESS,
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }


def _installed() -> Path:
    script = Path(__file__).with_name("setup.sh")
    done = subprocess.run([script], stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0, f"{script.parent.name}/{script.name} failed; what it says is above"
    return Path(done.stdout.strip())
