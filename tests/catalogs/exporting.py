"""Runs the Collector against a catalog: its settings, the records to send, and searches of its log."""

from __future__ import annotations

import time

import pytest

from o2i.collector import Collector
from o2i.numbered import request

# Variables that are removed, so that the AWS settings of the machine do not affect which credentials are found.
AWS_SETTINGS = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ROLE_ARN",
                "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")  # fmt: skip


def aws_environment(monkeypatch: pytest.MonkeyPatch, access_key_id: str = "", secret: str = "") -> None:
    """Makes the AWS provider chain find these credentials, or none."""
    for name in (*AWS_SETTINGS, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    if access_key_id:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", access_key_id)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)


def settings(catalog: dict, storage: dict | None = None, **more) -> dict:
    """An exporter's settings, with a short flush timeout and quick retries."""
    return {
        "catalog": catalog,
        **({"storage": storage} if storage else {}),
        "timeout": "20s",
        "retry_on_failure": {"initial_interval": "300ms", "max_interval": "500ms"},
        "sending_queue": {"batch": {"flush_timeout": "200ms"}},
        **more,
    }


def at_debug_level(config: dict) -> None:
    """For `Collector(change=...)`: logs at debug level."""
    config["service"]["telemetry"]["logs"] = {"level": "debug"}


def send_numbers(collector: Collector, numbers: range) -> None:
    """Sends one log record for each number, which is its body."""
    with collector.client() as client:
        client.send(request(numbers))


def wait_for_line(collector: Collector, parts: list[str], seconds_max: float = 30.0) -> str:
    """The first line of the Collector's log that contains all of `parts`, ignoring case."""
    deadline = time.monotonic() + seconds_max
    while True:
        for line in collector.log().splitlines():
            if all(part.lower() in line.lower() for part in parts):
                return line
        assert time.monotonic() < deadline, f"no line says {parts} within {seconds_max} s:\n{collector.log_tail()}"
        time.sleep(0.1)
