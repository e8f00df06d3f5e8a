"""Generates telemetry of a small web shop quickly: traces through its services, the logs of each span, and metrics of
every kind. For the demo and the load tool; the corpus tests the rules of the tables.

The same seed and time give the same telemetry. Every log has a `log.record.uid`, every span its own id, and every point
its own (service, pod, metric, time), so that missing and duplicated rows are detectable even if the row count is right.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    Exemplar, ExponentialHistogramDataPoint, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics,
    SummaryDataPoint,
)  # fmt: skip
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from .corpus.build import attributes

LOGS_PER_REQUEST = 1000
SPANS_PER_REQUEST = 500
POINTS_PER_REQUEST = 200
MILLISECOND = 1_000_000

# Each service with its operations and their failure rate.
SERVICES = {
    "frontend": (("GET /", "GET /product/{id}", "POST /cart", "POST /checkout"), 0.01),
    "checkout": (("PlaceOrder", "PrepareOrder"), 0.03),
    "payment": (("Charge", "Refund"), 0.06),
    "cart": (("GetCart", "AddItem", "EmptyCart"), 0.005),
    "catalog": (("SELECT products", "SELECT reviews"), 0.002),
}
MESSAGES = (
    (9, "INFO", "{operation} accepted for user {user}"),
    (9, "INFO", "{operation} done in {ms} ms, {items} items"),
    (5, "DEBUG", "cache hit for product {items} while serving user {user}"),
    (13, "WARN", "{operation} slow: {ms} ms, budget 250 ms"),
)
ERROR = (17, "ERROR", "{operation} failed after {ms} ms for user {user}: upstream connection reset")

METRIC_KINDS = ("gauge", "sum", "histogram", "exponential_histogram", "summary")
HISTOGRAM_BOUNDS = (5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0)


@dataclass(frozen=True)
class Process:
    """One pod of a service, with its resource and scope."""

    service: str
    resource: Resource
    scope: InstrumentationScope
    # Its load and latency relative to the others.
    scale: float


class Shop:
    """Makes the telemetry. Each method yields requests that do not exceed a receiver's default size limit."""

    def __init__(self, now_unix_nano: int, seed: int = 1):
        self._now = now_unix_nano
        self._random = random.Random(seed)
        self._processes = {service: [_process(service, number) for number in range(3)] for service in SERVICES}
        # (process, span) of all spans, for their logs.
        self._spans: list[tuple[Process, Span]] = []

    def traces(self, spans: int) -> Iterator[ExportTraceServiceRequest]:
        """The given number of spans, five per trace, one in each service."""
        of_process: dict[int, tuple[Process, list[Span]]] = {}
        trace_id, parent = b"", None
        for number in range(spans):
            service = tuple(SERVICES)[number % len(SERVICES)]
            if number % len(SERVICES) == 0:
                trace_id, parent = self._random.randbytes(16), None
            process = self._random.choice(self._processes[service])
            parent = self._span(service, trace_id, parent)
            self._spans.append((process, parent))
            _, waiting = of_process.setdefault(id(process), (process, []))
            waiting.append(parent)
            if len(waiting) == SPANS_PER_REQUEST:
                yield _trace_request(process, waiting)
                waiting.clear()
        yield from (_trace_request(process, waiting) for process, waiting in of_process.values() if waiting)

    def logs(self, logs: int) -> Iterator[ExportLogsServiceRequest]:
        """The given number of log records, which belong to the spans made before."""
        assert self._spans, "make the traces first: logs belong to spans"
        of_process: dict[int, tuple[Process, list[LogRecord]]] = {}
        for number in range(logs):
            process, span = self._spans[number % len(self._spans)]
            _, waiting = of_process.setdefault(id(process), (process, []))
            waiting.append(self._log(number, span))
            if len(waiting) == LOGS_PER_REQUEST:
                yield _log_request(process, waiting)
                waiting.clear()
        yield from (_log_request(process, waiting) for process, waiting in of_process.values() if waiting)

    def metrics(self, points_of_each_kind: int, kinds=METRIC_KINDS) -> Iterator[ExportMetricsServiceRequest]:
        """The given number of points of each kind of metric, one per second and process."""
        processes = [process for of_service in self._processes.values() for process in of_service]
        for kind in kinds:
            left, start = points_of_each_kind, 0
            while left:
                for process in processes:
                    count = min(left, POINTS_PER_REQUEST)
                    if count:
                        yield self._metric_request(process, kind, start, count)
                    left -= count
                start += POINTS_PER_REQUEST

    def _span(self, service: str, trace_id: bytes, parent: Span | None) -> Span:
        operations, failure_rate = SERVICES[service]
        rand = self._random
        failed = rand.random() < failure_rate
        duration = int(rand.lognormvariate(3.2, 0.9) * MILLISECOND)
        start = parent.start_time_unix_nano + MILLISECOND if parent else self._now - rand.randrange(300_000) * MILLISECOND
        span = Span(
            trace_id=trace_id,
            span_id=rand.randbytes(8),
            parent_span_id=parent.span_id if parent else b"",
            flags=1,
            name=rand.choice(operations),
            kind=Span.SPAN_KIND_SERVER,
            start_time_unix_nano=start,
            end_time_unix_nano=start + duration,
        )
        span.attributes.extend(SPAN_ATTRIBUTES[failed])
        if failed:
            span.status.code, span.status.message = 2, "upstream connection reset"
            event = span.events.add(time_unix_nano=start + duration, name="exception")
            event.attributes.extend(EXCEPTION_ATTRIBUTES)
        return span

    def _log(self, number: int, span: Span) -> LogRecord:
        rand = self._random
        ms = (span.end_time_unix_nano - span.start_time_unix_nano) // MILLISECOND
        failed = span.status.code == 2
        severity, severity_text, message = ERROR if failed else MESSAGES[3 if ms > 250 else number % 3]
        time = span.start_time_unix_nano + rand.randrange(ms + 1) * MILLISECOND
        log = LogRecord(
            time_unix_nano=time,
            observed_time_unix_nano=time + MILLISECOND,
            trace_id=span.trace_id,
            span_id=span.span_id,
            flags=1,
            severity_number=severity,
            severity_text=severity_text,
        )
        log.body.string_value = message.format(
            operation=span.name, ms=ms, user=rand.randrange(50_000), items=rand.randrange(1, 500)
        )
        log.attributes.extend(LOG_ATTRIBUTES)
        log.attributes.add(key="log.record.uid").value.string_value = f"{self._now:x}-{number}"
        return log

    def _metric_request(self, process: Process, kind: str, start: int, count: int) -> ExportMetricsServiceRequest:
        name, unit, description = METRICS[kind]
        metric = Metric(name=name, unit=unit, description=description)
        data = getattr(metric, kind)
        data.SetInParent()
        if kind != "gauge" and kind != "summary":
            data.aggregation_temporality = 2
        if kind == "sum":
            data.is_monotonic = True
        make = {
            "gauge": self._gauge_point,
            "sum": self._sum_point,
            "histogram": self._histogram_point,
            "exponential_histogram": self._exponential_histogram_point,
            "summary": self._summary_point,
        }[kind]
        for number in range(start, start + count):
            point = make(process.scale, number)
            point.time_unix_nano = self._now - number * 1000 * MILLISECOND
            point.start_time_unix_nano = self._now - 86_400_000 * MILLISECOND
            point.attributes.extend(POINT_ATTRIBUTES)
            data.data_points.append(point)
        scope_metrics = ScopeMetrics(scope=process.scope, metrics=[metric])
        return ExportMetricsServiceRequest(
            resource_metrics=[ResourceMetrics(resource=process.resource, scope_metrics=[scope_metrics])]
        )

    def _gauge_point(self, scale: float, _: int) -> NumberDataPoint:
        return NumberDataPoint(as_double=min(self._random.random() * scale / 2, 1.0))

    def _sum_point(self, scale: float, number: int) -> NumberDataPoint:
        return NumberDataPoint(as_int=int((1_000_000 - number) * scale))

    def _histogram_point(self, scale: float, number: int) -> HistogramDataPoint:
        counts = [self._random.randrange(100) for _ in range(len(HISTOGRAM_BOUNDS) + 1)]
        point = HistogramDataPoint(
            count=sum(counts), sum=round(sum(counts) * self._random.gauss(42.5, 3) * scale, 3), min=0.4, max=1830.0,
            bucket_counts=counts, explicit_bounds=HISTOGRAM_BOUNDS,
        )  # fmt: skip
        if number % 10 == 0:
            _, span = self._random.choice(self._spans) if self._spans else (None, Span())
            point.exemplars.append(
                Exemplar(time_unix_nano=self._now, as_double=1830.0, trace_id=span.trace_id, span_id=span.span_id)
            )
        return point

    def _exponential_histogram_point(self, scale: float, _: int) -> ExponentialHistogramDataPoint:
        counts = [self._random.randrange(50) for _ in range(20)]
        point = ExponentialHistogramDataPoint(
            count=sum(counts) + 3,
            sum=round(sum(counts) * self._random.gauss(1.75, 0.1) * scale, 3),
            scale=3,
            zero_count=3,
            min=0.0,
            max=12.5,
        )
        point.positive.offset = -4
        point.positive.bucket_counts.extend(counts)
        return point

    def _summary_point(self, scale: float, _: int) -> SummaryDataPoint:
        median = self._random.lognormvariate(1.0, 0.3) * scale
        quantiles = [(0.5, median), (0.9, median * 2.1), (0.99, median * 6.4)]
        return SummaryDataPoint(
            count=1000,
            sum=median * 1100,
            quantile_values=[SummaryDataPoint.ValueAtQuantile(quantile=q, value=value) for q, value in quantiles],
        )


