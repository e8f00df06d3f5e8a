"""A table bucket of S3 Tables on moto. pyiceberg reads its tables from the metadata location that moto returns."""

from __future__ import annotations

from pathlib import Path

import boto3
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.table import StaticTable

from o2i.tables import NAMESPACE, TIME_COLUMN
from spark.session import Spark

from .s3 import ACCESS_KEY_ID, SECRET_ACCESS_KEY, S3Server

# moto has S3 Tables in some regions only.
REGION = "us-east-1"


class TableBucket:
    """Replaces a pyiceberg catalog for loading tables."""

    def __init__(self, s3: S3Server, name: str):
        self._s3 = s3
        self.client = boto3.client(
            "s3tables",
            region_name=REGION,
            endpoint_url=s3.endpoint,
            aws_access_key_id=ACCESS_KEY_ID,
            aws_secret_access_key=SECRET_ACCESS_KEY,
        )
        self.arn = self.client.create_table_bucket(name=name)["arn"]

    def load_table(self, identifier: tuple[str, str]) -> StaticTable:
        """The table as it is now."""
        namespace, name = identifier
        try:
            at = self.client.get_table_metadata_location(tableBucketARN=self.arn, namespace=namespace, name=name)
        except self.client.exceptions.NotFoundException as error:
            raise NoSuchTableError(str(error)) from error
        if not at.get("metadataLocation"):
            raise NoSuchTableError(f"{name} has no metadata yet")
        assert at["metadataLocation"].startswith(f"{at['warehouseLocation']}/metadata/")
        return StaticTable.from_metadata(at["metadataLocation"], self._s3.properties())

    def settings(self, uri: str | None = None, **more) -> dict:
        """The exporter's `catalog` settings for it."""
        return {"type": "s3tables", "s3tables_api": "native", "warehouse": self.arn, "uri": uri or self._s3.endpoint, **more}

    def spark(self, folder: Path) -> Spark:
        """Spark, with the current state of the tables. Spark's own S3 Tables catalog works only with AWS."""
        spark = Spark.on_sqlite(folder / "spark.db", f"file://{folder}/unused", **self._s3.java_properties())
        spark.sql(f"CREATE NAMESPACE {spark.catalog}.{NAMESPACE}")
        for name in TIME_COLUMN:
            metadata_file = self.load_table((NAMESPACE, name)).metadata_location
            spark.call("register_table", f"table => '{NAMESPACE}.{name}', metadata_file => '{metadata_file}'")
        return spark

    def close(self) -> None:
        """Closes the connections."""
        self.client.close()
