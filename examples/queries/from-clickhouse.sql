-- Queries from the documentation of the Collector's ClickHouse exporter, and others like them, in DuckDB on our tables.
-- docs/from-clickhouse.md lists what differs. In ClickHouse itself, use clickhouse-views.sql.

-- Number of log records by severity and minute.
SELECT date_trunc('minute', Timestamp) AS time, SeverityText, count(*) AS count
FROM logs
WHERE Timestamp >= now() - INTERVAL 1 HOUR
GROUP BY SeverityText, time
ORDER BY time;

-- The same in buckets of five minutes: toStartOfFiveMinutes, toStartOfInterval.
SELECT time_bucket(INTERVAL 5 MINUTE, Timestamp) AS time, SeverityText, count(*) AS count
FROM logs
WHERE Timestamp >= now() - INTERVAL 1 HOUR
GROUP BY SeverityText, time
ORDER BY time;

-- Any log. Partitions and files are skipped by Timestamp; there is no second condition on a bucket of it.
SELECT Timestamp AS log_time, Body
FROM logs
WHERE Timestamp >= now() - INTERVAL 1 HOUR
ORDER BY Timestamp DESC
LIMIT 100;

-- Logs of one service.
SELECT Timestamp AS log_time, Body FROM logs WHERE ServiceName = 'checkout' LIMIT 100;

-- Logs with an attribute, as text whatever its type was.
SELECT Timestamp AS log_time, Body FROM logs WHERE LogAttributes['thread.id'] = '17' LIMIT 100;

-- Logs whose attribute has another value or is missing: LogAttributes['env'] != 'prod'.
SELECT Timestamp AS log_time, Body FROM logs WHERE LogAttributes['env'] IS DISTINCT FROM 'prod' LIMIT 100;

-- Logs that have an attribute: mapContains, has(mapKeys(LogAttributes), 'thread.id').
SELECT Timestamp AS log_time, Body FROM logs WHERE LogAttributes['thread.id'] IS NOT NULL LIMIT 100;

-- Logs with a word: hasToken. Unlike \b, it ends a word at _, too, and not at letters outside ASCII.
SELECT Timestamp AS log_time, Body
FROM logs
WHERE regexp_matches(Body, '(^|[^0-9A-Za-z[:^ascii:]])upstream([^0-9A-Za-z[:^ascii:]]|$)')
LIMIT 100;

-- Logs with a text.
SELECT Timestamp AS log_time, Body FROM logs WHERE Body LIKE '%reset%' LIMIT 100;

-- Logs by a regular expression: match.
SELECT Timestamp AS log_time, Body FROM logs WHERE regexp_matches(Body, 'after \d+ ms') LIMIT 100;

-- Logs with a JSON body, by a field in it: JSONExtractFloat.
SELECT Timestamp AS log_time, Body
FROM logs
WHERE TRY_CAST(TRY_CAST(Body AS JSON)->>'$.bytes' AS DOUBLE) > 1000
LIMIT 100;

-- Spans with an attribute, and the names of their events: Events.Name, Links.TraceId.
SELECT Timestamp, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName, Duration, StatusCode, StatusMessage,
       SpanAttributes, ResourceAttributes, [event.Name for event in Events], [link.TraceId for link in Links]
FROM traces
WHERE ServiceName = 'payment' AND SpanAttributes['http.response.status_code'] = '503'
LIMIT 100;

-- Spans with an event: has(Events.Name, 'exception').
SELECT Timestamp, TraceId, SpanName
FROM traces
WHERE list_contains([event.Name for event in Events], 'exception')
LIMIT 100;

-- Root spans: ParentSpanId = ''.
SELECT Timestamp, TraceId, ServiceName, SpanName, Duration / 1e6 AS ms
FROM traces
WHERE ParentSpanId IS NULL
ORDER BY Timestamp DESC
LIMIT 100;

-- A trace by its id; the bloom filter on TraceId skips files without it.
SELECT Timestamp, TraceId, SpanId, ParentSpanId, SpanName, ServiceName, Duration, StatusCode
FROM traces
WHERE TraceId = '391dae938234560b16bb63f51501cb6f'
LIMIT 100;

-- A trace with its logs.
SELECT Timestamp, 'span' AS what, ServiceName, SpanName AS text, Duration / 1e6 AS ms
FROM traces
WHERE TraceId = '391dae938234560b16bb63f51501cb6f'
UNION ALL
SELECT Timestamp, 'log', ServiceName, Body, NULL
FROM logs
WHERE TraceId = '391dae938234560b16bb63f51501cb6f'
ORDER BY Timestamp;

-- When a trace began and ended: the exporter's table otel_traces_trace_id_ts is not needed.
SELECT min(Timestamp) AS start, max(Timestamp) AS "end" FROM traces WHERE TraceId = '391dae938234560b16bb63f51501cb6f';

-- Spans that failed.
SELECT Timestamp, TraceId, SpanId, SpanName, ServiceName, Duration, StatusMessage
FROM traces
WHERE StatusCode = 'Error' AND Timestamp >= now() - INTERVAL 1 HOUR
LIMIT 100;

-- Slow spans: Duration is in nanoseconds, as in ClickHouse.
SELECT Timestamp, TraceId, SpanId, SpanName, ServiceName, Duration
FROM traces
WHERE Duration > 1 * 1e9 AND Timestamp >= now() - INTERVAL 1 HOUR
LIMIT 100;

-- Service map: which service calls which.
SELECT parent.ServiceName AS caller, child.ServiceName AS callee, count(*) AS calls
FROM traces child JOIN traces parent ON child.TraceId = parent.TraceId AND child.ParentSpanId = parent.SpanId
WHERE parent.ServiceName <> child.ServiceName
GROUP BY ALL
ORDER BY calls DESC;

-- A metric by name, and by an attribute.
SELECT TimeUnix, MetricName, Attributes, Value FROM metrics_sum WHERE MetricName = 'http.server.requests' LIMIT 100;
SELECT TimeUnix, MetricName, Attributes, Value
FROM metrics_sum
WHERE MetricName = 'http.server.requests' AND Attributes['http.request.method'] = 'GET'
LIMIT 100;

-- A gauge by second: TimeUnix is in seconds in ClickHouse, and in microseconds here.
SELECT date_trunc('second', TimeUnix) AS second, avg(Value) AS value
FROM metrics_gauge
WHERE MetricName = 'system.cpu.utilization'
GROUP BY second
ORDER BY second;
