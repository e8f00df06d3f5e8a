-- The last hundred log records of a service before a moment.

-- ours
SELECT epoch_us(Timestamp) AS t, SeverityText, Body FROM logs
WHERE ServiceName = 'service-7' AND Timestamp >= '2026-09-10 00:45:00Z' AND Timestamp < '2026-09-10 00:50:00Z'
ORDER BY Timestamp DESC LIMIT 100;

-- otlp2records
SELECT epoch_us(time_unix_nano) AS t, severity_text, body FROM logs
WHERE service_name = 'service-7'
  AND time_unix_nano >= '2026-09-10 00:45:00' AND time_unix_nano < '2026-09-10 00:50:00'
ORDER BY time_unix_nano DESC LIMIT 100;

-- otel-arrow
SELECT epoch_us(l.time_unix_nano) AS t, l.severity_text, l.body.str
FROM logs l JOIN resource_attrs service ON service.parent_id = l.resource.id AND service.key = 'service.name'
WHERE service.str = 'service-7'
  AND l.time_unix_nano >= '2026-09-10 00:45:00Z' AND l.time_unix_nano < '2026-09-10 00:50:00Z'
ORDER BY l.time_unix_nano DESC LIMIT 100;
