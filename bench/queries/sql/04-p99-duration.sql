-- The 99th percentile of span durations, by service and span.

-- ours
SELECT ServiceName, SpanName, quantile_disc(Duration, 0.99) FROM traces GROUP BY ALL;

-- otlp2records
SELECT service_name, name, quantile_disc(duration_time_unix_nano, 0.99) FROM traces GROUP BY ALL;

-- otel-arrow
SELECT service.str, s.name, quantile_disc(s.duration_time_unix_nano, 0.99)
FROM spans s JOIN resource_attrs service ON service.parent_id = s.resource.id AND service.key = 'service.name'
GROUP BY ALL;
