-- DuckDB over the tables `logs`, `traces` and `metrics_*`. The README beside this file says how to make these views.

-- Errors of the last day, newest first.
SELECT Timestamp, ServiceName, SeverityText, Body, LogAttributes
FROM logs
WHERE Timestamp > now() - INTERVAL 1 DAY AND SeverityNumber >= 17
ORDER BY Timestamp DESC
LIMIT 100;

-- A value of an attribute map; a missing key is NULL.
SELECT ResourceAttributes['k8s.pod.name'] AS pod, count(*) AS records
FROM logs
GROUP BY pod
ORDER BY records DESC;

-- All of one trace, in order, with the depth of each span.
WITH RECURSIVE one AS (
    SELECT TraceId FROM traces WHERE ParentSpanId IS NULL ORDER BY Duration DESC LIMIT 1
), tree AS (
    SELECT t.*, 0 AS depth FROM traces t JOIN one USING (TraceId) WHERE t.ParentSpanId IS NULL
    UNION ALL
    SELECT t.*, tree.depth + 1 FROM traces t JOIN tree ON t.TraceId = tree.TraceId AND t.ParentSpanId = tree.SpanId
)
SELECT repeat('  ', depth) || SpanName AS span, ServiceName, Duration / 1e6 AS ms, StatusCode
FROM tree
ORDER BY Timestamp;

-- Rate, errors and duration of each service and operation.
SELECT ServiceName, SpanName, count(*) AS spans,
       count(*) FILTER (StatusCode = 'Error') / count(*) AS error_share,
       quantile_cont(Duration, [0.5, 0.95, 0.99]) AS duration_ns
FROM traces
WHERE SpanKind = 'Server'
GROUP BY ALL
ORDER BY spans DESC;

-- Events of spans, one row each.
SELECT TraceId, SpanId, event.Timestamp AS at, event.Name AS name, event.Attributes['exception.type'] AS type
FROM (SELECT TraceId, SpanId, unnest(Events) AS event FROM traces)
WHERE event.Name = 'exception';

-- A gauge by minute.
SELECT time_bucket(INTERVAL 1 MINUTE, TimeUnix) AS minute, ServiceName, avg(Value) AS value
FROM metrics_gauge
WHERE MetricName = 'system.cpu.utilization'
GROUP BY ALL
ORDER BY minute;

-- The increase of a cumulative counter since the point before in its series. A counter that restarts counts from 0.
SELECT ServiceName, MetricName, Attributes, TimeUnix,
       CASE WHEN Value < lag(Value) OVER series THEN Value ELSE Value - lag(Value) OVER series END AS growth
FROM metrics_sum
WHERE AggregationTemporality = 'Cumulative' AND IsMonotonic
WINDOW series AS (
    PARTITION BY ResourceAttributes, ScopeName, ScopeVersion, ScopeAttributes, MetricName, Attributes
    ORDER BY TimeUnix
);

-- The buckets of a histogram, one row each; the last one has no upper bound.
SELECT MetricName, TimeUnix, ExplicitBounds[position] AS upper_bound, BucketCounts[position] AS observations
FROM (SELECT *, unnest(range(1, len(BucketCounts) + 1)) AS position FROM metrics_histogram)
ORDER BY MetricName, TimeUnix, position;

-- A quantile of summaries.
SELECT MetricName, TimeUnix, quantile.Value AS p99
FROM (SELECT MetricName, TimeUnix, unnest(ValueAtQuantiles) AS quantile FROM metrics_summary)
WHERE quantile.Quantile = 0.99;
