-- Views for ClickHouse that show the tables of otlp2iceberg as those of the Collector's ClickHouse exporter: database
-- `otel`, the exporter's names, '' and 0 for absent values.
--
-- They read the tables `lake.logs`, `lake.traces` and so on. DataLakeCatalog names them lake.`otel.logs`, for which
--
--   sed -E 's/FROM lake\.(\w+)/FROM lake.`otel.\1`/' clickhouse-views.sql
--
-- prints the views. A view of a table that does not exist yet fails: remove it, or send something first.

CREATE DATABASE IF NOT EXISTS otel;

CREATE OR REPLACE VIEW otel.otel_logs AS
SELECT * REPLACE (
    ifNull(TraceId, '') AS TraceId,
    ifNull(SpanId, '') AS SpanId,
    ifNull(SeverityText, '') AS SeverityText,
    ifNull(EventName, '') AS EventName,
    ifNull(Body, '') AS Body,
    mapApply((k, v) -> (k, ifNull(v, '')), LogAttributes) AS LogAttributes,
    ifNull(ServiceName, '') AS ServiceName,
    mapApply((k, v) -> (k, ifNull(v, '')), ResourceAttributes) AS ResourceAttributes,
    ifNull(ResourceSchemaUrl, '') AS ResourceSchemaUrl,
    ifNull(ScopeName, '') AS ScopeName,
    ifNull(ScopeVersion, '') AS ScopeVersion,
    mapApply((k, v) -> (k, ifNull(v, '')), ScopeAttributes) AS ScopeAttributes,
    ifNull(ScopeSchemaUrl, '') AS ScopeSchemaUrl
)
FROM lake.logs;

CREATE OR REPLACE VIEW otel.otel_traces AS
SELECT * REPLACE (
    ifNull(Duration, 0) AS Duration,
    ifNull(TraceId, '') AS TraceId,
    ifNull(SpanId, '') AS SpanId,
    ifNull(ParentSpanId, '') AS ParentSpanId,
    ifNull(TraceState, '') AS TraceState,
    ifNull(SpanName, '') AS SpanName,
    ifNull(StatusMessage, '') AS StatusMessage,
    mapApply((k, v) -> (k, ifNull(v, '')), SpanAttributes) AS SpanAttributes,
    ifNull(ServiceName, '') AS ServiceName,
    mapApply((k, v) -> (k, ifNull(v, '')), ResourceAttributes) AS ResourceAttributes,
    ifNull(ResourceSchemaUrl, '') AS ResourceSchemaUrl,
    ifNull(ScopeName, '') AS ScopeName,
    ifNull(ScopeVersion, '') AS ScopeVersion,
    mapApply((k, v) -> (k, ifNull(v, '')), ScopeAttributes) AS ScopeAttributes,
    ifNull(ScopeSchemaUrl, '') AS ScopeSchemaUrl
)
FROM lake.traces;

-- The exporter's table of when each trace began and ended, in whole seconds. TraceId alone would be the view's column, which
-- is never null.
CREATE OR REPLACE VIEW otel.otel_traces_trace_id_ts AS
SELECT ifNull(spans.TraceId, '') AS TraceId, toDateTime(min(Timestamp)) AS Start, toDateTime(max(Timestamp)) AS End
FROM lake.traces AS spans
WHERE spans.TraceId IS NOT NULL
GROUP BY spans.TraceId;

CREATE OR REPLACE VIEW otel.otel_metrics_gauge AS
SELECT * REPLACE (
    ifNull(ServiceName, '') AS ServiceName,
    mapApply((k, v) -> (k, ifNull(v, '')), ResourceAttributes) AS ResourceAttributes,
    ifNull(ResourceSchemaUrl, '') AS ResourceSchemaUrl,
    ifNull(ScopeName, '') AS ScopeName,
    ifNull(ScopeVersion, '') AS ScopeVersion,
    mapApply((k, v) -> (k, ifNull(v, '')), ScopeAttributes) AS ScopeAttributes,
    ifNull(ScopeSchemaUrl, '') AS ScopeSchemaUrl,
    ifNull(MetricName, '') AS MetricName,
    ifNull(MetricDescription, '') AS MetricDescription,
    ifNull(MetricUnit, '') AS MetricUnit,
    mapApply((k, v) -> (k, ifNull(v, '')), Attributes) AS Attributes,
    toDateTime(StartTimeUnix, 'UTC') AS StartTimeUnix,
    toDateTime(TimeUnix, 'UTC') AS TimeUnix,
    ifNull(Value, 0) AS Value
), ScopeDroppedAttributesCount AS ScopeDroppedAttrCount
FROM lake.metrics_gauge;

