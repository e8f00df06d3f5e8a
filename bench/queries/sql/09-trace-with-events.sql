-- The spans of one trace, each with its events.

-- ours
SELECT epoch_us(Timestamp), ServiceName, SpanId, ParentSpanId, SpanName, Duration,
       list_transform(Events, lambda event: event.Name) AS events
FROM traces WHERE TraceId = '{span_trace}';

-- otlp2records
SELECT epoch_us(start_time_unix_nano), service_name, lower(hex(span_id)), lower(hex(parent_span_id)), name,
       duration_time_unix_nano, events_json ->> '$[*].name' AS events
FROM traces WHERE trace_id = from_hex('{span_trace}');

-- otel-arrow
SELECT epoch_us(s.start_time_unix_nano), service.str, lower(hex(s.span_id)), lower(hex(s.parent_span_id)), s.name,
       s.duration_time_unix_nano, list(e.name ORDER BY e.id) FILTER (e.id IS NOT NULL) AS events
FROM spans s
JOIN resource_attrs service ON service.parent_id = s.resource.id AND service.key = 'service.name'
LEFT JOIN span_events e ON e.parent_id = s.id
WHERE s.trace_id = from_hex('{span_trace}')
GROUP BY ALL;
