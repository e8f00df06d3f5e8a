-- The log records of one trace.

-- ours
SELECT epoch_us(Timestamp), ServiceName, SeverityText, Body FROM logs WHERE TraceId = '{log_trace}';

-- otlp2records
SELECT epoch_us(time_unix_nano), service_name, severity_text, body FROM logs WHERE trace_id = from_hex('{log_trace}');

-- otel-arrow
SELECT epoch_us(l.time_unix_nano), service.str, l.severity_text, l.body.str
FROM logs l JOIN resource_attrs service ON service.parent_id = l.resource.id AND service.key = 'service.name'
WHERE l.trace_id = from_hex('{log_trace}');
