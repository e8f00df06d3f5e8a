"""The corpus of metrics, all five kinds. The metric's name describes the case."""

from __future__ import annotations

import math

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric,
    NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint,
)  # fmt: skip

from .build import (
    DAY, DOUBLES, EVERY_VALUE, INFINITY, INT32_MAX, INT64_MAX, INTS, NAN, SECOND, SPAN_A, T0, TRACE_A, TWICE, UINT32_MAX,
    UINT64_MAX, attributes, resource, scope,
)  # fmt: skip

Buckets = ExponentialHistogramDataPoint.Buckets
Quantile = SummaryDataPoint.ValueAtQuantile

NO_RECORDED_VALUE = 1
# The fields that every kind of point has.
FULL = {
    "time_unix_nano": T0,
    "start_time_unix_nano": T0 - 60 * SECOND,
    "attributes": attributes({"cpu": 0, "state": "idle", "ratio": 1.0}),
    "flags": 0,
}
# Like FULL, with difficult values.
HARD = {
    "time_unix_nano": UINT64_MAX,
    "start_time_unix_nano": INT64_MAX + 1,
    "attributes": attributes(EVERY_VALUE),
    "flags": UINT32_MAX,
}
TWICE_EACH = {"time_unix_nano": T0, "attributes": attributes(TWICE)}
AT = {"time_unix_nano": T0}


def request() -> ExportMetricsServiceRequest:
    """One request with every case."""
    metrics = [*_gauges(), *_sums(), *_histograms(), *_exponential_histograms(), *_summaries()]
    return ExportMetricsServiceRequest(
        resource_metrics=[
            ResourceMetrics(
                resource=resource({"service.name": "checkout", "host.name": "host-1"}, dropped=1),
                schema_url="https://opentelemetry.io/schemas/1.27.0",
                scope_metrics=[
                    ScopeMetrics(
                        scope=scope("corpus", "3.1", {"scope.number": 1}, dropped=2),
                        schema_url="https://opentelemetry.io/schemas/1.26.0",
                        metrics=[*metrics, Metric(name="no data", description="rejected"), Metric()],
                    )
                ],
            ),
            ResourceMetrics(scope_metrics=[ScopeMetrics(metrics=_one_of_each("no resource, no scope"))]),
            ResourceMetrics(
                resource=resource(EVERY_VALUE, dropped=UINT32_MAX),
                scope_metrics=[
                    ScopeMetrics(
                        scope=scope("hard", plain=EVERY_VALUE, dropped=UINT32_MAX), metrics=_one_of_each("hard resource")
                    )
                ],
            ),
        ]
    )


def negative_zeros() -> ExportMetricsServiceRequest:
    """-0.0 in fields without presence. The Collector's encoder treats it as the default and omits it."""
    quantiles = [Quantile(quantile=-0.0, value=-0.0)]
    exponential_histogram = ExponentialHistogram(data_points=[ExponentialHistogramDataPoint(**AT, zero_threshold=-0.0)])
    metrics = [
        Metric(name="negative zero", exponential_histogram=exponential_histogram),
        Metric(
            name="negative zero",
            summary=Summary(data_points=[SummaryDataPoint(**AT, sum=-0.0, quantile_values=quantiles)]),
        ),
    ]
    return ExportMetricsServiceRequest(resource_metrics=[ResourceMetrics(scope_metrics=[ScopeMetrics(metrics=metrics)])])


def is_negative_zero(double: float) -> bool:
    """Checks the sign bit, because -0.0 == 0.0."""
    return double == 0 and math.copysign(1, double) < 0


def _one_of_each(name: str) -> list[Metric]:
    return [
        Metric(name=name, gauge=Gauge(data_points=[NumberDataPoint(**AT, as_int=1)])),
        Metric(name=name, sum=Sum(data_points=[NumberDataPoint(**AT, as_int=1)])),
        Metric(name=name, histogram=Histogram(data_points=[HistogramDataPoint(**AT)])),
        Metric(
            name=name,
            exponential_histogram=ExponentialHistogram(data_points=[ExponentialHistogramDataPoint(**AT)]),
        ),
        Metric(name=name, summary=Summary(data_points=[SummaryDataPoint(**AT)])),
    ]


