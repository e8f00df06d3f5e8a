"""Components of the distribution that no other test uses: configurations from URLs, `nop`, the resource processor."""

from __future__ import annotations

import http.client
import os
import re
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import pytest
import yaml
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from o2i import numbered, otlp, readers
from o2i.collector import REPOSITORY, Collector, binary, settings
from o2i.corpus.build import attributes
from test_deploy_examples import self_signed

DURABLE = REPOSITORY / "examples" / "collector" / "durable.yaml"


def validate(*arguments: str, **variables: str) -> subprocess.CompletedProcess:
    """Runs the Collector's `validate` with these variables in addition."""
    command = [binary(), "validate", *arguments]
    return subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=30)


class Files(SimpleHTTPRequestHandler):
    """Serves a folder and notes the paths that were asked for."""

    def do_GET(self):
        self.server.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_):
        pass


@contextmanager
def served(folder: Path, context: ssl.SSLContext | None = None) -> Iterator[ThreadingHTTPServer]:
    """A server of the folder's files."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=folder))
    server.asked = []
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_configuration_is_read_from_a_url(scheme, tmp_path):
    context, variables = None, {}
    if scheme == "https":
        certificate, key = self_signed(tmp_path)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        variables = {"SSL_CERT_FILE": str(certificate)}
    config = yaml.safe_load(DURABLE.read_text())
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "durable.yaml").write_text(DURABLE.read_text())
    (tmp_path / "served" / "exporters.yaml").write_text(yaml.safe_dump(config["exporters"]))
    with served(tmp_path / "served", context) as server:
        place = f"{scheme}://127.0.0.1:{server.server_port}"
        done = validate("--config", f"{place}/durable.yaml", **variables)
        assert done.returncode == 0, done.stderr
        done = validate("--config", f"{place}/missing.yaml", **variables)
        assert done.returncode != 0
        assert f"{place}/missing.yaml" in done.stderr and "404" in done.stderr
        # A part of a configuration.
        (tmp_path / "config.yaml").write_text(yaml.safe_dump({**config, "exporters": f"${{{place}/exporters.yaml}}"}))
        done = validate("--config", str(tmp_path / "config.yaml"), **variables)
        assert done.returncode == 0, done.stderr
        assert server.asked == ["/durable.yaml", "/missing.yaml", "/exporters.yaml"]


def test_the_pipeline_of_the_opamp_supervisor_is_valid(tmp_path):
    # What the supervisor writes while it has no configuration, but for its extension opamp.
    text = "receivers:\n  nop:\nexporters:\n  nop:\nservice:\n  pipelines:\n    traces:\n      receivers: [nop]\n      exporters: [nop]\n"
    (tmp_path / "config.yaml").write_text(text)
    done = validate("--config", str(tmp_path / "config.yaml"))
    assert done.returncode == 0, done.stderr


def test_a_header_of_the_client_gets_a_column(tmp_path, warehouse):
    """With the settings that docs/configuration.md shows."""
    page = (REPOSITORY / "docs" / "configuration.md").read_text()
    [shown] = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "include_metadata" in block]

    def as_shown(config: dict) -> None:
        for name, protocol in shown["receivers"]["otlp"]["protocols"].items():
            config["receivers"]["otlp"]["protocols"][name] |= protocol
        config["processors"] = shown["processors"]
        for pipeline in config["service"]["pipelines"].values():
            pipeline["processors"] = list(shown["processors"])

    exporter = {**settings(warehouse), **shown["exporters"]["iceberg"]}
    with Collector(tmp_path / "collector", {"iceberg": exporter}, change=as_shown) as collector:
        with grpc.insecure_channel(f"127.0.0.1:{collector.grpc_port}") as channel:
            call = channel.unary_unary(otlp.METHOD["logs"])
            call(request_of(0, "by-itself"), timeout=30, metadata=[("x-tenant", "over grpc")])
            call(request_of(1, "by-itself"), timeout=30)
        with closing(http.client.HTTPConnection("127.0.0.1", collector.http_port, timeout=30)) as connection:
            headers = {"Content-Type": "application/x-protobuf", "X-Tenant": "over http"}
            connection.request("POST", "/v1/logs", request_of(2), headers)
            assert connection.getresponse().status == 200
        readers.wait_for_rows(warehouse, {"logs": 3})
    rows = readers.read_duckdb(readers.load(warehouse, "logs"))
    wanted = {"0": "over grpc", "1": None, "2": "over http"}
    assert {row["Body"]: row["Tenant"] for row in rows} == wanted
    assert {row["Body"]: row["ResourceAttributes"].get("tenant.id") for row in rows} == wanted


def request_of(number: int, tenant: str | None = None) -> bytes:
    """A request with one record, whose client may say which tenant it is."""
    message: ExportLogsServiceRequest = numbered.request(range(number, number + 1))
    if tenant:
        message.resource_logs[0].resource.attributes.extend(attributes({"tenant.id": tenant}))
    return message.SerializeToString()
