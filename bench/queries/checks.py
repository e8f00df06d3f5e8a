"""Checks that all writers' files hold the same rows, by counts and checksums of values, before anything is timed."""

from pathlib import Path

from . import tables

LOGS = {
    "ours": """
        SELECT count(*), sum(epoch_us(Timestamp))::HUGEINT, sum(strlen(Body))::BIGINT, sum(SeverityNumber)::BIGINT,
               sum(hash(TraceId) >> 8)::HUGEINT, sum(hash(ServiceName || SpanId) >> 8)::HUGEINT, sum(cardinality(LogAttributes))::BIGINT,
               sum(LogAttributes['http.response.status_code']::BIGINT)::BIGINT
        FROM logs""",
    "otlp2records": """
        SELECT count(*), sum(epoch_us(time_unix_nano))::HUGEINT, sum(strlen(body))::BIGINT, sum(severity_number)::BIGINT,
               sum(hash(lower(hex(trace_id))) >> 8)::HUGEINT, sum(hash(service_name || lower(hex(span_id))) >> 8)::HUGEINT,
               sum(len(json_keys(log_attributes)))::BIGINT,
               sum((log_attributes ->> '$."http.response.status_code"')::BIGINT)::BIGINT
        FROM logs""",
    "otel-arrow": """
        SELECT count(*), sum(epoch_us(l.time_unix_nano))::HUGEINT, sum(strlen(l.body.str))::BIGINT,
               sum(l.severity_number)::BIGINT, sum(hash(lower(hex(l.trace_id))) >> 8)::HUGEINT,
               sum(hash(service.str || lower(hex(l.span_id))) >> 8)::HUGEINT, (SELECT count(*) FROM log_attrs),
               (SELECT sum(int)::BIGINT FROM log_attrs WHERE key = 'http.response.status_code')
        FROM logs l JOIN resource_attrs service ON service.parent_id = l.resource.id AND service.key = 'service.name'""",
}

TRACES = {
    "ours": """
        SELECT count(*), sum(epoch_us(Timestamp))::HUGEINT, sum(Duration)::HUGEINT, sum(hash(TraceId) >> 8)::HUGEINT,
               sum(hash(ServiceName || SpanId) >> 8)::HUGEINT, sum(hash(coalesce(ParentSpanId, '')) >> 8)::HUGEINT,
               sum(coalesce(len(Events), 0))::BIGINT, sum(coalesce(len(Links), 0))::BIGINT,
               count(*) FILTER (StatusCode = 'Error'), sum(cardinality(SpanAttributes))::BIGINT
        FROM traces""",
    "otlp2records": """
        SELECT count(*), sum(epoch_us(start_time_unix_nano))::HUGEINT, sum(duration_time_unix_nano)::HUGEINT,
               sum(hash(lower(hex(trace_id))) >> 8)::HUGEINT, sum(hash(service_name || lower(hex(span_id))) >> 8)::HUGEINT,
               sum(hash(coalesce(lower(hex(parent_span_id)), '')) >> 8)::HUGEINT,
               sum(coalesce(json_array_length(events_json), 0))::BIGINT,
               sum(coalesce(json_array_length(links_json), 0))::BIGINT,
               count(*) FILTER (status_code = 2), sum(len(json_keys(span_attributes)))::BIGINT
        FROM traces""",
    "otel-arrow": """
        SELECT count(*), sum(epoch_us(s.start_time_unix_nano))::HUGEINT, sum(s.duration_time_unix_nano)::HUGEINT,
               sum(hash(lower(hex(s.trace_id))) >> 8)::HUGEINT, sum(hash(service.str || lower(hex(s.span_id))) >> 8)::HUGEINT,
               sum(hash(coalesce(lower(hex(s.parent_span_id)), '')) >> 8)::HUGEINT,
               (SELECT count(*) FROM span_events), (SELECT count(*) FROM span_links),
               count(*) FILTER (s.status.code = 2), (SELECT count(*) FROM span_attrs)
        FROM spans s JOIN resource_attrs service ON service.parent_id = s.resource.id AND service.key = 'service.name'""",
}