def _number_points() -> list[NumberDataPoint]:
    return [
        NumberDataPoint(**FULL, as_double=1.5, exemplars=_exemplars()),
        NumberDataPoint(**HARD, as_int=7),
        NumberDataPoint(**TWICE_EACH, as_int=8),
        NumberDataPoint(),
        NumberDataPoint(time_unix_nano=T0, flags=NO_RECORDED_VALUE),
        NumberDataPoint(time_unix_nano=T0 + 1, as_int=0),
        NumberDataPoint(time_unix_nano=T0 + DAY, as_int=0),
        *(NumberDataPoint(time_unix_nano=T0 - n * SECOND, as_double=double) for n, double in enumerate(DOUBLES)),
        *(NumberDataPoint(time_unix_nano=T0 - n * SECOND, as_int=number) for n, number in enumerate(INTS)),
    ]


def _exemplars() -> list[Exemplar]:
    return [
        Exemplar(
            filtered_attributes=attributes({"user.id": 42, "tier": "gold"}),
            time_unix_nano=T0 - 5,
            as_double=0.25,
            span_id=SPAN_A,
            trace_id=TRACE_A,
        ),
        Exemplar(time_unix_nano=T0, as_int=INT64_MAX),
        Exemplar(time_unix_nano=UINT64_MAX, as_double=NAN, span_id=bytes(8), trace_id=bytes(16)),
        Exemplar(filtered_attributes=attributes(EVERY_VALUE)),
        Exemplar(filtered_attributes=attributes(TWICE), as_double=-0.0),
    ]


def _gauges() -> list[Metric]:
    return [
        Metric(
            name="every gauge",
            description="Every kind of number point",
            unit="{thing}",
            metadata=attributes({"origin": "corpus", "level": 2, **EVERY_VALUE}),
            gauge=Gauge(data_points=_number_points()),
        ),
        Metric(gauge=Gauge(data_points=[NumberDataPoint(**AT, as_int=1)])),
        Metric(name="no points", gauge=Gauge()),
    ]


def _sums() -> list[Metric]:
    sums = [
        Metric(
            name="every sum",
            description="Every kind of number point",
            unit="By",
            metadata=attributes(TWICE),
            sum=Sum(data_points=_number_points(), aggregation_temporality=2, is_monotonic=True),
        )
    ]
    for temporality in (0, 1, 2, 3, 50):
        points = [NumberDataPoint(**AT, as_int=temporality)]
        data = Sum(data_points=points, aggregation_temporality=temporality, is_monotonic=bool(temporality % 2))
        sums.append(Metric(name=f"temporality {temporality}", sum=data))
    return sums


def _histograms() -> list[Metric]:
    points = [
        HistogramDataPoint(
            **FULL, count=6, sum=9.5, min=0.5, max=4.0, bucket_counts=[1, 2, 3], explicit_bounds=[1.0, 2.5],
            exemplars=_exemplars(),
        ),
        HistogramDataPoint(**HARD, count=INT64_MAX, bucket_counts=[INT64_MAX, 0], explicit_bounds=[INFINITY]),
        HistogramDataPoint(**TWICE_EACH),
        HistogramDataPoint(),
        HistogramDataPoint(**AT, count=2, bucket_counts=[2]),
        HistogramDataPoint(**AT, count=2, sum=0.0, min=0.0, max=0.0),
        HistogramDataPoint(**AT, count=2, sum=NAN, min=-INFINITY, max=-0.0),
        HistogramDataPoint(**AT, count=1, bucket_counts=[0] * 100, explicit_bounds=[float(n) for n in range(99)]),
        HistogramDataPoint(**AT, flags=NO_RECORDED_VALUE),
        # Rejected by themselves (rule 12).
        HistogramDataPoint(**AT, count=9001, bucket_counts=[1, 2], explicit_bounds=[1.0, 2.0]),
        HistogramDataPoint(**AT, count=9002, bucket_counts=[1, 2, 3]),
        HistogramDataPoint(**AT, count=9003, explicit_bounds=[1.0]),
        HistogramDataPoint(**AT, count=INT64_MAX + 1),
        HistogramDataPoint(**AT, count=9004, bucket_counts=[UINT64_MAX]),
    ]  # fmt: skip
    one = [HistogramDataPoint(**AT, count=1)]
    return [
        Metric(
            name="every histogram",
            description="Every kind of histogram point",
            unit="ms",
            metadata=attributes({"origin": "corpus"}),
            histogram=Histogram(data_points=points, aggregation_temporality=1),
        ),
        *(
            Metric(name=f"temporality {t}", histogram=Histogram(data_points=one, aggregation_temporality=t))
            for t in (0, 1, 2, 9)
        ),
    ]


