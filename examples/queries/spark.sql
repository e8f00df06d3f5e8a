-- Spark SQL 4.0 with Iceberg's runtime, on the SQLite catalog of a local warehouse:
--
--   spark-sql --packages org.apache.iceberg:iceberg-spark-runtime-4.0_2.13:1.10.1,org.xerial:sqlite-jdbc:3.50.3.0 \
--     --conf spark.sql.extensions=org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions \
--     --conf spark.sql.catalog.default=org.apache.iceberg.spark.SparkCatalog \
--     --conf spark.sql.catalog.default.cache-enabled=false \
--     --conf spark.sql.catalog.default.type=jdbc \
--     --conf spark.sql.catalog.default.jdbc.init-catalog-tables=false \
--     --conf spark.sql.catalog.default.uri=jdbc:sqlite:$PWD/warehouse/catalog.db \
--     --conf spark.sql.catalog.default.warehouse=file://$PWD/warehouse
--
-- Without cache-enabled=false a session shows a table as it was for as long as it asks more often than every 30 s.
-- Without init-catalog-tables=false a session sees no later commits, and cannot commit beside a Collector, because
-- Iceberg before 1.11 leaves a query open on the database.

-- Errors of the last day.
SELECT Timestamp, ServiceName, Body
FROM default.otel.logs
WHERE Timestamp > current_timestamp() - INTERVAL 1 DAY AND SeverityNumber >= 17
ORDER BY Timestamp DESC
LIMIT 100;

-- Error share and 99th percentile by service.
SELECT ServiceName, count(*) AS spans, count_if(StatusCode = 'Error') / count(*) AS error_share,
       percentile_approx(Duration, 0.99) / 1e6 AS p99_ms
FROM default.otel.traces
WHERE SpanKind = 'Server'
GROUP BY ServiceName;

-- Events of spans, one row each.
SELECT TraceId, SpanId, event.Timestamp, event.Name, event.Attributes['exception.type'] AS type
FROM default.otel.traces LATERAL VIEW explode(Events) AS event;

-- The increase of a cumulative counter since the point before in its series. A counter that restarts counts from 0.
-- A window does not take maps; their entries are sorted by key.
SELECT ServiceName, MetricName, Attributes, TimeUnix,
       CASE WHEN Value < lag(Value) OVER series THEN Value ELSE Value - lag(Value) OVER series END AS growth
FROM default.otel.metrics_sum
WHERE AggregationTemporality = 'Cumulative' AND IsMonotonic
WINDOW series AS (
    PARTITION BY map_entries(ResourceAttributes), ScopeName, ScopeVersion, map_entries(ScopeAttributes), MetricName,
                 map_entries(Attributes)
    ORDER BY TimeUnix
);

-- The buckets of a histogram, one row each.
SELECT MetricName, TimeUnix, bucket.ExplicitBounds AS upper_bound, bucket.BucketCounts AS observations
FROM default.otel.metrics_histogram LATERAL VIEW inline(arrays_zip(ExplicitBounds, BucketCounts)) bucket AS ExplicitBounds, BucketCounts;

-- Maintenance of one table; run it for each. It needs cache-enabled=false, too, and compaction.enabled: false in the
-- Collector, which otherwise compacts the same files (docs/operations/maintenance.md). Compact small files and rewrite
-- the manifests without them. Then expire old snapshots with their files: the table's properties say how old, and how
-- many must stay, in tables that the Collector has created an hour and 500. Files younger than 3 days are no orphans.
CALL default.system.rewrite_data_files(table => 'otel.logs', strategy => 'sort');
CALL default.system.rewrite_manifests(table => 'otel.logs');
CALL default.system.expire_snapshots(table => 'otel.logs');
CALL default.system.remove_orphan_files(table => 'otel.logs');