CREATE OR REPLACE VIEW otel.otel_metrics_sum AS
SELECT * REPLACE (
    ifNull(ServiceName, '') AS ServiceName,
    mapApply((k, v) -> (k, ifNull(v, '')), ResourceAttributes) AS ResourceAttributes,
    ifNull(ResourceSchemaUrl, '') AS ResourceSchemaUrl,
    ifNull(ScopeName, '') AS ScopeName,
    ifNull(ScopeVersion, '') AS ScopeVersion,
    mapApply((k, v) -> (k, ifNull(v, '')), ScopeAttributes) AS ScopeAttributes,
    ifNull(ScopeSchemaUrl, '') AS ScopeSchemaUrl,
    ifNull(MetricName, '') AS MetricName,
    ifNull(MetricDescription, '') AS MetricDescription,
    ifNull(MetricUnit, '') AS MetricUnit,
    mapApply((k, v) -> (k, ifNull(v, '')), Attributes) AS Attributes,
    toDateTime(StartTimeUnix, 'UTC') AS StartTimeUnix,
    toDateTime(TimeUnix, 'UTC') AS TimeUnix,
    ifNull(Value, 0) AS Value,
    indexOf(['Unspecified', 'Delta', 'Cumulative'], AggregationTemporality)::Int32 - 1 AS AggregationTemporality
), ScopeDroppedAttributesCount AS ScopeDroppedAttrCount
FROM lake.metrics_sum;

CREATE OR REPLACE VIEW otel.otel_metrics_histogram AS
SELECT * REPLACE (
    ifNull(ServiceName, '') AS ServiceName,
    mapApply((k, v) -> (k, ifNull(v, '')), ResourceAttributes) AS ResourceAttributes,
    ifNull(ResourceSchemaUrl, '') AS ResourceSchemaUrl,
    ifNull(ScopeName, '') AS ScopeName,
    ifNull(ScopeVersion, '') AS ScopeVersion,
    mapApply((k, v) -> (k, ifNull(v, '')), ScopeAttributes) AS ScopeAttributes,
    ifNull(ScopeSchemaUrl, '') AS ScopeSchemaUrl,
    ifNull(MetricName, '') AS MetricName,
    ifNull(MetricDescription, '') AS MetricDescription,
    ifNull(MetricUnit, '') AS MetricUnit,
    mapApply((k, v) -> (k, ifNull(v, '')), Attributes) AS Attributes,
    toDateTime(StartTimeUnix, 'UTC') AS StartTimeUnix,
    toDateTime(TimeUnix, 'UTC') AS TimeUnix,
    ifNull(Sum, 0) AS Sum,
    ifNull(Min, 0) AS Min,
    ifNull(Max, 0) AS Max,
    indexOf(['Unspecified', 'Delta', 'Cumulative'], AggregationTemporality)::Int32 - 1 AS AggregationTemporality
), ScopeDroppedAttributesCount AS ScopeDroppedAttrCount
FROM lake.metrics_histogram;

CREATE OR REPLACE VIEW otel.otel_metrics_exponential_histogram AS
SELECT * REPLACE (
    ifNull(ServiceName, '') AS ServiceName,
    mapApply((k, v) -> (k, ifNull(v, '')), ResourceAttributes) AS ResourceAttributes,
    ifNull(ResourceSchemaUrl, '') AS ResourceSchemaUrl,
    ifNull(ScopeName, '') AS ScopeName,
    ifNull(ScopeVersion, '') AS ScopeVersion,
    mapApply((k, v) -> (k, ifNull(v, '')), ScopeAttributes) AS ScopeAttributes,
    ifNull(ScopeSchemaUrl, '') AS ScopeSchemaUrl,
    ifNull(MetricName, '') AS MetricName,
    ifNull(MetricDescription, '') AS MetricDescription,
    ifNull(MetricUnit, '') AS MetricUnit,
    mapApply((k, v) -> (k, ifNull(v, '')), Attributes) AS Attributes,
    toDateTime(StartTimeUnix, 'UTC') AS StartTimeUnix,
    toDateTime(TimeUnix, 'UTC') AS TimeUnix,
    ifNull(Sum, 0) AS Sum,
    ifNull(Min, 0) AS Min,
    ifNull(Max, 0) AS Max,
    indexOf(['Unspecified', 'Delta', 'Cumulative'], AggregationTemporality)::Int32 - 1 AS AggregationTemporality
), ScopeDroppedAttributesCount AS ScopeDroppedAttrCount
FROM lake.metrics_exponential_histogram;

CREATE OR REPLACE VIEW otel.otel_metrics_summary AS
SELECT * REPLACE (
    ifNull(ServiceName, '') AS ServiceName,
    mapApply((k, v) -> (k, ifNull(v, '')), ResourceAttributes) AS ResourceAttributes,
    ifNull(ResourceSchemaUrl, '') AS ResourceSchemaUrl,
    ifNull(ScopeName, '') AS ScopeName,
    ifNull(ScopeVersion, '') AS ScopeVersion,
    mapApply((k, v) -> (k, ifNull(v, '')), ScopeAttributes) AS ScopeAttributes,
    ifNull(ScopeSchemaUrl, '') AS ScopeSchemaUrl,
    ifNull(MetricName, '') AS MetricName,
    ifNull(MetricDescription, '') AS MetricDescription,
    ifNull(MetricUnit, '') AS MetricUnit,
    mapApply((k, v) -> (k, ifNull(v, '')), Attributes) AS Attributes,
    toDateTime(StartTimeUnix, 'UTC') AS StartTimeUnix,
    toDateTime(TimeUnix, 'UTC') AS TimeUnix
), ScopeDroppedAttributesCount AS ScopeDroppedAttrCount
FROM lake.metrics_summary;