# Summaries are not compared: otlp2records has no table for them.
METRICS = {
    "ours": """
        SELECT (SELECT (count(*), sum(epoch_us(TimeUnix))::HUGEINT, sum((Value * 1e6)::HUGEINT) FILTER (ValueInt IS NULL),
                        sum(ValueInt)::HUGEINT, sum(cardinality(Attributes))::BIGINT) FROM metrics_gauge),
               (SELECT (count(*), sum(ValueInt)::HUGEINT, count(*) FILTER (IsMonotonic)) FROM metrics_sum),
               (SELECT (count(*), sum(Count)::HUGEINT, sum((Sum * 1e6)::HUGEINT), sum(list_sum(BucketCounts))::HUGEINT,
                        sum(coalesce(len(Exemplars), 0))::BIGINT) FROM metrics_histogram),
               (SELECT (count(*), sum(Count)::HUGEINT, sum((Sum * 1e6)::HUGEINT), sum(list_sum(PositiveBucketCounts))::HUGEINT)
                FROM metrics_exponential_histogram)""",
    "otlp2records": """
        SELECT (SELECT (count(*), sum(epoch_us(time_unix_nano))::HUGEINT, sum((double_value * 1e6)::HUGEINT),
                        sum(int_value)::HUGEINT, sum(len(json_keys(metric_attributes)))::BIGINT) FROM gauge),
               (SELECT (count(*), sum(int_value)::HUGEINT, count(*) FILTER (is_monotonic)) FROM sum),
               (SELECT (count(*), sum(count)::HUGEINT, sum((sum * 1e6)::HUGEINT), sum(list_sum(bucket_counts))::HUGEINT,
                        sum(coalesce(json_array_length(exemplars_json), 0))::BIGINT) FROM histogram),
               (SELECT (count(*), sum(count)::HUGEINT, sum((sum * 1e6)::HUGEINT), sum(list_sum(positive_bucket_counts))::HUGEINT)
                FROM exp_histogram)""",
    "otel-arrow": """
        WITH gauge AS (SELECT p.* FROM number_data_points p JOIN univariate_metrics m ON m.id = p.parent_id
                       WHERE m.metric_type = 1),
             counter AS (SELECT p.*, m.is_monotonic FROM number_data_points p
                         JOIN univariate_metrics m ON m.id = p.parent_id WHERE m.metric_type = 2)
        SELECT (SELECT (count(*), sum(epoch_us(time_unix_nano))::HUGEINT, sum((double_value * 1e6)::HUGEINT),
                        sum(int_value)::HUGEINT,
                        (SELECT count(*) FROM number_dp_attrs a SEMI JOIN gauge g ON a.parent_id = g.id)) FROM gauge),
               (SELECT (count(*), sum(int_value)::HUGEINT, count(*) FILTER (is_monotonic)) FROM counter),
               (SELECT (count(*), sum(count)::HUGEINT, sum((sum * 1e6)::HUGEINT), sum(list_sum(bucket_counts))::HUGEINT,
                        (SELECT count(*) FROM histogram_dp_exemplars)) FROM histogram_data_points),
               (SELECT (count(*), sum(count)::HUGEINT, sum((sum * 1e6)::HUGEINT), sum(list_sum(positive.bucket_counts))::HUGEINT)
                FROM exp_histogram_data_points)""",
}

KINDS = {
    "logs": LOGS,
    "logs-1KB": LOGS,
    "logs-1000-resources": LOGS,
    "logs-one-resource": LOGS,
    "spans": TRACES,
    "metrics": METRICS,
}


def check(folder: Path) -> None:
    """Raises AssertionError, naming the values, when a peer's files differ from ours."""
    for kind, queries in KINDS.items():
        found = {}
        for who in (*tables.WHO, tables.PLAIN):
            with tables.connect(folder, who, kind) as connection:
                found[who] = connection.execute(queries["ours" if who == tables.PLAIN else who]).fetchone()
        for who, values in found.items():
            assert values == found["ours"], f"{kind}: the files of {who} hold {values}, ours {found['ours']}"
        print(f"{kind}: {len(found['ours'])} checksums agree in the files of {', '.join(found)}", flush=True)
