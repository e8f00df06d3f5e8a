"""The function's settings as environment variables."""

from __future__ import annotations

from pathlib import Path

from catalogs.s3 import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, S3Server

PREFIX = "OTLP2ICEBERG_"


def variables(config: dict) -> dict[str, str]:
    """The function's variables for a configuration of the Collector's exporter."""
    found: dict[str, str] = {}

    def walk(path: str, value) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(f"{path}_{key.upper()}", inner)
        else:
            found[path] = str(value).lower() if isinstance(value, bool) else str(value)

    for section, value in config.items():
        walk(PREFIX + section.upper(), value)
    return found


def sqlite(warehouse: Path) -> dict[str, str]:
    """Settings for a local warehouse with its SQLite catalog."""
    return variables({"catalog": {"type": "sql", "warehouse": str(warehouse)}})


def aws(s3: S3Server) -> dict[str, str]:
    """Credentials and endpoints that give a function access to the S3 server."""
    return {
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        "AWS_ENDPOINT_URL_S3": s3.endpoint,
    }