METRICS = {
    "gauge": ("system.cpu.utilization", "1", "Share of CPU time in use"),
    "sum": ("http.server.requests", "{request}", "Requests served"),
    "histogram": ("http.server.request.duration", "ms", "Duration of HTTP server requests"),
    "exponential_histogram": ("rpc.server.duration", "ms", "Duration of RPC server calls"),
    "summary": ("go_gc_duration", "ms", "Pause of garbage collection"),
}
SPAN_ATTRIBUTES = {
    failed: attributes(
        {
            "http.request.method": "POST",
            "http.response.status_code": 503 if failed else 200,
            "server.address": "shop.example",
            "network.protocol.version": "1.1",
            "user_agent.original": "Mozilla/5.0 (X11; Linux x86_64)",
        }
    )
    for failed in (False, True)
}
EXCEPTION_ATTRIBUTES = attributes({"exception.type": "ConnectionReset", "exception.message": "upstream connection reset"})
LOG_ATTRIBUTES = attributes({"code.function.name": "serve", "thread.id": 17, "log.iostream": "stdout"})
POINT_ATTRIBUTES = attributes({"http.request.method": "GET", "http.response.status_code": 200})


def _process(service: str, number: int) -> Process:
    resource = Resource(
        attributes=attributes(
            {
                "service.name": service,
                "service.version": "2.4.1",
                "service.instance.id": f"{service}-{number}",
                "deployment.environment.name": "demo",
                "host.name": f"node-{number}.cluster.example",
                "k8s.namespace.name": "shop",
                "k8s.pod.name": f"{service}-7d4f9c-{number}",
                "telemetry.sdk.language": "go",
            }
        )
    )
    scale = 1 + 0.37 * tuple(SERVICES).index(service) + 0.1 * number
    return Process(service, resource, InstrumentationScope(name=f"shop/{service}", version="1.8.0"), scale)


def _trace_request(process: Process, spans: list[Span]) -> ExportTraceServiceRequest:
    scope_spans = ScopeSpans(scope=process.scope, spans=spans)
    return ExportTraceServiceRequest(
        resource_spans=[ResourceSpans(resource=process.resource, scope_spans=[scope_spans])]
    )


def _log_request(process: Process, logs: list[LogRecord]) -> ExportLogsServiceRequest:
    scope_logs = ScopeLogs(scope=process.scope, log_records=logs)
    return ExportLogsServiceRequest(resource_logs=[ResourceLogs(resource=process.resource, scope_logs=[scope_logs])])
