-- Queries from the documentation of the Collector's ClickHouse exporter, adapted to DuckDB and these tables. All column
-- names but one are the same. Differences:
--   otel_logs, otel_traces, otel_metrics_gauge, ...      logs, traces, metrics_gauge, ...
--   otel_metrics_exponential_histogram                    metrics_exponential_histogram
--   TimestampTime (a DateTime beside Timestamp)           Timestamp: partitions and file statistics prune by it
--   SpanKind 'SPAN_KIND_SERVER', StatusCode               'Server', 'Error'
--     'STATUS_CODE_ERROR' (older exporters)
--   Events.Name, Links.TraceId (arrays side by side)      Events, Links: lists of structs
--   has(mapKeys(LogAttributes), 'k')                      LogAttributes['k'] IS NOT NULL
--   '' for absent text; zeros for an absent id;           NULL, so that averages and filters see only sent values
--     0 for an absent value, sum, min or max
--   ScopeDroppedAttrCount                                 ScopeDroppedAttributesCount
--   AggregationTemporality 0, 1, 2                        'Unspecified', 'Delta', 'Cumulative'
--   LogAttributes['ratio'] '1' of the double 1.0          '1.0'
--   MATERIALIZED columns of attributes                    tables.attribute_columns in the exporter's configuration

-- Number of log records by severity and minute.
SELECT SeverityText, date_trunc('minute', Timestamp) AS minute, count(*) AS count
FROM logs
GROUP BY SeverityText, minute
ORDER BY minute;

-- Any log.
SELECT Timestamp AS log_time, Body FROM logs WHERE Timestamp >= now() - INTERVAL 1 HOUR LIMIT 100;

-- Logs of one service.
SELECT Timestamp AS log_time, Body FROM logs WHERE ServiceName = 'checkout' LIMIT 100;

-- Logs with an attribute, as text whatever its type was.
SELECT Timestamp AS log_time, Body FROM logs WHERE LogAttributes['thread.id'] = '17' LIMIT 100;

-- Logs that contain a word.
SELECT Timestamp AS log_time, Body FROM logs WHERE contains(lower(Body), 'timeout') OR Body LIKE '%reset%' LIMIT 100;

-- Logs with a JSON body, by a field in it.
SELECT Timestamp AS log_time, Body FROM logs WHERE Body LIKE '{%' AND json_extract_string(TRY_CAST(Body AS JSON), '$.float') = '50' LIMIT 100;

-- Spans with an attribute.
SELECT Timestamp, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName, Duration, StatusCode, StatusMessage,
       SpanAttributes, ResourceAttributes, Events, Links
FROM traces
WHERE ServiceName = 'payment' AND SpanAttributes['http.response.status_code'] = '503'
LIMIT 100;

-- A trace by its id; the bloom filter on TraceId skips files without it.
SELECT Timestamp, TraceId, SpanId, ParentSpanId, SpanName, ServiceName, Duration, StatusCode
FROM traces
WHERE TraceId = '391dae938234560b16bb63f51501cb6f'
LIMIT 100;

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
SELECT * FROM metrics_sum WHERE MetricName = 'http.server.requests' LIMIT 100;
SELECT * FROM metrics_sum WHERE MetricName = 'http.server.requests' AND Attributes['http.request.method'] = 'GET' LIMIT 100;