def _exponential_histograms() -> list[Metric]:
    points = [
        ExponentialHistogramDataPoint(
            **FULL, count=21, sum=-3.5, min=-8.0, max=16.0, scale=3, zero_count=4, zero_threshold=1e-9,
            positive=Buckets(offset=-2, bucket_counts=[5, 0, 6]), negative=Buckets(offset=7, bucket_counts=[1, 2, 3]),
            exemplars=_exemplars(),
        ),
        ExponentialHistogramDataPoint(
            **HARD, count=INT64_MAX, scale=-(2**31), zero_count=INT64_MAX, zero_threshold=INFINITY,
            positive=Buckets(offset=INT32_MAX, bucket_counts=[INT64_MAX]), negative=Buckets(offset=-(2**31)),
        ),
        ExponentialHistogramDataPoint(**TWICE_EACH),
        ExponentialHistogramDataPoint(),
        ExponentialHistogramDataPoint(**AT, scale=INT32_MAX, positive=Buckets(bucket_counts=[0] * 160)),
        ExponentialHistogramDataPoint(**AT, sum=0.0, min=NAN, max=INFINITY, zero_threshold=NAN),
        ExponentialHistogramDataPoint(**AT, flags=NO_RECORDED_VALUE),
        # Rejected by themselves (rule 12).
        ExponentialHistogramDataPoint(**AT, count=INT64_MAX + 1),
        ExponentialHistogramDataPoint(**AT, zero_count=UINT64_MAX),
        ExponentialHistogramDataPoint(**AT, positive=Buckets(bucket_counts=[1, INT64_MAX + 1])),
        ExponentialHistogramDataPoint(**AT, negative=Buckets(bucket_counts=[UINT64_MAX])),
    ]  # fmt: skip
    one = [ExponentialHistogramDataPoint(**AT, count=1)]
    return [
        Metric(
            name="every exponential histogram",
            description="Every kind of exponential histogram point",
            unit="s",
            metadata=attributes({"origin": "corpus"}),
            exponential_histogram=ExponentialHistogram(data_points=points, aggregation_temporality=2),
        ),
        *(
            Metric(
                name=f"temporality {t}",
                exponential_histogram=ExponentialHistogram(data_points=one, aggregation_temporality=t),
            )
            for t in (0, 1, 2, 9)
        ),
    ]


def _summaries() -> list[Metric]:
    points = [
        SummaryDataPoint(
            **FULL,
            count=100,
            sum=12.5,
            quantile_values=[Quantile(quantile=0.0, value=-1.0), Quantile(quantile=0.99, value=3.25), Quantile()],
        ),
        SummaryDataPoint(**HARD, count=INT64_MAX, sum=-1.5),
        SummaryDataPoint(**TWICE_EACH),
        SummaryDataPoint(),
        *(
            SummaryDataPoint(**AT, sum=double, quantile_values=[Quantile(quantile=double, value=double)])
            for double in DOUBLES
            if not is_negative_zero(double)
        ),
        # Rejected by itself (rule 12).
        SummaryDataPoint(**AT, count=INT64_MAX + 1),
    ]
    return [
        Metric(
            name="every summary",
            description="Every kind of summary point",
            unit="1",
            metadata=attributes({"origin": "corpus"}),
            summary=Summary(data_points=points),
        )
    ]
