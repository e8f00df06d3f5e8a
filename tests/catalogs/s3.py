"""An S3 server in a separate process: moto, with S3 Tables. It does not check signatures; `sigproxy` does."""

from __future__ import annotations

import sys
from pathlib import Path

import boto3
from botocore.config import Config

from .child import Child

REGION = "eu-west-3"
ACCESS_KEY_ID = "AKIATESTOFCATALOGS00"
SECRET_ACCESS_KEY = "secret/of+the=tests"


class S3Server:
    """The server. It stores everything in memory and loses it when it stops."""

    def __init__(self, folder: Path):
        self._child = Child(Path(folder) / "s3.log")
        self.port = 0

    def __enter__(self) -> S3Server:
        return self.start()

    def __exit__(self, *_) -> None:
        self.stop()

    def start(self) -> S3Server:
        """Starts it, on the same port as before if it ran before."""
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", self.port]
        # Set only for moto, which calls its other services with these.
        environment = {"AWS_ACCESS_KEY_ID": ACCESS_KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY}
        self.port = int(self._child.start(command, r"Running on http://127\.0\.0\.1:(\d+)", environment)[1])
        return self

    def stop(self) -> None:
        """Ends it."""
        self._child.stop()

    @property
    def endpoint(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}"

    def settings(self, endpoint: str | None = None) -> dict:
        """The exporter's `storage` settings for it."""
        return {
            "s3": {
                "region": REGION,
                "endpoint": endpoint or self.endpoint,
                "path_style": True,
                "access_key_id": ACCESS_KEY_ID,
                "secret_access_key": SECRET_ACCESS_KEY,
            }
        }

    def properties(self) -> dict[str, str]:
        """The same as Iceberg's `s3.*` catalog properties, for Java and pyiceberg."""
        return {
            "s3.endpoint": self.endpoint,
            "s3.region": REGION,
            "client.region": REGION,
            "s3.path-style-access": "true",
            "s3.access-key-id": ACCESS_KEY_ID,
            "s3.secret-access-key": SECRET_ACCESS_KEY,
        }

    def java_properties(self) -> dict[str, str]:
        """The same for Java, which needs a property that assigns `s3:` locations to its S3 client."""
        return {"io-impl": "org.apache.iceberg.aws.s3.S3FileIO", **self.properties()}

    def client(self, service: str = "s3"):
        """A boto3 client of `s3` or `s3tables`."""
        return boto3.client(
            service,
            region_name=REGION,
            endpoint_url=self.endpoint,
            aws_access_key_id=ACCESS_KEY_ID,
            aws_secret_access_key=SECRET_ACCESS_KEY,
            config=Config(s3={"addressing_style": "path"}),
        )

    def make_bucket(self, name: str) -> str:
        """Makes a bucket and returns its URL."""
        client = self.client()
        client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
        client.close()
        return f"s3://{name}"

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        """The keys in a bucket that begin with `prefix`."""
        client = self.client()
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        keys = [one["Key"] for page in pages for one in page.get("Contents", [])]
        client.close()
        return keys

    def unfinished_uploads(self, bucket: str) -> list[str]:
        """The keys of multipart uploads that were neither completed nor aborted."""
        client = self.client()
        uploads = client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
        client.close()
        return [one["Key"] for one in uploads]
