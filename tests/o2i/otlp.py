"""Sends OTLP over every transport and encoding of the Collector: gRPC and HTTP, protobuf and JSON, plain and gzip.

A request is a message or serialized bytes, so that a load does not measure Python's encoder.
"""

from __future__ import annotations

import gzip
import http.client
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed

import grpc
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces

from . import otlp_json
from .expect import signal_of

DOORS = ("grpc", "grpc+gzip", "http/protobuf", "http/protobuf+gzip", "http/json", "http/json+gzip")

REQUEST = {
    "logs": logs.ExportLogsServiceRequest,
    "traces": traces.ExportTraceServiceRequest,
    "metrics": metrics.ExportMetricsServiceRequest,
}
RESPONSE = {
    "logs": logs.ExportLogsServiceResponse,
    "traces": traces.ExportTraceServiceResponse,
    "metrics": metrics.ExportMetricsServiceResponse,
}
METHOD = {
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
}


class Refused(Exception):
    """The Collector did not acknowledge the request."""


class Client:
    """A client of one Collector; safe to use from many threads."""

    def __init__(self, grpc_port: int, http_port: int, timeout_seconds: float = 30.0):
        self._channel = grpc.insecure_channel(
            f"127.0.0.1:{grpc_port}",
            options=[("grpc.max_send_message_length", -1), ("grpc.enable_retries", 0)],
        )
        self._http_port = http_port
        self._timeout_seconds = timeout_seconds
        self._of_thread = threading.local()
        self._connections: list[http.client.HTTPConnection] = []

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Closes its connections; no thread may be sending."""
        self._channel.close()
        for connection in self._connections:
            connection.close()

    def send(self, request, door: str = "grpc", signal: str | None = None):
        """Sends one request and returns the response message. Raises `Refused` unless it was acknowledged.

        `request` is a message, or bytes in the door's encoding before compression (then `signal` must be given).
        """
        transport, _, compression = door.partition("+")
        signal = signal or signal_of(request)
        payload = request if isinstance(request, bytes) else encode(request, door)
        if transport == "grpc":
            return self._send_grpc(signal, payload, compression)
        return self._send_http(signal, payload, transport, compression)

    def send_all(self, requests, concurrency: int = 16) -> None:
        """Sends `(signal, payload, door)` triples, `concurrency` at a time."""
        with ThreadPoolExecutor(concurrency) as pool:
            waiting = [pool.submit(self.send, payload, door, signal) for signal, payload, door in requests]
            for done in as_completed(waiting):
                done.result()

    def _send_grpc(self, signal: str, payload: bytes, compression: str):
        call = self._channel.unary_unary(METHOD[signal], response_deserializer=RESPONSE[signal].FromString)
        algorithm = grpc.Compression.Gzip if compression else grpc.Compression.NoCompression
        try:
            return call(payload, timeout=self._timeout_seconds, compression=algorithm)
        except grpc.RpcError as error:
            raise Refused(f"{error.code().name}: {error.details()}") from error

    def _send_http(self, signal: str, payload: bytes, transport: str, compression: str):
        content_type = "application/json" if transport == "http/json" else "application/x-protobuf"
        headers = {"Content-Type": content_type}
        if compression:
            headers["Content-Encoding"] = "gzip"
            payload = gzip.compress(payload, compresslevel=1)
        status, body = self._post(f"/v1/{signal}", payload, headers)
        if status != 200:
            raise Refused(f"HTTP {status}: {body[:500]!r}")
        return body if transport == "http/json" else RESPONSE[signal].FromString(body)

    def _post(self, path: str, payload: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        connection = getattr(self._of_thread, "connection", None)
        if connection is None:
            connection = http.client.HTTPConnection("127.0.0.1", self._http_port, timeout=self._timeout_seconds)
            self._of_thread.connection = connection
            self._connections.append(connection)
        try:
            connection.request("POST", path, payload, headers)
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()  # The next request opens it again.
            raise Refused(f"no answer: {error!r}") from error


def encode(request, door: str) -> bytes:
    """The message in the door's encoding, before compression."""
    return otlp_json.encode(request) if door.startswith("http/json") else request.SerializeToString()
