-- A latency histogram of ten minutes by route, from explicit-bounds histograms.

-- ours
SELECT route, bucket, sum(n)::BIGINT
FROM (
  SELECT Attributes['http.route'] AS route, unnest(BucketCounts) AS n, generate_subscripts(BucketCounts, 1) AS bucket
  FROM metrics_histogram
  WHERE MetricName = 'http.server.request.duration'
    AND TimeUnix >= '2026-09-10 00:30:00Z' AND TimeUnix < '2026-09-10 00:40:00Z'
)
GROUP BY ALL;

-- otlp2records
SELECT route, bucket, sum(n)::BIGINT
FROM (
  SELECT metric_attributes ->> '$."http.route"' AS route, unnest(bucket_counts) AS n,
         generate_subscripts(bucket_counts, 1) AS bucket
  FROM histogram
  WHERE name = 'http.server.request.duration'
    AND time_unix_nano >= '2026-09-10 00:30:00' AND time_unix_nano < '2026-09-10 00:40:00'
)
GROUP BY ALL;

-- otel-arrow
SELECT route, bucket, sum(n)::BIGINT
FROM (
  SELECT route.str AS route, unnest(h.bucket_counts) AS n, generate_subscripts(h.bucket_counts, 1) AS bucket
  FROM histogram_data_points h
  JOIN univariate_metrics m ON m.id = h.parent_id AND m.name = 'http.server.request.duration'
  JOIN histogram_dp_attrs route ON route.parent_id = h.id AND route.key = 'http.route'
  WHERE h.time_unix_nano >= '2026-09-10 00:30:00Z' AND h.time_unix_nano < '2026-09-10 00:40:00Z'
)
GROUP BY ALL;
