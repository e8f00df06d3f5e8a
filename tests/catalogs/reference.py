"""The reference Iceberg REST catalog: Apache Iceberg's server side (its Java tests' adapter) over JDBC on SQLite."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

from pyiceberg.catalog.rest import RestCatalog

from spark.session import Spark

from .child import Child
from .s3 import S3Server


class ReferenceCatalog:
    """One catalog in `folder`, with tables under `warehouse` (`file:` or `s3:`; the latter needs the server)."""

    def __init__(self, folder: Path, warehouse: str, s3: S3Server | None = None):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.warehouse = warehouse
        self._s3 = s3
        self._child = Child(self.folder / "reference-catalog.log")
        self.port = 0

    def __enter__(self) -> ReferenceCatalog:
        return self.start()

    def __exit__(self, *_) -> None:
        self.stop()

    def start(self) -> ReferenceCatalog:
        """Starts it, on the same port and with the same tables as before if it ran before."""
        home = installed()
        java = Path(os.environ["JAVA_HOME"]) / "bin" / "java" if os.environ.get("JAVA_HOME") else "java"
        properties = {
            "uri": f"jdbc:sqlite:{self.folder.resolve()}/reference.db?busy_timeout=30000",
            "warehouse": self.warehouse,
            **(self._s3.java_properties() if self._s3 else {"io-impl": "LocalFileIO"}),
        }
        options = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{home}/classes:{home}/jars/*"]
        arguments = [f"{name}={value}" for name, value in properties.items()]
        command = [java, *options, "ReferenceCatalog", self.port, *arguments]
        self.port = int(self._child.start(command, r"serving on (\d+)")[1])
        return self

    def stop(self) -> None:
        """Ends it; its tables stay."""
        self._child.stop()

    @property
    def uri(self) -> str:
        """Its base URI."""
        return f"http://127.0.0.1:{self.port}"

    def settings(self, uri: str | None = None, **more) -> dict:
        """The exporter's `catalog` settings for it, or for a proxy in front of it."""
        return {"type": "rest", "uri": uri or self.uri, **more}

    def client(self, uri: str | None = None, **properties: str) -> RestCatalog:
        """A pyiceberg client; connects through a proxy if `uri` is the proxy's."""
        storage = self._s3.properties() if self._s3 else {}
        return RestCatalog("reference", uri=uri or self.uri, **{**storage, **properties})

    def spark(self) -> Spark:
        """A Spark session on this catalog."""
        return Spark.on_rest(self.uri, **(self._s3.java_properties() if self._s3 else {}))


@cache
def installed() -> Path:
    """The folder of its classes and jars. Creates it when it is missing."""
    script = Path(__file__).with_name("setup-reference-catalog.sh")
    done = subprocess.run([script], stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0, f"{script.name} failed; what it says is above"
    return Path(done.stdout.strip())
