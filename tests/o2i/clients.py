"""Third-party clients: the official OpenTelemetry Python SDK and telemetrygen."""

from __future__ import annotations

import os
import subprocess

from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc import _log_exporter, metric_exporter, trace_exporter
from opentelemetry.exporter.otlp.proto.http import _log_exporter as http_log_exporter
from opentelemetry.exporter.otlp.proto.http import metric_exporter as http_metric_exporter
from opentelemetry.exporter.otlp.proto.http import trace_exporter as http_trace_exporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

from .collector import Collector

SDK_SERVICE = "python-sdk"
TELEMETRYGEN_SERVICE = "telemetrygen"
SDK_METRIC_TABLES = ("metrics_gauge", "metrics_sum", "metrics_histogram", "metrics_exponential_histogram")
TELEMETRYGEN_METRIC_TYPES = {
    "metrics_gauge": "Gauge",
    "metrics_sum": "Sum",
    "metrics_histogram": "Histogram",
    "metrics_exponential_histogram": "ExponentialHistogram",
}


def send_with_sdk(collector: Collector, logs: int, spans: int, points: int, over: str = "grpc") -> dict[str, int]:
    """Sends the given numbers through the Python SDK, over `grpc` or `http`; returns the expected row count by table.

    It sends `points` points of each kind of metric that the SDK has (it has no summaries).
    """
    exporters = _grpc_exporters(collector) if over == "grpc" else _http_exporters(collector)
    resource = Resource.create({"service.name": SDK_SERVICE, "service.version": "1.0", "process.tags": ["a", "b"]})
    _send_spans(exporters["traces"], resource, spans)
    _send_logs(exporters["logs"], resource, logs)
    _send_points(exporters["metrics"], resource, points)
    return {"logs": logs, "traces": spans, **dict.fromkeys(SDK_METRIC_TABLES, points)}


def send_with_telemetrygen(collector: Collector, logs: int, traces: int, points: int, over: str = "grpc") -> dict[str, int]:
    """Does the same with telemetrygen, whose traces have two spans each."""
    _telemetrygen(collector, over, "logs", "--logs", str(logs), "--telemetry-attributes", "log.number=7")
    _telemetrygen(collector, over, "traces", "--traces", str(traces))
    for kind in TELEMETRYGEN_METRIC_TYPES.values():
        _telemetrygen(collector, over, "metrics", "--metrics", str(points), "--metric-type", kind)
    return {"logs": logs, "traces": 2 * traces, **dict.fromkeys(TELEMETRYGEN_METRIC_TYPES, points)}


def _telemetrygen(collector: Collector, over: str, signal: str, *options: str) -> None:
    program = os.environ.get("O2I_TELEMETRYGEN")
    if not program:
        raise FileNotFoundError("missing: O2I_TELEMETRYGEN, which tests/setup-telemetrygen.sh prints")
    port = collector.grpc_port if over == "grpc" else collector.http_port
    transport = ["--otlp-http"] if over == "http" else []
    command = [program, signal, "--otlp-insecure", "--otlp-endpoint", f"127.0.0.1:{port}", "--rate", "0"]
    command += ["--service", TELEMETRYGEN_SERVICE, *transport, *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"telemetrygen {signal} ended with {done.returncode}\n{done.stderr[-2000:]}"


def _grpc_exporters(collector: Collector) -> dict:
    options = {"endpoint": f"http://127.0.0.1:{collector.grpc_port}", "insecure": True}
    return {
        "traces": trace_exporter.OTLPSpanExporter(**options),
        "logs": _log_exporter.OTLPLogExporter(**options),
        "metrics": metric_exporter.OTLPMetricExporter(**options),
    }


def _http_exporters(collector: Collector) -> dict:
    base = f"http://127.0.0.1:{collector.http_port}/v1"
    return {
        "traces": http_trace_exporter.OTLPSpanExporter(endpoint=f"{base}/traces"),
        "logs": http_log_exporter.OTLPLogExporter(endpoint=f"{base}/logs"),
        "metrics": http_metric_exporter.OTLPMetricExporter(endpoint=f"{base}/metrics"),
    }


def _send_spans(exporter, resource: Resource, count: int) -> None:
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=max(count, 2048)))
    tracer = provider.get_tracer("o2i.clients", "0.1", attributes={"scope.kind": "test"})
    contexts: list = []
    for number in range(count):
        links = [Link(contexts[-1], {"number": number})] if contexts else []
        with tracer.start_as_current_span(f"work {number % 5}", kind=SpanKind.CLIENT, links=links) as span:
            span.set_attributes({"number": number, "even": number % 2 == 0, "ratio": number / 2, "names": ["a", "b"]})
            span.add_event("step", {"step.number": 1})
            if number % 10 == 0:
                span.set_status(Status(StatusCode.ERROR, "did not work"))
            contexts.append(span.get_span_context())
    provider.shutdown()


def _send_logs(exporter, resource: Resource, count: int) -> None:
    provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter, max_queue_size=max(count, 2048)))
    logger = provider.get_logger("o2i.clients", "0.1")
    for number in range(count):
        logger.emit(
            severity_number=SeverityNumber.WARN,
            severity_text="WARN",
            body={"message": "structured", "number": number} if number % 2 else f"message {number}",
            attributes={"number": number},
            event_name="o2i.test",
        )
    provider.shutdown()


def _send_points(exporter, resource: Resource, count: int) -> None:
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
    exponential = View(instrument_name="test.exponential", aggregation=ExponentialBucketHistogramAggregation())
    provider = MeterProvider([reader], resource=resource, views=[exponential], shutdown_on_exit=False)
    meter = provider.get_meter("o2i.clients", "0.1")
    gauge = meter.create_gauge("test.gauge", "By", "A gauge")
    counter = meter.create_counter("test.sum", "{thing}", "A sum")
    histogram = meter.create_histogram("test.histogram", "ms", "A histogram")
    exponential_histogram = meter.create_histogram("test.exponential", "ms", "An exponential histogram")
    for number in range(count):
        series = {"series": number}
        gauge.set(number + 0.5, series)
        counter.add(number, series)
        histogram.record(number, series)
        exponential_histogram.record(number, series)
    provider.shutdown()
