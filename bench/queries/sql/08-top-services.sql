-- Services by the number and the size of their log records.

-- ours
SELECT ServiceName, count(*) AS n, sum(strlen(Body))::BIGINT AS bytes FROM logs GROUP BY ServiceName ORDER BY bytes DESC LIMIT 10;

-- otlp2records
SELECT service_name, count(*) AS n, sum(strlen(body))::BIGINT AS bytes FROM logs GROUP BY service_name ORDER BY bytes DESC LIMIT 10;

-- otel-arrow
SELECT service.str, count(*) AS n, sum(strlen(l.body.str))::BIGINT AS bytes
FROM logs l JOIN resource_attrs service ON service.parent_id = l.resource.id AND service.key = 'service.name'
GROUP BY service.str ORDER BY bytes DESC LIMIT 10;
